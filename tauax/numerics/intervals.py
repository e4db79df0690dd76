"""How often an interval has passed after a whole number of steps, exact over 10⁹ of them."""

import jax.numpy as jnp
from jaxtyping import Array

from tauax.numerics.cycles import Words, two_product, two_sum
from tauax.numerics.fusion import product


def passed(time: Words, interval: Words) -> tuple[Array, Array]:
    """time / interval as an integer, rounded down, and the rest in [0, 1].

    `time` and `interval` > 0, in two words, are taken as exactly the numbers that are stored. In
    float32 the error is 1e-7, and 3e-14 of the quotient. A quotient beyond ±2³⁰ is cut there.
    """
    high = time[0] / interval[0]
    back = two_product(high, interval[0])
    rest = ((time[0] - back[0]) - back[1]) + (time[1] - product(high, interval[1]))
    low = rest / interval[0]
    quotient, rest = two_sum((high, jnp.zeros_like(high)), (low, jnp.zeros_like(low)))
    whole, part = jnp.floor(quotient), jnp.floor(rest)
    # Each word has a whole number and a part; together the parts may make up one more.
    total = (quotient - whole) + (rest - part)
    carry = jnp.floor(total)
    limit = 2.0**30
    count = jnp.clip(whole, -limit, limit).astype(jnp.int32) + (part + carry).astype(jnp.int32)
    return count, total - carry
