"""A thin record in time."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout
from tauax.readouts import Readout
from tauax.state import State


class TraceResult(AbstractResult):
    """Records of a readout.

    **Attributes:** `time`, `[record]`, seconds; `value`, `[*batch, record, ...]`; `axis`, the
    position of the record axis in `value`.
    """

    time: Array
    value: Array
    axis: int = eqx.field(static=True)

    def statistics(self) -> dict[str, Array]:
        return {"value": self.value}


class _Accumulator(eqx.Module):
    """Records first, so that each is written in one piece."""

    time: Array
    value: Array


class Trace(AbstractMonitor):
    """The values of a readout at every `every`-th step: the only monitor whose memory grows.

    **Arguments:** `readout`; `every` and `after`, as for every monitor.

    **Result:** `TraceResult` with `.time` `[record]` in seconds and `.value`
    `[*batch, record, ...]`. Traces of consecutive runs join when each run's `steps` is a multiple
    of `every`.
    """

    readout: Readout = eqx.field(static=True)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape = jax.eval_shape(self.readout, model, state)
        return _Accumulator(
            jnp.zeros((records,), state.clock.dt.dtype),
            jnp.zeros((records, *shape.shape), shape.dtype),
        )

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        return _Accumulator(
            accumulator.time.at[record].set(state.time),
            accumulator.value.at[record].set(self.readout(model, state)),
        )

    def result(self, accumulator: _Accumulator, state: State) -> TraceResult:
        axis = len(state.axes)
        return TraceResult(accumulator.time, jnp.moveaxis(accumulator.value, 0, axis), axis)

    def recorded(self, result: TraceResult, records: int) -> TraceResult:
        kept = jax.lax.slice_in_dim(result.value, 0, records, axis=result.axis)
        return TraceResult(result.time[:records], kept, result.axis)

    def merge(self, earlier: TraceResult, later: TraceResult) -> TraceResult:
        return TraceResult(
            jnp.concatenate([earlier.time, later.time]),
            jnp.concatenate([earlier.value, later.value], axis=earlier.axis),
            earlier.axis,
        )
