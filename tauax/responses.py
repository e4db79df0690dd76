"""Phase responses: how much an oscillator turns for a push, as a function of its phase."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_numbers, check_per_oscillator, check_shape, fault
from tauax._types import FINITE, Phase, numeric
from tauax.numerics.fusion import cross
from tauax.numerics.trig import sincos_wrapped


class AbstractResponse(eqx.Module):
    """A phase-response curve Z(θ)."""

    @abstractmethod
    def __call__(self, phase: Phase) -> Array:
        """Z at wrapped phases, `[oscillator]`."""

    @abstractmethod
    def check(self, size: int) -> None:
        """Raise unless the curve fits a system of `size` oscillators."""


class PhaseResponse(AbstractResponse):
    """Z(θ) = a₀ + Σ_k (a_k cos kθ + b_k sin kθ), k = 1, 2, …: a phase-response curve.

    **Arguments:** `constant` a₀, one number or one per oscillator; `cosines` a_k and `sines` b_k,
    `[harmonic]`, both of one length.

    **Raises:** `ValueError` for coefficients that are not finite, or of two lengths.
    """

    constant: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)
    cosines: Array = eqx.field(converter=numeric, metadata=FINITE, default=(0.0,))
    sines: Array = eqx.field(converter=numeric, metadata=FINITE, default=(0.0,))

    @classmethod
    def type_one(cls) -> "PhaseResponse":
        """Z = 1 − cos θ: a push always advances, as near a saddle-node on an invariant circle.

        The spike is at θ = 0 (Ermentrout 1996, Neural Computation 8:979).
        """
        return cls(1.0, (-1.0,), (0.0,))

    @classmethod
    def type_two(cls) -> "PhaseResponse":
        """Z = −sin θ: a push delays or advances, as near a Hopf bifurcation.

        (Hansel, Mato and Meunier 1995, Neural Computation 7:307.)
        """
        return cls(0.0, (0.0,), (-1.0,))

    def __check_init__(self) -> None:
        check_numbers(self)
        if self.cosines.ndim != 1 or self.cosines.shape != self.sines.shape:
            raise fault(
                f"cosines of shape {self.cosines.shape} and sines of shape {self.sines.shape}",
                "one number per harmonic in both",
                "fill the shorter one up with zeros, and start at the first harmonic",
            )

    def __call__(self, phase: Phase) -> Array:
        sin, cos = sincos_wrapped(phase)
        response = jnp.broadcast_to(self.constant, phase.shape)
        harmonic_sin, harmonic_cos = sin, cos
        for k in range(self.cosines.shape[-1]):
            if k:
                harmonic_sin, harmonic_cos = (
                    cross(harmonic_sin, cos, -harmonic_cos, sin),
                    cross(harmonic_cos, cos, harmonic_sin, sin),
                )
            response = response + self.cosines[k] * harmonic_cos
            response = response + self.sines[k] * harmonic_sin
        return response

    def check(self, size: int) -> None:
        check_per_oscillator("PhaseResponse.constant", self.constant, size)
        check_shape("PhaseResponse.cosines", self.cosines, [self.sines.shape], "see its docstring")
