"""From what a run is to be to a loss for `tx.fit`."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_dt, check_instance, check_numbers, fault, is_concrete
from tauax._types import FINITE, Scalar, numeric
from tauax.adjoints import AbstractAdjoint
from tauax.ensemble import init, simulate
from tauax.losses.base import AbstractLoss
from tauax.monitors.base import AbstractMonitor
from tauax.readouts import Readout
from tauax.solution import OK
from tauax.state import State
from tauax.steppers import AbstractStepper, Euler

Monitors = Mapping[str, AbstractMonitor]


def _if_given(value: Any) -> Array | None:
    return None if value is None else numeric(value)


class Simulated(eqx.Module):
    """A loss of (model, key), as `tx.fit` wants it; made by `tx.losses.simulated`.

    **Attributes:** as its arguments; `same`, for each name of a monitor that of the one to run.
    """

    target: AbstractLoss
    dt: Any
    phase: Array | None = eqx.field(converter=_if_given, metadata=FINITE)
    stepper: AbstractStepper
    adjoint: AbstractAdjoint | None
    steps: int = eqx.field(static=True)
    members: int | None = eqx.field(static=True)
    after: int = eqx.field(static=True)
    common_noise: bool = eqx.field(static=True)
    same: tuple[tuple[str, str], ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_numbers(self)

    def __hash__(self) -> int:
        """As a function: what `jax.jit` and `jax.grad` know it by."""
        return id(self)

    def __call__(self, model, key=None) -> Scalar:
        """The loss of a run with that key; NaN if a phase stops being finite.

        **Raises:** as `tx.init` and `tx.simulate`; `ValueError` if target and model do not fit;
        `TypeError` if it is differentiated and what it reads has no derivative.
        """
        state = init(model, key=key, members=self.members, phase=self.phase)
        self.target.check(model.size)
        monitors, same = self.target.monitors(), dict(self.same)
        chosen = {name: one for name, one in monitors.items() if same[name] == name}
        if self.after:
            # What is known stays known while the monitors are made anew, and checked, under jit.
            with jax.ensure_compile_time_eval():
                chosen = {name: _later(one, self.after) for name, one in chosen.items()}
        solution = simulate(
            _guarded(model, state, chosen),
            state,
            dt=self.dt,
            steps=self.steps,
            stepper=self.stepper,
            monitors=chosen,
            throw=False,
            adjoint=self.adjoint,
        )
        results = {name: solution.monitors[other] for name, other in same.items()}
        fresh = not self.common_noise and _random(model, self.phase)
        loss = self.target(replace(solution, monitors=results), fresh)
        return jnp.where((solution.status == OK).all(), loss, jnp.nan)


def simulated(
    target: AbstractLoss,
    *,
    dt,
    steps: int,
    members: int | None = None,
    stepper: AbstractStepper = Euler(),
    phase=None,
    after: int = 0,
    adjoint: AbstractAdjoint | None = None,
    common_noise: bool = False,
) -> Simulated:
    """The loss of a simulated run, as a function of (model, key) for `tx.fit`.

        target = tx.losses.OrderParameter(0.7) + 0.1 * tx.losses.Connectivity(measured, activity)
        loss = tx.losses.simulated(target, dt=0.01, steps=2_000, members=16)
        fit = tx.fit(loss, model, where=..., optimizer=..., steps=..., key=...)

    Every call runs `tx.init` and `tx.simulate` once, with the monitors of all terms; two equal ones
    run once. Where anything is random, squares are products of different members, which are right
    on average under new noise at every step (`AbstractLoss` says how); without noise they are plain
    squares. What distinguishes members by `tx.per_member` counts as random as well.

    Near the onset of synchrony, and wherever paths are chaotic, the gradient of a long run is
    chance (`tx.gradient_health`): pass `adjoint=tx.Truncated(window)` there.

    **Arguments:** `target`, a term or a sum of them; `dt`, `steps`, `stepper` and `adjoint`, as for
    `tx.simulate`; `members` and `phase`, as for `tx.init`; `after`, how many of the steps pass
    before anything is monitored; `common_noise`, whether every call has the same key, as with
    `tx.fit(..., common_noise=True)`: then squares are plain ones.

    **Returns:** a function of (model, key), also for `jax.jit`, `jax.grad` and `jax.vmap`. It is
    NaN if a phase stops being finite.

    **Raises:** `ValueError` or `TypeError` for arguments that are not such. When called, for a
    model that does not fit; when differentiated, for a term that reads whole levels, which have no
    derivative, instead of a silent 0.
    """
    fix = "pass for example tx.losses.OrderParameter(0.7)"
    check_instance("target", target, AbstractLoss, fix)
    check_dt(dt)
    steps, after = check_count("steps", steps, 1), check_count("after", after, 0)
    if after >= steps:
        fix = "let the run last longer: steps counts those left out as well"
        raise fault(f"after={after} of steps={steps}", "fewer than there are", fix)
    if members is not None:
        members = check_count("members", members, 1)
    fix = "pass for example tx.Euler() or tx.Heun()"
    check_instance("stepper", stepper, AbstractStepper, fix)
    check_instance("common_noise", common_noise, bool, "pass True or False")
    return Simulated(
        target,
        dt,
        phase,
        stepper,
        adjoint,
        steps,
        members,
        after,
        common_noise,
        _same(target.monitors()),
    )


def _later(monitor: AbstractMonitor, steps: int) -> AbstractMonitor:
    """A monitor that begins later; what it leaves out by itself comes on top."""
    return replace(monitor, after=monitor.after + steps)


def _random(model, phase) -> bool:
    """Whether a run differs from key to key."""
    return model.needs_key or (phase is None and model.random_phase)


def _same(monitors: Monitors) -> tuple[tuple[str, str], ...]:
    """For each name that of the first monitor that is equal."""
    return tuple(
        (name, next(other for other, first in monitors.items() if _equal(monitor, first)))
        for name, monitor in monitors.items()
    )


def _equal(one: AbstractMonitor, other: AbstractMonitor) -> bool:
    leaves, structure = jax.tree.flatten(one)
    others, other_structure = jax.tree.flatten(other)
    return structure == other_structure and all(
        a is b
        or (is_concrete(a) and is_concrete(b) and np.array_equal(np.asarray(a), np.asarray(b)))
        for a, b in zip(leaves, others, strict=True)
    )


def _guarded(model, state: State, monitors: Monitors):
    """The model; one that refuses to be differentiated if something that is read has no derivative.

    A run can still be evaluated then, as methods without gradients want it.
    """
    for monitor in monitors.values():
        readout = getattr(monitor, "readout", None)
        if isinstance(readout, Readout) and not _has_derivative(readout, model, state):
            numbers, rest = eqx.partition(model, eqx.is_inexact_array)
            return eqx.combine(jax.tree.map(partial(_refused, repr(readout)), numbers), rest)
    return model


def _has_derivative(readout: Readout, model, state: State) -> bool:
    """Whether a readout has a derivative with respect to any number of the model or the state."""
    numbers, rest = eqx.partition((model, state), eqx.is_inexact_array)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), numbers)

    def read(numbers) -> Array:
        return readout(*eqx.combine(numbers, rest))

    if not jnp.issubdtype(jax.eval_shape(read, shapes).dtype, jnp.inexact):
        return False

    def derivative(numbers, tangents) -> Array:
        return jax.jvp(read, (numbers,), (tangents,))[1]

    # The zeros that JAX writes where there is no derivative depend on no tangent.
    program = jax.make_jaxpr(derivative)(shapes, shapes).jaxpr
    inputs = program.invars[len(program.invars) // 2 :]
    reached = set(map(id, inputs))
    for equation in program.eqns:
        if reached & set(map(id, equation.invars)):
            reached |= set(map(id, equation.outvars))
    return bool(reached & set(map(id, program.outvars)))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _refused(readout: str, value: Array) -> Array:
    """`value`, which may not be differentiated."""
    return value


@_refused.defjvp
def _refused_jvp(readout: str, primals, tangents):
    raise fault(
        f"the gradient of a loss that reads whole levels, by {readout}",
        "a readout with a derivative: this one is piecewise constant, so its gradient would be 0",
        "read soft levels, as of tx.Thresholds((-0.3, 0.3), decision=tx.Soft(0.05)), or straight-"
        "through ones; or use a method without gradients",
        TypeError,
    )
