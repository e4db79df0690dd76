"""What adds and scales: the algebra that couplings, drives and losses share."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
from jaxtyping import Array

from tauax._checks import check_numbers, check_per_oscillator
from tauax._types import Torque


class AbstractTerm(eqx.Module):
    """A term of a torque or of a loss. Terms of one kind add, `a + b`, and scale, `2.0 * a`."""

    @abstractmethod
    def __call__(self, *point: Any) -> Array:
        """Its value, such as the torque on every oscillator, at what this kind is a function of."""

    @abstractmethod
    def check(self, size: int) -> None:
        """Raise unless the term fits a system of `size` oscillators."""

    @staticmethod
    @abstractmethod
    def algebra() -> tuple[type, type, type]:
        """The kind of what can be added to this, the class of a sum and the class of a multiple."""

    __array_ufunc__ = None  # numpy_array * term is one term, not an array of them

    def __add__(self, other):
        kind, total, _ = self.algebra()
        return total((self, other)) if isinstance(other, kind) else NotImplemented

    def __radd__(self, other):
        # What sum() begins with.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __rmul__(self, factor):
        _, _, multiple = self.algebra()
        return multiple(self, factor)

    __mul__ = __rmul__


class AbstractSum(AbstractTerm):
    """Several terms, added in the order given."""

    parts: eqx.AbstractVar[tuple]

    def __call__(self, *point: Any) -> Torque:
        first, *others = self.parts
        torque = first(*point)
        for part in others:
            torque = torque + part(*point)
        return torque

    def check(self, size: int) -> None:
        for part in self.parts:
            part.check(size)


class AbstractMultiple(AbstractTerm):
    """A term times one number, or one per oscillator."""

    part: eqx.AbstractVar[Any]
    factor: eqx.AbstractVar[Array]

    def __check_init__(self) -> None:
        check_numbers(self)

    def __call__(self, *point: Any) -> Torque:
        return self.factor * self.part(*point)

    def check(self, size: int) -> None:
        check_per_oscillator("factor", self.factor, size)
        self.part.check(size)
