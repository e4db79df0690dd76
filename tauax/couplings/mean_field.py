"""All-to-all coupling through the mean field: O(N)."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_numbers, check_per_oscillator, check_shape
from tauax._types import FINITE, Torque, numeric
from tauax.couplings.base import AbstractCoupling, turn_back
from tauax.numerics.fusion import cross
from tauax.numerics.reduce import mean


class MeanField(AbstractCoupling):
    """C_i = (K/N) Σ_j sin(θ_j − θ_i − α), the self-term included (Kuramoto 1975; Sakaguchi 1986).

    **Arguments:** `strength` K in rad/s, one number or one per receiving oscillator; `lag` α in
    radians.

    **Raises:** `ValueError` for non-finite values, or a shape that does not fit the system.
    """

    strength: Array = eqx.field(converter=numeric, metadata=FINITE)
    lag: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)

    def __check_init__(self) -> None:
        check_numbers(self)

    def __call__(self, sin: Array, cos: Array) -> Torque:
        field_sin, field_cos = turn_back(mean(sin), mean(cos), self.lag)
        strength_sin, strength_cos = self.strength * field_sin, self.strength * field_cos
        return cross(strength_sin, cos, strength_cos, sin)

    def neighbours(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        shape = sin.shape
        field_sin, field_cos = mean(sin)[..., None], mean(cos)[..., None]
        return jnp.broadcast_to(field_sin, shape), jnp.broadcast_to(field_cos, shape)

    def check(self, size: int) -> None:
        check_per_oscillator("MeanField.strength", self.strength, size)
        check_shape("MeanField.lag", self.lag, [()], "give one angle for the whole coupling")
