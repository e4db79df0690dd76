"""The compiled programs behind the verbs: one each, for any batch on any devices."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax import _scan
from tauax._compiled import compiled
from tauax._scan import Run
from tauax.adjoints import Segments
from tauax.batch import MEMBER, Varied, over_batch
from tauax.clock import Clock
from tauax.devices import divided, placed
from tauax.numerics import random
from tauax.numerics.circular import wrap
from tauax.solution import NOT_FINITE, OK, Solution
from tauax.state import State
from tauax.steppers import AbstractStepper


def init(model, key, phase, sizes: tuple[tuple[str, int], ...], common_noise: bool, mesh) -> State:
    """The state before the first step."""
    noise_key, phase_key = (None, None) if key is None else _keys(key, sizes, common_noise)
    return _begin(model, noise_key, phase_key if phase is None else None, phase, sizes, mesh)


# A program of its own: together with the phases, a small batch compiles for seconds.
@partial(jax.jit, static_argnames=("sizes", "common_noise"))
def _keys(key, sizes: tuple[tuple[str, int], ...], common_noise: bool) -> tuple[Array, Array]:
    """The words that address each member's noise and its initial phases, `[*batch, 2]`."""
    shape = tuple(size for _, size in sizes)
    members = shape[-1] if sizes and sizes[-1][0] == MEMBER else 1
    index = jnp.arange(np.prod(shape, dtype=int)).reshape(shape)
    member, point = index % members, index // members
    point = jnp.zeros_like(point) if common_noise else point
    noise, phase = (
        random.member_keys(key, stream, point=point, member=member)
        for stream in (random.NOISE, random.PHASE)
    )
    return noise, phase


@partial(jax.jit, static_argnames=("sizes", "mesh"))
def _begin(model, noise_key, phase_key, phase, sizes: tuple[tuple[str, int], ...], mesh) -> State:
    """The state at step 0, with the phases given or drawn."""
    shape = tuple(size for _, size in sizes)
    state = State(
        step=jnp.zeros((), jnp.int32),
        clock=Clock.start(model.dtype),
        key=noise_key,
        phase=jnp.zeros((*shape, model.size), model.dtype),
        axes=tuple(name for name, _ in sizes),
    )
    if phase is None:
        drawing = replace(state, key=phase_key)
        phase = over_batch(lambda system, one: system.initial_phase(one.key), model, drawing)
    phase = wrap(jnp.broadcast_to(phase, state.phase.shape).astype(model.dtype))
    return placed(replace(_scan.prepared(model, replace(state, phase=phase)), mesh=mesh))


@compiled()
def step(model, state: State, dt: Array, stepper: AbstractStepper) -> State:
    """The state one step later."""

    def once(model, state: State) -> State:
        return _scan.step_once(model, state, stepper)

    state = timed(state, dt)
    return divided(once, model, state, state, _itself, _itself)


@compiled(static=("steps",))
def simulate(model, state: State, dt: Array, steps: int, stepper, monitors, adjoint) -> Solution:
    """A whole run."""

    def run(model, state: State, stepper, monitors) -> Solution:
        begun, seen = _start(steps, monitors), _finish(monitors)

        def whole(model, state: State) -> Solution:
            run = _scan.advance(model, begun(model, state), steps, stepper, monitors, adjoint)
            return seen(model, run)

        return divided(whole, model, state, state, _itself, lambda m, s: seen(m, begun(m, s)))

    return adjoint.through(run, model, timed(state, dt), stepper, monitors)


@compiled(static=("steps",))
def start(model, state: State, dt: Array, steps: int, monitors) -> Run:
    """A run of `steps` steps before the first of them."""
    begun = _start(steps, monitors)
    state = timed(state, dt)
    return divided(begun, model, state, state, _itself, begun)


@compiled(static=("steps",))
def advance(model, run: Run, steps: int, stepper, monitors) -> Run:
    """The run after `steps` more steps."""
    begun = _start(run.steps, monitors)

    def further(model, run: Run) -> Run:
        return _scan.advance(model, run, steps, stepper, monitors, Segments())

    return divided(further, model, run, run.state, begun, begun)


@compiled()
def finish(model, run: Run, monitors) -> Solution:
    """What the run so far gives."""
    begun, seen = _start(run.steps, monitors), _finish(monitors)
    return divided(seen, model, run, run.state, begun, lambda m, s: seen(m, begun(m, s)))


@compiled()
def first_not_finite(system, state: State, dt: Array, stepper: AbstractStepper, last: Array):
    """The first step, at most `last`, after which a phase of one system is not finite."""

    def goes_on(state: State) -> Array:
        return jnp.isfinite(state.phase).all() & (state.step < last)

    def body(state: State) -> State:
        return _scan.step_once(system, state, stepper)

    return jax.lax.while_loop(goes_on, body, timed(state, dt)).step


def timed(state: State, dt: Array) -> State:
    """The state with its clock set to go on in steps of dt."""
    return replace(state, clock=state.clock.with_dt(dt, state.step))


def seconds(dt: Any, state: State) -> Array:
    """dt in the precision of the phase; a strong type, so that 0.01 and an array compile once."""
    return jnp.asarray(dt, state.phase.dtype)


def _start(steps: int, monitors) -> Callable[[Any, State], Run]:
    return lambda model, state: _scan.start(model, state, steps, monitors)


def _finish(monitors) -> Callable[[Any, Run], Solution]:
    def seen(model, run: Run) -> Solution:
        finite = jnp.isfinite(run.state.phase).all(axis=-1)
        status = jnp.where(finite, OK, NOT_FINITE).astype(jnp.int8)
        coordinates = model.coordinates() if isinstance(model, Varied) else {}
        results = _scan.results(run, monitors)
        return Solution(run.state, results, status, monitors, coordinates, run.begin)

    return seen


def _itself(model, state: State) -> State:
    return state
