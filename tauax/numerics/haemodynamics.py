"""The Balloon–Windkessel model, from neural activity to the BOLD signal of one region."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax.numerics.fusion import cross, quotient


class Haemodynamics(NamedTuple):
    """Where a region stands; all 0 at rest.

    **Attributes:** `signal` s; `flow` ln f, `volume` ln v and `content` ln q: in logarithms they
    stay positive (Stephan et al. 2008), small responses keep their digits in float32, and every
    power is an exponential, which XLA turns into vector code.
    """

    signal: Array
    flow: Array
    volume: Array
    content: Array

    def moved(self, by: Array, rate: "Haemodynamics") -> "Haemodynamics":
        """self + by·rate."""
        return Haemodynamics(*(x + by * d for x, d in zip(self, rate, strict=True)))


class Balloon(eqx.Module):
    """The parameters of the model, each one number or one per region.

    **Attributes:** `efficacy` ε; `decay` κ, 1/s; `elimination` γ, 1/s²; `transit` τ, s;
    `stiffness` α; `extraction` ρ; `fraction` V₀.
    """

    efficacy: Array
    decay: Array
    elimination: Array
    transit: Array
    stiffness: Array
    extraction: Array
    fraction: Array

    def rate(self, at: Haemodynamics, drive: Array) -> Haemodynamics:
        """d/dt of the logarithms, for neural activity z = `drive`."""
        flow, inverse_volume = jnp.exp(at.flow), jnp.exp(-at.volume)
        inverse_flow = jnp.exp(-at.flow)
        extracted = 1.0 - jnp.exp(jnp.log1p(-self.extraction) * inverse_flow)
        drained = jnp.exp(at.volume * (1.0 / self.stiffness - 1.0))
        loaded = quotient(flow * extracted * jnp.exp(-at.content), self.extraction)
        return Haemodynamics(
            cross(self.efficacy, drive, self.decay, at.signal) - self.elimination * (flow - 1.0),
            at.signal * inverse_flow,
            quotient(flow * inverse_volume - drained, self.transit),
            quotient(loaded - drained, self.transit),
        )

    def step(self, at: Haemodynamics, before: Array, after: Array, dt: Array) -> Haemodynamics:
        """One step of Heun's method, order 2, with the drive linear from `before` to `after`."""
        first = self.rate(at, before)
        second = self.rate(at.moved(dt, first), after)
        mean = Haemodynamics(*(0.5 * (a + b) for a, b in zip(first, second, strict=True)))
        return at.moved(dt, mean)

    def bold(self, at: Haemodynamics) -> Array:
        """V₀ [k₁ (1 − q) + k₂ (1 − q/v) + k₃ (1 − v)], a fraction of the signal at rest."""
        intrinsic, ratio, extra = 7.0 * self.extraction, 2.0, 2.0 * self.extraction - 0.2
        return -self.fraction * (
            intrinsic * jnp.expm1(at.content)
            + ratio * jnp.expm1(at.content - at.volume)
            + extra * jnp.expm1(at.volume)
        )
