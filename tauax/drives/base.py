"""What a drive is, the algebra of drives, and what several of them need."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import fault
from tauax._types import FINITE, Phase, Torque, numeric
from tauax.algebra import AbstractMultiple, AbstractSum, AbstractTerm
from tauax.clock import Moment
from tauax.numerics import cycles
from tauax.numerics.fusion import product


class AbstractDrive(AbstractTerm):
    """What acts on the oscillators from outside: a torque F_i(t, θ), or kicks, or both.

    A drive is a function of (phase, moment), with wrapped phases `[oscillator]`, that returns a
    torque in rad/s. Drives add, `a + b`, and scale, `2.0 * a`.
    """

    @abstractmethod
    def __call__(self, phase: Phase, moment: Moment) -> Torque:
        """F_i(t, θ), of the shape of `phase`."""

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        """The phases after the kicks due in the step that begins now, not wrapped yet.

        A drive that never kicks returns `phase` itself.
        """
        return phase

    @staticmethod
    def algebra() -> tuple[type, type, type]:
        return AbstractDrive, Sum, Scaled


class Sum(AbstractSum, AbstractDrive):
    """F_i = Σ_k F_i⁽ᵏ⁾: several drives; kicks of one moment act one after the other, in order."""

    parts: tuple[AbstractDrive, ...]

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        for part in self.parts:
            phase = part.jump(phase, moment)
        return phase


class Scaled(AbstractMultiple, AbstractDrive):
    """F_i = s·F_i⁽⁰⁾: a drive, its kicks included, times one number or one per oscillator."""

    part: AbstractDrive
    factor: Array = eqx.field(converter=numeric, metadata=FINITE)

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        moved = self.part.jump(phase, moment)
        return phase if moved is phase else phase + product(self.factor, moved - phase)


def elapsed(moment: Moment, steps: Array, start: Array) -> cycles.Words:
    """Seconds from `start` to the beginning of this step or the one before, in two words.

    As dt, the start is the decimal number that it means (`cycles.nominal`).
    """
    clock, since = moment.clock, steps - moment.clock.since
    high = jnp.where(since < 0, clock.before, clock.dt)
    low = jnp.where(since < 0, 0.0, clock.dt_low)
    time = cycles.elapsed(clock.origin, (high, low), since)
    high, low = cycles.nominal(start)
    return cycles.two_sum(time, (-high, -low))


def check_times(name: str, times: Array) -> None:
    """Raise unless the times of events are a list of one or more."""
    if times.ndim != 1 or times.size == 0:
        raise fault(
            f"{name} of shape {times.shape}", "shape (events,)", "give a list of one time or more"
        )
