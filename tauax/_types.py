"""Array aliases with named axes, and the converter of every numeric field.

`batch` stands for the axes made by `vary` and for `member`; the oscillator axis comes last.
"""

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
MemberKey = Key[Array, "*batch"]
Words = UInt32[Array, "2"]


# What a numeric field of a module may hold; checked wherever the leaf is set.
FINITE = {"domain": "finite"}
NONNEGATIVE = {"domain": "nonnegative"}


def numeric(value: Any) -> Array:
    """`value` as a strongly typed floating array: float64 and tracers stay, numbers become float32.

    A weakly typed 2.0 and an array leaf would compile the same program twice, and an integer leaf
    has no gradient.
    """
    if isinstance(value, jax.Array) and value.dtype == jnp.float64 and not _x64():
        raise fault(
            "a float64 array while 64-bit mode is off",
            "float32, or 64-bit mode switched on before the first array is made",
            'call jax.config.update("jax_enable_x64", True) at program start, '
            "or pass value.astype(jnp.float32)",
        )
    try:
        # A Python number carries no precision of its own: it takes the default dtype.
        array = value if isinstance(value, jax.Array) else np.asarray(value)
        floating = jnp.issubdtype(array.dtype, jnp.floating)
        dtype = array.dtype if floating and not _is_number(value) else jnp.float32
        return jnp.asarray(array, dtype=jax.dtypes.canonicalize_dtype(dtype))
    except (TypeError, ValueError) as error:
        raise fault(
            f"{value!r}",
            "a real number or an array of numbers",
            "convert it with jnp.asarray",
            TypeError,
        ) from error


def _is_number(value: Any) -> bool:
    """A bare number, or nested lists of them: anything that never chose a dtype."""
    return isinstance(value, int | float | list | tuple)


def _x64() -> bool:
    return jax.dtypes.canonicalize_dtype(jnp.float64) == jnp.float64
