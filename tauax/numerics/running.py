"""Mean and spread of a sequence in one pass, with the rounding errors carried along."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax.numerics.fusion import quotient


class Running(eqx.Module):
    """Count, mean and Σ (x − mean)² so far, each sum with the low word of a compensated one."""

    count: Int[Array, ""]
    mean: Array
    mean_low: Array
    squares: Array
    squares_low: Array

    @classmethod
    def start(cls, shape: tuple[int, ...], dtype) -> "Running":
        """Before the first value."""
        zeros = jnp.zeros(shape, dtype)
        return cls(jnp.zeros((), jnp.int32), zeros, zeros, zeros, zeros)

    def include(self, value: Array) -> "Running":
        """One value more: Welford's update (1962) with Kahan's compensation (1965)."""
        count = self.count + 1
        delta = value - self.mean
        mean, mean_low = compensated(self.mean, self.mean_low, quotient(delta, count))
        squares, squares_low = compensated(self.squares, self.squares_low, delta * (value - mean))
        return Running(count, mean, mean_low, squares, squares_low)


def compensated(high: Array, low: Array, term: Array) -> tuple[Array, Array]:
    """high + term, where `low` holds what earlier additions rounded away (Kahan)."""
    term = term - low
    total = high + term
    return total, (total - high) - term


def joined(earlier: tuple[Array, Array, Array], later: tuple[Array, Array, Array]):
    """(count, mean, squares) of two sequences as one, by Chan, Golub & LeVeque (1979).

    The mean of no value may be anything, NaN as well.
    """
    (count, mean, squares), (count_later, mean_later, squares_later) = earlier, later
    total = count + count_later
    share = count_later / jnp.maximum(total, 1)
    both = (count > 0) & (count_later > 0)
    delta = jnp.where(both, mean_later - mean, 0.0)
    base = jnp.where(count > 0, mean, mean_later)
    return total, base + delta * share, squares + squares_later + delta**2 * count * share


def deviation(variance: Array) -> Array:
    """√variance, with derivative 0 instead of NaN where it is 0."""
    varies = variance != 0
    return jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)
