"""Whether programs compute the same thing, asked before they are timed."""

from collections.abc import Mapping

import numpy as np

from tauax.bench.problem import Problem, Side

STEPS = 20
NEAR = 1e-3  # float32 programs are some 1e-5 apart after 20 steps, other models 1e-1
# Variance and kurtosis of the noise scatter by 1 and 4 % in 2·10⁴ samples; the workloads have more.
SPREAD, TAIL, SAME = 0.08, 0.35, 0.99
_KURTOSIS: Mapping[str | None, float] = {"normal": 3.0, "two_point": 1.0, "three_point": 3.0}


class Wrong(Exception):
    """A program does not compute what the others do."""


def distance(end: np.ndarray, other: np.ndarray) -> float:
    """The largest distance on the circle, NaN if a phase is not finite."""
    apart = np.asarray(end, np.float64) - np.asarray(other, np.float64)
    return float(np.abs(np.angle(np.exp(1j * apart))).max())


def reference(problem: Problem, steps: int = STEPS) -> np.ndarray:
    """Where the noiseless problem is after so many steps, by numpy in float64."""
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

    for _ in range(steps):
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
    quiet = {
        steps: reference(problem, steps) for steps in ((1, STEPS) if problem.noise else (STEPS,))
    }
    check = _checked_noise if problem.noise else _checked_end
    return {name: check(problem, name, side, quiet) for name, side in sides.items()}


def _checked_end(problem: Problem, name: str, side: Side, quiet: Mapping[int, np.ndarray]) -> float:
    end = _end(name, side, STEPS, quiet[STEPS])
    apart = distance(end, quiet[STEPS])
    if not apart <= NEAR:
        raise Wrong(f"{name} ends {apart:.1e} rad from the reference in float64")
    return apart


def _end(name: str, side: Side, steps: int, quiet: np.ndarray) -> np.ndarray:
    end = np.asarray(side.run(steps), np.float64)
    if end.shape != quiet.shape:
        raise Wrong(f"{name} returns an array of shape {end.shape}")
    return end


def _checked_noise(
    problem: Problem, name: str, side: Side, quiet: Mapping[int, np.ndarray]
) -> float:
    """The law of one increment, and the variance of the sum of some, in other members others."""
    moved = {
        steps: np.angle(np.exp(1j * (_end(name, side, steps, start) - start)))
        / (problem.kick * np.sqrt(steps))
        for steps, start in quiet.items()
    }
    one, several = moved[1], moved[STEPS]
    tail, expected = float((one**4).mean() / one.var() ** 2), _KURTOSIS[problem.noise]
    variances = [float(sample.var()) for sample in (one, several)]
    for variance in variances:
        # The noise of so few steps is hardly coupled: the variance of its sum is 2D·n·dt.
        if not abs(variance - 1.0) <= SPREAD:
            raise Wrong(f"{name} has {variance:.2f} of the noise that was asked for")
    if not abs(tail - expected) <= TAIL:
        raise Wrong(f"the noise of {name} has a kurtosis of {tail:.2f}, not {expected:g}")
    if len(several) > 1 and abs(np.corrcoef(several[0], several[1])[0, 1]) > SAME:
        raise Wrong(f"{name} gives two members the same noise")
    return max(abs(variance - 1.0) for variance in variances)


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
