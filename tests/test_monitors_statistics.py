"""Laws 5, 6 and 8 of the statistical monitors: offline oracles, closed forms, derivatives."""

import math
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tables import SIZE, model

import tauax as tx
from tauax.monitors import (
    Autocorrelation,
    BandPower,
    Extremes,
    FirstPassage,
    Histogram,
    Metastability,
)
from tauax.readouts import local_coherence

# A thinned run has no bin in the fast band; test_a_band_without_a_bin reads the message.
pytestmark = pytest.mark.filterwarnings("ignore:got a band")

KEY = jax.random.key(23)
DT = 0.05
STEPS, PIECE = 36, 12
GROUPS = np.arange(SIZE) % 3
LAGS = (0, 1, 3, 7, 14)  # 14 is longer than a piece
BANDS = {"slow": (0.1, 3.0), "fast": (5.0, 9.0), "all": (0.0, 11.0)}
CIRCLE = {"low": -math.pi, "high": math.pi}

KINDS = {
    "histogram": lambda: Histogram(tx.phase, **CIRCLE, bins=5),
    "histogram_narrow": lambda: Histogram(tx.coherence, 0.2, 0.5, 3),
    "histogram_smooth": lambda: Histogram(tx.coherence, 0.1, 0.7, 4, smooth=True),
    "histogram_circle": lambda: Histogram(tx.phase, **CIRCLE, bins=6, smooth=True, periodic=True),
    "histogram_folded": lambda: Histogram(tx.phase, 0.0, 1.0, bins=3, periodic=True),
    "extremes": lambda: Extremes(tx.phase),
    "extremes_coherence": lambda: Extremes(tx.coherence),
    "passage_up": lambda: FirstPassage(tx.coherence, 0.35),
    "passage_down": lambda: FirstPassage(tx.phase, np.linspace(-2.0, 2.0, SIZE), "down"),
    "metastability": lambda: Metastability(GROUPS),
    "metastability_one": Metastability,
    "autocorrelation": lambda: Autocorrelation(tx.phase, LAGS),
    "autocorrelation_one": lambda: Autocorrelation(tx.coherence, range(1, 3)),
    "band_power": lambda: BandPower(tx.phase, BANDS, 8),
    "band_power_odd": lambda: BandPower(tx.coherence, [(0.0, 11.0)], 5),
    "band_power_hann": lambda: BandPower(tx.coherence, BANDS, 8, taper="hann"),
    "band_power_hann_odd": lambda: BandPower(tx.phase, [(0.0, 11.0)], 9, taper="hann"),
}
THIN = ("histogram", "extremes", "passage_up", "metastability", "autocorrelation", "band_power")


def vector(phase):
    return np.exp(1j * phase).mean(axis=-1)


READOUTS = {tx.phase: lambda phase: phase, tx.coherence: lambda phase: np.abs(vector(phase))}


def monitors(batch):
    """By name: late ones for one system; for a grid each as it is, and some with fewer records."""
    if batch == "none":
        return {name: replace(make(), every=3, after=2) for name, make in KINDS.items()}
    thin = {f"{name}_thin": replace(KINDS[name](), every=4) for name in THIN}
    return {name: make() for name, make in KINDS.items()} | thin


def setting(batch):
    system = model("mean_field_lag", "normal")
    if batch == "none":
        return system, {}
    strengths = jnp.asarray([0.0, 2.5])
    return tx.vary(system, {"coupling": (lambda m: m.coupling.strength, strengths)}), {"members": 3}


@cache
def runs(batch):
    """One run of all monitors, and the same in three pieces."""
    system, options = setting(batch)
    start = tx.init(system, key=KEY, **options)
    watched = {**monitors(batch), "full": tx.Trace(tx.phase)}
    whole = tx.simulate(system, start, dt=DT, steps=STEPS, monitors=watched)
    pieces, state = [], start
    for _ in range(STEPS // PIECE):
        pieces.append(tx.simulate(system, state, dt=DT, steps=PIECE, monitors=watched))
        state = pieces[-1].state
    return whole, pieces


# The statistics from all records at once, in float64; `value` is [..., record].


def histogram(monitor, value):
    low, high, bins = float(monitor.low), float(monitor.high), monitor.bins
    below, above = (value < low).sum(axis=-1), (value > high).sum(axis=-1)
    if monitor.periodic:
        value = low + (value - low) % (high - low)
        below = above = np.zeros_like(below)
    if not monitor.smooth:
        count = np.apply_along_axis(lambda x: np.histogram(x, bins, (low, high))[0], -1, value)
    else:
        # A triangle around each centre, written with the distance from it.
        width = (high - low) / bins
        centres = low + width * (np.arange(bins) + 0.5)
        apart = np.abs(value[..., None, :] - centres[:, None])
        if monitor.periodic:
            apart = np.minimum(apart, (high - low) - apart)
        share = np.clip(1.0 - apart / width, 0.0, None)
        if not monitor.periodic:
            share[..., 0, :] = np.where(value < centres[0], 1.0, share[..., 0, :])
            share[..., -1, :] = np.where(value > centres[-1], 1.0, share[..., -1, :])
        share *= ((value >= low) & (value <= high))[..., None, :]
        count = share.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        density = count / count.sum(axis=-1, keepdims=True) * bins / (high - low)
    return {"count": count, "density": density, "below": below, "above": above}


def extremes(value, time):
    return {
        "minimum": value.min(axis=-1),
        "maximum": value.max(axis=-1),
        "time_of_minimum": time[value.argmin(axis=-1)],
        "time_of_maximum": time[value.argmax(axis=-1)],
    }


def first_passage(monitor, value, time):
    level = np.broadcast_to(np.asarray(monitor.level, float), value.shape[:-1])
    found = np.full(value.shape[:-1], np.nan)
    for index in np.ndindex(found.shape):
        x, goal = value[index], level[index]
        beyond = np.flatnonzero(x >= goal if monitor.direction == "up" else x <= goal)
        if beyond.size and (n := beyond[0]):
            found[index] = time[n - 1] + (time[n] - time[n - 1]) * (goal - x[n - 1]) / (
                x[n] - x[n - 1]
            )
        elif beyond.size:
            found[index] = time[0]
    return {"time": found, "passed": ~np.isnan(found)}


def metastability(monitor, phase):
    groups = np.zeros(SIZE, int) if monitor.groups is None else np.asarray(monitor.groups)
    r = np.stack([np.abs(vector(phase[..., groups == c])) for c in np.unique(groups)], axis=-1)
    one = r.shape[-1] == 1
    spread = np.full(r.shape[:-2], np.nan) if one else r.var(axis=-1, ddof=1).mean(axis=-1)
    return {
        "metastability": r.var(axis=-2, ddof=1).mean(axis=-1),
        "chimera": spread,
        "mean": r.mean(axis=-2),
        "std": r.std(axis=-2, ddof=1),
    }


def autocorrelation(monitor, value):
    size = value.shape[-1]
    centred = value - value.mean(axis=-1, keepdims=True)
    nothing = np.full(value.shape[:-1], np.nan)
    covariance = np.stack(
        [
            (centred[..., : size - k] * centred[..., k:]).mean(axis=-1) if k < size else nothing
            for k in monitor.lags
        ],
        axis=-1,
    )
    return {
        "mean": value.mean(axis=-1),
        "covariance": covariance,
        "correlation": covariance / value.var(axis=-1)[..., None],
    }


def band_power(monitor, value):
    window = monitor.window
    bins = np.arange(1, window // 2 + 1)
    bands = np.asarray(monitor.bands, float)
    frequency = bins / (window * monitor.every * DT)
    if value.shape[-1] < window:
        empty = np.full((*value.shape[:-1], len(bins)), np.nan)
        spectrum = empty
    else:
        parts = np.lib.stride_tricks.sliding_window_view(value, window, axis=-1)
        taper = np.ones(window)
        if monitor.taper == "hann":
            parts = parts - parts.mean(axis=-1, keepdims=True)
            taper = np.sin(np.pi * np.arange(window) / window) ** 2
        scale = np.where(2 * bins == window, 1.0, 2.0) / window**2 / (taper**2).mean()
        spectrum = (np.abs(np.fft.rfft(parts * taper)[..., 1:]) ** 2 * scale).mean(axis=-2)
    power = []
    for low, high in bands:
        held = (frequency >= low) & (frequency < high)
        power.append(spectrum[..., held].sum(axis=-1) + (0.0 if held.any() else np.nan))
    return {"power": np.stack(power, axis=-1), "spectrum": spectrum}


def offline(monitor, phase, dt=DT):
    """The statistics of a monitor from a full trace `[*batch, step, oscillator]`."""
    due = np.arange(monitor.after, phase.shape[-2], monitor.every)
    phase = phase[..., due, :].astype(np.float64)
    if isinstance(monitor, Metastability):
        return metastability(monitor, phase)
    value = READOUTS[monitor.readout](phase)
    value = np.moveaxis(value, phase.ndim - 2, -1)
    if isinstance(monitor, Histogram):
        return histogram(monitor, value)
    if isinstance(monitor, Extremes):
        return extremes(value, due * dt)
    if isinstance(monitor, FirstPassage):
        return first_passage(monitor, value, due * dt)
    kind = autocorrelation if isinstance(monitor, Autocorrelation) else band_power
    return kind(monitor, value)


def equal(result, wanted, name):
    found = result.statistics()
    assert set(found) == set(wanted), name
    for statistic, value in wanted.items():
        assert found[statistic].shape == value.shape, (name, statistic)
        # Readouts are good to 4e-7, values of order π and their squares of order 10 round by 1e-6;
        # a time of passage divides that by a slope of 0.1/s at the least.
        bounds = {"rtol": 2e-5, "atol": 1e-5}
        np.testing.assert_allclose(
            np.asarray(found[statistic], float), value, **bounds, err_msg=f"{name} {statistic}"
        )


BATCHES = ("none", pytest.param("vary", marks=pytest.mark.slow))


@pytest.mark.parametrize("batch", BATCHES)
def test_streaming_is_offline(batch):
    whole, _ = runs(batch)
    phase = np.asarray(whole.monitors["full"].value)
    for name, monitor in monitors(batch).items():
        equal(whole.monitors[name], offline(monitor, phase), name)


def in_pieces(monitor, phase):
    """As `offline`, of band power in windows that lie within a piece."""
    if not isinstance(monitor, BandPower):
        return offline(monitor, phase)
    if PIECE // monitor.every < monitor.window:
        return offline(monitor, phase[..., :PIECE, :])
    parts = [offline(monitor, part) for part in np.split(phase, STEPS // PIECE, axis=-2)]
    return {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}


@pytest.mark.parametrize("batch", BATCHES)
def test_merged_is_one_run(batch):
    whole, (first, second, third) = runs(batch)
    phase = np.asarray(whole.monitors["full"].value)
    left, right = first.then(second).then(third), first.then(second.then(third))
    for name, monitor in monitors(batch).items():
        both = (jax.tree.leaves(run.monitors[name]) for run in (left, right))
        for one, other in zip(*both, strict=True):
            # Sums of 36 products of order 10 in another order; counts and times exactly.
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-5, err_msg=name)
        if PIECE % monitor.every == 0 and monitor.after == 0:
            equal(left.monitors[name], in_pieces(monitor, phase), name)


@pytest.mark.slow
def test_merging_times_and_counts_is_exact():
    whole, (first, second, third) = runs("vary")
    merged = first.then(second).then(third)
    for name in ("extremes", "extremes_coherence", "extremes_thin"):
        for one, other in zip(
            *(jax.tree.leaves(run.monitors[name]) for run in (merged, whole)), strict=True
        ):
            np.testing.assert_array_equal(one, other, name)
    for name in ("histogram", "histogram_narrow", "histogram_folded"):
        assert jnp.issubdtype(whole.monitors[name].count.dtype, jnp.integer)
        np.testing.assert_array_equal(merged.monitors[name].count, whole.monitors[name].count)


@pytest.mark.slow
def test_counts():
    whole, (first, second, third) = runs("vary")
    merged = first.then(second).then(third).monitors
    assert whole.monitors["metastability"].count == merged["metastability"].count == STEPS
    assert whole.monitors["autocorrelation_thin"].count == 9
    assert merged["autocorrelation"].count == STEPS
    assert whole.monitors["band_power"].count == STEPS - 7
    assert merged["band_power"].count == 3 * (PIECE - 7)
    assert merged["band_power_thin"].count == 0
    assert runs("none")[0].monitors["autocorrelation"].count == 12


def test_a_run_without_records_adds_nothing():
    """Merged on either side of a run with records, it leaves the statistics of that run."""
    watched = {name: replace(make(), after=8) for name, make in KINDS.items()}
    system = model("mean_field", "none")
    start = tx.init(system, key=KEY)
    run = lambda state, steps: tx.simulate(system, state, dt=DT, steps=steps, monitors=watched)  # noqa: E731
    empty = run(start, 8)
    for name, result in empty.monitors.items():
        for statistic, value in result.statistics().items():
            counts = ("count", "below", "above", "passed")
            nothing = np.zeros if statistic in counts else lambda shape: np.full(shape, np.nan)
            np.testing.assert_array_equal(value, nothing(value.shape), f"{name} {statistic}")
    full = run(empty.state, 24)
    after = run(full.state, 8)
    for merged in (empty.then(full), full.then(after)):
        for name in KINDS:
            found, wanted = (sol.monitors[name].statistics() for sol in (merged, full))
            for statistic in wanted:
                # Nothing is added, but a sum may be moved to the same mean and back.
                np.testing.assert_allclose(
                    found[statistic], wanted[statistic], rtol=1e-6, err_msg=f"{name} {statistic}"
                )


@pytest.mark.slow
def test_axes_and_coordinates():
    whole, _ = runs("vary")
    for name in KINDS:
        result = whole.monitors[name]
        found, coordinates = result.statistics(), result.coordinates()
        for statistic, axes in result.axes().items():
            shape = found[statistic].shape
            assert shape[:2] == (2, 3), name
            for axis, size in zip(reversed(axes), reversed(shape), strict=False):
                assert np.shape(coordinates[axis]) == (size,), (name, axis)
    assert list(whole.monitors["band_power"].coordinates()["band"]) == list(BANDS)
    np.testing.assert_array_equal(whole.monitors["autocorrelation"].coordinates()["lag"], LAGS)


# Closed forms.


@tx.readout
def wave(model, state):
    """A tone far from 0, of amplitude 2 for the first oscillator and 3 for the others."""
    return 20.0 + jnp.where(jnp.arange(state.phase.shape[-1]) == 0, 2.0, 3.0) * jnp.sin(state.phase)


def free(frequency, phase, noise=None, key=None, **options):
    system = tx.PhaseOscillators(frequency, None, noise)
    return system, tx.init(system, phase=np.asarray(phase), key=key, **options)


def test_power_of_tones():
    window, dt = 40, 0.01  # bins of 2.5 Hz
    system, state = free(2 * np.pi * np.asarray([10.0, 25.0, 50.0]), [0.3, -1.0, np.pi / 2])
    bands = {"ten": (9.9, 10.1), "near": (7.4, 12.6), "all": (0.0, 51.0)}
    watched = {taper: BandPower(wave, bands, window, taper=taper) for taper in ("none", "hann")}
    solution = tx.simulate(system, state, dt=dt, steps=20_000, monitors=watched).monitors
    # Half the square of the amplitude; 50 Hz is half the rate, where each record is ±3.
    wanted = {"none": [[2, 2, 2], [0, 0, 4.5], [0, 0, 9]]}
    wanted["hann"] = [[4 / 3, 2, 2], [0, 0, 4.5], [0, 0, 9]]
    for taper, powers in wanted.items():
        # 20000 wrapped phases round by 1e-7 at random, and so do the sums: 1e-4 of an amplitude.
        np.testing.assert_allclose(solution[taper].power, powers, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(solution[taper].frequency, np.arange(1, 21) * 2.5, rtol=1e-6)
        assert solution[taper].count == 20_000 - 39


def test_power_sums_to_the_variance():
    whole, _ = runs("none")
    phase = np.asarray(whole.monitors["full"].value, float)[2::3]
    parts = np.lib.stride_tricks.sliding_window_view(phase, 8, axis=0)
    total = whole.monitors["band_power"].spectrum.sum(axis=-1)
    # Roundings of squares of order 10.
    np.testing.assert_allclose(total, parts.var(axis=-1).mean(axis=0), rtol=5e-6, atol=5e-6)


def test_a_band_without_a_bin():
    result = runs("none")[0].monitors["band_power"]  # bins up to 3.3 Hz
    with pytest.warns(UserWarning, match=r"a band of \[5, 9\) Hz that holds no bin.*the window"):
        power = np.asarray(result.power)
    assert np.isnan(power[:, 1]).all()
    assert not np.isnan(power[:, 0]).any()


def test_band_powers_at_two_dt_do_not_merge():
    system, state = free([1.0], [0.0])
    watched = {"power": BandPower(tx.coherence, [(0.0, 1.0)], 4)}
    first = tx.simulate(system, state, dt=0.1, steps=4, monitors=watched)
    second = tx.simulate(system, first.state, dt=0.2, steps=4, monitors=watched)
    with pytest.raises(ValueError, match=r"bins of 2.5 Hz and 1.25 Hz.*keep dt"):
        first.then(second)


@tx.readout
def direction(model, state):
    return jnp.stack([jnp.cos(state.phase), jnp.sin(state.phase)])


DIFFUSION, RECORDS = 1.0, 1500


@cache
def diffusing():
    """Oscillators without frequency at D = 1 rad²/s, from phases that are spread evenly."""
    members, size = 8, 64
    start = np.linspace(-np.pi, np.pi, members * size, endpoint=False).reshape(members, size)
    noise = tx.WhiteNoise(DIFFUSION)
    system, state = free(np.zeros(size), start, noise, KEY, members=members)
    watched = {"memory": Autocorrelation(direction, (1, 5, 10, 20))}
    return tx.simulate(system, state, dt=DT, steps=RECORDS, monitors=watched).monitors


def test_phase_diffusion_forgets():
    """⟨cos(θ(t + τ) − θ(t))⟩ = e^{−Dτ}, less what the mean of a finite run takes from it."""
    result = diffusing()["memory"]
    found = np.asarray(result.covariance).sum(axis=1)  # cosine and sine: [member, oscillator, lag]
    apart = np.abs(np.subtract.outer(np.arange(RECORDS), np.arange(RECORDS)))
    memory = np.exp(-DIFFUSION * DT * apart)
    with_mean, of_mean = memory.mean(axis=1), memory.mean()
    for position, lag in enumerate(result.lags):
        firsts, seconds = with_mean[: RECORDS - lag].mean(), with_mean[lag:].mean()
        wanted = np.exp(-DIFFUSION * DT * lag) - firsts - seconds + of_mean
        values = found[..., position].ravel()
        error = values.std() / math.sqrt(values.size)
        # 4.5 standard errors of 512 independent oscillators: passed by chance 7e-6 of the time.
        assert abs(values.mean() - wanted) < 4.5 * error, lag
        assert error < 0.01


@cache
def scattered():
    """Phases drawn anew at each record: √(2·D·dt) is 14 rad."""
    size, members = 200, 16
    system = tx.PhaseOscillators(np.zeros(size), None, tx.WhiteNoise(1000.0))
    state = tx.init(system, key=KEY, members=members)
    watched = {
        "groups": Metastability(np.arange(size) % 2),
        "circle": Histogram(tx.phase, **CIRCLE, bins=16),
        "triangles": Histogram(tx.phase, **CIRCLE, bins=16, smooth=True, periodic=True),
    }
    return tx.simulate(system, state, dt=0.1, steps=400, monitors=watched).monitors


def test_order_of_independent_phases():
    """r of N = 100 has mean √(π/4N) = 0.08862269 and variance (1 − π/4)/N, less O(1/N²)."""
    found = scattered()["groups"]
    records = 16 * 400 * 2
    mean, variance = math.sqrt(math.pi / 400), (1 - math.pi / 4) / 100
    assert mean == pytest.approx(0.08862269, abs=1e-8)
    # 4.5 standard errors, and 1e-3 of itself for the law of finite N.
    bound = 4.5 * math.sqrt(variance / records) + 1e-3 * mean
    assert abs(float(found.mean.mean()) - mean) < bound
    # The fourth moment of a Rayleigh law makes the deviation of a squared deviation 1.12 variances.
    bound = (4.5 * 1.12 / math.sqrt(records) + 0.01) * variance
    assert abs(float(found.metastability.mean()) - variance) < bound
    # Between two communities the variance has one degree of freedom: deviation √2 and a little.
    bound = (4.5 * 1.6 / math.sqrt(records / 2) + 0.01) * variance
    assert abs(float(found.chimera.mean()) - variance) < bound


def test_histogram_of_uniform_phases():
    for name in ("circle", "triangles"):
        result = scattered()[name]
        records = 16 * 400 * 200
        # The smooth counts of 400 records round by 1e-5 in all.
        np.testing.assert_allclose(result.count.sum(axis=-1), 400, rtol=1e-6)
        counts = np.asarray(result.count, float).sum(axis=(0, 1))
        # 5 standard deviations of a binomial count; shared counts vary less. 16 bins: 1e-5.
        assert (np.abs(counts - records / 16) < 5 * math.sqrt(records / 16)).all()
        np.testing.assert_allclose(result.edges[::16], [-math.pi, math.pi], rtol=1e-6)
        np.testing.assert_allclose(result.centres[0], -math.pi * 15 / 16, rtol=1e-6)
        assert not np.asarray(result.below).any()
        assert not np.asarray(result.above).any()
    chi = stats.chisquare(np.asarray(scattered()["circle"].count, float).sum(axis=(0, 1)))
    assert chi.pvalue > 1e-5  # the odds of failing by chance


def test_extremes_and_passages_of_turning_oscillators():
    """θ = θ₀ + ωt is straight, so the time of passage is exact: (level − θ₀)/ω."""
    speed, start = np.asarray([1.0, 0.3, -0.5, 0.0]), np.asarray([-1.0, 0.0, 0.4, 0.25])
    system, state = free(speed, start)
    watched = {
        "up": FirstPassage(tx.phase, 0.2),
        "down": FirstPassage(tx.phase, [-2.0, -1.0, 0.1, 0.0], "down"),
        "range": Extremes(tx.phase),
        "coarse": FirstPassage(tx.phase, 0.2, every=5),
    }
    found = tx.simulate(system, state, dt=DT, steps=41, monitors=watched).monitors
    # Already beyond at the first record: its time, 0.
    up, down = [1.2, 0.2 / 0.3, 0.0, 0.0], [np.nan, np.nan, 0.6, np.nan]
    # 41 roundings of a phase below 1, over a slope of 0.3.
    for name, wanted in (("up", up), ("coarse", up), ("down", down)):
        np.testing.assert_allclose(found[name].time, wanted, rtol=0, atol=5e-6)
        np.testing.assert_array_equal(found[name].passed, ~np.isnan(wanted))
    # As above.
    np.testing.assert_allclose(found["range"].maximum, [1.0, 0.6, 0.4, 0.25], atol=2e-6)
    np.testing.assert_allclose(found["range"].minimum, [-1.0, 0.0, -0.6, 0.25], atol=2e-6)
    np.testing.assert_allclose(found["range"].time_of_maximum, [2.0, 2.0, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found["range"].time_of_minimum, [0.0, 0.0, 2.0, 0.0], atol=1e-6)


def test_passage_in_the_gap_between_runs():
    system, state = free([1.0], [0.0])
    watched = {"up": FirstPassage(tx.phase, 0.46, every=10)}
    run = lambda state: tx.simulate(system, state, dt=DT, steps=10, monitors=watched)  # noqa: E731
    first = run(state)
    both = first.then(run(first.state)).monitors["up"]
    # Between the records at 0 and 0.5, in two runs: ten roundings of 3e-8.
    assert float(both.time[0]) == pytest.approx(0.46, abs=1e-6)


def test_nan_is_not_counted():
    @tx.readout
    def hole(model, state):
        return jnp.where(state.step == 1, jnp.nan, state.phase)

    system, state = free([1.0], [0.0])
    watched = {"bins": Histogram(hole, 0.0, 1.0, 2), "range": Extremes(hole)}
    found = tx.simulate(system, state, dt=DT, steps=4, monitors=watched).monitors
    assert found["bins"].count.sum() == 3
    assert found["bins"].below[0] == found["bins"].above[0] == 0
    # Three roundings below 0.15.
    np.testing.assert_allclose(found["range"].maximum, 0.15, atol=1e-7)


# Derivatives.

SMOOTH = {
    "histogram": lambda: Histogram(tx.coherence, 0.1, 0.9, 4, smooth=True),
    "circle": lambda: Histogram(tx.phase, **CIRCLE, bins=5, smooth=True, periodic=True),
    "extremes": lambda: Extremes(tx.coherence),
    "passage": lambda: FirstPassage(tx.coherence, 0.3),
    "metastability": lambda: Metastability(GROUPS),
    "autocorrelation": lambda: Autocorrelation(tx.coherence, (1, 4)),
    "power": lambda: BandPower(tx.coherence, BANDS, 8),
    "power_hann": lambda: BandPower(local_coherence, BANDS, 8, taper="hann"),
}


@pytest.mark.slow
def test_derivatives_are_finite_differences(x64):
    monitors = {name: make() for name, make in SMOOTH.items()}
    start = np.linspace(-2.5, 2.8, SIZE)
    system = model("mean_field_lag", "normal", dtype=jnp.float64)
    system = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), system)

    def read(strength):
        coupling = tx.MeanField(strength, system.coupling.lag)
        moved = tx.PhaseOscillators(system.frequency, coupling, system.noise)
        state = tx.init(moved, key=KEY, phase=start)
        half = lambda state: tx.simulate(moved, state, dt=DT, steps=16, monitors=monitors)  # noqa: E731
        first = half(state)
        results = first.then(half(first.state)).monitors
        found = {
            (name, statistic): value
            for name, result in results.items()
            for statistic, value in result.statistics().items()
            if jnp.issubdtype(value.dtype, jnp.floating) and "time_of" not in statistic
        }
        weights = {key: jnp.cos(jnp.arange(value.size)) for key, value in found.items()}
        return {"/".join(key): weights[key] @ value.ravel() for key, value in found.items()}

    point, nudge = jnp.asarray(2.0), 1e-6
    both = jax.jit(lambda strength: (read(strength), jax.jacrev(read)(strength)))
    above, below = both(point + nudge)[0], both(point - nudge)[0]
    slopes = both(point)[1]
    assert len(slopes) == 18
    for name, slope in slopes.items():
        difference = float(above[name] - below[name]) / (2 * nudge)
        # Curvature times 1e-12, and rounding of 1e-15 over 1e-6.
        assert float(slope) == pytest.approx(difference, rel=1e-6, abs=1e-7), name
        assert difference != 0.0, name


# Local order.


def test_local_coherence():
    phase = np.random.default_rng(4).uniform(-np.pi, np.pi, (3, SIZE))
    dense = model("dense", "none").coupling
    weights = np.asarray(dense.weights, float)
    received = np.abs(weights).sum(axis=1)
    local = np.abs(np.exp(1j * phase) @ weights.T) / np.where(received == 0, 1, received)
    overall = np.broadcast_to(np.abs(vector(phase))[:, None], local.shape)
    frequency = np.zeros(SIZE)
    for coupling, wanted in (
        (dense, local),
        (-2.0 * dense, local),
        (tx.MeanField(1.0, 0.3), overall),
        (tx.Dense(np.ones((SIZE, SIZE)), norm="size"), overall),
    ):
        system = tx.PhaseOscillators(frequency, coupling)
        found = local_coherence(system, tx.init(system, phase=phase, members=3))
        # Sines and cosines are good to 4e-7, and 12 of them are added.
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)
    assert (local[:, 3] == 0).all()  # a row without input

    def read(phase):
        system = tx.PhaseOscillators(frequency, dense)
        return local_coherence(system, tx.init(system, phase=phase)).sum()

    assert np.isfinite(jax.grad(read)(jnp.asarray(phase[0], jnp.float32))).all()


def test_local_coherence_of_a_twisted_ring():
    """A wave of q turns on a ring of N: r_i = cos(2πq/N) everywhere, and no order on the whole."""
    size, turns = 24, 3
    ring = np.roll(np.eye(size), 1, axis=1) + np.roll(np.eye(size), -1, axis=1)
    system = tx.PhaseOscillators(np.zeros(size), tx.Dense(ring))
    phase = (2 * np.pi * turns * np.arange(size) / size + np.pi) % (2 * np.pi) - np.pi
    state = tx.init(system, phase=phase)
    # Two sines, each good to 4e-7.
    np.testing.assert_allclose(local_coherence(system, state), math.cos(math.pi / 4), atol=1e-6)
    assert float(tx.coherence(system, state)) < 1e-6


@pytest.mark.parametrize("coupling", [None, tx.MeanField(1.0) + tx.MeanField(0.5)])
def test_local_coherence_needs_one_set_of_weights(coupling):
    system = tx.PhaseOscillators(np.zeros(4), coupling)
    with pytest.raises(TypeError, match=r"neighbours.* Fix: "):
        local_coherence(system, tx.init(system, key=KEY))


# Bad input.

BAD = {
    "bins": (lambda: Histogram(tx.phase, 0, 1, 0), ValueError, "an integer ≥ 1"),
    "range": (lambda: Histogram(tx.phase, 1, 1, 4), ValueError, "low < high"),
    "ends": (lambda: Histogram(tx.phase, [0, 1], 2, 4), ValueError, r"shape \(\)"),
    "end": (lambda: Histogram(tx.phase, np.nan, 2, 4), ValueError, "finite numbers"),
    "smooth": (lambda: Histogram(tx.phase, 0, 1, 4, smooth=1), TypeError, "of bool"),
    "readout": (lambda: Histogram(abs, 0, 1, 4), TypeError, "an instance of Readout"),
    "every": (lambda: Extremes(tx.phase, every=0), ValueError, "an integer ≥ 1"),
    "extremes": (lambda: Extremes("phase"), TypeError, "an instance of Readout"),
    "level": (lambda: FirstPassage(tx.phase, np.inf), ValueError, "finite numbers"),
    "direction": (lambda: FirstPassage(tx.phase, 1, "left"), ValueError, "up, down"),
    "labels": (lambda: Metastability([0, 0, 2]), ValueError, "every one of 0 to 1"),
    "real": (lambda: Metastability([0.0, 1.0]), TypeError, "one integer per oscillator"),
    "communities": (lambda: Metastability([0, 1], communities=3), ValueError, "0 to 2"),
    "no lag": (lambda: Autocorrelation(tx.phase, ()), ValueError, "a sequence"),
    "one lag": (lambda: Autocorrelation(tx.phase, 3), ValueError, "a sequence"),
    "lag": (lambda: Autocorrelation(tx.phase, (1, -1)), ValueError, "an integer ≥ 0"),
    "half a lag": (lambda: Autocorrelation(tx.phase, (0.5,)), TypeError, "an integer ≥ 0"),
    "band": (lambda: BandPower(tx.phase, {"a": (3.0, 2.0)}, 8), ValueError, "low < high"),
    "bands": (lambda: BandPower(tx.phase, (8.0, 12.0), 8), ValueError, "a pair"),
    "negative": (lambda: BandPower(tx.phase, [(-1.0, 2.0)], 8), ValueError, "≥ 0"),
    "window": (lambda: BandPower(tx.phase, [(1, 2)], 3), ValueError, "an integer ≥ 4"),
    "long": (lambda: BandPower(tx.phase, [(1, 2)], 2**16), ValueError, "at most 32768"),
    "taper": (lambda: BandPower(tx.phase, [(1, 2)], 8, taper="no"), ValueError, "none, hann"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, kind, expected = BAD[case]
    with pytest.raises(kind, match=f"{expected}.* Fix: ") as caught:
        make()
    assert str(caught.value).startswith("got ")


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        (FirstPassage(tx.phase, [1.0, 2.0]), r"level of shape \(2,\).*\(\) or \(3,\)"),
        (Metastability([0, 1]), r"groups of shape \(2,\).*\(3,\)"),
    ],
)
def test_monitors_that_do_not_fit_the_model(monitor, expected):
    system, state = free(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match=expected):
        tx.simulate(system, state, dt=DT, steps=2, monitors={"it": monitor})


def test_traced_groups_need_their_number():
    @jax.jit
    def read(groups):
        system, state = free(np.zeros(4), [0.0, 0.1, 2.0, 2.5])
        watched = {"it": Metastability(groups, communities=2)}
        return tx.simulate(system, state, dt=DT, steps=2, monitors=watched).monitors["it"].mean

    wanted = [abs(vector(np.asarray(pair))) for pair in ([0.0, 0.1], [2.0, 2.5])]
    # Sines and cosines are good to 4e-7.
    np.testing.assert_allclose(read(jnp.asarray([0, 0, 1, 1])), wanted, atol=1e-6)
    with pytest.raises(ValueError, match="pass communities="):
        jax.jit(lambda groups: Metastability(groups).communities)(jnp.asarray([0, 1]))
