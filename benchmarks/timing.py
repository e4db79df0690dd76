"""How programs are timed against each other: warmed up, in interleaved rounds, by medians."""

import time
from collections.abc import Callable, Mapping

import numpy as np

# A program advances all members by so many steps and returns the phases [member, oscillator].
Program = Callable[[int], np.ndarray]


def interleaved(
    programs: Mapping[str, Program], rounds: int = 7, seconds: float = 0.4
) -> dict[str, list[float]]:
    """Seconds per step of each program, once for every round; a call takes about `seconds`."""
    steps = {name: steps_for(program, seconds) for name, program in programs.items()}
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            taken[name].append(timed(program, steps[name]) / steps[name])
    return taken


def steps_for(program: Program, seconds: float) -> int:
    """A multiple of 10 steps that takes about so long, compiled."""
    steps = 10
    while (taken := timed(program, steps, warm=True)) < seconds and steps < 20_000:
        steps = 10 * max(steps // 5, min(steps, int(steps * seconds / taken) // 10 + 1))
    return steps


def timed(program: Program, steps: int, warm: bool = False) -> float:
    """The seconds of one call."""
    if warm:
        program(steps)
    start = time.perf_counter()
    program(steps)
    return time.perf_counter() - start


def verdict(figure: float, target: float | None, at_most: bool = False) -> str:
    """What to print behind a figure for which something was asked."""
    if target is None:
        return ""
    reached = figure <= target if at_most else figure >= target
    bound = "at most " if at_most else ""
    return f", asked {bound}{target:g}: {'reached' if reached else 'NOT reached'}"
