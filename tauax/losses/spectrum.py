"""How strong a signal is to oscillate, and at which frequencies."""

from typing import Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_domain, check_instance, check_numbers, fault
from tauax._types import NONNEGATIVE, Scalar, numeric
from tauax.losses.base import (
    AbstractLoss,
    check_target,
    jackknifed,
    matched,
)
from tauax.monitors.band_power import BandPower
from tauax.monitors.base import AbstractMonitor
from tauax.solution import Solution

Parts = Literal["bands", "bins"]


class Spectrum(AbstractLoss):
    """⟨(E P_k − target_k)²⟩, or ⟨(ln E P_k − ln target_k)²⟩, over bands or bins of frequency.

    **Arguments:** `target`, `[band]` or `[..., band]` for the components of the readout, power in
    squared units of the readout; `source`, `tx.BandPower(readout, bands, window, ...)`; `parts`,
    whether the target is of its `"bands"` or of all its `"bins"`, `[frequency]`; `logarithmic`,
    whether logarithms are compared, so that weak bands count as much as strong ones.

    Paired, value and gradient of the plain difference are right on average for any number of
    members. A logarithm is not linear: paired, the jackknife (Quenouille 1956) takes off the bias
    of the order 1/M for M members, and what is left falls like 1/M². Few members whose powers
    scatter widely leave much: take a longer run or a dozen of them. A power of 0 counts as the
    smallest normal number, with derivative 0.

    **Raises:** `ValueError` for negative powers, powers of 0 to be taken the logarithm of, or a
    shape that does not fit the bands; `TypeError` for another source.
    """

    target: Array = eqx.field(converter=numeric, metadata=NONNEGATIVE)
    source: BandPower
    parts: Parts = eqx.field(static=True, default="bands")
    logarithmic: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        fix = 'pass tx.BandPower(readout, {"alpha": (8.0, 12.0)}, window=500)'
        check_instance("source", self.source, BandPower, fix)
        check_instance("logarithmic", self.logarithmic, bool, "pass True or False")
        check_numbers(self)
        if self.parts not in get_args(Parts):
            expected = f"one of {', '.join(get_args(Parts))}"
            raise fault(f"parts={self.parts!r}", expected, 'leave it out for "bands"')
        if self.logarithmic:
            check_domain("Spectrum.target", self.target, "positive")

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"power": self.source}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        result = solution.monitors["power"]
        found = result.power if self.parts == "bands" else result.spectrum
        if not self.logarithmic:
            return matched("Spectrum", found, self.target, solution, paired, least=1)
        own = found.shape[len(solution.state.axes) :]
        check_target("Spectrum", self.target, own, least=1)
        target = jnp.log(self.target.astype(found.dtype))
        parts = tuple(range(-len(own), 0))

        def apart(mean: Array) -> Array:
            power = jnp.where(mean == 0, jnp.finfo(mean.dtype).tiny, mean)  # NaN stays NaN
            return ((jnp.log(power) - target) ** 2).mean(axis=parts)

        return jackknifed(apart, found, solution, paired).mean()
