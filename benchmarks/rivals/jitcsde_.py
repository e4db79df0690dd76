"""jitcsde: C from symbols, with adaptive steps of a stochastic Runge–Kutta, a member at a time.

The mean field is two helpers, so that a step is O(N); float64. Its steps are its own: what is timed
is the stretch of time, steps·dt, to its default tolerances.
"""

from contextlib import chdir
from tempfile import TemporaryDirectory

import numpy as np

from tauax.bench.problem import Problem, Side

NAME = "jitcsde"
NEEDS = ("jitcsde", "symengine")
LARGEST = 5_000  # oscillators of all members, which follow one another


def make(problem: Problem) -> Side | None:
    """The mean field with Gaussian noise or none, whatever the method; None for the rest."""
    if problem.weights is not None or problem.noise not in (None, "normal"):
        return None
    if problem.updates > LARGEST:
        return None
    import jitcsde

    program = _program(problem)

    def run(steps: int) -> np.ndarray:
        ends = []
        for member, phase in enumerate(problem.phase.astype(np.float64)):
            program.set_seed(member)  # each start goes back to the seed
            program.set_initial_value(phase, 0.0)
            ends.append(program.integrate(steps * problem.dt))
        return np.asarray(ends, np.float32)

    detail = f"jitcsde {jitcsde.__version__}, adaptive, a member at a time"
    return Side(run, 1, precision="float64", detail=detail)


def _program(problem: Problem):
    import symengine
    from jitcsde import jitcsde, y

    size, pull = problem.size, problem.strength / problem.size
    sin, cos = symengine.symbols("sin_sum cos_sum")
    helpers = [
        (sin, pull * sum(symengine.sin(y(i)) for i in range(size))),
        (cos, pull * sum(symengine.cos(y(i)) for i in range(size))),
    ]
    drift = [
        float(problem.frequency[i]) + sin * symengine.cos(y(i)) - cos * symengine.sin(y(i))
        for i in range(size)
    ]
    deviation = problem.kick / np.sqrt(problem.dt)
    program = jitcsde(
        drift, [deviation] * size, helpers=helpers, n=size, additive=True, verbose=False
    )
    with TemporaryDirectory() as folder, chdir(folder):  # away from a project of setuptools
        program.compile_C(chunk_size=0)  # its chunks do not see the helpers
    return program
