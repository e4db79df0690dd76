"""Parameters that all members share, seen as one value per member: for a derivative of each."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_instance, fault
from tauax.batch import MEMBER, Axis, Varied, system_of
from tauax.learn.arguments import check_function
from tauax.learn.problem import with_values
from tauax.selection import select
from tauax.solution import Solution
from tauax.state import State
from tauax.systems.base import AbstractSystem


class Shared(eqx.Module):
    """Leaves of a model that its members share.

    **Attributes:** `leaves`, their positions in the system; `single`, whether the user picked one
    leaf and not a tuple of them.
    """

    leaves: tuple[int, ...] = eqx.field(static=True)
    single: bool = eqx.field(static=True)

    def each(self, model: Any, members: int) -> tuple[Array, ...]:
        """Their values in a model, once for every member."""
        leaves = jax.tree.leaves(system_of(model))
        given = (leaves[leaf] for leaf in self.leaves)
        return tuple(jnp.broadcast_to(value, (members, *value.shape)) for value in given)

    def with_each(self, model: Any, values: tuple[Array, ...]) -> Varied:
        """The model with values of each member's own."""
        axes = model.axes if isinstance(model, Varied) else ()
        own = axes[0] if axes else Axis(MEMBER, values[0].shape[0], ())
        own = own._replace(leaves=own.leaves + self.leaves)
        return Varied(with_values(system_of(model), self.leaves, values), (own,))

    def arranged(self, values: tuple[Any, ...]) -> Any:
        """Something of every leaf, in the structure of the user's selection."""
        return values[0] if self.single else values


def checked_members(model: Any, state: State) -> int:
    """The number of members of a run without any other axis."""
    if state.axes != (MEMBER,):
        raise fault(
            f"a state with the axes {state.axes}",
            "members, and no other axis",
            "make it with tx.init(model, key=..., members=...), and take the points of a grid one "
            "by one",
        )
    return state.phase.shape[0]


def checked_shared(model: Any, where: Callable) -> Shared:
    """The leaves that a `where` picks, all of them shared by the members."""
    check_function("where", where, "pass where=lambda m: m.coupling.strength")
    found = select(system_of(model), where)
    leaves = found if isinstance(found, tuple) else (found,)
    if not leaves or len(set(leaves)) < len(leaves):
        raise fault(
            f"a where that selects {'one leaf twice' if leaves else 'nothing'}",
            "one or more leaves, each once",
            "select like lambda m: (m.frequency, m.coupling.strength)",
        )
    own = {leaf for axis in getattr(model, "axes", ()) for leaf in axis.leaves}
    if own & set(leaves):
        raise fault(
            "a where that selects a leaf with one value per member",
            "leaves that all members share",
            "select another leaf, or give this one a single value",
        )
    return Shared(leaves, not isinstance(found, tuple))


def statistic_of(statistic: Callable, solution: Solution, members: int) -> Array:
    """What a statistic makes of a solution, checked to be one real number per member."""
    found = statistic(solution)
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if dtype is None or shape != (members,) or not jnp.issubdtype(dtype, jnp.floating):
        got = type(found).__name__ if dtype is None else f"shape {shape} and dtype {dtype}"
        raise fault(
            f"a statistic of {'type ' if dtype is None else ''}{got}",
            f"one real number per member, shape ({members},)",
            "return for example sol.monitors['r'].mean, without a mean over the members",
        )
    return jnp.asarray(found)


def check_statistic(statistic: Any) -> None:
    """Raise unless a statistic can be called."""
    fix = "pass a function of a solution, such as lambda sol: sol.monitors['r'].mean"
    check_function("statistic", statistic, fix)


def without(solution: Solution, name: str) -> Solution:
    """The solution without one of its monitors."""

    def others(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if key != name}

    monitors, asked = others(solution.monitors), others(solution.specification)
    return replace(solution, monitors=monitors, specification=asked)


def check_model(model: Any) -> None:
    """Raise unless a model is one that can be run."""
    check_instance("model", model, AbstractSystem | Varied, "pass tx.PhaseOscillators(...)")
