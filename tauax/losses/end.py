"""Where the phases are to be at the end."""

import equinox as eqx
import numpy as np
from jaxtyping import Array

from tauax._checks import check_instance, check_numbers, check_shape, fault, is_concrete
from tauax._types import FINITE, Scalar, numeric
from tauax.losses.base import AbstractLoss
from tauax.monitors.base import AbstractMonitor
from tauax.numerics.circular import direction
from tauax.numerics.reduce import mean
from tauax.numerics.trig import sincos
from tauax.solution import Solution

_LONGEST = 3.1415930  # π in float32 lies above π


class EndState(AbstractLoss):
    """E [1 − ⟨cos(θ_i − target_i)⟩] over oscillators at the end of a run: 0 there, 2 opposite.

    With `rotation`, E [1 − |⟨e^{i(θ_i − target_i)}⟩|]: whatever common angle turns one into the
    other does not count.

    **Arguments:** `target`, `[oscillator]`, radians in [−π, π]; `rotation`, True or False.

    A mean over members, not the square of one: right on average for one member too. The
    derivative is 0 where all phases are opposite to the target.

    **Raises:** `ValueError` for a target that is not finite, not of the model's size, or beyond π.
    """

    target: Array = eqx.field(converter=numeric, metadata=FINITE)
    rotation: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check_instance("rotation", self.rotation, bool, "pass True or False")
        check_numbers(self)
        if is_concrete(self.target) and self.target.size:
            largest = float(np.abs(np.asarray(self.target)).max())
            if largest > _LONGEST:
                raise fault(
                    f"EndState.target with {largest:g}",
                    "radians in [−π, π]",
                    "convert degrees by np.deg2rad(x), and take unwrapped phases or those in "
                    "[0, 2π) modulo 2π by np.angle(np.exp(1j * x))",
                )

    def check(self, size: int) -> None:
        check_shape("EndState.target", self.target, [(size,)], "give one phase per oscillator")

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        phase = solution.state.phase
        self.check(phase.shape[-1])
        difference = phase - self.target.astype(phase.dtype)
        if self.rotation:
            sin, cos = sincos(difference)
            difference = difference - direction(mean(sin), mean(cos))[..., None]
        # 1 − cos x = 2 sin² ½x, which keeps the digits of small angles.
        sin, _ = sincos(0.5 * difference)
        return 2.0 * mean(sin * sin).mean()
