"""A name for the contents of a value, the same in every process."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from tauax._checks import fault
from tauax.readouts import Readout


def digest(value: Any) -> str:
    """A number for the contents of a value: equal in every process if and only if they are equal.

    **Raises:** `TypeError` for what has no contents that could be told from its name or fields.
    """
    sha = hashlib.sha256()
    for piece in _pieces(value):
        sha.update(piece.encode() if isinstance(piece, str) else piece)
        sha.update(b"\0")
    return sha.hexdigest()


def _pieces(value: Any) -> Iterator[str | bytes]:
    """The contents of a value as text and bytes, in order."""
    if isinstance(value, jax.Array | np.ndarray):
        array = np.asarray(value)
        yield f"{array.dtype.str}{array.shape}"
        yield array.tobytes()
    elif isinstance(value, Readout):
        yield from _pieces(value.function)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value).__qualname__
        for field in dataclasses.fields(value):
            if field.name != "mesh":  # the devices change nothing
                yield field.name
                yield from _pieces(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield f"mapping of {len(value)}"
        for name, part in sorted(value.items()):  # compilation sorts names as well
            yield str(name)
            yield from _pieces(part)
    elif isinstance(value, tuple | list):
        yield f"sequence of {len(value)}"
        for part in value:
            yield from _pieces(part)
    elif isinstance(value, str | int | float | bool | type(None)):
        yield repr(value)
    elif callable(value) and "<" not in getattr(value, "__qualname__", "<"):
        yield f"{value.__module__}.{value.__qualname__}"
    else:
        raise fault(
            f"a {type(value).__name__} in a run that is to be saved",
            "arrays, numbers, texts and functions with a name",
            "define what the model or a monitor holds at module level",
            TypeError,
        )
