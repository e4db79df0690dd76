"""How long each level lasts."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from tauax._checks import check_numbers, fault, is_concrete
from tauax._types import NONNEGATIVE, Scalar, Step, numeric
from tauax.monitors.base import (
    AbstractMonitor,
    AbstractResult,
    check_readout,
    checked_codes,
    nearest_code,
    real_numbers,
)
from tauax.numerics.fusion import product
from tauax.readouts import Readout
from tauax.state import State


class DwellsResult(AbstractResult):
    """Dwell times over the records of a run.

    **Attributes:** `counts`, `[*batch, ..., code, bin + 2]`, how many completed dwells were shorter
    than the first edge, in each bin, and longer than the last edge; `total`, `[*batch, ..., code]`,
    the seconds of all completed ones; `edges`, `[bin + 1]`, seconds; `codes`; `ends`, the dwells
    that the ends of the run cut.
    """

    counts: Int[Array, "..."]
    total: Array
    edges: Array
    ends: "_Ends"
    codes: tuple[float, ...] = eqx.field(static=True)

    @property
    def count(self) -> Int[Array, "..."]:
        """How many completed dwells fell into each bin, `[*batch, ..., code, bin]`."""
        return self.counts[..., 1:-1]

    @property
    def below(self) -> Int[Array, "..."]:
        """How many were shorter than the first edge, `[*batch, ..., code]`."""
        return self.counts[..., 0]

    @property
    def above(self) -> Int[Array, "..."]:
        """How many were longer than the last edge, `[*batch, ..., code]`."""
        return self.counts[..., -1]

    @property
    def completed(self) -> Int[Array, "..."]:
        """How many dwells began and ended within the run, `[*batch, ..., code]`."""
        return self.counts.sum(axis=-1, dtype=jnp.int32)

    @property
    def mean(self) -> Array:
        """The mean length of the completed dwells, `[*batch, ..., code]`, seconds; NaN for none."""
        return self.total / self.completed.astype(self.total.dtype)

    @property
    def centres(self) -> Array:
        """The middle of each bin, `[bin]`, seconds."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    def statistics(self) -> dict[str, Array]:
        return {
            "count": self.count,
            "below": self.below,
            "above": self.above,
            "completed": self.completed,
            "mean": self.mean,
        }

    def axes(self) -> dict[str, tuple[str, ...]]:
        return {
            "count": ("code", "bin"),
            "below": ("code",),
            "above": ("code",),
            "completed": ("code",),
            "mean": ("code",),
        }

    def coordinates(self) -> dict[str, Array]:
        return {"code": jnp.asarray(self.codes), "bin": self.centres}


class _Ends(eqx.Module):
    """What a merge has to know of a run; times in seconds.

    **Attributes:** `records`, their number; `interval`, the shortest distance of two; `lead`, from
    the beginning of the run to its first record, or to its end without one; `first` and `last`, the
    positions of the codes at both ends, −1 for none; `changed`, whether the code did; `until`, from
    the first record to the first change, 0 without one; `since`, from the last change, or from the
    first record without one, to the end of the run.
    """

    records: Int[Array, ""]
    interval: Scalar
    lead: Scalar
    first: Int[Array, "..."]
    last: Int[Array, "..."]
    changed: Bool[Array, "..."]
    until: Array
    since: Array


class _Accumulator(eqx.Module):
    """As the result, counted in steps: `begin` of the run, `start` at its first record.

    `until` is the length of the first dwell, 0 as long as it lasts; `began`, the step of the record
    at which the present one was first seen.
    """

    begin: Step
    start: Step
    records: Int[Array, ""]
    first: Int[Array, "..."]
    last: Int[Array, "..."]
    until: Int[Array, "..."]
    began: Int[Array, "..."]
    counts: Int[Array, "..."]
    total: Int[Array, "..."]


class Dwells(AbstractMonitor):
    """How long a readout stays at each of some codes, such as −1, 0, 1, before it goes to another.

    A dwell lasts from the record at which a code is first seen to the one at which another is, so
    its length is a multiple of every·dt. A value counts as the code that is nearest, and halfway
    between two as the upper one. Dwells that the beginning or the end of the run cuts are not
    counted (long ones are missed more often: let a run last for many of them), but a merge with the
    neighbouring run completes them.

    Bin k holds edges[k] ≤ length < edges[k + 1], and the last one its upper edge too. A length
    within a rounding below an edge counts as that edge.

    **Arguments:** `readout`, integers or real numbers; `edges`, `[bin + 1]`, ascending, seconds;
    `codes`, two or more, ascending in equal steps; `every` and `after`, as for every monitor.

    **Result:** `DwellsResult` with `.count` `[*batch, ..., code, bin]`, `.below`, `.above`,
    `.completed` and `.mean`, seconds, `[*batch, ..., code]`. Lengths are counted in steps, and are
    exact in runs of any length; over merged runs each part has its own dt. NaN is no code: it ends
    a dwell, and its own are not counted. The derivatives are 0.

        tx.Dwells(sign, edges=jnp.linspace(0.0, 2.0, 21))  # of @tx.readout def sign(model, state)

    **Raises:** `ValueError` for codes or edges that are not such; `TypeError` for a complex
    readout.
    """

    readout: Readout = eqx.field(static=True)
    edges: Array = eqx.field(converter=numeric, metadata=NONNEGATIVE)
    codes: tuple[float, ...] = eqx.field(
        static=True, converter=checked_codes, default=(-1.0, 0.0, 1.0)
    )
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)
        check_numbers(self)
        one = self.edges.ndim == 1 and self.edges.size > 1
        if not one or (is_concrete(self.edges) and np.any(np.diff(np.asarray(self.edges)) <= 0)):
            raise fault(
                f"edges={np.asarray(self.edges).tolist()}"
                if is_concrete(self.edges)
                else f"edges of shape {self.edges.shape}",
                "two numbers of seconds or more, ascending",
                "pass for example edges=jnp.linspace(0.0, 2.0, 21)",
            )

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape, _ = real_numbers(self.readout, model, state)
        step, codes = state.step, len(self.codes)
        zero, none = jnp.zeros(shape, jnp.int32), jnp.full(shape, -1, jnp.int32)
        counts = jnp.zeros((*shape, codes, self.edges.size + 1), jnp.int32)
        total = jnp.zeros((*shape, codes), jnp.int32)
        return _Accumulator(
            step, step, jnp.zeros((), jnp.int32), none, none, zero, zero, counts, total
        )

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        begins = record == 0
        now = nearest_code(self.readout(model, state), self.codes)
        changes = (now != accumulator.last) & ~begins
        length = state.step - accumulator.began
        first = accumulator.until == 0
        code = jnp.where(changes & ~first, accumulator.last, -1)
        seconds = product(length.astype(state.clock.dt.dtype), state.clock.dt)
        bin = _bin(seconds, self.every * state.clock.dt, self.edges)
        return _Accumulator(
            accumulator.begin,
            jnp.where(begins, state.step, accumulator.start),
            accumulator.records + 1,
            jnp.where(begins, now, accumulator.first),
            now,
            jnp.where(changes & first, length, accumulator.until),
            jnp.where(changes | begins, state.step, accumulator.began),
            _add_at(accumulator.counts, code, bin),
            accumulator.total + _at_code(length, code, len(self.codes)),
        )

    def result(self, accumulator: _Accumulator, state: State) -> DwellsResult:
        dt, seen = state.clock.dt, accumulator.records > 0

        def seconds(steps: Array) -> Array:
            return product(steps.astype(dt.dtype), dt)

        ends = _Ends(
            accumulator.records,
            self.every * dt,
            seconds(jnp.where(seen, accumulator.start, state.step) - accumulator.begin),
            accumulator.first,
            accumulator.last,
            accumulator.until > 0,
            seconds(accumulator.until),
            seconds(jnp.where(seen, state.step - accumulator.began, 0)),
        )
        total = seconds(accumulator.total)
        return DwellsResult(accumulator.counts, total, self.edges, ends, self.codes)

    def merge(self, earlier: DwellsResult, later: DwellsResult) -> DwellsResult:
        return _merged(earlier, later)


@jax.jit
def _merged(earlier: DwellsResult, later: DwellsResult) -> DwellsResult:
    before, after = earlier.ends, later.ends
    early, late = before.records > 0, after.records > 0
    # A run without a record goes on with the code that it came from, or leads to the next.
    first = jnp.where(early, before.first, after.first)
    last = jnp.where(late, after.last, before.last)
    changes = early & late & (before.last != after.first)
    over = changes | after.changed
    gap = jnp.where(early, after.lead, 0.0)
    # The dwell that the end of the earlier run cut, and the first one of the later run.
    spanning = before.since + gap + jnp.where(changes, 0.0, after.until)
    interval = jnp.minimum(before.interval, after.interval)
    counts, total = earlier.counts + later.counts, earlier.total + later.total
    for code, length in (
        (jnp.where(over & before.changed, before.last, -1), spanning),
        (jnp.where(changes & after.changed, after.first, -1), after.until),
    ):
        counts = _add_at(counts, code, _bin(length, interval, earlier.edges))
        total = total + _at_code(length, code, len(later.codes))
    ends = _Ends(
        before.records + after.records,
        interval,
        before.lead + jnp.where(early, 0.0, after.lead),
        first,
        last,
        before.changed | over,
        jnp.where(before.changed, before.until, jnp.where(over, spanning, 0.0)),
        jnp.where(over, after.since, spanning + after.since),
    )
    return DwellsResult(counts, total, earlier.edges, ends, later.codes)


def _bin(seconds: Array, interval: Array, edges: Array) -> Array:
    """The place of each length among the bins, 0 below the first and their number + 1 above."""
    # A thousandth of the interval, or what the sum of some lengths may have been rounded by.
    rounding = jnp.finfo(seconds.dtype).eps * seconds
    slack = jnp.minimum(1e-3 * interval + 4.0 * rounding, 0.25 * interval)
    edges = edges.astype(seconds.dtype)
    reached = (seconds + slack)[..., None] >= edges[:-1]
    above = seconds - slack > edges[-1]
    return reached.sum(axis=-1, dtype=jnp.int32) + above.astype(jnp.int32)


def _at_code(length: Array, code: Array, codes: int) -> Array:
    """Each length at its code, `[..., code]`, and 0 at the others; nowhere for a code of −1."""
    return jnp.where(code[..., None] == jnp.arange(codes), length[..., None], 0)


def _add_at(counts: Array, code: Array, bin: Array) -> Array:
    """Adds 1 to one bin of one code of every component; to none for a code of −1."""
    *_, codes, bins = counts.shape
    size = math.prod(counts.shape)
    first = jnp.arange(0, size, codes * bins, dtype=jnp.int32).reshape(code.shape)
    place = jnp.where(code >= 0, first + code * bins + bin, size)
    return counts.reshape(-1).at[place].add(1, mode="drop").reshape(counts.shape)
