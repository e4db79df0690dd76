"""A run under way in a file: saved as a whole after each chunk, and gone on with exactly."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from tauax import _archive
from tauax._checks import fault
from tauax._digest import digest
from tauax._replacing import check_place
from tauax._scan import Run

_KIND = "run"
_ARGUMENTS = ("model", "state", "dt", "steps", "stepper", "monitors")


class RunFile:
    """The file of one run. It names what was asked for, so that no other run goes on from it."""

    def __init__(self, path: Path, arguments: tuple):
        check_place(path)
        _check_reachable(arguments)
        self.path = path
        self.digests = {
            name: digest(value) for name, value in zip(_ARGUMENTS, arguments, strict=True)
        }

    def read(self, fresh: Run) -> Run:
        """The run as the file has it, or `fresh` where there is no file yet."""
        try:
            header, arrays = _archive.read(self.path, _KIND)
        except FileNotFoundError:
            return fresh
        other = [name for name in _ARGUMENTS if header["arguments"].get(name) != self.digests[name]]
        if other:
            raise fault(
                f"{self.path}, which holds another run: not the same {' and '.join(other)}",
                "the run that is asked for",
                "choose another path, or remove the file to begin anew",
            )
        leaves, structure = jax.tree.flatten(fresh)
        if [(a.shape, a.dtype) for a in arrays] != [(x.shape, x.dtype) for x in leaves]:
            raise fault(
                f"{self.path}, whose arrays are not those of the run",
                "arrays as this version of tauax makes them",
                "go on with the version that wrote it, or remove the file to begin anew",
            )
        return structure.unflatten([jnp.asarray(array) for array in arrays])

    def write(self, run: Run) -> None:
        """Replace the file by the run as it is now."""
        done = int(run.state.step) - int(run.begin)
        header = {"arguments": self.digests, "steps_done": done, "steps": run.steps}
        arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(run)]
        _archive.write(self.path, _KIND, header, arrays)


def _check_reachable(arguments: tuple) -> None:
    arrays = (leaf for leaf in jax.tree.leaves(arguments) if isinstance(leaf, jax.Array))
    if not all(array.is_fully_addressable for array in arrays):
        raise fault(
            "a run divided among processes",
            "members on this process only",
            "leave out path=, and save what each process can reach",
        )
