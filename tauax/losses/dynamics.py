"""How much functional connectivity is to change in the course of a run."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_instance, fault
from tauax._types import FINITE, Scalar, numeric
from tauax.losses.base import AbstractLoss, check_range, matched
from tauax.monitors.base import AbstractMonitor
from tauax.monitors.bold import Bold
from tauax.monitors.trace import Trace
from tauax.numerics.comoments import correlation
from tauax.readouts import Readout
from tauax.solution import Solution


def connectivity_dynamics(signals, window: int, shift: int) -> Array:
    """The correlation of the connectivities of every two windows of a signal.

    A window of `window` records begins every `shift` records. Its functional connectivity is the
    upper triangle of its correlation matrix, and two windows are compared by the Pearson
    correlation of these (Hansen, Battaglia, Spiegler, Deco & Jirsa 2015, NeuroImage 105:525).

    **Arguments:** `signals`, `[..., record, component]`, three components or more.

    **Returns:** `[..., pair of windows]`, in [−1, 1]: (0, 1), (0, 2), …, (1, 2), …

    **Raises:** `ValueError` for a signal with fewer than two windows or three components.
    """
    signals = signals if isinstance(signals, Array) else numeric(signals)
    check_count("window", window, 2)
    check_count("shift", shift, 1)
    if signals.ndim < 2:
        expected = "records of several components, (..., record, component)"
        raise fault(f"signals of shape {signals.shape}", expected, "put the records first")
    records, size = signals.shape[-2:]
    if records < window + shift or size < 3:
        raise fault(
            f"{records} records of {size} components for windows of {window} every {shift}",
            f"{window + shift} records or more of three components or more",
            "run longer, record more often, or shorten the windows",
        )
    starts = np.arange(0, records - window + 1, shift)
    cut = signals[..., starts[:, None] + np.arange(window), :]
    within = _correlations(jnp.swapaxes(cut, -1, -2))
    return _upper(_correlations(_upper(within)))


def _correlations(rows: Array) -> Array:
    """Pearson's correlation of every two rows, `[..., row, row]`; 0 where one does not vary."""
    apart = rows - rows.mean(axis=-1, keepdims=True)
    return correlation(jnp.einsum("...jr,...kr->...jk", apart, apart, precision="highest"))


def _upper(matrix: Array) -> Array:
    """What is above the diagonal, row by row."""
    j, k = np.triu_indices(matrix.shape[-1], 1)
    return matrix[..., j, k]


def _monitor(source: Any) -> Any:
    return Trace(source) if isinstance(source, Readout) else source


class ConnectivityDynamics(AbstractLoss):
    """How far the distribution of `connectivity_dynamics` in a run is from a given one.

    ∫ (E q(p) − target(p))² dp, q(p) the quantiles of the values of one member: the squared
    2-Wasserstein distance of the given values from the average of the members' distributions.

    **Arguments:** `target`, `[value]`, correlations of windows in [−1, 1], in any number and order,
    such as `tx.losses.connectivity_dynamics(measured, window, shift)`; `source`, a readout that is
    a vector, or `tx.Trace(readout, every=...)`, or `tx.Bold(readout, ...)` for the signals after
    those it discards; `window` and `shift`, in records, for a repetition time that is that of the
    target.

    All records are kept. Paired, value and gradient are right on average for the mean quantiles of
    runs of this length, which are narrower the longer the run: take the target from as long a one.
    The derivative through the order of values is that of each value in its place.

    **Raises:** `ValueError` for a target outside of [−1, 1], or a run with fewer than two windows;
    `TypeError` for another source.
    """

    target: Array = eqx.field(converter=numeric, metadata=FINITE)
    source: Trace | Bold = eqx.field(converter=_monitor)
    window: int = eqx.field(static=True)
    shift: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        fix = "pass a readout, tx.Trace(readout) or tx.Bold(readout, repetition=...)"
        check_instance("source", self.source, Trace | Bold, fix)
        if isinstance(self.source, Bold) and not self.source.record:
            raise fault("a tx.Bold with record=False", "one that keeps its scans", "leave it out")
        check_count("window", self.window, 2)
        check_count("shift", self.shift, 1)
        name = "ConnectivityDynamics.target"
        check_range(name, self.target, -1.0, 1.0, "give correlations")
        if self.target.ndim != 1 or self.target.size == 0:
            expected = "one axis of correlations of windows, (values,)"
            fix = "give the values above the diagonal, as tx.losses.connectivity_dynamics does"
            raise fault(f"{name} of shape {self.target.shape}", expected, fix)

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"signal": self.source}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        signals = solution.monitors["signal"].value
        if isinstance(self.source, Bold):
            signals = signals[..., self.source.discard :, :]
        found = jnp.sort(connectivity_dynamics(signals, self.window, self.shift), axis=-1)
        target = _quantiles(self.target.astype(found.dtype), found.shape[-1])
        return matched("ConnectivityDynamics", found, target, solution, paired, least=1)


def _quantiles(values: Array, count: int) -> Array:
    """So many quantiles of the values, in ascending order; the values themselves if as many."""
    given = (jnp.arange(values.size) + 0.5) / values.size
    wanted = (jnp.arange(count) + 0.5) / count
    return jnp.interp(wanted.astype(values.dtype), given.astype(values.dtype), jnp.sort(values))
