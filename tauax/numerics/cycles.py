"""The angle of a periodic drive after a whole number of steps, exact over 10⁹ of them.

float32(n·dt) is 6 ms off after 10⁷ steps, 0.4 rad of a 10 Hz tone. Here the turns per step are one
64-bit binary fraction, and n times it modulo one turn is integer arithmetic.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt32

from tauax.numerics.circular import wrap
from tauax.numerics.fusion import product

Words = tuple[Array, Array]

_PER_TURN = 1.0 / (2.0 * math.pi)
_TURN_HIGH = float(jnp.finfo(jnp.float32).dtype.type(_PER_TURN))
_TURN_LOW = _PER_TURN - _TURN_HIGH
_UNITS = np.array([1e-6, 1e-3])  # of numbers below 8 and from 8 on
_UNITS_HIGH = _UNITS.astype(np.float32)
_UNITS_LOW = (_UNITS - _UNITS_HIGH).astype(np.float32)


@jax.custom_jvp
def angle(frequency: Array, dt: Words, steps: Array, fraction: Array, origin: Words) -> Array:
    """Ω·(origin + (steps + fraction)·dt) modulo 2π, radians in [−π, π].

    `frequency` Ω in rad/s, the two words of `dt` and of `origin` in seconds, all taken as exactly
    the numbers that are stored; `steps`, an integer in [0, 2³¹); `fraction`, a part of one step in
    [0, 1]. In float32, at up to a turn per step, the error is at most 5e-7 rad and 1.5e-14 of the
    angle passed.
    """
    if frequency.dtype == jnp.float64:
        time = (origin[0] + steps.astype(jnp.float64) * dt[0]) + (origin[1] + fraction * dt[0])
        turns = frequency * time * _PER_TURN
        return (turns - jnp.round(turns)) * (2.0 * math.pi)
    rate = two_product(frequency, jnp.float32(_TURN_HIGH))
    rate = (rate[0], rate[1] + frequency * jnp.float32(_TURN_LOW))
    high, low = two_product(rate[0], dt[0])
    low = low + (rate[1] * dt[0] + rate[0] * dt[1])
    start, rest = two_product(rate[0], origin[0])
    rest = rest + rate[1] * origin[0] + rate[0] * origin[1]
    total = _times(_add(_fixed(high), _fixed(low)), steps)
    for part in (high * fraction, low * fraction, start, rest):
        total = _add(total, _fixed(part))
    signed = total[0].astype(jnp.int32).astype(jnp.float32)
    return signed * jnp.float32(2.0 * math.pi * 2.0**-32)


@angle.defjvp
def _angle_jvp(primals, tangents):
    frequency, dt, steps, fraction, origin = primals
    frequency_dot, dt_dot, _, fraction_dot, origin_dot = tangents
    count = steps.astype(dt[0].dtype) + fraction
    time = origin[0] + count * dt[0]
    time_dot = origin_dot[0] + origin_dot[1] + count * (dt_dot[0] + dt_dot[1])
    time_dot = time_dot + fraction_dot * dt[0]
    return angle(*primals), frequency_dot * time + frequency * time_dot


class Turns(NamedTuple):
    """A rotation over one step: its `angle` in radians, and in float32 its binary digits.

    `high` counts in 2³² per turn, and `low`, in [0, 2¹⁸), in 2⁻⁵⁰ turns.
    """

    angle: Array
    high: Int[Array, "..."]
    low: Int[Array, "..."]


def turns(rate: Words, time: Words) -> Turns:
    """The rotation at `rate` in Hz over `time` in seconds."""
    angle = product(rate[0], 2.0 * math.pi * time[0])
    if angle.dtype != jnp.float32:
        none = jnp.zeros(angle.shape, jnp.int32)
        return Turns(angle, none, none)
    rate, time = jax.lax.stop_gradient((rate, time))
    high, low = two_product(rate[0], time[0])
    low = low + (product(rate[1], time[0]) + product(rate[0], time[1]))
    digits = _add(_fixed(high), _fixed(low))
    return Turns(angle, digits[0].astype(jnp.int32), (digits[1] >> 14).astype(jnp.int32))


@jax.custom_jvp
def turned(
    phase: Array, low: Int[Array, "..."], turns: Turns, displacement: Array
) -> tuple[Array, Int[Array, "..."]]:
    """phase + turns + displacement, wrapped to [−π, π), and what rounding left of it.

    In float32 the angle is an integer: the phase counts in 2³² per turn, and `low`, within ±2²⁷, in
    2⁻⁵⁰ turns. Adding what is the same at every step is then exact, where a sum of floats is off by
    0.2 rad after 10⁷ steps. A phase that is not finite, or displaced by more than 10⁷, gives NaN.
    In float64 `low` stays 0. The displacement must be stored: both results are made from it.
    """
    if phase.dtype != jnp.float32:
        return wrap(phase + turns.angle + displacement), low
    moved = product(displacement, _PER_TURN)
    scaled = (moved - jnp.round(moved)) * 2.0**32
    whole = jnp.floor(scaled)
    below = low + turns.low + ((scaled - whole) * 2.0**18).astype(jnp.int32)
    count = _count(phase) + turns.high + whole.astype(jnp.int32) + (below >> 18)
    half = np.float32(math.pi)
    angle = count.astype(jnp.float32) * np.float32(2.0 * math.pi * 2.0**-32)
    angle = jnp.where(angle >= half, -half, angle)
    left = ((count - _count(angle)) << 18) + (below & 0x3FFFF)
    angle = jnp.where(jnp.abs(phase + displacement) <= 1e7, angle, jnp.nan)
    return angle, left


@turned.defjvp
def _turned_jvp(primals, tangents):
    phase_dot, low_dot, turns_dot, displacement_dot = tangents
    return turned(*primals), (phase_dot + turns_dot.angle + displacement_dot, low_dot)


def _count(phase: Array) -> Int[Array, "..."]:
    """A phase in [−π, π) in whole parts of a turn, of which there are 2³²."""
    return (phase * np.float32(2.0**32 / (2.0 * math.pi))).astype(jnp.int32)


def elapsed(origin: Words, dt: Words, steps: Array) -> Words:
    """origin + steps·dt as two words: the time to go on from when dt changes."""
    kind = dt[0].dtype
    total = origin
    for count in ((steps >> 16).astype(kind) * 65536.0, (steps & 0xFFFF).astype(kind)):
        high, low = two_product(count, dt[0])
        total = two_sum(total, (high, low + count * dt[1]))
    return total


def nominal(x: Array) -> Words:
    """x as the multiple of 10⁻⁶ that rounds to it, from 8 on of 10⁻³, in two words.

    Any other x, and one beyond 8192, is as it is stored. A float32 holds 0.01 with an error of
    2·10⁻¹⁰, which is 0.14 rad after 10⁷ steps at 10 Hz.
    """
    if x.dtype != jnp.float32:
        return x, jnp.zeros_like(x)
    known = jax.lax.stop_gradient(x)
    small = jnp.abs(known) < 8.0  # where float32 still tells millionths apart
    count = jnp.round(known * jnp.where(small, 1e6, 1e3))
    high, low = two_product(count, jnp.where(small, *_UNITS_HIGH))
    rest = product(count, jnp.where(small, *_UNITS_LOW))
    high, low = two_sum((high, low), (rest, jnp.zeros_like(low)))
    meant = (high == known) & (jnp.abs(known) < 8192.0)
    return x, jnp.where(meant, low, 0.0)


def two_sum(a: Words, b: Words) -> Words:
    """The sum of two numbers of two words each (Dekker 1971; Knuth's branch-free sum)."""
    high = a[0] + b[0]
    part = high - a[0]
    low = (a[0] - (high - part)) + (b[0] - part) + (a[1] + b[1])
    total = high + low
    return total, low - (total - high)


def two_product(a: Array, b: Array) -> Words:
    """a·b as two words without rounding (Dekker 1971, split by bits instead of by a product)."""
    whole = product(b, a)
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    low = ((a_high * b_high - whole) + a_high * b_low + a_low * b_high) + a_low * b_low
    return whole, low


def _halves(x: Array) -> Words:
    """x as the sum of two numbers with at most half the digits each."""
    kind, mask = (
        (jnp.uint32, 0xFFFFF000) if x.dtype == jnp.float32 else (jnp.uint64, 0xFFFFFFFFF8000000)
    )
    bits = jax.lax.bitcast_convert_type(x, kind) & jnp.asarray(mask, kind)
    high = jax.lax.bitcast_convert_type(bits, x.dtype)
    return high, x - high


def _fixed(turns: Array) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """A number of turns modulo one, as 64 binary digits behind the point in two words."""
    scaled = (turns - jnp.round(turns)) * 2.0**32
    whole = jnp.floor(scaled)
    # −2³² … 2³² does not fit 32 bits: count in halves of a turn.
    wrapped = jnp.where(whole >= 2.0**31, whole - 2.0**32, whole)
    rest = jnp.minimum((scaled - whole) * 2.0**32, 2.0**32 - 256.0)
    return wrapped.astype(jnp.int32).astype(jnp.uint32), rest.astype(jnp.uint32)


def _add(a, b):
    low = a[1] + b[1]
    return a[0] + b[0] + (low < b[1]).astype(jnp.uint32), low


def _times(a, steps: Array):
    """steps·a modulo 2⁶⁴, by halves of words."""
    count = steps.astype(jnp.uint32)
    count_high, count_low = count >> 16, count & 0xFFFF
    low_high, low_low = a[1] >> 16, a[1] & 0xFFFF
    middle = (low_low * count_low >> 16) + low_high * count_low
    carry = (middle < low_high * count_low).astype(jnp.uint32)
    other = middle + low_low * count_high
    carry = carry + (other < middle).astype(jnp.uint32)
    high = low_high * count_high + (other >> 16) + (carry << 16)
    return a[0] * count + high, a[1] * count
