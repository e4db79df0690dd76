"""What a coupling is, and the algebra of couplings."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_numbers, check_per_oscillator
from tauax._types import FINITE, Torque, numeric
from tauax.numerics.fusion import cross


class AbstractCoupling(eqx.Module):
    """The torque that the oscillators exert on each other.

    A coupling is a function of (sin θ, cos θ), each `[..., oscillator]`, that returns the torque on
    every oscillator in rad/s. Couplings add, `a + b`, and scale, `2.0 * a`.
    """

    @abstractmethod
    def __call__(self, sin: Array, cos: Array) -> Torque:
        """C_i(θ), of the shape of `sin`."""

    @abstractmethod
    def check(self, size: int) -> None:
        """Raise unless the coupling fits a system of `size` oscillators."""

    __array_ufunc__ = None  # numpy_array * coupling is one coupling, not an array of them

    def __add__(self, other: "AbstractCoupling") -> "Sum":
        if not isinstance(other, AbstractCoupling):
            return NotImplemented
        return Sum((self, other))

    def __rmul__(self, factor) -> "Scaled":
        return Scaled(self, factor)

    __mul__ = __rmul__


class Sum(AbstractCoupling):
    """C_i = Σ_k C_i⁽ᵏ⁾: the torques of several couplings, added in the order given."""

    parts: tuple[AbstractCoupling, ...]

    def __call__(self, sin: Array, cos: Array) -> Torque:
        first, *others = self.parts
        torque = first(sin, cos)
        for part in others:
            torque = torque + part(sin, cos)
        return torque

    def check(self, size: int) -> None:
        for part in self.parts:
            part.check(size)


class Scaled(AbstractCoupling):
    """C_i = s·C_i⁽⁰⁾: a coupling times one number, or one per receiving oscillator."""

    part: AbstractCoupling
    factor: Array = eqx.field(converter=numeric, metadata=FINITE)

    def __check_init__(self) -> None:
        check_numbers(self)

    def __call__(self, sin: Array, cos: Array) -> Torque:
        return self.factor * self.part(sin, cos)

    def check(self, size: int) -> None:
        check_per_oscillator("factor", self.factor, size)
        self.part.check(size)


def turn_back(sin: Array, cos: Array, lag: Array) -> tuple[Array, Array]:
    """(sin(θ − α), cos(θ − α)) from sin θ and cos θ; exact for α = 0."""
    # The library functions, not the fast ones: the lag may be any angle, and costs nothing here.
    sin_lag, cos_lag = jnp.sin(lag), jnp.cos(lag)
    return cross(sin, cos_lag, cos, sin_lag), cross(cos, cos_lag, -sin, sin_lag)
