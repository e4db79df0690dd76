"""What a scanner would see: the BOLD signal of neural activity, and its connectivity."""

from dataclasses import fields

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from tauax._checks import check_count, check_numbers, check_per_oscillator, fault, is_concrete
from tauax._types import FINITE, POSITIVE, numeric
from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.numerics.comoments import Comoments, RunningComoments, correlation
from tauax.numerics.haemodynamics import Balloon, Haemodynamics
from tauax.readouts import Readout
from tauax.state import State


class BoldResult(AbstractResult):
    """The BOLD signal, scan by scan, and its moments over the scans that are not discarded.

    **Attributes:** `time`, `[scan]`, seconds; `value`, `[*batch, scan, region]`, a fraction of the
    signal at rest, both without a scan if they were not to be recorded; `count`, the number of
    scans in the moments; `mean`, `[*batch, region]`; `covariance`, of the population,
    `[*batch, region, region]`, both NaN without a scan.
    """

    time: Array
    value: Array
    count: Int[Array, ""]
    mean: Array
    covariance: Array

    @property
    def connectivity(self) -> Array:
        """Functional connectivity, Pearson's correlation of every two regions' BOLD signals.

        `[*batch, region, region]`. A region whose signal does not vary has correlation 0, with
        derivative 0, to all and to itself.
        """
        return correlation(self.covariance)

    def statistics(self) -> dict[str, Array]:
        return {
            "value": self.value,
            "mean": self.mean,
            "covariance": self.covariance,
            "connectivity": self.connectivity,
        }

    def axes(self) -> dict[str, tuple[str, ...]]:
        matrix = ("region", "partner")
        return {
            "value": ("scan", "region"),
            "mean": ("region",),
            "covariance": matrix,
            "connectivity": matrix,
        }

    def coordinates(self) -> dict[str, Array]:
        return {"scan": self.time}


class _Accumulator(eqx.Module):
    """The haemodynamics at the last record, the drive there, and what was scanned."""

    level: Haemodynamics
    drive: Array
    time: Array
    value: Array
    moments: RunningComoments


class Bold(AbstractMonitor):
    """The BOLD signal driven by a readout, by the Balloon–Windkessel model, and its connectivity.

    With neural activity z, vasodilatory signal s, inflow f, venous volume v and deoxyhaemoglobin
    content q of each region, the last three relative to rest,

        s' = ε z − κ s − γ (f − 1),    f' = s,
        τ v' = f − v^{1/α},    τ q' = f (1 − (1 − ρ)^{1/f}) / ρ − v^{1/α} q / v,
        y = V₀ [7ρ (1 − q) + 2 (1 − q/v) + (2ρ − 0.2) (1 − v)]

    (Buxton, Wong & Frank 1998; Friston, Mechelli, Turner & Price 2000), from rest: s = 0 and
    f = v = q = 1. Advanced every `every` steps by Heun's method of order 2, with z linear in
    between. The defaults are those of Friston, Harrison & Penny (2003).

    **Arguments:** `readout` z, a vector per member, one number per region, such as a firing rate;
    `repetition`, the distance of two scans in steps, a multiple of `every` (the repetition time is
    repetition·dt); `every`, in steps: keep every·dt below 0.02 s (at 0.01 s, noisy waves of 10 Hz
    gave a signal within 0.5 % of that of every step, 1 ms); `after`, as for every monitor;
    `discard`, how many of the first scans are left out of the moments: the response to the start
    lasts some 20 s; `record`, whether to keep the scans, or only moments, in constant memory.

    Numbers, each one for all regions or one per region: `efficacy` ε, 1/s² per unit of z; `decay` κ
    of the signal, 1/s; `elimination` γ, how strongly flow feeds back, 1/s²; `transit` τ, seconds;
    `stiffness` α, Grubb's exponent; `extraction` ρ, the fraction of oxygen extracted at rest, below
    1; `fraction` V₀, of blood volume at rest.

    Activity that stays far below 0 stops the inflow: the model ends there, and the signal is NaN.

    **Result:** `BoldResult` with `.value` `[*batch, scan, region]` at `.time`, `.mean`,
    `.covariance`, `.connectivity` and `.count`. The first scan, at rest, is 0.

    `tx.iterate` carries the haemodynamics from chunk to chunk. But each run of its own starts from
    rest, and discards its first scans: `sol.then` joins such runs as two sessions in the scanner.

    **Raises:** `ValueError` or `TypeError` for numbers outside their range, a repetition that is no
    multiple of `every`, or a readout that is not a real vector.
    """

    readout: Readout = eqx.field(static=True)
    repetition: int = eqx.field(static=True)
    every: int = eqx.field(static=True, default=10)
    after: int = eqx.field(static=True, default=0)
    discard: int = eqx.field(static=True, default=10)
    record: bool = eqx.field(static=True, default=True)
    efficacy: Array = eqx.field(converter=numeric, metadata=FINITE, default=1.0)
    decay: Array = eqx.field(converter=numeric, metadata=POSITIVE, default=0.65)
    elimination: Array = eqx.field(converter=numeric, metadata=POSITIVE, default=0.41)
    transit: Array = eqx.field(converter=numeric, metadata=POSITIVE, default=0.98)
    stiffness: Array = eqx.field(converter=numeric, metadata=POSITIVE, default=0.32)
    extraction: Array = eqx.field(converter=numeric, metadata=POSITIVE, default=0.34)
    fraction: Array = eqx.field(converter=numeric, metadata=POSITIVE, default=0.02)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)
        check_count("discard", self.discard, 0)
        check_count("every", self.every, 1)
        if check_count("repetition", self.repetition, 1) % self.every:
            raise fault(
                f"repetition={self.repetition} with every={self.every}",
                "a repetition that is a multiple of every",
                "choose every among the divisors of the repetition",
            )
        check_numbers(self)
        if is_concrete(self.extraction) and np.any(np.asarray(self.extraction) >= 1):
            raise fault(
                f"Bold.extraction = {self.extraction}",
                "a fraction below 1",
                "leave it out for 0.34",
            )

    @property
    def _balloon(self) -> Balloon:
        return Balloon(*(getattr(self, field.name) for field in fields(Balloon)))

    @property
    def _stride(self) -> int:
        """How many records there are to a scan."""
        return self.repetition // self.every

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape, dtype = real_numbers(self.readout, model, state)
        *batch, size = shape
        if len(batch) != len(state.axes):
            raise fault(
                f"a readout of shape {shape[len(state.axes) :]} per member",
                "a vector, one number per region",
                "return a vector from the readout",
            )
        for field in fields(Balloon):
            check_per_oscillator(f"Bold.{field.name}", getattr(self, field.name), size)
        rest = jnp.zeros(shape, dtype)
        scans = self._scans(records) if self.record else 0
        return _Accumulator(
            Haemodynamics(rest, rest, rest, rest),
            rest,
            jnp.zeros((scans,), state.clock.dt.dtype),
            jnp.zeros((*batch, scans, size), dtype),
            RunningComoments.start(tuple(batch), size, 1, dtype),
        )

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        dtype = accumulator.drive.dtype
        balloon = jax.tree.map(lambda leaf: leaf.astype(dtype), self._balloon)
        drive = self.readout(model, state).astype(dtype)
        interval = (self.every * state.clock.dt).astype(dtype)
        moved = balloon.step(accumulator.level, accumulator.drive, drive, interval)
        # Before the first record there is no drive to go on with.
        level = jax.tree.map(lambda x: jnp.where(record > 0, x, 0.0), moved)
        scan = record // self._stride
        time, value, moments = jax.lax.cond(
            record % self._stride == 0,
            lambda held: self._scanned(held, balloon.bold(level), state.time, scan),
            lambda held: held,
            (accumulator.time, accumulator.value, accumulator.moments),
        )
        return _Accumulator(level, drive, time, value, moments)

    def _scanned(self, held, bold: Array, now: Array, scan: Array):
        """The times, values and moments with one scan more."""
        time, value, moments = held
        if self.record:
            row = jnp.expand_dims(bold, -2)
            value = jax.lax.dynamic_update_slice_in_dim(value, row, scan, axis=-2)
            time = time.at[scan].set(now)
        included = jax.tree.map(
            lambda new, old: jnp.where(scan >= self.discard, new, old),
            moments.include(bold),
            moments,
        )
        return time, value, included

    def result(self, accumulator: _Accumulator, state: State) -> BoldResult:
        return BoldResult(accumulator.time, accumulator.value, *accumulator.moments.value())

    def recorded(self, result: BoldResult, records: int) -> BoldResult:
        scans = self._scans(records) if self.record else 0
        kept = result.value[..., :scans, :]
        return BoldResult(result.time[:scans], kept, result.count, result.mean, result.covariance)

    def merge(self, earlier: BoldResult, later: BoldResult) -> BoldResult:
        before, after = (Comoments(r.count, r.mean, r.covariance) for r in (earlier, later))
        return BoldResult(
            jnp.concatenate([earlier.time, later.time]),
            jnp.concatenate([earlier.value, later.value], axis=-2),
            *before.then(after),
        )

    def _scans(self, records: int) -> int:
        """How many of the records are scanned."""
        return -(-records // self._stride)
