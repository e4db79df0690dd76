"""How well phases are to keep step, with each other and with a rhythm."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax._checks import (
    check_count,
    check_instance,
    check_numbers,
    check_per_oscillator,
    check_shape,
)
from tauax._types import FINITE, Scalar, numeric
from tauax.losses.base import (
    AbstractLoss,
    check_matrix,
    check_range,
    checked_pairs,
    matched,
    triangle,
)
from tauax.monitors.base import AbstractMonitor, AbstractResult
from tauax.monitors.locking import PhaseLocking
from tauax.numerics.circular import length
from tauax.numerics.fusion import product, quotient
from tauax.numerics.running import compensated
from tauax.numerics.trig import sincos
from tauax.solution import Solution
from tauax.state import State


class PhaseLockingMatrix(AbstractLoss):
    """⟨(E |⟨e^{i(θ_j − θ_k)}⟩_t| − target_jk)²⟩ over the pairs j < k.

    **Arguments:** `target`, `[oscillator, oscillator]`, phase locking values in [0, 1], symmetric;
    `pairs`, of the same shape, which of them count, or None for all; `every`, as for every monitor.

    What is compared is the mean over members of each one's value over a run of this length, which
    for independent phases is 0.89/√(independent records), not 0: take the target from as long a
    record. Of that mean the paired square is right on average, value and gradient. The derivative
    is 0 where a value is 0.

    **Raises:** `ValueError` for values outside of [0, 1], or a matrix that is not symmetric or not
    of the model's size.
    """

    target: Array = eqx.field(converter=numeric, metadata=FINITE)
    pairs: Array | None = eqx.field(converter=checked_pairs, default=None)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_count("every", self.every, 1)
        check_range("PhaseLockingMatrix.target", self.target, 0.0, 1.0, "give |⟨e^{iδ}⟩|")
        check_matrix("PhaseLockingMatrix.target", self.target)
        if self.pairs is not None:
            check_shape("pairs", self.pairs, [self.target.shape], "say it of every two oscillators")

    def check(self, size: int) -> None:
        fix = "give a value for every two oscillators"
        check_shape("PhaseLockingMatrix.target", self.target, [(size, size)], fix)

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"locking": PhaseLocking(every=self.every)}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        found, name = solution.monitors["locking"].locking, "PhaseLockingMatrix"
        weights = triangle(found.shape[-1], self.pairs)
        return matched(name, found, self.target, solution, paired, least=2, weights=weights)


class Entrainment(AbstractLoss):
    """⟨(E |⟨e^{i(mθ_i − nΩt)}⟩_t| − target_i)²⟩ over oscillators: how well they follow a rhythm.

    **Arguments:** `target`, in [0, 1], one number or `[oscillator]`; `frequency` Ω in rad/s, one
    number or `[oscillator]`; `turns` n of the rhythm and `cycles` m of the oscillator, as in
    `tx.Tone`, whose phase does not count; `every`, as for every monitor. Ωt is exact over 10⁹
    steps.

    What is compared is the mean over members of each one's value over a run of this length, which
    for a phase that drifts or diffuses is above 0. Of that mean the paired square is right on
    average, value and gradient. The derivative is 0 where a value is 0.

    **Raises:** `ValueError` for values outside of [0, 1], or shapes that do not fit the model.
    """

    target: Array = eqx.field(converter=numeric, metadata=FINITE)
    frequency: Array = eqx.field(converter=numeric, metadata=FINITE)
    turns: int = eqx.field(static=True, default=1)
    cycles: int = eqx.field(static=True, default=1)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        for name in ("turns", "cycles", "every"):
            check_count(name, getattr(self, name), 1)
        check_numbers(self)
        check_range("Entrainment.target", self.target, 0.0, 1.0, "give |⟨e^{i(mθ − nΩt)}⟩|")

    def check(self, size: int) -> None:
        check_per_oscillator("Entrainment.target", self.target, size)
        check_per_oscillator("Entrainment.frequency", self.frequency, size)

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"rhythm": RhythmLocking(self.frequency, self.turns, self.cycles, self.every)}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        found = solution.monitors["rhythm"].locking
        return matched("Entrainment", found, self.target, solution, paired)


class RhythmLockingResult(AbstractResult):
    """Means over the records of a run, of δ_i = mθ_i − nΩt.

    **Attributes:** `count`, the number of records; `sin` and `cos`, `[*batch, oscillator]`.
    """

    count: Int[Array, ""]
    sin: Array
    cos: Array

    @property
    def locking(self) -> Array:
        """|⟨e^{iδ}⟩|, `[*batch, oscillator]`; NaN without a record."""
        return jnp.where(self.count > 0, length(self.sin, self.cos), jnp.nan)

    def statistics(self) -> dict[str, Array]:
        return {"locking": self.locking}


class RhythmLocking(AbstractMonitor):
    """⟨e^{i(mθ_i − nΩt)}⟩ over a run, of every oscillator.

    **Arguments:** as `Entrainment`; `after`, as for every monitor.
    """

    frequency: Array = eqx.field(converter=numeric, metadata=FINITE)
    turns: int = eqx.field(static=True, default=1)
    cycles: int = eqx.field(static=True, default=1)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_instance("every", self.every, int, "pass a number of steps")
        check_numbers(self)

    def init(self, model, state: State, records: int) -> tuple[Array, ...]:
        check_per_oscillator("frequency", self.frequency, state.phase.shape[-1])
        none = jnp.zeros_like(state.phase)
        return jnp.zeros((), jnp.int32), none, none, none, none

    def update(self, accumulator, model, state: State, record: Array) -> tuple[Array, ...]:
        count, sin, sin_low, cos, cos_low = accumulator
        angle = state.now.angle(self.frequency.astype(state.phase.dtype))
        ahead = sincos(product(state.phase, float(self.cycles)) - product(angle, float(self.turns)))
        sums = compensated(sin, sin_low, ahead[0]), compensated(cos, cos_low, ahead[1])
        return count + 1, *sums[0], *sums[1]

    def result(self, accumulator, state: State) -> RhythmLockingResult:
        count, sin, _, cos, _ = accumulator
        records = jnp.maximum(count, 1)
        return RhythmLockingResult(count, quotient(sin, records), quotient(cos, records))

    def merge(
        self, earlier: RhythmLockingResult, later: RhythmLockingResult
    ) -> RhythmLockingResult:
        count = earlier.count + later.count
        share = later.count / jnp.maximum(count, 1)
        return RhythmLockingResult(
            count,
            earlier.sin + (later.sin - earlier.sin) * share,
            earlier.cos + (later.cos - earlier.cos) * share,
        )
