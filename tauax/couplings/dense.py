"""Coupling by a full weight matrix: two matrix products a step."""

from typing import Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_numbers, check_per_oscillator, check_shape, fault
from tauax._types import FINITE, Torque, Weights, numeric
from tauax.couplings.base import AbstractCoupling, turn_back
from tauax.numerics.fusion import cross

Norm = Literal["none", "size", "in_degree"]


class Dense(AbstractCoupling):
    """C_i = (K/n_i) Σ_j w_ij sin(θ_j − θ_i − α): row i receives from column j.

    Computed as cos θ_i Σ_j w_ij sin(θ_j − α) − sin θ_i Σ_j w_ij cos(θ_j − α), so nothing of size
    members × N × N is ever made.

    **Arguments:** `weights` w, `[target, source]`; `strength` K in rad/s, one number or one per
    receiving oscillator; `lag` α in radians; `norm`, the divisor n_i:

    - `"none"`: 1;
    - `"size"`: N;
    - `"in_degree"`: Σ_j |w_ij|, and 1 for a row without input.

    **Raises:** `ValueError` for a matrix that is not square, non-finite values or an unknown norm.
    """

    weights: Weights = eqx.field(converter=numeric, metadata=FINITE)
    strength: Array = eqx.field(converter=numeric, metadata=FINITE, default=1.0)
    lag: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)
    norm: Norm = eqx.field(static=True, default="none")

    def __check_init__(self) -> None:
        check_numbers(self)
        if self.weights.ndim != 2 or self.weights.shape[0] != self.weights.shape[1]:
            raise fault(
                f"weights of shape {self.weights.shape}",
                "a square matrix [target, source]",
                "row i holds what oscillator i receives; give rows without input as zeros",
            )
        if self.norm not in get_args(Norm):
            raise fault(
                f"norm={self.norm!r}",
                f"one of {', '.join(get_args(Norm))}",
                'leave it out for "none"',
            )

    def __call__(self, sin: Array, cos: Array) -> Torque:
        sin_lagged, cos_lagged = turn_back(sin, cos, self.lag)
        field_sin = _product(self.weights, sin_lagged)
        field_cos = _product(self.weights, cos_lagged)
        return (self.strength / self.divisor()) * cross(field_sin, cos, field_cos, sin)

    def check(self, size: int) -> None:
        check_shape(
            "Dense.weights",
            self.weights,
            [(size, size)],
            "give one row and one column for each frequency of the model",
        )
        check_per_oscillator("Dense.strength", self.strength, size)
        check_shape("Dense.lag", self.lag, [()], "give one angle for the whole coupling")

    def divisor(self) -> Array:
        """The n_i of the norm, one number or `[target]`."""
        if self.norm == "in_degree":
            received = jnp.abs(self.weights).sum(axis=-1)
            return jnp.where(received == 0, 1.0, received)
        size = self.weights.shape[-1] if self.norm == "size" else 1
        return jnp.asarray(size, self.weights.dtype)


def _product(weights: Weights, sources: Array) -> Array:
    """Σ_j w_ij x_j in an order that does not depend on the number of members.

    Below 8 columns XLA:CPU takes another kernel for few rows than for many: pad with zeros.
    """
    size = weights.shape[-1]
    missing = max(0, 8 - size)
    if missing:
        weights = jnp.pad(weights, (0, missing))
        sources = jnp.pad(sources, [(0, 0)] * (sources.ndim - 1) + [(0, missing)])
    return (sources @ weights.T)[..., :size]
