"""How time advances: one step of length dt.

A stepper is written for one system. It evaluates the drift at wrapped phases only, each stage anew:
freezing a coupling across the stages would silently make Heun first order.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array

from tauax._types import Phase, Torque
from tauax.numerics.circular import wrap


class AbstractStepper(eqx.Module):
    """One step of dθ = f(θ) dt + dB with an additive noise increment ΔB."""

    noisy: ClassVar[bool]
    stages: ClassVar[int]

    @abstractmethod
    def __call__(
        self, drift: Callable[[Phase], Torque], phase: Phase, dt: Array, increment: Array | None
    ) -> Phase:
        """θ(t + dt), not wrapped yet, from θ(t) wrapped."""


class Euler(AbstractStepper):
    """Euler–Maruyama: θ + f(θ)·dt + ΔB. Order 1, with additive noise strong order 1 as well."""

    noisy = True
    stages = 1

    def __call__(self, drift, phase, dt, increment):
        return _kicked(phase + dt * drift(phase), increment)


class Heun(AbstractStepper):
    """Heun: θ + ½[f(θ) + f(θ*)]·dt + ΔB, θ* the Euler step. Order 2, with noise strong order 1."""

    noisy = True
    stages = 2

    def __call__(self, drift, phase, dt, increment):
        first = drift(phase)
        second = drift(wrap(_kicked(phase + dt * first, increment)))
        return _kicked(phase + 0.5 * dt * (first + second), increment)


class RK4(AbstractStepper):
    """The classical Runge–Kutta method of order 4; deterministic, so it refuses noise.

    A noise kick after a Runge–Kutta step is worse than Euler: use `Euler` or `Heun` with noise.
    """

    noisy = False
    stages = 4

    def __call__(self, drift, phase, dt, increment):
        first = drift(phase)
        second = drift(wrap(phase + 0.5 * dt * first))
        third = drift(wrap(phase + 0.5 * dt * second))
        fourth = drift(wrap(phase + dt * third))
        return phase + dt / 6.0 * (first + 2.0 * (second + third) + fourth)


def _kicked(phase: Phase, increment: Array | None) -> Phase:
    return phase if increment is None else phase + increment
