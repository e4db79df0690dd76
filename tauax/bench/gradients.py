"""Derivatives of a noisy run: by each adjoint, and by the JAX program that one writes first."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tauax.adjoints import AbstractAdjoint, FullTape, Segments, Sweep
from tauax.bench.checks import Wrong
from tauax.bench.problem import Problem, Side
from tauax.bench.rivals import OURS, Rival, cpu_cores
from tauax.bench.workload import Task
from tauax.couplings import MeanField
from tauax.ensemble import init, simulate
from tauax.monitors import Moments
from tauax.noise import WhiteNoise
from tauax.readouts import coherence
from tauax.systems import PhaseOscillators

STEPS, SEGMENT = 1_024, 32
PROBLEM = Problem(256, 64, "normal")
# The obvious programs have other noise: 64 members have their means to some hundredths.
NEAR, SAME_NOISE = 0.3, 1e-3

Loss = Callable[[tuple[jax.Array, jax.Array]], jax.Array]


def gradients(rivals: Sequence[Rival]) -> Task:
    """The derivative of the mean order parameter by the strength and all frequencies."""
    with_gradient = {
        OURS: _ours(Segments()),
        "tauax_sweep": _ours(Sweep()),
        "tauax_full_tape": _ours(FullTape()),
        "obvious_jax": _obvious(checkpointed=False),
        "obvious_jax_checkpointed": _obvious(checkpointed=True),
    }
    programs = {name: jax.jit(jax.value_and_grad(loss)) for name, loss in with_gradient.items()}
    programs["tauax_forward"] = jax.jit(_ours(Segments()))
    sides = {name: Side(partial(_run, program), cpu_cores()) for name, program in programs.items()}
    definition = {"size": PROBLEM.size, "members": PROBLEM.members, "steps": STEPS}
    check = partial(_check, sides)
    return Task(sides, PROBLEM.updates, check, definition, steps=STEPS)


def _numbers() -> tuple[jax.Array, jax.Array]:
    return jnp.float32(PROBLEM.strength), jnp.asarray(PROBLEM.frequency)


def _run(program, steps: int) -> np.ndarray:
    """Value and derivatives in a row; the number of steps is that of the workload."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(program(_numbers()))])


def _ours(adjoint: AbstractAdjoint) -> Loss:
    def loss(numbers) -> jax.Array:
        strength, frequency = numbers
        model = PhaseOscillators(frequency, MeanField(strength), WhiteNoise(PROBLEM.intensity))
        key = jax.random.key(0)
        state = init(model, key=key, members=PROBLEM.members, phase=PROBLEM.phase)
        monitors = {"r": Moments(coherence)}
        run = simulate(
            model,
            state,
            dt=PROBLEM.dt,
            steps=STEPS,
            monitors=monitors,
            adjoint=adjoint,
            throw=False,
        )
        return run.monitors["r"].mean.mean()

    return loss


def _obvious(checkpointed: bool) -> Loss:
    """lax.scan, jnp.sin, jnp.cos, jax.random.normal; with `jax.checkpoint` around every segment."""

    def step(numbers, carry):
        strength, frequency = numbers
        phase, key = carry
        sin, cos = jnp.sin(phase), jnp.cos(phase)
        mean_sin, mean_cos = (x.mean(axis=-1, keepdims=True) for x in (sin, cos))
        level = jnp.sqrt(mean_sin**2 + mean_cos**2).mean()
        drift = frequency + strength * (mean_sin * cos - mean_cos * sin)
        key, now = jax.random.split(key)
        kick = PROBLEM.kick * jax.random.normal(now, phase.shape)
        return (phase + PROBLEM.dt * drift + kick, key), level

    def loss(numbers) -> jax.Array:
        start = jnp.asarray(PROBLEM.phase), jax.random.key(0)

        def body(carry, _):
            return step(numbers, carry)

        if not checkpointed:
            return jax.lax.scan(body, start, None, length=STEPS)[1].mean()

        @partial(jax.checkpoint, prevent_cse=False)
        def segment(carry, _):
            return jax.lax.scan(body, carry, None, length=SEGMENT)

        return jax.lax.scan(segment, start, None, length=STEPS // SEGMENT)[1].mean()

    return loss


def _check(sides) -> dict[str, float]:
    """The value and its derivative by the strength, against those of the full tape."""
    found = {name: side.run(STEPS)[:2] for name, side in sides.items()}
    apart = {}
    for name, end in found.items():
        count = 1 if name == "tauax_forward" else 2
        error = float(np.abs(end[:count] - found["tauax_full_tape"][:count]).max())
        if not error < (NEAR if "obvious" in name else SAME_NOISE):
            raise Wrong(f"{name} is {error:.1e} from the full tape")
        apart[name] = error
    return apart
