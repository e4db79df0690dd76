"""How strong a readout oscillates in bands of frequency."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from tauax._checks import check_count, check_domain, fault, is_concrete
from tauax._types import numeric
from tauax.monitors.base import AbstractMonitor, AbstractResult, check_readout, real_numbers
from tauax.numerics.fusion import quotient
from tauax.numerics.running import compensated
from tauax.readouts import Readout
from tauax.state import State

Taper = Literal["none", "hann"]
_LONGEST = 2**15  # so that a product of two numbers of records stays an int32


class BandPowerResult(AbstractResult):
    """Spectral power, averaged over the full windows of a run.

    **Attributes:** `spectrum`, `[*batch, ..., frequency]`, the power at each bin; `frequency`,
    `[frequency]`, Hz; `count`, the number of full windows; `bands`, `[band, 2]`, Hz; `names` of the
    bands, if they have any.
    """

    spectrum: Array
    frequency: Array
    count: Int[Array, ""]
    bands: Array
    names: tuple[str, ...] = eqx.field(static=True)

    @property
    def power(self) -> Array:
        """The power in each band, `[*batch, ..., band]`; NaN where a band holds no bin.

        Warns of such a band.
        """
        low, high = self.bands[:, :1], self.bands[:, 1:]
        # Shifted by a little, so that rounding does not decide on which side of an edge a bin is.
        frequency = self.frequency + 1e-3 * self.frequency[0]
        inside = (frequency >= low) & (frequency < high)
        held = inside.any(axis=-1)
        self._warn_of_empty(held)
        # In full precision: a GPU would round the factors to 10 bits.
        sums = jnp.matmul(self.spectrum, inside.T.astype(self.spectrum.dtype), precision="highest")
        return jnp.where(held, sums, jnp.nan)

    def _warn_of_empty(self, held: Array) -> None:
        if is_concrete(held) and not np.all(held):
            band = int(np.argmin(np.asarray(held)))
            low, high = np.asarray(self.bands[band]).tolist()
            step, last = float(self.frequency[0]), float(self.frequency[-1])
            message = fault(
                f"a band of [{low:g}, {high:g}) Hz that holds no bin",
                f"one with a multiple of {step:g} Hz up to {last:g} Hz",
                "lengthen the window or widen the band; its power is NaN",
            )
            warnings.warn(str(message), stacklevel=3)

    def statistics(self) -> dict[str, Array]:
        return {"power": self.power, "spectrum": self.spectrum}

    def axes(self) -> dict[str, tuple[str, ...]]:
        return {"power": ("band",), "spectrum": ("frequency",)}

    def coordinates(self) -> dict[str, Any]:
        """The bands by their names, or by their middle in Hz where they have none."""
        bands = np.asarray(self.names) if self.names else self.bands.mean(axis=-1)
        return {"band": bands, "frequency": self.frequency}


class _Accumulator(eqx.Module):
    """`ring` holds the records of the window, `[*batch, record, ...]`, less the first of the run.

    `sin` and `cos` are the modulated sliding transform, `[*batch, ..., frequency]`, and `power` the
    sum of its squares over full windows.
    """

    count: Int[Array, ""]
    reference: Array
    ring: Array
    sin: Array
    cos: Array
    power: tuple[Array, Array]


class BandPower(AbstractMonitor):
    """Spectral power of a readout in bands of frequency, averaged over sliding windows.

    With X_k = Σ_m x_m e^{−2πikm/W} over the last W = `window` records, at k/(W·every·dt) Hz,

        P_k = 2|X_k|²/W² for 0 < k < W/2, and |X_k|²/W² for k = W/2,

    so that Σ_k P_k is the variance of the records in the window (Parseval), and a tone a·sin of the
    frequency of a bin has P = a²/2. The mean is left out. The power of a band is the sum over its
    bins, low ≤ f < high; that of a run the mean over all full windows, one for each record from the
    W-th on. Frequencies above 1/(2·every·dt) Hz are folded back: keep `every` small.

    **Arguments:** `readout`; `bands` in Hz, `{"alpha": (8.0, 12.0), ...}` or a sequence of
    (low, high); `window`, in records; `every` and `after`, as for every monitor;

    - `taper`: `"none"`, or `"hann"` to keep strong tones between two bins from leaking into far
      ones. It is divided by its mean square, 3/8, so the power of noise stays what it is and a
      tone's a²/2 is found over three bins.

    **Result:** `BandPowerResult` with `.power` `[*batch, ..., band]`, `.spectrum`, `.frequency` and
    `.count`, the number of windows.

    The transform is slid from record to record (modulated sliding DFT, Duda 2010): every record
    is multiplied by a phase factor from a table instead of a pole on the unit circle, so rounding
    grows like the root of the number of records. A record costs of the order of W operations per
    component, and memory is that of 3 windows, whatever the length of the run.

    Two runs merge by the mean weighted with their windows; windows that would span both are not
    counted.

    **Raises:** `ValueError` or `TypeError` for bands that are not low < high and ≥ 0, a window < 4
    or > 32768 records, or an unknown taper.
    """

    readout: Readout = eqx.field(static=True)
    bands: Array
    window: int = eqx.field(static=True)
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)
    taper: Taper = eqx.field(static=True, default="none")
    names: tuple[str, ...] = eqx.field(static=True, default=())

    def __init__(
        self,
        readout: Readout,
        bands,
        window: int,
        every: int = 1,
        after: int = 0,
        taper: Taper = "none",
        names: tuple[str, ...] = (),
    ):
        check_readout(self, readout)
        if isinstance(bands, Mapping):
            names, bands = tuple(map(str, bands)), list(bands.values())
        self.readout, self.bands, self.names = readout, _checked_bands(bands), names
        self.window = check_count("window", window, 4)
        if window > _LONGEST:
            raise fault(f"window={window}", f"at most {_LONGEST} records", "read less often")
        if taper not in get_args(Taper):
            expected = f"one of {', '.join(get_args(Taper))}"
            raise fault(f"taper={taper!r}", expected, 'leave it out for "none"')
        self.every, self.after, self.taper = every, after, taper

    def init(self, model, state: State, records: int) -> _Accumulator:
        shape, dtype = real_numbers(self.readout, model, state)
        batch, own = shape[: len(state.axes)], shape[len(state.axes) :]
        bins = jnp.zeros((*shape, self.window // 2), dtype)
        ring = jnp.zeros((*batch, self.window + 1, *own), dtype)
        count, reference = jnp.zeros((), jnp.int32), jnp.zeros(shape, dtype)
        return _Accumulator(count, reference, ring, bins, bins, (bins, bins))

    def update(self, accumulator: _Accumulator, model, state: State, record: Array) -> _Accumulator:
        axis, count = len(state.axes), accumulator.count
        value = self.readout(model, state).astype(accumulator.ring.dtype)
        reference = jnp.where(count == 0, value, accumulator.reference)
        value = value - reference
        # One place more than the window, so that the new record does not take that of the oldest:
        # reading what is then overwritten would make XLA copy the ring.
        places = self.window + 1
        ring = jax.lax.dynamic_update_index_in_dim(
            accumulator.ring, jnp.expand_dims(value, axis), count % places, axis
        )
        left = jax.lax.dynamic_index_in_dim(ring, (count + 1) % places, axis, keepdims=False)
        slot = count % self.window
        change = (value - left)[..., None]
        sin_factor, cos_factor = self._turn(jnp.arange(1, self.window // 2 + 1), slot, value.dtype)
        sin = accumulator.sin - change * sin_factor
        cos = accumulator.cos + change * cos_factor
        full = count >= self.window - 1
        power = jnp.where(full, self._power(sin, cos, slot), 0.0)
        power = compensated(*accumulator.power, power)
        return _Accumulator(count + 1, reference, ring, sin, cos, power)

    def _turn(self, bins, slot: Array, dtype) -> tuple[Array, Array]:
        """(sin, cos) of 2π·bins·slot/W, from a table that is exact at every turn."""
        angle = 2.0 * np.pi * np.arange(self.window) / self.window
        place = (bins * slot) % self.window
        sin, cos = jnp.asarray(np.sin(angle), dtype), jnp.asarray(np.cos(angle), dtype)
        return sin[place], cos[place]

    def _power(self, sin: Array, cos: Array, slot: Array) -> Array:
        """The power at each bin of the window that ends at this slot."""
        scale = np.full(self.window // 2, 2.0 / self.window**2)
        if self.window % 2 == 0:
            scale[-1] /= 2.0
        if self.taper == "hann":
            sin, cos = self._tapered(sin, cos, slot)
            scale = scale / (3.0 / 8.0)
        return (sin**2 + cos**2) * jnp.asarray(scale, sin.dtype)

    def _tapered(self, sin: Array, cos: Array, slot: Array) -> tuple[Array, Array]:
        """Hann's window, as ½X_k − ¼(X_{k−1} + X_{k+1}) with each turned to the window's start."""
        turn_sin, turn_cos = self._turn(1, slot + 1, sin.dtype)
        lower_sin, upper_sin = self._neighbours(sin, -1.0)
        lower_cos, upper_cos = self._neighbours(cos, 1.0)
        # e^{−iφ}·lower + e^{iφ}·upper
        sum_sin = (lower_sin + upper_sin) * turn_cos + (upper_cos - lower_cos) * turn_sin
        sum_cos = (lower_cos + upper_cos) * turn_cos + (lower_sin - upper_sin) * turn_sin
        return 0.5 * sin - 0.25 * sum_sin, 0.5 * cos - 0.25 * sum_cos

    def _neighbours(self, part: Array, parity: float) -> tuple[Array, Array]:
        """The bins below and above each; 0 for the mean, and X_{W−k} is the conjugate of X_k."""
        last = self.window - self.window // 2 - 2
        mirrored = parity * part[..., last : last + 1]
        lower = jnp.concatenate([jnp.zeros_like(mirrored), part[..., :-1]], axis=-1)
        upper = jnp.concatenate([part[..., 1:], mirrored], axis=-1)
        return lower, upper

    def result(self, accumulator: _Accumulator, state: State) -> BandPowerResult:
        windows = jnp.maximum(accumulator.count - (self.window - 1), 0)
        bins = jnp.arange(1, self.window // 2 + 1)
        frequency = bins / (self.window * self.every * state.clock.dt)
        spectrum = quotient(accumulator.power[0], windows)
        return BandPowerResult(spectrum, frequency, windows, self.bands, self.names)

    def merge(self, earlier: BandPowerResult, later: BandPowerResult) -> BandPowerResult:
        same = jnp.array_equal(earlier.frequency, later.frequency)
        if is_concrete(same) and not same:
            raise fault(
                f"runs with bins of {float(earlier.frequency[0]):g} Hz and "
                f"{float(later.frequency[0]):g} Hz",
                "the same bins",
                "keep dt, or read each run by itself",
            )
        count = earlier.count + later.count
        share = later.count / jnp.maximum(count, 1)
        one = jnp.where(earlier.count > 0, earlier.spectrum, later.spectrum)
        other = jnp.where(later.count > 0, later.spectrum, one)
        spectrum = jnp.where(same, one + share * (other - one), jnp.nan)
        return BandPowerResult(spectrum, later.frequency, count, later.bands, later.names)


def _checked_bands(bands) -> Array:
    """Bands as `[band, 2]`."""
    edges = numeric(bands)
    if edges.ndim != 2 or edges.shape[0] == 0 or edges.shape[1] != 2:
        raise fault(
            f"bands of shape {edges.shape}",
            "a pair (low, high) in Hz for each",
            'pass for example {"alpha": (8.0, 12.0)}',
        )
    check_domain("bands", edges, "nonnegative")
    if is_concrete(edges):
        known = np.asarray(edges)  # jax would trace the comparison inside jit
        if not np.all(known[:, 0] < known[:, 1]):
            raise fault(f"bands={known.tolist()}", "low < high in each", "exchange them")
    return edges
