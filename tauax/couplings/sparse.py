"""Coupling along the edges of a network: work and memory in proportion to their number."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jaxtyping import Array

from tauax._checks import check_count, check_numbers, check_shape, fault, is_concrete
from tauax._types import FINITE, numeric
from tauax.couplings.base import AbstractNetwork, Norm, check_norm
from tauax.numerics.fusion import materialised


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
    target: Array
    source: Array
    levels: tuple["_Level", ...]
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
        self.target, self.source = jnp.asarray(ends[0]), jnp.asarray(ends[1])
        self.levels = _levels(*ends, self.size)
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
        found = np.flatnonzero(
            (np.asarray(self.target) == target) & (np.asarray(self.source) == source)
        )
        if found.size == 0:
            raise fault(
                f"an edge from {source} to {target}, which is not there",
                "an edge of the network",
                "mind the order: edge(target, source)",
            )
        return int(found[0])

    def received(self) -> Array:
        return jax.ops.segment_sum(jnp.abs(self.weights), self.target, self.size)

    def weighted(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        network = (self.levels, self.target, self.source)
        both = _product(self.weights, network, jnp.stack([sin, cos]))
        return both[0], both[1]


class _Slots(eqx.Module):
    """The edges into some targets with about as many sources each, in rows of equal length.

    **Attributes:** `edge`, `[slot, row]`, the position in the weights, or one past their end where
    a row has no edge left; `source`, `[slot, row]`.
    """

    edge: Array
    source: Array


class _Level(eqx.Module):
    """A sum over at most `_LONGEST` terms for every row.

    **Attributes:** `slots`; `order`, `[row]`, where each row's sum is found among those of all
    slots.
    """

    slots: tuple[_Slots, ...]
    order: Array

    def __call__(self, weights: Array, terms: Array) -> Array:
        """Σ w·x over the edges into each row, for terms x `[source, member]`."""
        padded = jnp.concatenate([weights, jnp.zeros((1,), weights.dtype)])
        sums = []
        for one in self.slots:
            total = jnp.zeros((one.edge.shape[1], terms.shape[1]), terms.dtype)
            for edge, source in zip(one.edge, one.source, strict=True):
                total = total + padded[edge][:, None] * terms[source]
            sums.append(total)
        return materialised(jnp.concatenate(sums)[self.order], self.order[0])


# Terms added in one piece of code: more only lengthen compilation. Longer sums go by levels.
_LONGEST = 16


@jax.custom_jvp
def _product(weights: Array, network: tuple, sources: Array) -> Array:
    """Σ w·x over the edges into each oscillator, for `sources` x of shape `[..., oscillator]`."""
    return _fast(weights, network, sources)


@_product.defjvp
def _product_jvp(primals, tangents):
    # The plain sums, which JAX can transpose: the fast ones are written for one direction.
    weights, network, sources = primals
    of_weights = _plain(tangents[0], network, sources)
    of_sources = _plain(weights, network, tangents[2])
    return _product(*primals), of_weights + of_sources


@custom_vmap
def _fast(weights: Array, network: tuple, sources: Array) -> Array:
    """The product by rows of all members: one oscillator's sources are added as whole rows.

    A sum per member gathers one number at a time; with members last, it adds vectors.
    """
    (first, *others), _, _ = network
    shape = sources.shape
    columns = sources.reshape(-1, shape[-1]).T
    rows = first(weights, materialised(columns, first.order[0]))
    for level in others:
        rows = level(jnp.ones(rows.shape[:1], weights.dtype), rows)
    return rows.T.reshape(shape)


@_fast.def_vmap
def _fast_batched(size: int, batched, weights: Array, network: tuple, sources: Array):
    if batched[0]:  # each member has weights of its own
        return jax.vmap(_plain, in_axes=(0, None, 0 if batched[2] else None))(
            weights, network, sources
        ), True
    return _fast(weights, network, sources), True


def _plain(weights: Array, network: tuple, sources: Array) -> Array:
    """The product as sums over segments of the edges."""
    levels, target, source = network

    def one(x: Array) -> Array:
        return jax.ops.segment_sum(weights * x[source], target, levels[-1].order.shape[0])

    shape = sources.shape
    return jax.vmap(one)(sources.reshape(-1, shape[-1])).reshape(shape)


def _levels(target: np.ndarray, source: np.ndarray, size: int) -> tuple[_Level, ...]:
    """Sums of at most `_LONGEST` edges each; then, where there are more, the sums of those."""
    degree = np.bincount(target, minlength=size)
    if degree.max() <= _LONGEST:
        return (_level(target, source, size),)
    edges = np.argsort(target, kind="stable")
    rank = np.arange(len(edges)) - (np.cumsum(degree) - degree)[target[edges]]
    pieces = -(-degree // _LONGEST)
    piece = np.empty_like(target)
    piece[edges] = (np.cumsum(pieces) - pieces)[target[edges]] + rank // _LONGEST
    whole, part = np.repeat(np.arange(size), pieces), np.arange(int(pieces.sum()))
    return (_level(piece, source, len(part)), *_levels(whole, part, size))


def _level(target: np.ndarray, source: np.ndarray, size: int) -> _Level:
    """The edges in slots: rows of similar length together, the longest first."""
    edges = np.argsort(target, kind="stable")
    degree = np.bincount(target, minlength=size)
    first = np.cumsum(degree) - degree
    rows = np.argsort(-degree, kind="stable")
    slots, begin = [], 0
    while begin < size:
        longest = degree[rows[begin]]
        # At least half of the places of every row are used.
        similar = np.count_nonzero(2 * degree[rows[begin:]] > longest) if longest else size - begin
        taken = rows[begin : begin + similar]
        place = np.arange(int(longest))[:, None]
        used = place < degree[taken]
        edge = np.full(used.shape, len(target))
        edge[used] = edges[(first[taken] + place)[used]]
        origin = np.append(source, 0)[edge]
        slots.append(_Slots(jnp.asarray(edge, jnp.int32), jnp.asarray(origin, jnp.int32)))
        begin += similar
    return _Level(tuple(slots), jnp.asarray(np.argsort(rows), jnp.int32))


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
