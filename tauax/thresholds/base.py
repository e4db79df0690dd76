"""What cuts and decisions are, the plain ones among them, and what their siblings share."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_numbers, check_shape, fault, is_concrete
from tauax._types import FINITE, numeric
from tauax.numerics.fusion import quotient

PerCut = tuple[Array, ...]


class AbstractCuts(eqx.Module):
    """Where one level ends and the next begins: K ascending numbers, which may follow the signal.

    Written for one signal of any shape. When `at` and `advance` are called, the leaves have its
    dtype.
    """

    @abstractmethod
    def init(self, shape: tuple[int, ...], dtype) -> Any:
        """What is remembered before the first value: arrays `[*shape, ...]` of `dtype`, or None."""

    @abstractmethod
    def at(self, memory: Any) -> PerCut:
        """The present cuts, ascending, each a single number or of the signal's shape."""

    @abstractmethod
    def advance(self, memory: Any, signal: Array, dt: Array) -> Any:
        """What is remembered after a value that lasted `dt` seconds."""


class FixedCuts(AbstractCuts):
    """Cuts that do not follow the signal: what a plain tuple of numbers given as cuts becomes.

    **Arguments:** `values`, `[cut]`, ascending, in units of the signal. Training may carry them
    past each other: they are sorted wherever they are used.

    **Raises:** `ValueError` for numbers that are not finite and ascending.
    """

    values: Array = eqx.field(converter=numeric, metadata=FINITE)

    def __check_init__(self) -> None:
        check_numbers(self)
        check_ascending("FixedCuts.values", self.values)

    def init(self, shape: tuple[int, ...], dtype) -> None:
        return None

    def at(self, memory: None) -> PerCut:
        return ascending(self.values)

    def advance(self, memory: None, signal: Array, dt: Array) -> None:
        return None


class AbstractDecision(eqx.Module):
    """How far a value exceeds a cut: a number in [0, 1] that never rises as the cut rises."""

    @abstractmethod
    def __call__(self, signal: Array, cut: Array, inclusive: bool) -> Array:
        """For every value h how far it exceeds the cut c; `inclusive`: whether h = c does."""


class Hard(AbstractDecision):
    """1 above the cut and 0 below, with derivative 0 everywhere."""

    def __call__(self, signal: Array, cut: Array, inclusive: bool) -> Array:
        above = signal >= cut if inclusive else signal > cut
        apart = signal - cut
        found = jnp.where(jnp.isnan(apart), apart, above.astype(signal.dtype))
        return jax.lax.stop_gradient(found)


def logistic(apart: Array, width: Array) -> Array:
    """σ(apart/width) and its limits for width → 0: 0, ½ and 1. Every derivative is finite."""
    # Below √tiny the square of 1/width, a factor of the derivative, overflows.
    wide = width > float(jnp.finfo(apart.dtype).tiny) ** 0.5
    near = wide & (jnp.abs(apart) < 40.0 * width)
    ratio = quotient(jnp.where(near, apart, 0.0), jnp.where(wide, width, 1.0))
    return jnp.where(near, jax.nn.sigmoid(ratio), 0.5 + 0.5 * jnp.sign(apart))


def ascending(cuts: Array | PerCut) -> PerCut:
    """The elements in ascending order, by a network of minima and maxima: unlike a sort it fuses.

    Where two are equal, each has half of the derivative of either.
    """
    ordered = [cuts[k] for k in range(len(cuts))]
    for last in range(len(ordered) - 1, 0, -1):
        for k in range(last):
            low, high = ordered[k], ordered[k + 1]
            ordered[k], ordered[k + 1] = jnp.minimum(low, high), jnp.maximum(low, high)
    return tuple(ordered)


def check_ascending(name: str, values: Array) -> None:
    """Raise unless there is one number per cut, each above the one before; traced values pass."""
    if values.ndim != 1 or values.size == 0:
        raise fault(
            f"{name} of shape {values.shape}",
            "one number per cut, and at least one",
            "write them as a tuple, such as (-0.3, 0.3); one set per member goes through "
            "tx.per_member",
        )
    if not is_concrete(values):
        return
    found = np.asarray(values)
    back = np.flatnonzero(np.diff(found) <= 0)
    if back.size:
        raise fault(
            f"{name} out of order: {found[back[0]]} is followed by {found[back[0] + 1]}",
            "ascending numbers, no two of them equal",
            "sort them, and leave out one of two that are equal",
        )


def check_single(module: eqx.Module, *names: str) -> None:
    """Check the numbers of a module, and that each of the named ones is a single one, or None."""
    check_numbers(module)
    for name in names:
        value = getattr(module, name)
        if value is not None:
            fix = "give one number for all the signal; one per member goes through tx.per_member"
            check_shape(f"{type(module).__name__}.{name}", value, [()], fix)
