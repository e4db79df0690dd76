"""kuramoto: a class for one noiseless network at a time, integrated by scipy's LSODA.

It chooses its own steps inside of each dt, of which it records the end, in float64.
"""

from importlib.metadata import version

import numpy as np

from tauax.bench.problem import Problem, Side

NAME = "kuramoto"
NEEDS = ("kuramoto",)
LARGEST = 5_000  # oscillators of all members: it sums over pairs, a member at a time


def make(problem: Problem) -> Side | None:
    """The noiseless mean field of few oscillators, whatever the method; None for the rest."""
    if problem.weights is not None or problem.noise or problem.updates > LARGEST:
        return None
    from kuramoto import Kuramoto

    links = np.ones((problem.size, problem.size))

    def run(steps: int) -> np.ndarray:
        model = Kuramoto(
            coupling=problem.strength,
            dt=problem.dt * steps / max(steps, 2),  # it wants two records
            T=problem.dt * steps,
            natfreqs=problem.frequency,
        )
        ends = [model.run(links, angles_vec=phase)[:, -1] for phase in problem.phase]
        return np.asarray(ends, np.float32)

    detail = f"kuramoto {version('kuramoto')}, LSODA, a member at a time"
    return Side(run, 1, precision="float64", detail=detail)
