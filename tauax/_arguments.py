"""What the verbs are given: everything that can be wrong with it is found before anything runs."""

from collections.abc import Mapping

from jaxtyping import Array

from tauax._checks import (
    check_count,
    check_domain,
    check_dt,
    check_instance,
    check_shape,
    fault,
    is_concrete,
)
from tauax._types import numeric
from tauax.adjoints import AbstractAdjoint, Segments
from tauax.batch import MEMBER, Varied
from tauax.monitors.base import AbstractMonitor
from tauax.noise import GivenNoise
from tauax.state import State
from tauax.steppers import AbstractStepper
from tauax.systems.base import AbstractSystem


def batch_sizes(model, members: int | None) -> dict[str, int]:
    """The batch axes in order, by name."""
    sizes = {axis.name: axis.size for axis in model.axes} if isinstance(model, Varied) else {}
    own = sizes.pop(MEMBER, None)
    if own is not None and members != own:
        raise fault(
            f"members={members} for a model with values for {own} members",
            f"members={own}",
            f"pass members={own}, or give tx.per_member as many values as there are members",
        )
    if members is not None:
        sizes[MEMBER] = check_count("members", members, 1)
    return sizes


def checked_phase(phase, sizes: dict[str, int], size: int) -> Array:
    phase = numeric(phase)
    shape = (*sizes.values(), size)
    allowed = [shape[cut:] for cut in range(len(shape) - 1, -1, -1)]
    check_shape("phase", phase, allowed, "give one phase per oscillator, or per member as well")
    check_domain("phase", phase, "finite")
    return phase


def key_missing(why: str) -> Exception:
    return fault(f"no key, though {why}", "a key", "pass key=jax.random.key(0)")


def check_run(model, state, dt, stepper, monitors) -> dict[str, AbstractMonitor]:
    """Raise unless the arguments of a run fit each other; the monitors as a plain dict."""
    check_instance("model", model, AbstractSystem | Varied, "pass tx.PhaseOscillators(...)")
    check_instance("state", state, State, "pass the result of tx.init(model, key=...)")
    check_instance("stepper", stepper, AbstractStepper, "pass for example tx.Euler() or tx.Heun()")
    check_dt(dt)
    model.check_dt(dt)
    _check_state(model, state)
    if model.noise is not None and not stepper.noisy:
        raise fault(
            f"{type(stepper).__name__} for a model with noise",
            "a stepper for noise",
            "use tx.Heun() or tx.Euler(), or noise=None",
        )
    if model.noise is not None and stepper.needs_average and not model.noise.has_average:
        raise fault(
            f"{type(stepper).__name__} for a noise whose average over a step is not known",
            "normal increments, or given ones with their averages",
            'use tx.Heun(), increments="normal", or tx.GivenNoise(increments, averages)',
        )
    check_instance("monitors", monitors, Mapping, 'pass monitors={"r": tx.Moments(tx.coherence)}')
    for name, monitor in monitors.items():
        check_instance(
            f"monitors[{name!r}]",
            monitor,
            AbstractMonitor,
            "pass tx.Moments(...), tx.Trace(...) or tx.Rotations()",
        )
    return dict(monitors)


def checked_adjoint(adjoint: AbstractAdjoint | None) -> AbstractAdjoint:
    """How to differentiate a run, by default in segments."""
    if adjoint is None:
        return Segments()
    fix = "pass for example adjoint=tx.Segments() or adjoint=tx.Sweep()"
    check_instance("adjoint", adjoint, AbstractAdjoint, fix)
    return adjoint


def _check_state(model, state: State) -> None:
    """Raise unless the state has the shape, dtype, axes and key that the model needs."""
    if state.phase.shape[-1] != model.size or state.phase.dtype != model.dtype:
        raise fault(
            f"a state of {state.phase.shape[-1]} oscillators in {state.phase.dtype}",
            f"{model.size} oscillators in {model.dtype}",
            "make the state with tx.init from this model",
        )
    axes = model.axes if isinstance(model, Varied) else ()
    sizes = dict(zip(state.axes, state.phase.shape[:-1], strict=True))
    for axis in axes:
        if sizes.get(axis.name) != axis.size:
            raise fault(
                f"a state with axes {sizes}",
                f"an axis {axis.name!r} of {axis.size}",
                "make the state with tx.init from this model",
            )
    if model.needs_key and state.key is None:
        raise key_missing("the model has noise and the state was made without one")


def check_last_step(model, state: State, steps: int) -> None:
    """Raise if a run is known to outlast the step counter or its given increments."""
    if not is_concrete(state.step):
        return
    if int(state.step) + steps >= 2**31:
        raise fault(
            f"a run to step {int(state.step) + steps}",
            "fewer than 2³¹ steps in all",
            "start anew from the phases: tx.init(model, key=..., phase=state.phase)",
        )
    if isinstance(model.noise, GivenNoise):
        rows, need = model.noise.increments.shape[-2], int(state.step) + steps
        if need > rows:
            raise fault(
                f"increments for {rows} steps",
                f"at least {need}",
                "give more rows, or run fewer steps",
            )
