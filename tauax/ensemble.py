"""The verbs: `init` a batch of systems, `step` it once, `simulate` a run, `iterate` in chunks."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jax.sharding import Mesh

from tauax import _programs
from tauax._arguments import (
    batch_sizes,
    check_last_step,
    check_run,
    checked_adjoint,
    checked_phase,
    key_missing,
)
from tauax._checks import check_count, check_instance, is_concrete, typed_key
from tauax._scan import Run
from tauax.adjoints import AbstractAdjoint
from tauax.batch import Varied, pick
from tauax.checkpoint import Checkpoint
from tauax.devices import checked_mesh, gathered
from tauax.memory import check_room, in_parts, out_of_memory
from tauax.monitors.base import AbstractMonitor
from tauax.solution import OK, Solution
from tauax.state import State
from tauax.steppers import AbstractStepper, Euler
from tauax.systems.base import AbstractSystem

_NO_MONITORS: Mapping[str, AbstractMonitor] = MappingProxyType({})


def init(
    model,
    *,
    key=None,
    members: int | None = None,
    phase=None,
    mesh: Mesh | None = None,
    common_noise: bool = False,
) -> State:
    """The state of a model before its first step.

    **Arguments:** `model`, a system or a `Varied`; `key`, a `jax.random.key`, which may be left out
    where nothing is random; `members`, the number of independent members, or None for one system
    without a member axis; `phase`, initial phases in radians, of shape `[oscillator]`,
    `[member, oscillator]` or `[*batch, oscillator]`; `mesh`, the devices to divide the members
    among, such as `tx.device_mesh()`: every run from this state then uses them all; `common_noise`,
    whether the points of a grid share their initial phases and noise, member by member, for paired
    differences.

    **Returns:** a `State` with phases `[*batch, oscillator]`. Member m has the same numbers in
    every batch, and a state without members those of member 0.

    **Raises:** `ValueError` or `TypeError` for a missing or foreign key, members < 1 or other than
    those of `per_member`, phases of the wrong shape or not finite, and a mesh with other axes.
    """
    check_instance("model", model, AbstractSystem | Varied, "pass tx.PhaseOscillators(...)")
    sizes = batch_sizes(model, members)
    if key is None:
        if phase is None and model.random_phase:
            raise key_missing("the initial phases are drawn at random")
        if model.needs_key:
            raise key_missing("the model has noise")
    else:
        key = typed_key(key)
    if phase is not None:
        phase = checked_phase(phase, sizes, model.size)
    mesh = checked_mesh(mesh, members)
    return _programs.init(model, key, phase, tuple(sizes.items()), common_noise, mesh)


def step(model, state: State, *, dt, stepper: AbstractStepper = Euler()) -> State:
    """One pure step of all members: the loop body of `simulate`, for loops of your own.

    **Arguments:** as `simulate`. Under `jax.jit` everything but the stepper's kind is traced:
    `jax.jit(tx.step)(model, state, dt=0.01)`.

    **Returns:** the state at time t + dt; equal to that of `simulate` bit for bit on a CPU.
    """
    check_run(model, state, dt, stepper, _NO_MONITORS)
    check_last_step(model, state, 1)
    return _programs.step(model, state, _programs.seconds(dt, state), stepper)


def simulate(
    model,
    state: State,
    *,
    dt,
    steps: int,
    stepper: AbstractStepper = Euler(),
    monitors: Mapping[str, AbstractMonitor] = _NO_MONITORS,
    adjoint: AbstractAdjoint | None = None,
    memory: int | None = None,
    throw: bool = True,
) -> Solution:
    """Advance all members by `steps` steps of `dt`, and monitor them on the way.

    **Arguments:** `model` and `state`, as given to and got from `init`; `dt` in seconds; `steps`;
    `stepper`: `Euler()`, `Heun()`, `SRA1()` or, without noise, `RK4()`; `monitors`, by name, each
    read before every step that is due; `adjoint`, how derivatives of the run are found:
    `Segments()` if left out, `Sweep()`, `FullTape()`, `Truncated(window)` or `ForwardMode()`;
    `memory`, the bytes that the run may take at once: if the members do not fit, they run in parts,
    one after the other, with the same numbers, and what was monitored is gathered on the host
    (`tx.plan` tells how many parts); `throw`, whether to raise if a phase stops being finite.

    **Returns:** a `Solution`. A run that carries on from `.state` continues this one exactly, and
    `sol.then(more)` joins their monitors.

    **Raises:** `ValueError` or `TypeError` before anything is compiled if the arguments do not fit;
    `MemoryError` if the device has too little; `FloatingPointError` after the run, with `throw`,
    naming the first member and step at which a phase was not finite. Under a caller's own `jit` the
    status is returned instead.
    """
    steps = check_count("steps", steps, 1)
    monitors = check_run(model, state, dt, stepper, monitors)
    adjoint = checked_adjoint(adjoint)
    check_last_step(model, state, steps)
    seconds = _programs.seconds(dt, state)
    run = _programs.simulate if memory is None else in_parts(memory)
    arguments = (model, state, seconds, steps, stepper, monitors, adjoint)
    check_room(state, steps, lambda: _programs.simulate.eval_shape(*arguments))
    with out_of_memory(state):
        solution = run(*arguments)
        if throw:
            _raise_not_finite(model, state, seconds, steps, stepper, solution)
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
    path: str | Path | None = None,
    throw: bool = True,
) -> Iterator[Solution]:
    """`simulate` in chunks of steps: yields the solution so far after each.

    For progress, for a look at a long run, and for runs that survive their process. The last
    solution is that of one `simulate`, bit for bit on a CPU, whatever the chunks: monitors are
    carried from one to the next, not merged. A last chunk that is shorter compiles once more.

    With `path`, the run is saved there after every chunk, each time as a whole: a process that is
    killed, even while it writes, loses only the chunk it was in. Called again with the same
    arguments, `iterate` goes on from the file, whatever `chunk` is, and ends at the same numbers.
    A run that is complete yields its solution once.

    **Arguments:** as `simulate`; `chunk`, in steps; `path`, a file, conventionally `.npz`.

    **Raises:** as `simulate`; `ValueError` for a file that is damaged or of another run; `OSError`
    if it cannot be written, after which the file holds the last chunk that could.
    """
    steps, chunk = check_count("steps", steps, 1), check_count("chunk", chunk, 1)
    monitors = check_run(model, state, dt, stepper, monitors)
    check_last_step(model, state, steps)
    seconds = _programs.seconds(dt, state)
    arguments = (model, state, seconds, steps, monitors)
    check_room(state, steps, lambda: _programs.start.eval_shape(*arguments))
    with out_of_memory(state):
        run = _programs.start(*arguments)
    file = None
    if path is not None:
        asked = {
            "model": model,
            "state": state,
            "dt": seconds,
            "steps": steps,
            "stepper": stepper,
            "monitors": monitors,
        }
        file = Checkpoint(Path(path), "run", asked, run)
        run = file.read()
    return _chunks(model, run, chunk, stepper, monitors, file, throw)


def _chunks(model, run: Run, chunk, stepper, monitors, file, throw: bool) -> Iterator[Solution]:
    """The solution after each chunk; of a run that is complete already, its solution."""
    done = int(run.state.step) - int(run.begin)
    if done == run.steps:
        yield _so_far(model, run, monitors)
    while done < run.steps:
        before, length = run.state, min(chunk, run.steps - done)
        with out_of_memory(before):
            run = _programs.advance(model, run, length, stepper, monitors)
            done += length
            solution = _so_far(model, run, monitors)
            if throw:
                seconds = run.state.clock.dt
                _raise_not_finite(model, before, seconds, length, stepper, solution)
        if file is not None:
            file.write(run, {"steps_done": done, "steps": run.steps})
        yield solution


def _so_far(model, run: Run, monitors: dict[str, AbstractMonitor]) -> Solution:
    """The solution of a run under way, without room for the records still to come."""
    solution = _programs.finish(model, run, monitors)
    done = int(run.state.step) - int(run.begin)
    if done == run.steps:
        return solution
    results = {
        name: monitor.recorded(solution.monitors[name], monitor.records(done))
        for name, monitor in monitors.items()
    }
    return replace(solution, monitors=results)


def _raise_not_finite(model, state: State, dt, steps, stepper, solution: Solution) -> None:
    """Raise if a phase of the solution is known not to be finite."""
    if is_concrete(solution.status):
        status = gathered(solution.status)
        if np.any(status):
            raise _not_finite(model, state, dt, steps, stepper, status)


def _not_finite(model, state, dt, steps, stepper, status) -> Exception:
    """The error that names the first member, and the step found by running it once more."""
    index = tuple(int(i) for i in np.argwhere(status != OK)[0])
    system, single = pick(model, state, index)
    last = _programs.first_not_finite(system, single, dt, stepper, single.step + steps)
    names = ", ".join(f"{n} {i}" for n, i in zip(state.axes, index, strict=True)) or "the system"
    count = int(np.count_nonzero(status))
    return FloatingPointError(
        f"got a phase that is not finite, or lost in one huge step: {names} after step {int(last)}"
        f"{f' ({count} members in all)' if count > 1 else ''}; expected finite phases. "
        f"Fix: lower dt={float(dt):g} or the strengths, look for weights that overflow, "
        "or pass throw=False and read sol.status."
    )
