"""Coupling along the edges of a network: work and memory in proportion to their number."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_numbers, check_shape, fault, is_concrete
from tauax._types import FINITE, numeric
from tauax.couplings.base import AbstractNetwork, Norm, check_norm
from tauax.numerics.edges import Edges, sums


class Sparse(AbstractNetwork):
    """C_i = (K/n_i) Σ_{edges j → i} w sin(θ_j − θ_i − α): what `Dense` is, given by its edges.

    **Arguments:** `target` i and `source` j of every edge, `[edge]`, integers; `weights` w,
    `[edge]` or one number; `size` N; `strength` K in rad/s, one number or one per receiving
    oscillator; `lag` α in radians; `norm`, as for `Dense`. Other ways to make one: `from_dense`,
    `from_scipy`, `from_networkx`. `tx.coupling_from` chooses between this and `Dense`.

    The edges are fixed; weights may be varied, learnt and set to 0 at any time. As the edges are
    integers, take derivatives in a whole model with `eqx.filter_grad`.

    **Raises:** `ValueError` for an edge out of range or given twice, non-finite values or an
    unknown norm; `TypeError` for edges that are not known before tracing.
    """

    weights: Array = eqx.field(metadata=FINITE)
    edges: Edges
    strength: Array = eqx.field(metadata=FINITE, default=1.0)
    lag: Array = eqx.field(metadata=FINITE, default=0.0)
    size: int = eqx.field(static=True, default=0)
    norm: Norm = eqx.field(static=True, default="none")

    def __init__(
        self,
        target,
        source,
        weights: Any = 1.0,
        *,
        size: int,
        strength: Any = 1.0,
        lag: Any = 0.0,
        norm: Norm = "none",
    ):
        self.size, self.norm = check_count("size", size, 1), norm
        check_norm(norm)
        ends = (_ends("target", target, self.size), _ends("source", source, self.size))
        if ends[0].shape != ends[1].shape:
            raise fault(
                f"{ends[0].size} targets and {ends[1].size} sources",
                "one of each for every edge",
                "give both as arrays of the same length",
            )
        _check_once(*ends, self.size)
        self.weights = _one_each(numeric(weights), ends[0].size)
        self.strength, self.lag = numeric(strength), numeric(lag)
        self.edges = Edges.between(*ends, self.size)
        check_numbers(self)

    @classmethod
    def from_dense(cls, weights, strength=1.0, lag=0.0, norm: Norm = "none") -> "Sparse":
        """From a matrix `[target, source]`: an edge for every number that is not 0."""
        _check_known("matrix", weights)
        matrix = np.asarray(weights)
        _check_square(matrix.shape)
        target, source = np.nonzero(matrix)
        return cls(
            target,
            source,
            matrix[target, source],
            size=matrix.shape[0],
            strength=strength,
            lag=lag,
            norm=norm,
        )

    @classmethod
    def from_scipy(cls, matrix, strength=1.0, lag=0.0, norm: Norm = "none") -> "Sparse":
        """From a sparse matrix or array of scipy, row = target; entries given twice are added."""
        if not hasattr(matrix, "tocoo"):
            raise fault(
                f"a {type(matrix).__name__}",
                "a sparse matrix of scipy",
                "use tx.Sparse.from_dense for an array",
                TypeError,
            )
        _check_square(matrix.shape)
        summed = matrix.tocsr(copy=True)
        summed.sum_duplicates()
        edges = summed.tocoo()
        return cls(
            edges.row,
            edges.col,
            edges.data,
            size=matrix.shape[0],
            strength=strength,
            lag=lag,
            norm=norm,
        )

    @classmethod
    def from_networkx(
        cls, graph, strength=1.0, lag=0.0, norm: Norm = "none", *, weight: str = "weight"
    ) -> "Sparse":
        """From a graph of networkx, nodes in its own order; without the attribute `weight`, 1.

        An edge u → v of a directed graph couples v to u; an undirected edge couples both ways.
        """
        if not hasattr(graph, "is_directed"):
            raise fault(
                f"a {type(graph).__name__}",
                "a graph of networkx",
                "use tx.Sparse(target, source, weights, size=...) for lists of edges",
                TypeError,
            )
        index = {node: position for position, node in enumerate(graph.nodes)}
        edges = [
            (index[v], index[u], data.get(weight, 1.0)) for u, v, data in graph.edges(data=True)
        ]
        if not graph.is_directed():
            edges += [(source, target, w) for target, source, w in edges if target != source]
        target, source, weights = zip(*edges, strict=True) if edges else ((), (), ())
        return cls(
            np.asarray(target, int),
            np.asarray(source, int),
            np.asarray(weights, float),
            size=len(index),
            strength=strength,
            lag=lag,
            norm=norm,
        )

    def __check_init__(self) -> None:
        check_shape("Sparse.lag", self.lag, [()], "give one angle for the whole coupling")

    def edge(self, target: int, source: int) -> int:
        """The position of one edge in `weights`.

        **Raises:** `ValueError` if there is no such edge.
        """
        ends = np.asarray(self.target), np.asarray(self.source)
        found = np.flatnonzero((ends[0] == target) & (ends[1] == source))
        if found.size == 0:
            raise fault(
                f"an edge from {source} to {target}, which is not there",
                "an edge of the network",
                "mind the order: edge(target, source)",
            )
        return int(found[0])

    @property
    def target(self) -> Array:
        """The target of every edge."""
        return self.edges.target

    @property
    def source(self) -> Array:
        """The source of every edge."""
        return self.edges.source

    def received(self) -> Array:
        return jax.ops.segment_sum(jnp.abs(self.weights), self.target, self.size)

    def weighted(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        both = sums(self.weights, self.edges, jnp.stack([sin, cos]))
        return both[0], both[1]


def _ends(name: str, ends: Any, size: int) -> np.ndarray:
    """The targets or the sources of all edges, as integers."""
    _check_known(name, ends)
    array = np.asarray(ends)
    if array.ndim != 1 or not (np.issubdtype(array.dtype, np.integer) or array.size == 0):
        raise fault(
            f"{name} of shape {array.shape} and dtype {array.dtype}",
            "one integer per edge",
            "number the oscillators from 0",
        )
    bad = np.flatnonzero((array < 0) | (array >= size))
    if bad.size:
        raise fault(
            f"{name}[{bad[0]}] = {array[bad[0]]}",
            f"an oscillator from 0 to {size - 1}",
            "number the oscillators from 0, or give a larger size",
        )
    return array.astype(np.int32)


def _check_known(name: str, value: Any) -> None:
    if not is_concrete(value):
        raise fault(
            f"a traced {name}",
            "edges that are known before tracing",
            "make the coupling outside jit, and pass the model in: its weights may be traced",
            TypeError,
        )


def _check_once(target: np.ndarray, source: np.ndarray, size: int) -> None:
    # One number per edge sorts many times faster than pairs.
    pairs, counts = np.unique(target.astype(np.int64) * size + source, return_counts=True)
    if (counts > 1).any():
        first = np.argmax(counts > 1)
        twice = divmod(int(pairs[first]), size)
        raise fault(
            f"the edge from {twice[1]} to {twice[0]} {counts[first]} times",
            "every edge once",
            "add the weights of equal edges first, as tx.Sparse.from_scipy does; a graph with "
            "parallel edges goes through networkx.to_scipy_sparse_array(graph).T",
        )


def _check_square(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise fault(
            f"weights of shape {shape}",
            "a square matrix [target, source]",
            "row i holds what oscillator i receives; give rows without input as zeros",
        )


def _one_each(weights: Array, edges: int) -> Array:
    check_shape(
        "Sparse.weights", weights, [(), (edges,)], "give one weight per edge, or one in all"
    )
    return jnp.broadcast_to(weights, (edges,))
