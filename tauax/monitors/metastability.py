"""How much communities of oscillators gather and part in time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from tauax._checks import check_count, check_shape, fault, is_concrete
from tauax.monitors.base import AbstractMonitor, AbstractResult
from tauax.numerics.circular import length
from tauax.numerics.reduce import mean, total, weighted_totals
from tauax.numerics.running import Running, deviation, joined
from tauax.numerics.trig import sincos_wrapped
from tauax.state import State


class MetastabilityResult(AbstractResult):
    """Order parameters of communities over the records of a run.

    **Attributes:** `count`, the number of records; `mean`, `[*batch, community]`, and `squares`,
    Σ (r − mean)², of the order parameter r of each; `spread`, `[*batch]`, the mean in time of the
    variance of r over communities.
    """

    count: Int[Array, ""]
    mean: Array
    squares: Array
    spread: Array

    @property
    def std(self) -> Array:
        """The standard deviation in time of each, `[*batch, community]`; divisor records − 1."""
        return deviation(self._variance())

    @property
    def metastability(self) -> Array:
        """The mean over communities of the variance in time, `[*batch]`; divisor records − 1."""
        return self._variance().mean(axis=-1)

    @property
    def chimera(self) -> Array:
        """The mean in time of the variance over communities, `[*batch]`; divisor communities − 1.

        NaN with one community.
        """
        return self.spread

    def _variance(self) -> Array:
        return self.squares / jnp.where(self.count > 1, self.count - 1.0, jnp.nan)

    def statistics(self) -> dict[str, Array]:
        return {
            "metastability": self.metastability,
            "chimera": self.chimera,
            "mean": self.mean,
            "std": self.std,
        }

    def axes(self) -> dict[str, tuple[str, ...]]:
        return {"mean": ("community",), "std": ("community",)}

    def coordinates(self) -> dict[str, Array]:
        return {"community": jnp.arange(self.mean.shape[-1])}


class Metastability(AbstractMonitor):
    """Metastability and chimera index of communities of oscillators.

    With r_c(t) the order parameter of the oscillators of community c, of which there are M,

        metastability = ⟨ Σ_t (r_c(t) − r̄_c)² / (T − 1) ⟩ over communities,
        chimera index = ⟨ Σ_c (r_c(t) − ⟨r(t)⟩)² / (M − 1) ⟩ over the T records

    (Shanahan 2010, Chaos 20, 013108). The first is 0 for communities that stay as they are, and
    large where they keep gathering and parting; the second is large where some are gathered while
    others are not.

    **Arguments:** `groups`, the community of each oscillator, `[oscillator]`, integers from 0 on
    with none left out, or None for one community of all; `every` and `after`, as for every monitor;
    `communities`, M, which is counted unless `groups` is traced.

    **Result:** `MetastabilityResult` with `.metastability`, `.chimera`, and `.mean` and `.std` of
    each community.

    **Raises:** `ValueError` or `TypeError` for labels that are not such integers, or not one per
    oscillator of the model.
    """

    groups: Array | None
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)
    communities: int = eqx.field(static=True, default=1)

    def __init__(self, groups=None, every: int = 1, after: int = 0, communities: int | None = None):
        self.groups = None if groups is None else _labels(groups)
        self.every, self.after = every, after
        self.communities = _communities(self.groups, communities)

    def init(self, model, state: State, records: int) -> tuple[Running, Running]:
        if self.groups is not None:
            fix = "give the label of each oscillator"
            check_shape("groups", self.groups, [(model.size,)], fix)
        batch, dtype = state.phase.shape[:-1], state.phase.dtype
        return Running.start((*batch, self.communities), dtype), Running.start(batch, dtype)

    def update(
        self, accumulator: tuple[Running, Running], model, state: State, record: Array
    ) -> tuple[Running, Running]:
        coherence, spread = accumulator
        value = self._coherence(state.phase)
        centred = value - mean(value)[..., None]
        variance = total(centred**2) / max(self.communities - 1, 1)
        return coherence.include(value), spread.include(variance)

    def _coherence(self, phase: Array) -> Array:
        """The order parameter of each community, `[*batch, community]`."""
        groups = jnp.zeros(phase.shape[-1], jnp.int32) if self.groups is None else self.groups
        belongs = (groups[:, None] == jnp.arange(self.communities)).astype(phase.dtype)
        share = belongs / belongs.sum(axis=0)
        means = (weighted_totals(share.T, part) for part in sincos_wrapped(phase))
        return length(*means)

    def result(self, accumulator: tuple[Running, Running], state: State) -> MetastabilityResult:
        coherence, spread = accumulator
        count = coherence.count
        known = (count > 0) & (self.communities > 1)
        return MetastabilityResult(
            count,
            jnp.where(count > 0, coherence.mean, jnp.nan),
            coherence.squares,
            jnp.where(known, spread.mean, jnp.nan),
        )

    def merge(
        self, earlier: MetastabilityResult, later: MetastabilityResult
    ) -> MetastabilityResult:
        coherence = joined(*((run.count, run.mean, run.squares) for run in (earlier, later)))
        runs = ((run.count, run.spread, jnp.zeros_like(run.spread)) for run in (earlier, later))
        _, spread, _ = joined(*runs)
        return MetastabilityResult(*coherence, spread)


def _labels(groups) -> Array:
    """Integer labels as an array."""
    labels = groups if isinstance(groups, jax.Array) else np.asarray(groups)
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise fault(
            f"groups of shape {labels.shape} and dtype {labels.dtype}",
            "one integer per oscillator",
            "number the communities from 0: groups=[0, 0, 1, 1]",
            TypeError,
        )
    return jnp.asarray(labels, jnp.int32)


def _communities(groups: Array | None, communities: int | None) -> int:
    """How many communities the labels stand for."""
    if groups is None:
        return 1
    if not is_concrete(groups):
        if communities is None:
            raise fault(
                "traced groups alone",
                "their number too",
                "pass communities=..., which sets array sizes",
            )
        return check_count("communities", communities, 1)
    found = np.unique(np.asarray(groups))
    number = len(found) if communities is None else check_count("communities", communities, 1)
    if not np.array_equal(found, np.arange(number)):
        raise fault(
            f"groups with the labels {found.tolist()}",
            f"every one of 0 to {number - 1}",
            "number them anew: np.unique(groups, return_inverse=True)[1]",
        )
    return number
