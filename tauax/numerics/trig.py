"""Sine and cosine together, fast in float32 and exact in float64.

In float32 both come from one odd polynomial for a quarter turn; XLA turns it into vector code,
where its own sine and cosine are scalar library calls on a CPU. The derivative is a rule, so that
reverse mode stores the two results and none of the polynomial's steps.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax.numerics.fusion import computed_once, product

# 2π = HIGH + LOW; HIGH has 8 bits, so that k·HIGH is exact for every |k| < 2¹⁶ in float32
# and for |k| < 2⁴⁵ in float64.
_TWO_PI_HIGH = 6.28125
_TWO_PI_LOW = 0.00193530717958647692528676655900577

# Minimax for sin x − x = x³·P(x²) on |x| ≤ π/2: absolute error 2e-8, below float32 rounding.
QUARTER_SINE = (
    -0.16666657096352025,
    0.00833301728832259,
    -0.00019806614990198167,
    2.6000543358e-06,
)


def sincos(x: Array) -> tuple[Array, Array]:
    """Sine and cosine of an angle in radians.

    float32: absolute error ≤ 4e-7 for |x| ≤ 10⁴ (measured 2.5e-7), growing to 2e-6 at 10⁵; no
    relative bound holds near the zeros. float64: the library functions. NaN and ±∞ give NaN.

    **Arguments:** `x`, any shape, radians.

    **Returns:** `(sin x, cos x)`, each of the shape and dtype of `x`. The derivatives are exactly
    cos x and −sin x of the returned values.
    """
    return sincos_wrapped(reduce_turns(x) if x.dtype == jnp.float32 else x)


@jax.custom_jvp
def sincos_wrapped(phase: Array) -> tuple[Array, Array]:
    """Sine and cosine of a phase that is wrapped already, |phase| ≤ π: no range reduction."""
    if phase.dtype != jnp.float32:
        return jnp.sin(phase), jnp.cos(phase)
    half = jnp.float32(math.pi)
    # Selects, not minima: those of XLA take eight instructions to pass a NaN on.
    below = jnp.where(phase < -half / 2, -half - phase, phase)
    folded = jnp.where(phase > half / 2, half - phase, below)
    return _quarter_sine(folded), _quarter_sine(half / 2 - jnp.abs(phase))


@sincos_wrapped.defjvp
def _sincos_wrapped_jvp(primals, tangents):
    (phase,), (tangent,) = primals, tangents
    sin, cos = sincos_wrapped(phase)
    return (sin, cos), (cos * tangent, -sin * tangent)


@jax.custom_jvp
def sincos_once(phase: Array, step: Array) -> tuple[Array, Array]:
    """`sincos_wrapped`, computed once in a step however often it is used.

    `step` is any number ≥ 0 that the compiler does not know.
    """
    return computed_once(sincos_wrapped, lambda phase: (phase, phase), phase, step)


@sincos_once.defjvp
def _sincos_once_jvp(primals, tangents):
    sin, cos = sincos_once(*primals)
    return (sin, cos), (cos * tangents[0], -sin * tangents[0])


def cos_turns(turns: Array) -> Array:
    """cos 2πt for t in [−½, ½] turns; the angle of Box–Muller, with no reduction to do."""
    if turns.dtype != jnp.float32:
        return jnp.cos(2.0 * math.pi * turns)
    # Rounded, or it is contracted with the sum in the series where a number stands alone.
    return _quarter_sine(product(0.25 - jnp.abs(turns), 2.0 * math.pi))


def sin_turns(turns: Array) -> Array:
    """sin 2πt for t in [−½, ½] turns."""
    return sincos_wrapped(2.0 * math.pi * turns)[0]


def reduce_turns(x: Array) -> Array:
    """x − 2π·round(x / 2π), with 2π in two words; |result| exceeds π by at most a rounding."""
    turns = jnp.round(x * (0.5 / math.pi))
    return (x - turns * _TWO_PI_HIGH) - turns * _TWO_PI_LOW


@partial(jax.jit, inline=True)
def _quarter_sine(x: Array) -> Array:
    """sin x for |x| ≤ π/2."""
    square = x * x
    series = jnp.full_like(x, QUARTER_SINE[-1])
    for coefficient in QUARTER_SINE[-2::-1]:
        series = series * square + coefficient
    return x + x * square * series
