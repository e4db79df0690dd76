"""Phase oscillators, the system of Kuramoto and its relatives."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_instance, check_numbers, fault
from tauax._types import FINITE, MemberKey, Phase, Torque, numeric
from tauax.clock import Moment
from tauax.couplings.base import AbstractCoupling
from tauax.drives.base import AbstractDrive
from tauax.noise import AbstractNoise
from tauax.numerics import random
from tauax.numerics.trig import sincos_once
from tauax.systems.base import AbstractSystem


class PhaseOscillators(AbstractSystem):
    """dθ_i = [ω_i + C_i(θ) + F_i(t, θ)] dt + √(2 D_i) dW_i.

    **Arguments:** `frequency` ω, `[oscillator]`, rad/s, whose dtype is that of the phase;
    `coupling` C, `noise` and `drive` F, or None for free, noiseless and undriven oscillators.

    Phases start uniformly at random unless `tx.init(..., phase=...)` says otherwise.

    **Raises:** `ValueError` for non-finite frequencies, and for parts that do not fit their number.
    """

    frequency: Array = eqx.field(converter=numeric, metadata=FINITE)
    coupling: AbstractCoupling | None = None
    noise: AbstractNoise | None = None
    drive: AbstractDrive | None = None

    def __check_init__(self) -> None:
        check_numbers(self)
        if self.frequency.ndim != 1 or self.frequency.size == 0:
            raise fault(
                f"frequency of shape {self.frequency.shape}",
                "shape (oscillators,)",
                "for one set per member build the model with one set, then "
                "tx.per_member(model, lambda m: m.frequency, sets)",
            )
        if self.frequency.dtype not in (jnp.float32, jnp.float64):
            raise fault(
                f"frequency of dtype {self.frequency.dtype}",
                "float32 or float64",
                "convert it: a phase in fewer bits loses slow oscillators",
            )
        for name, kind in _PARTS.items():
            part = getattr(self, name)
            if part is not None:
                check_instance(name, part, kind, f"pass a {name} such as {_EXAMPLE[name]}")
                part.check(self.size)

    @property
    def size(self) -> int:
        return self.frequency.shape[-1]

    @property
    def dtype(self):
        return self.frequency.dtype

    def initial_phase(self, key: MemberKey | None) -> Phase:
        assert key is not None
        return random.angles(key, self.size, self.dtype)

    def drift(self, phase: Phase, moment: Moment) -> Torque:
        torque = jnp.broadcast_to(self.frequency, phase.shape)
        if self.coupling is not None:
            torque = torque + self.coupling(*sincos_once(phase, moment.step))
        else:
            # The frequency still, but none that rows share: one program rounds dt·ω once for all of
            # them, another contracts it with what it is added to.
            torque = jnp.where(phase == phase, torque, phase)  # noqa: PLR0124
        if self.drive is not None:
            torque = torque + self.drive(phase, moment)
        return torque

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        return phase if self.drive is None else self.drive.jump(phase, moment)


_PARTS = {"coupling": AbstractCoupling, "noise": AbstractNoise, "drive": AbstractDrive}
_EXAMPLE = {
    "coupling": "tx.MeanField(strength=2.0)",
    "noise": "tx.WhiteNoise(intensity=0.1)",
    "drive": "tx.Tone(amplitude=1.0, frequency=6.28)",
}
