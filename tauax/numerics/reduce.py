"""Sums in a fixed order: the same bits for every batch size, chunk and device.

The order of `jnp.sum` depends on the shape of the whole batch. Halving the last axis does not, its
rounding error grows like log N instead of N, and on a CPU it is faster.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax.numerics.fusion import quotient

# XLA computes up to the first width below twice this in one loop, which is then long enough for
# LLVM to use vectors: of 8 sums it made scalars.
_LAST_LOOP = 16

# Up to 8 columns or terms, XLA:CPU's kernel for a matrix product depends on the number of rows.
_FEWEST = 9


@jax.custom_jvp
def total(x: Array) -> Array:
    """Σ over the last axis by halves: x[:h] + x[h:2h] until one is left, odd ones added last."""
    size = x.shape[-1]
    odd = 0.0
    while size >= 2 * _LAST_LOOP:
        half = size // 2
        if size % 2:
            odd = odd + x[..., size - 1]
        x = x[..., :half] + x[..., half : 2 * half]
        size = half
    return total_of([x[..., k] for k in range(size)]) + odd


@total.defjvp
def _total_jvp(primals, tangents):
    # Transposed, the halves would be padded and added at every level; this is one broadcast.
    return total(*primals), jnp.sum(tangents[0], axis=-1)


def total_of(terms: Sequence[Array]) -> Array:
    """The sum of separate arrays, in the order in which `total` adds entries."""
    half = len(terms) // 2
    if half == 0:
        return terms[0]
    pairs = [a + b for a, b in zip(terms[:half], terms[half : 2 * half], strict=True)]
    return total_of(pairs) + terms[-1] if len(terms) % 2 else total_of(pairs)


def mean(x: Array) -> Array:
    """Arithmetic mean over the last axis, summed as `total`."""
    return quotient(total(x), x.shape[-1])


def weighted_totals(weights: Array, x: Array) -> Array:
    """Σ_j w_ij x_j over the last axis of x, `[..., i]`, for any number of rows but one alike."""
    size, terms = weights.shape
    missing = max(0, _FEWEST - terms)
    if missing:
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])
    columns = jnp.pad(weights, [(0, max(0, _FEWEST - size)), (0, missing)]).T
    return jnp.matmul(x, columns, precision="highest")[..., :size]
