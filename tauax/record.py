"""What a command leaves behind: a folder with a manifest, a table and a figure, or nothing."""

import csv
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tauax import doctor


def manifest(command: str, parameters: Mapping[str, Any], results: Mapping[str, Any]) -> dict:
    """Everything that is needed to say how a result came about and to make it again."""
    import jax

    device = jax.devices()[0]
    return {
        "command": command,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": dict(parameters),
        "results": dict(results),
        "versions": doctor.versions(),
        "device": {"kind": device.device_kind, "platform": device.platform},
        "cores": doctor.cores(),
        "x64": bool(jax.config.jax_enable_x64),  # pyright: ignore[reportAttributeAccessIssue]
        "git_revision": git_revision(),
    }


def write(
    root: Path,
    name: str,
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    draw: Callable[[Path], None],
) -> Path:
    """Write `manifest.json`, `results.csv` and `figure.png` into a new folder of `root`."""

    def fill(folder: Path) -> None:
        draw(folder / "figure.png")
        with (folder / "results.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, fieldnames=list(rows[0]))
            table.writeheader()
            table.writerows(rows)

    return write_folder(root, name, record, fill)


def write_folder(
    root: Path, name: str, record: Mapping[str, Any], fill: Callable[[Path], None]
) -> Path:
    """A new folder of `root` with what `fill(folder)` writes and `manifest.json`.

    The folder appears under its name only when all of it is written.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".unfinished-") as unfinished:
        folder = Path(unfinished) / "run"
        folder.mkdir()
        fill(folder)
        (folder / "manifest.json").write_text(json.dumps(record, indent=2) + "\n")
        return folder.rename(_free_name(root, name))


def _free_name(root: Path, name: str) -> Path:
    """`root/time-name`, with a number behind it if that is taken."""
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}-{name}"
    candidates = [root / stamp, *(root / f"{stamp}-{count}" for count in range(2, 1000))]
    return next(path for path in candidates if not path.exists())


def git_revision() -> str | None:
    """The revision of the checkout that holds this package, if it is one and git is there."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--dirty", "--abbrev=40") or None
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    """What git prints in the folder of this package."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    return done.stdout.strip()
