"""How often each value occurs."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax._checks import (
    check_count,
    check_instance,
    check_numbers,
    check_shape,
    fault,
    is_concrete,
)
from tauax._types import FINITE, Scalar, numeric
from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.readouts import Readout
from tauax.state import State


class HistogramResult(AbstractResult):
    """Counts over the records of a run.

    **Attributes:** `count`, `[*batch, ..., bin]`; `below` and `above`, `[*batch, ...]`, how many
    values were outside the range; `low` and `high`, its ends.
    """

    count: Array
    below: Int[Array, "..."]
    above: Int[Array, "..."]
    low: Scalar
    high: Scalar

    @property
    def edges(self) -> Array:
        """The ends of the bins, `[bin + 1]`."""
        return jnp.linspace(self.low, self.high, self.count.shape[-1] + 1)

    @property
    def centres(self) -> Array:
        """The middle of each bin, `[bin]`."""
        edges = self.edges
        return (edges[1:] + edges[:-1]) / 2

    @property
    def density(self) -> Array:
        """The probability density of the values within the range; NaN where there was none."""
        bins = self.count.shape[-1]
        inside = self.count.sum(axis=-1, keepdims=True)
        return self.count * (bins / (self.high - self.low)) / inside

    def statistics(self) -> dict[str, Array]:
        return {
            "count": self.count,
            "density": self.density,
            "below": self.below,
            "above": self.above,
        }

    def axes(self) -> dict[str, tuple[str, ...]]:
        return {"count": ("bin",), "density": ("bin",)}

    def coordinates(self) -> dict[str, Array]:
        return {"bin": self.centres}


class Histogram(AbstractMonitor):
    """Counts of the values of a readout in equal bins, one histogram per component.

    Bin k holds low + k·w ≤ x < low + (k + 1)·w with w = (high − low)/bins, and the last one
    x = high too. A value within a rounding of an edge may fall on either side of it.

    **Arguments:** `readout`; `low` and `high`, the ends of the range in units of the readout;
    `bins`, their number; `every` and `after`, as for every monitor;

    - `smooth`: whether each value is shared between the two nearest bin centres, in proportion to
      its nearness. Whole counts have no derivative; shared ones have one almost everywhere, and
      their density is the histogram's seen through a triangle of width 2w. A value less than half
      a bin from an end of the range belongs to the last bin alone and has derivative 0 there;
    - `periodic`: whether x and x + high − low are the same, as for a phase with the range
      [−π, π): then no value is outside, and sharing goes on across the ends.

    **Result:** `HistogramResult` with `.count`, `.density`, `.edges`, `.centres`, `.below` and
    `.above`. NaN is counted nowhere. Counts are 32-bit integers; smooth ones are floating sums in
    the precision of the phase, which in float32 stop growing at 2²⁴ values per bin.

        tx.Histogram(tx.phase, low=-jnp.pi, high=jnp.pi, bins=64)

    **Raises:** `ValueError` for bins < 1 or low ≥ high.
    """

    readout: Readout = eqx.field(static=True)
    low: Scalar = eqx.field(converter=numeric, metadata=FINITE)
    high: Scalar = eqx.field(converter=numeric, metadata=FINITE)
    bins: int = eqx.field(static=True)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)
    smooth: bool = eqx.field(static=True, default=False)
    periodic: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)
        check_count("bins", self.bins, 1)
        check_instance("smooth", self.smooth, bool, "pass True or False")
        check_instance("periodic", self.periodic, bool, "pass True or False")
        for name, end in (("low", self.low), ("high", self.high)):
            check_shape(name, end, [()], "give one range for all components")
        check_numbers(self)
        concrete = is_concrete(self.low) and is_concrete(self.high)
        if concrete and float(self.low) >= float(self.high):
            raise fault(
                f"low={float(self.low):g} and high={float(self.high):g}",
                "low < high",
                "exchange them, or widen the range",
            )

    def init(self, model, state: State, records: int) -> HistogramResult:
        shape, dtype = real_numbers(self.readout, model, state)
        none = jnp.zeros(shape, jnp.int32)
        count = jnp.zeros((*shape, self.bins), dtype if self.smooth else jnp.int32)
        return HistogramResult(count, none, none, self.low.astype(dtype), self.high.astype(dtype))

    def update(
        self, accumulator: HistogramResult, model, state: State, record: Array
    ) -> HistogramResult:
        low, high = accumulator.low, accumulator.high
        value = self.readout(model, state).astype(low.dtype)
        below, above = value < low, value > high
        if self.periodic:
            below = above = jnp.zeros_like(below)
        inside = jnp.isfinite(value) & ~below & ~above
        # In bins from the lower end; outside it does not matter, but must not make NaN.
        position = jnp.where(inside, value - low, 0.0) * (self.bins / (high - low))
        if self.periodic:
            position = position - self.bins * jnp.floor(position / self.bins)
        count = accumulator.count
        for bin, weight in self._shares(position):
            count = _add_at(count, jnp.where(inside, bin, self.bins), weight)
        return HistogramResult(
            count, accumulator.below + below, accumulator.above + above, low, high
        )

    def _shares(self, position: Array) -> list[tuple[Array, Array]]:
        """The bins that a value goes to, each with its share of it."""
        if not self.smooth:
            whole = jnp.ones(position.shape, jnp.int32)
            return [(self._bin(jnp.floor(position)), whole)]
        nearest = jnp.floor(position - 0.5)
        second = (position - 0.5) - nearest
        return [(self._bin(nearest), 1.0 - second), (self._bin(nearest + 1.0), second)]

    def _bin(self, index: Array) -> Array:
        """The bin of that index, where the two ends of the range are the same or a wall."""
        index = index.astype(jnp.int32)
        return index % self.bins if self.periodic else jnp.clip(index, 0, self.bins - 1)

    def result(self, accumulator: HistogramResult, state: State) -> HistogramResult:
        return accumulator

    def merge(self, earlier: HistogramResult, later: HistogramResult) -> HistogramResult:
        return HistogramResult(
            earlier.count + later.count,
            earlier.below + later.below,
            earlier.above + later.above,
            earlier.low,
            earlier.high,
        )


def _add_at(count: Array, bin: Array, weight: Array) -> Array:
    """Adds to one bin of every component; to none where `bin` is their number."""
    # A scatter into the flat counts: comparing each value with every bin is up to 10 times slower.
    bins, size = count.shape[-1], math.prod(count.shape)
    first = jnp.arange(0, size, bins, dtype=jnp.int32).reshape(bin.shape)
    place = jnp.where(bin < bins, first + bin, size)
    return count.reshape(-1).at[place].add(weight, mode="drop").reshape(count.shape)
