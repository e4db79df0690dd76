"""A periodic drive that entrains."""

import equinox as eqx
from jaxtyping import Array

from tauax._checks import check_count, check_numbers, check_per_oscillator
from tauax._types import FINITE, Phase, Torque, numeric
from tauax.clock import Moment
from tauax.drives.base import AbstractDrive
from tauax.numerics.fusion import product
from tauax.numerics.trig import sincos


class Tone(AbstractDrive):
    """F = A sin(nΩt + φ − mθ): a tone that entrains n turns of an oscillator to m of its cycles.

    An oscillator of frequency ω locks to θ̇ = (n/m)·Ω if |mω − nΩ| < mA; with n = m = 1 that is
    Adler's equation (Adler 1946, Proc. IRE 34:351). The angle Ωt is counted in integers, exact over
    10⁹ steps.

    **Arguments:** `amplitude` A and `frequency` Ω in rad/s, `phase` φ in radians, each one number
    or one per oscillator; `turns` n and `cycles` m, positive integers.

    **Raises:** `ValueError` for values that are not finite, or a shape that does not fit the
    system; `ValueError` or `TypeError` for turns or cycles that are not positive integers.
    """

    amplitude: Array = eqx.field(converter=numeric, metadata=FINITE)
    frequency: Array = eqx.field(converter=numeric, metadata=FINITE)
    phase: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)
    turns: int = eqx.field(static=True, default=1)
    cycles: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_numbers(self)
        check_count("turns", self.turns, 1)
        check_count("cycles", self.cycles, 1)

    def __call__(self, phase: Phase, moment: Moment) -> Torque:
        # Ωt comes modulo 2π, and n times it is the same angle as n times the whole.
        angle = product(moment.angle(self.frequency), self.turns) + self.phase
        sin, _ = sincos(angle - product(phase, self.cycles))
        return product(self.amplitude, sin)

    def check(self, size: int) -> None:
        for name in ("amplitude", "frequency", "phase"):
            check_per_oscillator(f"Tone.{name}", getattr(self, name), size)
