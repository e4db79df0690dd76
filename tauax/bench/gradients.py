"""Derivatives of a noisy run: by each adjoint, and by the JAX program that one writes first."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tauax._compiled import compiler_options
from tauax.adjoints import AbstractAdjoint, FullTape, Segments, Sweep
from tauax.bench.checks import FAINT, Wrong
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
# Relative: adjoints of one run add in another order; other programs round otherwise; with noise of
# their own, mean order parameters of 64 members scatter by some hundredths.
SAME_RUN, SAME_FLOW, OTHER_NOISE = 1e-5, 3e-2, 0.2

Loss = Callable[[tuple[jax.Array, jax.Array]], jax.Array]


def gradients(rivals: Sequence[Rival]) -> Task:
    """The derivative of the mean order parameter by the strength and all frequencies."""
    sides = _sides(PROBLEM)
    faint = _sides(replace(PROBLEM, intensity=FAINT))
    check = partial(_check, sides, faint)
    return Task(sides, PROBLEM.updates, check, PROBLEM.definition | {"steps": STEPS}, steps=STEPS)


def _sides(problem: Problem) -> dict[str, Side]:
    with_gradient = {
        OURS: _ours(problem, Segments()),
        "tauax_sweep": _ours(problem, Sweep()),
        "tauax_full_tape": _ours(problem, FullTape()),
        "obvious_jax": _obvious(problem, checkpointed=False),
        "obvious_jax_checkpointed": _obvious(problem, checkpointed=True),
    }
    forward = {"tauax_forward": _ours(problem, Segments())}
    functions = {name: jax.value_and_grad(loss) for name, loss in with_gradient.items()} | forward
    programs = {
        name: jax.jit(function, compiler_options=_options(name))
        for name, function in functions.items()
    }
    return {name: Side(partial(_run, program), cpu_cores()) for name, program in programs.items()}


def _options(name: str) -> dict[str, int]:
    """Ours as docs/performance.md advises; the obvious program has the default."""
    return compiler_options() if name.startswith(OURS) else {}


def _numbers() -> tuple[jax.Array, jax.Array]:
    return jnp.float32(PROBLEM.strength), jnp.asarray(PROBLEM.frequency)


def _run(program, steps: int) -> np.ndarray:
    """Value and derivatives in a row; the number of steps is that of the workload."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(program(_numbers()))])


def _ours(problem: Problem, adjoint: AbstractAdjoint) -> Loss:
    def loss(numbers) -> jax.Array:
        strength, frequency = numbers
        model = PhaseOscillators(frequency, MeanField(strength), WhiteNoise(problem.intensity))
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


def _obvious(problem: Problem, checkpointed: bool) -> Loss:
    """lax.scan, jnp.sin, jnp.cos, jax.random.normal; with `jax.checkpoint` around every segment."""

    def step(numbers, carry):
        strength, frequency = numbers
        phase, key = carry
        sin, cos = jnp.sin(phase), jnp.cos(phase)
        mean_sin, mean_cos = (x.mean(axis=-1, keepdims=True) for x in (sin, cos))
        level = jnp.sqrt(mean_sin**2 + mean_cos**2).mean()
        drift = frequency + strength * (mean_sin * cos - mean_cos * sin)
        key, now = jax.random.split(key)
        kick = problem.kick * jax.random.normal(now, phase.shape)
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


def _check(sides, faint) -> dict[str, float]:
    """The value and all derivatives against those of the full tape; obvious programs faintly."""
    apart = {}
    tape = {True: _parts(faint["tauax_full_tape"]), False: _parts(sides["tauax_full_tape"])}
    for name, side in sides.items():
        other = "obvious" in name
        errors = _errors(_parts(faint[name] if other else side), tape[other])
        apart[name] = max(errors)
        if not apart[name] <= (SAME_FLOW if other else SAME_RUN):
            raise Wrong(f"{name} is {apart[name]:.1e} of its size from the full tape")
        if other and not _errors(_parts(side), tape[False])[0] <= OTHER_NOISE:
            raise Wrong(f"{name} has another value with noise than the full tape")
    return apart


def _parts(side: Side) -> list[np.ndarray]:
    """The value, and where there are any the derivatives by the strength and the frequencies."""
    found = side.run(STEPS)
    return [part for part in np.split(found, (1, 2)) if part.size]


def _errors(found: list[np.ndarray], wanted: list[np.ndarray]) -> list[float]:
    pairs = zip(found, wanted, strict=False)  # the forward program has no derivatives
    return [float(np.linalg.norm(one - other) / np.linalg.norm(other)) for one, other in pairs]
