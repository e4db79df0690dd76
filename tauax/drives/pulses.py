"""Kicks: sudden changes of the phase at given times."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_instance, check_numbers, check_per_oscillator, check_shape, fault
from tauax._types import FINITE, NONNEGATIVE, POSITIVE, TIMES, Phase, Torque, numeric
from tauax.clock import Moment
from tauax.drives.base import AbstractDrive, check_times, elapsed
from tauax.numerics import cycles
from tauax.numerics.fusion import product
from tauax.numerics.intervals import passed
from tauax.numerics.reduce import total
from tauax.responses import AbstractResponse

_TOLERANCE = 1e-3  # of a step: what is due within it is due now, so that rounding delays nothing


class PulseTrain(AbstractDrive):
    """Kicks θ → θ + ε·Z(θ) at the times start + k·period, k = 0, 1, …

    A kick happens at the start of the first step that begins at or after its time, exactly once.
    Between kicks nothing acts, so an uncoupled oscillator is the circle map
    θ → θ + ε·Z(θ) + ω·period (Glass and Mackey 1979, J. Math. Biol. 7:339).

    At most one kick fits in a step: with a period shorter than dt the phases become NaN, which the
    run reports. The times are not differentiable: kicks move from step to step.

    **Arguments:** `strength` ε, one number or one per oscillator; `period` in seconds, > 0;
    `response` Z, such as `PhaseResponse.type_one()`, or None for Z = 1; `start` in seconds, ≥ 0.

    **Raises:** `ValueError` for values that are not finite, a period ≤ 0 or a start < 0.
    """

    strength: Array = eqx.field(converter=numeric, metadata=FINITE)
    period: Array = eqx.field(converter=numeric, metadata=POSITIVE)
    response: AbstractResponse | None = None
    start: Array = eqx.field(converter=numeric, metadata=NONNEGATIVE, default=0.0)

    def __check_init__(self) -> None:
        check_numbers(self)
        if self.response is not None:
            fix = "pass tx.PhaseResponse.type_one(), or leave it out for kicks of one size"
            check_instance("response", self.response, AbstractResponse, fix)

    def __call__(self, phase: Phase, moment: Moment) -> Torque:
        return jnp.zeros_like(phase)

    def check(self, size: int) -> None:
        check_per_oscillator("PulseTrain.strength", self.strength, size)
        for name in ("period", "start"):
            fix = "give one number: pulse trains of several periods add, `a + b`"
            check_shape(f"PulseTrain.{name}", getattr(self, name), [()], fix)
        if self.response is not None:
            self.response.check(size)

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        due = self._due(moment)

        def kicked(phase: Phase) -> Phase:
            response = jnp.ones_like(phase) if self.response is None else self.response(phase)
            step = product(self.strength, response)
            return phase + jnp.where(due == 1, step, jnp.nan)

        return jax.lax.cond(due > 0, kicked, lambda phase: phase, phase)

    def _due(self, moment: Moment) -> Array:
        """How many kicks are due in the step: those up to its start, less those up to the last."""
        time = elapsed(moment, jnp.stack([moment.step - 1, moment.step]), self.start)
        early = _TOLERANCE * jnp.stack([moment.before, moment.dt])
        time = cycles.two_sum(time, (early, jnp.zeros_like(early)))
        count, _ = passed(time, cycles.nominal(self.period))
        before, upto = jnp.maximum(count + 1, 0)
        return jnp.where(moment.step == 0, upto, upto - before)


class Kicks(AbstractDrive):
    """Kicks θ_i → θ_i + size_i at given times.

    A kick happens at the start of the first step that begins at or after its time, exactly once.
    The times are not differentiable: kicks move from step to step. The sizes are.

    **Arguments:** `times`, `[event]`, seconds ≥ 0, in order; `sizes`, `[event]` or
    `[event, oscillator]`, radians.

    **Raises:** `ValueError` for times out of order, negative or not finite, and for sizes of
    another number.
    """

    times: Array = eqx.field(converter=numeric, metadata=TIMES)
    sizes: Array = eqx.field(converter=numeric, metadata=FINITE)

    def __check_init__(self) -> None:
        check_times("Kicks.times", self.times)
        check_numbers(self)
        if self.sizes.ndim not in (1, 2) or self.sizes.shape[0] != self.times.shape[0]:
            count = self.times.shape[0]
            raise fault(
                f"Kicks.sizes of shape {self.sizes.shape} for {count} times",
                f"shape ({count},) or ({count}, oscillators)",
                "give one row per time",
            )

    def __call__(self, phase: Phase, moment: Moment) -> Torque:
        return jnp.zeros_like(phase)

    def check(self, size: int) -> None:
        if self.sizes.ndim == 2 and self.sizes.shape[1] != size:
            raise fault(
                f"Kicks.sizes for {self.sizes.shape[1]} oscillators",
                f"{size} oscillators",
                "give shape (events,) or (events, oscillators)",
            )

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        due = moment.begins(self.times)

        def kicked(phase: Phase) -> Phase:
            # Events last, for a sum in a fixed order.
            return phase + total(jnp.where(due, self.sizes.T, 0.0))

        return jax.lax.cond(due.any(), kicked, lambda phase: phase, phase)
