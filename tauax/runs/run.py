"""Runs a description and leaves a folder of results; a run cut off goes on where it was."""

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tauax import export, plots, record
from tauax.ensemble import iterate
from tauax.export import Labelled
from tauax.runs import describe
from tauax.runs.axes import grid_size
from tauax.runs.build import Setup, setup
from tauax.runs.reader import total_steps
from tauax.runs.schema import Output, Run
from tauax.runs.source import Source, suggestion
from tauax.solution import Solution

LONGEST_TABLE = 2_000_000
Report = Callable[[int, int], None]


class Interrupted(KeyboardInterrupt):
    """A run that was cut off; says how much of it is kept, and where."""


def run(source: Source, description: Run, folder: Path, report: Report) -> tuple[Path, list[str]]:
    """Run it and write a folder of results into `folder`, which appears there when all is done.

    After every chunk the run is saved in `unfinished(...)`; if that file is there, the run goes on
    from it. `report(done, steps)` is told after every chunk.

    **Returns:** the folder of results, and what it lacks, in words.

    **Raises:** `ConfigError` for a description that does not fit; `Interrupted` on Ctrl-C.
    """
    check_extras(description.output)
    made = setup(source, description)
    _check_plot(source, description, made)
    file = unfinished(source, description, folder)
    folder.mkdir(parents=True, exist_ok=True)
    begin, resumed = time.perf_counter(), file.exists()
    solution = execute(made, file, report)
    data = labelled(solution, made)
    results = {"seconds": time.perf_counter() - begin, "resumed": resumed}
    entry = record.manifest("run", {"name": source.name, **_parameters(description)}, results)
    notes: list[str] = []
    written = record.write_folder(
        folder, source.name, entry, lambda place: notes.extend(_fill(place, description, data))
    )
    file.unlink(missing_ok=True)
    return written, notes


def execute(made: Setup, file: Path | None, report: Report) -> Solution:
    """The solution of the whole run, saved in `file` after each chunk."""
    solution = None
    try:
        for solution in iterate(
            made.model,
            made.state,
            dt=made.dt,
            steps=made.steps,
            chunk=made.chunk,
            stepper=made.stepper,
            monitors=made.monitors,
            path=file,
        ):
            report(int(solution.state.step), made.steps)
    except KeyboardInterrupt as error:
        if file is None or not file.exists():
            raise
        done = f"{int(solution.state.step)} of " if solution is not None else "the first of "
        raise Interrupted(f"{done}{made.steps} steps are kept in {file}") from error
    assert solution is not None  # there is at least one step
    return solution


def unfinished(source: Source, description: Run, folder: Path) -> Path:
    """Where a run is kept while it is under way; another description has another name."""
    told = describe.toml(replace(description, output=Output(), title="", chunk=None))
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return folder / f"{_file_name(source.name)}-{digest}.unfinished.npz"


def summary(source: Source, description: Run) -> list[tuple[str, str]]:
    """What would be run, in words."""
    steps, grid = total_steps(description), grid_size(description)
    check_extras(description.output)
    made = setup(source, description)
    _check_plot(source, description, made)
    axes = [f"{name} {len(values)}" for name, values in made.coordinates.items()]
    return [
        ("run", f"{source.name}: {description.title}" if description.title else source.name),
        ("oscillators", str(made.model.size)),
        ("members", f"{description.members} at each of {grid} points"),
        ("grid", " × ".join(axes) or "one point"),
        ("length", f"{steps} steps of {description.dt:g} s, {steps * description.dt:g} s"),
        ("chunks", f"{-(-steps // made.chunk)} of {made.chunk} steps"),
        ("work", f"{steps * made.state.phase.size:.2g} oscillator-steps"),
        ("monitors", ", ".join(f"{k} ({v.kind})" for k, v in description.monitors.items())),
        ("files", ", ".join(("manifest", "config", *description.output.formats))),
    ]


def check_extras(output: Output) -> None:
    """Raise `ImportError` for a format that needs an extra, before anything is run."""
    if "png" in output.formats:
        plots.require()
    for form in set(output.formats) & {"netcdf", "zarr"}:
        export.require(form)


def labelled(solution: Solution, made: Setup) -> Labelled:
    """The results with names, and with the values along the axes as the file has them."""
    coordinates = {name: np.asarray(values) for name, values in made.coordinates.items()}
    size = solution.state.phase.shape[-1]
    return export.label(solution.state.axes, size, solution.status, coordinates, solution.monitors)


def _fill(folder: Path, description: Run, data: Labelled) -> list[str]:
    """Write every file that is asked for; what was left out."""
    (folder / "config.toml").write_text(describe.toml(description), encoding="utf-8")
    formats, notes = description.output.formats, []
    if "csv" in formats:
        notes = _tables(folder, data)
    if "npz" in formats:
        export.to_npz(data, folder / "results.npz")
    if "netcdf" in formats:
        export.to_netcdf(data, folder / "results.nc")
    if "zarr" in formats:
        export.to_zarr(data, folder / "results.zarr")
    if "png" in formats:
        title = description.title
        plots.save_run(data, folder / "figure.png", title, description.output.plot)
    return notes


def _tables(folder: Path, data: Labelled) -> list[str]:
    """A table of what has batch axes only, and one for each monitor that has others."""
    notes = []
    for name in export.tables(data):
        file = f"{name or 'results'}.csv"
        rows = next(iter(export.columns(data, name).values())).size
        if rows > LONGEST_TABLE:
            notes.append(f"{file} is left out: it would have {rows} rows; add npz to the formats")
        else:
            export.to_csv(data, folder / file, name)
    return notes


def _check_plot(source: Source, description: Run, made: Setup) -> None:
    """Raise for a statistic to draw that no monitor has."""
    for position, name in enumerate(description.output.plot):
        monitors = [one for one in made.monitors if name == one or name.startswith(f"{one}_")]
        if not monitors:
            known = [f"{one}_..." for one in made.monitors]
            place = ("output", "plot", position)
            fix = suggestion(name, known)
            raise source.fault(place, f"{name!r}", "a statistic such as r_mean", fix)


def _parameters(description: Run) -> dict[str, Any]:
    return describe.plain(description)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
