"""Keep the compiler from computing a value again in each of its uses."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

T = TypeVar("T")


def materialise(value: T, step: Array) -> T:
    """`value`, computed once and stored; `step` is the step counter, whose sign XLA cannot know.

    XLA:CPU fuses a cheap producer into every consumer, and drops optimisation barriers before it
    does: the noise of a two-stage step was computed four times over, in code that no longer used
    vectors, and the step ran ten times slower. A branch is a boundary that it keeps. Other
    platforms get the value as it is.
    """
    return jax.lax.platform_dependent(
        value, step, cpu=_stored, default=lambda value, step: value
    )


def _stored(value: T, step: Array) -> T:
    return jax.lax.cond(step >= 0, lambda x: x, lambda x: jax.tree.map(jnp.zeros_like, x), value)
