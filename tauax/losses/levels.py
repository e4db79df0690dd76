"""How much, how often and how long a readout is to be at each of some levels."""

from itertools import pairwise

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from tauax._checks import check_numbers, fault, is_concrete
from tauax._types import NONNEGATIVE, POSITIVE, Scalar, numeric
from tauax.losses.base import AbstractLoss, check_range, matched
from tauax.monitors import occupancy
from tauax.monitors.base import (
    AbstractMonitor,
    AbstractResult,
    check_readout,
    checked_codes,
    real_numbers,
)
from tauax.numerics.fusion import product, quotient
from tauax.numerics.running import compensated
from tauax.readouts import Readout, anchor
from tauax.solution import Solution
from tauax.state import State

CODES = (-1.0, 0.0, 1.0)


class Occupancy(AbstractLoss):
    """⟨(E f_c − target_c)²⟩ over codes c, f_c the share of a run that a readout spends at c.

    **Arguments:** `target`, `[code]` or `[..., code]` for the components of the readout, shares of
    sum 1; `readout`, such as `tx.anchor` of soft thresholds; `codes` and `every`, as in
    `tx.Occupancy`.

    Paired, value and gradient are right on average for any number of members. A readout of whole
    codes has no derivative: the loss can be evaluated, and its gradient raises.

    **Raises:** `ValueError` for shares that are negative or not of sum 1, or one too many.
    """

    target: Array = eqx.field(converter=numeric, metadata=NONNEGATIVE)
    readout: Readout = eqx.field(static=True, default=anchor)
    codes: tuple[float, ...] = eqx.field(static=True, converter=checked_codes, default=CODES)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_numbers(self)
        self.monitors()
        _check_last("Occupancy", self.target, self.codes)
        check_range("Occupancy.target", self.target, 0.0, 1.0, "divide percentages by 100")
        if is_concrete(self.target):
            sums = np.asarray(self.target, np.float64).sum(axis=-1)
            worst = float(np.ravel(sums)[np.argmax(np.abs(np.ravel(sums) - 1.0))])
            if abs(worst - 1.0) > 1e-3:
                fix = "divide them by their sum"
                raise fault(f"Occupancy.target of sum {worst:g}", "shares of sum 1", fix)

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"share": occupancy.Occupancy(self.readout, self.codes, every=self.every)}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        found = solution.monitors["share"].fraction
        return matched("Occupancy", found, self.target, solution, paired, least=1)


class TransitionRate(AbstractLoss):
    """⟨(E ν_k − target_k)²⟩ over the limits k between two codes, ν_k how often one is passed, 1/s.

    Both directions count, and a jump over two limits passes both. With u_k, how far a value is on
    the way from code k to the next, in [0, 1], ν_k = Σ |Δu_k| / duration: whole passages are
    counted, and one that turns back halfway by how far it came. So it does not grow where a soft
    readout stays in between, and has a derivative through such passages and those that an end of
    the run cuts; with fewer than some of them among all members the gradient is mostly noise.

    **Arguments:** `target`, `[limit]` or `[..., limit]`, or one number for their sum, 1/s;
    `readout`, `codes` and `every`, as in `Occupancy`.

    Paired, value and gradient are right on average for any number of members. A readout of whole
    codes has no derivative: the loss can be evaluated, and its gradient raises.

    **Raises:** `ValueError` for negative rates, or a shape that does not fit the codes.
    """

    target: Array = eqx.field(converter=numeric, metadata=NONNEGATIVE)
    readout: Readout = eqx.field(static=True, default=anchor)
    codes: tuple[float, ...] = eqx.field(static=True, converter=checked_codes, default=CODES)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_numbers(self)
        self.monitors()
        if self.target.ndim:
            _check_last("TransitionRate", self.target, self.codes[1:])

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"passages": Passages(self.readout, self.codes, self.every)}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        found = solution.monitors["passages"].rate
        if self.target.ndim == 0:
            found = found.sum(axis=-1)
        least = min(self.target.ndim, 1)
        return matched("TransitionRate", found, self.target, solution, paired, least)


class DwellTimes(AbstractLoss):
    """⟨(E f_c − target_c · E ν_c)²⟩ over codes c: how long the visits to a code last on average.

    f_c is the share of the run spent at c, and ν_c = ½ Σ |Δp_c| / duration the visits per second, p
    the membership of `tx.Occupancy`; a visit that an end of the run cuts counts as half of one. So
    E f_c / E ν_c is the mean dwell, without a preference for the short ones that fit into a run,
    and the loss is (E f_c)² (1 − target_c/dwell_c)². A level that is never visited costs nothing:
    add `Occupancy` for that.

    **Arguments:** `target`, `[code]` or `[..., code]`, mean dwells in seconds, > 0; `readout`,
    `codes` and `every`, as in `Occupancy`.

    There is no ratio in it, so paired, value and gradient are right on average for any number of
    members. A readout of whole codes has no derivative: the loss can be evaluated, and its gradient
    raises.

    **Raises:** `ValueError` for dwells that are not positive, or a shape that does not fit.
    """

    target: Array = eqx.field(converter=numeric, metadata=POSITIVE)
    readout: Readout = eqx.field(static=True, default=anchor)
    codes: tuple[float, ...] = eqx.field(static=True, converter=checked_codes, default=CODES)
    every: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_numbers(self)
        self.monitors()
        _check_last("DwellTimes", self.target, self.codes)

    def monitors(self) -> dict[str, AbstractMonitor]:
        return {"passages": Passages(self.readout, self.codes, self.every)}

    def __call__(self, solution: Solution, paired: bool) -> Scalar:
        found = solution.monitors["passages"]
        share, zero = found.share, jnp.zeros_like(self.target)
        matched("DwellTimes", share, self.target, solution, False, least=1)  # its shapes
        apart = share - self.target.astype(share.dtype) * found.visits
        return matched("DwellTimes", apart, zero, solution, paired, least=1)


class PassagesResult(AbstractResult):
    """How a readout moved between codes.

    **Attributes:** `count`, the number of records; `interval`, seconds from one to the next;
    `total`, `[*batch, ..., code]`, the sum of memberships; `turnover`, likewise, that of their
    changes; `passed`, `[*batch, ..., limit]`; `first` and `last`, the ways at both ends.
    """

    count: Int[Array, ""]
    interval: Scalar
    total: Array
    turnover: Array
    passed: Array
    first: Array
    last: Array

    @property
    def share(self) -> Array:
        """The share of the records at each code, `[*batch, ..., code]`; NaN without a record."""
        return self.total / self.count

    @property
    def visits(self) -> Array:
        """Visits to each code per second, `[*batch, ..., code]`; NaN for one record."""
        return 0.5 * self.turnover / self._duration

    @property
    def rate(self) -> Array:
        """Passages of each limit per second, `[*batch, ..., limit]`; NaN as `visits`."""
        return self.passed / self._duration

    @property
    def _duration(self) -> Array:
        steps = self.count - 1
        return jnp.where(steps > 0, steps * self.interval, jnp.nan)

    def statistics(self) -> dict[str, Array]:
        return {"share": self.share, "visits": self.visits, "rate": self.rate}

    def axes(self) -> dict[str, tuple[str, ...]]:
        return {"share": ("code",), "visits": ("code",), "rate": ("limit",)}


class _Accumulator(eqx.Module):
    """As the result, the sums in two words."""

    count: Int[Array, ""]
    total: tuple[Array, Array]
    turnover: tuple[Array, Array]
    passed: tuple[Array, Array]
    first: Array
    last: Array


class Passages(AbstractMonitor):
    """How often a readout passes the limits between some codes, with a derivative if it is soft.

    The smooth twin of `tx.Transitions`: changes count in proportion, as in `TransitionRate`.

    **Arguments:** as `TransitionRate`; `after`, as for every monitor.
    """

    readout: Readout = eqx.field(static=True)
    codes: tuple[float, ...] = eqx.field(static=True, converter=checked_codes, default=CODES)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape, dtype = real_numbers(self.readout, model, state)
        codes = jnp.zeros((*shape, len(self.codes)), dtype)
        limits = codes[..., 1:]
        shares, passed = (codes, codes), (limits, limits)
        count = jnp.zeros((), jnp.int32)
        return _Accumulator(count, shares, shares, passed, limits, limits)

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        begins = accumulator.count == 0
        value = self.readout(model, state).astype(accumulator.last.dtype)
        ways = self._ways(value)
        before = jnp.where(begins, ways, accumulator.last)
        shares = _memberships(ways)
        return _Accumulator(
            accumulator.count + 1,
            compensated(*accumulator.total, shares),
            compensated(*accumulator.turnover, jnp.abs(shares - _memberships(before))),
            compensated(*accumulator.passed, jnp.abs(ways - before)),
            jnp.where(begins, ways, accumulator.first),
            ways,
        )

    def _ways(self, value: Array) -> Array:
        """How far a value is on the way from each code to the next, `[..., limit]`."""
        gap = self.codes[1] - self.codes[0]
        ways = jnp.stack([quotient(value - code, gap) for code in self.codes[:-1]], axis=-1)
        # Not a clamp, whose derivative at either end is that of one side.
        return jnp.minimum(jnp.maximum(ways, 0.0), 1.0)

    def result(self, accumulator: _Accumulator, state: State) -> PassagesResult:
        return PassagesResult(
            accumulator.count,
            product(state.clock.dt, float(self.every)),
            accumulator.total[0],
            accumulator.turnover[0],
            accumulator.passed[0],
            accumulator.first,
            accumulator.last,
        )

    def merge(self, earlier: PassagesResult, later: PassagesResult) -> PassagesResult:
        """As one run of one dt; the change between the two counts."""
        before, after = earlier.count > 0, later.count > 0
        both = before & after
        between = jnp.where(both, jnp.abs(later.first - earlier.last), 0.0)
        shares = (_memberships(x) for x in (later.first, earlier.last))
        turned = jnp.where(both, jnp.abs(next(shares) - next(shares)), 0.0)
        return PassagesResult(
            earlier.count + later.count,
            later.interval,
            earlier.total + later.total,
            earlier.turnover + later.turnover + turned,
            earlier.passed + later.passed + between,
            jnp.where(before, earlier.first, later.first),
            jnp.where(after, later.last, earlier.last),
        )


def _memberships(ways: Array) -> Array:
    """How much a value belongs to each code, `[..., code]`."""
    ends = [jnp.ones_like(ways[..., 0]), *jnp.moveaxis(ways, -1, 0), jnp.zeros_like(ways[..., 0])]
    return jnp.stack([left - right for left, right in pairwise(ends)], axis=-1)


def _check_last(name: str, target: Array, wanted: tuple[float, ...]) -> None:
    """Raise unless the last axis of a target has as many entries as there are."""
    if target.ndim == 0 or target.shape[-1] != len(wanted):
        raise fault(
            f"{name}.target of shape {target.shape}",
            f"shape ({len(wanted)},), or (..., {len(wanted)})",
            f"give one number for each of {len(wanted)}, and codes= if there are others",
        )
