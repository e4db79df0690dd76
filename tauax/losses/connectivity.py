"""Functional connectivity: which components of a signal are to go together."""

from typing import Any, Literal, get_args

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_instance, check_shape, fault, is_concrete
from tauax._types import FINITE, Scalar, numeric
from tauax.losses.base import (
    AbstractLoss,
    check_matrix,
    check_range,
    check_target,
    checked_pairs,
    jackknifed,
    matched,
    triangle,
)
from tauax.monitors.base import AbstractMonitor
from tauax.monitors.bold import Bold, BoldResult
from tauax.monitors.covariance import Covariance
from tauax.readouts import Readout
from tauax.solution import Solution

Distance = Literal["square", "correlation"]


def _monitor(source: Any) -> Any:
    return Covariance(source) if isinstance(source, Readout) else source


class Connectivity(AbstractLoss):
    """How far the correlation matrix of a signal is from a given one, over the pairs j < k.

    With C the mean over members of each one's Pearson correlations over the run,

    - `distance="square"`: ⟨(C_jk − target_jk)²⟩ over the pairs;
    - `distance="correlation"`: 1 − the Pearson correlation of the C_jk with the target_jk, which
      leaves offset and scale free.

    **Arguments:** `target`, `[component, component]`, correlations in [−1, 1], symmetric; `source`,
    a readout that is a vector, or `tx.Covariance(readout, every=...)`, or `tx.Bold(readout, ...)`
    for the connectivity of the BOLD signal; `distance`; `pairs`, of the shape of the target, which
    of them count, or None for all: `~(held[:, None] | held[None, :])` keeps the regions in `held`
    for a test.

    What is compared is the mean correlation in runs of this length, which is a little nearer to 0
    than that of endless ones; of it the paired square is right on average, value and gradient. The
    correlation of correlations is a ratio: plain, noise makes it too small by an amount of the
    order 1/M for M members; paired, that order is taken off by the jackknife (Quenouille 1956), and
    the loss may be below 0. A component that does not vary has correlation 0, with derivative 0.

    **Raises:** `ValueError` for a target that is not symmetric, beyond [−1, 1] or of another size
    than the signal, or the same for all pairs where it is to be correlated with.
    """

    target: Array = eqx.field(converter=numeric, metadata=FINITE)
    source: Covariance | Bold = eqx.field(converter=_monitor)
    distance: Distance = eqx.field(static=True, default="square")
    pairs: Array | None = eqx.field(converter=checked_pairs, default=None)

    def __check_init__(self) -> None:
        fix = "pass a readout, tx.Covariance(readout) or tx.Bold(readout, repetition=...)"
        check_instance("source", self.source, Covariance | Bold, fix)
        fix = "give correlations; a covariance c is c / √(variance · variance)"
        check_range("Connectivity.target", self.target, -1.0, 1.0, fix)
        check_matrix("Connectivity.target", self.target)
        if self.pairs is not None:
            check_shape("pairs", self.pairs, [self.target.shape], "say it of every two components")
        if self.distance not in get_args(Distance):
            expected = f"one of {', '.join(get_args(Distance))}"
            raise fault(f"distance={self.distance!r}", expected, 'leave it out for "square"')
        if self.distance == "correlation":
            self._check_varied()

    def _check_varied(self) -> None:
        """Raise unless the target differs among the pairs that count."""
        known = is_concrete(self.target) and (self.pairs is None or is_concrete(self.pairs))
        if known:
            counted = np.ones(self.target.shape) if self.pairs is None else np.asarray(self.pairs)
            values = np.asarray(self.target)[np.triu(counted, 1) > 0]
            if np.ptp(values) == 0:
                raise fault(
                    f"a target of {values[0]:g} for each of {values.size} pairs",
                    "values that differ, to correlate with",
                    'pass distance="square", or count more pairs',
                )

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"signal": self.source}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        result = solution.monitors["signal"]
        bold = isinstance(result, BoldResult)
        found = result.connectivity if bold else result.correlation
        found = jnp.where(result.count > 1, found, jnp.nan)  # one record is no reason for a 0
        weights = triangle(found.shape[-1], self.pairs)
        if self.distance == "square":
            return matched("Connectivity", found, self.target, solution, paired, 2, weights)
        target = self.target.astype(found.dtype)
        check_target("Connectivity", target, found.shape[-2:], 2)

        def unlikeness(mean: Array) -> Array:
            return _unlikeness(mean, target, weights.astype(mean.dtype))

        return jackknifed(unlikeness, found, solution, paired).mean()


def _unlikeness(found: Array, target: Array, weights: Array) -> Array:
    """1 − Pearson's correlation of two matrices over weighted pairs, `[...]`."""

    def mean(x: Array) -> Array:
        return (x * weights).sum(axis=(-2, -1), keepdims=True) / weights.sum()

    found, target = found - mean(found), target - mean(target)
    spread = mean(found**2) * mean(target**2)
    varies = spread != 0
    scale = jnp.where(varies, jnp.sqrt(jnp.where(varies, spread, 1.0)), 1.0)
    return 1.0 - (mean(found * target) / scale)[..., 0, 0]
