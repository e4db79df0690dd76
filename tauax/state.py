"""The state of a run: everything that is needed to carry it on exactly."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._types import MemberKey, Phase, Scalar, Step


class Clock(NamedTuple):
    """Time from the integer step: t(n) = origin + (n − since)·dt, never a running float sum.

    **Attributes:** `origin`, the time in seconds at step `since`, from which on steps last `dt`.
    """

    origin: Scalar
    since: Step
    dt: Scalar

    @classmethod
    def start(cls, dtype) -> "Clock":
        """Time 0 at step 0, with no dt chosen yet."""
        return cls(jnp.zeros((), dtype), jnp.zeros((), jnp.int32), jnp.zeros((), dtype))

    def time(self, step: Step) -> Array:
        """Seconds at a step, or at each of an array of steps."""
        return self.origin + (step - self.since).astype(self.dt.dtype) * self.dt

    def with_dt(self, dt: Scalar, step: Step) -> "Clock":
        """The clock that goes on from `step` in steps of `dt`; unchanged if dt is."""
        same = dt == self.dt
        origin = jnp.where(same, self.origin, self.time(step))
        return Clock(origin, jnp.where(same, self.since, step), dt)


class State(eqx.Module):
    """Where a run stands; made by `tx.init`, advanced by `tx.step` and `tx.simulate`.

    **Attributes:** `step`, the number of steps made, one for all members; `clock`, from which
    `time` follows; `key`, `[*batch, 2]`, the two words that address a
    member's noise (None if nothing is random);
    `phase`, `[*batch, oscillator]`, radians in [−π, π); `axes`, the names of the batch axes.
    """

    step: Step
    clock: Clock
    key: MemberKey | None
    phase: Phase
    axes: tuple[str, ...] = eqx.field(static=True, default=())

    @property
    def time(self) -> Array:
        """Seconds since the start, through all changes of dt."""
        return self.clock.time(self.step)
