"""Mean and variance in time."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax._checks import fault
from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout
from tauax.readouts import Readout
from tauax.state import State


class MomentsResult(AbstractResult):
    """Moments over the records of a run; `mean`, `variance` and `std` are `[*batch, ...]`.

    **Attributes:** `count`, the number of records; `mean`; `squares`, Σ (x − mean)².
    """

    count: Int[Array, ""]
    mean: Array
    squares: Array

    @property
    def variance(self) -> Array:
        """The population variance Σ (x − mean)² / count; NaN without a record."""
        return self.squares / self.count

    @property
    def std(self) -> Array:
        """The population standard deviation, with derivative 0 instead of NaN where it is 0."""
        variance = self.variance
        varies = variance != 0
        return jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1.0)), 0.0)

    def statistics(self) -> dict[str, Array]:
        return {"mean": self.mean, "variance": self.variance}


class _Accumulator(eqx.Module):
    """Running mean and squares, each with the low word of a compensated sum."""

    count: Int[Array, ""]
    mean: Array
    mean_low: Array
    squares: Array
    squares_low: Array


class Moments(AbstractMonitor):
    """Mean and population variance in time of a readout, by Welford's update with compensation.

    **Arguments:** `readout`; `every` and `after`, as for every monitor.

    **Result:** `MomentsResult` with `.mean`, `.variance`, `.std` and `.count`.

    Memory does not grow with the run. The mean of 10⁶ records in float32 keeps its last digits:
    both sums carry their rounding error along (Welford 1962; Kahan 1965). Two runs merge by the
    formula of Chan, Golub & LeVeque (1979).
    """

    readout: Readout = eqx.field(static=True)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape = jax.eval_shape(self.readout, model, state)
        dtype = jnp.promote_types(shape.dtype, state.phase.dtype)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise fault(
                f"a readout of dtype {shape.dtype}",
                "real numbers",
                "monitor its real and imaginary parts, or its modulus",
                TypeError,
            )
        zeros = jnp.zeros(shape.shape, dtype)
        return _Accumulator(jnp.zeros((), jnp.int32), zeros, zeros, zeros, zeros)

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        value = self.readout(model, state)
        count = accumulator.count + 1
        delta = value - accumulator.mean
        mean, mean_low = _add(accumulator.mean, accumulator.mean_low, delta / count)
        squares, squares_low = _add(
            accumulator.squares, accumulator.squares_low, delta * (value - mean)
        )
        return _Accumulator(count, mean, mean_low, squares, squares_low)

    def result(self, accumulator: _Accumulator, state: State) -> MomentsResult:
        count = accumulator.count
        mean = jnp.where(count > 0, accumulator.mean, jnp.nan)
        return MomentsResult(count, mean, accumulator.squares)

    def merge(self, earlier: MomentsResult, later: MomentsResult) -> MomentsResult:
        count = earlier.count + later.count
        share = later.count / jnp.maximum(count, 1)
        both = (earlier.count > 0) & (later.count > 0)
        delta = jnp.where(both, later.mean - earlier.mean, 0.0)
        base = jnp.where(earlier.count > 0, earlier.mean, later.mean)
        return MomentsResult(
            count,
            base + delta * share,
            earlier.squares + later.squares + delta**2 * earlier.count * share,
        )


def _add(high: Array, low: Array, term: Array) -> tuple[Array, Array]:
    """high + term, where `low` holds what earlier additions rounded away (Kahan)."""
    term = term - low
    total = high + term
    return total, (total - high) - term
