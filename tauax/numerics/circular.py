"""Circular arithmetic: wrapping, differences, and the statistics of directions."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax.numerics.fusion import cross
from tauax.numerics.reduce import mean
from tauax.numerics.trig import reduce_turns, sincos


@jax.custom_jvp
def wrap(x: Array) -> Array:
    """The angle equal to `x` modulo 2π in [−π, π), where π is its nearest float of that dtype.

    2π is subtracted in two words, so that wrapping every step of a long run does not drift. The
    derivative is 1 everywhere. An `x` so large that its angle is lost, |x| > 10⁷ at the latest in
    float32 and 10¹⁵ in float64, gives NaN.
    """
    half = jnp.asarray(math.pi, x.dtype)
    angle = reduce_turns(x)
    other = angle - jnp.copysign(2.0 * half, angle)
    angle = jnp.where((angle >= half) | (angle < -half), other, angle)
    known = jnp.abs(x) <= (1e7 if x.dtype == jnp.float32 else 1e15)
    return jnp.where(known, angle, jnp.nan)


@wrap.defjvp
def _wrap_jvp(primals, tangents):
    # Without the tests of the value, which would have to be made once more on the way back.
    return wrap(*primals), tangents[0]


def difference(a: Array, b: Array) -> Array:
    """The signed angle from `b` to `a`, in [−π, π)."""
    return wrap(a - b)


def mean_vector(phase: Array) -> tuple[Array, Array]:
    """(⟨sin θ⟩, ⟨cos θ⟩) over the last axis, in the package's fixed order of summation."""
    sin, cos = sincos(phase)
    return mean(sin), mean(cos)


def length(sin: Array, cos: Array) -> Array:
    """√(sin² + cos²), with derivative 0 instead of NaN where both vanish."""
    square = cross(sin, sin, -cos, cos)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), square)


def direction(sin: Array, cos: Array) -> Array:
    """The angle of the vector, in [−π, π]; 0, with derivative 0, where the vector vanishes."""
    vanishes = (sin == 0) & (cos == 0)
    return jnp.arctan2(jnp.where(vanishes, 0.0, sin), jnp.where(vanishes, 1.0, cos))


def resultant(phase: Array) -> Array:
    """r = |⟨e^{iθ}⟩| over the last axis: 1 when all agree, of order 1/√N when independent."""
    return length(*mean_vector(phase))


def circular_mean(phase: Array) -> Array:
    """arg ⟨e^{iθ}⟩ over the last axis, in [−π, π]."""
    return direction(*mean_vector(phase))


def circular_variance(phase: Array) -> Array:
    """1 − |⟨e^{iθ}⟩| over the last axis, in [0, 1]."""
    return 1.0 - resultant(phase)
