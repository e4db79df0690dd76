"""What `tx.fit` is given: everything that can be wrong with it is found before anything runs."""

import inspect
import numbers
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array

from tauax._checks import check_count, check_domain, check_instance, fault, is_concrete, typed_key
from tauax.batch import system_of
from tauax.learn.descent import Task
from tauax.learn.problem import Examples, Problem, arrays_of, count_of
from tauax.learn.transforms import AbstractTransform
from tauax.learn.validation import Validation
from tauax.selection import select


def checked_task(
    problem: Problem,
    loss,
    optimizer,
    key,
    examples: Examples | None,
    validation,
    common_noise: bool,
) -> Task:
    """How a problem is to be solved by descent."""
    data = () if examples is None else ("batch",)
    check_arguments("loss", loss, ("model", "key", *data))
    check_instance("common_noise", common_noise, bool, "pass True or False")
    fix = "pass for example optimizer=optax.adam(1e-2)"
    check_instance("optimizer", optimizer, optax.GradientTransformation, fix)
    if validation is not None:
        fix = "pass for example validation=tx.Validation(data, patience=5)"
        check_instance("validation", validation, Validation, fix)
        _check_validation(validation, examples)
    return Task(problem, loss, optimizer, key, examples, validation, common_noise)


def checked_problem(model, where, transform, key) -> tuple[Problem, tuple[str, ...], Array]:
    """The numbers to fit, the paths of their leaves in the model, and the key, typed."""
    check_instance("model", model, eqx.Module, "pass a system such as tx.PhaseOscillators(...)")
    key = typed_key(key)
    if not all(map(is_concrete, jax.tree.leaves((model, key)))):
        raise fault(
            "a fit inside jit, grad or vmap",
            "a model and a key that are known",
            "call it outside of it; several fits at once are starts= of tx.fit",
        )
    system = system_of(model)
    leaves = _picked(system, where)
    places = jax.tree_util.tree_leaves_with_path(system)
    names = tuple(jax.tree_util.keystr(places[leaf][0]) for leaf in leaves)
    transforms = _per_leaf(transform, leaves)
    for one, leaf, name in zip(transforms, leaves, names, strict=True):
        if one is not None:
            _check_transform(one, name, places[leaf][1])
    return Problem(model, transforms, leaves), names, key


def checked_examples(data: Any, batch: Any) -> Examples | None:
    """The examples, and how many of them make a batch: all where none is said."""
    if data is None:
        if batch is not None:
            fix = "pass the examples as data=, or leave out batch="
            raise fault(f"batch={batch!r} without data", "data to take batches of", fix)
        return None
    data = arrays_of("data", data)
    count = count_of("data", data)
    size = count if batch is None else check_count("batch", batch, 1)
    if size > count:
        raise fault(f"batch={size} of {count} examples", f"at most {count}", "pass a smaller batch")
    return Examples(data, count, size)


def _check_validation(validation: Validation, examples: Examples | None) -> None:
    """Raise unless the validation is one for these examples, or for a fit without."""
    if validation.loss is not None:
        check_arguments("the loss of Validation", validation.loss, ("model", "key"))
        return
    if examples is None:
        raise fault(
            "a validation with data for a fit without",
            "a validation loss of its own",
            "pass the data of the fit as data=, or validation=tx.Validation(loss=function)",
        )
    own, other = (jax.tree.structure(one.data) for one in (validation, examples))
    if own != other:
        raise fault(
            f"validation data of the structure {own}",
            f"that of data=, {other}",
            "hold back some examples of each array: the loss is given both alike",
        )


def check_arguments(name: str, function: Any, arguments: tuple[str, ...]) -> None:
    """Raise unless a function can be called with so many arguments."""
    called = f"({', '.join(arguments)})"
    check_function(name, function, f"pass a function such as def function{called}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # as of some written in C
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise fault(
            f"{name}, which cannot be called with {called}: {error}",
            f"a function of {called}",
            f"define it as def function{called}, and pass data= if it takes data, else do not",
            TypeError,
        ) from None


def checked_spread(spread: Any) -> float:
    """The spread of the starts as a positive number."""
    if isinstance(spread, bool) or not isinstance(spread, numbers.Real):
        raise fault(f"spread={spread!r}", "one number", "pass for example spread=0.5", TypeError)
    check_domain("spread", float(spread), "positive")
    return float(spread)


def check_report(report: Any) -> None:
    """Raise unless there is nothing or a function to report to."""
    if report is not None:
        check_function("report", report, "pass a function such as lambda done, steps, fit: …")


def check_function(name: str, value: Any, fix: str) -> None:
    """Raise unless the value can be called."""
    if not callable(value):
        raise fault(f"{name}={value!r}", "a function", fix, TypeError)


def _picked(system: eqx.Module, where: Callable) -> tuple[int, ...]:
    """The positions of the leaves to fit."""
    check_function("where", where, "pass where=lambda m: m.coupling.strength")
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
