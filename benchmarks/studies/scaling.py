"""How the time of a run grows with oscillators, members, steps and devices, in log–log slopes.

The mean field, Euler, float32; 1 is proportional. Along N the work is kept: members = 2²⁰/N.
"""

import math
from collections.abc import Mapping

import numpy as np

from benchmarks.studies.children import in_process
from tauax import doctor

ROUNDS = 5
WORK = 2**20
SIZES = tuple(4**k for k in range(1, 11))
MEMBERS = tuple(4**k for k in range(7))
STEPS = tuple(10**k for k in range(1, 6))
LARGE = 1_000  # from here on the time of an oscillator-step should not depend on N


def measure() -> dict:
    """Nanoseconds per oscillator-step, and slopes of seconds."""
    cores = doctor.cores()
    results = {
        name: {
            "noiseless": in_process(f"scaling.along_{name}(False)", cores),
            "gaussian": in_process(f"scaling.along_{name}(True)", cores),
        }
        for name in ("size", "members", "steps")
    }
    results["devices"] = {
        law: {
            str(count): in_process(f"scaling.rate(256, 1024, 400, {law == 'gaussian'})", count)
            for count in range(1, cores + 1)
        }
        for law in ("noiseless", "gaussian")
    }
    for name, laws in results.items():
        for law, found in laws.items():
            print(f"{name} {law}: {_summary(name, found)}", flush=True)
    return results


def _summary(name: str, found: dict[str, float]) -> str:
    """The slope of the time along an axis, where it is long enough not to be overhead."""
    counts = np.asarray([float(count) for count in found])
    nanoseconds = np.asarray(list(found.values()))
    if name == "devices":
        return f"{nanoseconds[0] / nanoseconds[-1]:.2f} × as fast on {int(counts[-1])} devices"
    if name == "size":
        large = nanoseconds[counts >= LARGE]
        return (
            f"{nanoseconds.min():.2f}–{nanoseconds.max():.2f} ns, "
            f"within {large.max() / large.min():.2f} × from N = {LARGE} on"
        )
    return f"slope {slope(counts, nanoseconds):.2f} over the upper half"


def slope(counts: np.ndarray, nanoseconds: np.ndarray) -> float:
    """The exponent with which the time grows, by least squares over the upper half of the axis."""
    upper = slice(len(counts) // 2, None)
    return float(np.polyfit(np.log(counts[upper]), np.log((counts * nanoseconds)[upper]), 1)[0])


def along_size(noisy: bool) -> dict[str, float]:
    """Nanoseconds by the number of oscillators, with as much work in every step."""
    return rates({size: (size, WORK // size, max(4, 2**26 // WORK)) for size in SIZES}, noisy)


def along_members(noisy: bool) -> dict[str, float]:
    """Nanoseconds by the number of members, 256 oscillators."""
    steps = {count: int(np.clip(2**25 // (256 * count), 20, 20_000)) for count in MEMBERS}
    return rates({count: (256, count, steps[count]) for count in MEMBERS}, noisy)


def along_steps(noisy: bool) -> dict[str, float]:
    """Nanoseconds by the number of steps, 64 oscillators and 64 members."""
    return rates({steps: (64, 64, steps) for steps in STEPS}, noisy)


def rate(size: int, members: int, steps: int, noisy: bool) -> float:
    """Nanoseconds per oscillator-step on all devices of this process."""
    return rates({size: (size, members, steps)}, noisy)[str(size)]


def rates(cases: Mapping[int, tuple[int, int, int]], noisy: bool) -> dict[str, float]:
    """Of each case (oscillators, members, steps) the median of rounds in which all take turns."""
    from tauax.bench.problem import Problem
    from tauax.bench.rivals import OURS, tauax
    from tauax.bench.timing import timed

    law, runs = "normal" if noisy else None, {}
    for case, (size, members, steps) in cases.items():
        runs[case] = tauax(Problem(size, members, law))[OURS].run
        runs[case](steps)
    seconds = {case: [] for case in cases}
    for _ in range(ROUNDS):
        for case, (_, _, steps) in cases.items():
            seconds[case].append(timed(runs[case], steps))
    return {
        str(case): 1e9 * float(np.median(seconds[case])) / math.prod(counts)
        for case, counts in cases.items()
    }
