"""jaxkuramoto: its model, its `odeint` and its Euler under `jit` and `vmap` over members."""

from functools import cache
from importlib.metadata import version

import numpy as np

from tauax import doctor
from tauax.bench.problem import Problem, Side

NAME = "jaxkuramoto"
NEEDS = ("jaxkuramoto",)


def make(problem: Problem) -> Side | None:
    """The noiseless mean field by Euler; None for the rest. Each number of steps is compiled."""
    if problem.weights is not None or problem.noise or problem.method != "euler":
        return None
    import jax
    import jax.numpy as jnp
    from jaxkuramoto import Kuramoto, odeint
    from jaxkuramoto.solver import euler

    model = Kuramoto(jnp.asarray(problem.frequency), problem.strength)
    phase = jnp.asarray(problem.phase)

    @cache
    def program(steps: int):
        end = (steps + 0.5) * problem.dt  # it rounds the number of steps down

        def member(one):
            return odeint(model.vector_fn, euler, 0.0, end, problem.dt, one).final_state

        return jax.jit(jax.vmap(member))

    def run(steps: int) -> np.ndarray:
        return np.asarray(program(steps)(phase))

    return Side(run, doctor.cores(), detail=f"jaxkuramoto {version('jaxkuramoto')}, vmap")
