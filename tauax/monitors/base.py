"""What a monitor is: a statistic accumulated along a run in constant memory."""

from abc import abstractmethod
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_instance, fault
from tauax.readouts import Readout
from tauax.state import State


class AbstractResult(eqx.Module):
    """What a monitor gives the user."""

    @abstractmethod
    def statistics(self) -> dict[str, Array]:
        """The arrays worth a column of a table, by name, batch axes first."""

    def axes(self) -> dict[str, tuple[str, ...]]:
        """The names of the last axes of a statistic that has axes of its own: {"count": ("bin",)}.

        The same axis of two statistics has the same name; axes of a readout need none.
        """
        return {}

    def coordinates(self) -> dict[str, Array]:
        """The values along such axes, by their names: {"bin": centres}."""
        return {}


class AbstractMonitor(eqx.Module):
    """Reads the state before each step that is due and folds what it reads into an accumulator.

    A step n, counted from the start of the run, is due if n ≥ `after` and n − `after` is a multiple
    of `every`: ⌈(steps − after)/every⌉ records. A monitor is elementwise over members, and its
    result has the batch axes first.
    """

    @property
    @abstractmethod
    def every(self) -> int:
        """The distance of two records, in steps."""

    @property
    @abstractmethod
    def after(self) -> int:
        """The step of the first record."""

    def __check_init__(self) -> None:
        check_count("every", self.every, 1)
        check_count("after", self.after, 0)

    def records(self, steps: int) -> int:
        """How many of the steps of a run are due."""
        return max(0, -((self.after - steps) // self.every))

    @abstractmethod
    def init(self, model, state: State, records: int) -> Any:
        """The accumulator before the first record."""

    @abstractmethod
    def update(self, accumulator: Any, model, state: State, record: Array) -> Any:
        """The accumulator with the record numbered `record` folded in."""

    @abstractmethod
    def result(self, accumulator: Any, state: State) -> AbstractResult:
        """What the user is given; `state` is the one after the run."""

    def recorded(self, result: Any, records: int) -> Any:
        """The result of a run under way, cut to the `records` made so far if it holds each."""
        return result

    @abstractmethod
    def merge(self, earlier: Any, later: Any) -> Any:
        """The result over two consecutive runs from the results of each; associative."""


def check_readout(monitor: AbstractMonitor, readout: Any) -> None:
    """Raise unless a monitor was given a readout."""
    check_instance(
        f"{type(monitor).__name__} of readout",
        readout,
        Readout,
        "pass tx.coherence, or decorate your function with @tx.readout",
    )


def real_numbers(readout: Readout, model, state: State) -> tuple[tuple[int, ...], Any]:
    """The shape of a readout on this batch, and the floating dtype to sum it in.

    **Raises:** `TypeError` for a readout of complex numbers.
    """
    found = jax.eval_shape(readout, model, state)
    dtype = jnp.promote_types(found.dtype, state.phase.dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise fault(
            f"a readout of dtype {found.dtype}",
            "real numbers",
            "monitor its real and imaginary parts, or its modulus",
            TypeError,
        )
    return found.shape, dtype


def checked_codes(codes) -> tuple[float, ...]:
    """Codes as Python numbers, ascending in equal steps."""
    try:
        found = tuple(map(float, codes))
    except (TypeError, ValueError):
        found = ()
    finite = len(found) > 1 and np.isfinite(found).all()
    steps = np.diff(found) if finite else np.zeros(1)
    if not ((steps > 0).all() and np.allclose(steps, steps[0], rtol=1e-5, atol=0)):
        raise fault(
            f"codes={codes!r}",
            "two finite numbers or more, ascending in equal steps",
            "pass for example codes=(-1, 0, 1), and give a level between two others a code too",
        )
    return found


def nearest_code(value: Array, codes: tuple[float, ...]) -> Array:
    """The position of the code nearest to each value; −1 for NaN."""
    middles = [(low + high) / 2 for low, high in pairwise(codes)]
    position = sum((value >= middle).astype(jnp.int32) for middle in middles)
    return jnp.where(jnp.isnan(value), -1, position)
