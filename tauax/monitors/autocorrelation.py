"""How long a readout remembers."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax._checks import check_count, fault
from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.numerics.running import compensated, joined
from tauax.readouts import Readout
from tauax.state import State


class AutocorrelationResult(AbstractResult):
    """Covariances at some lags over the records of a run.

    **Attributes:** `count`, the number of records; `mean`, `[*batch, ...]`; `products`,
    `[*batch, ..., lag]`, Σ (xₙ − mean)(xₙ₊ₖ − mean) over the pairs of each lag; `squares`, the same
    at lag 0; `head` and `tail`, `[*batch, ..., record]`, the first records from the left and the
    last up to the right, 0 where the run had none; `lags`, in records.
    """

    count: Int[Array, ""]
    mean: Array
    products: Array
    squares: Array
    head: Array
    tail: Array
    lags: tuple[int, ...] = eqx.field(static=True)

    @property
    def covariance(self) -> Array:
        """Σ (xₙ − mean)(xₙ₊ₖ − mean) / (count − k), `[*batch, ..., lag]`; NaN without a pair."""
        return self.products / _pairs(self.count, self.lags)

    @property
    def correlation(self) -> Array:
        """The covariance over the population variance; NaN where that is 0."""
        return self.covariance / (self.squares / self.count)[..., None]

    def statistics(self) -> dict[str, Array]:
        return {"correlation": self.correlation, "covariance": self.covariance, "mean": self.mean}

    def axes(self) -> dict[str, tuple[str, ...]]:
        return {"correlation": ("lag",), "covariance": ("lag",)}

    def coordinates(self) -> dict[str, Array]:
        return {"lag": jnp.asarray(self.lags)}


class _Accumulator(eqx.Module):
    """Sums of y = x − reference, so that a large mean costs no digits.

    `head` and `ring` are `[*batch, record, ...]`: a record is written in one piece.
    """

    count: Int[Array, ""]
    reference: Array
    total: tuple[Array, Array]
    squares: tuple[Array, Array]
    products: tuple[Array, Array]
    head: Array
    ring: Array


def _lags(lags) -> tuple[int, ...]:
    """Lags as Python integers."""
    try:
        found = tuple(lags)
    except TypeError:
        found = ()
    if not found:
        raise fault(
            f"lags={lags!r}", "a sequence of numbers of records", "pass for example lags=(1, 2, 4)"
        )
    return tuple(check_count("lag", lag, 0) for lag in found)


class Autocorrelation(AbstractMonitor):
    """Autocovariance and autocorrelation of a readout at given lags, component by component.

    Over T records x₀ … x_{T−1} with mean m over all of them, at a lag of k records,

        covariance(k) = Σ_{n < T−k} (xₙ − m)(xₙ₊ₖ − m) / (T − k),

    and correlation(k) is that over covariance(0), the population variance. Each pair counts once,
    so the divisor does not pull long lags to 0; the mean, estimated from the same run, lowers every
    covariance by about the variance of m. The mean of a phase depends on where the circle was cut:
    read its sine and cosine.

    **Arguments:** `readout`; `lags`, in records (k·every·dt seconds), whole numbers ≥ 0; `every`
    and `after`, as for every monitor.

    **Result:** `AutocorrelationResult` with `.correlation` and `.covariance` `[*batch, ..., lag]`,
    `.mean` and `.count`.

    Memory is that of a few times max(lags) records, whatever the length of the run. Pairs that span
    two merged runs are counted, so a run in pieces gives what it gives in one.

    **Raises:** `ValueError` or `TypeError` for lags that are not such numbers.
    """

    readout: Readout = eqx.field(static=True)
    lags: tuple[int, ...] = eqx.field(static=True, converter=_lags)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        check_readout(self, self.readout)

    @property
    def _depth(self) -> int:
        """How many records are kept at either end."""
        return max(1, *self.lags)

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape, dtype = real_numbers(self.readout, model, state)
        batch, own = shape[: len(state.axes)], shape[len(state.axes) :]
        count, zeros = jnp.zeros((), jnp.int32), jnp.zeros(shape, dtype)
        products = jnp.zeros((*batch, len(self.lags), *own), dtype)
        kept = jnp.zeros((*batch, self._depth + 1, *own), dtype)
        pair = (zeros, zeros)
        return _Accumulator(count, zeros, pair, pair, (products, products), kept, kept)

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        axis, count, depth = len(state.axes), accumulator.count, self._depth
        value = self.readout(model, state).astype(accumulator.reference.dtype)
        reference = jnp.where(count == 0, value, accumulator.reference)
        value = value - reference
        row, lags = jnp.expand_dims(value, axis), jnp.asarray(self.lags)
        write = jax.lax.dynamic_update_index_in_dim
        # Written before it is read, and a head that is full goes on in a row that no one reads:
        # otherwise XLA copies both at every record.
        ring = write(accumulator.ring, row, count % (depth + 1), axis)
        head = write(accumulator.head, row, jnp.minimum(count, depth), axis)
        partners = jnp.take(ring, (count - lags) % (depth + 1), axis, mode="clip")
        known = jnp.expand_dims(lags <= count, tuple(range(1, row.ndim - axis)))
        return _Accumulator(
            count + 1,
            reference,
            compensated(*accumulator.total, value),
            compensated(*accumulator.squares, value**2),
            compensated(*accumulator.products, jnp.where(known, partners * row, 0.0)),
            head,
            ring,
        )

    def result(self, accumulator: _Accumulator, state: State) -> AutocorrelationResult:
        axis, count, depth = len(state.axes), accumulator.count, self._depth
        head = jnp.moveaxis(accumulator.head, axis, -1)[..., :depth]
        ring = jnp.moveaxis(accumulator.ring, axis, -1)
        order = (count - depth + jnp.arange(depth)) % (depth + 1)
        tail = jnp.take(ring, order, -1, mode="clip")
        products = jnp.moveaxis(accumulator.products[0], axis, -1)
        total, reference = accumulator.total[0], accumulator.reference
        mean = total / jnp.maximum(count, 1)
        # Over the first of each pair and over the second: all records but the last or first k.
        sums = 2.0 * total[..., None] - _outer(head, tail, self.lags)
        held = _held(depth, count)
        return AutocorrelationResult(
            count,
            jnp.where(count > 0, reference + mean, jnp.nan),
            _shifted(products, sums, _pairs(count, self.lags), -mean),
            accumulator.squares[0] - total * mean,
            jnp.where(held, head + reference[..., None], 0.0),
            jnp.where(held[::-1], tail + reference[..., None], 0.0),
            self.lags,
        )

    def merge(
        self, earlier: AutocorrelationResult, later: AutocorrelationResult
    ) -> AutocorrelationResult:
        return _merged(earlier, later)


@jax.jit
def _merged(earlier: AutocorrelationResult, later: AutocorrelationResult) -> AutocorrelationResult:
    count, mean, squares = joined(*((run.count, run.mean, run.squares) for run in (earlier, later)))
    depth = earlier.head.shape[-1]
    before, after = _held(depth, earlier.count), _held(depth, later.count)
    products = _about(earlier, mean) + _about(later, mean)
    centre = mean[..., None]
    spanning = _spanning(
        jnp.where(before[::-1], earlier.tail - centre, 0.0),
        jnp.where(after, later.head - centre, 0.0),
        earlier.lags,
    )
    head = jnp.where(before, earlier.head, jnp.roll(later.head, earlier.count, -1))
    tail = jnp.where(after[::-1], later.tail, jnp.roll(earlier.tail, -later.count, -1))
    products = products + spanning
    return AutocorrelationResult(count, mean, products, squares, head, tail, earlier.lags)


def _about(run: AutocorrelationResult, mean: Array) -> Array:
    """The sums of products of one run about another mean than its own."""
    own = jnp.where(run.count > 0, run.mean, 0.0)
    held = _held(run.head.shape[-1], run.count)
    head = jnp.where(held, run.head - own[..., None], 0.0)
    tail = jnp.where(held[::-1], run.tail - own[..., None], 0.0)
    # About its own mean the sum over all records is 0.
    sums = -_outer(head, tail, run.lags)
    moved = jnp.where(run.count > 0, own - mean, 0.0)
    return _shifted(run.products, sums, _pairs(run.count, run.lags), moved)


def _shifted(products: Array, sums: Array, pairs: Array, by: Array) -> Array:
    """Σ (a + by)(b + by) over pairs (a, b) from Σ ab and Σ (a + b); exactly 0 without a pair."""
    by = by[..., None]
    return jnp.where(pairs > 0, products + by * sums + pairs * by**2, 0.0)


def _outer(head: Array, tail: Array, lags: tuple[int, ...]) -> Array:
    """The sum of the first k and the last k records, for each lag k."""
    both = jnp.cumsum(head + tail[..., ::-1], axis=-1)
    both = jnp.pad(both, [(0, 0)] * (both.ndim - 1) + [(1, 0)])
    return both[..., jnp.asarray(lags)]


def _spanning(tail: Array, head: Array, lags: tuple[int, ...]) -> Array:
    """Σ over the pairs of which the first is in `tail` and the second, k records on, in `head`."""
    depth = head.shape[-1]
    padded = jnp.concatenate([tail, jnp.zeros_like(head)], axis=-1)

    def at_lag(lag: Array) -> Array:
        start = depth - lag
        return (jax.lax.dynamic_slice_in_dim(padded, start, depth, axis=-1) * head).sum(axis=-1)

    return jnp.moveaxis(jax.lax.map(at_lag, jnp.asarray(lags)), 0, -1)


def _held(depth: int, count: Array) -> Array:
    """Which places of a head hold a record, `[record]`; of a tail, from the right."""
    return jnp.arange(depth) < count


def _pairs(count: Array, lags: tuple[int, ...]) -> Array:
    return jnp.maximum(count - jnp.asarray(lags), 0)
