"""What keeps the compiler from changing results or repeating work when it fuses.

XLA:CPU may drop optimisation barriers before it fuses, as with jax 0.10, but not a branch, and it
cannot know that the step counter is never negative. So `isolated` and `materialised` branch on
that; on other platforms they change nothing.
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
    return _branched(function, lambda value: value, value, step)


@jax.custom_jvp
def materialised(value: T, step: Array) -> T:
    """`value`, computed once and stored instead of once more in each of its uses.

    The noise of a two-stage step was computed four times over, in code that no longer used
    vectors; the step ran ten times slower.
    """
    return _branched(lambda x: x, lambda x: jax.tree.map(jnp.zeros_like, x), value, step)


@materialised.defjvp
def _materialised_jvp(primals, tangents):
    return materialised(*primals), tangents[0]


def computed_once(function: Callable[[T], U], never: Callable[[T], U], value: T, step: Array) -> U:
    """function(value), stored by the loops that compute it, for all of its uses.

    As `materialised`, without its copy. `never(value)` only has to look like it. Differentiate a
    rule around it, not through it.
    """
    return _branched(function, never, value, step)


def _branched(function: Callable[[T], U], never: Callable[[T], U], value: T, step: Array) -> U:
    """function(value); on a CPU in a branch that, unknown to the compiler, is always taken."""

    def branch(value: T, step: Array) -> U:
        return jax.lax.cond(step >= 0, function, never, value)

    if jax.default_backend() == "cpu":  # nothing else is there: trace it once, not twice
        return branch(value, step)
    return jax.lax.platform_dependent(
        value, step, cpu=branch, default=lambda value, step: function(value)
    )


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
