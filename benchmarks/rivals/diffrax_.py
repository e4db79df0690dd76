"""diffrax: `jit(vmap(diffeqsolve))` with its constant steps, and its cheapest Brownian path.

Time is counted in steps, which float32 counts exactly, so that rounding adds none at the end; the
number of steps is an argument, so that one program serves all of them.
"""

import numpy as np

from tauax import doctor
from tauax.bench.problem import Problem, Side

NAME = "diffrax"
NEEDS = ("diffrax", "lineax")
SOLVERS = {"euler": "Euler", "heun": "Heun", "sra1": "SRA1"}


def make(problem: Problem) -> Side | None:
    """Euler, Heun and SRA1, mean field and networks; None for noise that is not Gaussian.

    Its SRA1 takes stochastic equations only: None without noise.
    """
    if problem.noise not in (None, "normal") or (problem.method, problem.noise) == ("sra1", None):
        return None
    import diffrax
    import jax
    import jax.numpy as jnp

    terms, solver = _terms(problem), getattr(diffrax, SOLVERS[problem.method])()

    def member(phase, key, steps):
        found = diffrax.diffeqsolve(
            terms(key),
            solver,
            t0=0.0,
            t1=steps,
            dt0=1.0,
            y0=phase,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.ConstantStepSize(),
            adjoint=diffrax.ForwardMode(),
            max_steps=None,
            throw=False,
        )
        return found.ys[0]

    program = jax.jit(jax.vmap(member, in_axes=(0, 0, None)))
    phase = jnp.asarray(problem.phase)
    keys = jax.random.split(jax.random.key(0), problem.members)

    def run(steps: int) -> np.ndarray:
        return np.asarray(program(phase, keys, jnp.float32(steps)))

    detail = f"diffrax {diffrax.__version__}, vmap, UnsafeBrownianPath"
    return Side(run, doctor.cores(), detail=detail)


def _terms(problem: Problem):
    """Of one member, per step: the drift by dt, the noise by √dt."""
    import diffrax
    import jax
    import jax.numpy as jnp
    import lineax

    frequency = jnp.asarray(problem.frequency)
    weights = None if problem.weights is None else jnp.asarray(problem.weights, jnp.float32)

    def drift(_time, phase, _args):
        sin, cos = jnp.sin(phase), jnp.cos(phase)
        if weights is None:
            field_sin, field_cos = sin.mean(), cos.mean()
        else:
            field_sin, field_cos = weights @ sin, weights @ cos
        torque = field_sin * cos - field_cos * sin
        return problem.dt * (frequency + problem.strength * torque)

    def kick(_time, _phase, _args):
        return lineax.DiagonalLinearOperator(jnp.full(problem.size, problem.kick, jnp.float32))

    def terms(key):
        if problem.noise is None:
            return diffrax.ODETerm(drift)
        area = diffrax.SpaceTimeLevyArea if problem.method == "sra1" else diffrax.BrownianIncrement
        shape = jax.ShapeDtypeStruct((problem.size,), jnp.float32)
        path = diffrax.UnsafeBrownianPath(shape, key, levy_area=area)
        return diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(kick, path))

    return terms
