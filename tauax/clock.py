"""Time, counted in steps: never a running sum of floating numbers."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from tauax._types import Scalar, Step
from tauax.numerics import cycles


class Clock(NamedTuple):
    """Time from the integer step: t(n) = origin + (n − since)·dt.

    **Attributes:** `origin`, the time in seconds at step `since`, in two words so that it stays
    exact through changes of `dt`; `since`; `dt`, the length of the steps from there on, and
    `dt_low`, what float32 leaves of a decimal number (`cycles.nominal`): 10⁷ steps of 0.01 s are
    10⁵ s; `before`, the length of the step before, 0 at the start.
    """

    origin: tuple[Scalar, Scalar]
    since: Step
    dt: Scalar
    dt_low: Scalar
    before: Scalar

    @classmethod
    def start(cls, dtype) -> "Clock":
        """Time 0 at step 0, with no dt chosen yet."""
        zero = jnp.zeros((), dtype)
        return cls((zero, zero), jnp.zeros((), jnp.int32), zero, zero, zero)

    def time(self, step: Step) -> Array:
        """Seconds at a step, or at each of an array of steps."""
        high, low = self.origin
        count = (step - self.since).astype(self.dt.dtype)
        return high + (count * self.dt + (count * self.dt_low + low))

    @property
    def words(self) -> cycles.Words:
        """The length of a step, in two words."""
        return self.dt, self.dt_low

    def with_dt(self, dt: Scalar, step: Step) -> "Clock":
        """The clock that goes on from `step` in steps of `dt`; unchanged if dt is."""
        same = dt == self.dt
        now = cycles.elapsed(self.origin, self.words, step - self.since)
        origin = tuple(jnp.where(same, old, new) for old, new in zip(self.origin, now, strict=True))
        since, before = jnp.where(same, self.since, step), jnp.where(same, self.before, self.dt)
        return Clock((origin[0], origin[1]), since, *cycles.nominal(dt), before)


class Moment(NamedTuple):
    """A point in time inside a step: what the parts of a model know of time.

    **Attributes:** `clock`; `step`, the number of the step; `fraction`, how much of it has passed,
    0 at its start and 1 at its end.
    """

    clock: Clock
    step: Step
    fraction: Array | float = 0.0

    @property
    def dt(self) -> Scalar:
        """The length of the step, seconds."""
        return self.clock.dt

    @property
    def time(self) -> Array:
        """Seconds since the start of the run."""
        return self.clock.time(self.step) + jnp.asarray(self.fraction, self.dt.dtype) * self.dt

    def angle(self, frequency: Array) -> Array:
        """Ωt modulo 2π at Ω = `frequency` in rad/s, radians in [−π, π]; exact over 10⁹ steps."""
        fraction = jnp.asarray(self.fraction, self.dt.dtype)
        steps = self.step - self.clock.since
        return cycles.angle(frequency, self.clock.words, steps, fraction, self.clock.origin)

    @property
    def before(self) -> Scalar:
        """The length of the step that ended where this one begins, seconds; 0 at the start."""
        return jnp.where(self.step == self.clock.since, self.clock.before, self.dt)

    def steps_until(self, time: Array) -> Array:
        """The number of steps, rounded up, from the start of this step to `time`.

        A time within a thousandth of a step, or its own rounding, after the start of a step counts
        as that start, so that rounding does not delay what is due now. Negative if it has passed.
        """
        since = self._since(time) / self.dt
        late = jnp.minimum(1e-3 + jnp.finfo(since.dtype).eps * jnp.abs(since), 0.25)
        whole = jnp.clip(jnp.ceil(since - late), -(2.0**30), 2.0**30).astype(jnp.int32)
        return whole - (self.step - self.clock.since)

    def begins(self, time: Array) -> Array:
        """Whether this step is the first that begins at or after `time`, through changes of dt."""
        until, first = self.steps_until(time), self.step == self.clock.since
        # In the first step of another dt: what the step before it had not reached.
        unseen = (self._since(time) > -(1.0 - 1e-3) * self.clock.before) | (self.step == 0)
        return jnp.where(first, (until <= 0) & unseen, until == 0)

    def _since(self, time: Array) -> Array:
        """Seconds from the clock's origin to a time."""
        high, low = self.clock.origin
        return (time - high) - low
