"""The mean of products of records, folded in a block of records at a time.

Adding an outer product to a matrix that fills the cache costs a pass over memory per record. A
matrix product over a block of records makes one pass per block.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax.numerics.fusion import product, quotient

Product = Callable[[Array, Array], Array]


class BlockMean(eqx.Module):
    """The mean over records of a product that is linear in each of its two arguments.

    **Attributes:** `count`, the records so far; `rows`, `[*batch, block, *row]`, the last ones;
    `mean`, that over the full blocks; `product`, from two blocks of rows to their sum of products;
    `axis`, the number of batch axes.

    Each block moves the mean by its deviation over the number of blocks, so what is constant stays
    exact in any number of records. (A compensated sum is no alternative: XLA cannot update its two
    matrices in place, and copies one at every record.)

    The derivative is that of a mean which every row enters at once: reverse mode keeps a row per
    record, not a block.
    """

    count: Int[Array, ""]
    rows: Array
    mean: Array
    product: Product = eqx.field(static=True)
    axis: int = eqx.field(static=True)

    @classmethod
    def start(
        cls, product: Product, batch: tuple[int, ...], row: tuple[int, ...], block: int, dtype
    ) -> "BlockMean":
        """Before the first row."""
        rows = jnp.zeros((*batch, block, *row), dtype)
        mean = jnp.zeros(jax.eval_shape(product, rows, rows).shape, dtype)
        return cls(jnp.zeros((), jnp.int32), rows, mean, product, len(batch))

    @property
    def block(self) -> int:
        """How many rows are folded in together."""
        return self.rows.shape[self.axis]

    def include(self, row: Array) -> "BlockMean":
        """One row more, `[*batch, *row]`."""
        place, count = self.count % self.block, self.count + 1
        new = jnp.expand_dims(row, self.axis)
        rows, mean, new = jax.lax.stop_gradient((self.rows, self.mean, new))
        rows = jax.lax.dynamic_update_slice_in_dim(rows, new, place, self.axis)

        def fold(mean: Array, rows: Array) -> Array:
            found = quotient(self.product(rows, rows), self.block)
            return mean + quotient(found - mean, (count // self.block).astype(mean.dtype))

        def keep(mean: Array, rows: Array) -> Array:
            return mean

        full = place == self.block - 1
        mean = fold(mean, rows) if self.block == 1 else jax.lax.cond(full, fold, keep, mean, rows)
        share = 1.0 / count.astype(mean.dtype)
        mean = _with_derivative(self.product, self.axis, mean, self.mean, row, share)
        return BlockMean(count, rows, mean, self.product, self.axis)

    def value(self) -> Array:
        """The mean over all rows so far, 0 without one."""
        left = self.count % self.block
        held = (jnp.arange(self.block) < left).reshape(-1, *(1,) * (self.rows.ndim - self.axis - 1))
        rest = jnp.where(held, self.rows, 0.0)
        mean = jax.lax.stop_gradient(self.mean)
        count = jnp.maximum(self.count, 1).astype(mean.dtype)
        missing = self.product(rest, rest) - product(mean, left.astype(mean.dtype))
        value = mean + quotient(missing, count)
        return value + (self.mean - mean)  # the value, with the derivative that the mean carries


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _with_derivative(product: Product, axis: int, value, mean, row, share) -> Array:
    """`value`, with the derivative of mean + (product(row, row) − mean)·share."""
    return value


@_with_derivative.defjvp
def _with_derivative_jvp(product: Product, axis: int, primals, tangents):
    value, _, row, share = primals
    _, mean_dot, row_dot, _ = tangents
    one, moved = jnp.expand_dims(row, axis), jnp.expand_dims(row_dot, axis)
    found = product(moved, one) + product(one, moved)
    return value, mean_dot + (found - mean_dot) * share
