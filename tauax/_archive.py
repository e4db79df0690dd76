"""Files of arrays and a header: one `.npz`, versioned, checksummed, and whole or not there.

No pickle in it, and none is read.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tauax._checks import fault
from tauax._replacing import replacing

FORMAT, VERSION = "tauax", 1
_HEADER = "header"


def write(path: Path, kind: str, header: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> None:
    """Write the arrays and the header as a file of that kind, replacing what was there.

    **Raises:** `OSError` if the file cannot be written; then the old one is still there.
    """
    entries = {f"array{index}": np.asarray(array) for index, array in enumerate(arrays)}
    record = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind,
        "arrays": {name: _digest(array) for name, array in entries.items()},
        "header": dict(header),
    }
    entries[_HEADER] = np.frombuffer(json.dumps(record).encode(), np.uint8)
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **entries)  # pyright: ignore[reportArgumentType]


def read(path: Path, kind: str) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The header and the arrays of a file of that kind.

    **Raises:** `FileNotFoundError`; `ValueError` for a file that is damaged, of another kind, or of
    a version that this package does not know.
    """
    with path.open("rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as file:
                entries = {name: file[name] for name in file.files}
            record = json.loads(entries.pop(_HEADER).tobytes())
            found = (record["format"], record["version"], record["kind"])
        except Exception as error:  # whatever the damaged part leads to
            raise fault(
                f"{path}, which is damaged or no file of tauax ({error})",
                f"a {kind} saved by tauax",
                "look for a copy, or remove it and run anew",
            ) from error
    if found[0] != FORMAT or found[1] != VERSION:
        raise fault(
            f"{path} in format {found[0]!r} version {found[1]}",
            f"format {FORMAT!r} version {VERSION}",
            "read it with the version of tauax that wrote it",
        )
    if found[2] != kind:
        raise fault(
            f"{path}, a saved {found[2]}",
            f"a saved {kind}",
            "solutions are read by tx.Solution.load, runs under way by "
            "tx.iterate(..., path=...), fits by tx.fit(..., path=...)",
        )
    for name, digest in record["arrays"].items():
        if name not in entries or _digest(entries[name]) != digest:
            raise fault(
                f"{path}, whose {name} does not match its checksum",
                "a file as it was written",
                "look for a copy, or remove it and run anew",
            )
    return record["header"], [entries[f"array{index}"] for index in range(len(entries))]


def _digest(array: np.ndarray) -> str:
    """SHA-256 of an array, its shape and its type."""
    kind = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(kind + np.ascontiguousarray(array).tobytes()).hexdigest()
