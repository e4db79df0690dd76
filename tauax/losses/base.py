"""What a loss is, the algebra of losses, and what all terms share."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_instance, check_numbers, check_shape, fault, is_concrete
from tauax._types import FINITE, Scalar, numeric
from tauax.algebra import AbstractTerm
from tauax.batch import MEMBER
from tauax.monitors.base import AbstractMonitor
from tauax.solution import Solution


class AbstractLoss(AbstractTerm):
    """How far a run is from what it is to be. Losses add, `a + b`, and scale, `2.0 * a`.

    A term says which monitors it needs and makes one number of the solution:

        sol = tx.simulate(model, state, dt=0.01, steps=500, monitors=loss.monitors())
        loss(sol, paired=True)

    `tx.losses.simulated` does that for `tx.fit`. The square of a mean over M members is too large
    by its variance: E (x̄ − t)² = (E x − t)² + Var(x)/M, and a descent with new noise at every step
    would lower the variance instead of the distance. So `paired` terms multiply different members,

        Σ_{m ≠ n} (x_m − t)(x_n − t) / (M(M − 1)),

    whose mean, and that of its gradient, is right for every M ≥ 2 (Hoeffding 1948). It may be below
    0. Where the noise is the same at every step, plain squares are the function that is minimised.
    """

    @abstractmethod
    def monitors(self) -> dict[str, AbstractMonitor]:
        """What has to be monitored, by names of this term's own."""

    @abstractmethod
    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        """The loss of a run with these monitors; `paired`, whether members are multiplied."""

    def check(self, size: int) -> None:
        """Raise unless the term fits a model of `size` oscillators."""

    @staticmethod
    def algebra() -> tuple[type, type, type]:
        return AbstractLoss, Sum, Scaled


class Sum(AbstractLoss):
    """L = Σ_k L_k: several losses, added in the order given."""

    parts: tuple[AbstractLoss, ...]

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {
            f"{place}.{name}": monitor
            for place, part in enumerate(self.parts)
            for name, monitor in part.monitors().items()
        }

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        losses = [
            part(_part_of(solution, f"{place}."), paired) for place, part in enumerate(self.parts)
        ]
        return sum(losses[1:], losses[0])

    def check(self, size: int) -> None:
        for part in self.parts:
            part.check(size)


class Scaled(AbstractLoss):
    """L = s·L₀: a loss times one number."""

    part: AbstractLoss
    factor: Array = eqx.field(converter=numeric, metadata=FINITE)

    def __check_init__(self) -> None:
        check_instance("part", self.part, AbstractLoss, "multiply a loss, as in 0.1 * loss")
        check_numbers(self)
        check_shape("factor", self.factor, [()], "multiply a loss by one number")

    def monitors(self) -> dict[str, AbstractMonitor]:
        return self.part.monitors()

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        return self.factor * self.part(solution, paired)

    def check(self, size: int) -> None:
        self.part.check(size)


def _part_of(solution: Solution, prefix: str) -> Solution:
    """The solution with the monitors of one part, by that part's own names."""
    own = {
        name.removeprefix(prefix): result
        for name, result in solution.monitors.items()
        if name.startswith(prefix)
    }
    return replace(solution, monitors=own)


def member_axis(solution: Solution) -> int | None:
    """Which axis of a result holds the members."""
    axes = solution.state.axes
    return axes.index(MEMBER) if MEMBER in axes else None


def check_members(solution: Solution) -> int:
    """The number of members that are to be multiplied with each other.

    **Raises:** `ValueError` for fewer than two.
    """
    axis = member_axis(solution)
    count = 1 if axis is None else solution.state.phase.shape[axis]
    if count < 2:
        raise fault(
            "one member for a square that is to be right under new noise at every step",
            "two members or more",
            "pass members=2 or more, or common_noise=True where tx.fit has that",
        )
    return count


def jackknifed(
    function: Callable[[Array], Array], found: Array, solution: Solution, paired: bool
) -> Array:
    """A function of the mean over members, `[*batch, ...]` → `[*batch]`, with a member axis of one.

    If `paired`, M f(x̄) − (M − 1)/M · Σ_m f(mean without m), which has no bias of the order 1/M
    (Quenouille 1956); of a square it is the mean product of different members.
    """
    axis = member_axis(solution)
    count = check_members(solution) if paired else 1
    if axis is None:
        return function(found)
    mean = found.mean(axis=axis, keepdims=True)
    if not paired:
        return function(mean)
    others = function(mean + (mean - found) / (count - 1))
    return count * function(mean) - (count - 1) * others.mean(axis=axis, keepdims=True)


def matched(
    name: str,
    found: Array,
    target: Array,
    solution: Solution,
    paired: bool,
    least: int = 0,
    weights: Array | float = 1.0,
) -> Scalar:
    """(E x − t)², averaged over the components of x with weights, and over a grid.

    **Arguments:** `found` x, `[*batch, ...]`; `target` t, of the shape of the components, or of its
    last `least` or more axes.
    """
    own = found.shape[len(solution.state.axes) :]
    check_target(name, target, own, least)
    apart, axis = found - target.astype(found.dtype), member_axis(solution)
    mean = apart if axis is None else apart.mean(axis=axis, keepdims=True)
    square = mean**2
    if paired:  # as the definition, without its cancellation
        count = check_members(solution)
        scatter = ((apart - mean) ** 2).sum(axis=axis, keepdims=True)
        square = square - scatter / (count * (count - 1))
    return average(square, weights, len(own))


def average(values: Array, weights: Array | float, own: int) -> Scalar:
    """The mean of `values` over the last `own` axes with weights, and plainly over the others."""
    weights = jnp.broadcast_to(jnp.asarray(weights, values.dtype), values.shape)
    axes = tuple(range(values.ndim - own, values.ndim))
    return ((values * weights).sum(axis=axes) / weights.sum(axis=axes)).mean()


def check_target(name: str, target: Array, own: tuple[int, ...], least: int) -> None:
    """Raise unless the target has the shape of the components, or of its last axes."""
    allowed = [own[cut:] for cut in range(len(own) - least + 1)]
    fix = "give the target the shape of what the run has; that follows from readout, steps, every"
    check_shape(f"{name} target", target, allowed, fix)


def check_range(name: str, value: Array, low: float, high: float, fix: str) -> None:
    """Raise unless all numbers are finite and in [low, high], up to rounding; traced ones pass."""
    if not is_concrete(value):
        return
    array = np.asarray(value, np.float64)
    slack = 1e-5 * max(abs(low), abs(high)) if np.isfinite([low, high]).all() else 0.0
    bad = ~((array >= low - slack) & (array <= high + slack))
    if bad.any():
        where = np.unravel_index(int(np.argmax(bad)), array.shape)
        place = f"{name}[{', '.join(map(str, where))}]" if where else name
        raise fault(f"{place} = {array[where]:g}", f"numbers in [{low:g}, {high:g}]", fix)


def check_matrix(name: str, value: Array) -> None:
    """Raise unless the target is a symmetric matrix of two rows or more."""
    if value.ndim != 2 or value.shape[0] != value.shape[1] or value.shape[0] < 2:
        raise fault(
            f"{name} of shape {value.shape}",
            "a square matrix of two rows or more, (N, N)",
            "give a number for every two components",
        )
    if is_concrete(value):
        array = np.asarray(value, np.float64)
        apart = np.abs(array - array.T)
        if apart.max() > 1e-5 * max(1.0, np.abs(array).max()):
            j, k = np.unravel_index(int(np.argmax(apart)), array.shape)
            raise fault(
                f"{name}[{j}, {k}] = {array[j, k]:g} and {name}[{k}, {j}] = {array[k, j]:g}",
                "a symmetric matrix",
                "take its symmetric part, (x + x.T) / 2, if that is what you mean",
            )


def triangle(size: int, pairs: Array | None) -> Array:
    """1 above the diagonal where a pair counts, 0 elsewhere, `[size, size]`."""
    upper = np.triu(np.ones((size, size), np.float32), 1)
    return jnp.asarray(upper) if pairs is None else pairs * upper


def checked_pairs(pairs: Any) -> Array | None:
    """Which pairs count as 0 and 1, `[N, N]`, or None for all."""
    if pairs is None:
        return None
    if not is_concrete(pairs):
        return jnp.asarray(pairs, float)
    array = np.asarray(pairs)
    truths = array.dtype == bool or (array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all())
    if not truths or array.ndim != 2 or not np.array_equal(array, array.T):
        raise fault(
            f"pairs of shape {array.shape} and dtype {array.dtype}",
            "a symmetric matrix of True and False",
            "write ~(held[:, None] | held[None, :]) to leave out the regions in held",
        )
    if not np.triu(array, 1).any():
        raise fault("pairs without a single one", "one pair or more", "leave out fewer regions")
    return numeric(array.astype(float))
