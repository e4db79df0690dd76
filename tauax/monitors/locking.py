"""How well the phases of every two oscillators keep step."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from tauax._checks import check_count
from tauax.monitors.base import AbstractMonitor, AbstractResult
from tauax.numerics.blocks import BlockMean
from tauax.numerics.circular import direction, length
from tauax.numerics.trig import sincos, sincos_wrapped
from tauax.state import State


class PhaseLockingResult(AbstractResult):
    """Means over the records of a run, of the phase difference δ_jk = n·θ_j − m·θ_k.

    **Attributes:** `count`, the number of records N; `sin` and `cos`, ⟨sin δ_jk⟩ and ⟨cos δ_jk⟩,
    `[*batch, oscillator, oscillator]`, 0 without a record.
    """

    count: Int[Array, ""]
    sin: Array
    cos: Array

    @property
    def locking(self) -> Array:
        """The phase locking value |⟨e^{iδ}⟩|, in [0, 1]; NaN without a record.

        Of independent, uniform phases its square is 1/N on average. The derivative is 0 where the
        value is 0.
        """
        return jnp.where(self.count > 0, length(self.sin, self.cos), jnp.nan)

    @property
    def lag(self) -> Array:
        """arg ⟨e^{iδ}⟩, by how much j leads k, radians in [−π, π]; 0 where the mean vanishes."""
        return jnp.where(self.count > 0, direction(self.sin, self.cos), jnp.nan)

    @property
    def consistency(self) -> Array:
        """Pairwise phase consistency (N·|⟨e^{iδ}⟩|² − 1)/(N − 1); NaN with fewer than two records.

        The mean cosine between the δ of two different records: without bias for |E e^{iδ}|² if
        records are independent, and so below 0 at times (Vinck et al. 2010).
        """
        pairs = jnp.maximum(self.count - 1, 1)
        found = (self.count * (self.sin**2 + self.cos**2) - 1.0) / pairs
        return jnp.where(self.count > 1, found, jnp.nan)

    def statistics(self) -> dict[str, Array]:
        return {"locking": self.locking, "lag": self.lag, "consistency": self.consistency}

    def axes(self) -> dict[str, tuple[str, ...]]:
        return dict.fromkeys(("locking", "lag", "consistency"), ("partner",))


class PhaseLocking(AbstractMonitor):
    """Phase locking of every oscillator to every other, over time.

    The mean over records of e^{iδ_jk}, δ_jk = n·θ_j − m·θ_k: its modulus is the phase locking value
    (Lachaux, Rodriguez, Martinerie & Varela 1999), for n ≠ m the n:m index of Tass et al. (1998).

    **Arguments:** `every` and `after`, as for every monitor; `n` and `m`, the turns of the partner
    and of the oscillator in one common period, whole numbers ≥ 1; `block`, how many records are
    kept and then folded in by one matrix product.

    **Result:** `PhaseLockingResult` with `.locking`, `.lag` and `.consistency`,
    `[*batch, oscillator, oscillator]`, and `.count`.

    **Raises:** `ValueError` or `TypeError` for numbers that are not such.
    """

    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)
    n: int = eqx.field(static=True, default=1)
    m: int = eqx.field(static=True, default=1)
    block: int = eqx.field(static=True, default=64)

    def __check_init__(self) -> None:
        for name in ("n", "m", "block"):
            check_count(name, getattr(self, name), 1)

    @property
    def _symmetric(self) -> bool:
        """Whether δ_kj = −δ_jk."""
        return self.n == self.m

    def init(self, model, state: State, records: int) -> BlockMean:
        *batch, size = state.phase.shape
        product, orders = (_product, 1) if self._symmetric else (_product_of_two, 2)
        block = min(self.block, max(records, 1))
        return BlockMean.start(product, tuple(batch), (2 * orders, size), block, state.phase.dtype)

    def update(self, accumulator: BlockMean, model, state: State, record: Array) -> BlockMean:
        orders = (self.n,) if self._symmetric else (self.n, self.m)
        parts = [part for order in orders for part in _multiple(order, state.phase)]
        return accumulator.include(jnp.stack(parts, axis=-2))

    def result(self, accumulator: BlockMean, state: State) -> PhaseLockingResult:
        found, size = accumulator.value(), state.phase.shape[-1]
        plus, minus = found[..., :size], found[..., size:]
        if self._symmetric:
            minus = jnp.swapaxes(plus, -1, -2)
        return PhaseLockingResult(accumulator.count, 0.5 * (plus - minus), 0.5 * (plus + minus))

    def merge(self, earlier: PhaseLockingResult, later: PhaseLockingResult) -> PhaseLockingResult:
        count = earlier.count + later.count
        share = later.count / jnp.maximum(count, 1)
        return PhaseLockingResult(
            count,
            earlier.sin + (later.sin - earlier.sin) * share,
            earlier.cos + (later.cos - earlier.cos) * share,
        )


def _multiple(order: int, phase: Array) -> tuple[Array, Array]:
    """(sin, cos) of order·θ."""
    return sincos_wrapped(phase) if order == 1 else sincos(order * phase)


def _product(left: Array, right: Array) -> Array:
    """Σ (cos δ_jk + sin δ_jk) over a block of (sin θ, cos θ): one product of real matrices.

    cos a cos b + sin a sin b + sin a cos b − cos a sin b
    = sin a·(sin b + cos b) + cos a·(cos b − sin b).
    With δ_kj = −δ_jk the transpose holds Σ (cos δ_jk − sin δ_jk), so this is all there is to know.
    """
    return _matrix_product(left, _turned(right, 1.0))


def _product_of_two(left: Array, right: Array) -> Array:
    """Both sums of Σ (cos δ ± sin δ) side by side, over a block of n·θ and m·θ."""
    own, partner = left[..., :2, :], right[..., 2:, :]
    both = jnp.concatenate([_turned(partner, 1.0), _turned(partner, -1.0)], axis=-1)
    return _matrix_product(own, both)


def _turned(rows: Array, sign: float) -> Array:
    """(sin b ± cos b, cos b ∓ sin b) of (sin b, cos b)."""
    signs = jnp.asarray([sign, -sign], rows.dtype)
    return rows + signs[:, None] * rows[..., ::-1, :]


def _matrix_product(left: Array, right: Array) -> Array:
    """Σ over records and parts of left_j·right_k."""
    left, right = (x.reshape(*x.shape[:-3], -1, x.shape[-1]) for x in (left, right))
    return jnp.einsum("...rj,...rk->...jk", left, right, precision="highest")
