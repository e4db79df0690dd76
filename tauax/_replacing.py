"""Files and folders that are whole or not there: written beside their place, then moved to it.

A reader, a full disk or a killed process never meets half a file.
"""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tauax._checks import fault


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside `path` to write to: moved there when all went well, removed when not.

    What is written goes to the disk before it is moved. A folder replaces a Zarr store only.

    **Raises:** `OSError` with the remedy for a place that cannot be written to.
    """
    path = Path(path)
    check_place(path)
    _clear(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    former = unfinished.with_suffix(".former")
    try:
        yield unfinished
        _flush(unfinished)
        if path.is_dir():
            path.rename(former)  # a folder cannot be replaced in one move
        unfinished.replace(path)
        _flush(path.parent)
    finally:
        _remove(unfinished)
        _remove(former)


def check_place(path: Path) -> None:
    """Raise `OSError` with the remedy if no file can be written there."""
    if not path.parent.is_dir():
        raise fault(
            f"{path} for a folder that is not there",
            "a path in a folder that exists",
            f"make it first: mkdir -p {path.parent}",
            FileNotFoundError,
        )
    if not os.access(path.parent, os.W_OK):
        raise fault(
            f"{path} in a folder that cannot be written to",
            "a folder with the right to write",
            "give another path",
            PermissionError,
        )
    if path.is_dir() and not (path / "zarr.json").exists():
        raise fault(
            f"{path}, which is a folder",
            "the name of a file",
            f"give a name in it, such as {path / 'results'}",
            IsADirectoryError,
        )


def _clear(path: Path) -> None:
    """Remove what killed processes left unfinished."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.unfinished"):
        process = left.name.split(".")[-2]
        if process.isdigit() and not _alive(int(process)):
            _remove(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process != os.getpid()


def _flush(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power failure, where the system can."""
    if os.name != "posix":
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
