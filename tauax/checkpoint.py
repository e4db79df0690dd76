"""Work under way in a file: saved as a whole after each chunk, and gone on with exactly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from tauax import _archive
from tauax._checks import fault
from tauax._digest import digest
from tauax._replacing import check_place

T = TypeVar("T")


class Checkpoint(Generic[T]):
    """The file of one run, or fit. It names what was asked for, so that nothing else goes on.

    **Arguments:** `path`; `kind`, "run" or "fit"; `asked`, all that decides how the work goes, by
    name; `fresh`, the work as it begins.
    """

    def __init__(self, path: Path, kind: str, asked: Mapping[str, Any], fresh: T):
        check_place(path)
        _check_reachable(kind, (asked, fresh))
        self.path, self.kind, self.fresh = path, kind, fresh
        self.digests = {name: digest(value) for name, value in asked.items()}

    def read(self) -> T:
        """The work as the file has it, or as it begins where there is no file yet."""
        try:
            header, arrays = _archive.read(self.path, self.kind)
        except FileNotFoundError:
            return self.fresh
        saved = header["arguments"]
        other = [name for name, one in self.digests.items() if saved.get(name) != one]
        if other:
            raise fault(
                f"{self.path}, which holds another {self.kind}: not the same {' and '.join(other)}",
                f"the {self.kind} that is asked for",
                "choose another path, or remove the file to begin anew",
            )
        leaves, structure = jax.tree.flatten(self.fresh)
        expected = [plain(leaf) for leaf in leaves]
        if [(a.shape, a.dtype) for a in arrays] != [(x.shape, x.dtype) for x in expected]:
            raise fault(
                f"{self.path}, whose arrays are not those of the {self.kind}",
                "arrays as this version of tauax makes them",
                "go on with the version that wrote it, or remove the file to begin anew",
            )
        return structure.unflatten(map(_like, leaves, arrays))

    def write(self, work: T, progress: Mapping[str, int]) -> None:
        """Replace the file by the work as it is now."""
        header = {"arguments": self.digests, **progress}
        arrays = [plain(leaf) for leaf in jax.tree.leaves(work)]
        _archive.write(self.path, self.kind, header, arrays)


def plain(leaf: jax.Array) -> np.ndarray:
    """An array as numpy has it; of random keys their words."""
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _like(leaf: jax.Array, array: np.ndarray) -> jax.Array:
    """The array read, of the kind of a leaf."""
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf))
    return jnp.asarray(array)


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _check_reachable(kind: str, arguments: Any) -> None:
    arrays = (leaf for leaf in jax.tree.leaves(arguments) if isinstance(leaf, jax.Array))
    if not all(array.is_fully_addressable for array in arrays):
        raise fault(
            f"a {kind} divided among processes",
            "members on this process only",
            "leave out path=, and save what each process can reach",
        )
