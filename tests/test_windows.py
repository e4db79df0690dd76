"""Statistics of a window: formulas in float64, Parseval, slopes, and the same in one pass."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tauax.numerics import windows
from tauax.numerics.windows import CentralSums

WINDOW = 24
BAND = {"dt": 0.05, "low": 2.0, "high": 6.0}
FUNCTIONS = {
    "variance": windows.variance,
    "skewness": windows.skewness,
    "kurtosis": windows.kurtosis,
    "zero_crossing_rate": windows.zero_crossing_rate,
    "level_crossing_rate": partial(windows.zero_crossing_rate, level=0.3),
    "band_power": partial(windows.band_power, **BAND),
}
SMOOTH = [name for name in FUNCTIONS if not name.endswith("rate")]


def numbers(*shape, seed=5):
    """Skewed and heavy-tailed, so that no moment vanishes."""
    return np.random.default_rng(seed).gamma(1.5, 1.0, shape) - 1.5


def crossings(x, level):
    above = x >= level
    return (above[..., 1:] != above[..., :-1]).mean(axis=-1)


def spectrum(x):
    """Powers that sum to the variance, and their frequencies."""
    size = x.shape[-1]
    power = 2.0 * np.abs(np.fft.rfft(x, axis=-1)[..., 1:] / size) ** 2
    if size % 2 == 0:
        power[..., -1] /= 2.0
    return power, np.fft.rfftfreq(size, BAND["dt"])[1:]


def band_power(x):
    power, frequency = spectrum(x)
    return power[..., (frequency >= BAND["low"]) & (frequency < BAND["high"])].sum(axis=-1)


OFFLINE = {
    "variance": partial(np.var, axis=-1),
    "skewness": partial(stats.skew, axis=-1),
    "kurtosis": partial(stats.kurtosis, axis=-1),
    "zero_crossing_rate": lambda x: crossings(x, x.mean(axis=-1, keepdims=True)),
    "level_crossing_rate": lambda x: crossings(x, 0.3),
    "band_power": band_power,
}


@jax.jit
def everything(x, count=None):
    return {name: function(x, count=count) for name, function in FUNCTIONS.items()}


@pytest.mark.parametrize("size", [2, 3, 24, 25])
def test_offline(size):
    x = numbers(3, 4, size).astype(np.float32)
    found = everything(jnp.asarray(x))
    for name, offline in OFFLINE.items():
        assert found[name].shape == (3, 4)
        assert found[name].dtype == jnp.float32
        # Sums of 25 numbers of order 1 that each round by 6e-8; fourth powers reach 100.
        np.testing.assert_allclose(
            found[name], offline(x.astype(float)), rtol=3e-6, atol=2e-6, err_msg=name
        )


def test_offline_in_float64(x64):
    x = numbers(50, WINDOW)
    for name, value in everything(jnp.asarray(x)).items():
        assert value.dtype == jnp.float64
        # The same sums in another order.
        np.testing.assert_allclose(value, OFFLINE[name](x), rtol=1e-12, atol=1e-13, err_msg=name)


def test_count_of_newest():
    """What is older than the records is not read, NaN and infinity included."""
    x = numbers(6, WINDOW).astype(np.float32)
    counts = np.asarray([2, 3, 7, 12, 23, 24])
    for row, count in enumerate(counts):
        x[row, : WINDOW - count] = [np.nan, np.inf, 1e30][row % 3]
    found = everything(jnp.asarray(x), jnp.asarray(counts))
    for row, count in enumerate(counts):
        held = x[row, WINDOW - count :].astype(float)
        alone = everything(jnp.asarray(x[row]), count)
        for name, offline in OFFLINE.items():
            if name != "band_power":
                # As above.
                wanted = pytest.approx(float(offline(held)), rel=3e-6, abs=2e-6)
                assert float(found[name][row]) == wanted, (name, count)
            assert float(alone[name]) == float(found[name][row]), (name, count)
    # Without their mean and with zeros before them; a window of n records has the power of n.
    held = [row[WINDOW - n :].astype(float) for row, n in zip(x, counts, strict=True)]
    padded = np.stack([np.pad(one - one.mean(), (WINDOW - one.size, 0)) for one in held])
    wanted = band_power(padded) * WINDOW / counts
    np.testing.assert_allclose(found["band_power"], wanted, rtol=3e-6, atol=2e-6)


def test_nothing_and_one_record():
    x = np.full(WINDOW, np.nan, np.float32)
    for count, newest in ((0, np.nan), (1, 7.25)):
        x[-1] = newest
        for name, value in everything(jnp.asarray(x), count).items():
            assert float(value) == 0.0, (name, count)
    # More than there is room for is all.
    y = jnp.asarray(numbers(WINDOW), jnp.float32)
    whole = everything(y)
    for count in (WINDOW, WINDOW + 5):
        for name, value in everything(y, count).items():
            assert value == whole[name], name


@jax.jit
def slopes(x, count=None):
    """The derivatives of the sum of each statistic over all windows, by its name."""
    return jax.jacrev(lambda x: jax.tree.map(jnp.sum, everything(x, count)))(x)


@pytest.mark.parametrize("count", [0, 1, 4, WINDOW])
def test_constant_windows(count):
    """No variance, exactly, whatever the level rounds to; and no derivative that is not finite."""
    for level in (0.1, -3e7, 1e-30):
        x = jnp.full((WINDOW,), level, jnp.float32)
        for name, value in everything(x, count).items():
            assert not np.any(value), (name, level)
        for name, slope in slopes(x, count).items():
            assert not np.any(slope), (name, level)


@pytest.mark.parametrize("size", [1e-15, 1e-9, 1e9, 1e15])
def test_scale(size):
    """Skewness and kurtosis have no unit; their powers do not leave the range of float32."""
    x = numbers(WINDOW)
    scaled = jnp.asarray(x * size, jnp.float32)
    found = everything(scaled, WINDOW)
    # As above.
    assert float(found["skewness"]) == pytest.approx(stats.skew(x), rel=1e-5)
    assert float(found["kurtosis"]) == pytest.approx(stats.kurtosis(x), rel=1e-5)
    for name, slope in slopes(scaled, WINDOW).items():
        assert np.isfinite(slope).all(), name


def test_nan_is_not_hidden():
    x = jnp.asarray(numbers(WINDOW), jnp.float32).at[3].set(jnp.nan)
    found = everything(x, WINDOW)
    for name in SMOOTH:
        assert np.isnan(found[name]), name


def test_a_large_mean_costs_no_digits():
    x = (4096.0 + numbers(WINDOW)).astype(np.float32)
    found = everything(jnp.asarray(x), WINDOW)
    for name in SMOOTH:
        # As in `test_offline`.
        assert float(found[name]) == pytest.approx(OFFLINE[name](x.astype(float)), rel=3e-6), name


def test_a_value_at_the_level_is_above():
    x = jnp.asarray([-1.0, 0.0, -1.0, 0.0, 0.0, 1.0, -0.0, -2.0])
    # Sides: − + − + + + + −.
    assert float(windows.zero_crossing_rate(x, 0.0)) == pytest.approx(4 / 7, rel=1e-6)
    each = windows.zero_crossing_rate(jnp.stack([x, x]), jnp.asarray([0.5, -1.5]))
    np.testing.assert_allclose(each, [2 / 7, 1 / 7], rtol=1e-6)
    assert float(windows.zero_crossing_rate(jnp.asarray([1, -1, 1, 1]), 0)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("size", [8, 9])
def test_parseval(size):
    x = jnp.asarray(numbers(5, size), jnp.float32)
    power, nyquist = jax.jit(windows.band_power), 0.5 / BAND["dt"]
    for count in (0, 2, 6, size):
        variance = everything(x, count)["variance"]
        # A transform and a sum of 9 numbers.
        np.testing.assert_allclose(
            power(x, BAND["dt"], 0.0, 1.01 * nyquist, count), variance, rtol=2e-6
        )
        parts = [
            power(x, BAND["dt"], low, high, count)
            for low, high in ((0.0, 3.0), (3.0, 6.0), (6.0, 11.0))
        ]
        np.testing.assert_allclose(sum(parts), variance, rtol=2e-6)


def test_tones_and_edges_of_bands():
    dt, size = 0.01, 50  # bins of 2 Hz
    time = np.arange(size) * dt
    x = jnp.asarray(5.0 + 3.0 * np.sin(2 * np.pi * 10.0 * time), jnp.float32)
    power = jax.jit(windows.band_power)
    # Half the square of the amplitude; a bin at an edge belongs to the band above it.
    for low, high, wanted in ((10, 12, 4.5), (8, 10, 0), (9.9, 10.1, 4.5), (10.5, 11.5, 0)):
        assert float(power(x, dt, low, high)) == pytest.approx(wanted, abs=1e-5), (low, high)
    # dt is traced: half as long, and the tone is at 20 Hz.
    assert float(power(x, dt / 2, 20, 24)) == pytest.approx(4.5, abs=1e-5)


def test_derivatives_are_finite_differences(x64):
    x = jnp.asarray(numbers(WINDOW))
    tangent = jnp.asarray(np.random.default_rng(8).normal(size=WINDOW))
    nudge = 1e-6
    for count in (WINDOW, 9):
        above, below = (everything(x + by * tangent, count) for by in (nudge, -nudge))
        found = slopes(x, count)
        for name in SMOOTH:
            difference = float(above[name] - below[name]) / (2 * nudge)
            # Curvature times 1e-12, and rounding of 1e-15 over 1e-6.
            slope = float(found[name] @ tangent)
            assert slope == pytest.approx(difference, rel=1e-6, abs=1e-8), name
            assert difference != 0.0
            assert not np.any(found[name][: WINDOW - count]), name


def test_the_same_bits_in_every_batch():
    x = jnp.asarray(numbers(64, WINDOW), jnp.float32)
    whole = everything(x)
    mapped = jax.jit(jax.vmap(everything))(x)
    few, one = everything(x[:3]), everything(x[5])
    for name, value in whole.items():
        np.testing.assert_array_equal(few[name], value[:3], name)
        np.testing.assert_array_equal(one[name], value[5], name)
        np.testing.assert_array_equal(mapped[name], value, name)


@jax.jit
def one_pass(x):
    """The sums over the last axis, one value at a time."""
    sums = CentralSums.start(x.shape[:-1], x.dtype)
    sums, _ = jax.lax.scan(lambda sums, value: (sums.include(value), None), sums, x.T)
    return {name: getattr(sums, name) for name in ("mean", "variance", "skewness", "kurtosis")}


@pytest.mark.parametrize("offset", [0.0, 4096.0])
def test_one_pass(offset):
    x = (offset + numbers(5, 500)).astype(np.float32)
    x[-1] = x[-1, 0]
    found = one_pass(jnp.asarray(x))
    # 500 roundings of a mean of order 1, and one of the sum with the offset.
    bound = 2e-6 + 3e-7 * offset
    np.testing.assert_allclose(found["mean"], x.mean(axis=-1, dtype=float), rtol=0, atol=bound)
    for name in ("variance", "skewness", "kurtosis"):
        wanted = OFFLINE[name](x[:-1].astype(float))
        # 500 roundings of terms up to 1e4 times the smallest, at random.
        np.testing.assert_allclose(found[name][:-1], wanted, rtol=2e-5, err_msg=name)
        assert found[name][-1] == 0.0, name


def test_one_pass_has_the_derivatives_of_the_window(x64):
    weights = {"variance": 1.0, "skewness": 3.0, "kurtosis": -2.0}

    @jax.jit
    @jax.grad
    def read(x):
        found = one_pass(x[None])
        return sum(weight * found[name][0] for name, weight in weights.items())

    x = jnp.asarray(numbers(WINDOW))
    wanted = slopes(x, WINDOW)
    # The same numbers in another order.
    np.testing.assert_allclose(
        read(x), sum(w * wanted[name] for name, w in weights.items()), rtol=1e-10, atol=1e-12
    )
    assert not np.any(read(jnp.full(WINDOW, 0.7)))


def test_dtypes_stay(x64):
    x = jnp.asarray(numbers(WINDOW), jnp.float32)
    for name, value in everything(x, jnp.asarray(7)).items():
        assert value.dtype == jnp.float32, name
    assert one_pass(x[None])["kurtosis"].dtype == jnp.float32
