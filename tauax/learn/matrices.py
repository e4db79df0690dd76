"""Transforms of matrices: what has fewer free numbers than entries.

A matrix is the last two axes of a leaf; axes before them, such as those of `tx.vary`, hold more of
the same kind.
"""

from math import isqrt
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from tauax._checks import check_count, check_instance, fault, is_concrete
from tauax._types import numeric
from tauax.learn.transforms import AbstractTransform, broadcast, refuse
from tauax.numerics.fusion import product
from tauax.numerics.reduce import total


class Masked(AbstractTransform):
    """Values of which only some are free: v = f(x) where the mask is True, else `rest`.

    The free numbers are those of the entries that are free, as one vector in the order of rows.

        tx.Masked(weights != 0.0, inner=tx.Positive())  # the edges are known, their weights not

    **Arguments:** `mask`, truth values of the shape of the leaf, or of its last axes; `rest`, what
    the other entries are, one number or an array that broadcasts to the mask; `inner`, the
    transform f of the vector, None for any real numbers.

    **Raises:** `ValueError` or `TypeError` for a mask that is not of truth values or leaves nothing
    free, another `rest`, or an `inner` that is of matrices.
    """

    mask: Bool[Array, "..."]
    rest: Array
    inner: AbstractTransform | None
    entries: Int[Array, " free"]  # the positions of the free ones, counted along rows

    def __init__(self, mask, rest: Any = 0.0, inner: AbstractTransform | None = None):
        if not is_concrete(mask):
            fix = "build the transform outside of jit, grad and vmap"
            raise fault("a traced mask", "a mask that is known", fix)
        marks = np.asarray(mask)
        if marks.dtype != np.bool_:
            fix = "compare with 0 for example: mask=weights != 0"
            raise fault(f"a mask of dtype {marks.dtype}", "truth values", fix, TypeError)
        if not marks.any():
            fix = "set True where numbers are to be fitted, or leave the leaf out of where="
            raise fault("a mask without any True", "at least one free entry", fix)
        self.mask = jnp.asarray(marks)
        self.rest = numeric(rest)
        self.inner = inner
        self.entries = jnp.asarray(np.flatnonzero(marks), jnp.int32)

    def __check_init__(self) -> None:
        _check_inner("Masked", self.inner, (Symmetric, LowRank, Masked))
        if not is_concrete(self.rest):
            return
        rest = np.asarray(self.rest)
        if broadcast(rest.shape, self.mask.shape) != self.mask.shape:
            got = f"rest of shape {rest.shape} for a mask of shape {self.mask.shape}"
            raise fault(got, "one number, or one per entry", "give one number, such as rest=0.0")
        refuse("rest", rest, ~np.isfinite(rest), "finite numbers", "correct the values of rest")

    def constrain(self, free: Array) -> Array:
        value = free if self.inner is None else self.inner.constrain(free)
        axes = free.shape[:-1]
        rest = jnp.broadcast_to(self._rest(free).reshape(-1), (*axes, self.mask.size))
        # Scattered along the last axis, so that the gradient gathers it.
        found = rest.at[..., self.entries].set(value, unique_indices=True, indices_are_sorted=True)
        return found.reshape(*axes, *self.mask.shape)

    def free(self, value: Array) -> Array:
        picked = self._picked(value)
        return picked if self.inner is None else self.inner.free(picked)

    def check(self, name: str, value: Array) -> None:
        shape, array = self.mask.shape, np.asarray(value)
        if array.shape[array.ndim - len(shape) :] != shape:
            got = f"a mask of shape {shape} for {name} of shape {array.shape}"
            fix = "give one truth value per element"
            raise fault(got, "the shape of the leaf, or of its last axes", fix)
        rest = np.broadcast_to(np.asarray(self._rest(value)), array.shape)
        mask = np.broadcast_to(np.asarray(self.mask), array.shape)
        fix = f"start from jnp.where(mask, {name}, rest), or pass what is to stay as rest="
        bad = ~mask & (array != rest)
        first = rest.flat[int(np.argmax(bad))]
        refuse(name, array, bad, f"{first}, the rest, where the mask is False", fix)
        refuse(name, array, mask & ~np.isfinite(array), "finite numbers", "correct the start")
        if self.inner is not None:
            picked = self._picked(jnp.asarray(value))
            self.inner.check(f"{name}, its free entries in a row,", picked)

    def above(self) -> "Masked":
        """The same with nothing free below the diagonal."""
        return Masked(np.triu(np.asarray(self.mask)), self.rest, self.inner)

    def _picked(self, value: Array) -> Array:
        axes = value.shape[: value.ndim - self.mask.ndim]
        return value.reshape(*axes, self.mask.size)[..., self.entries]

    def _rest(self, like: Array) -> Array:
        return jnp.broadcast_to(self.rest.astype(like.dtype), self.mask.shape)


class Symmetric(AbstractTransform):
    """Symmetric matrices, v_ij = v_ji: free are the entries on and above the diagonal.

    They are one vector, in the order of rows. Of a symmetric mask, those that it leaves free:

        tx.Symmetric(tx.Masked(weights != 0.0, inner=tx.Positive()))

    **Arguments:** `inner`, a transform of these entries, None for any real numbers.

    **Raises:** `ValueError` or `TypeError` for an `inner` of other matrices, or with a mask or a
    rest that is not symmetric.
    """

    inner: AbstractTransform | None
    upper: Masked | None  # the inner one, where it is of a matrix

    def __init__(self, inner: AbstractTransform | None = None):
        _check_inner("Symmetric", inner, (Symmetric, LowRank))
        self.inner = inner
        self.upper = None
        if isinstance(inner, Masked):
            for name, part in (("mask", inner.mask), ("rest", inner.rest)):
                if part.ndim or name == "mask":
                    _check_symmetric(f"the {name} of Masked", np.asarray(part))
            self.upper = inner.above()

    def constrain(self, free: Array) -> Array:
        if self.upper is not None:
            return _mirrored(self.upper.constrain(free))
        value = free if self.inner is None else self.inner.constrain(free)
        size = (isqrt(8 * free.shape[-1] + 1) - 1) // 2
        rows, columns = np.triu_indices(size)
        empty = jnp.zeros((*free.shape[:-1], size, size), free.dtype)
        return _mirrored(empty.at[..., rows, columns].set(value, unique_indices=True))

    def free(self, value: Array) -> Array:
        if self.upper is not None:
            return self.upper.free(value)
        rows, columns = np.triu_indices(value.shape[-1])
        picked = value[..., rows, columns]
        return picked if self.inner is None else self.inner.free(picked)

    def check(self, name: str, value: Array) -> None:
        array = np.asarray(value)
        _check_square(name, array)
        refuse(name, array, ~np.isfinite(array), "finite numbers", "correct the start")
        _check_symmetric(name, array)
        if isinstance(self.inner, Masked):
            self.inner.check(name, value)
        elif self.inner is not None:
            rows, columns = np.triu_indices(array.shape[-1])
            self.inner.check(f"{name}, its upper triangle in a row,", value[..., rows, columns])


class LowRank(AbstractTransform):
    """Square matrices of at most a rank, V = A Bᵀ with A and B of shape [N, rank].

    Free are A above B, one array `[2 N, rank]`. Those of a value are A = U √S and B = W √S of its
    singular value decomposition U S Wᵀ, which are of one size. Other free numbers have the same
    value, A Q and B Q⁻ᵀ for any invertible Q, so there and back these come back. Where the rank of
    the value is lower, its columns of B are 0 and those of A are not: the value stays as it is, and
    the derivative with respect to B is not 0.

    There and back costs an error of some N roundings of the largest singular value. Values are
    finite as long as products of free numbers are.

    **Arguments:** `rank`, the largest number of terms.

    **Raises:** `ValueError` or `TypeError` for a rank that is no number ≥ 1.

    Source: Eckart & Young (1936); Burer & Monteiro (2003).
    """

    rank: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_count("rank", self.rank, 1)

    def constrain(self, free: Array) -> Array:
        left, right = jnp.split(free, 2, axis=-2)
        # Not a matrix product, whose bits depend on the number of matrices.
        return total(product(left[..., :, None, :], right[..., None, :, :]))

    def free(self, value: Array) -> Array:
        left, size, right = jnp.linalg.svd(value, full_matrices=False)
        size, largest = size[..., None, : self.rank], size[..., None, :1]
        there = size > _noise(value.shape[-1], value.dtype) * largest
        root = jnp.sqrt(jnp.where(there, size, 0.0))
        scale = jnp.sqrt(jnp.where(largest > 0, largest, 1.0))
        spare = scale * _directions(value.shape[-1], self.rank, value.dtype)
        first = jnp.where(there, left[..., : self.rank] * root, spare)
        second = jnp.swapaxes(right, -1, -2)[..., : self.rank] * root
        return jnp.concatenate([first, second], axis=-2)

    def nearest(self, value) -> Array:
        """The matrix of this rank that is nearest, in the sum of squares: a start for a fit."""
        value = numeric(value)
        self._check_shape("the matrix", np.asarray(value))
        return self.constrain(self.free(value))

    def check(self, name: str, value: Array) -> None:
        array = np.asarray(value)
        self._check_shape(name, array)
        if self.rank < array.shape[-1]:
            size = np.linalg.svd(array.astype(np.float64), compute_uv=False)
            share = size[..., self.rank] / np.maximum(size[..., 0], np.finfo(np.float64).tiny)
            bad = share > 10.0 * _noise(array.shape[-1], array.dtype)
            what = f"singular value {self.rank + 1} of {name}, by the largest,"
            fix = f"start from tx.LowRank({self.rank}).nearest(...) of it, or raise the rank"
            refuse(what, share, bad, "0, to rounding", fix)

    def _check_shape(self, name: str, array: np.ndarray) -> None:
        _check_square(name, array)
        refuse(name, array, ~np.isfinite(array), "finite numbers", "correct the start")
        if self.rank > array.shape[-1]:
            got = f"LowRank({self.rank}) for {name} of {array.shape[-1]} rows"
            fix = "pass a lower rank, or transform=None for any matrix"
            raise fault(got, f"a rank of at most {array.shape[-1]}", fix)


def _mirrored(value: Array) -> Array:
    """The upper triangle in place of the lower one."""
    upper = np.triu(np.ones(value.shape[-2:], bool))
    return jnp.where(upper, value, jnp.swapaxes(value, -1, -2))


def _noise(size: int, dtype) -> float:
    """What rounding leaves of a singular value that is 0, as a share of the largest one."""
    return size * float(jnp.finfo(dtype).eps)


def _directions(size: int, rank: int, dtype) -> Array:
    """Unit vectors of no particular direction, so that no gradient happens to be normal to one."""
    draw = jax.random.normal(jax.random.key(0), (size, rank), jnp.float32).astype(dtype)
    return draw / jnp.sqrt(total((draw * draw).T))


def _check_inner(name: str, inner, refused: tuple[type, ...]) -> None:
    if inner is None:
        return
    check_instance("inner", inner, AbstractTransform, "pass for example inner=tx.Positive()")
    if isinstance(inner, refused):
        raise fault(
            f"{type(inner).__name__} inside of {name}",
            "a transform of single entries",
            "a symmetric matrix with a mask is tx.Symmetric(tx.Masked(mask)), others do not nest",
        )


def _check_square(name: str, array: np.ndarray) -> None:
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise fault(
            f"{name} of shape {array.shape}",
            "square matrices along the last two axes",
            "fit a full matrix, such as the weights of tx.Dense",
        )


def _check_symmetric(name: str, array: np.ndarray) -> None:
    """Raise unless each matrix is its own transpose, exactly."""
    _check_square(name, array)
    other = np.swapaxes(array, -1, -2)
    bad = array != other
    twin = other.flat[int(np.argmax(bad))]
    fix = "start from (w + w.T) / 2, or fit without Symmetric"
    refuse(name, array, bad, f"{twin}, as on the other side of the diagonal", fix)
