"""What each of many consecutive windows looked like."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from tauax._checks import check_count, check_numbers, check_shape
from tauax._types import FINITE, Scalar, numeric
from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.numerics.fusion import quotient
from tauax.numerics.windows import CentralSums
from tauax.readouts import Readout
from tauax.state import State


class _Rows(NamedTuple):
    """The statistics of windows."""

    mean: Array
    variance: Array
    skewness: Array
    kurtosis: Array
    zero_crossing_rate: Array


class WindowsResult(AbstractResult):
    """Statistics of consecutive windows.

    **Attributes:** `time`, `[window]`, that of the first record of each, seconds; `mean`,
    `variance`, `skewness`, `kurtosis` and `zero_crossing_rate`, `[*batch, window, ...]`; `axis`,
    the position of the window axis in them.
    """

    time: Array
    mean: Array
    variance: Array
    skewness: Array
    kurtosis: Array
    zero_crossing_rate: Array
    axis: int = eqx.field(static=True)

    def statistics(self) -> dict[str, Array]:
        """The statistics with the window axis last, `[*batch, ..., window]`."""
        found = {name: getattr(self, name) for name in _Rows._fields}
        return {name: jnp.moveaxis(value, self.axis, -1) for name, value in found.items()}

    def axes(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(_Rows._fields, ("time",))

    def coordinates(self) -> dict[str, Array]:
        return {"time": self.time}


class _Accumulator(eqx.Module):
    """The window under way, and the rows of those before it, windows first.

    `start` is the time of its first record; `above`, whether the last one was at the level or
    above; `crossings`, how often that has changed.
    """

    sums: CentralSums
    start: Scalar
    above: Bool[Array, "..."]
    crossings: Int[Array, "..."]
    time: Array
    rows: _Rows


class Windows(AbstractMonitor):
    """Moments of a readout in consecutive windows, and how often it crosses a level in each.

    With mₚ the mean of (x − mean)ᵖ over the W records of a window, and its derivative,

        variance = m₂,    skewness = m₃ / m₂^{3/2},    kurtosis = m₄ / m₂² − 3,

    and zero_crossing_rate = (changes of side of the level) / (W − 1), where a value at the level is
    above it: a share of the steps from record to record, so 1/s once divided by every·dt. Skewness
    and kurtosis of a window that does not vary are 0. The functions of these names in
    `tauax.numerics.windows` give the same of windows that are held whole.

    **Arguments:** `readout`; `window` W, in records, 2 or more; `every` and `after`, as for every
    monitor; `level`, to be crossed, in units of the readout, one number or one per component.

    **Result:** `WindowsResult` with `.time` `[window]`, that of the first record of each in
    seconds, and `.mean`, `.variance`, `.skewness`, `.kurtosis` and `.zero_crossing_rate`,
    `[*batch, window, ...]`.

    A record costs the same and takes the same memory however long the window is: the moments are
    found in one pass (Terriberry 2007; Pébay 2008), and a window leaves one row. Records at the end
    that do not fill a window leave none; a run shorter than that has no row. Windows of consecutive
    runs join when each run's `steps` is a multiple of `window`·`every`; else those of the later run
    start anew.

    **Raises:** `ValueError` or `TypeError` for a window < 2, a level that is not finite or does not
    fit the readout, or a complex readout.
    """

    readout: Readout = eqx.field(static=True)
    window: int = eqx.field(static=True)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)
    level: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)
        check_count("window", self.window, 2)
        check_numbers(self)

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape, dtype = real_numbers(self.readout, model, state)
        own = shape[len(state.axes) :]
        check_shape("level", self.level, [(), own], "give one level, or one per component")
        windows, zero = records // self.window, jnp.zeros((), state.time.dtype)
        none = jnp.zeros((windows, *shape), dtype)
        return _Accumulator(
            CentralSums.start(shape, dtype),
            zero,
            jnp.zeros(shape, bool),
            jnp.zeros(shape, jnp.int32),
            jnp.zeros((windows,), zero.dtype),
            _Rows(none, none, none, none, none),
        )

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        if accumulator.time.size == 0:  # no window is going to be filled
            return accumulator
        value = self.readout(model, state).astype(accumulator.rows.mean.dtype)
        place = record % self.window
        begins = place == 0
        fresh = CentralSums.start(value.shape, value.dtype)
        sums = jax.tree.map(lambda new, old: jnp.where(begins, new, old), fresh, accumulator.sums)
        sums = sums.include(value)
        above = value >= self.level.astype(value.dtype)
        changes = (above != accumulator.above).astype(jnp.int32)
        crossings = jnp.where(begins, 0, accumulator.crossings + changes)
        start = jnp.where(begins, state.time, accumulator.start)
        time, rows = jax.lax.cond(
            place == self.window - 1,
            lambda held: self._written(held, start, sums, crossings, record // self.window),
            lambda held: held,
            (accumulator.time, accumulator.rows),
        )
        return _Accumulator(sums, start, above, crossings, time, rows)

    def _written(self, held, start: Array, sums: CentralSums, crossings: Array, window: Array):
        """The times and rows with those of a window that is full."""
        time, rows = held
        rate = quotient(crossings.astype(sums.mean.dtype), self.window - 1)
        row = _Rows(sums.mean, sums.variance, sums.skewness, sums.kurtosis, rate)
        write = partial(jax.lax.dynamic_update_index_in_dim, index=window, axis=0)
        return jax.tree.map(write, (time, rows), (start, row))

    def result(self, accumulator: _Accumulator, state: State) -> WindowsResult:
        axis = len(state.axes)
        rows = [jnp.moveaxis(one, 0, axis) for one in accumulator.rows]
        return _result(accumulator.time, rows, axis)

    def recorded(self, result: WindowsResult, records: int) -> WindowsResult:
        windows, axis = records // self.window, result.axis
        rows = [jax.lax.slice_in_dim(one, 0, windows, axis=axis) for one in _rows(result)]
        return _result(result.time[:windows], rows, axis)

    def merge(self, earlier: WindowsResult, later: WindowsResult) -> WindowsResult:
        pairs = zip(_rows(earlier), _rows(later), strict=True)
        rows = [jnp.concatenate(pair, axis=earlier.axis) for pair in pairs]
        return _result(jnp.concatenate([earlier.time, later.time]), rows, earlier.axis)


def _rows(result: WindowsResult) -> list[Array]:
    return [getattr(result, name) for name in _Rows._fields]


def _result(time: Array, rows: list[Array], axis: int) -> WindowsResult:
    named = dict(zip(_Rows._fields, rows, strict=True))
    return WindowsResult(time=time, axis=axis, **named)
