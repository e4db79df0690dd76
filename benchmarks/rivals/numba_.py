"""numba as its users write it: parallel over members, float32, np.sin, np.cos, np.random."""

import numpy as np

from tauax import doctor
from tauax.bench.problem import Problem, Side

NAME = "numba"
NEEDS = ("numba",)


def make(problem: Problem) -> Side | None:
    """Euler with Gaussian noise or none, mean field and networks; None for the rest."""
    if problem.method != "euler" or problem.noise not in (None, "normal"):
        return None
    import numba

    from benchmarks.rivals import numba_kernels

    cores = doctor.cores()
    numba.set_num_threads(min(cores, numba.config.NUMBA_NUM_THREADS))
    frequency = problem.frequency.astype(np.float32)
    numbers = [np.float32(x) for x in (problem.strength, problem.dt, problem.kick)]
    weights = problem.weights
    network = None if weights is None else np.ascontiguousarray(weights, np.float32)

    def run(steps: int) -> np.ndarray:
        phase = problem.phase.copy()
        if network is None:
            numba_kernels.mean_field(phase, frequency, *numbers, steps)
        else:
            numba_kernels.network(phase, frequency, *rows, *numbers, steps)
        return phase

    rows = () if network is None else numba_kernels.compressed(network)
    return Side(run, cores, detail=f"numba {numba.__version__}, parallel, fastmath")
