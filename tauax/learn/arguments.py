"""What `tx.fit` is given: everything that can be wrong with it is found before anything runs."""

import numbers
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array

from tauax._checks import check_domain, check_instance, fault, is_concrete, typed_key
from tauax.batch import Varied
from tauax.learn.descent import Task
from tauax.learn.transforms import AbstractTransform
from tauax.selection import select


def checked_task(
    loss, model, where, transform, optimizer, key, common_noise: bool
) -> tuple[Task, tuple[str, ...]]:
    """What is to be fitted, and the paths of its leaves in the model."""
    _check_function("loss", loss, "pass a function such as def loss(model, key)")
    check_instance("model", model, eqx.Module, "pass a system such as tx.PhaseOscillators(...)")
    check_instance("common_noise", common_noise, bool, "pass True or False")
    fix = "pass for example optimizer=optax.adam(1e-2)"
    check_instance("optimizer", optimizer, optax.GradientTransformation, fix)
    key = typed_key(key)
    if not all(map(is_concrete, jax.tree.leaves((model, key)))):
        raise fault(
            "a fit inside jit, grad or vmap",
            "a model and a key that are known",
            "call tx.fit outside of it; several fits at once are starts=",
        )
    system = model.system if isinstance(model, Varied) else model
    leaves = _picked(system, where)
    places = jax.tree_util.tree_leaves_with_path(system)
    names = tuple(jax.tree_util.keystr(places[leaf][0]) for leaf in leaves)
    transforms = _per_leaf(transform, leaves)
    for one, leaf, name in zip(transforms, leaves, names, strict=True):
        if one is not None:
            _check_transform(one, name, places[leaf][1])
    return Task(loss, model, optimizer, transforms, key, leaves, common_noise), names


def checked_spread(spread: Any) -> float:
    """The spread of the starts as a positive number."""
    if isinstance(spread, bool) or not isinstance(spread, numbers.Real):
        raise fault(f"spread={spread!r}", "one number", "pass for example spread=0.5", TypeError)
    check_domain("spread", float(spread), "positive")
    return float(spread)


def check_report(report: Any) -> None:
    """Raise unless there is nothing or a function to report to."""
    if report is not None:
        _check_function("report", report, "pass a function such as lambda done, steps, losses: …")


def _picked(system: eqx.Module, where: Callable) -> tuple[int, ...]:
    """The positions of the leaves to fit."""
    _check_function("where", where, "pass where=lambda m: m.coupling.strength")
    for place, leaf in jax.tree_util.tree_leaves_with_path(system):
        if isinstance(leaf, int | float | complex):
            raise fault(
                f"a plain {type(leaf).__name__} at {jax.tree_util.keystr(place)} of the model",
                "arrays",
                "give the field a converter: eqx.field(converter=jnp.asarray)",
                TypeError,
            )
    found = select(system, where)
    leaves = found if isinstance(found, tuple) else (found,)
    if not leaves or len(set(leaves)) < len(leaves):
        raise fault(
            f"a where that selects {'one leaf twice' if leaves else 'nothing'}",
            "one or more leaves, each once",
            "select like lambda m: (m.frequency, m.coupling.strength)",
        )
    return leaves


def _per_leaf(transform: Any, leaves: tuple[int, ...]) -> tuple[AbstractTransform | None, ...]:
    """One transform or None for each leaf."""
    several = isinstance(transform, tuple)
    transforms = transform if several else (transform,) * len(leaves)
    if len(transforms) != len(leaves):
        raise fault(
            f"{len(transforms)} transforms for {len(leaves)} leaves",
            "one for all of them, or one per leaf",
            "give a tuple as long as that of where, with None for any real number",
        )
    for place, one in enumerate(transforms):
        if one is not None:
            name = f"transform[{place}]" if several else "transform"
            check_instance(name, one, AbstractTransform, "pass for example tx.Positive() or None")
    return transforms


def _check_transform(transform: AbstractTransform, name: str, value: Array) -> None:
    """Raise unless the value is in the domain, and comes back in the same shape and dtype."""
    transform.check(name, value)
    back = jax.eval_shape(lambda value: transform.constrain(transform.free(value)), value)
    if (back.shape, back.dtype) != (value.shape, value.dtype):
        raise fault(
            f"{type(transform).__name__}, which makes {name} of shape {back.shape} in {back.dtype}",
            f"shape {value.shape} in {value.dtype}, as the leaf has",
            "make constrain the inverse of free",
        )


def _check_function(name: str, value: Any, fix: str) -> None:
    if not callable(value):
        raise fault(f"{name}={value!r}", "a function", fix, TypeError)
