"""Functions to learn inside of a model: their numbers apart from their code, and their series."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_domain, fault, typed_key
from tauax._types import numeric


def series(function: Callable, harmonics: int, others: Array) -> tuple[Array, Array, Array]:
    """(a₀, a_k, b_k) of φ ↦ function([sin φ, cos φ, *others]), in the dtype of `others`.

    By the trapezoidal rule at four points per harmonic, so that what is folded back into the
    harmonics kept is far smaller than what is left out (Trefethen & Weideman 2014, SIAM Rev. 56).
    """
    size = 4 * harmonics
    angles = 2.0 * math.pi * np.arange(size) / size
    points = jnp.asarray(np.stack([np.sin(angles), np.cos(angles)], axis=-1), others.dtype)
    with jax.default_matmul_precision("highest"):
        values = jax.vmap(lambda point: function(jnp.concatenate([point, others])))(points)
        turns = np.arange(1, harmonics + 1)[:, None] * angles
        rows = np.concatenate([np.full((1, size), 0.5), np.cos(turns), np.sin(turns)])
        found = jnp.asarray(rows * (2.0 / size), others.dtype) @ values.astype(others.dtype)
    return found[0], found[1 : harmonics + 1], found[harmonics + 1 :]


def perceptron(inputs: int, width: int, depth: int, activation: Callable, key) -> eqx.nn.MLP:
    """A multilayer perceptron with one output, whose functions have names to be saved by."""
    check_count("width", width, 1)
    check_count("depth", depth, 0)
    key = typed_key(key)
    return eqx.nn.MLP(inputs, "scalar", width, depth, activation, _itself, key=key)


def split_function(function: Any, inputs: Sequence[str]) -> tuple[Any, Any]:
    """(parameters, code) of a function: its arrays, and all else, each in its own structure.

    A step casts every leaf of a system, so what is no array, such as an activation, is static.

    **Raises:** unless it is a function of an array of the named inputs that returns one number.
    """
    fix = f"pass eqx.nn.MLP({len(inputs)}, 'scalar', 16, 2, jnp.tanh, key=key)"
    wanted = f"a function of an array ({', '.join(inputs)}) that returns one number"
    if not callable(function):
        raise fault(f"function={function!r}", wanted, fix, TypeError)
    arrays, code = eqx.partition(function, lambda leaf: isinstance(leaf, jax.Array | np.ndarray))
    parameters = jax.tree.map(_parameter, arrays)
    try:
        hash(code)
    except TypeError as error:
        raise fault(
            f"a function that cannot be hashed ({error})",
            "a function whose fields are arrays, or can be hashed",
            "hold numbers as arrays and lists as tuples",
            TypeError,
        ) from error
    whole = eqx.combine(parameters, code)
    try:
        value = jax.eval_shape(whole, jnp.zeros(len(inputs)))
    except (TypeError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise fault(f"a function that fails: {first}", wanted, fix, TypeError) from error
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if dtype is None or shape != () or not jnp.issubdtype(dtype, jnp.floating):
        got = type(value).__name__ if dtype is None else f"shape {shape} and dtype {dtype}"
        raise fault(f"a function that returns {got}", wanted, fix)
    return parameters, code


def check_parameters(name: str, parameters: Any) -> None:
    """Raise for a number of a function that is not finite."""
    for place, leaf in jax.tree_util.tree_leaves_with_path(parameters):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            check_domain(f"{name}{jax.tree_util.keystr(place)}", leaf, "finite")


def _itself(value: Array) -> Array:
    return value


def _parameter(leaf: Any) -> Array:
    """A strongly typed array; integers stay what they are."""
    return numeric(leaf) if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.asarray(leaf)
