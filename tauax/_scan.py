"""One step, and the scan of many with monitors: the kernel behind `tx.step` and `tx.simulate`."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from tauax._checks import fault
from tauax._types import Phase, Step, Torque
from tauax.adjoints import AbstractAdjoint
from tauax.batch import doubled, over_batch, undoubled
from tauax.monitors.base import AbstractMonitor
from tauax.numerics import cycles
from tauax.numerics.circular import wrap
from tauax.numerics.fusion import isolated, materialised, product
from tauax.state import State
from tauax.steppers import AbstractStepper
from tauax.systems.base import AbstractSystem

Monitors = Mapping[str, AbstractMonitor]
_Phases = tuple[Phase, Array | None]


def step_once(model, state: State, stepper: AbstractStepper) -> State:
    """The state one step later, for any batch."""
    _check(model, state)
    advance = partial(_advance, model, stepper)
    return undoubled(advance(doubled(advance, state)))


def _advance(model, stepper: AbstractStepper, state: State) -> State:
    """The state one step later."""
    phase, low = _next_phases(model, stepper, state)
    buffers = over_batch(_next_buffers, model, state)
    return replace(state, step=state.step + 1, phase=phase, low=low, buffers=buffers, shared=None)


@jax.custom_jvp
def _next_phases(model, stepper: AbstractStepper, state: State) -> _Phases:
    """The phases of all members one step later, with the same bits wherever it is called."""

    def phases(words: _Phases) -> _Phases:
        return _every_phase(model, stepper, replace(state, phase=words[0], low=words[1]))

    return isolated(phases, (state.phase, state.low), state.step)


@partial(_next_phases.defjvp, symbolic_zeros=True)
def _next_phases_jvp(primals, tangents):
    # What is not isolated can be linearised without the values that only the step itself needs.
    values, structure = jax.tree.flatten(primals)
    directions = structure.flatten_up_to(tangents)
    moved = [k for k, one in enumerate(directions) if not isinstance(one, SymbolicZero)]

    def linearised(*leaves: Array) -> _Phases:
        every = list(values)
        for place, leaf in zip(moved, leaves, strict=True):
            every[place] = leaf
        return _every_phase(*structure.unflatten(every))

    change = jax.jvp(linearised, [values[k] for k in moved], [directions[k] for k in moved])[1]
    return _next_phases(*primals), change


def _every_phase(model, stepper: AbstractStepper, state: State) -> _Phases:
    return over_batch(partial(_next_phase, stepper), model, state)


def _next_phase(stepper: AbstractStepper, system: AbstractSystem, state: State) -> _Phases:
    """θ(t + dt) of one system: the whole simulation is this function."""
    now = state.now
    system = _cast(system, system.dtype).at(now)
    turns = None if system.rotation is None else cycles.turns(system.rotation, state.clock.words)
    turns = materialised(turns, state.step)
    if turns is not None and system.turns_only:
        still = jnp.zeros((), system.dtype)
        return cycles.turned(state.phase, state.low, turns, still)
    phase, increment = system.jump(state.phase, now), _increment(stepper, system, state)
    if phase is not state.phase:
        phase = wrap(phase)

    def drift(phase: Phase, fraction: float) -> Torque:
        return system.drift(phase, now._replace(fraction=fraction))

    if turns is None:
        return wrap(stepper(drift, phase, now.dt, increment)), None

    def drift_beside(moved: Phase, fraction: float) -> Torque:
        """The drift at what the stepper has moved so far, in the frame that turns."""
        if fraction == 0.0:
            return drift(phase, fraction)
        return drift(wrap(phase + (moved + product(turns.angle, fraction))), fraction)

    # From 0, so that small displacements are not rounded as the phase is.
    moved = stepper(drift_beside, jnp.zeros_like(phase), now.dt, increment)
    return cycles.turned(phase, state.low, turns, materialised(moved, state.step))


def _next_buffers(system: AbstractSystem, state: State) -> Any:
    """What one system remembers after the step."""
    system = _cast(system, system.dtype).at(state.now)
    return system.advance(state.buffers, state)


def _shared(system: AbstractSystem, state: State) -> Any:
    """What readouts of one system have in common, computed once and stored."""
    found = _cast(system, system.dtype).at(state.now).shared(state)
    return jax.tree.map(lambda leaf: materialised(leaf, state.step), found)


def prepared(model, state: State) -> State:
    """A state of given phases with all else that its system carries, before the first step."""

    def rest(system: AbstractSystem, state: State) -> tuple[Array | None, Any]:
        low = None if system.rotation is None else jnp.zeros(state.phase.shape, jnp.int32)
        return low, _cast(system, system.dtype).first_buffers(state.phase)

    low, buffers = over_batch(rest, model, state)
    return replace(state, low=low, buffers=buffers)


def _check(model, state: State) -> None:
    """Raise unless the state carries what the model needs; seen once, when a program is traced."""
    bare = replace(state, low=None, buffers=None, shared=None)
    wanted = jax.eval_shape(partial(prepared, model), bare).own
    found = state.own._replace(shared=None)
    leaves, others = (jax.tree.leaves(own) for own in (found, wanted))
    alike = jax.tree.structure(found) == jax.tree.structure(wanted)
    if not alike or any(x.shape != y.shape for x, y in zip(leaves, others, strict=True)):
        raise fault(
            "a state of another model, which remembers other things beside the phases",
            "a state of this model",
            "make the state with tx.init from this model",
        )


def _increment(stepper: AbstractStepper, system: AbstractSystem, state: State) -> Any:
    """What the stepper is to add for the noise, None without."""
    if system.noise is None:
        return None
    noise = system.noise
    draw = noise.increment_and_average if stepper.needs_average else noise.increment
    return draw(state.key, state.step, state.clock.dt, system.size)


class Run(eqx.Module):
    """A run under way: everything that is needed to carry it on exactly.

    **Attributes:** `state`; `accumulators` of the monitors, by name; `begin`, the step at which the
    run began; `steps`, how many it has in all.
    """

    state: State
    accumulators: dict[str, Any]
    begin: Step
    steps: int = eqx.field(static=True)


def start(model, state: State, steps: int, monitors: Monitors) -> Run:
    """A run of `steps` steps before the first of them."""
    _check(model, state)
    accumulators = {
        name: monitor.init(model, state, monitor.records(steps))
        for name, monitor in monitors.items()
    }
    return Run(state, accumulators, state.step, steps)


def advance(
    model,
    run: Run,
    steps: int,
    stepper: AbstractStepper,
    monitors: Monitors,
    adjoint: AbstractAdjoint,
) -> Run:
    """The run after `steps` more steps."""
    begin = doubled(partial(_advance, model, stepper), run.state)

    def body(carry: tuple[State, dict[str, Any]]) -> tuple[State, dict[str, Any]]:
        state, accumulators = carry
        # The key is none of what changes, or a gradient keeps it once per step.
        state = replace(state, key=begin.key, shared=over_batch(_shared, model, state))
        seen, since = undoubled(state), state.step - run.begin
        accumulators = {
            name: _observe(monitor, accumulators[name], model, seen, since)
            if monitor.records(run.steps)
            else accumulators[name]
            for name, monitor in monitors.items()
        }
        return _advance(model, stepper, state), accumulators

    state, accumulators = adjoint.loop(body, (begin, run.accumulators), steps)
    return Run(undoubled(state), accumulators, run.begin, run.steps)


def results(run: Run, monitors: Monitors) -> dict[str, Any]:
    """What each monitor gives of the run so far, with room for the records still to come."""
    return {
        name: monitor.result(run.accumulators[name], run.state)
        for name, monitor in monitors.items()
    }


def _observe(monitor: AbstractMonitor, accumulator: Any, model, state: State, step: Array) -> Any:
    """The accumulator after the step numbered `step` of this run, updated only if it is due."""
    since = step - monitor.after
    record = since // monitor.every

    def update(accumulator):
        return monitor.update(accumulator, model, state, record)

    if monitor.every == 1 and monitor.after == 0:
        return update(accumulator)
    # The step is shared by all members, so this stays a branch and skips the work.
    due = (since >= 0) & (since % monitor.every == 0)
    return jax.lax.cond(due, update, lambda accumulator: accumulator, accumulator)


def _cast(system: AbstractSystem, dtype) -> AbstractSystem:
    """Every floating number of a system in the dtype of the phase."""
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf,
        system,
    )
