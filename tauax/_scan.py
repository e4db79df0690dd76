"""One step, and the scan of many with monitors: the kernel behind `tx.step` and `tx.simulate`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax._types import Phase
from tauax.batch import doubled, over_batch, undoubled
from tauax.monitors.base import AbstractMonitor
from tauax.numerics.circular import wrap
from tauax.numerics.fusion import isolated, materialised
from tauax.state import State
from tauax.steppers import AbstractStepper
from tauax.systems.base import AbstractSystem

Monitors = Mapping[str, AbstractMonitor]


def step_once(model, state: State, stepper: AbstractStepper) -> State:
    """The state one step later, for any batch."""
    return undoubled(_advance(model, doubled(state), stepper))


def _advance(model, state: State, stepper: AbstractStepper) -> State:
    """The state one step later."""

    def phases(phase: Phase) -> Phase:
        before = State(state.step, state.clock, state.key, phase, state.axes)
        return over_batch(partial(_next_phase, stepper), model, before)

    phase = isolated(phases, state.phase, state.step)
    return State(state.step + 1, state.clock, state.key, phase, state.axes)


def _next_phase(stepper: AbstractStepper, system: AbstractSystem, state: State) -> Phase:
    """θ(t + dt) of one system: the whole simulation is this function."""
    system = _cast(system, system.dtype)
    drift, dt, increment = system.drift, state.clock.dt, None
    if system.noise is not None:
        increment = system.noise.increment(state.key, state.step, dt, system.size)
    if stepper.stages > 1:
        increment = materialised(increment, state.step)
        drift = lambda phase: system.drift(materialised(phase, state.step))  # noqa: E731
    return wrap(stepper(drift, state.phase, dt, increment))


def scan(
    model, state: State, steps: int, stepper: AbstractStepper, monitors: Monitors
) -> tuple[State, dict[str, Any]]:
    """The state after `steps` steps, and the result of each monitor."""
    begin = state.step
    observed = {
        name: monitor.init(model, state, monitor.records(steps))
        for name, monitor in monitors.items()
    }

    def body(carry: tuple[State, dict[str, Any]], _: None):
        state, observed = carry
        seen = undoubled(state)
        observed = {
            name: _observe(monitor, observed[name], model, seen, state.step - begin)
            if monitor.records(steps)
            else observed[name]
            for name, monitor in monitors.items()
        }
        return (_advance(model, state, stepper), observed), None

    (state, observed), _ = jax.lax.scan(body, (doubled(state), observed), None, length=steps)
    state = undoubled(state)
    results = {name: monitors[name].result(observed[name], state) for name in monitors}
    return state, results


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
