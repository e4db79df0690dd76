"""What is fitted: the free numbers of a model, and the examples that a loss is given."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from tauax._checks import fault, is_concrete
from tauax.learn.transforms import AbstractTransform

Free = tuple[Array, ...]


class Problem(eqx.Module):
    """The numbers of a model that are fitted.

    **Attributes:** `model`, as given; `transforms`, one or None per leaf; `leaves`, the positions
    of the fitted ones.
    """

    model: Any
    transforms: tuple[AbstractTransform | None, ...]
    leaves: tuple[int, ...] = eqx.field(static=True)

    def given(self) -> tuple[Array, ...]:
        """The values of the fitted leaves in the model as given."""
        leaves = jax.tree.leaves(self.model)
        return tuple(leaves[leaf] for leaf in self.leaves)

    def free(self) -> Free:
        """The free numbers of the model as given."""
        pairs = zip(self.transforms, self.given(), strict=True)
        return tuple(value if one is None else one.free(value) for one, value in pairs)

    def values(self, free: Free) -> tuple[Array, ...]:
        """The values of the fitted leaves made of free numbers."""
        pairs = zip(self.transforms, free, strict=True)
        return tuple(part if one is None else one.constrain(part) for one, part in pairs)

    def model_of(self, free: Free) -> Any:
        """The model with values made of free numbers."""
        return with_values(self.model, self.leaves, self.values(free))


def with_values(model: Any, leaves: tuple[int, ...], values: tuple[Array, ...]) -> Any:
    """The model with other values in some of its leaves."""
    every, structure = jax.tree.flatten(model)
    for leaf, value in zip(leaves, values, strict=True):
        every[leaf] = value
    return structure.unflatten(every)


class Examples(eqx.Module):
    """Data with one leading axis of examples, and how many of them make a batch."""

    data: Any
    count: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)

    @property
    def whole(self) -> bool:
        """Whether every batch is all examples."""
        return self.batch == self.count

    @property
    def batches(self) -> int:
        """The full batches of an epoch."""
        return self.count // self.batch

    def at(self, order: Int[Array, " example"], place: Array) -> Any:
        """The batch at a place of an epoch in which the examples have that order."""
        rows = jax.lax.dynamic_slice(order, (place * self.batch,), (self.batch,))
        return jax.tree.map(lambda array: array[rows], self.data)


def arrays_of(name: str, data: Any) -> Any:
    """A pytree of arrays as JAX has them, checked to be of numbers that are known."""
    found = jax.tree_util.tree_leaves_with_path(data)
    if not found:
        fix = "pass an array, or a tuple or dictionary of arrays"
        raise fault(f"{name} without any array", "a pytree of arrays", fix)
    for place, leaf in found:
        where = name + jax.tree_util.keystr(place)
        if not is_concrete(leaf):
            fix = "call the fit outside of jit, grad and vmap"
            raise fault(f"{where}, which is traced", "arrays that are known", fix)
        if not isinstance(leaf, jax.Array | np.ndarray):
            fix = "convert it by numpy.asarray"
            raise fault(f"{where} of type {type(leaf).__name__}", "an array", fix, TypeError)
        if leaf.dtype.kind not in "biufc" and not jnp.issubdtype(leaf.dtype, jnp.floating):
            fix = "give categories as integers"
            raise fault(f"{where} of dtype {leaf.dtype}", "numbers", fix, TypeError)
    return jax.tree.map(jnp.asarray, data)


def count_of(name: str, data: Any) -> int:
    """The number of examples, checked to be the same in all arrays."""
    places = jax.tree_util.tree_leaves_with_path(data)
    sizes = {name + jax.tree_util.keystr(place): leaf.shape for place, leaf in places}
    for where, shape in sizes.items():
        if not shape or not shape[0]:
            raise fault(
                f"{where} of shape {shape}",
                "one or more examples along the first axis",
                "add the axis by array[None], or leave constants to the loss itself",
            )
    (first, shape), *others = sizes.items()
    for where, other in others:
        if other[0] != shape[0]:
            raise fault(
                f"{shape[0]} examples in {first} and {other[0]} in {where}",
                "as many in every array, along the first axis",
                "put the axis of examples first, or leave what all share to the loss itself",
            )
    return shape[0]
