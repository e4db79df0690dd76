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
    if weights is None:
        kernel, arrays, way = numba_kernels.mean_field, (), "parallel"
    elif full(weights):
        columns = np.ascontiguousarray(weights.T, np.float32)
        kernel, arrays, way = numba_kernels.full, (columns,), "np.dot"
    else:
        rows = numba_kernels.compressed(np.ascontiguousarray(weights, np.float32))
        kernel, arrays, way = numba_kernels.network, rows, "parallel, CSR"

    def run(steps: int) -> np.ndarray:
        phase = problem.phase.copy()
        kernel(phase, frequency, *arrays, *numbers, steps)
        return phase

    used = cores if way == "np.dot" else min(cores, problem.members)
    return Side(run, used, detail=f"numba {numba.__version__}, {way}, fastmath")


def full(weights: np.ndarray) -> bool:
    """Whether a product of matrices is faster than a walk along the links."""
    return np.count_nonzero(weights) > 0.2 * weights.size
