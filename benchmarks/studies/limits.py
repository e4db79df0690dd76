"""What the machine could do: its arithmetic, its memory, and how near the workloads come.

Arithmetic is counted per oscillator-step as the instructions of the loops on one vector lane: 25
for the mean field without noise, 75 more for half a block of Threefry and Box–Muller (95 where a
rotation takes three, as with AVX2); memory as the bytes that a step has to move if nothing stays in
a cache, 8 per oscillator. The products of a dense network are counted as 4·N operations per
oscillator-step.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.studies.children import in_process
from benchmarks.studies.verdict import verdict
from tauax import doctor

DENSE_TARGET = 0.6
ROUNDS = 7


def measure() -> dict:
    """Rates of the machine, and the share of them that dense networks and mean fields reach."""
    cores = doctor.cores()
    gemm, copy = sgemm(), triad()
    dense = in_process("limits.dense()", cores)
    results = {
        "sgemm_gflops": gemm,
        "triad_gbytes": copy,
        "dense_gflops": dense,
        "dense_of_sgemm": dense / gemm,
    }
    for name, value in results.items():
        asked = verdict(value, DENSE_TARGET if name == "dense_of_sgemm" else None)
        print(f"{name}: {value:.3g}{asked}", flush=True)
    return results


def sgemm(rows: int = 64, size: int = 1_000) -> float:
    """10⁹ operations per second of numpy's product `[64, 1000] @ [1000, 1000]`, all its threads."""
    random = np.random.default_rng(0)
    left, right = (random.random(shape, np.float32) for shape in ((rows, size), (size, size)))
    out = np.empty((rows, size), np.float32)
    return 2e-9 * rows * size * size / _best(lambda: np.matmul(left, right, out=out), 50)


def triad(length: int = 2**24) -> float:
    """10⁹ bytes per second of a + b into c (STREAM's Add), beyond caches, a thread per core."""
    cores = doctor.cores()
    parts = [[np.ones(length // cores, np.float32) for _ in range(3)] for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        seconds = _best(lambda: list(pool.map(lambda abc: np.add(*abc[:2], out=abc[2]), parts)), 5)
    return 12e-9 * length / seconds


def dense() -> float:
    """10⁹ operations per second in the products of the workload `dense`."""
    from tauax.bench.rivals import OURS, tauax
    from tauax.bench.workloads import dense_problem

    problem = dense_problem()
    run = tauax(problem)[OURS].run
    run(200)
    return 4e-9 * problem.size * problem.updates * 200 / _best(lambda: run(200), 1)


def _best(call, calls: int) -> float:
    """Seconds of a call, the best of some rounds: what the machine can do."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        seconds.append((time.perf_counter() - start) / calls)
    return min(seconds)
