"""Selection: which leaves of a model a `where` lambda picks, by their position."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from tauax._checks import fault


def select(model: Any, where: Callable) -> int | tuple[int, ...]:
    """The position, among the leaves of a model, of the leaf picked; several for a tuple of them.

    **Raises:** `ValueError` for a `where` that fails on the model or picks no numeric leaf.
    """
    leaves, structure = jax.tree.flatten(model)
    marks = structure.unflatten([_Mark(leaf) for leaf in range(len(leaves))])
    try:
        picked = where(marks)
    except (AttributeError, KeyError, TypeError) as error:
        raise fault(
            f"a where that fails on this model ({_plainly(error)})",
            "a numeric leaf",
            "select a whole array, like lambda m: m.coupling.strength",
        ) from error
    if isinstance(picked, list):
        raise fault(
            "a where that selects a list",
            "a leaf, or a tuple of leaves",
            "select several like lambda m: (m.frequency, m.coupling.strength)",
        )
    for mark in picked if isinstance(picked, tuple) else (picked,):
        if not isinstance(mark, _Mark):
            raise fault(
                f"a where that selects {type(mark).__name__}",
                "a numeric leaf",
                "select a whole array such as m.coupling.strength, not a part or a static field",
            )
        if not hasattr(leaves[mark.leaf], "dtype"):
            raise fault(
                f"a where that selects a {type(leaves[mark.leaf]).__name__}",
                "an array",
                "make it an array in the model: eqx.field(converter=jnp.asarray)",
            )
        if not jnp.issubdtype(leaves[mark.leaf].dtype, jnp.floating):
            raise fault(
                "a where that selects whole numbers",
                "a leaf of real numbers",
                "what is counted or indexed, such as the ends of edges, is fixed: vary the weights",
            )
    return tuple(mark.leaf for mark in picked) if isinstance(picked, tuple) else picked.leaf


def _plainly(error: Exception) -> str:
    """What is said of a mark, said of what it stands for."""
    return str(error).replace(f"'{_Mark.__name__}'", "'leaf'")


@dataclass(frozen=True)
class _Mark:
    """Stands for the leaf at a position while a `where` picks."""

    leaf: int
