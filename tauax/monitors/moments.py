"""Mean and variance in time."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.numerics.running import Running, deviation, joined
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
        return deviation(self.variance)

    def statistics(self) -> dict[str, Array]:
        return {"mean": self.mean, "variance": self.variance}


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

    def init(self, model, state: State, records: int) -> Running:
        return Running.start(*real_numbers(self.readout, model, state))

    def update(self, accumulator: Running, model, state: State, record: Array) -> Running:
        return accumulator.include(self.readout(model, state))

    def result(self, accumulator: Running, state: State) -> MomentsResult:
        count = accumulator.count
        mean = jnp.where(count > 0, accumulator.mean, jnp.nan)
        return MomentsResult(count, mean, accumulator.squares)

    def merge(self, earlier: MomentsResult, later: MomentsResult) -> MomentsResult:
        return MomentsResult(
            *joined(
                (earlier.count, earlier.mean, earlier.squares),
                (later.count, later.mean, later.squares),
            )
        )
