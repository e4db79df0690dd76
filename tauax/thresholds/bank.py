"""The bank of thresholds: from a signal to ordered levels, with a memory of what was.

What belongs to a cut is an array of the signal's shape, never an axis of length K, so that all of
it fuses.
"""

from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from tauax._checks import check_instance, fault
from tauax._types import NONNEGATIVE, numeric
from tauax.numerics.fusion import product
from tauax.numerics.running import compensated
from tauax.thresholds.base import (
    AbstractCuts,
    AbstractDecision,
    FixedCuts,
    Hard,
    PerCut,
    check_single,
)


class Memory(eqx.Module):
    """What a bank remembers of a signal, each array of its shape; what it does not need is empty.

    **Attributes:** `cuts`, whatever these remember; `above`, for each cut how far the last value
    exceeded it, ½ before the first one; `wait`, the seconds until the level may change, in two
    words, −1 before the first value.
    """

    cuts: Any = None
    above: PerCut = ()
    wait: tuple[Array, Array] | None = None


def _as_cuts(cuts: Any) -> AbstractCuts:
    return cuts if isinstance(cuts, AbstractCuts) else FixedCuts(cuts)


def _if_given(value: Any) -> Array | None:
    return None if value is None else numeric(value)


class Thresholds(eqx.Module):
    """Turns a signal h(t) into ordered levels: for two cuts the anchors −1, 0 and +1.

        code = Σ_k above_k − K/2,    above_k = decision(h, c_k),

    K + 1 equally spaced codes for K cuts c_k. A hard value equal to a cut belongs to the level
    nearer the middle; where the cut is the middle one of an odd number, to the lower level. Codes
    have the floating dtype of the signal: they can be counted, averaged and differentiated. The
    code of NaN is NaN.

        bank = Thresholds((-0.3, 0.3), decision=Soft(0.05))
        bank = Thresholds(EmaCuts((-0.8, 0.8), time=5.0), hysteresis=0.05, dwell=0.2)

        memory = bank.init(shape=h.shape, dtype=h.dtype)
        code = bank(memory, h)
        memory = bank.advance(memory, h, dt)

    A value is compared with the cuts as the values before it left them, and `advance` remembers the
    very code that was read before it. Written for one signal of any shape, `[]` or `[entity]`;
    `jax.vmap` maps it over members.

    **Arguments:** `cuts`, `[cut]` ascending numbers, or `EmaCuts` or `QuantileCuts`; `decision`,
    `Hard()`, `Soft(temperature)` or `StraightThrough(temperature)`;

    - `hysteresis` w ≥ 0, in units of the signal, or None: c_k shifts by w(½ − above_k), where
      above_k is that of the value before, so by w/2 down while it is exceeded and up while it is
      not. The first value meets the plain cuts. Hard decisions pass no cut more often than without.
      In soft ones of T < w/4 the past amplifies itself, and so do derivatives through many values;
    - `dwell` ≥ 0, seconds, or None: once the level has changed, or begun with the first value, it
      stays for at least that long; meanwhile a value of another level leaves above_k what it was.
      The level is the number of cuts with above_k > ½. The derivative by `dwell` is 0.

    Without them a bank of fixed cuts has no memory. Each is one number for all the signal.

    **Raises:** `ValueError` for cuts that are not finite and ascending, or a negative hysteresis or
    dwell; `TypeError` for another decision.
    """

    cuts: AbstractCuts = eqx.field(converter=_as_cuts)
    decision: AbstractDecision = Hard()
    hysteresis: Array | None = eqx.field(converter=_if_given, metadata=NONNEGATIVE, default=None)
    dwell: Array | None = eqx.field(converter=_if_given, metadata=NONNEGATIVE, default=None)

    def __check_init__(self) -> None:
        fix = "pass tx.Hard(), tx.Soft(0.05) or tx.StraightThrough(0.05)"
        check_instance("decision", self.decision, AbstractDecision, fix)
        check_single(self, "hysteresis", "dwell")

    def init(self, *, shape: tuple[int, ...], dtype) -> Memory | None:
        """What is remembered before the first value of a signal; None if nothing ever is."""
        cuts, above, wait = self.cuts.init(shape, dtype), (), None
        if self.hysteresis is not None or self.dwell is not None:
            count = len(jax.eval_shape(self.cuts.at, cuts))
            above = tuple(jnp.full(shape, 0.5, dtype) for _ in range(count))
        if self.dwell is not None:
            wait = (jnp.full(shape, -1.0, dtype), jnp.zeros(shape, dtype))
        return None if cuts is None and not above else Memory(cuts, above, wait)

    def __call__(self, memory: Memory | None, signal: Array) -> Array:
        """The code of the present value, of the signal's shape and dtype."""
        bank, held = self._ready(memory, signal)
        above = bank._above(held, signal)
        return sum(above[1:], above[0]) - len(above) / 2

    def memberships(self, memory: Memory | None, signal: Array) -> Array:
        """How far the present value belongs to each level, `[..., level]`: K + 1 numbers of sum 1.

        From the lowest level to the highest; 0 and 1 where the decision is hard.
        """
        bank, held = self._ready(memory, signal)
        above = bank._above(held, signal)
        bounds = pairwise((jnp.ones_like(signal), *above, jnp.zeros_like(signal)))
        shares = jnp.stack([lower - upper for lower, upper in bounds], axis=-1)
        # A share of 0 must not become negative by a rounding.
        return jnp.where(shares < 0, 0.0, shares)

    def cuts_at(self, memory: Memory | None) -> Array:
        """The cuts that the next value meets, `[..., cut]`, ascending; hysteresis included."""
        if memory is None:
            return jnp.stack(self.cuts.at(None), axis=-1)
        bank = self._in(jax.tree.leaves(memory)[0].dtype)
        return jnp.stack(jnp.broadcast_arrays(*bank._cuts(memory)), axis=-1)

    def advance(self, memory: Memory | None, signal: Array, dt: Array | float) -> Memory | None:
        """What is remembered after a value that lasted `dt` seconds."""
        bank, held = self._ready(memory, signal)
        if memory is None:
            return None
        dt = jnp.asarray(dt, signal.dtype)
        above = bank._above(held, signal) if held.above else ()
        return Memory(bank.cuts.advance(held.cuts, signal, dt), above, bank._wait(held, above, dt))

    def _ready(self, memory: Memory | None, signal: Array) -> tuple["Thresholds", Memory]:
        """The bank in the dtype of the signal, and what is remembered of that signal."""
        shape, dtype = signal.shape, signal.dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            fix = "convert it, for example by signal.astype(jnp.float32)"
            raise fault(f"a signal of dtype {dtype}", "floating numbers", fix, TypeError)
        fix = "start from bank.init(shape=h.shape, dtype=h.dtype) and go on with bank.advance"
        if memory is None and self.init(shape=shape, dtype=dtype) is not None:
            raise fault("no memory", "the memory of this bank", fix, TypeError)
        for leaf in jax.tree.leaves(memory):
            if leaf.shape[: len(shape)] != shape or leaf.dtype != dtype:
                raise fault(
                    f"a signal of shape {shape} and {dtype}, a memory of {leaf.shape} and "
                    f"{leaf.dtype}",
                    "the memory of this signal",
                    fix,
                )
        return self._in(dtype), Memory() if memory is None else memory

    def _in(self, dtype) -> "Thresholds":
        """The bank with all its numbers in one dtype."""
        return jax.tree.map(
            lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf,
            self,
        )

    def _cuts(self, memory: Memory) -> PerCut:
        """The cuts in force."""
        cuts = self.cuts.at(memory.cuts)
        if self.hysteresis is None:
            return cuts
        # From cut to cut `above` never rises, so the shift never falls, and the order stays.
        pairs = zip(cuts, memory.above, strict=True)
        return tuple(cut + product(0.5 - above, self.hysteresis) for cut, above in pairs)

    def _above(self, memory: Memory, signal: Array) -> PerCut:
        """How far the value exceeds each cut, unless the level has to stay what it was."""
        cuts = self._cuts(memory)
        middle = (len(cuts) - 1) / 2
        above = tuple(self.decision(signal, cut, k < middle) for k, cut in enumerate(cuts))
        if memory.wait is None:
            return above
        blocked = (memory.wait[0] > 0) & _other_level(memory.above, above)
        pairs = zip(memory.above, above, strict=True)
        return tuple(jnp.where(blocked, old, new) for old, new in pairs)

    def _wait(self, memory: Memory, above: PerCut, dt: Array) -> tuple[Array, Array] | None:
        """The seconds until the level may change, counted down by `dt` to 0."""
        if self.dwell is None or memory.wait is None:
            return None
        begins = _other_level(memory.above, above) | (memory.wait[0] < 0)
        left = jnp.where(begins, self.dwell, memory.wait[0])
        left, low = compensated(left, jnp.where(begins, 0.0, memory.wait[1]), -dt)
        # What ends within a thousandth of a step, or within its own rounding, ends with this step.
        rounding = product(self.dwell, float(jnp.finfo(dt.dtype).eps))
        early = jnp.minimum(product(dt, 1e-3) + rounding, 0.25 * dt)
        over = left - low <= early
        wait = jnp.where(over, 0.0, left), jnp.where(over, 0.0, low)
        return jax.lax.stop_gradient(wait)


def _other_level(old: PerCut, new: PerCut) -> Bool[Array, "..."]:
    """Whether any cut was passed, from above ≤ ½ to above > ½ or back; NaN has passed none."""
    other = jnp.zeros(new[0].shape, bool)
    for before, now in zip(old, new, strict=True):
        other = other | ((before <= 0.5) & (now > 0.5)) | ((before > 0.5) & (now <= 0.5))
    return other
