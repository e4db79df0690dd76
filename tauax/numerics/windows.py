"""Statistics of a window of records: all of it at once, or one record at a time.

The functions take `[..., window]`, two entries or more from the oldest to the newest, and the
`count` of newest entries that hold a record, one number or one per window; what the others hold is
not read, NaN included. Without `count` all do. A window without a record gives 0.

What measures a spread is 0 for a window that does not vary, with derivative 0.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax.numerics.fusion import product, quotient
from tauax.numerics.reduce import total
from tauax.numerics.running import deviation

Count = Array | int | None
Number = Array | float | int


def variance(x: Array, count: Count = None) -> Array:
    """The population variance m₂, with mₚ = Σ (x − mean)ᵖ / n over the n records."""
    return _average(_deviations(x, count) ** 2, count)


def skewness(x: Array, count: Count = None) -> Array:
    """g₁ = m₃ / m₂^{3/2}, of the population; 0 for a window that does not vary."""
    return _average(_scores(x, count) ** 3, count)


def kurtosis(x: Array, count: Count = None) -> Array:
    """The excess g₂ = m₄ / m₂² − 3, of the population; 0 for a window that does not vary."""
    fourth = _average(_scores(x, count) ** 4, count)
    return jnp.where(fourth != 0, fourth - 3.0, 0.0)


def zero_crossing_rate(x: Array, level: Number | None = None, count: Count = None) -> Array:
    """The share of steps from one record to the next that cross a level: sides changed / (n − 1).

    `level` is one number or one per window, and the mean of the window if none is given. A value at
    the level is above it. Divided by the seconds between two records this is a rate in 1/s. It is
    piecewise constant: its derivative is 0.
    """
    above = _deviations(x, count) >= 0 if level is None else x >= jnp.asarray(level)[..., None]
    # A pair is held if its older record is.
    changes = (above[..., 1:] != above[..., :-1]) & _held(x, count)[..., :-1]
    pairs = jnp.maximum(_number(x, count) - 1, 1)
    return quotient(changes.sum(axis=-1, dtype=jnp.int32).astype(_floating(x)), pairs)


def band_power(x: Array, dt: Number, low: Number, high: Number, count: Count = None) -> Array:
    """The power of the window, without its mean, at frequencies low ≤ f < high.

    With X_k = Σ_m (x_m − mean) e^{−2πikm/W} over all W places, 0 where there is no record, the
    power at k/(W·dt) Hz is 2|X_k|²/(n W) for 0 < k < W/2 and half as much for k = W/2. Over all
    frequencies it sums to the variance (Parseval), so divided by that it is the share of the band.
    A band that holds no bin has power 0. No taper: a tone between two bins leaks into all.

    **Arguments:** `dt`, the seconds between two entries; `low` and `high`, Hz. All three may be
    traced; the derivative with respect to them is 0.

    **Returns:** `[...]`, in squared units of x.
    """
    size = x.shape[-1]
    found = jnp.fft.rfft(_deviations(x, count))[..., 1:]
    power = jnp.real(found) ** 2 + product(jnp.imag(found), jnp.imag(found))
    bins = jnp.arange(1, size // 2 + 1)
    weight = jnp.where(2 * bins == size, 1.0, 2.0) / size
    # Shifted by a little, so that rounding does not decide on which side of an edge a bin is.
    frequency = quotient(bins + 1e-3, size * jnp.asarray(dt))
    inside = (frequency >= low) & (frequency < high)
    share = jnp.where(inside, weight, 0.0).astype(power.dtype)
    return quotient(total(product(power, share)), jnp.maximum(_number(x, count), 1))


class CentralSums(eqx.Module):
    """Mean and Σ (x − mean)ᵖ, p = 2, 3, 4, of the values so far, each `[...]`.

    One value at a time by the update of Terriberry (2007; Pébay 2008, eq. 2.1 with one value), on
    the values less the first, so that a large mean costs no digits. Fourth powers have to fit: in
    float32 the deviations may lie between 1e-9 and 1e9.
    """

    count: Int[Array, ""]
    reference: Array
    moved: Array
    second: Array
    third: Array
    fourth: Array

    @classmethod
    def start(cls, shape: tuple[int, ...], dtype) -> "CentralSums":
        """Before the first value."""
        zeros = jnp.zeros(shape, dtype)
        return cls(jnp.zeros((), jnp.int32), zeros, zeros, zeros, zeros, zeros)

    def include(self, value: Array) -> "CentralSums":
        """One value more."""
        # A select, so that no product which made the value is contracted with the subtraction.
        value = jnp.where(jnp.isnan(value), jnp.nan, value)
        reference = jnp.where(self.count == 0, value, self.reference)
        before = self.count.astype(value.dtype)
        number = before + 1.0
        delta = (value - reference) - self.moved
        step = quotient(delta, number)
        square = step * step
        within = product(product(delta, step), before)
        ratio = product(number, number) - product(number, 3.0) + 3.0
        fourth = self.fourth + product(product(within, square), ratio)
        fourth = fourth + product(6.0 * square, self.second) - product(4.0 * step, self.third)
        third = self.third + product(product(within, step), number - 2.0)
        third = third - product(3.0 * step, self.second)
        moved, second = self.moved + step, self.second + within
        return CentralSums(self.count + 1, reference, moved, second, third, fourth)

    @property
    def mean(self) -> Array:
        """The mean of the values."""
        return self.reference + self.moved

    @property
    def variance(self) -> Array:
        """As the function of that name, for the values so far; so are the next two."""
        return self._moment(self.second)

    @property
    def skewness(self) -> Array:
        return self._moment(self.third) * _inverse(deviation(self.variance)) ** 3

    @property
    def kurtosis(self) -> Array:
        fourth = self._moment(self.fourth) * _inverse(deviation(self.variance)) ** 4
        return jnp.where(fourth != 0, fourth - 3.0, 0.0)

    def _moment(self, powers: Array) -> Array:
        return quotient(powers, jnp.maximum(self.count, 1))


def _number(x: Array, count: Count) -> Array:
    """How many entries hold a record."""
    size = x.shape[-1]
    return jnp.asarray(size) if count is None else jnp.clip(jnp.asarray(count), 0, size)


def _held(x: Array, count: Count) -> Array:
    """Which entries hold a record."""
    size = x.shape[-1]
    return jnp.arange(size) >= size - _number(x, count)[..., None]


def _average(x: Array, count: Count) -> Array:
    """The mean over the records; the other entries must be 0."""
    return quotient(total(x), jnp.maximum(_number(x, count), 1))


def _deviations(x: Array, count: Count) -> Array:
    """x − mean, 0 where there is no record; exactly 0 in a window that does not vary."""
    held = _held(x, count)
    newest = jax.lax.stop_gradient(x[..., -1:])  # no deviation depends on what is subtracted first
    moved = jnp.where(held, x - newest, 0).astype(_floating(x))
    return jnp.where(held, moved - _average(moved, count)[..., None], 0.0)


def _scores(x: Array, count: Count) -> Array:
    """Deviations in units of their root mean square: none of their powers leaves the range."""
    found = _deviations(x, count)
    return found * _inverse(deviation(_average(found**2, count)))[..., None]


def _inverse(spread: Array) -> Array:
    """1 / spread, and 0 with derivative 0 where it is 0."""
    varies = spread != 0
    return jnp.where(varies, 1.0 / jnp.where(varies, spread, 1.0), 0.0)


def _floating(x: Array):
    """The dtype of a mean of such values."""
    return jnp.result_type(x.dtype, float) if not jnp.issubdtype(x.dtype, jnp.floating) else x.dtype
