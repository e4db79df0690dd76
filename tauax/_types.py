"""Array aliases with named axes, and the converter of every numeric field.

`batch` stands for the axes made by `vary` and for `member`; the oscillator axis comes last.
"""

import reprlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

from tauax._checks import fault

Phase = Float[Array, "*batch oscillator"]
Torque = Float[Array, "*batch oscillator"]
Weights = Float[Array, "target source"]
Scalar = Float[Array, ""]
Step = Int[Array, ""]
SeedKey = Key[Array, ""]
MemberKey = UInt32[Array, "*batch 2"]


# What a numeric field of a module may hold; checked wherever the leaf is set.
FINITE = {"domain": "finite"}
NONNEGATIVE = {"domain": "nonnegative"}
POSITIVE = {"domain": "positive"}
TIMES = {"domain": "times"}


def numeric(value: Any) -> Array:
    """`value` as a strongly typed floating array; floating dtypes and tracers stay as they are.

    Numbers and integers take JAX's default, float32 or, in 64-bit mode, float64. A weakly typed
    2.0 and an array leaf would compile the same program twice, and an integer leaf has no gradient.
    """
    array = value if isinstance(value, jax.Array) else _real(value)
    if isinstance(value, jax.Array) and array.dtype == jnp.float64 and not _x64():
        raise fault(
            "a float64 array while 64-bit mode is off",
            "float32, or 64-bit mode switched on before the first array is made",
            'call jax.config.update("jax_enable_x64", True) at program start, '
            "or pass value.astype(jnp.float32)",
        )
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise _not_real(f"{reprlib.repr(value)} of dtype {array.dtype}")
    dtype = array.dtype if jnp.issubdtype(array.dtype, jnp.floating) else np.dtype(np.float64)
    return jnp.asarray(array, dtype=jax.dtypes.canonicalize_dtype(dtype))


def _real(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise _not_real(reprlib.repr(value)) from error


def _not_real(got: str) -> Exception:
    return fault(
        got, "a real number or an array of numbers", "convert it to real numbers first", TypeError
    )


def _x64() -> bool:
    return jax.dtypes.canonicalize_dtype(jnp.float64) == jnp.float64
