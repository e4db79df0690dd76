"""Decisions that have a derivative."""

import equinox as eqx
import jax
from jaxtyping import Array

from tauax._types import POSITIVE, numeric
from tauax.thresholds.base import AbstractDecision, Hard, check_single, logistic


class Soft(AbstractDecision):
    """σ((h − c)/T), with σ(x) = 1/(1 + e^{−x}): for T → 0 a hard decision, but ½ at the cut itself.

    A value 40 T or more from the cut is decided, with derivative 0. So is every value where T is so
    small that 1/T² overflows, below 10⁻¹⁹ in float32: hence derivatives are finite everywhere.

    **Arguments:** `temperature` T > 0, one number, in units of the signal.

    **Raises:** `ValueError` for a temperature that is not positive, or more than one.
    """

    temperature: Array = eqx.field(converter=numeric, metadata=POSITIVE)

    def __check_init__(self) -> None:
        check_single(self, "temperature")

    def __call__(self, signal: Array, cut: Array, inclusive: bool) -> Array:
        return logistic(signal - cut, self.temperature)


class StraightThrough(AbstractDecision):
    """`Hard` to the last bit, with the derivatives of `Soft` at the same signal and cuts.

    A biased gradient, and one that trains where the right one is 0 (Bengio, Léonard and Courville
    2013, arXiv:1308.3432).

    **Arguments:** `temperature` T > 0, one number, in units of the signal.

    **Raises:** `ValueError` for a temperature that is not positive, or more than one.
    """

    temperature: Array = eqx.field(converter=numeric, metadata=POSITIVE)

    def __check_init__(self) -> None:
        check_single(self, "temperature")

    def __call__(self, signal: Array, cut: Array, inclusive: bool) -> Array:
        soft = logistic(signal - cut, self.temperature)
        return _straight_through(Hard()(signal, cut, inclusive), soft)


@jax.custom_jvp
def _straight_through(value: Array, slope: Array) -> Array:
    """`value`, with the derivatives of `slope`."""
    return value


@_straight_through.defjvp
def _straight_through_jvp(primals, tangents):
    return _straight_through(*primals), tangents[1]
