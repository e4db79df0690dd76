"""`fit`: move some numbers of a model until a loss is small."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from tauax._checks import check_count, check_numbers, fault
from tauax.checkpoint import Checkpoint
from tauax.learn.arguments import (
    check_report,
    checked_examples,
    checked_problem,
    checked_spread,
    checked_task,
)
from tauax.learn.descent import (
    RUNNING,
    UNVALIDATED,
    Course,
    Task,
    advance,
    begin,
    values_of,
)
from tauax.learn.problem import with_values
from tauax.learn.saving import file_of
from tauax.learn.transforms import AbstractTransform
from tauax.learn.validation import Validation
from tauax.solution import NOT_FINITE, OK


class Fit(eqx.Module):
    """What a fit found. With several starts, all but the model have an axis `start` first.

    **Attributes:** `losses`, `[step]`, each at the numbers before the step, NaN where the start had
    ended; `final_losses`, by which starts are compared: those of the last numbers, evaluated once
    more with one key for all starts, or with validation the lowest validation loss; NaN for a start
    that stopped; `stopped`, the step at which a loss or its gradient was not finite, or −1;
    `values` of the fitted leaves, in the order of `where`; `step`, after how many steps they were
    those: the last, or with validation the best; `validation`, the validation losses,
    `[evaluation]`, at n = 0, every, … and the end, NaN where the start had ended, or None; `given`,
    the model that was fitted.
    """

    given: Any
    values: tuple[Array, ...]
    losses: Float[Array, "*start step"]
    final_losses: Float[Array, "*start"]
    stopped: Int[Array, "*start"]
    step: Int[Array, "*start"]
    validation: Float[Array, "*start evaluation"] | None
    leaves: tuple[int, ...] = eqx.field(static=True)

    @property
    def status(self) -> Int[Array, "*start"]:
        """0 for a start that went to the end, 1 for one that stopped."""
        return jnp.where(self.stopped == RUNNING, OK, NOT_FINITE).astype(jnp.int8)

    @property
    def best(self) -> int:
        """The start with the lowest final loss; if all stopped, the one that came farthest.

        The lowest loss on the way would favour lucky noise: the minimum of many random numbers.
        """
        final, stopped = np.atleast_1d(self.final_losses), np.atleast_1d(self.stopped)
        return int(np.argmax(stopped) if np.isnan(final).all() else np.nanargmin(final))

    @property
    def loss(self) -> float:
        """The final loss of the best start."""
        return float(np.atleast_1d(self.final_losses)[self.best])

    @property
    def model(self) -> Any:
        """The model with the numbers that the best start found."""
        return self.at(self.best)

    def at(self, start: int) -> Any:
        """The model with the numbers that one start found; of one that stopped, its last good ones.

        **Raises:** `ValueError` or `TypeError` for a number that no start has.
        """
        starts = self.stopped.size
        if check_count("start", start, 0) >= starts:
            raise fault(f"start={start}", f"a number below {starts}", "count the starts from 0")
        several = self.stopped.ndim > 0
        values = tuple(value[start] if several else value for value in self.values)
        return with_values(self.given, self.leaves, values)


Report = Callable[[int, int, Fit], Any]


class FitError(FloatingPointError):
    """No start came to the end. **Attributes:** `fit`, with the last good numbers of each."""

    def __init__(self, message: str, fit: Fit):
        super().__init__(message)
        self.fit = fit


def fit(
    loss: Callable,
    model,
    *,
    where: Callable,
    transform: AbstractTransform | tuple[AbstractTransform | None, ...] | None = None,
    optimizer: optax.GradientTransformation,
    steps: int,
    key,
    starts: int = 1,
    spread: float = 1.0,
    data: Any = None,
    batch: int | None = None,
    validation: Validation | None = None,
    common_noise: bool = False,
    chunk: int = 10,
    report: Report | None = None,
    path: str | Path | None = None,
    throw: bool = True,
) -> Fit:
    """Minimise the expectation of a loss by gradient descent, with noise drawn anew at every step.

        def loss(model, key):
            state = tx.init(model, key=key, members=16)
            sol = tx.simulate(model, state, dt=0.01, steps=500, monitors={"r": moments})
            return (sol.monitors["r"].mean.mean() - 0.7) ** 2

        fit = tx.fit(loss, model, where=lambda m: m.coupling.strength, transform=tx.Positive(),
                     optimizer=optax.adam(3e-2), steps=50, key=jax.random.key(2))

    Step k evaluates `loss(model, jax.random.fold_in(key, k))` and its gradient; after the last, the
    loss is evaluated once more with k = `steps`. It is compiled once. A start whose loss or
    gradient is not finite stops there, and keeps the last numbers at which both were.

    With `data`, the loss is `loss(model, key, batch)`, where `batch` has the same arrays with
    `batch` examples each, the same for all starts. They are shuffled anew for every epoch, of
    ⌊examples / batch⌋ steps; the remainder that fills no batch is left out of the epoch, other
    examples each time. Step k has the batch k, from the key and not from the past; the last
    evaluation has that of k = `steps`. A batch of all examples, the default, has them as given.

    With `path`, the fit is saved there after every chunk. Called again with the same arguments, it
    goes on from the file and ends with the same bits, whatever `chunk` is; one that `report` has
    ended stays ended, and one that is through is not made longer. Code is not in the file:
    functions are known by their module and name, the optimiser by what it remembers at the start,
    so another learning rate goes unnoticed.

    **Arguments:** `loss(model, key)`, one real number; `model`, a system, a `Varied`, or any module
    of them; `where` picks the leaf to fit, or a tuple of leaves (of a `Varied`, in its system, all
    values along the axis); `transform`, the domain of the values: None for any real number, one
    for all leaves, or a tuple of one per leaf; `optimizer`, of optax; `steps`; `key`; `starts`, how
    many fits run side by side with the same keys, the first from the model as given, the others
    from free numbers that differ from it by normal ones times `spread`; `data`, a pytree of arrays
    whose first axis counts examples; `batch`, how many of them a step is given; `validation`, when
    to stop early; `common_noise`, whether all steps have the key of step 0, which makes the loss a
    function without noise; `chunk`, in steps; `report(done, steps, fit)`, called after every chunk
    with the `Fit` so far, its `losses` as long as `done`: where it returns True the fit ends there;
    `path`, a file, conventionally `.npz`; `throw`, whether to raise if all starts stopped.

    **Returns:** a `Fit`; the start whose last numbers have the lowest loss gives `.model`, with
    validation that with the lowest validation loss.

    **Raises:** `ValueError` or `TypeError` for a selection that is not of real numbers, a model
    outside of the domain of its transform, a loss that is not one real number or takes other
    arguments, arrays of different numbers of examples, traced arguments, or a file that is damaged
    or of another fit; `OSError` if it cannot be written; `FitError`, with `throw`, if no start came
    to the end. Warns if the best model has numbers that it may not have.
    """
    steps, chunk = check_count("steps", steps, 1), check_count("chunk", chunk, 1)
    starts, spread = check_count("starts", starts, 1), checked_spread(spread)
    check_report(report)
    problem, names, key = checked_problem(model, where, transform, key)
    examples = checked_examples(data, batch)
    task = checked_task(problem, loss, optimizer, key, examples, validation, common_noise)
    course, file = begin(task, steps, starts, jnp.asarray(spread)), None
    if path is not None:
        extent = {"steps": steps, "starts": starts, "spread": spread}
        file = file_of(Path(path), task, extent, course)
        course = file.read()
    course = _through(task, course, chunk, report, file)
    found = _found(task, course, int(course.end))
    if throw and np.all(found.status):
        raise FitError(_why(task, course, names), found)
    warn_of_domain(found.model)
    return found


def _through(
    task: Task, course: Course, chunk: int, report: Report | None, file: Checkpoint[Course] | None
) -> Course:
    """The fit at its end, saved and reported on after each chunk."""
    steps = course.losses.shape[-1] - 1
    while course.goes_on(steps + 1):
        end = int(course.end)
        done = min(int(course.step) + chunk, end)
        # The last chunk also evaluates what it arrives at.
        course = advance(task, course, jnp.asarray(done + (done == end), jnp.int32))
        if file is not None:
            file.write(course, {"evaluations": int(course.step)})
        done = min(int(course.step), end)
        if report is not None and end == steps:
            answer = report(done, steps, _found(task, course, done))
            if _is_true(answer):
                course = replace(course, end=jnp.asarray(done, jnp.int32))
    return course


def _is_true(answer: Any) -> bool:
    """Whether a report returned True, and not just something."""
    if isinstance(answer, jax.Array) and answer.dtype == bool and answer.shape == ():
        answer = bool(answer)
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _found(task: Task, course: Course, done: int) -> Fit:
    """What a fit has found by now, with as many losses."""
    search, scores, before = course.search, course.validation, course.step - 1
    # At the end that of the last numbers, on the way the last there is.
    numbers, final, step = search.good, course.losses[..., before], before
    if search.lowest is not None and scores is not None:
        numbers, final, step = search.lowest.free, search.lowest.loss, search.lowest.step
        scores = scores[..., : _records(task, course, done)]
    else:
        step = jnp.where(search.stopped == RUNNING, step, jnp.maximum(search.stopped - 1, 0))
    return Fit(
        given=task.problem.model,
        values=values_of(task, course, numbers),
        losses=course.losses[..., :done],
        final_losses=jnp.where(search.stopped == RUNNING, final, jnp.nan),
        stopped=search.stopped,
        step=step,
        validation=scores,
        leaves=task.problem.leaves,
    )


def _records(task: Task, course: Course, done: int) -> int:
    """How many validation losses there are among so many losses."""
    assert task.validation is not None
    ended = done == int(course.end) and (int(course.step) > done or not course.search.running.any())
    return int(task.validation.record(done)) + ended


_LOSSES = {0: "loss", UNVALIDATED: "validation loss"}


def _why(task: Task, course: Course, names: tuple[str, ...]) -> str:
    """What was not finite, at which step and leaf, of the start that came farthest."""
    search = course.search
    stopped = np.atleast_1d(search.stopped)
    start = int(np.argmax(stopped))
    cause = int(np.atleast_1d(search.cause)[start])
    what = f"gradient with respect to {names[cause - 1]}" if cause > 0 else _LOSSES[cause]
    who = f" by start {start}, which came farthest of {stopped.size}" if search.stopped.ndim else ""
    outside = _outside(task, course, start)
    return (
        f"got a {what} that is not finite at step {stopped[start]}{who}, in a fit of "
        f"{', '.join(names)}{f'; there {outside}' if outside else ''}; expected finite numbers. "
        "Fix: keep the numbers in their domain by transform=, lower the learning rate or dt, or "
        "pass throw=False for the last good numbers, which this error has in .fit."
    )


def _outside(task: Task, course: Course, start: int) -> str | None:
    """What is wrong with the model at which a start stopped, if that is known."""
    values = values_of(task, course, course.search.free)
    if course.search.stopped.ndim:
        values = tuple(value[start] for value in values)
    try:
        check_numbers(with_values(task.problem.model, task.problem.leaves, values))
    except ValueError as error:
        return str(error).partition(". Fix:")[0]
    return None


def warn_of_domain(model: Any) -> None:
    """Warn if the model found could not have been built."""
    try:
        check_numbers(model)
    except ValueError as error:
        message = str(error).partition("Fix:")[0]
        fix = "Fix: fit again with transform=, such as tx.Positive(). The fit is returned as it is."
        warnings.warn(f"after the fit {message}{fix}", stacklevel=3)
