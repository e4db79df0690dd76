"""Workloads measured one after the other: checked, timed, and written down with their context."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tauax._checks import fault
from tauax.bench import rivals as programs
from tauax.bench.checks import Wrong
from tauax.bench.context import context
from tauax.bench.problem import Side
from tauax.bench.rivals import OURS, Rival
from tauax.bench.timing import Report, Timing, interleaved
from tauax.bench.workload import Task, Workload

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Effort:
    """How long to measure: rounds of calls of about so many seconds."""

    rounds: int = 5
    seconds: float = 0.4


QUICK, FULL = Effort(5, 0.15), Effort(5, 0.4)

Told = Callable[[dict[str, Any], str], None]


def measure(
    workloads: Sequence[Workload],
    rivals: Sequence[Rival],
    effort: Effort,
    report: Report,
    told: Told,
) -> dict[str, Any]:
    """Results of each workload and their context; `told(results, name)` hears of each at once."""
    packages = ["scipy", *(module for rival in rivals for module in rival.needs)]
    results = {
        "format": FORMAT,
        "context": context(packages),
        "effort": dataclasses.asdict(effort),
        "skipped": dict(programs.skipped(rivals)),
        "workloads": {},
        "studies": {},
    }
    for workload in workloads:
        begin = time.perf_counter()
        result = _measured(workload, rivals, effort, report)
        result["took"] = time.perf_counter() - begin
        results["workloads"][workload.name] = result
        told(results, workload.name)
    return results


def _measured(
    workload: Workload, rivals: Sequence[Rival], effort: Effort, report: Report
) -> dict[str, Any]:
    task = workload.make(rivals)
    result: dict[str, Any] = {
        "title": workload.title,
        "unit": workload.unit,
        "definition": dict(task.definition),
        "targets": dict(workload.targets),
        "valid": True,
    }
    try:
        errors = task.check()
    except Wrong as error:
        return {**result, "valid": False, "why": str(error)}
    runs = {name: side.run for name, side in task.sides.items()}
    timings = interleaved(
        runs, rounds=effort.rounds, seconds=effort.seconds, steps=task.steps, report=report
    )
    sides = {
        name: _side(side, timings[name], task, errors.get(name))
        for name, side in task.sides.items()
    }
    ours = sides[OURS]["rate"]
    ratios = {name: ours / side["rate"] for name, side in sides.items() if name != OURS}
    return {**result, "sides": sides, "ratios": ratios}


def _side(side: Side, timing: Timing, task: Task, error: float | None) -> dict[str, Any]:
    work = task.updates * side.share * timing.steps
    rates = sorted(work / seconds for seconds in timing.seconds)
    return {
        "rate": work / timing.median,
        "spread": [rates[0], rates[-1]],
        "nanoseconds": 1e9 * timing.median / work,
        "steps": timing.steps,
        "cores": side.cores,
        "devices": side.devices,
        "rate_per_core": work / timing.median / max(side.cores, 1),
        "precision": side.precision,
        "error": error,
        "detail": side.detail,
    }


def effort(rounds: int | None, seconds: float | None, usual: Effort) -> Effort:
    """The usual effort but for what is given.

    **Raises:** `ValueError` for no rounds, or calls that take no time.
    """
    if rounds is not None and rounds < 1:
        raise fault(f"{rounds} rounds", "1 or more", "leave it out")
    if seconds is not None and not seconds > 0:
        raise fault(f"calls of {seconds:g} seconds", "more than 0", "leave it out")
    return Effort(rounds or usual.rounds, seconds or usual.seconds)


def invalid(results: Mapping[str, Any]) -> list[str]:
    """The workloads that failed their check, each with the reason."""
    found = results["workloads"].items()
    return [f"{name}: {one['why']}" for name, one in found if not one["valid"]]


def missed(results: Mapping[str, Any]) -> list[str]:
    """The ratios that were asked for and not reached."""
    return [
        f"{name}: {one['ratios'][rival]:.2f} × {rival}, asked {asked:g}"
        for name, one in results["workloads"].items()
        if one["valid"]
        for rival, asked in one["targets"].items()
        if rival in one["ratios"] and one["ratios"][rival] < asked
    ]


def save(results: Mapping[str, Any], path: Path) -> None:
    """As JSON; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2, default=_plain) + "\n")


def load(path: Path) -> dict[str, Any]:
    """What `save` wrote.

    **Raises:** `ValueError` for another file.
    """
    try:
        results = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        wanted = "a file written by tauax bench"
        raise fault(f"{path}, which is not JSON ({error})", wanted, "measure again") from None
    known = isinstance(results, dict) and {"context", "workloads"} <= results.keys()
    if not known or results.get("format") != FORMAT:
        raise fault(
            f"{path}, which is not a result of this version",
            "a file written by tauax bench",
            "measure again",
        )
    return results


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def default_path(folder: Path, context: Mapping[str, Any]) -> Path:
    """Named after the time and the device."""
    when = context["time"][:19].replace("-", "").replace(":", "").replace("T", "-")
    return folder / f"{when}-{context['device']['platform']}.json"


def check_path(path: Path) -> None:
    """Raise now, before hours of work, if the file cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a"):
        pass
    if not path.stat().st_size:
        path.unlink()
