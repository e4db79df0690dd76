"""How a run is differentiated: what is kept on the way forward for the way back.

A step is linear in small changes of what goes into it, with coefficients that follow from the
phases before it. So phases are all that has to be kept: noise that is added needs no derivative,
and where its size is learned, it is drawn once more from its address.
"""

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_derivatives import CustomVJPPrimal, SymbolicZero
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from tauax._checks import check_count, fault
from tauax.state import State

T = TypeVar("T")
Carry = tuple[State, Any]
Body = Callable[[Carry], Carry]

_SHORT = 64  # steps of which every state is kept: segments would save less than they compile


class AbstractAdjoint(eqx.Module):
    """How derivatives of a run are found; their values do not depend on it, but for `Truncated`."""

    @abstractmethod
    def loop(self, body: Body, carry: Carry, steps: int) -> Carry:
        """`body` applied `steps` times to (state, accumulators)."""

    def through(self, run: Callable[..., T], *arguments: Any) -> T:
        """The whole run, a function of all that it can be differentiated by."""
        return run(*arguments)


class FullTape(AbstractAdjoint):
    """Reverse mode that keeps every intermediate result of every step.

    Five times the memory of `Sweep` for a mean field, and no faster: to compare with.
    """

    def loop(self, body: Body, carry: Carry, steps: int) -> Carry:
        return _repeated(body, carry, steps)


class Sweep(AbstractAdjoint):
    """Reverse mode that keeps the phases of every step, and nothing else that is as large.

    The way back takes each step's sines and torques anew from its phases, and noise only where its
    size is learned or a stepper has several stages. Memory: steps × members × oscillators numbers.
    """

    def loop(self, body: Body, carry: Carry, steps: int) -> Carry:
        return _swept(body, carry, steps)


class Segments(AbstractAdjoint):
    """Reverse mode in segments: keeps the phases at their starts, runs each once more. The default.

    Memory for steps/length + length phases, smallest where length = √steps, at the cost of one more
    run forward (Griewank 1992, with two levels).

    **Arguments:** `length` of a segment in steps; by default about √steps, by a number that divides
    them. Or `memory`, the bytes that the phases of a run may take: if those of every step fit, they
    are kept, as `Sweep` does, which is faster. Runs under `jax.vmap` count as one.

    **Raises:** `ValueError` when a run is given that needs more than `memory`.
    """

    length: int | None = eqx.field(static=True, default=None)
    memory: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.length is not None:
            check_count("length", self.length, 1)
        if self.memory is not None:
            check_count("memory", self.memory, 1)
        if self.length is not None and self.memory is not None:
            raise fault(
                f"length={self.length} and memory={self.memory}",
                "one of them",
                "leave out length=, which follows from memory=",
            )

    def loop(self, body: Body, carry: Carry, steps: int) -> Carry:
        length = min(steps, self.length or self._length(carry[0], steps))
        return _in_segments(lambda carry, steps: _swept(body, carry, steps), carry, steps, length)

    def _length(self, state: State, steps: int) -> int:
        """The steps of a segment."""
        if self.memory is None:
            return steps if steps <= _SHORT else _divisor(steps)
        each = sum(leaf.nbytes for leaf in jax.tree.leaves(state.own._replace(key=None)))
        if steps * each <= self.memory:
            return steps
        length = _divisor(steps)
        needed = (-(-steps // length) + length) * each
        if needed > self.memory:
            raise fault(
                f"memory={self.memory} for the derivative of {steps} steps",
                f"at least {needed} bytes, for the phases of {steps // length} + {length} steps",
                "give more, take fewer members, or truncate it: "
                f"adjoint=tx.Truncated({max(1, steps // 10)})",
            )
        return length


class Truncated(AbstractAdjoint):
    """Reverse mode that stops at the beginning of every window of steps but the first.

    What a number of the model does to the phases is followed to the end of the window, and no
    farther: an estimate with a bias, but one that stays bounded where the exact derivative grows
    without limit, as in chaos (Werbos 1990, truncated backpropagation through time). If the steps
    are no multiple of the window, the first one is shorter, so that the last phases always have a
    whole one. First phases count in the first window. Memory as `Segments(window)`.

    **Arguments:** `window`, in steps; one of the whole run gives the exact derivative.
    """

    window: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_count("window", self.window, 1)

    def loop(self, body: Body, carry: Carry, steps: int) -> Carry:
        begin = carry[0].step

        def window(carry: Carry, steps: int) -> Carry:
            state, accumulators = carry
            kept, cut = state.own, jax.lax.stop_gradient(state.own)
            first = state.step == begin
            state = state.with_own(jax.tree.map(partial(jnp.where, first), kept, cut))
            return _swept(body, (state, accumulators), steps)

        short = steps % self.window
        carry = window(carry, short) if short else carry
        whole = steps - short
        return _in_segments(window, carry, whole, self.window) if whole else carry


class ForwardMode(AbstractAdjoint):
    """Reverse mode for users, forward mode inside: for few numbers, in memory without a tape.

    Follows the derivative by each number along with the run, all at once, and keeps what the
    results change by: the memory grows with the numbers, not with the steps. The others can be
    differentiated forward by `jax.jvp` as they are, this one cannot.

    **Arguments:** `numbers`, how many may be differentiated by at most.

    **Raises:** `ValueError` when a derivative by more is asked for.
    """

    numbers: int = eqx.field(static=True, default=64)

    def __check_init__(self) -> None:
        check_count("numbers", self.numbers, 1)

    def loop(self, body: Body, carry: Carry, steps: int) -> Carry:
        return _repeated(body, carry, steps)

    def through(self, run: Callable[..., T], *arguments: Any) -> T:
        leaves, structure = jax.tree.flatten(arguments)

        def flat(*leaves: Array) -> T:
            return run(*structure.unflatten(leaves))

        def forward(*primals: CustomVJPPrimal):
            values = {k: one.value for k, one in enumerate(primals)}
            moved = {k: values[k] for k, one in enumerate(primals) if one.perturbed}
            numbers, separated = ravel_pytree(moved)
            self._check(numbers.size)

            def along(direction: Array):
                def shifted(numbers: Array) -> T:
                    return flat(*(values | separated(numbers)).values())

                return jax.jvp(shifted, (numbers,), (direction,))

            directions = jnp.eye(numbers.size, dtype=numbers.dtype)
            results, changes = jax.vmap(along, out_axes=(None, 0))(directions)
            return results, (changes, moved)

        def backward(kept: tuple[Any, dict[int, Array]], cotangents: Any):
            changes, moved = kept
            numbers, separated = ravel_pytree(moved)
            found = separated(_contracted(changes, cotangents, numbers))
            return tuple(found.get(k) for k in range(len(leaves)))

        through = jax.custom_vjp(flat)
        through.defvjp(forward, backward, symbolic_zeros=True)
        return through(*leaves)

    def _check(self, numbers: int) -> None:
        if numbers > self.numbers:
            raise fault(
                f"a derivative by {numbers} numbers in forward mode",
                f"at most {self.numbers}",
                "use adjoint=tx.Segments(), whose cost does not depend on them, or give "
                f"tx.ForwardMode(numbers={numbers})",
            )


def _repeated(body: Callable[[T], T], carry: T, steps: int) -> T:
    return jax.lax.scan(lambda carry, _: (body(carry), None), carry, None, length=steps)[0]


def _swept(body: Body, carry: Carry, steps: int) -> Carry:
    """The steps, each of which keeps no more than its carry."""
    # In a loop nothing else could be merged with what is computed anew.
    return _repeated(jax.checkpoint(body, prevent_cse=False), carry, steps)


def _in_segments(
    segment: Callable[[Carry, int], Carry], carry: Carry, steps: int, length: int
) -> Carry:
    """The steps in segments, the last maybe shorter, each of which keeps no more than its carry."""
    count, rest = divmod(steps, length)
    if count == 1 and not rest:
        return segment(carry, steps)

    def whole(carry: Carry) -> Carry:
        return segment(carry, length)

    carry = _repeated(jax.checkpoint(whole, prevent_cse=False), carry, count)
    return segment(carry, rest) if rest else carry


def _divisor(steps: int) -> int:
    """The divisor that makes steps/length + length smallest; √steps if all make it over twice that.

    A last segment that is shorter would be compiled beside the others.
    """
    ideal = math.isqrt(steps)
    divisors = [length for length in range(1, ideal + 1) if steps % length == 0]
    best = min(divisors, key=lambda length: length + steps // length)
    return best if best + steps // best <= 4 * ideal else ideal


def _contracted(changes: Any, cotangents: Any, numbers: Array) -> Array:
    """Σ over all results of what a number changes them by, times what they change the loss by."""
    total = jnp.zeros_like(numbers)
    parts, structure = jax.tree.flatten(changes)
    for change, cotangent in zip(parts, structure.flatten_up_to(cotangents), strict=True):
        if change.dtype != jax.dtypes.float0 and not isinstance(cotangent, SymbolicZero):
            # What nothing moves, or nothing reads, may have no other derivative: 0 times NaN is 0.
            counts = (change != 0) & (cotangent != 0)
            part = jnp.where(counts, change * cotangent, 0.0).reshape(len(numbers), -1).sum(axis=-1)
            total = total + part.astype(total.dtype)
    return total
