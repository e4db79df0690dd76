"""Cuts that follow the signal."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import fault, is_concrete
from tauax._types import FINITE, POSITIVE, numeric
from tauax.numerics.fusion import product, quotient
from tauax.numerics.running import deviation
from tauax.thresholds.base import (
    AbstractCuts,
    PerCut,
    ascending,
    check_ascending,
    check_single,
    logistic,
)


class Average(NamedTuple):
    """The running mean and variance of a signal, each of its shape."""

    mean: Array
    variance: Array


class EmaCuts(AbstractCuts):
    """Cuts c_k = m + z_k·s at the running mean m and standard deviation s = √v of the signal h.

    The averages forget exponentially. With a = 1 − e^{−dt/τ}, a value h that lasts dt takes them to

        m' = m + a(h − m),    v' = (1 − a)(v + a(h − m)²)

    (Finch 2009, "Incremental calculation of weighted mean and variance"). Independent values of
    mean μ and variance σ² give m the variance σ²a/(2 − a) around μ, and v the mean
    σ²(1 − a/(2 − a)). A value held for two steps counts as one held for a step of both lengths.
    Differentiable in every argument; where v = 0 the derivative of s counts as 0.

    **Arguments:** `offsets` z, `[cut]`, ascending, in standard deviations; `time` τ in seconds,
    > 0; `mean` and `scale` > 0, m and s before the first value, in units of the signal.

    **Raises:** `ValueError` for numbers outside their range, or offsets out of order.
    """

    offsets: Array = eqx.field(converter=numeric, metadata=FINITE)
    time: Array = eqx.field(converter=numeric, metadata=POSITIVE)
    mean: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.0)
    scale: Array = eqx.field(converter=numeric, metadata=POSITIVE, default=1.0)

    def __check_init__(self) -> None:
        check_single(self, "time", "mean", "scale")
        check_ascending("EmaCuts.offsets", self.offsets)

    def init(self, shape: tuple[int, ...], dtype) -> Average:
        mean, scale = self.mean.astype(dtype), self.scale.astype(dtype)
        return Average(jnp.broadcast_to(mean, shape), jnp.broadcast_to(scale * scale, shape))

    def at(self, memory: Average) -> PerCut:
        scale = deviation(memory.variance)
        return tuple(memory.mean + product(scale, offset) for offset in ascending(self.offsets))

    def advance(self, memory: Average, signal: Array, dt: Array) -> Average:
        passed = quotient(dt, self.time)
        share, kept = -jnp.expm1(-passed), jnp.exp(-passed)
        move = signal - memory.mean
        step = product(move, share)
        return Average(memory.mean + step, kept * (memory.variance + product(step, move)))


class QuantileCuts(AbstractCuts):
    """Cuts at running quantiles: q_k settles where a share p_k of the signal h lies below it.

        dq_k/dt = η (p_k − σ((q_k − h)/b)),    σ(x) = 1/(1 + e^{−x}),

    a stochastic approximation of constant rate (Robbins and Monro 1951, Ann. Math. Stat. 22:400),
    with a soft comparison instead of h < q, so that it is differentiable in every argument. It
    settles where E σ((q − h)/b) = p: for a probability density f that is off the quantile by
    −(π²b²/6) f'/f + O(b⁴). The noise around that grows with η.

    **Arguments:** `levels` p, `[cut]`, ascending, inside (0, 1); `rate` η > 0, in units of the
    signal per second; `bandwidth` b > 0, in units of the signal, small against its spread; `start`,
    `[cut]`, ascending, the cuts before the first value.

    **Raises:** `ValueError` for numbers outside their range or out of order, or of two lengths.
    """

    levels: Array = eqx.field(converter=numeric, metadata=FINITE)
    rate: Array = eqx.field(converter=numeric, metadata=POSITIVE)
    bandwidth: Array = eqx.field(converter=numeric, metadata=POSITIVE)
    start: Array = eqx.field(converter=numeric, metadata=FINITE)

    def __check_init__(self) -> None:
        check_single(self, "rate", "bandwidth")
        check_ascending("QuantileCuts.levels", self.levels)
        check_ascending("QuantileCuts.start", self.start)
        if self.levels.shape != self.start.shape:
            raise fault(
                f"{self.levels.shape[0]} levels and {self.start.shape[0]} starting cuts",
                "one starting cut per level",
                "give levels and start the same length",
            )

    def check_values(self) -> None:
        """Raise unless every level lies inside (0, 1)."""
        if not is_concrete(self.levels):
            return
        levels = np.asarray(self.levels)
        outside = levels[~((levels > 0) & (levels < 1))]
        if outside.size:
            raise fault(
                f"QuantileCuts.levels with {outside[0]}",
                "shares > 0 and < 1",
                "give levels such as (0.25, 0.75), not percentages",
            )

    def init(self, shape: tuple[int, ...], dtype) -> PerCut:
        start = ascending(self.start)
        return tuple(jnp.broadcast_to(cut.astype(dtype), shape) for cut in start)

    def at(self, memory: PerCut) -> PerCut:
        # A step takes q to q + η·dt·(p − σ((q − h)/b)). That rises with p, and with q at a slope of
        # 1 − (η·dt/b)σ' ≥ 1 − η·dt/(4b): while η·dt < 4b it keeps the order. Beyond, this does.
        return ascending(memory)

    def advance(self, memory: PerCut, signal: Array, dt: Array) -> PerCut:
        step = product(self.rate, dt)
        pairs = zip(memory, ascending(self.levels), strict=True)
        return tuple(
            cut + product(level - logistic(cut - signal, self.bandwidth), step)
            for cut, level in pairs
        )
