"""`fit`: move some numbers of a model until a loss is small."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from tauax._checks import check_count, check_numbers, fault
from tauax.checkpoint import Checkpoint
from tauax.learn.arguments import check_report, checked_spread, checked_task
from tauax.learn.descent import RUNNING, Course, Task, advance, begin, values_of, with_values
from tauax.learn.saving import file_of
from tauax.learn.transforms import AbstractTransform
from tauax.solution import NOT_FINITE, OK

Report = Callable[[int, int, np.ndarray], Any]


class Fit(eqx.Module):
    """What a fit found. With several starts, all but the model have an axis `start` first.

    **Attributes:** `losses`, `[step]`, each at the numbers before the step; `final_losses`, those
    of the last numbers, evaluated once more with one key for all starts, or NaN for a start that
    stopped; `stopped`, the step at which the loss or its gradient was not finite, or −1; `values`
    of the fitted leaves, in the order of `where`; `given`, the model that was fitted.
    """

    given: Any
    values: tuple[Array, ...]
    losses: Float[Array, "*start step"]
    final_losses: Float[Array, "*start"]
    stopped: Int[Array, "*start"]
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

    With `path`, the fit is saved there after every chunk. Called again with the same arguments, it
    goes on from the file and ends with the same bits, whatever `chunk` is. Code is not in the file:
    the loss is known by its module and name, the optimiser by what it remembers at the start, so
    another learning rate goes unnoticed.

    **Arguments:** `loss(model, key)`, one real number; `model`, a system, a `Varied`, or any module
    of them; `where` picks the leaf to fit, or a tuple of leaves (of a `Varied`, in its system, all
    values along the axis); `transform`, the domain of the values: None for any real number, one
    for all leaves, or a tuple of one per leaf; `optimizer`, of optax; `steps`; `key`; `starts`, how
    many fits run side by side with the same keys, the first from the model as given, the others
    from free numbers that differ from it by normal ones times `spread`; `common_noise`, whether all
    steps have the key of step 0, which makes the loss a function without noise; `chunk`, in steps;
    `report(done, steps, losses)`, called after every chunk with `losses`, `[*start, done]`;
    `path`, a file, conventionally `.npz`; `throw`, whether to raise if all starts stopped.

    **Returns:** a `Fit`; the start whose last numbers have the lowest loss gives `.model`.

    **Raises:** `ValueError` or `TypeError` for a selection that is not of real numbers, a model
    outside of the domain of its transform, a loss that is not one real number, traced arguments, or
    a file that is damaged or of another fit; `OSError` if it cannot be written; `FitError`, with
    `throw`, if no start came to the end. Warns if the best model has numbers that it may not have.
    """
    steps, chunk = check_count("steps", steps, 1), check_count("chunk", chunk, 1)
    starts, spread = check_count("starts", starts, 1), checked_spread(spread)
    check_report(report)
    task, names = checked_task(loss, model, where, transform, optimizer, key, common_noise)
    course, file = begin(task, steps, starts, jnp.asarray(spread)), None
    if path is not None:
        extent = {"steps": steps, "starts": starts, "spread": spread}
        file = file_of(Path(path), task, extent, course)
        course = file.read()
    course = _through(task, course, steps, chunk, report, file)
    search = course.search
    values = values_of(task, course, search.good)
    losses, final = course.losses[..., :steps], course.losses[..., steps]
    final = jnp.where(search.stopped == RUNNING, final, jnp.nan)
    found = Fit(model, values, losses, final, search.stopped, task.leaves)
    if throw and np.all(found.status):
        raise FitError(_why(task, course, names), found)
    _warn_of_domain(found)
    return found


def _through(
    task: Task,
    course: Course,
    steps: int,
    chunk: int,
    report: Report | None,
    file: Checkpoint[Course] | None,
) -> Course:
    """The fit at its end, saved and reported on after each chunk."""

    def goes_on() -> bool:
        return int(course.step) <= steps and bool((course.search.stopped == RUNNING).any())

    while goes_on():
        done = min(int(course.step) + chunk, steps)
        # The last chunk also evaluates what it arrives at.
        course = advance(task, course, jnp.asarray(done + (done == steps), jnp.int32))
        if file is not None:
            file.write(course, {"evaluations": int(course.step)})
        if report is not None:
            done = min(int(course.step), steps)
            report(done, steps, np.asarray(course.losses[..., :done]))
    return course


def _why(task: Task, course: Course, names: tuple[str, ...]) -> str:
    """What was not finite, at which step and leaf, of the start that came farthest."""
    search = course.search
    stopped = np.atleast_1d(search.stopped)
    start = int(np.argmax(stopped))
    cause = int(np.atleast_1d(search.cause)[start])
    what = f"gradient with respect to {names[cause - 1]}" if cause else "loss"
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
        check_numbers(with_values(task.model, task.leaves, values))
    except ValueError as error:
        return str(error).partition(". Fix:")[0]
    return None


def _warn_of_domain(found: Fit) -> None:
    """Warn if the model found could not have been built."""
    try:
        check_numbers(found.model)
    except ValueError as error:
        message = str(error).partition("Fix:")[0]
        fix = "Fix: fit again with transform=, such as tx.Positive(). The fit is returned as it is."
        warnings.warn(f"after the fit {message}{fix}", stacklevel=3)
