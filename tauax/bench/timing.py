"""How programs are timed against each other: compiled first, in interleaved rounds, by medians."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tauax.bench.problem import Run

PROBE, LONGEST = 20, 2_000_000

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Timing:
    """How long a program takes.

    **Attributes:** `steps` of a call; `seconds` of each call; `first`, how much longer the first
    call took, which compiles.
    """

    steps: int
    seconds: tuple[float, ...]
    first: float

    @property
    def median(self) -> float:
        """Seconds of a call."""
        return float(np.median(self.seconds))


def interleaved(
    runs: Mapping[str, Run], *, rounds: int, seconds: float, steps: int | None, report: Report
) -> dict[str, Timing]:
    """Every program once in each round; a call takes about `seconds`, or makes `steps` steps."""
    counts, firsts = {}, {}
    for done, (name, run) in enumerate(runs.items()):
        report("compile", done, len(runs))
        counts[name] = steps or steps_for(run, seconds)
        firsts[name] = timed(run, counts[name])
    report("compile", len(runs), len(runs))
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for done in range(rounds):
        for name, run in runs.items():
            taken[name].append(timed(run, counts[name]))
        report("time", done + 1, rounds)
    return {
        name: Timing(counts[name], tuple(taken[name]), firsts[name] - float(np.median(taken[name])))
        for name in runs
    }


def steps_for(run: Run, seconds: float) -> int:
    """How many steps take about so long, from a probe of a few: each new number may compile."""
    run(PROBE)
    taken = min(timed(run, PROBE) for _ in range(3))
    wanted = min(max(PROBE, seconds / taken * PROBE), LONGEST)
    magnitude = 10 ** int(np.log10(wanted))
    return int(wanted // magnitude * magnitude)


def timed(run: Run, steps: int) -> float:
    """The seconds of one call."""
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start
