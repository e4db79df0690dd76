"""Mean and covariance matrix of a sequence of vectors in one pass."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax.numerics.blocks import BlockMean
from tauax.numerics.fusion import product, quotient
from tauax.numerics.running import compensated


class Comoments(NamedTuple):
    """`count`, `mean` and population `covariance` of a sequence of vectors; NaN without one."""

    count: Int[Array, ""]
    mean: Array
    covariance: Array

    def then(self, later: "Comoments") -> "Comoments":
        """Those of two sequences as one, by Chan, Golub & LeVeque (1979)."""
        count = self.count + later.count
        share = later.count / jnp.maximum(count, 1)
        base = _choose(self.count > 0, self, later)
        added = _choose(later.count > 0, later, self)
        delta = added.mean - base.mean
        between = (share * (1.0 - share)) * delta[..., :, None] * delta[..., None, :]
        within = base.covariance + (added.covariance - base.covariance) * share
        return Comoments(count, base.mean + delta * share, within + between)


class RunningComoments(eqx.Module):
    """Mean and covariance so far.

    Welford's identity (1962) for vectors: with d = x − (mean of the n − 1 vectors before), the n-th
    adds d dᵀ·(n − 1)/n to Σ (x − mean)(x − mean)ᵀ. So rows √((n − 1)/n)·d are averaged in blocks.
    """

    mean: Array
    mean_low: Array
    products: BlockMean

    @classmethod
    def start(cls, batch: tuple[int, ...], size: int, block: int, dtype) -> "RunningComoments":
        """Before the first vector."""
        zeros = jnp.zeros((*batch, size), dtype)
        return cls(zeros, zeros, BlockMean.start(_outer, batch, (size,), block, dtype))

    def include(self, value: Array) -> "RunningComoments":
        """One vector more, `[*batch, size]`."""
        before = self.products.count.astype(self.mean.dtype)
        delta = (value - self.mean) + self.mean_low
        mean, low = compensated(self.mean, self.mean_low, quotient(delta, before + 1.0))
        row = product(delta, jnp.sqrt(before / (before + 1.0)))
        return RunningComoments(mean, low, self.products.include(row))

    def value(self) -> Comoments:
        """What was found so far."""
        count = self.products.count
        found = (jnp.where(count > 0, x, jnp.nan) for x in (self.mean, self.products.value()))
        return Comoments(count, *found)


def correlation(covariance: Array) -> Array:
    """Pearson's r_jk = c_jk / √(c_jj c_kk) of a covariance matrix, `[..., j, k]`.

    A component that does not vary has correlation 0, with derivative 0, to all, itself included.
    """
    variance = jnp.diagonal(covariance, axis1=-2, axis2=-1)
    varies = variance != 0
    scale = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1.0)), 0.0)
    return covariance * scale[..., :, None] * scale[..., None, :]


def _outer(a: Array, b: Array) -> Array:
    return jnp.einsum("...rj,...rk->...jk", a, b, precision="highest")


def _choose(condition: Array, a: Comoments, b: Comoments) -> Comoments:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
