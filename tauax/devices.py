"""Members divided among devices, and among chunks: which axis of each array is theirs.

Members never interact, so a run on several devices is the same program on each with a share of the
members, and nothing is communicated.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from tauax._checks import check_instance, fault
from tauax.batch import MEMBER, Varied
from tauax.state import State

_NONE = -1  # the axis of an array that has no member axis


def device_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """The devices to divide members among, for `tx.init(..., mesh=...)`; by default all there are.

    With several processes under `jax.distributed`, those of all processes.

    **Raises:** `ValueError` for what is not a list of devices.
    """
    chosen = np.asarray(jax.devices() if devices is None else devices)
    if chosen.size == 0 or not all(isinstance(one, jax.Device) for one in chosen.flat):
        raise fault(
            f"devices={devices!r}",
            "a list of devices of jax",
            "take some of them by tx.device_mesh(jax.devices()[:2]), or all by tx.device_mesh()",
        )
    return Mesh(chosen.reshape(-1), (MEMBER,), axis_types=(AxisType.Auto,))


def checked_mesh(mesh: Any, members: int | None) -> Mesh | None:
    """A mesh with one automatic axis named "member", from what the user gave."""
    if mesh is None:
        return None
    check_instance("mesh", mesh, Mesh, "pass mesh=tx.device_mesh()")
    if mesh.axis_names != (MEMBER,):
        raise fault(
            f"a mesh with the axes {mesh.axis_names}",
            f"one axis, named {MEMBER!r}",
            "make it with tx.device_mesh(), or jax.make_mesh((devices,), ('member',))",
        )
    if members is None:
        raise fault(
            "a mesh without members",
            "members to divide among its devices",
            "pass members=, or leave out mesh=",
        )
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,))


def placed(state: State) -> State:
    """The state on the devices of its mesh, members divided among them if they divide evenly."""
    mesh = state.mesh
    if mesh is None:
        return state
    whole = state.phase.shape[-2] % mesh.size != 0

    def place(leaf, axis: int):
        sharding = NamedSharding(mesh, _specification(_NONE if whole else axis))
        return jax.lax.with_sharding_constraint(leaf, sharding)

    return jax.tree.map(place, state, _state_axes(state))


def member_axes(outline: Callable[[Any, State], Any], model, state: State) -> Any:
    """Which axis of each array in `outline(model, state)` holds the members, −1 where none does.

    Found by its length, which is the one that changes with the number of members.
    """
    members = state.phase.shape[-2]
    one, other = (
        jax.eval_shape(outline, *resized(model, state, count)) for count in (members, members + 1)
    )

    def axis(a, b) -> int:
        differ = [k for k, (x, y) in enumerate(zip(a.shape, b.shape, strict=True)) if x != y]
        return differ[0] if differ else _NONE

    return jax.tree.map(axis, one, other)


def model_axes(model) -> Any:
    """The same for a model: 0 for the leaves given by `per_member`."""
    leaves, structure = jax.tree.flatten(model)
    axes = model.axes if isinstance(model, Varied) else ()
    own = {leaf for axis in axes if axis.name == MEMBER for leaf in axis.leaves}
    return structure.unflatten([0 if leaf in own else _NONE for leaf in range(len(leaves))])


def resized(model, state: State, members: int) -> tuple[Any, State]:
    """The shapes of a model and a state as they would be with another number of members."""

    def shape(leaf, axis: int):
        sizes = list(leaf.shape)
        if axis != _NONE:
            sizes[axis] = members
        return jax.ShapeDtypeStruct(tuple(sizes), leaf.dtype)

    return _shared_out(shape, model, state, members)


def part(model, state: State, begin: int, end: int) -> tuple[Any, State]:
    """The model and the state of the members from `begin` to `end`."""

    def cut(leaf, axis: int):
        return leaf if axis == _NONE else jax.lax.slice_in_dim(leaf, begin, end, axis=axis)

    return _shared_out(cut, model, state, end - begin)


def joined(parts: Iterable[Any], axes: Any, members: int) -> Any:
    """Results of consecutive members as one, on the host; what has no member axis from the first.

    Each part is moved as it comes, so that the device never holds two of them.
    """
    begin, whole = 0, None
    for part in parts:
        leaves, structure = jax.tree.flatten(part)
        along = structure.flatten_up_to(axes)
        leaves = [np.asarray(leaf) for leaf in leaves]
        size = next(x.shape[a] for x, a in zip(leaves, along, strict=True) if a != _NONE)
        if whole is None:
            whole = [
                x if a == _NONE else np.empty((*x.shape[:a], members, *x.shape[a + 1 :]), x.dtype)
                for x, a in zip(leaves, along, strict=True)
            ]
        for target, leaf, axis in zip(whole, leaves, along, strict=True):
            if axis != _NONE:
                target[(slice(None),) * axis + (slice(begin, begin + size),)] = leaf
        begin += size
    return structure.unflatten(whole)


def divided(
    function: Callable[[Any, Any], Any],
    model,
    tree: Any,
    state: State,
    inside: Callable[[Any, State], Any],
    outside: Callable[[Any, State], Any],
) -> Any:
    """`function(model, tree)`, with the members divided among the devices of the state.

    `tree` must look like `inside(model, state)` and the result like `outside(model, state)`: both
    serve to find the member axes. Members that do not divide are padded with copies of the last.
    """
    mesh = state.mesh
    if mesh is None:
        return function(model, tree)
    axes_in = (model_axes(model), member_axes(inside, model, state))
    axes_out = member_axes(outside, model, state)
    members = state.phase.shape[-2]
    share = -(-members // mesh.size)
    padding = share * mesh.size - members

    def on_one(model, tree):
        return function(_sized(model, share), tree)

    mapped = jax.shard_map(
        on_one,
        mesh=mesh,
        in_specs=jax.tree.map(_specification, axes_in),
        out_specs=jax.tree.map(_specification, axes_out),
        check_vma=False,
    )
    given = jax.tree.map(lambda leaf, axis: _padded(leaf, axis, padding), (model, tree), axes_in)
    result = mapped(*given)
    return jax.tree.map(lambda leaf, axis: _trimmed(leaf, axis, members), result, axes_out)


def gathered(array: jax.Array | np.ndarray) -> np.ndarray:
    """The whole of an array on this host, also where other processes hold parts of it."""
    if isinstance(array, np.ndarray) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def _specification(axis: int) -> PartitionSpec:
    return PartitionSpec() if axis == _NONE else PartitionSpec(*[None] * axis, MEMBER)


def _state_axes(state: State) -> Any:
    """The member axis of each leaf of a state: the last of the batch axes of what is its own."""
    axis = len(state.axes) - 1
    own = {id(leaf) for leaf in jax.tree.leaves(state.own)}
    return jax.tree.map(lambda leaf: axis if id(leaf) in own else _NONE, state)


def _shared_out(change: Callable, model, state: State, members: int) -> tuple[Any, State]:
    """`change(leaf, member axis)` of a model and a state, which then have so many members."""
    return (
        _sized(jax.tree.map(change, model, model_axes(model)), members),
        jax.tree.map(change, state, _state_axes(state)),
    )


def _sized(model, members: int) -> Any:
    """The model with its member axis said to be of another size."""
    if not isinstance(model, Varied):
        return model
    axes = tuple(
        axis._replace(size=members) if axis.name == MEMBER else axis for axis in model.axes
    )
    return Varied(model.system, axes)


def _padded(leaf, axis: int, padding: int):
    if axis == _NONE or padding == 0:
        return leaf
    last = jax.lax.slice_in_dim(leaf, leaf.shape[axis] - 1, leaf.shape[axis], axis=axis)
    return jnp.concatenate([leaf, jnp.repeat(last, padding, axis=axis)], axis=axis)


def _trimmed(leaf, axis: int, members: int):
    if axis == _NONE or leaf.shape[axis] == members:
        return leaf
    return jax.lax.slice_in_dim(leaf, 0, members, axis=axis)
