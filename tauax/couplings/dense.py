"""Coupling by a full weight matrix: two matrix products a step."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_numbers, fault
from tauax._types import FINITE, Weights, numeric
from tauax.couplings.base import AbstractNetwork, Norm, check_norm
from tauax.numerics.reduce import weighted_totals


class Dense(AbstractNetwork):
    """C_i = (K/n_i) Σ_j w_ij sin(θ_j − θ_i − α): row i receives from column j.

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
        check_norm(self.norm)

    @property
    def size(self) -> int:
        return self.weights.shape[-1]

    def received(self) -> Array:
        return jnp.abs(self.weights).sum(axis=-1)

    def weighted(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        return weighted_totals(self.weights, sin), weighted_totals(self.weights, cos)
