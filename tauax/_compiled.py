"""Programs compiled for the whole width of the processor's vectors.

XLA:CPU makes vectors of 256 bits unless a program asks for more. Where the processor has 512, loops
over oscillators gain a quarter to a half, and no bit changes. Only an outermost `jax.jit` may ask:
inside a caller's own program, and under a caller's derivative, the width is the caller's.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache, cached_property, partial, update_wrapper, wraps
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from tauax._checks import is_concrete

_OPTION = "xla_cpu_prefer_vector_width"
_NEEDED = {"avx512f", "avx512dq", "avx512bw", "avx512vl"}


def cpu_flags() -> frozenset[str]:
    """What the processor says it can, where Linux tells."""
    try:
        with Path("/proc/cpuinfo").open() as lines:
            flags = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return frozenset()
    return frozenset(flags.partition(":")[2].split())


def compiler_options() -> dict[str, int]:
    """What to compile programs of your own with: `jax.jit(f, compiler_options=...)` takes it.

    Vectors of 512 bits on a processor that has them; nothing where it has not, or where XLA_FLAGS
    name a width. The verbs and fits of tauax use it already, except under a `jit`, `grad` or `vmap`
    of yours.
    """
    width = _vector_width()
    return {} if width is None else {_OPTION: width}


@cache
def _vector_width() -> int | None:
    """The bits to ask for, or None to leave them to XLA."""
    if _OPTION in os.environ.get("XLA_FLAGS", "") or not cpu_flags() >= _NEEDED:
        return None
    try:
        jax.jit(lambda: 0, compiler_options={_OPTION: 512}).lower().compile()
    except jax.errors.JaxRuntimeError:  # an XLA that does not know it
        return None
    return 512


def outermost(function: Callable) -> Callable:
    """`equinox.filter_jit` with `compiler_options`, for what is never part of another program."""

    @cache
    def program() -> Callable:  # at the first call: an import starts no devices
        jit: Any = eqx.filter_jit  # whose types do not tell of options for jax.jit
        return jit(function, compiler_options=compiler_options())

    @wraps(function)
    def call(*arguments: Any) -> Any:
        return program()(*arguments)

    return call


class Compiled:
    """`jax.jit`, with `compiler_options` unless it is called inside another program."""

    def __init__(self, function: Callable, static: Sequence[str] = ()):
        self.jit = partial(jax.jit, function, static_argnames=static)
        update_wrapper(self, function)

    @cached_property
    def inner(self) -> Any:
        """For a part of another program."""
        return self.jit()

    @cached_property
    def outer(self) -> Any:
        """For a program of its own."""
        return self.jit(compiler_options=compiler_options())

    def __call__(self, *arguments: Any) -> Any:
        return (self.inner if _traced(arguments) else self.outer)(*arguments)

    def lower(self, *arguments: Any) -> Any:
        """As `jax.jit(...).lower`."""
        return self.outer.lower(*arguments)

    def eval_shape(self, *arguments: Any) -> Any:
        """As `jax.jit(...).eval_shape`."""
        return self.inner.eval_shape(*arguments)


def compiled(*, static: Sequence[str] = ()) -> Callable[[Callable], Compiled]:
    """The decorator; `static` are the names of arguments that choose the program."""
    return partial(Compiled, static=static)


@jax.jit
def _zero() -> int:
    return 0


def _traced(arguments: Any) -> bool:
    """Whether this is part of another program; what it is called with may yet be all constant."""
    return not all(map(is_concrete, (_zero(), *jax.tree.leaves(arguments))))
