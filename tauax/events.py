"""Events: parameters that jump, and edges that are cut, at given times."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from tauax._checks import check_instance, check_numbers, fault
from tauax._types import FINITE, TIMES, MemberKey, Phase, Torque, numeric
from tauax.batch import Varied
from tauax.clock import Moment
from tauax.drives.base import check_times
from tauax.noise import AbstractNoise
from tauax.numerics.cycles import Words
from tauax.numerics.fusion import materialised
from tauax.selection import select
from tauax.systems.base import AbstractSystem


class Change(eqx.Module):
    """New values of one parameter at given times; used with `scheduled`.

    **Arguments:** `where` picks a leaf of the model; `times`, `[event]`, seconds ≥ 0, in order;
    `values`, `[event, *leaf.shape]`: the whole leaf from each event on. With `index`, the position
    of one element per event, such as `(3, 4)` for a weight, `values` are single numbers `[event]`.
    Derivatives by values are exact; those by times are 0, as an event acts at the step it falls in.

    **Raises:** `ValueError` for times out of order, negative or not finite.
    """

    where: Callable = eqx.field(static=True)
    times: Array = eqx.field(converter=numeric, metadata=TIMES)
    values: Array = eqx.field(converter=numeric, metadata=FINITE)
    index: Any = None

    def __check_init__(self) -> None:
        check_times("Change.times", self.times)
        check_numbers(self)
        if self.values.ndim == 0 or self.values.shape[0] != self.times.shape[0]:
            raise fault(
                f"Change.values of shape {self.values.shape} for {self.times.shape[0]} times",
                f"shape ({self.times.shape[0]}, ...)",
                "give one value per time",
            )


class Replacement(eqx.Module):
    """A change of a known leaf.

    **Attributes:** `name`; `leaf`, its position; `times` and `values`; `index`,
    `[event, dimension]`, and `successor`, `[event]`, the number of the next event for the same
    element, or None where the whole leaf is replaced.
    """

    times: Array = eqx.field(metadata=TIMES)
    values: Array
    index: Array | None
    successor: Array | None
    name: str = eqx.field(static=True)
    leaf: int = eqx.field(static=True)

    def __call__(self, value: Array, moment: Moment) -> Array:
        """The value of the leaf during the step that begins at the moment."""
        due = moment.steps_until(self.times) <= 0
        if self.index is None:
            return self._whole(value, due)
        return self._elements(value, due, self.index)

    def _whole(self, value: Array, due: Bool[Array, " event"]) -> Array:
        last = jnp.maximum(due.sum() - 1, 0)
        return jnp.where(due.any(), self.values[last].astype(value.dtype), value)

    def _elements(self, value: Array, due: Bool[Array, " event"], index: Array) -> Array:
        # What a later event sets again is dropped: no element is set twice, in whatever order.
        again = jnp.concatenate([due, jnp.zeros((1,), bool)])[self.successor]
        index = jnp.where((due & ~again)[:, None], index, jnp.asarray(value.shape))
        return value.at[tuple(index.T)].set(self.values.astype(value.dtype), mode="drop")


class Scheduled(AbstractSystem):
    """A system some of whose parameters change at given times; made by `scheduled`.

    **Attributes:** `system`, as it is before the first event; `changes`. A change is also found by
    its name: `tx.vary(model, {"start": (lambda m: m["boost"].times, …)})`.
    """

    system: AbstractSystem  # first, so that its leaves keep their positions
    changes: tuple[Replacement, ...]

    def check_values(self) -> None:
        """Raise for a value that its leaf may not hold."""
        for changed in self._changed():
            check_numbers(changed)

    def __getitem__(self, name: str) -> Replacement:
        return {change.name: change for change in self.changes}[name]

    @property
    def noise(self) -> AbstractNoise | None:
        return self.system.noise

    @property
    def size(self) -> int:
        return self.system.size

    @property
    def dtype(self):
        return self.system.dtype

    @property
    def needs_key(self) -> bool:
        return self.system.needs_key

    @property
    def random_phase(self) -> bool:
        return self.system.random_phase

    @property
    def rotation(self) -> Words | None:
        return self.system.rotation

    def check_dt(self, dt: Any) -> None:
        for system in (self.system, *self._changed()):
            system.check_dt(dt)

    def initial_phase(self, key: MemberKey | None) -> Phase:
        return self.system.initial_phase(key)

    def first_buffers(self, phase: Phase) -> Any:
        return self.system.first_buffers(phase)

    def drift(self, phase: Phase, moment: Moment) -> Torque:
        return self.at(moment).drift(phase, moment)

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        return self.at(moment).jump(phase, moment)

    def at(self, moment: Moment) -> AbstractSystem:
        leaves, structure = jax.tree.flatten(self.system)
        for change in self.changes:
            # Stored, so that the step is compiled as with a parameter that never changes.
            value = change(leaves[change.leaf], moment)
            leaves[change.leaf] = materialised(value, moment.step)
        return structure.unflatten(leaves).at(moment)

    def _changed(self) -> Iterator[AbstractSystem]:
        """The system with all the values of each change in place of its leaf, to look at them."""
        leaves, structure = jax.tree.flatten(self.system)
        for change in self.changes:
            values = [*leaves[: change.leaf], change.values, *leaves[change.leaf + 1 :]]
            yield structure.unflatten(values)


def scheduled(model, changes: Mapping[str, Change]):
    """The model with parameters that jump at given times.

        tx.scheduled(model, {
            "boost": tx.Change(lambda m: m.coupling.strength, times=[20, 40], values=[3.0, 0.5]),
            "cut": tx.Change(lambda m: m.coupling.weights, [10.0], [0.0], index=[(3, 4)]),
        })

    An event takes effect in the first step that begins at or after its time, and holds through
    every stage of it. What a system remembers from the start, such as the first mean of moving
    cuts, is that before all events. Where several changes touch one element, the last one named
    wins. Times and
    values are data: new ones compile nothing, and they can be swept, and the values learned.

    **Arguments:** `model`, a system or a `Varied`, the values then being those of one system;
    `changes`, by name.

    **Returns:** a `Scheduled`, or for a `Varied` a `Varied` again. A `where` for it selects in
    `m.system`: `lambda m: m.system.coupling.strength`.

    **Raises:** `ValueError` for a name used twice, a selection that is not one numeric leaf, values
    of the wrong shape or outside of what the leaf may hold, or an index out of range.
    """
    if isinstance(model, Varied):
        return Varied(_scheduled(model.system, changes, model.axes), model.axes)
    check_instance("model", model, AbstractSystem, "pass a system such as tx.PhaseOscillators(...)")
    return _scheduled(model, changes, ())


def _scheduled(system: AbstractSystem, changes: Mapping[str, Change], axes) -> Scheduled:
    check_instance("changes", changes, Mapping, 'pass {"boost": tx.Change(where, times, values)}')
    earlier: tuple[Replacement, ...] = ()
    if isinstance(system, Scheduled):
        system, earlier = system.system, system.changes
    names = {change.name for change in earlier}
    for name, change in changes.items():
        check_instance(f"changes[{name!r}]", change, Change, "pass tx.Change(where, times, values)")
        if not isinstance(name, str) or name in names:
            raise fault(
                f"a change named {name!r}{' again' if name in names else ''}",
                "a name of its own for each change",
                'choose another, such as "boost"',
            )
    batched = {leaf for axis in axes for leaf in axis.leaves}
    return Scheduled(
        system,
        earlier + tuple(_placed(system, name, one, batched) for name, one in changes.items()),
    )


def _placed(system: AbstractSystem, name: str, change: Change, batched: set[int]) -> Replacement:
    """The change with its leaf found and its values checked against it."""
    position = select(system, change.where)
    if isinstance(position, tuple):
        raise fault(
            f"a where that selects {len(position)} leaves for the change {name!r}",
            "one leaf",
            "give each leaf a change of its own",
        )
    leaves, structure = jax.tree.flatten(system)
    leaf = leaves[position]
    shape = leaf.shape[1:] if position in batched else leaf.shape
    expected = () if change.index is not None else shape
    if change.values.shape[1:] != expected:
        fix = "give the whole leaf for each event, or single elements by index=[...]"
        raise fault(
            f"values of shape {change.values.shape} for the change {name!r}",
            f"shape {(change.times.shape[0], *expected)}",
            fix if change.index is None else "give one number per event and index",
        )
    leaves[position] = change.values
    check_numbers(structure.unflatten(leaves))  # against the domain of the leaf
    index = successor = None
    if change.index is not None:
        index = _checked_index(name, change, shape)
        successor = jnp.asarray(_successors(index))
        index = jnp.asarray(index, jnp.int32)
    return Replacement(change.times, change.values, index, successor, name, position)


def _checked_index(name: str, change: Change, shape: tuple[int, ...]) -> np.ndarray:
    """One position in the leaf per event, `[event, dimension]`."""
    count, dimensions = change.times.shape[0], len(shape)
    try:
        index = np.asarray(change.index)
    except (ValueError, jax.errors.TracerArrayConversionError):  # ragged, or not known yet
        index = np.zeros(0)
    if dimensions == 1 and index.ndim == 1:
        index = index[:, None]
    integers = np.issubdtype(index.dtype, np.integer)
    if index.shape != (count, dimensions) or dimensions == 0 or not integers:
        expected = f"{count} positions of {dimensions} integers each, known before tracing"
        fix = "give one position such as (3, 4) per event"
        if dimensions == 0:
            expected, fix = "no index, as the leaf is a single number", "leave index out"
        raise fault(f"index={change.index!r} for the change {name!r}", expected, fix)
    outside = ((index < 0) | (index >= np.asarray(shape))).any(axis=1)
    if outside.any():
        bad = int(np.argmax(outside))
        raise fault(
            f"index {tuple(map(int, index[bad]))} for the change {name!r}",
            f"a position in an array of shape {shape}",
            "count rows and columns from 0, row i receiving from column j",
        )
    return index


def _successors(index: np.ndarray) -> np.ndarray:
    """For each event the number of the next one at the same position, or that of all events."""
    count = len(index)
    successor, following = np.full(count, count, np.int32), {}
    for event in range(count - 1, -1, -1):
        place = tuple(index[event])
        successor[event] = following.get(place, count)
        following[place] = event
    return successor
