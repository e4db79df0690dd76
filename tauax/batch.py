"""Many systems at once: which leaf of a model has which axis, and the one place that maps them.

Everything below this module is written for one system; everything above it calls `over_batch`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr
from jaxtyping import Array

from tauax._checks import check_instance, check_numbers, fault
from tauax._types import numeric
from tauax.selection import select
from tauax.state import State
from tauax.systems.base import AbstractSystem

MEMBER = "member"
_ROW = "(row)"  # no identifier, so no name that a user can give


class Axis(NamedTuple):
    """A named batch axis of a model: its size and the leaves, by position, that have it.

    `entries` are the names under which leaves were zipped, and empty for a single entry.
    """

    name: str
    size: int
    leaves: tuple[int, ...]
    entries: tuple[str, ...] = ()


class Varied(eqx.Module):
    """A model some of whose leaves have a leading axis; accepted wherever a model is.

    Made by `vary` and `per_member`. **Attributes:** `system`, the model with the longer leaves;
    `axes`, the named axes in the order of the batch, `member` last.
    """

    system: AbstractSystem
    axes: tuple[Axis, ...] = eqx.field(static=True)

    @property
    def dtype(self):
        """The dtype of the phase."""
        return self.system.dtype

    @property
    def size(self) -> int:
        """Number of oscillators."""
        return self.system.size

    @property
    def noise(self):
        """The noise of the system, if any."""
        return self.system.noise

    @property
    def needs_key(self) -> bool:
        """Whether a run draws random numbers."""
        return self.system.needs_key

    @property
    def random_phase(self) -> bool:
        """Whether phases that are not given are drawn at random."""
        return self.system.random_phase

    def check_dt(self, dt: Any) -> None:
        """Raise if steps of dt are known to be too long to make sense of."""
        self.system.check_dt(dt)

    def coordinates(self) -> dict[str, Array]:
        """The values along each axis that moves one number; of zipped ones by "axis.entry"."""
        leaves = jax.tree.leaves(self.system)
        found = {}
        for axis in self.axes:
            names = [f"{axis.name}.{entry}" for entry in axis.entries] or [axis.name]
            if axis.name != MEMBER and len(names) == len(axis.leaves):
                numbers = zip(names, axis.leaves, strict=True)
                found |= {name: leaves[leaf] for name, leaf in numbers if leaves[leaf].ndim == 1}
        return found


class Zipped(NamedTuple):
    """Several leaves that move along one axis; made by `zipped`."""

    entries: tuple[tuple[Callable, Any], ...]
    names: tuple[str, ...]


def vary(model, entries: Mapping[str, Any]) -> Varied:
    """A grid of models: one named axis per entry, before the member axis, in the order given.

    **Arguments:** `model`, a system or the result of an earlier `vary`; `entries`, for each axis
    its name and `(where, values)`: `where` picks a leaf (or a tuple of leaves, which then move
    together) and `values` has shape `(V, *leaf.shape)`; or `tx.zipped({...})`.

        grid = tx.vary(model, {"coupling": (lambda m: m.coupling.strength, jnp.linspace(0, 4, 16))})

    **Raises:** `ValueError` for a name or leaf used twice, a selection that is not a numeric leaf,
    or values of the wrong shape.
    """
    varied = _as_varied(model)
    check_instance("entries", entries, Mapping, 'pass {"coupling": (where, values)}')
    for name, entry in entries.items():
        if not (isinstance(name, str) and name.isidentifier()) or name == "oscillator":
            raise fault(
                f"an axis named {name!r}",
                "an identifier other than 'oscillator'",
                'name it like "coupling"',
            )
        if name == MEMBER:
            raise fault(
                f"an axis named {MEMBER!r}",
                "any other name",
                "use tx.per_member for the member axis",
            )
        zipped = entry if isinstance(entry, Zipped) else Zipped((_pair(name, entry),), ())
        varied = _add_axis(varied, name, zipped.entries, zipped.names)
    return varied


def zipped(entries: Mapping[str, Any]) -> Zipped:
    """Several `(where, values)` that move along one axis of `vary`, all with the same V."""
    check_instance("entries", entries, Mapping, 'pass {"coupling": (where, values)}')
    pairs = tuple(_pair(name, entry) for name, entry in entries.items())
    return Zipped(pairs, tuple(entries))


def per_member(model, where: Callable, values) -> Varied:
    """Give a leaf one value per member: quenched disorder, or one noise path each.

    **Arguments:** `where` picks a leaf; `values` has shape `(members, *leaf.shape)`. The `members`
    of `tx.init` must then be that number.

    **Raises:** as `vary`.
    """
    return _add_axis(_as_varied(model), MEMBER, ((where, values),))


def system_of(model: Any) -> AbstractSystem:
    """The system of a model."""
    return model.system if isinstance(model, Varied) else model


def over_batch(function: Callable, model, state: State) -> Any:
    """`function(system, state)` of one system, mapped over all batch axes of the state."""
    system, axes = (model.system, model.axes) if isinstance(model, Varied) else (model, ())

    def single(system, own):
        return function(system, State(state.step, state.clock, **own._asdict()))

    mapped = single
    for name in reversed(state.axes):
        mapped = jax.vmap(mapped, in_axes=(_mapped_leaves(system, axes, name), 0))
    return mapped(system, state.own)


def pick(model, state: State, index: tuple[int, ...]) -> tuple[AbstractSystem, State]:
    """One system of a batch and its state, without batch axes; `index` has one entry per axis."""
    system, axes = (model.system, model.axes) if isinstance(model, Varied) else (model, ())
    leaves, structure = jax.tree.flatten(system)
    for axis in axes:
        for leaf in axis.leaves:
            leaves[leaf] = leaves[leaf][index[state.axes.index(axis.name)]]
    own = jax.tree.map(lambda leaf: leaf[index], state.own)
    return structure.unflatten(leaves), State(state.step, state.clock, **own._asdict())


def doubled(advance: Callable[[State], Any], state: State) -> State:
    """A batch of one as two rows if one row might be computed otherwise; others as they are.

    XLA turns the matrix product of a single row into one of a matrix and a vector, which adds in
    another order, and a single number into a scalar; and where a function of the user's multiplies
    what rows share, one row has its product contracted with a sum, several do not. With a second
    row that differs, its phases negated, one system gets the bits it has in any batch.
    """
    if math.prod(state.phase.shape[:-1]) != 1:
        return state
    several = state.phase.size > 1
    if several and not _depends_on_rows(jax.make_jaxpr(advance)(state).jaxpr):
        return state
    twice = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), state.own)
    mirrored = jnp.stack([state.phase, -state.phase])
    return replace(state.with_own(twice._replace(phase=mirrored)), axes=(_ROW, *state.axes))


def undoubled(state: State) -> State:
    """The batch of one that `doubled` made two rows of."""
    if state.axes[:1] != (_ROW,):
        return state
    first = jax.tree.map(lambda leaf: leaf[0], state.own)
    return replace(state.with_own(first), axes=state.axes[1:])


# A barrier marks a function of the user's.
_ROWS_MATTER = (jax.lax.dot_general_p, jax.lax.optimization_barrier_p)


def _depends_on_rows(program: Jaxpr) -> bool:
    """Whether a program, or one inside it, may compute one row otherwise than several."""
    kinds = (Jaxpr, ClosedJaxpr)
    for equation in program.eqns:
        if equation.primitive in _ROWS_MATTER:
            return True
        inner = jax.tree.leaves(equation.params, is_leaf=lambda one: isinstance(one, kinds))
        bare = [one.jaxpr if isinstance(one, ClosedJaxpr) else one for one in inner]
        if any(isinstance(one, Jaxpr) and _depends_on_rows(one) for one in bare):
            return True
    return False


def _mapped_leaves(system: AbstractSystem, axes: tuple[Axis, ...], name: str):
    """The `in_axes` of a system: 0 for the leaves that have the axis, None for the others."""
    leaves, structure = jax.tree.flatten(system)
    has = {leaf for axis in axes if axis.name == name for leaf in axis.leaves}
    return structure.unflatten([0 if leaf in has else None for leaf in range(len(leaves))])


def _as_varied(model) -> Varied:
    if isinstance(model, Varied):
        return model
    check_instance("model", model, AbstractSystem, "pass a system such as tx.PhaseOscillators(...)")
    return Varied(model, ())


def _pair(name: str, entry) -> tuple[Callable, Any]:
    if isinstance(entry, tuple) and len(entry) == 2 and callable(entry[0]):
        return entry
    raise fault(
        f"{entry!r} for axis {name!r}",
        "a pair (where, values)",
        "write (lambda m: m.coupling.strength, jnp.linspace(0, 4, 16))",
        TypeError,
    )


def _add_axis(
    varied: Varied,
    name: str,
    pairs: tuple[tuple[Callable, Any], ...],
    entries: tuple[str, ...] = (),
) -> Varied:
    leaves, structure = jax.tree.flatten(varied.system)
    taken = {leaf: axis.name for axis in varied.axes for leaf in axis.leaves}
    present = [axis for axis in varied.axes if axis.name == name]
    if present and name != MEMBER:
        raise fault(f"the axis {name!r} twice", "a name per axis", "choose another name")
    sizes = {axis.size for axis in present}
    chosen: list[int] = []
    for where, values in pairs:
        for leaf, value in _select(varied.system, where, values):
            if leaf in taken or leaf in chosen:
                raise fault(
                    f"one leaf on the axes {taken.get(leaf, name)!r} and {name!r}",
                    "each leaf on one axis",
                    "vary it once, with all the values on one axis",
                )
            leaves[leaf] = _stacked(name, value, leaves[leaf])
            sizes.add(leaves[leaf].shape[0])
            chosen.append(leaf)
    if len(sizes) > 1:
        raise fault(
            f"values of {sorted(sizes)} entries on the axis {name!r}",
            "one number of entries",
            "give every leaf of an axis as many values",
        )
    system = structure.unflatten(leaves)
    check_numbers(system)
    old = present[0].leaves if present else ()
    axes = [axis for axis in varied.axes if axis.name != name]
    axes.append(Axis(name, sizes.pop(), old + tuple(chosen), entries))
    return Varied(system, tuple(sorted(axes, key=lambda axis: axis.name == MEMBER)))


def _select(system: AbstractSystem, where: Callable, values) -> list[tuple[int, Any]]:
    """The positions of the leaves that `where` picks, each with its values."""
    leaves = select(system, where)
    leaves, values = (leaves, values) if isinstance(leaves, tuple) else ((leaves,), (values,))
    if len(values) != len(leaves):
        raise fault(
            f"{len(values)} sets of values for {len(leaves)} leaves",
            "one set per leaf",
            "give a tuple of values as long as the tuple of leaves",
        )
    return list(zip(leaves, values, strict=True))


def _stacked(name: str, values, leaf: Array) -> Array:
    array = numeric(values)
    if array.shape[1:] != leaf.shape or array.ndim == 0 or array.shape[0] == 0:
        expected = ", ".join(["V", *map(str, leaf.shape)])
        raise fault(
            f"values of shape {array.shape} on the axis {name!r}",
            f"shape ({expected})",
            "stack the values along a new first axis",
        )
    return jnp.asarray(array, leaf.dtype)
