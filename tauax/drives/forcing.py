"""A signal that acts through a phase response, or adds to the velocity."""

from abc import abstractmethod
from typing import Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_instance, check_numbers, check_per_oscillator, check_shape, fault
from tauax._types import FINITE, POSITIVE, Phase, Torque, numeric
from tauax.clock import Moment
from tauax.drives.base import AbstractDrive, elapsed
from tauax.numerics import cycles
from tauax.numerics.fusion import product
from tauax.numerics.intervals import passed
from tauax.numerics.trig import sincos
from tauax.responses import AbstractResponse

Interpolation = Literal["linear", "hold"]
Beyond = Literal["hold", "zero", "repeat"]


class AbstractSignal(eqx.Module):
    """A number s(t) for all oscillators, or one for each."""

    @abstractmethod
    def __call__(self, moment: Moment) -> Array:
        """s(t), a single number or `[oscillator]`."""

    @abstractmethod
    def check(self, size: int) -> None:
        """Raise unless the signal fits a system of `size` oscillators."""


class Forcing(AbstractDrive):
    """F = Z(θ)·s(t): a signal that acts through the phase response Z of the oscillators.

    Without a response Z = 1: plain additive forcing, which shakes a phase oscillator, but cannot
    entrain it. Where nothing else acts, θ(t) = θ(0) + ωt + ∫ s dt whatever the phase, so a signal
    of mean zero changes no mean frequency. To entrain, give a response or use `Tone`.

    **Arguments:** `signal`, such as `Sine` or `Sampled`, in rad/s where Z is a pure number;
    `response` Z, such as `PhaseResponse.type_two()`, or None.

    **Raises:** `TypeError` for anything else; `ValueError` if they do not fit the system.
    """

    signal: AbstractSignal
    response: AbstractResponse | None = None

    def __check_init__(self) -> None:
        check_instance("signal", self.signal, AbstractSignal, "pass tx.Sine(1.0, 6.28)")
        if self.response is not None:
            fix = "pass tx.PhaseResponse.type_two(), or leave it out for additive forcing"
            check_instance("response", self.response, AbstractResponse, fix)

    def __call__(self, phase: Phase, moment: Moment) -> Torque:
        signal = jnp.broadcast_to(self.signal(moment), phase.shape)
        return signal if self.response is None else product(signal, self.response(phase))

    def check(self, size: int) -> None:
        self.signal.check(size)
        if self.response is not None:
            self.response.check(size)


class Sine(AbstractSignal):
    """s = A sin(Ωt + φ), with an angle that is exact over 10⁹ steps.

    **Arguments:** `amplitude` A; `frequency` Ω in rad/s; `phase` φ in radians; each one number or
    one per oscillator.
    """

    amplitude: Array = eqx.field(converter=numeric, metadata=FINITE)
    frequency: Array = eqx.field(converter=numeric, metadata=FINITE)
    phase: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)

    def __check_init__(self) -> None:
        check_numbers(self)

    def __call__(self, moment: Moment) -> Array:
        sin, _ = sincos(moment.angle(self.frequency) + self.phase)
        return product(self.amplitude, sin)

    def check(self, size: int) -> None:
        for name in ("amplitude", "frequency", "phase"):
            check_per_oscillator(f"Sine.{name}", getattr(self, name), size)


class Sampled(AbstractSignal):
    """A signal given at the times start + k·interval, such as a recorded stimulus.

    The place in the record is found from the integer step, so it does not slip in long runs.

    **Arguments:** `values`, `[sample]` or `[sample, oscillator]`; `interval` in seconds, > 0;
    `start` in seconds; `interpolation`, `"linear"`, or `"hold"` for the last value that was due
    when the step began, which holds through the step; `beyond`, what comes before the first and
    after the last sample: `"hold"` goes on with the nearest one, `"zero"` gives 0, and `"repeat"`
    makes the record periodic with period samples·interval.

    **Raises:** `ValueError` for an empty record, an interval ≤ 0, or an unknown option.
    """

    values: Array = eqx.field(converter=numeric, metadata=FINITE)
    interval: Array = eqx.field(converter=numeric, metadata=POSITIVE)
    start: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)
    interpolation: Interpolation = eqx.field(static=True, default="linear")
    beyond: Beyond = eqx.field(static=True, default="hold")

    def __check_init__(self) -> None:
        check_numbers(self)
        if self.values.ndim not in (1, 2) or self.values.shape[0] == 0:
            raise fault(
                f"values of shape {self.values.shape}",
                "shape (samples,) or (samples, oscillators)",
                "give at least one sample, samples first; one record per member goes through "
                "tx.per_member",
            )
        for name, options in (("interpolation", Interpolation), ("beyond", Beyond)):
            if getattr(self, name) not in get_args(options):
                raise fault(
                    f"{name}={getattr(self, name)!r}",
                    f"one of {', '.join(get_args(options))}",
                    f'leave it out for "{get_args(options)[0]}"',
                )

    def __call__(self, moment: Moment) -> Array:
        held = self.interpolation == "hold"
        index, part = passed(self._since_start(moment, held), cycles.nominal(self.interval))
        if held:
            return self._sample(index, 0)
        here, following = self._sample(index, 0), self._sample(index, 1)
        value = here + part * (following - here)
        if self.beyond != "zero":
            return value
        inside = (index >= 0) & (index + part <= self.values.shape[0] - 1)
        return jnp.where(inside, value, 0.0)

    def check(self, size: int) -> None:
        if self.values.ndim == 2 and self.values.shape[1] != size:
            raise fault(
                f"Sampled.values for {self.values.shape[1]} oscillators",
                f"{size} oscillators",
                "give shape (samples,) or (samples, oscillators)",
            )
        for name in ("interval", "start"):
            fix = "give one number for all oscillators"
            check_shape(f"Sampled.{name}", getattr(self, name), [()], fix)

    def _since_start(self, moment: Moment, held: bool) -> cycles.Words:
        """Seconds since the first sample: at the moment, or a little after its step began."""
        # A thousandth of a step: a sample that is due with the step is not late by a rounding.
        fraction = jnp.asarray(1e-3 if held else moment.fraction, moment.dt.dtype)
        later = cycles.two_product(fraction, moment.dt)
        return cycles.two_sum(elapsed(moment, moment.step, self.start), later)

    def _sample(self, index: Array, after: int) -> Array:
        count = self.values.shape[0]
        if self.beyond == "repeat":
            # The sum cannot overflow, as the index is below 2³¹ − 1.
            return self.values[(index + after) % count]
        value = self.values[jnp.clip(index + after, 0, count - 1)]
        if self.beyond == "zero" and self.interpolation == "hold":
            return jnp.where((index >= 0) & (index < count), value, 0.0)
        return value
