"""How much of the time is spent at each level."""

from itertools import pairwise

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax.monitors.base import (
    AbstractMonitor,
    AbstractResult,
    check_readout,
    checked_codes,
    real_numbers,
)
from tauax.numerics.fusion import quotient
from tauax.readouts import Readout
from tauax.state import State


class OccupancyResult(AbstractResult):
    """Sums of memberships over the records of a run.

    **Attributes:** `count`, the number of records; `whole` and `rest`, `[*batch, ..., code]`: the
    sum is whole + rest with 0 ≤ rest < 1, so whole memberships are counted exactly; `codes`.
    """

    count: Int[Array, ""]
    whole: Int[Array, "..."]
    rest: Array
    codes: tuple[float, ...] = eqx.field(static=True)

    @property
    def fraction(self) -> Array:
        """The share of the records at each code, `[*batch, ..., code]`; NaN without a record."""
        return quotient(self.whole.astype(self.rest.dtype) + self.rest, self.count)

    def statistics(self) -> dict[str, Array]:
        return {"fraction": self.fraction}

    def axes(self) -> dict[str, tuple[str, ...]]:
        return {"fraction": ("code",)}

    def coordinates(self) -> dict[str, Array]:
        return {"code": jnp.asarray(self.codes)}


class _Counts(eqx.Module):
    """The sums so far, an array per code."""

    count: Int[Array, ""]
    whole: tuple[Array, ...]
    rest: tuple[Array, ...]


class Occupancy(AbstractMonitor):
    """The share of the records at which a readout has each of some codes, such as −1, 0, 1.

    A value x belongs to the code c by max(0, 1 − |x − c|/g), g the distance of two codes, and a
    value beyond the first or the last code belongs to that one. So a value that is a code belongs
    to it alone, one in between to its two neighbours in proportion to its nearness, and the sum
    over the codes is 1. Where a code is soft this has a derivative; at a code itself it is the mean
    of those on both sides.

    **Arguments:** `readout`, integers or real numbers; `codes`, two or more, ascending in equal
    steps; `every` and `after`, as for every monitor.

    **Result:** `OccupancyResult` with `.fraction` `[*batch, ..., code]` and `.count`. NaN belongs
    to no code, so the fractions then sum to less than 1. Sums are 32-bit integers and a rest, so
    none stops growing at 2²⁴ as a sum in float32 does.

        tx.Occupancy(sign)  # of @tx.readout def sign(model, state): ...

    **Raises:** `ValueError` for codes that are not such; `TypeError` for a complex readout.
    """

    readout: Readout = eqx.field(static=True)
    codes: tuple[float, ...] = eqx.field(
        static=True, converter=checked_codes, default=(-1.0, 0.0, 1.0)
    )
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)

    def init(self, model, state: State, records: int) -> _Counts:
        shape, dtype = real_numbers(self.readout, model, state)
        none = tuple(jnp.zeros(shape, jnp.int32) for _ in self.codes)
        rest = tuple(jnp.zeros(shape, dtype) for _ in self.codes)
        return _Counts(jnp.zeros((), jnp.int32), none, rest)

    def update(self, accumulator: _Counts, model, state: State, record: Array) -> _Counts:
        value = self.readout(model, state).astype(accumulator.rest[0].dtype)
        parts = [
            _carried(whole, rest + share)
            for whole, rest, share in zip(
                accumulator.whole, accumulator.rest, self._memberships(value), strict=True
            )
        ]
        whole, rest = zip(*parts, strict=True)
        return _Counts(accumulator.count + 1, whole, rest)

    def _memberships(self, value: Array) -> list[Array]:
        """How much each value belongs to each code; an array per code, as that is faster."""
        known = ~jnp.isnan(value)
        value = jnp.where(known, value, self.codes[0])
        # How far the value is on the way from each code to the next. Not a clamp, whose derivative
        # at either end is that of one side.
        gap = self.codes[1] - self.codes[0]
        ways = [quotient(value - code, gap) for code in self.codes[:-1]]
        ways = [jnp.minimum(jnp.maximum(way, 0.0), 1.0) for way in ways]
        ends = [jnp.ones_like(value), *ways, jnp.zeros_like(value)]
        return [jnp.where(known, left - right, 0.0) for left, right in pairwise(ends)]

    def result(self, accumulator: _Counts, state: State) -> OccupancyResult:
        whole, rest = (jnp.stack(part, axis=-1) for part in (accumulator.whole, accumulator.rest))
        return OccupancyResult(accumulator.count, whole, rest, self.codes)

    def merge(self, earlier: OccupancyResult, later: OccupancyResult) -> OccupancyResult:
        whole, rest = _carried(earlier.whole + later.whole, earlier.rest + later.rest)
        return OccupancyResult(earlier.count + later.count, whole, rest, self.codes)


def _carried(whole: Array, rest: Array) -> tuple[Array, Array]:
    """The same sum with 0 ≤ rest < 1, where the rest was below 2."""
    carried = rest >= 1.0
    return whole + carried.astype(jnp.int32), jnp.where(carried, rest - 1.0, rest)
