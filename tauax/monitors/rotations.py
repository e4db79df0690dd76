"""Unwrapped displacement and mean frequency of every oscillator."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax.monitors.base import AbstractMonitor, AbstractResult
from tauax.numerics.circular import difference, wrap
from tauax.state import State


class RotationsResult(AbstractResult):
    """How far each oscillator went between the first and the last record.

    **Attributes:** `turns` and `rest`: the displacement is 2π·turns + rest, exact over any number
    of turns; `first` and `last`, the phases at both ends; `start` and `stop`, their times.
    """

    turns: Int[Array, "*batch oscillator"]
    rest: Array
    first: Array
    last: Array
    start: Array
    stop: Array

    @property
    def displacement(self) -> Array:
        """θ(stop) − θ(start) without wrapping, `[*batch, oscillator]`, radians."""
        return 2.0 * math.pi * self.turns + self.rest

    @property
    def frequency(self) -> Array:
        """Mean angular velocity, `[*batch, oscillator]`, rad/s; NaN with fewer than two records."""
        return self.displacement / (self.stop - self.start)

    def statistics(self) -> dict[str, Array]:
        return {"displacement": self.displacement, "frequency": self.frequency}


class Rotations(AbstractMonitor):
    """Displacement without wrapping, turns made and mean frequency, between first and last record.

    Sums the wrapped difference of consecutive records, so an oscillator that turns by more than π
    between two of them is counted short: keep `every` small for fast oscillators.

    **Arguments:** `every` and `after`, as for every monitor.

    **Result:** `RotationsResult` with `.displacement`, `.turns`, `.frequency`.
    """

    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def init(self, model, state: State, records: int) -> RotationsResult:
        turns = jnp.zeros(state.phase.shape, jnp.int32)
        unset = jnp.full((), jnp.nan, state.clock.dt.dtype)
        return RotationsResult(
            turns, jnp.zeros_like(state.phase), state.phase, state.phase, unset, unset
        )

    def update(
        self, accumulator: RotationsResult, model, state: State, record: Array
    ) -> RotationsResult:
        begins = record == 0
        first = jnp.where(begins, state.phase, accumulator.first)
        start = jnp.where(begins, state.time, accumulator.start)
        moved = jnp.where(begins, 0.0, difference(state.phase, accumulator.last))
        turns, rest = _advance(accumulator.turns, accumulator.rest, moved)
        return RotationsResult(turns, rest, first, state.phase, start, state.time)

    def result(self, accumulator: RotationsResult, state: State) -> RotationsResult:
        return accumulator

    def merge(self, earlier: RotationsResult, later: RotationsResult) -> RotationsResult:
        gap = difference(later.first, earlier.last)
        turns, rest = _advance(earlier.turns + later.turns, earlier.rest, later.rest)
        turns, rest = _advance(turns, rest, gap)
        joined = RotationsResult(turns, rest, earlier.first, later.last, earlier.start, later.stop)
        # A run without a record adds nothing.
        joined = _choose(jnp.isnan(earlier.start), later, joined)
        return _choose(jnp.isnan(later.start), earlier, joined)


def _advance(turns: Array, rest: Array, step: Array) -> tuple[Array, Array]:
    """2π·turns + rest + step with |rest| ≤ π again."""
    moved = rest + step
    wrapped = wrap(moved)
    carried = jnp.round((moved - wrapped) / (2.0 * math.pi)).astype(jnp.int32)
    return turns + carried, wrapped


def _choose(condition: Array, a: RotationsResult, b: RotationsResult) -> RotationsResult:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
