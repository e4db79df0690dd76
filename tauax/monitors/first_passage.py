"""When a level is first reached."""

from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_numbers, check_shape, fault
from tauax._types import FINITE, numeric
from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.readouts import Readout
from tauax.state import State

Direction = Literal["up", "down"]


class FirstPassageResult(AbstractResult):
    """When each component first reached the level, `[*batch, ...]`.

    **Attributes:** `time`, seconds, NaN where it has not; `first` and `last`, the values at both
    ends of the run; `start` and `stop`, their times.
    """

    time: Array
    first: Array
    last: Array
    start: Array
    stop: Array

    @property
    def passed(self) -> Array:
        """Whether the level was reached."""
        return ~jnp.isnan(self.time)

    def statistics(self) -> dict[str, Array]:
        return {"time": self.time, "passed": self.passed}


class FirstPassage(AbstractMonitor):
    """The first time at which a readout is at or beyond a level.

    The first record at or beyond it is found, and the time t* is where the straight line from the
    record before to this one meets the level,

        t* = t₀ + (t₁ − t₀)·(level − x₀)/(x₁ − x₀).

    The time of a record changes in jumps only and its derivative is 0; that of t* is
    −∂x(t*)/ẋ(t*) with the slope of the line, and right until a parameter moves so far that another
    record is the first. A component that is beyond the level at its first record has the time of
    that record, with derivative 0; one that never gets there has NaN. Read a wrapped phase with
    care: its jump by 2π is taken for a passage.

    **Arguments:** `readout`; `level`, one number, or one per component of the readout, in its
    units; `direction`, `"up"` for x ≥ level or `"down"` for x ≤ level; `every` and `after`, as for
    every monitor. What happens between two records is not seen.

    **Result:** `FirstPassageResult` with `.time` in seconds, counted as `state.time`, and
    `.passed`.

    **Raises:** `ValueError` for a level that is not finite or does not fit the readout, and an
    unknown direction.
    """

    readout: Readout = eqx.field(static=True)
    level: Array = eqx.field(converter=numeric, metadata=FINITE)
    direction: Direction = eqx.field(static=True, default="up")
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)
        check_numbers(self)
        if self.direction not in get_args(Direction):
            raise fault(
                f"direction={self.direction!r}",
                f"one of {', '.join(get_args(Direction))}",
                'leave it out for "up"',
            )

    def init(self, model, state: State, records: int) -> FirstPassageResult:
        shape, dtype = real_numbers(self.readout, model, state)
        own = shape[len(state.axes) :]
        check_shape("level", self.level, [(), own], "give one level, or one per component")
        unset = jnp.full((), jnp.nan, state.time.dtype)
        missing = jnp.full(shape, jnp.nan, dtype)
        return FirstPassageResult(jnp.full(shape, unset), missing, missing, unset, unset)

    def update(
        self, accumulator: FirstPassageResult, model, state: State, record: Array
    ) -> FirstPassageResult:
        value = self.readout(model, state).astype(accumulator.last.dtype)
        time = jnp.where(self._beyond(value), state.time, jnp.nan)
        one = FirstPassageResult(time, value, value, state.time, state.time)
        return self.merge(accumulator, one)

    def result(self, accumulator: FirstPassageResult, state: State) -> FirstPassageResult:
        return accumulator

    def merge(self, earlier: FirstPassageResult, later: FirstPassageResult) -> FirstPassageResult:
        # Beyond it at once, and not before: reached on the way from one run to the other.
        crossed = self._beyond(later.first) & ~self._beyond(earlier.last)
        crossed = crossed & ~jnp.isnan(earlier.last)
        rise = jnp.where(crossed, later.first - earlier.last, 1.0)
        share = (self._level(earlier.last) - earlier.last) / rise
        between = earlier.stop + jnp.where(crossed, share, 0.0) * (later.start - earlier.stop)
        time = jnp.where(crossed, between.astype(later.time.dtype), later.time)
        joined = FirstPassageResult(
            jnp.where(jnp.isnan(earlier.time), time, earlier.time),
            earlier.first,
            later.last,
            earlier.start,
            later.stop,
        )
        # A run without a record adds nothing.
        joined = _choose(jnp.isnan(earlier.start), later, joined)
        return _choose(jnp.isnan(later.start), earlier, joined)

    def _level(self, value: Array) -> Array:
        return self.level.astype(value.dtype)

    def _beyond(self, value: Array) -> Array:
        level = self._level(value)
        return value >= level if self.direction == "up" else value <= level


def _choose(condition: Array, a: FirstPassageResult, b: FirstPassageResult) -> FirstPassageResult:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
