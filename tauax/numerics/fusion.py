"""What keeps the compiler from changing results or repeating work when it fuses.

XLA:CPU drops optimisation barriers before it fuses, but not a branch, and it cannot know that the
step counter is never negative. So `isolated` and `materialised` branch on that; on other platforms
they change nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

T = TypeVar("T")
U = TypeVar("U")


def isolated(function: Callable[[T], T], value: T, step: Array) -> T:
    """function(value), compiled by itself: the same bits in a scan, by hand or beside monitors.

    Left to itself XLA hoists products out of a scan and shares subexpressions with monitors, which
    changes where a multiplication and an addition are contracted to one rounding.
    """
    return jax.lax.platform_dependent(
        value,
        step,
        cpu=lambda value, step: jax.lax.cond(step >= 0, function, lambda x: x, value),
        default=lambda value, step: function(value),
    )


@jax.custom_jvp
def materialised(value: T, step: Array) -> T:
    """`value`, computed once and stored instead of once more in each of its uses.

    The noise of a two-stage step was computed four times over, in code that no longer used
    vectors; the step ran ten times slower.
    """
    return jax.lax.platform_dependent(value, step, cpu=_stored, default=lambda value, step: value)


@materialised.defjvp
def _materialised_jvp(primals, tangents):
    return materialised(*primals), tangents[0]


def computed_once(function: Callable[[T], U], value: T, step: Array) -> U:
    """function(value), stored by the loops that compute it, for all of its uses.

    As `materialised`, without its copy. Differentiate a rule around it, not through it.
    """

    def nothing(value: T) -> U:
        outline = jax.eval_shape(function, value)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), outline)

    return jax.lax.platform_dependent(
        value,
        step,
        cpu=lambda value, step: jax.lax.cond(step >= 0, function, nothing, value),
        default=lambda value, step: function(value),
    )


def materialised_pair(pair: tuple[Array, Array], step: Array) -> tuple[Array, Array]:
    """Two real arrays, what they have in common computed once, and stored as one complex array.

    XLA:CPU gives every array that is stored a loop of its own, and all the noise in each of them.
    """
    stored = materialised(jax.lax.complex(*pair), step)
    return jnp.real(stored), jnp.imag(stored)


def _stored(value: T, step: Array) -> T:
    return jax.lax.cond(step >= 0, lambda x: x, lambda x: jax.tree.map(jnp.zeros_like, x), value)


def cross(a: Array, b: Array, c: Array, d: Array) -> Array:
    """a·b − c·d, with c·d always the product that is rounded first.

    A compiler may contract either product with the subtraction, and LLVM's choice depends on the
    number of rows. A select that is true for every d but NaN leaves it only one.
    """
    return a * b - product(d, c)


def quotient(a: Array, b: Array | float | int) -> Array:
    """a/b by the reciprocal of b, rounded: for a single b, XLA does so in large arrays only."""
    return product(a, 1.0 / b)


@jax.custom_jvp
def product(a: Array | float, b: Array | float | int) -> Array:
    """a·b, rounded before anything is added to it."""
    return jnp.where(a == a, a * b, a)  # noqa: PLR0124


@partial(product.defjvp, symbolic_zeros=True)
def _product_jvp(primals, tangents):
    a, b = primals
    pairs = zip(tangents, (b, a), strict=True)
    changes = [dot * other for dot, other in pairs if not isinstance(dot, SymbolicZero)]
    return product(a, b), sum(changes[1:], changes[0])
