"""How synchronous a run is to be."""

import equinox as eqx
from jaxtyping import Array

from tauax._checks import check_count, check_shape, fault
from tauax._types import FINITE, Scalar, numeric
from tauax.losses.base import AbstractLoss, check_range, matched
from tauax.monitors.base import AbstractMonitor
from tauax.monitors.moments import Moments
from tauax.monitors.trace import Trace
from tauax.readouts import coherence
from tauax.solution import Solution

_FIX = "give r = |⟨e^{iθ}⟩|, which is 1 for full synchrony; a percentage is to be divided by 100"


class OrderParameter(AbstractLoss):
    """(E r̄ − target)², r̄ the order parameter |⟨e^{iθ}⟩| of a member, averaged over the run.

    **Arguments:** `target`, in [0, 1], one number; `every`, as for every monitor.

    Paired, value and gradient are right on average for any number of members. N independent
    oscillators have r of about 0.89/√N, so a target below that cannot be met.

    **Raises:** `ValueError` for a target outside of [0, 1], or several.
    """

    target: Array = eqx.field(converter=numeric, metadata=FINITE)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_count("every", self.every, 1)
        check_range("OrderParameter.target", self.target, 0.0, 1.0, _FIX)
        fix = "give one number; a target for each record is tx.losses.OrderParameterCourse"
        check_shape("OrderParameter.target", self.target, [()], fix)

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"r": Moments(coherence, every=self.every)}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        found = solution.monitors["r"].mean
        return matched("OrderParameter", found, self.target, solution, paired)


class OrderParameterCourse(AbstractLoss):
    """⟨(E r(t) − target(t))²⟩ over the records: the order parameter as it is to rise and fall.

    **Arguments:** `target`, `[record]`, in [0, 1], at the steps 0, every, 2·every, … from the first
    that counts; `every`, their distance in steps.

    Paired, value and gradient are right on average for any number of members.

    **Raises:** `ValueError` for a target outside of [0, 1], or of another number of records than
    the run has.
    """

    target: Array = eqx.field(converter=numeric, metadata=FINITE)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_count("every", self.every, 1)
        check_range("OrderParameterCourse.target", self.target, 0.0, 1.0, _FIX)
        if self.target.ndim != 1 or self.target.size == 0:
            raise fault(
                f"OrderParameterCourse.target of shape {self.target.shape}",
                "one number per record, shape (records,)",
                "give r at every record; one number for the whole run is tx.losses.OrderParameter",
            )

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"r": Trace(coherence, every=self.every)}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        found = solution.monitors["r"].value
        return matched("OrderParameterCourse", found, self.target, solution, paired, least=1)
