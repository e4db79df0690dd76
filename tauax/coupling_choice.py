"""The cheaper way to store a network: a full matrix or its edges."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from tauax._checks import fault, is_concrete
from tauax.couplings import Dense, Sparse
from tauax.couplings.base import Norm

_LOG = logging.getLogger("tauax")

# Nanoseconds per oscillator and step, from `python -m benchmarks` on two x86-64 cores.
_PER_COLUMN, _DENSE_BASE = 0.032, 6.0
_PER_EDGE, _SPARSE_BASE = 0.75, 3.0


def coupling_from(
    weights: Any,
    strength=1.0,
    lag=0.0,
    norm: Norm = "none",
    *,
    report: Callable[[str], None] = _LOG.info,
) -> Dense | Sparse:
    """A network as `Dense` or `Sparse`, whichever is expected to run faster on a CPU.

    Dense costs two products with an N × N matrix however many of its entries are 0; sparse costs
    several times more per entry, but only for those that are not. Both give the same torques.

    **Arguments:** `weights`: an array `[target, source]`, a sparse matrix of scipy or a graph of
    networkx; `strength`, `lag` and `norm`, as for `Dense`; `report`, a function that is told in one
    line which was taken and why, such as `print`; by default the logger "tauax".

    **Raises:** as `Dense` and `Sparse`.
    """
    shared = {"strength": strength, "lag": lag, "norm": norm}
    if hasattr(weights, "tocoo"):
        sparse = Sparse.from_scipy(weights, **shared)
    elif hasattr(weights, "is_directed"):
        sparse = Sparse.from_networkx(weights, **shared)
    else:
        sparse = Sparse.from_dense(_matrix(weights), **shared)
    size, edges = sparse.size, sparse.weights.shape[0]
    dense_cost = _PER_COLUMN * size + _DENSE_BASE
    sparse_cost = _PER_EDGE * edges / size + _SPARSE_BASE
    taken, other = ("Dense", "Sparse") if dense_cost <= sparse_cost else ("Sparse", "Dense")
    low, high = sorted((dense_cost, sparse_cost))
    report(
        f"{taken}: {edges} edges among {size} oscillators, {edges / size**2:.1%} of all; expected "
        f"{low:.1f} ns per oscillator and step against {high:.1f} as {other}"
    )
    if taken == "Sparse":
        return sparse
    full = np.zeros((size, size), sparse.weights.dtype)
    full[np.asarray(sparse.target), np.asarray(sparse.source)] = np.asarray(sparse.weights)
    return Dense(full, **shared)


def _matrix(weights: Any) -> np.ndarray:
    if not is_concrete(weights):
        raise fault(
            "a traced matrix",
            "weights that are known before tracing",
            "make the coupling outside jit, and pass the model in",
            TypeError,
        )
    array = np.asarray(weights)
    if array.dtype == object or array.ndim != 2:
        raise fault(
            f"{type(weights).__name__} of shape {array.shape}",
            "a matrix [target, source], a sparse matrix of scipy or a graph of networkx",
            "for lists of edges call tx.Sparse(target, source, weights, size=...)",
        )
    return array
