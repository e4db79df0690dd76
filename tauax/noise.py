"""Noise: the random increment of every oscillator over one step."""

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_domain, check_numbers, check_per_oscillator, check_shape, fault
from tauax._types import FINITE, NONNEGATIVE, MemberKey, Step, numeric
from tauax.numerics import random

Law = Literal["normal", "two_point", "three_point"]

_DRAWS = {"normal": random.normal, "two_point": random.two_point, "three_point": random.three_point}


class AbstractNoise(eqx.Module):
    """Additive noise: increments that do not depend on the state, so Itô and Stratonovich agree."""

    needs_key: ClassVar[bool]

    @abstractmethod
    def check(self, size: int) -> None:
        """Raise unless the noise fits a system of `size` oscillators."""

    @abstractmethod
    def increment(self, key: MemberKey | None, step: Step, dt: Array, size: int) -> Array:
        """What the noise adds to the phases over one step, `[oscillator]`, radians."""

    @property
    @abstractmethod
    def has_average(self) -> bool:
        """Whether the noise knows its average over a step as well."""

    @abstractmethod
    def increment_and_average(
        self, key: MemberKey | None, step: Step, dt: Array, size: int
    ) -> tuple[Array, Array]:
        """The increment, and the average over the step of what was added since its start.

        With B the noise, ΔB = B(t + dt) − B(t) and (1/dt)∫ (B(s) − B(t)) ds, each `[oscillator]`.
        """


class WhiteNoise(AbstractNoise):
    """White noise, √(2D) dW per oscillator: the increment of one step is √(2D·dt)·z.

    **Arguments:** `intensity` D ≥ 0 in rad²/s, one number or one per oscillator; `increments`, the
    law of z: `"normal"`, or for ensemble statistics only `"two_point"` (weak order 1) or
    `"three_point"` (weak order 2), whose single paths are not Brownian.

    The derivative with respect to D is infinite at D = 0, as that of √D is.

    **Raises:** `ValueError` for a negative or non-finite intensity or an unknown law.
    """

    intensity: Array = eqx.field(converter=numeric, metadata=NONNEGATIVE)
    increments: Law = eqx.field(static=True, default="normal")

    needs_key = True

    @classmethod
    def from_deviation(cls, deviation, increments: Law = "normal") -> "WhiteNoise":
        """The other convention, σ dW with D = σ²/2; `deviation` σ in rad/√s."""
        deviation = numeric(deviation)
        check_domain("deviation", deviation, "nonnegative")
        return cls(deviation**2 / 2, increments)

    def __check_init__(self) -> None:
        check_numbers(self)
        if self.increments not in _DRAWS:
            raise fault(
                f"increments={self.increments!r}",
                f"one of {', '.join(_DRAWS)}",
                'leave it out for "normal"',
            )

    def check(self, size: int) -> None:
        check_per_oscillator("WhiteNoise.intensity", self.intensity, size)

    def increment(self, key: MemberKey, step: Step, dt: Array, size: int) -> Array:
        draw = _DRAWS[self.increments]
        return self._deviation(dt) * draw(key, step, size, dt.dtype)

    @property
    def has_average(self) -> bool:
        return self.increments == "normal"

    def increment_and_average(
        self, key: MemberKey, step: Step, dt: Array, size: int
    ) -> tuple[Array, Array]:
        first, second = random.normal_pair(key, step, size, dt.dtype)
        deviation = self._deviation(dt)
        return deviation * first, deviation * (0.5 * first + math.sqrt(1.0 / 12.0) * second)

    def _deviation(self, dt: Array) -> Array:
        return jnp.sqrt(2.0 * self.intensity * dt)


class GivenNoise(AbstractNoise):
    """Increments given in advance, so that one Brownian path can be followed at several dt.

    **Arguments:** `increments`, `[step, oscillator]` in radians: row n is added over step n, so for
    intensity D it holds √(2D)·(W(t_{n+1}) − W(t_n)); `averages`, of the same shape, for `SRA1`
    only: the average over step n of the noise since its start, (1/dt)∫ √(2D)·(W(s) − W(t_n)) ds.
    One path per member goes through `tx.per_member(model, lambda m: m.noise.increments, paths)`.

    A run past the last row is refused where the step count is known and gives NaN where it is not.
    """

    increments: Array = eqx.field(converter=numeric, metadata=FINITE)
    averages: Array | None = eqx.field(
        converter=lambda value: None if value is None else numeric(value),
        metadata=FINITE,
        default=None,
    )

    needs_key = False

    def __check_init__(self) -> None:
        check_numbers(self)
        if self.averages is not None:
            check_shape(
                "GivenNoise.averages",
                self.averages,
                [self.increments.shape],
                "give one average for each increment",
            )
        if self.increments.ndim != 2:
            raise fault(
                f"increments of shape {self.increments.shape}",
                "shape (steps, oscillators)",
                "give each member its own path with tx.per_member",
            )

    def check(self, size: int) -> None:
        if self.increments.shape[-1] != size:
            raise fault(
                f"increments for {self.increments.shape[-1]} oscillators",
                f"{size} oscillators",
                "give increments of shape (steps, oscillators)",
            )

    def increment(self, key: MemberKey | None, step: Step, dt: Array, size: int) -> Array:
        return _row(self.increments, step)

    @property
    def has_average(self) -> bool:
        return self.averages is not None

    def increment_and_average(
        self, key: MemberKey | None, step: Step, dt: Array, size: int
    ) -> tuple[Array, Array]:
        return _row(self.increments, step), _row(self.averages, step)


def _row(table: Array | None, step: Step) -> Array:
    assert table is not None
    return jnp.take(table, step, axis=0, mode="fill", fill_value=jnp.nan)
