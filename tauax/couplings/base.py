"""What a coupling is, the algebra of couplings, and what all networks share."""

from abc import abstractmethod
from typing import Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_per_oscillator, check_shape, fault
from tauax._types import FINITE, Torque, numeric
from tauax.algebra import AbstractMultiple, AbstractSum, AbstractTerm
from tauax.numerics.fusion import cross
from tauax.numerics.trig import sincos


class AbstractCoupling(AbstractTerm):
    """The torque that the oscillators exert on each other.

    A coupling is a function of (sin θ, cos θ), each `[..., oscillator]`, that returns the torque on
    every oscillator in rad/s. Couplings add, `a + b`, and scale, `2.0 * a`.
    """

    @abstractmethod
    def __call__(self, sin: Array, cos: Array) -> Torque:
        """C_i(θ), of the shape of `sin`."""

    def neighbours(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        """(Σ_j w_ij sin θ_j, Σ_j w_ij cos θ_j) / Σ_j |w_ij|: what oscillator i sees of the others.

        Of the shape of `sin`, and 0 for an oscillator without input. The lag and the strength of
        the coupling do not count.
        """
        raise fault(
            f"a {type(self).__name__}, which has no neighbours",
            "a coupling with one set of weights, such as tx.MeanField or tx.Dense",
            "call neighbours(sin, cos) of the part you mean, in a readout of your own",
            TypeError,
        )

    @staticmethod
    def algebra() -> tuple[type, type, type]:
        return AbstractCoupling, Sum, Scaled


class Sum(AbstractSum, AbstractCoupling):
    """C_i = Σ_k C_i⁽ᵏ⁾: the torques of several couplings, added in the order given."""

    parts: tuple[AbstractCoupling, ...]


class Scaled(AbstractMultiple, AbstractCoupling):
    """C_i = s·C_i⁽⁰⁾: a coupling times one number, or one per receiving oscillator."""

    part: AbstractCoupling
    factor: Array = eqx.field(converter=numeric, metadata=FINITE)

    def neighbours(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        return self.part.neighbours(sin, cos)


Norm = Literal["none", "size", "in_degree"]


class AbstractNetwork(AbstractCoupling):
    """C_i = (K/n_i) Σ_j w_ij sin(θ_j − θ_i − α), given how the weights are stored.

    Computed as cos θ_i Σ_j w_ij sin(θ_j − α) − sin θ_i Σ_j w_ij cos(θ_j − α), so nothing of size
    members × N × N is ever made.
    """

    @property
    @abstractmethod
    def strength(self) -> Array:
        """K, one number or `[oscillator]`."""

    @property
    @abstractmethod
    def lag(self) -> Array:
        """α, one number."""

    @property
    @abstractmethod
    def norm(self) -> Norm:
        """Which divisor n_i."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of oscillators N."""

    @abstractmethod
    def received(self) -> Array:
        """Σ_j |w_ij|, `[target]`."""

    @abstractmethod
    def weighted(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        """(Σ_j w_ij sin_j, Σ_j w_ij cos_j), each of the shape of `sin`."""

    def __call__(self, sin: Array, cos: Array) -> Torque:
        field_sin, field_cos = self.weighted(*turn_back(sin, cos, self.lag))
        return (self.strength / self.divisor()) * cross(field_sin, cos, field_cos, sin)

    def check(self, size: int) -> None:
        name = type(self).__name__
        if self.size != size:
            raise fault(
                f"{name} of {self.size} oscillators",
                f"{size}, one for each frequency of the model",
                "make the network as large as the model",
            )
        check_per_oscillator(f"{name}.strength", self.strength, size)
        check_shape(f"{name}.lag", self.lag, [()], "give one angle for the whole coupling")

    def neighbours(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        field_sin, field_cos = self.weighted(sin, cos)
        divisor = self._in_degree()
        return field_sin / divisor, field_cos / divisor

    def divisor(self) -> Array:
        """The n_i of the norm, one number or `[target]`."""
        if self.norm == "in_degree":
            return self._in_degree()
        return jnp.asarray(self.size if self.norm == "size" else 1, self.strength.dtype)

    def _in_degree(self) -> Array:
        """Σ_j |w_ij|, and 1 for a row without input."""
        received = self.received()
        return jnp.where(received == 0, 1.0, received)


def check_norm(norm: str) -> None:
    """Raise unless a network was given a known norm."""
    if norm not in get_args(Norm):
        raise fault(
            f"norm={norm!r}", f"one of {', '.join(get_args(Norm))}", 'leave it out for "none"'
        )


def turn_back(sin: Array, cos: Array, lag: Array) -> tuple[Array, Array]:
    """(sin(θ − α), cos(θ − α)) from sin θ and cos θ; exact for α = 0."""
    # Not the library's: what XLA makes of that depends on the loop it is in.
    sin_lag, cos_lag = sincos(lag)
    return cross(sin, cos_lag, cos, sin_lag), cross(cos, cos_lag, -sin, sin_lag)
