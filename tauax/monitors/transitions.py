"""From which level to which, and how often."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax._types import Scalar, Step
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


class TransitionsResult(AbstractResult):
    """Transitions from record to record over a run.

    **Attributes:** `records`, their number; `counts`, `[*batch, ..., from, to]`, how many pairs of
    consecutive records had these two codes, the same one on the diagonal; `seconds`,
    `[*batch, ..., from]`, how long those pairs were in all; `codes`. For a merge: `first` and
    `last`, the positions of the codes at both ends, −1 for none; `lead` and `tail`, the seconds
    from the beginning of the run to the first record and from the last one to the end.
    """

    records: Int[Array, ""]
    counts: Int[Array, "..."]
    seconds: Array
    first: Int[Array, "..."]
    last: Int[Array, "..."]
    lead: Scalar
    tail: Scalar
    codes: tuple[float, ...] = eqx.field(static=True)

    @property
    def probability(self) -> Array:
        """The share of each code among those that follow a code, `[*batch, ..., from, to]`.

        Rows sum to 1; that of a code from which no pair starts is NaN.
        """
        counts = self.counts.astype(self.seconds.dtype)
        return counts / counts.sum(axis=-1, keepdims=True)

    @property
    def rate(self) -> Array:
        """Transitions per second spent in the code they start from, `[*batch, ..., from, to]`, 1/s.

        0 on the diagonal; NaN in the row of a code from which no pair starts.
        """
        other = ~jnp.eye(len(self.codes), dtype=bool)
        counts = jnp.where(other, self.counts, 0).astype(self.seconds.dtype)
        return counts / self.seconds[..., None]

    def statistics(self) -> dict[str, Array]:
        return {"counts": self.counts, "probability": self.probability, "rate": self.rate}

    def axes(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(("counts", "probability", "rate"), ("from", "to"))

    def coordinates(self) -> dict[str, Array]:
        return {"from": jnp.asarray(self.codes), "to": jnp.asarray(self.codes)}


class _Accumulator(eqx.Module):
    """`begin`, `start` and `stop` are steps: of the run's beginning, its first and last record."""

    begin: Step
    start: Step
    stop: Step
    records: Int[Array, ""]
    first: Int[Array, "..."]
    last: Int[Array, "..."]
    counts: Int[Array, "..."]


class Transitions(AbstractMonitor):
    """How often a readout goes from each of some codes, such as −1, 0, 1, to each other.

    Every record is compared with the one before. A value counts as the code that is nearest, and
    halfway between two as the upper one. What happens between two records is not seen: with levels
    that last ten records on average the rates come out about a tenth too low.

    **Arguments:** `readout`, integers or real numbers; `codes`, two or more, ascending in equal
    steps; `every` and `after`, as for every monitor.

    **Result:** `TransitionsResult` with `.counts`, `.probability` and `.rate`, in 1/s,
    `[*batch, ..., from, to]`. With pᵢⱼ transitions in Tᵢ seconds seen from the records at code i
    the rate is pᵢⱼ/Tᵢ, the most likely one of a Markov jump process. NaN is no code, and pairs
    with it are not counted. All are piecewise constant: their derivatives are 0.

    Two runs merge with the transition from the last record of one to the first of the next, through
    a change of dt too, so a run in pieces gives what it gives in one.

    **Raises:** `ValueError` for codes that are not such; `TypeError` for a complex readout.
    """

    readout: Readout = eqx.field(static=True)
    codes: tuple[float, ...] = eqx.field(
        static=True, converter=checked_codes, default=(-1.0, 0.0, 1.0)
    )
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape, _ = real_numbers(self.readout, model, state)
        step, none = state.step, jnp.full(shape, -1, jnp.int32)
        counts = jnp.zeros((*shape, len(self.codes), len(self.codes)), jnp.int32)
        return _Accumulator(step, step, step, jnp.zeros((), jnp.int32), none, none, counts)

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        begins = record == 0
        now = nearest_code(self.readout(model, state), self.codes)
        return _Accumulator(
            accumulator.begin,
            jnp.where(begins, state.step, accumulator.start),
            state.step,
            accumulator.records + 1,
            jnp.where(begins, now, accumulator.first),
            now,
            _add_pair(accumulator.counts, accumulator.last, now),
        )

    def result(self, accumulator: _Accumulator, state: State) -> TransitionsResult:
        dt, seen = state.clock.dt, accumulator.records > 0
        pairs = accumulator.counts.sum(axis=-1, dtype=jnp.int32).astype(dt.dtype)
        lead = jnp.where(seen, accumulator.start, state.step) - accumulator.begin
        tail = jnp.where(seen, state.step - accumulator.stop, 0)
        return TransitionsResult(
            accumulator.records,
            accumulator.counts,
            product(pairs, self.every * dt),
            accumulator.first,
            accumulator.last,
            product(lead.astype(dt.dtype), dt),
            product(tail.astype(dt.dtype), dt),
            self.codes,
        )

    def merge(self, earlier: TransitionsResult, later: TransitionsResult) -> TransitionsResult:
        return _merged(earlier, later)


@jax.jit
def _merged(earlier: TransitionsResult, later: TransitionsResult) -> TransitionsResult:
    before, after = earlier.records > 0, later.records > 0
    between = _add_pair(jnp.zeros_like(later.counts), earlier.last, later.first)
    left = between.sum(axis=-1, dtype=jnp.int32).astype(earlier.seconds.dtype)
    gap = earlier.tail + later.lead  # without a record `lead` is the whole run, and `tail` 0
    return TransitionsResult(
        earlier.records + later.records,
        earlier.counts + later.counts + between,
        earlier.seconds + later.seconds + product(left, gap),
        jnp.where(before, earlier.first, later.first),
        jnp.where(after, later.last, earlier.last),
        jnp.where(before, earlier.lead, earlier.lead + later.lead),
        jnp.where(after, later.tail, jnp.where(before, gap, 0.0)),
        later.codes,
    )


def _add_pair(counts: Array, before: Array, now: Array) -> Array:
    """Adds 1 for the pair of codes that two records of each component make, if both have one."""
    # A scatter into the flat counts: comparing with every pair takes twice as long.
    codes, size = counts.shape[-1], math.prod(counts.shape)
    first = jnp.arange(0, size, codes**2, dtype=jnp.int32).reshape(now.shape)
    place = jnp.where((before >= 0) & (now >= 0), first + before * codes + now, size)
    return counts.reshape(-1).at[place].add(1, mode="drop").reshape(counts.shape)
