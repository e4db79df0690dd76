"""The least and the greatest value, and when they were reached."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.readouts import Readout
from tauax.state import State


class ExtremesResult(AbstractResult):
    """Extremes over the records of a run, `[*batch, ...]`; NaN without a record.

    **Attributes:** `minimum` and `maximum`; `time_of_minimum` and `time_of_maximum`, seconds, of
    the first record that had that value.
    """

    minimum: Array
    maximum: Array
    time_of_minimum: Array
    time_of_maximum: Array

    def statistics(self) -> dict[str, Array]:
        return {
            "minimum": self.minimum,
            "maximum": self.maximum,
            "time_of_minimum": self.time_of_minimum,
            "time_of_maximum": self.time_of_maximum,
        }


class Extremes(AbstractMonitor):
    """The minimum and maximum of a readout, and the time of the record that first reached each.

    NaN is passed over. The derivative of an extreme is that of the value at its record.

    **Arguments:** `readout`; `every` and `after`, as for every monitor.

    **Result:** `ExtremesResult` with `.minimum`, `.maximum`, `.time_of_minimum` and
    `.time_of_maximum`.
    """

    readout: Readout = eqx.field(static=True)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)

    def init(self, model, state: State, records: int) -> ExtremesResult:
        shape, dtype = real_numbers(self.readout, model, state)
        unset, never = jnp.full(shape, jnp.nan, dtype), jnp.full(shape, jnp.nan, state.time.dtype)
        return ExtremesResult(unset, unset, never, never)

    def update(
        self, accumulator: ExtremesResult, model, state: State, record: Array
    ) -> ExtremesResult:
        value = self.readout(model, state).astype(accumulator.minimum.dtype)
        time = jnp.broadcast_to(state.time, value.shape)
        return self.merge(accumulator, ExtremesResult(value, value, time, time))

    def result(self, accumulator: ExtremesResult, state: State) -> ExtremesResult:
        return accumulator

    def merge(self, earlier: ExtremesResult, later: ExtremesResult) -> ExtremesResult:
        lower = _replaces(later.minimum < earlier.minimum, later.minimum, earlier.minimum)
        higher = _replaces(later.maximum > earlier.maximum, later.maximum, earlier.maximum)
        return ExtremesResult(
            jnp.where(lower, later.minimum, earlier.minimum),
            jnp.where(higher, later.maximum, earlier.maximum),
            jnp.where(lower, later.time_of_minimum, earlier.time_of_minimum),
            jnp.where(higher, later.time_of_maximum, earlier.time_of_maximum),
        )


def _replaces(exceeds: Array, later: Array, earlier: Array) -> Array:
    """Whether the later value takes the place of the earlier, which NaN stands for none of."""
    return exceeds | (jnp.isnan(earlier) & ~jnp.isnan(later))
