"""The compiled programs behind `tx.fit`: where a fit stands, and how it goes on.

One program advances all starts by any number of steps, so that a fit in chunks, or resumed, has the
bits of one that ran through, and compiles once.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from tauax._checks import fault
from tauax._types import Scalar, SeedKey, Step
from tauax.learn.transforms import AbstractTransform

RUNNING = -1  # as the step at which a start stopped
_STARTS = 2**32 - 1  # folded into the key for what the starts differ by; no step has this number

Free = tuple[Array, ...]


class Task(eqx.Module):
    """What is to be fitted, apart from how long and from how many starts.

    **Attributes:** `loss`; `model`, as given; `optimizer`; `transforms`, one or None per leaf;
    `key`; `leaves`, the positions of the fitted ones; `common_noise`.
    """

    loss: Callable
    model: Any
    optimizer: optax.GradientTransformation
    transforms: tuple[AbstractTransform | None, ...]
    key: SeedKey
    leaves: tuple[int, ...] = eqx.field(static=True)
    common_noise: bool = eqx.field(static=True)

    def given(self) -> tuple[Array, ...]:
        """The values of the fitted leaves in the model as given."""
        leaves = jax.tree.leaves(self.model)
        return tuple(leaves[leaf] for leaf in self.leaves)

    def free(self) -> Free:
        """The free numbers of the model as given."""
        pairs = zip(self.transforms, self.given(), strict=True)
        return tuple(value if one is None else one.free(value) for one, value in pairs)

    def values(self, free: Free) -> tuple[Array, ...]:
        """The values of the fitted leaves made of free numbers."""
        pairs = zip(self.transforms, free, strict=True)
        return tuple(part if one is None else one.constrain(part) for one, part in pairs)

    def loss_of(self, free: Free, step: Step) -> Scalar:
        """The loss at free numbers, with the key of a step."""
        model = with_values(self.model, self.leaves, self.values(free))
        key = jax.random.fold_in(self.key, 0 if self.common_noise else step)
        return _one_number(self.loss(model, key))


class Search(eqx.Module):
    """Where one start stands.

    **Attributes:** `free`, the present numbers; `good`, the last ones at which the loss and its
    gradient were finite; `memory` of the optimiser; `stopped`, the step at which they were not, or
    `RUNNING`; `cause`, what was not finite then: 0 for the loss, k for the gradient to leaf k − 1.
    """

    free: Free
    good: Free
    memory: Any
    stopped: Int[Array, "*start"]
    cause: Int[Array, "*start"]


class Course(eqx.Module):
    """Where a fit stands: everything that is needed to go on exactly.

    **Attributes:** `step`, how often the loss was evaluated; `search`, with a leading axis if there
    are several starts; `losses`, `[*start, step + 1]`, NaN where there is none: the last one
    belongs to what is returned.
    """

    step: Step
    search: Search
    losses: Float[Array, "*start evaluation"]


@eqx.filter_jit
def begin(task: Task, steps: int, starts: int, spread: Array) -> Course:
    """The fit before its first step; start 0 is the model as given."""

    def search(free: Free) -> Search:
        zero = jnp.zeros((), jnp.int32)
        return Search(free, free, task.optimizer.init(free), zero + RUNNING, zero)

    if starts == 1:
        axis, found = (), search(task.free())
    else:
        axis = (starts,)
        found = jax.vmap(lambda start: search(_scattered(task, start, spread)))(jnp.arange(starts))
    dtype = jnp.result_type(*task.given())
    losses = jnp.full((*axis, steps + 1), jnp.nan, dtype)
    return Course(jnp.zeros((), jnp.int32), found, losses)


@eqx.filter_jit
def advance(task: Task, course: Course, until: Array) -> Course:
    """The fit after evaluation number `until`, or after all its starts have stopped."""

    def goes_on(course: Course) -> Array:
        return (course.step < until) & (course.search.stopped == RUNNING).any()

    def further(course: Course) -> Course:
        last = course.step == course.losses.shape[-1] - 1
        each = partial(_step, task, course.step, last)
        if course.search.stopped.ndim:
            each = jax.vmap(each)
        search, loss = each(course.search)
        losses = course.losses.at[..., course.step].set(loss.astype(course.losses.dtype))
        return Course(course.step + 1, search, losses)

    return jax.lax.while_loop(goes_on, further, course)


@eqx.filter_jit
def values_of(task: Task, course: Course, free: Free) -> tuple[Array, ...]:
    """The values of the fitted leaves, of every start."""
    return (jax.vmap(task.values) if course.search.stopped.ndim else task.values)(free)


def with_values(model: Any, leaves: tuple[int, ...], values: tuple[Array, ...]) -> Any:
    """The model with other values in some of its leaves."""
    every, structure = jax.tree.flatten(model)
    for leaf, value in zip(leaves, values, strict=True):
        every[leaf] = value
    return structure.unflatten(every)


def _scattered(task: Task, start: Array, spread: Array) -> Free:
    """The free numbers at which a start begins."""
    key = jax.random.fold_in(jax.random.fold_in(task.key, _STARTS), start)
    size = jnp.where(start == 0, 0.0, spread)
    return tuple(
        free + size.astype(free.dtype) * jax.random.normal(one, free.shape, free.dtype)
        for free, one in zip(task.free(), jax.random.split(key, len(task.leaves)), strict=True)
    )


def _step(task: Task, step: Step, last: Array, search: Search) -> tuple[Search, Scalar]:
    """One start after one more step, and the loss before it; NaN once it has stopped."""

    def loss_of(free: Free) -> Scalar:
        return task.loss_of(free, step)

    loss, gradient = jax.value_and_grad(loss_of)(search.free)
    # What line searches and schedules that look at the loss want; others ignore it.
    optimizer = optax.with_extra_args_support(task.optimizer)
    change, memory = optimizer.update(
        gradient, search.memory, search.free, value=loss, grad=gradient, value_fn=loss_of
    )
    free: Any = optax.apply_updates(search.free, change)
    moved = replace(search, free=free, good=search.free, memory=memory)

    # What the last step arrives at is evaluated for its loss alone.
    finite = [jnp.isfinite(loss), *(jnp.isfinite(part).all() | last for part in gradient)]
    cause = jnp.argmin(jnp.stack(finite)).astype(jnp.int32)
    halted = replace(search, stopped=step, cause=cause)
    running = search.stopped == RUNNING
    after = _where(running, _where(jnp.stack(finite).all(), moved, halted), search)
    return after, jnp.where(running, loss, jnp.nan)


def _where(condition: Array, one: Search, other: Search) -> Search:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


def _one_number(loss: Any) -> Scalar:
    """The loss as an array, checked to be one real number."""
    shape, dtype = getattr(loss, "shape", ()), getattr(loss, "dtype", None)
    if isinstance(loss, float):
        return jnp.asarray(loss)
    if dtype is None or shape != () or not jnp.issubdtype(dtype, jnp.floating):
        got = type(loss).__name__ if dtype is None else f"shape {shape} and dtype {dtype}"
        raise fault(
            f"a loss of {'type ' if dtype is None else ''}{got}",
            "one real number",
            "return a scalar, such as (error**2).mean() over all members",
        )
    return jnp.asarray(loss)
