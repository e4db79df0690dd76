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
from tauax._compiled import outermost
from tauax._types import Scalar, SeedKey, Step
from tauax.learn.problem import Examples, Free, Problem
from tauax.learn.validation import Validation

RUNNING = -1  # as the step at which a start stopped
UNVALIDATED = -1  # the cause of a stop: the validation loss
# Folded into the key for what has no step; no step has these numbers.
_STARTS, _ORDER, _VALIDATION = 2**32 - 1, 2**32 - 2, 2**32 - 3


class Task(eqx.Module):
    """What is to be fitted, apart from how long and from how many starts.

    **Attributes:** `problem`, the numbers to fit; `loss`; `optimizer`; `key`; `examples`, what the
    loss is given batches of; `validation`; `common_noise`.
    """

    problem: Problem
    loss: Callable
    optimizer: optax.GradientTransformation
    key: SeedKey
    examples: Examples | None
    validation: Validation | None
    common_noise: bool = eqx.field(static=True)

    def loss_of(self, free: Free, step: Step, batch: tuple[Any, ...]) -> Scalar:
        """The loss at free numbers, with the key of a step and its batch, if there are examples."""
        key = jax.random.fold_in(self.key, 0 if self.common_noise else step)
        return _one_number(self.loss(self.problem.model_of(free), key, *batch))

    def order(self, epoch: Array | int) -> Int[Array, " example"]:
        """The order of the examples in an epoch; empty where every batch is all of them."""
        if self.examples is None or self.examples.whole:
            return jnp.zeros((0,), jnp.int32)
        key = jax.random.fold_in(jax.random.fold_in(self.key, _ORDER), epoch)
        return jax.random.permutation(key, self.examples.count).astype(jnp.int32)

    def validation_of(self, free: Free) -> Scalar:
        """The validation loss at free numbers, with the one key that it has."""
        assert self.validation is not None
        key = jax.random.fold_in(self.key, _VALIDATION)
        return _one_number(self.validation(self.loss, self.problem.model_of(free), key))


class Lowest(eqx.Module):
    """The numbers of the lowest validation loss so far.

    **Attributes:** `free`; `loss`, infinite before the first; `step`, before which they stood;
    `waited`, the evaluations since; `ended`, the step at which these were enough, or `RUNNING`.
    """

    free: Free
    loss: Float[Array, "*start"]
    step: Int[Array, "*start"]
    waited: Int[Array, "*start"]
    ended: Int[Array, "*start"]


class Search(eqx.Module):
    """Where one start stands.

    **Attributes:** `free`, the present numbers; `good`, the last ones at which the loss and its
    gradient were finite; `memory` of the optimiser; `stopped`, the step at which they were not, or
    `RUNNING`; `cause`, what was not finite then: 0 for the loss, k for the gradient to leaf k − 1,
    `UNVALIDATED` for the validation loss; `lowest`, where there is validation.
    """

    free: Free
    good: Free
    memory: Any
    stopped: Int[Array, "*start"]
    cause: Int[Array, "*start"]
    lowest: Lowest | None

    @property
    def running(self) -> Array:
        """Whether the start goes on."""
        running = self.stopped == RUNNING
        return running if self.lowest is None else running & (self.lowest.ended == RUNNING)


class Course(eqx.Module):
    """Where a fit stands: everything that is needed to go on exactly.

    **Attributes:** `step`, how often the loss was evaluated; `end`, the step at which it is
    evaluated last; `search`, with a leading axis if there are several starts; `losses`,
    `[*start, step + 1]`, NaN where there is none: that at `end` belongs to the last numbers;
    `order` of the examples in the present epoch; `validation`, `[*start, evaluation]`.
    """

    step: Step
    end: Step
    search: Search
    losses: Float[Array, "*start evaluation"]
    order: Int[Array, " example"]
    validation: Float[Array, "*start evaluation"] | None

    def goes_on(self, until: Array | int) -> Array:
        """Whether there is a start to go on with before evaluation number `until`."""
        return (self.step < jnp.minimum(until, self.end + 1)) & self.search.running.any()


@outermost
def begin(task: Task, steps: int, starts: int, spread: Array) -> Course:
    """The fit before its first step; start 0 is the model as given."""
    problem, dtype = task.problem, jnp.result_type(*task.problem.given())

    def search(free: Free) -> Search:
        zero, lowest = jnp.zeros((), jnp.int32), None
        if task.validation is not None:
            lowest = Lowest(free, jnp.asarray(jnp.inf, dtype), zero, zero, zero + RUNNING)
        return Search(free, free, task.optimizer.init(free), zero + RUNNING, zero, lowest)

    if starts == 1:
        axis, found = (), search(problem.free())
    else:
        axis = (starts,)
        found = jax.vmap(lambda start: search(_scattered(task, start, spread)))(jnp.arange(starts))

    def empty(size: int) -> Array:
        return jnp.full((*axis, size), jnp.nan, dtype)

    zero, scores = jnp.zeros((), jnp.int32), None
    if task.validation is not None:
        scores = empty(int(task.validation.record(steps)) + 1)
    return Course(zero, zero + steps, found, empty(steps + 1), task.order(0), scores)


@outermost
def advance(task: Task, course: Course, until: Array) -> Course:
    """The fit after evaluation number `until`, or after all its starts have stopped."""

    def goes_on(course: Course) -> Array:
        return course.goes_on(until)

    def further(course: Course) -> Course:
        if task.validation is not None:
            course = _validated(task, task.validation, course)
        order, batch = _batch(task, course)
        last = course.step == course.end
        each = partial(_step, task, course.step, last, batch)
        if course.search.stopped.ndim:
            each = jax.vmap(each)
        search, loss = each(course.search)
        losses = course.losses.at[..., course.step].set(loss.astype(course.losses.dtype))
        return replace(course, step=course.step + 1, search=search, losses=losses, order=order)

    return jax.lax.while_loop(goes_on, further, course)


@outermost
def values_of(task: Task, course: Course, free: Free) -> tuple[Array, ...]:
    """The values of the fitted leaves, of every start."""
    values = task.problem.values
    return (jax.vmap(values) if course.search.stopped.ndim else values)(free)


def _scattered(task: Task, start: Array, spread: Array) -> Free:
    """The free numbers at which a start begins."""
    key = jax.random.fold_in(jax.random.fold_in(task.key, _STARTS), start)
    size = jnp.where(start == 0, 0.0, spread)
    given = task.problem.free()
    return tuple(
        free + size.astype(free.dtype) * jax.random.normal(one, free.shape, free.dtype)
        for free, one in zip(given, jax.random.split(key, len(given)), strict=True)
    )


def _batch(task: Task, course: Course) -> tuple[Array, tuple[Any, ...]]:
    """The order of the epoch that a step is in, and the batch of the step as an argument."""
    examples = task.examples
    if examples is None:
        return course.order, ()
    if examples.whole:
        return course.order, (examples.data,)
    epoch, place = course.step // examples.batches, course.step % examples.batches
    order = jax.lax.cond(place == 0, lambda order: task.order(epoch), lambda x: x, course.order)
    return order, (examples.at(order, place),)


def _step(
    task: Task, step: Step, last: Array, batch: tuple[Any, ...], search: Search
) -> tuple[Search, Scalar]:
    """One start after one more step, and the loss before it; NaN once it has stopped."""

    def loss_of(free: Free) -> Scalar:
        return task.loss_of(free, step, batch)

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
    after = _where(search.running, _where(jnp.stack(finite).all(), moved, halted), search)
    return after, jnp.where(search.running, loss, jnp.nan)


def _validated(task: Task, validation: Validation, course: Course) -> Course:
    """The course with one more validation loss, where one is due."""
    step, last = course.step, course.step == course.end

    def each(search: Search) -> tuple[Search, Scalar]:
        return _judged(validation, step, search, task.validation_of(search.free))

    def judged(course: Course) -> Course:
        assert course.validation is not None
        search, loss = (jax.vmap(each) if course.search.stopped.ndim else each)(course.search)
        record = validation.record(step)
        losses = course.validation.at[..., record].set(loss.astype(course.validation.dtype))
        return replace(course, search=search, validation=losses)

    due = (step % validation.every == 0) | last
    return jax.lax.cond(due, judged, lambda course: course, course)


def _judged(
    validation: Validation, step: Step, search: Search, loss: Scalar
) -> tuple[Search, Scalar]:
    """One start after a validation loss; NaN for the loss of one that has stopped."""
    old = search.lowest
    assert old is not None
    loss = loss.astype(old.loss.dtype)
    waited = old.waited + 1
    over = waited >= validation.patience
    better = replace(old, free=search.free, loss=loss, step=step, waited=jnp.zeros_like(waited))
    worse = replace(old, waited=waited, ended=jnp.where(over, step, RUNNING))
    going = replace(search, lowest=_where(loss < old.loss, better, worse))
    halted = replace(
        search, stopped=step, cause=jnp.full_like(search.cause, UNVALIDATED), lowest=old
    )
    after = _where(search.running, _where(jnp.isfinite(loss), going, halted), search)
    return after, jnp.where(search.running, loss, jnp.nan)


def _where(condition: Array, one: Any, other: Any) -> Any:
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
