"""Addressed random numbers: each is a pure function of where it is used, none is carried along.

The generator is Threefry-2x32-20 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as
easy as 1, 2, 3"), written as straight-line code so that it fuses with the update that uses it.

Address layout, part of the public contract and pinned by a test of golden numbers:

    stream key = threefry(key,        (stream, point))     point: index in the grid made by `vary`
    member key = threefry(stream key, (0, member))
    words      = threefry(member key, (step, counter))

`key` is the caller's; the streams are `PHASE` and `NOISE`. All counters are unsigned 32-bit. What a
block of two words is made into, for one step:

    an angle            the first word of counter i, for oscillator i
    a normal            Box–Muller makes two of a block: counter g for the oscillators 2g (the
                        cosine) and 2g + 1 (the sine)
    a second normal     the same, from the counters from 2³⁰ on
    one of two points   bit b of the first word of counter g, for oscillator 32g + b
    one of three        the first word of counter i, for oscillator i

The counters from 2³¹ on, which no oscillator has, belong to what is measured.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt32

from tauax._types import MemberKey, SeedKey
from tauax.numerics.fusion import computed_once
from tauax.numerics.logarithm import minus_two_log
from tauax.numerics.trig import cos_turns, sin_turns

Words = tuple[UInt32[Array, "*shape"], UInt32[Array, "*shape"]]

PHASE, NOISE = 1, 2
SECOND, MEASURED = 2**30, 2**31

_BITS, _LANES, _FEW = 32, 16, 8

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


# Traced once for each shape, not at every use.
@partial(jax.jit, inline=True)
def threefry2x32(key0: Array, key1: Array, count0: Array, count1: Array) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds: two uniform uint32 words from a key and a counter of two words.

    All arguments are uint32 and broadcast. Equal to the reference implementation of Random123.
    """
    keys = (key0, key1, key0 ^ key1 ^ jnp.uint32(_PARITY))
    x0, x1 = count0 + keys[0], count1 + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = _rotate_left(x1, rotation) ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return x0, x1


def member_keys(key: SeedKey, stream: int, point: Array, member: Array) -> MemberKey:
    """The two key words of each member of one stream, `[*batch, 2]`; both indices broadcast."""
    words = jax.random.key_data(key)
    words = threefry2x32(words[0], words[1], jnp.uint32(stream), point.astype(jnp.uint32))
    words = threefry2x32(*words, jnp.uint32(0), member.astype(jnp.uint32))
    return jnp.stack(words, axis=-1)


def block(key: MemberKey, step: Array, counters: UInt32[Array, "*shape"]) -> Words:
    """The two words of each counter, of one member at one step."""
    return threefry2x32(key[0], key[1], step.astype(jnp.uint32), counters)


def angles(key: MemberKey, size: int, dtype: jnp.dtype) -> Array:
    """Uniform phases in [−π, π], π by rounding only, from step 0 of a member's own stream."""
    word, _ = block(key, jnp.uint32(0), _counters(size))
    return _signed_turns(word, dtype) * (2.0 * jnp.pi)


def normal(key: MemberKey, step: Array, size: int, dtype: jnp.dtype, first: int = 0) -> Array:
    """Standard normals by Box–Muller, √(−2 ln u)·(cos 2πt, sin 2πt), |z| ≤ 6.7; stored.

    u and t keep the leading 31 and 32 bits of the two words in float64 and 24 in float32, so both
    precisions follow the same path to rounding.
    """
    blocks = -(-size // 2)
    if blocks > _FEW:
        whole = -(-blocks // _LANES) * _LANES  # what does not fill a vector would be done singly
        return _normals(key, step, first, (whole, 2), dtype).reshape(-1)[:size]
    # So short a loop has no vectors: with a loop to each block, those run along the members.
    pairs = [_normals(key, step, first + g, (2,), dtype) for g in range(blocks)]

    def joined(pairs: Sequence[Array]) -> Array:
        return jnp.concatenate(pairs)[:size]

    return computed_once(joined, lambda pairs: jnp.zeros(size, dtype), pairs, step)


def _normals(
    key: MemberKey, step: Array, first: int, shape: tuple[int, ...], dtype: jnp.dtype
) -> Array:
    """The two normals of each counter from `first` on, of shape `(2,)` or `(blocks, 2)`.

    Both need all that comes before the cosine or the sine. The loop over the two is the inner one,
    so the compiler takes that out of it, as long as nothing it reads differs between them. Words
    are stored: with what is made of them the chain is too long for a processor to begin the next.
    """
    last = len(shape) - 1

    def is_first() -> Array:
        return jax.lax.broadcasted_iota(jnp.int32, shape, last) == 0

    def words(key: MemberKey) -> Array:
        counters = jnp.full(shape, first, jnp.uint32)
        if last:
            counters = counters + jax.lax.broadcasted_iota(jnp.uint32, shape, 0)
        return jnp.where(is_first(), *block(key, step, counters))

    def waves(words: Array) -> Array:
        radius_word, angle_word = (jnp.broadcast_to(words[..., k : k + 1], shape) for k in range(2))
        turns = _signed_turns(angle_word, dtype)
        wave = jnp.where(is_first(), cos_turns(turns), sin_turns(turns))
        return _radius(radius_word, dtype) * wave

    drawn = computed_once(words, lambda key: jnp.zeros(shape, jnp.uint32), key, step)
    return computed_once(waves, lambda words: jnp.zeros(shape, dtype), drawn, step)


def normal_pair(key: MemberKey, step: Array, size: int, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Two independent standard normals for each oscillator; the first is that of `normal`."""
    return normal(key, step, size, dtype), normal(key, step, size, dtype, SECOND)


def two_point(key: MemberKey, step: Array, size: int, dtype: jnp.dtype) -> Array:
    """±1 with equal odds: the moments of a normal up to the third. For weak statistics only."""
    words = -(-size // _BITS)

    def signs(key: MemberKey) -> Array:
        word, _ = block(key, step, _counters(words))
        bit = jax.lax.broadcasted_iota(jnp.uint32, (words, _BITS), 1)
        return jnp.where((word[:, None] >> bit) & 1 == 0, 1.0, -1.0).astype(dtype)

    drawn = computed_once(signs, lambda key: jnp.zeros((words, _BITS), dtype), key, step)
    return drawn.reshape(-1)[:size]


def three_point(key: MemberKey, step: Array, size: int, dtype: jnp.dtype) -> Array:
    """0 with odds 2/3, ±√3 with odds 1/6 each: the moments of a normal up to the fifth."""
    sixth = jnp.uint32(2**32 // 6)
    last = jnp.uint32(2**32 - 2**32 // 6)

    def thirds(key: MemberKey) -> Array:
        word, _ = block(key, step, _counters(size))
        sign = jnp.where(word < sixth, -1.0, jnp.where(word >= last, 1.0, 0.0))
        return sign.astype(dtype) * jnp.asarray(3.0, dtype) ** 0.5

    return computed_once(thirds, lambda key: jnp.zeros(size, dtype), key, step)


def _counters(size: int) -> UInt32[Array, " counter"]:
    return jnp.arange(size, dtype=jnp.uint32)


def _radius(word: Array, dtype) -> Array:
    """√(−2 ln u) with u uniform in (0, 1)."""
    uniform = ((word >> 1).astype(jnp.int32).astype(dtype) + 0.5) * 2.0**-31
    return jnp.sqrt(minus_two_log(uniform))


def _signed_turns(word: Array, dtype: jnp.dtype) -> Array:
    """A word as a number in [−½, ½]; ½ by rounding only."""
    return word.astype(jnp.int32).astype(dtype) * 2.0**-32


def _rotate_left(x: Array, bits: int) -> Array:
    return (x << jnp.uint32(bits)) | (x >> jnp.uint32(32 - bits))
