"""Whether programs compute the same thing, asked before they are timed."""

from collections.abc import Mapping

import numpy as np

from tauax.bench.problem import Problem, Side

STEPS = 20
NEAR = 1e-3  # float32 programs are some 1e-5 apart after 20 steps, other models 1e-1
# Each samples' variance and fourth moment are within some 1 % for the 2·10⁴ samples of the smallest
# workload; a wrong dt, D or law is off by more.
SPREAD, TAIL = 0.08, 0.35


class Wrong(Exception):
    """A program does not compute what the others do."""


def distance(end: np.ndarray, other: np.ndarray) -> float:
    """The largest distance on the circle, NaN if a phase is not finite."""
    apart = np.asarray(end, np.float64) - np.asarray(other, np.float64)
    return float(np.abs(np.angle(np.exp(1j * apart))).max())


def reference(problem: Problem) -> np.ndarray:
    """Where the noiseless problem is after `STEPS` steps, by numpy in float64."""
    phase, dt = problem.phase.astype(np.float64), problem.dt
    weights = None if problem.weights is None else problem.weights.astype(np.float64)

    def drift(phase: np.ndarray) -> np.ndarray:
        sin, cos = np.sin(phase), np.cos(phase)
        if weights is None:
            fields = (x.mean(axis=-1, keepdims=True) for x in (sin, cos))
        else:
            fields = (x @ weights.T for x in (sin, cos))
        field_sin, field_cos = fields
        return problem.frequency + problem.strength * (field_sin * cos - field_cos * sin)

    for _ in range(STEPS):
        first = drift(phase)
        if problem.method == "euler":
            phase = phase + dt * first
        elif problem.method == "heun":
            phase = phase + 0.5 * dt * (first + drift(phase + dt * first))
        else:
            phase = phase + dt / 3.0 * (first + 2.0 * drift(phase + 0.75 * dt * first))
    return phase


def checked(problem: Problem, sides: Mapping[str, Side]) -> dict[str, float]:
    """How far each program is from the reference, in radians or in the variance of the noise.

    **Raises:** `Wrong` for one that is too far.
    """
    quiet = reference(problem)
    return {name: _checked(problem, name, side, quiet) for name, side in sides.items()}


def _checked(problem: Problem, name: str, side: Side, quiet: np.ndarray) -> float:
    end = np.asarray(side.run(STEPS), np.float64)
    if end.shape != quiet.shape:
        raise Wrong(f"{name} returns an array of shape {end.shape}")
    if not problem.noise:
        apart = distance(end, quiet)
        if not apart <= NEAR:
            raise Wrong(f"{name} ends {apart:.1e} rad from the reference in float64")
        return apart
    # The noise of so few steps is hardly coupled: its sum is normal, with a variance of 2D·n·dt.
    moved = np.angle(np.exp(1j * (end - quiet))) / (problem.kick * np.sqrt(STEPS))
    variance, tail = float(moved.var()), float((moved**4).mean() / moved.var() ** 2)
    expected = 3.0 if problem.noise == "normal" else 3.0 - 2.0 / STEPS
    if not abs(variance - 1.0) <= SPREAD:
        raise Wrong(f"{name} has {variance:.2f} of the noise that was asked for")
    if not abs(tail - expected) <= TAIL:
        raise Wrong(f"the noise of {name} has a kurtosis of {tail:.2f}, not {expected:.2f}")
    if moved.shape[0] > 1 and abs(np.corrcoef(moved[0], moved[1])[0, 1]) > 0.99:
        raise Wrong(f"{name} gives two members the same noise")
    return abs(variance - 1.0)


def agreed(ends: Mapping[str, np.ndarray], first: str, near: float) -> dict[str, float]:
    """How far each result is from that of the program named `first`, in the largest difference.

    **Raises:** `Wrong` for one that is too far.
    """
    found = {}
    for name, end in ends.items():
        found[name] = float(np.abs(np.asarray(end, float) - np.asarray(ends[first], float)).max())
        if not found[name] <= near:
            raise Wrong(f"{name} is {found[name]:.1e} from {first}")
    return found
