"""Natural frequencies: quantiles of a law, or draws from it.

Without `key` a law gives its midpoint quantiles q = (i + ½)/n, sorted: the finite set closest to
the continuum limit. With `key` it gives independent draws, and with `members=m` one set per member,
shape `[member, oscillator]`, for `tx.per_member`; set 0 is the set drawn without `members`.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_domain, fault, typed_key
from tauax._types import numeric


def lorentzian(n: int, centre, width, *, key=None, members: int | None = None) -> Array:
    """Lorentzian (Cauchy) frequencies, g(ω) = (γ/π) / ((ω − ω₀)² + γ²).

    **Arguments:** `n` oscillators; `centre` ω₀ and `width` γ (half width at half maximum), rad/s;
    `key`, a `jax.random.key` to draw at random; `members`, the number of sets to draw.

    **Returns:** `[oscillator]`, or `[member, oscillator]` with `members`.

    **Raises:** `ValueError` for a negative width, n < 1, or `members` without `key`.
    """
    standard = _standard(n, key, members, _cauchy_quantile, jax.random.cauchy)
    return _place(standard, centre, width)


def gaussian(n: int, centre, width, *, key=None, members: int | None = None) -> Array:
    """Gaussian frequencies, g(ω) = exp(−(ω − ω₀)²/2σ²) / √(2πσ²); `width` is σ.

    Arguments, result and errors are those of `lorentzian`.
    """
    standard = _standard(n, key, members, _normal_quantile, jax.random.normal)
    return _place(standard, centre, width)


def uniform(n: int, centre, width, *, key=None, members: int | None = None) -> Array:
    """Uniform frequencies on [ω₀ − γ, ω₀ + γ]; `width` is the half width γ.

    Arguments, result and errors are those of `lorentzian`.
    """
    standard = _standard(n, key, members, lambda q: 2 * q - 1, _draw_uniform)
    return _place(standard, centre, width)


def bimodal_lorentzian(n: int, centre, width, *, key=None, members: int | None = None) -> Array:
    """Two Lorentzians of half width γ = `width`, half of the oscillators round each of ±`centre`.

    g(ω) = (γ/2π) [1/((ω − ω₀)² + γ²) + 1/((ω + ω₀)² + γ²)]  (Martens et al. 2009, PRE 79 026204).
    The first ⌊n/2⌋ frequencies lie round −ω₀, the others round +ω₀. Arguments, result and errors
    are otherwise those of `lorentzian`.
    """
    check_count("n", n, 2)
    low, high = n // 2, n - n // 2
    keys = (None, None) if key is None else jax.random.split(typed_key(key))
    lower = lorentzian(low, -numeric(centre), width, key=keys[0], members=members)
    upper = lorentzian(high, centre, width, key=keys[1], members=members)
    return jnp.concatenate([lower, upper], axis=-1)


def _standard(n: int, key, members, quantile: Callable, draw: Callable) -> Array:
    """The law with centre 0 and width 1: quantiles, one draw, or one draw per member."""
    check_count("n", n, 1)
    if key is None:
        if members is not None:
            raise fault(
                f"members={members} without a key",
                "a key, from which each member's set is drawn",
                "pass key=jax.random.key(0)",
            )
        return numeric(quantile((np.arange(n) + 0.5) / n))
    key = typed_key(key)
    sets = jnp.arange(1 if members is None else check_count("members", members, 1))
    drawn = jax.vmap(lambda member: draw(jax.random.fold_in(key, member), (n,)))(sets)
    return drawn[0] if members is None else drawn


def _place(standard: Array, centre, width) -> Array:
    check_domain("centre", centre, "finite")
    check_domain("width", width, "nonnegative")
    return numeric(centre) + numeric(width) * standard


def _draw_uniform(key, shape) -> Array:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def _cauchy_quantile(q: np.ndarray) -> np.ndarray:
    return np.tan(math.pi * (q - 0.5))


def _normal_quantile(q: np.ndarray) -> np.ndarray:
    return np.fromiter(map(NormalDist().inv_cdf, q), dtype=np.float64, count=len(q))
