"""Transforms: numbers that an optimiser may move anywhere, made into values of a domain.

Each is smooth and increasing, and its derivatives are finite everywhere. Values are kept strictly
inside of their domain, also where the exact ones round to its end, so that what was learned can be
learned further; the derivative there is that of the exact value.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_numbers, fault, is_concrete
from tauax._types import FINITE, numeric
from tauax.numerics.fusion import quotient
from tauax.numerics.reduce import mean, total


class AbstractTransform(eqx.Module):
    """A one-to-one map between free numbers and the values of a domain.

    The free numbers may have another shape than the value; both have its dtype.
    """

    @abstractmethod
    def constrain(self, free: Array) -> Array:
        """The value made of free numbers, for all finite ones."""

    @abstractmethod
    def free(self, value: Array) -> Array:
        """The free numbers of a value: the inverse of `constrain`."""

    @abstractmethod
    def check(self, name: str, value: Array) -> None:
        """Raise `ValueError`, with the name and the remedy, unless the value is in the domain."""


class Positive(AbstractTransform):
    """Values > 0: softplus, v = ln(1 + e^x), with inverse x = v + ln(1 − e^−v).

    A small value is moved by its logarithm, a large one as it is. There and back costs a relative
    error of a few roundings, or |ln v| of them for small v. No value is below the smallest normal
    number, 1.2e-38 in float32.

    Source: Dugas, Bengio, Bélisle, Nadeau & Garcia (2001).
    """

    def constrain(self, free: Array) -> Array:
        return _kept(jax.nn.softplus(free), _tiny(free))

    def free(self, value: Array) -> Array:
        return _softplus_inverse(value)

    def check(self, name: str, value: Array) -> None:
        fix = "start from a positive value, such as 1e-3, or fit this leaf with transform=None"
        array = np.asarray(value)
        refuse(name, array, ~_positive(array), "finite numbers > 0", fix)


class Bounded(AbstractTransform):
    """Values between two bounds: v = lower + (upper − lower) / (1 + e^−x).

    There and back costs an error of some |ln| of the distances from the bounds, in roundings of the
    larger bound; next to a bound at 0 the error is relative to the value.

    **Arguments:** `lower` and `upper`, one number each, or an array that broadcasts to the leaf.

    **Raises:** `ValueError` for bounds that are not finite or not in order.
    """

    lower: Array = eqx.field(converter=numeric, metadata=FINITE)
    upper: Array = eqx.field(converter=numeric, metadata=FINITE)

    def __check_init__(self) -> None:
        check_numbers(self)
        shapes = self.lower.shape, self.upper.shape
        if broadcast(*shapes) is None:
            raise fault(
                f"bounds of shapes {shapes[0]} and {shapes[1]}",
                "one number each, or arrays that broadcast",
                "give one lower and one upper bound per element",
            )
        if not (is_concrete(self.lower) and is_concrete(self.upper)):
            return
        lower, upper = np.broadcast_arrays(np.asarray(self.lower), np.asarray(self.upper))
        bad = ~(upper > lower)
        if bad.any():
            first = int(np.argmax(bad))
            raise fault(
                f"Bounded from {lower.flat[first]} to {upper.flat[first]}",
                "lower < upper",
                "give the smaller bound first",
            )

    def constrain(self, free: Array) -> Array:
        lower, upper = self._bounds(free)
        # From the nearer bound, so that the distance from it keeps its relative precision.
        below = free < 0
        smaller = jnp.exp(jnp.where(below, free, -free))
        distance = (upper - lower) * (smaller / (1.0 + smaller))
        value = jnp.where(below, lower + distance, upper - distance)
        return _kept(value, lower + _rounding(lower), upper - _rounding(upper))

    def free(self, value: Array) -> Array:
        lower, upper = self._bounds(value)
        return jnp.log(value - lower) - jnp.log(upper - value)

    def check(self, name: str, value: Array) -> None:
        array = np.asarray(value)
        lower, upper = (np.asarray(bound) for bound in self._bounds(value))
        shape = np.broadcast_shapes(lower.shape, upper.shape)
        if broadcast(shape, array.shape) != array.shape:
            raise fault(
                f"bounds of shape {shape} for {name} of shape {array.shape}",
                "one bound, or one per element",
                "give bounds that broadcast to the leaf",
            )
        bad = ~((array > lower) & (array < upper))
        bounds = f"{lower} and {upper}" if shape == () else "their bounds"
        fix = "start from a value inside, or widen the bounds"
        refuse(name, array, bad, f"numbers strictly between {bounds}", fix)

    def _bounds(self, like: Array) -> tuple[Array, Array]:
        return self.lower.astype(like.dtype), self.upper.astype(like.dtype)


class Simplex(AbstractTransform):
    """Shares, positive and with sum 1 along the last axis: v_k = e^{x_k} / Σ_j e^{x_j}.

    The inverse is the centred log-ratio, x_k = ln v_k − mean_j ln v_j: as many free numbers as
    shares, with sum 0. Their common shift changes nothing and has the derivative 0. Leaving one
    number out instead would single out its share: a fit would depend on the order of the shares,
    and go badly where that one is small.

    There and back costs a relative error of |ln v| roundings, and makes the sum 1 to rounding.

    Source: Aitchison (1982).
    """

    def constrain(self, free: Array) -> Array:
        below = free - jax.lax.stop_gradient(free.max(axis=-1, keepdims=True))
        # Fused with the difference, as jax 0.12 would, it is rounded as the array's shape has it.
        weight = jnp.exp(jax.lax.optimization_barrier(below))
        return _kept(quotient(weight, total(weight)[..., None]), _tiny(free))

    def free(self, value: Array) -> Array:
        logarithm = jnp.log(value)
        return logarithm - mean(logarithm)[..., None]

    def check(self, name: str, value: Array) -> None:
        array = np.asarray(value)
        _check_axis(name, array, "shares")
        fix = "give every share a positive value, such as 1e-3, then divide by the sum"
        refuse(name, array, ~_positive(array), "finite numbers > 0", fix)
        sums = array.sum(axis=-1, dtype=np.float64)
        error = max(array.shape[-1], 4) * float(np.finfo(array.dtype).eps)
        bad = np.abs(sums - 1.0) > error
        refuse(f"the sum of {name}", sums, bad, "1, to rounding", "divide by the sum")


class Ordered(AbstractTransform):
    """Values that ascend along the last axis: v_0 = x_0, v_k = v_{k−1} + ln(1 + e^{x_k}).

    There and back costs, for each step up, an error of one rounding of the largest value. No two
    values are equal: a gap is at least one rounding.
    """

    def constrain(self, free: Array) -> Array:
        def up(value: Array, gap: Array) -> tuple[Array, Array]:
            above = value + _kept(gap, _rounding(value))
            return above, above

        first, gaps = free[..., 0], jax.nn.softplus(free[..., 1:])
        # One after the other: sums in another order need not ascend once they are rounded.
        _, others = jax.lax.scan(up, first, jnp.moveaxis(gaps, -1, 0))
        return jnp.concatenate([first[..., None], jnp.moveaxis(others, 0, -1)], axis=-1)

    def free(self, value: Array) -> Array:
        gaps = jnp.diff(value, axis=-1)
        return jnp.concatenate([value[..., :1], _softplus_inverse(gaps)], axis=-1)

    def check(self, name: str, value: Array) -> None:
        array = np.asarray(value)
        _check_axis(name, array, "values in order")
        fix = "sort the values, and set equal ones apart"
        refuse(name, array, ~np.isfinite(array), "finite numbers", fix)
        gaps = np.diff(array, axis=-1)
        expected = "values that ascend along the last axis, so positive gaps"
        refuse(f"the gaps of {name}", gaps, ~_positive(gaps), expected, fix)


def _softplus_inverse(value: Array) -> Array:
    """ln(e^v − 1), which neither overflows nor loses the digits of a small v."""
    return value + jnp.log(-jnp.expm1(-value))


def _kept(value: Array, least: Array, most: Array | None = None) -> Array:
    """The value, at least `least` and at most `most`, with its own derivative there too."""
    return value + jax.lax.stop_gradient(jnp.clip(value, least, most) - value)


def _tiny(like: Array) -> Array:
    """The smallest normal number of a dtype: below it there may be nothing but 0."""
    return jnp.asarray(jnp.finfo(like.dtype).tiny, like.dtype)


def _rounding(value: Array) -> Array:
    """A number that, added or subtracted, changes the value by one rounding at least."""
    return jnp.maximum(jnp.finfo(value.dtype).eps * jnp.abs(value), _tiny(value))


def _positive(array: np.ndarray) -> np.ndarray:
    return np.isfinite(array) & (array >= np.finfo(array.dtype).tiny)


def broadcast(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that two broadcast to, None if they do not."""
    try:
        return np.broadcast_shapes(one, other)
    except ValueError:
        return None


def _check_axis(name: str, array: np.ndarray, what: str) -> None:
    if array.ndim == 0:
        raise fault(
            f"{name}, a single number",
            f"an array of {what} along its last axis",
            "use tx.Positive() or tx.Bounded(lower, upper) for a single number",
        )


def refuse(name: str, array: np.ndarray, bad: np.ndarray, expected: str, fix: str) -> None:
    """Raise for the first element of an array that is marked as bad."""
    if bad.any():
        where = np.unravel_index(int(np.argmax(bad)), array.shape)
        place = f"{name}[{', '.join(map(str, where))}]" if where else name
        raise fault(f"{place} = {array[where]}", expected, fix)
