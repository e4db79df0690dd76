"""How time advances: one step of length dt.

A stepper is written for one system. It evaluates the drift at wrapped phases only, each stage anew
and at the stage's own fraction of the step: freezing a coupling across the stages, or a drive at
the start of the step, would silently make Heun first order.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array

from tauax._types import Phase, Torque
from tauax.numerics.circular import wrap


class AbstractStepper(eqx.Module):
    """One step of dθ = f(θ) dt + dB with an additive noise increment ΔB."""

    noisy: ClassVar[bool]
    stages: ClassVar[int]
    needs_average: ClassVar[bool] = False

    @abstractmethod
    def __call__(
        self, drift: Callable[[Phase, float], Torque], phase: Phase, dt: Array, increment: Any
    ) -> Phase:
        """θ(t + dt), not wrapped yet, from θ(t) wrapped.

        `drift(phase, fraction)` is f at that fraction of the step; `increment` is ΔB, None without
        noise, and with `needs_average` the pair (ΔB, average of B over the step since its start).
        """


class Euler(AbstractStepper):
    """Euler–Maruyama: θ + f(θ)·dt + ΔB. Order 1, with additive noise strong order 1 as well."""

    noisy = True
    stages = 1

    def __call__(self, drift, phase, dt, increment):
        return _kicked(phase + dt * drift(phase, 0.0), increment)


class Heun(AbstractStepper):
    """Heun: θ + ½[f(θ) + f(θ*)]·dt + ΔB, θ* the Euler step with ΔB.

    Order 2; with additive noise strong order 1 and weak order 2.
    """

    noisy = True
    stages = 2

    def __call__(self, drift, phase, dt, increment):
        first = drift(phase, 0.0)
        second = drift(wrap(_kicked(phase + dt * first, increment)), 1.0)
        return _kicked(phase + 0.5 * dt * (first + second), increment)


class RK4(AbstractStepper):
    """The classical Runge–Kutta method of order 4; deterministic, so it refuses noise.

    A noise kick after a Runge–Kutta step is worse than Euler: use `Heun` or `SRA1` with noise.
    """

    noisy = False
    stages = 4

    def __call__(self, drift, phase, dt, increment):
        first = drift(phase, 0.0)
        second = drift(wrap(phase + 0.5 * dt * first), 0.5)
        third = drift(wrap(phase + 0.5 * dt * second), 0.5)
        fourth = drift(wrap(phase + dt * third), 1.0)
        return phase + dt / 6.0 * (first + 2.0 * (second + third) + fourth)


class SRA1(AbstractStepper):
    """Rößler's method of strong order 1.5 for additive noise, with two normals per oscillator.

    θ + ⅓[f(θ) + 2 f(θ*)]·dt + ΔB with θ* = θ + ¾ f(θ)·dt + (3/2)·A, where A is the average over
    the step of the noise since its start. Order 2 without noise. Two- and three-point increments
    have no such average and are refused (Rößler 2010, SIAM J. Numer. Anal. 48:922).
    """

    noisy = True
    stages = 2
    needs_average = True

    def __call__(self, drift, phase, dt, increment):
        total, average = (None, None) if increment is None else increment
        first = drift(phase, 0.0)
        stage = phase + 0.75 * dt * first
        second = drift(wrap(stage if average is None else stage + 1.5 * average), 0.75)
        return _kicked(phase + dt / 3.0 * (first + 2.0 * second), total)


def _kicked(phase: Phase, increment: Array | None) -> Phase:
    return phase if increment is None else phase + increment
