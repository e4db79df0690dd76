"""`finite_differences`: the gradient of a loss from its values alone, with common noise."""

import math
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from tauax._checks import check_count, check_domain, check_numbers, fault, is_concrete
from tauax._compiled import outermost
from tauax.batch import system_of
from tauax.learn.arguments import check_arguments, checked_problem
from tauax.learn.estimates import GradientEstimate
from tauax.learn.problem import Problem, with_values

_ENDS = (1.0, -1.0, 0.5, -0.5)  # of a step and of half of it


def finite_differences(
    loss: Callable,
    model,
    *,
    where: Callable,
    key,
    repeats: int,
    step: Any = None,
) -> GradientEstimate:
    """The gradient of the expectation of a loss by central differences with common random numbers.

        estimate = tx.finite_differences(loss, model, where=lambda m: m.coupling.strength,
                                         key=jax.random.key(1), repeats=16)
        estimate.gradient, estimate.standard_error, estimate.truncation

    For each number p and key k_r = fold_in(key, r) it is

        g_r = [L(p + h, k_r) − L(p − h, k_r)]/(2h),

    averaged over the keys. Both ends have the same noise, so most of it cancels, as long as paths
    that differ by h stay together: in chaos they do not, and the variance is like 1/h². The error
    of the mean by the length of the step, c·h², is found from half of it: 4/3 [g(h) − g(h/2)]. The
    loss is evaluated 4 · numbers · repeats times, one after the other, and need not have a
    derivative.

    **Arguments:** `loss(model, key)`, as for `tx.fit`; `model`; `where` picks the leaf, or a tuple
    of leaves; `key`; `repeats` ≥ 2, the number of keys; `step` h > 0, one number for all leaves or
    a tuple of one per leaf, by default ε^(1/3) times the root mean square of the leaf (1 for a leaf
    of zeros), with ε the precision of its dtype: right for a loss without noise.

    **Returns:** a `GradientEstimate`, with `.truncation` and `.correlation`, and in `.reason` what
    is wrong with the step, if anything.

    **Raises:** `ValueError` or `TypeError` for a selection that is not of real numbers, a step that
    leaves the domain of the model, a loss that is not one real number, or traced arguments;
    `FloatingPointError` for a loss that is not finite.

    Glasserman & Yao 1992, Manage. Sci. 38:884.
    """
    if not all(map(is_concrete, jax.tree.leaves((model, key)))):
        raise fault(
            "finite differences inside jit, grad or vmap",
            "a model and a key that are known",
            "call it outside of it",
        )
    check_arguments("loss", loss, ("model", "key"))
    repeats = check_count("repeats", repeats, 2)
    problem, names, key = checked_problem(model, where, None, key)
    given = problem.given()
    steps = _checked_steps(step, given)
    points, spans = _points(given, steps)
    _check_domain(problem, points, names)
    keys = jax.vmap(lambda repeat: jax.random.fold_in(key, repeat))(jnp.arange(repeats))
    losses = np.asarray(_losses(loss, problem, jnp.asarray(points), keys), np.float64)
    _check_finite(losses, given, names)
    system = system_of(model)
    return _estimate(losses, spans, given, names, not isinstance(where(system), tuple))


def _estimate(losses: np.ndarray, spans: np.ndarray, given, names, single: bool):
    """What the losses `[number, repeat, end]` say, with the distances of the ends `[number, 2]`."""
    whole = (losses[..., 0] - losses[..., 1]) / spans[:, None, 0]
    half = (losses[..., 2] - losses[..., 3]) / spans[:, None, 1]
    wrong, repeats = 4 / 3 * (whole - half), losses.shape[1]
    found = {
        "gradient": whole.mean(axis=1),
        "standard_error": whole.std(axis=1, ddof=1) / math.sqrt(repeats),
        "truncation": wrong.mean(axis=1),
        "truncation_error": wrong.std(axis=1, ddof=1) / math.sqrt(repeats),
        "correlation": _correlation(losses[..., 0], losses[..., 1]),
    }
    eps = float(jnp.finfo(given[0].dtype).eps)
    rounding = eps * np.abs(losses).max(axis=(1, 2)) / np.abs(spans[:, 1])
    leaves = {name: _by_leaf(values, given) for name, values in found.items()}
    reasons = [
        _reason(name, *parts)
        for name, *parts in zip(
            names,
            leaves["gradient"],
            leaves["standard_error"],
            leaves["truncation"],
            leaves["truncation_error"],
            _by_leaf(rounding, given),
            strict=True,
        )
    ]
    return GradientEstimate(
        **{name: parts[0] if single else parts for name, parts in leaves.items()},
        value=jnp.asarray(losses[..., :2].mean(), given[0].dtype),
        samples=repeats,
        reason="; ".join(filter(None, reasons)),
    )


def _reason(name: str, gradient, error, wrong, wrong_error, rounding) -> str:
    """What is wrong with the step of a leaf, empty if nothing is known."""
    gradient, error, wrong, wrong_error = map(np.asarray, (gradient, error, wrong, wrong_error))
    allowed = np.maximum(error, 3.0 * wrong_error)
    excess = np.abs(wrong) - np.maximum(allowed, 0.1 * np.abs(gradient).max())
    if not (excess > 0).any():
        return ""
    worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
    place = f"{name}[{', '.join(map(str, worst))}]" if worst else name
    # Two roundings in either difference, and 4/3 of them.
    cause = "short for the precision" if 6 * rounding[worst] > abs(wrong[worst]) else "long"
    other = "longer" if cause != "long" else "shorter"
    return (
        f"the step is too {cause} at {place}: half of it changes the gradient by "
        f"{0.75 * wrong[worst]:.2g} of {gradient[worst]:.2g}; pass a {other} step="
    )


def _by_leaf(values: np.ndarray, given: tuple[Array, ...]) -> tuple[Array, ...]:
    """Numbers in the order of all parameters, as arrays of the leaves."""
    parts = np.split(values, np.cumsum([value.size for value in given])[:-1])
    pairs = zip(parts, given, strict=True)
    return tuple(jnp.asarray(part.reshape(like.shape), like.dtype) for part, like in pairs)


def _correlation(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Pearson's correlation along the last axis; NaN where an end never changes."""
    up, down = (end - end.mean(axis=-1, keepdims=True) for end in (up, down))
    size = np.sqrt((up**2).sum(axis=-1) * (down**2).sum(axis=-1))
    return np.where(size > 0, (up * down).sum(axis=-1) / np.where(size > 0, size, 1.0), np.nan)


def _points(given: tuple[Array, ...], steps: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Where each number is moved to, `[number, end]`, and how far the ends are apart after that."""
    at, _ = ravel_pytree(given)
    moves = [np.full(value.size, step) for value, step in zip(given, steps, strict=True)]
    points = np.asarray(at, np.float64)[:, None] + np.concatenate(moves)[:, None] * _ENDS
    points = points.astype(at.dtype)
    exact = points.astype(np.float64)
    spans = exact[:, ::2] - exact[:, 1::2]
    if not (spans != 0).all():
        raise fault(
            f"a step that is lost in the rounding of {at.dtype}",
            "one that moves every number",
            "pass a longer step=",
        )
    return points, spans


@outermost
def _losses(loss: Callable, problem: Problem, points: Array, keys: Array) -> Array:
    """The loss at every end of every number with every key, `[number, repeat, end]`."""
    flat, restored = ravel_pytree(problem.given())

    def at(number: Array, point: Array, key: Array) -> Array:
        values = restored(flat.at[number].set(point))
        return _one_number(loss(with_values(problem.model, problem.leaves, values), key))

    def of_key(number: Array, ends: Array, key: Array) -> Array:
        return jax.lax.map(lambda point: at(number, point, key), ends)

    def of_number(case: tuple[Array, Array]) -> Array:
        return jax.lax.map(lambda key: of_key(*case, key), keys)

    return jax.lax.map(of_number, (jnp.arange(flat.size), points))


def _one_number(found: Any) -> Array:
    """The loss as an array, checked to be one real number."""
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", None)
    if isinstance(found, float):
        return jnp.asarray(found)
    if dtype is None or shape != () or not jnp.issubdtype(dtype, jnp.floating):
        got = type(found).__name__ if dtype is None else f"shape {shape} and dtype {dtype}"
        raise fault(f"a loss of {got}", "one real number", "return a mean over all members")
    return jnp.asarray(found)


def _checked_steps(step: Any, given: tuple[Array, ...]) -> tuple[float, ...]:
    """The step of every leaf."""
    if step is None:
        return tuple(map(_own_step, given))
    steps = step if isinstance(step, tuple) else (step,) * len(given)
    if len(steps) != len(given):
        raise fault(
            f"{len(steps)} steps for {len(given)} leaves",
            "one for all of them, or one per leaf",
            "give a tuple as long as that of where",
        )
    for one in steps:
        if isinstance(one, bool) or not isinstance(one, numbers.Real):
            raise fault(f"step={one!r}", "a number > 0", "pass for example step=0.01", TypeError)
        check_domain("step", float(one), "positive")
    return tuple(map(float, steps))


def _own_step(value: Array) -> float:
    """ε^(1/3) times the size of a leaf: where the errors of step and rounding are alike."""
    size = float(np.sqrt(np.mean(np.asarray(value, np.float64) ** 2)))
    return float(jnp.finfo(value.dtype).eps) ** (1 / 3) * (size or 1.0)


def _check_domain(problem: Problem, points: np.ndarray, names: tuple[str, ...]) -> None:
    """Raise if the model may not hold the numbers at the ends of a step."""
    given, begin = problem.given(), 0
    for place, (value, name) in enumerate(zip(given, names, strict=True)):
        for end in (0, 1):
            moved = points[begin : begin + value.size, end].reshape(value.shape)
            values = (*given[:place], jnp.asarray(moved), *given[place + 1 :])
            try:
                check_numbers(with_values(problem.model, problem.leaves, values))
            except ValueError as error:
                got = str(error).partition("; expected")[0].removeprefix("got ")
                raise fault(
                    f"a step of {name} out of its domain, to {got}",
                    "both ends inside",
                    "pass a shorter step=",
                ) from None
        begin += value.size


def _check_finite(losses: np.ndarray, given: tuple[Array, ...], names: tuple[str, ...]) -> None:
    """Raise for the first leaf with a loss that is not finite."""
    bad = ~np.isfinite(losses).all(axis=(1, 2))
    if bad.any():
        ends = np.cumsum([value.size for value in given])
        name = names[int(np.searchsorted(ends, int(np.argmax(bad)), side="right"))]
        raise fault(
            f"a loss that is not finite beside the present value of {name}",
            "finite numbers",
            "pass a shorter step=, or lower dt",
            FloatingPointError,
        )
