"""Whether programs compute the same thing, asked before they are timed."""

from collections.abc import Mapping

import numpy as np

from tauax.bench.problem import Problem, Side

STEPS = 20
NEAR = 1e-3  # float32 programs are some 1e-5 apart after 20 steps, other models 1e-1
# Variance and kurtosis of the noise scatter by 1 and 4 % in 2·10⁴ samples; the workloads have more.
SPREAD, TAIL = 0.08, 0.35
FAINT = 1e-10  # rad²/s: 10⁻⁵ rad in so many steps
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


def checked(
    problem: Problem, sides: Mapping[str, Side], faint: Mapping[str, Side]
) -> dict[str, float]:
    """How far each program is from the reference, in radians at worst; its noise by its law.

    `faint` are the same programs for the same problem with hardly any noise (`FAINT`), as drift
    and method cannot be told from paths with noise of their own.

    **Raises:** `Wrong` for one that computes something else.
    """
    quiet = reference(problem)
    errors = {name: _checked_end(name, side, quiet) for name, side in faint.items()}
    if problem.noise:
        starts = {1: reference(problem, 1), STEPS: quiet}
        for name, side in sides.items():
            _check_noise(problem, name, side, starts)
    return errors


def _checked_end(name: str, side: Side, quiet: np.ndarray) -> float:
    apart = distance(_end(name, side, STEPS, quiet), quiet)
    if not apart <= NEAR:
        raise Wrong(f"{name} ends {apart:.1e} rad from the reference in float64")
    return apart


def _end(name: str, side: Side, steps: int, quiet: np.ndarray) -> np.ndarray:
    end = np.asarray(side.run(steps), np.float64)
    if end.shape != quiet.shape:
        raise Wrong(f"{name} returns an array of shape {end.shape}")
    return end


def _check_noise(problem: Problem, name: str, side: Side, starts: Mapping[int, np.ndarray]) -> None:
    """The variance of the increments and of their sum, and the law of one."""
    moved = {
        steps: np.angle(np.exp(1j * (_end(name, side, steps, start) - start)))
        / (problem.kick * np.sqrt(steps))
        for steps, start in starts.items()
    }
    for sample in moved.values():
        # The noise of so few steps is hardly coupled: the variance of its sum is 2D·n·dt.
        if not abs(sample.var() - 1.0) <= SPREAD:
            raise Wrong(f"{name} has {sample.var():.2f} of the noise that was asked for")
    one = moved[1]
    tail, expected = float((one**4).mean() / one.var() ** 2), _KURTOSIS[problem.noise]
    if not abs(tail - expected) <= TAIL:
        raise Wrong(f"the noise of {name} has a kurtosis of {tail:.2f}, not {expected:g}")
    _check_independent(name, one)


def _check_independent(name: str, one: np.ndarray) -> None:
    """Means over members, and over oscillators, must scatter as those of independent numbers do."""
    for axis, sharers in enumerate(("members", "oscillators")):
        means = one.mean(axis=axis)
        # χ²/k of k means; ten standard errors.
        most = 1.0 + 10.0 * np.sqrt(2.0 / means.size)
        if one.shape[axis] * (means**2).mean() > most:
            raise Wrong(f"{name} gives {sharers} the same noise, or one with a mean")


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
