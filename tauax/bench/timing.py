"""How programs are timed against each other: compiled first, in interleaved rounds, by medians."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tauax.bench.problem import Run

PROBE, LONGEST, TRIES = 20, 2_000_000, 7

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Timing:
    """How long a program takes: `seconds` of each call, of so many `steps`."""

    steps: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds of a call."""
        return float(np.median(self.seconds))


def interleaved(
    runs: Mapping[str, Run], *, rounds: int, seconds: float, steps: int | None, report: Report
) -> dict[str, Timing]:
    """Every program once in each round; a call takes about `seconds`, or makes `steps` steps."""
    counts = {}
    for done, (name, run) in enumerate(runs.items()):
        report("compile", done, len(runs))
        counts[name] = steps or steps_for(run, seconds)
        if steps:
            run(steps)
    report("compile", len(runs), len(runs))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for done in range(rounds):
        for name, run in runs.items():
            taken[name].append(timed(run, counts[name]))
        report("time", done + 1, rounds)
    return {name: Timing(counts[name], tuple(taken[name])) for name in runs}


def steps_for(run: Run, seconds: float) -> int:
    """How many steps take about so long; every number that is tried may compile.

    What a call costs however short it is hides what a step costs: a short call says how long to try
    next, not how long to measure.
    """
    steps = PROBE
    while True:
        run(steps)
        wanted = _round(min(steps * seconds / timed(run, steps), LONGEST))
        if wanted <= 2 * steps:
            return steps
        steps = wanted


def _round(number: float) -> int:
    """The digit in front, the others 0."""
    magnitude = 10 ** int(np.log10(max(number, 1.0)))
    return int(number // magnitude * magnitude)


def fastest(runs: Mapping[str, Run], steps: int) -> str:
    """The name of the one whose best call is the shortest; all take turns, as they are timed."""
    best = dict.fromkeys(runs, math.inf)
    for _ in range(TRIES):
        for name, run in runs.items():
            best[name] = min(best[name], timed(run, steps))
    return min(best, key=best.__getitem__)


def timed(run: Run, steps: int) -> float:
    """The seconds of one call."""
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start
