"""numba by hand: polynomials for sines and logarithms, a generator of its own, blocks in the cache.

What one can do in numba who writes every function anew, as in C++; `numba` is what its users write.
"""

import numpy as np

from benchmarks.rivals.numba_ import full
from tauax import doctor
from tauax.bench.problem import Problem, Side

NAME = "numba_by_hand"
NEEDS = ("numba",)
LAWS = {None: 0, "normal": 1, "two_point": 2}
NETWORK_BLOCK, BLOCK = 128, 16_384  # members, members × oscillators that go side by side


def make(problem: Problem) -> Side | None:
    """Euler and Heun, mean field and sparse networks; None for the rest.

    A full network is products of matrices, in which nothing is gained by hand.
    """
    if problem.method not in ("euler", "heun") or problem.noise not in LAWS:
        return None
    if problem.weights is not None and full(problem.weights):
        return None
    import numba

    from benchmarks.rivals import numba_by_hand_kernels

    cores, network = doctor.cores(), problem.weights is not None
    numba.set_num_threads(min(cores, numba.config.NUMBA_NUM_THREADS))
    block = NETWORK_BLOCK if network else min(256, max(16, BLOCK // problem.size))
    turn = (problem.frequency * problem.dt).astype(np.float32)
    pull = np.float32(problem.strength * problem.dt / problem.size)
    arguments = (turn, pull, *_rows(problem), np.float32(problem.kick), LAWS[problem.noise])

    def run(steps: int) -> np.ndarray:
        phase = problem.phase.copy()
        numba_by_hand_kernels.blocks(phase, *arguments, problem.method == "heun", steps, block)
        return phase

    layout = f"{'CSR, ' if network else ''}blocks of {block} members"
    return Side(run, min(cores, problem.members), detail=f"numba {numba.__version__}, {layout}")


def _rows(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K·dt·w as starts, columns and values of CSR; empty for the mean field."""
    weights = np.empty((0, 0)) if problem.weights is None else np.asarray(problem.weights)
    rows, columns = np.nonzero(weights)
    starts = np.searchsorted(rows, np.arange(len(weights) + 1))
    values = weights[rows, columns] * problem.strength * problem.dt
    return starts, np.ascontiguousarray(columns), values.astype(np.float32)
