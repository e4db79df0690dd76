"""Weighted sums along the edges of a network, fast in both directions of a derivative.

Σ_{edges j → i} w x_j is linear in x and in w, which JAX is told here: the derivative by x is the
same sum along the edges turned round, with members last as in the sum itself. What JAX makes of a
plain sum over segments adds one number at a time: a gradient took 27 times as long as its run, and
takes 8 so.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from tauax.numerics.fusion import materialised

# Terms added in one piece of code: more only lengthen compilation. Longer sums go by levels.
_LONGEST = 16


class Slots(eqx.Module):
    """The edges into some targets with about as many sources each, in rows of equal length.

    **Attributes:** `edge`, `[slot, row]`, the position in the weights, or one past their end where
    a row has no edge left; `source`, `[slot, row]`.
    """

    edge: Array
    source: Array


class Level(eqx.Module):
    """A sum over at most `_LONGEST` terms for every row.

    **Attributes:** `slots`; `order`, `[row]`, where each row's sum is found among those of all
    slots.
    """

    slots: tuple[Slots, ...]
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


class Edges(eqx.Module):
    """The edges of a network, laid out for sums over the sources of each target and back.

    **Attributes:** `target` and `source`, `[edge]`; `into`, the sums over the sources of each
    target, on one or more levels; `out_of`, over the targets of each source.
    """

    target: Array
    source: Array
    into: tuple[Level, ...]
    out_of: tuple[Level, ...]

    @classmethod
    def between(cls, target: np.ndarray, source: np.ndarray, size: int) -> "Edges":
        """The edges from each source to its target, of `size` nodes."""
        into, out_of = _levels(target, source, size), _levels(source, target, size)
        return cls(jnp.asarray(target), jnp.asarray(source), into, out_of)

    def turned_round(self) -> "Edges":
        """The same edges from each target to its source."""
        return Edges(self.source, self.target, self.out_of, self.into)


def sums(weights: Array, edges: Edges, sources: Array) -> Array:
    """Σ_{edges j → i} w x_j for `sources` x of shape `[..., node]`."""
    leaves, structure = jax.tree.flatten(edges)
    return _sums.bind(weights, sources, *leaves, structure=structure)


def _by_rows(weights: Array, sources: Array, *leaves: Array, structure: Any) -> Array:
    """The sums by rows of all members: what one node sends is added as a whole row.

    A sum per member gathers one number at a time; with members last, it adds vectors.
    """
    first, *others = structure.unflatten(leaves).into
    shape = sources.shape
    columns = sources.reshape(-1, shape[-1]).T
    rows = first(weights, materialised(columns, first.order[0]))
    for level in others:
        rows = level(jnp.ones(rows.shape[:1], weights.dtype), rows)
    return rows.T.reshape(shape)


def _by_segments(weights: Array, sources: Array, *leaves: Array, structure: Any) -> Array:
    """The sums of one member with weights of its own."""
    edges = structure.unflatten(leaves)
    terms = weights * sources[..., edges.source]
    shape = sources.shape
    return jnp.zeros(shape, terms.dtype).at[..., edges.target].add(terms)


def _outline(weights: Any, sources: Any, *leaves: Any, structure: Any) -> ShapedArray:
    return ShapedArray(sources.shape, sources.dtype)


def _batched(arguments, places, *, structure: Any):
    (weights, sources, *leaves), (of_weights, of_sources, *_) = arguments, places
    if of_weights is None:
        sources = jnp.moveaxis(sources, of_sources, 0)
        return _sums.bind(weights, sources, *leaves, structure=structure), 0

    def one(weights: Array, sources: Array) -> Array:
        return _by_segments(weights, sources, *leaves, structure=structure)

    along = None if of_sources is None else of_sources
    return jax.vmap(one, in_axes=(of_weights, along))(weights, sources), 0


def _derivative(primals, tangents, *, structure: Any):
    weights, sources, *leaves = primals
    changes = [
        _sums.bind(*pair, *leaves, structure=structure)
        for pair in ((tangents[0], sources), (weights, tangents[1]))
        if not any(isinstance(one, ad.Zero) for one in pair)
    ]
    return _sums.bind(*primals, structure=structure), sum(changes[1:], changes[0])


def _transposed(cotangent, weights, sources, *leaves, structure: Any):
    edges, nothing = structure.unflatten(leaves), [None] * len(leaves)
    if ad.is_undefined_primal(sources):
        return [None, sums(weights, edges.turned_round(), cotangent), *nothing]
    rows = (x.reshape(-1, x.shape[-1]).T for x in (cotangent, sources))
    received, sent = (materialised(x, edges.target[0]) for x in rows)
    return [(received[edges.target] * sent[edges.source]).sum(axis=-1), None, *nothing]


_sums = Primitive("edge_sums")
_sums.def_impl(jax.jit(_by_rows, static_argnames="structure"))
_sums.def_abstract_eval(_outline)
mlir.register_lowering(_sums, mlir.lower_fun(_by_rows, multiple_results=False))
batching.primitive_batchers[_sums] = _batched
ad.primitive_jvps[_sums] = _derivative
ad.primitive_transposes[_sums] = _transposed


def _levels(target: np.ndarray, source: np.ndarray, size: int) -> tuple[Level, ...]:
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


def _level(target: np.ndarray, source: np.ndarray, size: int) -> Level:
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
        slots.append(Slots(jnp.asarray(edge, jnp.int32), jnp.asarray(origin, jnp.int32)))
        begin += similar
    return Level(tuple(slots), jnp.asarray(np.argsort(rows), jnp.int32))
