"""Mean and covariance matrix in time: functional connectivity."""

import equinox as eqx
from jaxtyping import Array, Int

from tauax._checks import check_count, fault
from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.numerics.comoments import Comoments, RunningComoments, correlation
from tauax.readouts import Readout
from tauax.state import State


class CovarianceResult(AbstractResult):
    """Moments of a vector over the records of a run; NaN without a record.

    **Attributes:** `count`, the number of records; `mean`, `[*batch, component]`; `covariance`, of
    the population, Σ (x − mean)(x − mean)ᵀ / count, `[*batch, component, component]`.
    """

    count: Int[Array, ""]
    mean: Array
    covariance: Array

    @property
    def correlation(self) -> Array:
        """Pearson's correlation of every two components, `[*batch, component, component]`.

        A component that does not vary has correlation 0, with derivative 0, to all and to itself.
        """
        return correlation(self.covariance)

    def statistics(self) -> dict[str, Array]:
        return {
            "mean": self.mean,
            "covariance": self.covariance,
            "correlation": self.correlation,
        }

    def axes(self) -> dict[str, tuple[str, ...]]:
        return {"covariance": ("partner",), "correlation": ("partner",)}


class Covariance(AbstractMonitor):
    """Mean and covariance matrix in time of a vector, such as one number per oscillator.

    **Arguments:** `readout`, a vector per member; `every` and `after`, as for every monitor;
    `block`, how many records are kept and then folded in by one matrix product.

    **Result:** `CovarianceResult` with `.mean` `[*batch, component]`, `.covariance` and
    `.correlation` `[*batch, component, component]`, and `.count`.

    Memory does not grow with the run. Deviations are taken from the running mean (Welford 1962) and
    that is compensated (Kahan 1965), so 10⁶ records in float32 keep their digits beside a large
    mean. Two runs merge by the formula of Chan, Golub & LeVeque (1979).

    **Raises:** `ValueError` or `TypeError` for a readout that is not a real vector.
    """

    readout: Readout = eqx.field(static=True)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)
    block: int = eqx.field(static=True, default=64)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)
        check_count("block", self.block, 1)

    def init(self, model, state: State, records: int) -> RunningComoments:
        shape, dtype = real_numbers(self.readout, model, state)
        if len(shape) != len(state.axes) + 1:
            raise fault(
                f"a readout of shape {shape[len(state.axes) :]} per member",
                "a vector",
                "monitor a number with tx.Moments, or flatten an array to a vector",
            )
        block = min(self.block, max(records, 1))
        return RunningComoments.start(shape[:-1], shape[-1], block, dtype)

    def update(
        self, accumulator: RunningComoments, model, state: State, record: Array
    ) -> RunningComoments:
        return accumulator.include(self.readout(model, state).astype(accumulator.mean.dtype))

    def result(self, accumulator: RunningComoments, state: State) -> CovarianceResult:
        return CovarianceResult(*accumulator.value())

    def merge(self, earlier: CovarianceResult, later: CovarianceResult) -> CovarianceResult:
        before, after = (Comoments(r.count, r.mean, r.covariance) for r in (earlier, later))
        return CovarianceResult(*before.then(after))
