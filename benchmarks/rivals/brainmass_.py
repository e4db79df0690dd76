"""brainmass: its Kuramoto network of all pairs, members as its batch, a loop of brainstate.

Its exponential Euler is Euler for this equation, which has no linear part. Its unit of time is
a millisecond, here a second.
"""

from importlib.metadata import version

import numpy as np

from tauax import doctor
from tauax.bench.problem import Problem, Side

NAME = "brainmass"
NEEDS = ("brainmass", "brainstate", "brainunit")
LARGEST = 1_000_000  # pairs of all members, of which it makes arrays


def make(problem: Problem) -> Side | None:
    """The noiseless mean field by Euler, of few pairs; None for the rest."""
    if problem.weights is not None or problem.noise or problem.method != "euler":
        return None
    if problem.updates * problem.size > LARGEST:
        return None
    import brainmass
    import brainstate
    import brainunit
    import jax.numpy as jnp

    phase, frequency = jnp.asarray(problem.phase), jnp.asarray(problem.frequency)
    model = brainmass.KuramotoNetwork(problem.size, omega=frequency, K=problem.strength)
    brainstate.nn.init_all_states(model, batch_size=problem.members)

    def step(_index) -> None:
        model.update()

    @brainstate.transform.jit(static_argnums=0)
    def program(steps: int):
        model.theta.value = phase
        brainstate.transform.for_loop(step, jnp.arange(steps))
        return model.theta.value

    def run(steps: int) -> np.ndarray:
        with brainstate.environ.context(dt=problem.dt * brainunit.ms):
            return np.asarray(program(steps))

    return Side(run, doctor.cores(), detail=f"brainmass {version('brainmass')}, batch")
