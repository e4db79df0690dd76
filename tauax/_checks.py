"""Static validation: every message says what was given, what was expected and how to fix it."""

import dataclasses
import math
import numbers
import reprlib
from collections.abc import Sequence
from types import UnionType
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_DOMAINS = {
    "finite": (np.isfinite, "finite numbers"),
    "nonnegative": (lambda x: np.isfinite(x) & (x >= 0), "finite numbers ≥ 0"),
    "positive": (lambda x: np.isfinite(x) & (x > 0), "finite numbers > 0"),
    "times": (lambda x: np.isfinite(x) & (x >= 0), "finite numbers ≥ 0"),
}


def fault(got: str, expected: str, fix: str, kind: type[Exception] = ValueError) -> Exception:
    """The exception to raise for a bad input, in the package's one form."""
    return kind(f"got {got}; expected {expected}. Fix: {fix}.")


def is_concrete(value: Any) -> bool:
    """Whether the value can be looked at now: false while it is traced by jit, grad or vmap."""
    return not isinstance(value, Tracer)


def check_domain(name: str, value: Any, domain: str) -> None:
    """Raise unless every element of `value` lies in the named domain; traced values pass."""
    if not is_concrete(value):
        return
    inside, expected = _DOMAINS[domain]
    array = np.asarray(value)
    bad = ~inside(array)
    if bad.any():
        where = np.unravel_index(int(np.argmax(bad)), array.shape)
        place = f"{name}[{', '.join(map(str, where))}]" if where else name
        raise fault(f"{place} = {array[where]}", expected, f"correct the values given as {name}")
    if domain == "times":
        _check_order(name, array)


def _check_order(name: str, times: np.ndarray) -> None:
    """Raise unless the times of events, along the last axis, are in order."""
    back = np.argwhere(np.diff(times) < 0)
    if back.size:
        *row, first = map(int, back[0])
        found = times[tuple(row)]
        raise fault(
            f"{name} out of order: {found[first]} is followed by {found[first + 1]}",
            "times that never decrease",
            "sort the events by time, whatever belongs to them with them",
        )


def check_numbers(module: Any) -> None:
    """Check every numeric field of a module, and of the modules inside it, against its domain.

    A module whose domains lie elsewhere checks itself in a method `check_values`.
    """
    if hasattr(module, "check_values"):
        module.check_values()
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        if "domain" in field.metadata and value is not None:
            check_domain(f"{type(module).__name__}.{field.name}", value, field.metadata["domain"])
        for part in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(part) and not isinstance(part, type):
                check_numbers(part)


def check_shape(name: str, value: Any, allowed: Sequence[tuple[int, ...]], fix: str) -> None:
    """Raise unless the array has one of the allowed shapes."""
    if value.shape not in allowed:
        expected = " or ".join(str(shape) for shape in allowed)
        raise fault(f"{name} of shape {value.shape}", f"shape {expected}", fix)


def check_count(name: str, value: Any, least: int) -> int:
    """`value` as a Python integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise fault(
            f"{name}={value!r} ({type(value).__name__})",
            f"an integer ≥ {least}",
            f"pass {name}=int(...): it sets array sizes, so it must be known before tracing",
            TypeError,
        )
    if value < least:
        raise fault(f"{name}={value}", f"an integer ≥ {least}", f"pass a larger {name}")
    return int(value)


def check_dt(dt: Any) -> None:
    """Raise unless dt is one positive, finite number of seconds; a traced dt passes."""
    if isinstance(dt, bool) or not isinstance(dt, float | numbers.Real | np.ndarray | jax.Array):
        raise fault(f"dt={dt!r}", "a number of seconds > 0", "pass for example dt=0.01", TypeError)
    shape: tuple = getattr(dt, "shape", ())
    if shape:
        raise fault(
            f"dt of shape {shape}",
            "one number of seconds for all members",
            "run once per dt, or vary the model's rates instead",
        )
    if is_concrete(dt) and not 0 < float(dt) < math.inf:
        raise fault(f"dt={dt}", "a finite number of seconds > 0", "pass for example dt=0.01")


def check_instance(name: str, value: Any, kind: type | UnionType, fix: str) -> None:
    """Raise unless `value` is an instance (not the class itself) of the wanted kind."""
    if not isinstance(value, kind):
        got = f"the class {value.__name__}" if isinstance(value, type) else _short(value)
        names = " or ".join(getattr(one, "__name__", str(one)) for one in get_args(kind) or (kind,))
        raise fault(f"{name}={got}", f"an instance of {names}", fix, TypeError)


def check_per_oscillator(name: str, value: Any, size: int) -> None:
    """Raise unless `value` is one number or one per oscillator."""
    check_shape(
        name,
        value,
        [(), (size,)],
        "give one value for all oscillators or one each; for one per member use tx.per_member",
    )


def typed_key(key: Any) -> Any:
    """A typed Threefry key from a typed or a legacy one."""
    if not isinstance(key, jax.Array):
        raise fault(f"key={key!r}", "a key of jax.random", "pass key=jax.random.key(0)", TypeError)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.dtype != jnp.uint32 or key.shape != (2,):
            raise fault(
                f"a key of dtype {key.dtype} and shape {key.shape}",
                "a key of jax.random",
                "pass key=jax.random.key(0)",
                TypeError,
            )
        return jax.random.wrap_key_data(key, impl="threefry2x32")
    if key.shape != ():
        raise fault(
            f"{key.shape} keys", "one key", "pass one key: every member's own is derived from it"
        )
    if jax.random.key_data(key).shape != (2,):
        raise fault(
            f"a key of another generator, {key.dtype}",
            "a Threefry key",
            'make it with jax.random.key(0, impl="threefry2x32")',
        )
    return key


def _short(value: Any) -> str:
    """A value in a message: plain ones as they are, objects by their type."""
    plain = isinstance(value, str | numbers.Number | list | tuple | dict | type(None))
    if plain:
        return reprlib.repr(value)
    return f"{type(value).__name__} {getattr(value, '__qualname__', '')}".strip()
