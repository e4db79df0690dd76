"""How much memory and time a run needs, and a run in parts that each fit."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import ceil, floor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tauax import _programs
from tauax._arguments import check_last_step, check_run
from tauax._checks import check_count, fault, is_concrete
from tauax.adjoints import Segments
from tauax.devices import joined, member_axes, part
from tauax.monitors.base import AbstractMonitor
from tauax.solution import Solution
from tauax.state import State
from tauax.steppers import AbstractStepper, Euler

_PROBE = 20_000_000  # oscillator-steps run to measure the speed


class Plan(NamedTuple):
    """What a run is going to need; made by `tx.plan`.

    **Attributes:** `bytes`, at once, beyond the program itself; `seconds`, without compilation;
    `members`, how many run at once; `parts`, how many runs one after the other that makes.
    """

    bytes: int
    seconds: float
    members: int | None
    parts: int

    def __str__(self) -> str:
        parts = f" in {self.parts} parts of {self.members} members" if self.parts > 1 else ""
        return f"{self.bytes / 1e6:.1f} MB and {self.seconds:.1f} s{parts}"


def plan(
    model,
    state: State,
    *,
    dt,
    steps: int,
    stepper: AbstractStepper = Euler(),
    monitors: Mapping[str, AbstractMonitor] | None = None,
    memory: int | None = None,
) -> Plan:
    """The memory and the time that `simulate` with the same arguments is going to take.

    The bytes are what the compiler says of the program: model, state, monitors and temporaries. The
    seconds come from a short run, so they are good on an otherwise idle machine.

    **Arguments:** as `simulate`.

    **Raises:** as `simulate`; `ValueError` if `memory` does not suffice for one member.
    """
    steps = check_count("steps", steps, 1)
    monitors = check_run(model, state, dt, stepper, monitors or {})
    check_last_step(model, state, steps)
    rest = (_programs.seconds(dt, state), steps, stepper, monitors, Segments())
    members, at_once = _members(state), (model, state)
    if memory is not None and needed_bytes(*at_once, *rest) > memory:
        at_once = part(model, state, 0, members_that_fit(memory, model, state, *rest))
    size = _members(at_once[1])
    share = 1.0 if members is None or size is None else members / size
    return Plan(
        needed_bytes(*at_once, *rest), share * _seconds_needed(*at_once, *rest), size, ceil(share)
    )


def in_parts(memory: int) -> Callable[..., Solution]:
    """`_programs.simulate` in as many parts of the members as keep each below `memory` bytes."""
    check_count("memory", memory, 1)

    def run(model, state: State, dt, steps: int, stepper, monitors, adjoint) -> Solution:
        if not all(map(is_concrete, jax.tree.leaves((model, state, dt)))):
            raise fault(
                "memory= inside jit, grad or vmap",
                "a run whose size is known",
                "leave it out, or call simulate outside the transformation",
            )
        rest = (dt, steps, stepper, monitors, adjoint)
        if needed_bytes(model, state, *rest) <= memory:
            return _programs.simulate(model, state, *rest)
        size, members = members_that_fit(memory, model, state, *rest), state.phase.shape[-2]
        parts = (
            _programs.simulate(*part(model, state, begin, min(begin + size, members)), *rest)
            for begin in range(0, members, size)
        )
        axes = member_axes(lambda m, s: _programs.simulate(m, s, *rest), model, state)
        whole = joined(parts, axes, members)
        return replace(whole, state=jax.tree.map(jnp.asarray, whole.state))

    return run


def needed_bytes(model, state: State, *rest) -> int:
    """The bytes that a run takes on all devices together, as the compiler has it."""
    compiled = _programs.simulate.lower(model, state, *rest).compile()
    found = compiled.memory_analysis()
    if found is None:
        raise fault(
            f"a device of kind {jax.devices()[0].device_kind}, which does not tell its needs",
            "a CPU, a GPU or a TPU",
            "leave out memory=, and choose the number of members by trial",
        )
    each = found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes
    return each * (1 if state.mesh is None else state.mesh.size)


def members_that_fit(memory: int, model, state: State, *rest) -> int:
    """The largest number of members that run at once in `memory` bytes, by the line through two."""
    if state.axes[-1:] != ("member",):
        raise _too_little(memory, needed_bytes(model, state, *rest), "a run without members")
    step = 1 if state.mesh is None else state.mesh.size
    members = state.phase.shape[-2]
    few = min(members, 2 * step)
    low, high = needed_bytes(*part(model, state, 0, few), *rest), needed_bytes(model, state, *rest)
    each = max((high - low) / max(members - few, 1), 1.0)
    size = min(members, few + floor((memory - low) / each)) // step * step
    if size < step:
        raise _too_little(memory, low, f"{few} members")
    return size


def check_room(state: State, steps: int, shapes: Callable[[], Any]) -> None:
    """Raise `MemoryError` if what a run is going to hold, `shapes()`, is more than a host has.

    A GPU says so itself, but on a CPU the run may wait for ever. A run too short for that is not
    looked at, as it would start later.
    """
    host = _host_bytes()
    if not is_concrete(state.phase) or host is None or steps * state.phase.nbytes < host // 4:
        return
    needed = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes()))
    on_cpu = all(device.platform == "cpu" for device in state.phase.devices())
    if on_cpu and needed > host * jax.process_count():
        raise _too_large(state, f"results of {needed / 1e9:.0f} GB on {host / 1e9:.0f} GB")


@contextmanager
def out_of_memory(state: State) -> Iterator[None]:
    """Say in short which of the user's numbers to change when the device has too little memory."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise _too_large(state, "pass memory= (in bytes) to run the members in parts") from None


def _too_large(state: State, what: str) -> MemoryError:
    sizes = dict(zip((*state.axes, "oscillator"), state.phase.shape, strict=True))
    return MemoryError(
        f"too little memory for {sizes}; expected a run that fits. Fix: take fewer members, or a "
        f"larger every in traces ({what})"
    )


def _host_bytes() -> int | None:
    """The memory of this machine, where the system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _seconds_needed(model, state: State, dt, steps: int, *rest) -> float:
    """The time of the run, from the fastest of three short ones."""
    probe = max(1, min(steps, _PROBE // max(1, int(np.prod(state.phase.shape)))))
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        jax.block_until_ready(_programs.simulate(model, state, dt, probe, *rest))
        times.append(time.perf_counter() - begin)
    return min(times[1:]) * steps / probe  # the first compiles


def _members(state: State) -> int | None:
    return state.phase.shape[-2] if state.axes[-1:] == ("member",) else None


def _too_little(memory: int, need: int, what: str) -> Exception:
    return fault(
        f"memory={memory}",
        f"at least {need} bytes for {what}",
        "give more, or take fewer oscillators, fewer grid points, or a larger every in traces",
    )
