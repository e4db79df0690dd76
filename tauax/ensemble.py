"""The verbs: `init` a batch of systems, `step` it once, `simulate` a run, `iterate` in chunks."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax import _scan
from tauax._checks import (
    check_count,
    check_domain,
    check_dt,
    check_instance,
    check_shape,
    fault,
    is_concrete,
    typed_key,
)
from tauax._types import numeric
from tauax.batch import MEMBER, Varied, over_batch, pick
from tauax.monitors.base import AbstractMonitor
from tauax.noise import GivenNoise
from tauax.numerics import random
from tauax.numerics.circular import wrap
from tauax.solution import NOT_FINITE, OK, Solution
from tauax.state import Clock, State
from tauax.steppers import AbstractStepper, Euler
from tauax.systems.base import AbstractSystem

_NO_MONITORS: Mapping[str, AbstractMonitor] = MappingProxyType({})


def init(
    model, *, key=None, members: int | None = None, phase=None, common_noise: bool = False
) -> State:
    """The state of a model before its first step.

    **Arguments:** `model`, a system or a `Varied`; `key`, a `jax.random.key`, which may be left out
    where nothing is random; `members`, the number of independent members, or None for one system
    without a member axis; `phase`, initial phases in radians, of shape `[oscillator]`,
    `[member, oscillator]` or `[*batch, oscillator]`; `common_noise`, whether the points of a grid
    share their initial phases and noise, member by member, for paired differences.

    **Returns:** a `State` with phases `[*batch, oscillator]`. Member m has the same numbers in
    every batch, and a state without members those of member 0.

    **Raises:** `ValueError` or `TypeError` for a missing or foreign key, members < 1 or other than
    those of `per_member`, and phases of the wrong shape or not finite.
    """
    check_instance("model", model, AbstractSystem | Varied, "pass tx.PhaseOscillators(...)")
    sizes = _batch_sizes(model, members)
    if key is None:
        if phase is None:
            raise _key_missing("the initial phases are drawn at random")
        if model.noise is not None and model.noise.needs_key:
            raise _key_missing("the model has noise")
    else:
        key = typed_key(key)
    if phase is not None:
        phase = _checked_phase(phase, sizes, model.size)
    return _init(model, key, phase, tuple(sizes.items()), common_noise)


def step(model, state: State, *, dt, stepper: AbstractStepper = Euler()) -> State:
    """One pure step of all members: the loop body of `simulate`, for loops of your own.

    **Arguments:** as `simulate`. Under `jax.jit` everything but the stepper's kind is traced:
    `jax.jit(tx.step)(model, state, dt=0.01)`.

    **Returns:** the state at time t + dt; equal to that of `simulate` bit for bit on a CPU.
    """
    _check_run(model, state, dt, stepper, _NO_MONITORS)
    _check_last_step(model, state, 1)
    return _step(model, state, _seconds(dt, state), stepper)


def simulate(
    model,
    state: State,
    *,
    dt,
    steps: int,
    stepper: AbstractStepper = Euler(),
    monitors: Mapping[str, AbstractMonitor] = _NO_MONITORS,
    throw: bool = True,
) -> Solution:
    """Advance all members by `steps` steps of `dt`, and monitor them on the way.

    **Arguments:** `model` and `state`, as given to and got from `init`; `dt` in seconds; `steps`;
    `stepper`, `Euler()`, `Heun()` or `RK4()`; `monitors`, by name, each read before every step that
    is due; `throw`, whether to raise if a phase stops being finite.

    **Returns:** a `Solution`. A run that carries on from `.state` continues this one exactly, and
    `sol.then(more)` joins their monitors.

    **Raises:** `ValueError` or `TypeError` before anything is compiled if the arguments do not fit;
    `FloatingPointError` after the run, with `throw`, naming the first member and step at which a
    phase was not finite. Under a caller's own `jit` the status is returned instead.
    """
    steps = check_count("steps", steps, 1)
    monitors = _check_run(model, state, dt, stepper, monitors)
    _check_last_step(model, state, steps)
    solution = _simulate(model, state, _seconds(dt, state), steps, stepper, monitors)
    if throw and is_concrete(solution.status) and np.any(solution.status):
        raise _not_finite(model, state, _seconds(dt, state), steps, stepper, solution)
    return solution


def iterate(
    model,
    state: State,
    *,
    dt,
    steps: int,
    chunk: int,
    stepper: AbstractStepper = Euler(),
    monitors: Mapping[str, AbstractMonitor] = _NO_MONITORS,
    throw: bool = True,
) -> Iterator[Solution]:
    """`simulate` in chunks of steps: yields the solution so far after each, to report progress.

    The state is that of one run, bit for bit; monitors are merged, so they agree with those of one
    run to rounding. Only the last chunk may be shorter, which compiles once more. Traces are joined
    after every chunk: with them take few, long chunks.

    **Arguments:** as `simulate`, and `chunk`, a multiple of every monitor's `every`.

    **Raises:** as `simulate`; `ValueError` for a chunk that would shift a monitor's records.
    """
    steps, chunk = check_count("steps", steps, 1), check_count("chunk", chunk, 1)
    monitors = _check_run(model, state, dt, stepper, monitors)
    _check_last_step(model, state, steps)
    for name, monitor in monitors.items():
        if chunk % monitor.every or monitor.after:
            raise fault(
                f"chunk={chunk} with monitor {name!r} (every={monitor.every}, "
                f"after={monitor.after})",
                "a multiple of every, and after=0",
                "choose such a chunk, and simulate the transient in a run of its own",
            )
    run = partial(simulate, model, dt=dt, stepper=stepper, monitors=monitors, throw=throw)
    return _chunks(run, state, steps, chunk)


def _chunks(run: Callable, state: State, steps: int, chunk: int) -> Iterator[Solution]:
    solution = run(state, steps=min(chunk, steps))
    yield solution
    for done in range(chunk, steps, chunk):
        solution = solution.then(run(solution.state, steps=min(chunk, steps - done)))
        yield solution


@partial(jax.jit, static_argnames=("sizes", "common_noise"))
def _init(model, key, phase, sizes: tuple[tuple[str, int], ...], common_noise: bool) -> State:
    axes = tuple(name for name, _ in sizes)
    shape = tuple(size for _, size in sizes)
    members = shape[-1] if axes[-1:] == (MEMBER,) else 1
    index = jnp.arange(np.prod(shape, dtype=int)).reshape(shape)
    member, point = index % members, index // members
    point = jnp.zeros_like(point) if common_noise else point
    keys = partial(random.member_keys, key, point=point, member=member)
    noise_key = None if key is None else keys(random.NOISE)
    clock = Clock.start(model.dtype)
    if phase is None:
        phase_key = keys(random.PHASE)
        blank = jnp.zeros((*shape, model.size), model.dtype)
        drawing = State(jnp.zeros((), jnp.int32), clock, phase_key, blank, axes)
        phase = over_batch(lambda system, one: system.initial_phase(one.key), model, drawing)
    phase = jnp.broadcast_to(phase, (*shape, model.size)).astype(model.dtype)
    return State(jnp.zeros((), jnp.int32), clock, noise_key, wrap(phase), axes)


@jax.jit
def _step(model, state: State, dt: Array, stepper: AbstractStepper) -> State:
    return _scan.step_once(model, _timed(state, dt), stepper)


@partial(jax.jit, static_argnames=("steps",))
def _simulate(model, state: State, dt: Array, steps: int, stepper, monitors) -> Solution:
    end, results = _scan.scan(model, _timed(state, dt), steps, stepper, monitors)
    finite = jnp.isfinite(end.phase).all(axis=-1)
    status = jnp.where(finite, OK, NOT_FINITE).astype(jnp.int8)
    coordinates = model.coordinates() if isinstance(model, Varied) else {}
    return Solution(end, results, status, monitors, coordinates, state.step)


def _seconds(dt, state: State) -> Array:
    """dt in the precision of the phase; a strong type, so that 0.01 and an array compile once."""
    return jnp.asarray(dt, state.phase.dtype)


def _timed(state: State, dt: Array) -> State:
    """The state with its clock set to go on in steps of dt."""
    clock = state.clock.with_dt(dt, state.step)
    return State(state.step, clock, state.key, state.phase, state.axes)


@jax.jit
def _first_not_finite(system, state: State, dt: Array, stepper: AbstractStepper, last: Array):
    """The first step, at most `last`, after which a phase of one system is not finite."""

    def goes_on(state: State) -> Array:
        return jnp.isfinite(state.phase).all() & (state.step < last)

    def body(state: State) -> State:
        return _scan.step_once(system, state, stepper)

    return jax.lax.while_loop(goes_on, body, _timed(state, dt)).step


def _not_finite(model, state, dt, steps, stepper, solution: Solution) -> Exception:
    """The error that names the first member, and the step found by running it once more."""
    index = tuple(int(i) for i in np.argwhere(np.asarray(solution.status) != OK)[0])
    system, single = pick(model, state, index)
    last = _first_not_finite(system, single, dt, stepper, single.step + steps)
    names = ", ".join(f"{n} {i}" for n, i in zip(state.axes, index, strict=True)) or "the system"
    count = int(np.count_nonzero(solution.status))
    return FloatingPointError(
        f"got a phase that is not finite, or lost in one huge step: {names} after step {int(last)}"
        f"{f' ({count} members in all)' if count > 1 else ''}; expected finite phases. "
        f"Fix: lower dt={float(dt):g} or the strengths, look for weights that overflow, "
        "or pass throw=False and read sol.status."
    )


def _batch_sizes(model, members: int | None) -> dict[str, int]:
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


def _checked_phase(phase, sizes: dict[str, int], size: int) -> Array:
    phase = numeric(phase)
    shape = (*sizes.values(), size)
    allowed = [shape[cut:] for cut in range(len(shape) - 1, -1, -1)]
    check_shape("phase", phase, allowed, "give one phase per oscillator, or per member as well")
    check_domain("phase", phase, "finite")
    return phase


def _key_missing(why: str) -> Exception:
    return fault(f"no key, though {why}", "a key", "pass key=jax.random.key(0)")


def _check_run(model, state, dt, stepper, monitors) -> dict[str, AbstractMonitor]:
    """Raise unless the arguments of a run fit each other; the monitors as a plain dict."""
    check_instance("model", model, AbstractSystem | Varied, "pass tx.PhaseOscillators(...)")
    check_instance("state", state, State, "pass the result of tx.init(model, key=...)")
    check_instance("stepper", stepper, AbstractStepper, "pass tx.Euler(), tx.Heun() or tx.RK4()")
    check_dt(dt)
    _check_state(model, state)
    if model.noise is not None and not stepper.noisy:
        raise fault(
            f"{type(stepper).__name__} for a model with noise",
            "a stepper for noise",
            "use tx.Heun() or tx.Euler(), or noise=None",
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
    if model.noise is not None and model.noise.needs_key and state.key is None:
        raise _key_missing("the model has noise and the state was made without one")


def _check_last_step(model, state: State, steps: int) -> None:
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
