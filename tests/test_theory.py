"""Closed forms of tauax.theory against reference numbers, limits, and independent integration."""

import inspect

import numpy as np
import pytest

from tauax import theory

pytestmark = pytest.mark.filterwarnings("error")

# Reference values are printed to 8 decimals (9 for K08): half a unit of the last digit, plus slack.
PRINTED = 6e-9

REFERENCE = [
    ("K01", theory.coherence_lorentzian, (2.0, 0.5), 0.70710678),
    ("K03", theory.coherence_lorentzian, (0.5, 0.5), 0.0),
    ("K03-threshold", theory.critical_coupling_lorentzian, (0.5,), 1.0),
    ("K04", theory.coherence_gaussian, (2.0, 1.0), 0.71517396),
    ("K04-threshold", theory.critical_coupling_gaussian, (1.0,), 1.5957691),
    ("K06", theory.coherence_uniform, (1.5, 1.0), 0.89860999),
    ("K06-threshold", theory.critical_coupling_uniform, (1.0,), 1.27323954),
    ("K06-jump", theory.coherence_uniform, (4 / np.pi, 1.0), 0.78539816),
    ("K08", theory.locking_threshold, ([-1.0, 0.0, 1.0],), 1.704378316),
    ("K10-three", theory.locked_coherence, ([-1, 0, 1], [2, 3]), [0.88274752, 0.95837660]),
    ("K10-five", theory.locked_coherence, (np.linspace(-1, 1, 5), 2.0), 0.92088172),
    (
        "T01",
        theory.ott_antonsen_transient,
        ([1, 2, 5, 10], 0.1, 2.0, 0.5),
        [0.16211015, 0.25596588, 0.6131026, 0.70632158],
    ),
    (
        "T02-lorentzian",
        theory.free_decay_lorentzian,
        ([1, 2, 4], 0.8, 0.5),
        [0.48522453, 0.29430355, 0.10826823],
    ),
    (
        "T02-gaussian",
        theory.free_decay_gaussian,
        ([0.5, 1, 2], 0.8, 1.0),
        [0.70599752, 0.48522453, 0.10826823],
    ),
    # The root to 40 digits is 0.72415871762635...; 0.72415868, as sometimes quoted, is 4e-8 low.
    ("N01", theory.coherence_identical, (3.0, 1.0), 0.72415872),
    ("N01-threshold", theory.critical_coupling_identical, (1.0,), 2.0),
    ("N03", theory.incoherent_fluctuation, (1.0, 1.0), 2.0),
    ("N04", theory.mean_coherence_independent, (100,), 0.08862269),
    ("S01", theory.coherence_lorentzian, (3.0, 0.5, 0.5), 0.7875079),
    ("S01-frequency", theory.collective_frequency_lorentzian, (3.0, 0.5, 0.5), -1.16512537),
    ("S03", theory.synchronised_frequency, (1.0, 0.3), -0.29552021),
    ("A01-phase", theory.adler_phase, ([0.5, 0.9], 1.0), [0.52359878, 1.11976951]),
    (
        "A01-beat",
        theory.adler_beat_frequency,
        ([1.1, 1.25, 2.0], 1.0),
        [0.45825757, 0.75, 1.73205081],
    ),
    ("A06", theory.adler_phase, (1.0, 2.0), 0.52359878),
    ("A06-threshold", theory.locking_threshold, ([0.5, -0.5],), 1.0),
    ("G01", theory.star_locking_threshold, (10,), 0.81818182),
    ("G01-frequency", theory.star_frequency, (10,), 1.81818182),
    ("G02", theory.star_coherence_at_threshold, (10,), 0.91362506),
]


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [pytest.param(*row[1:], id=row[0]) for row in REFERENCE],
)
def test_reference_number(function, arguments, expected):
    # K04-threshold is printed to 7 decimals, so it alone needs half a unit of the seventh.
    tolerance = 6e-8 if expected == 1.5957691 else PRINTED
    np.testing.assert_allclose(function(*arguments), expected, rtol=0, atol=tolerance)


# Shapes and types


def test_every_function_is_covered_and_documented():
    public = {
        name: value
        for name, value in vars(theory).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    used = {row[1].__name__ for row in REFERENCE}
    assert set(public) - used == {"critical_coupling", "wrapped_cauchy_phases"}
    for name, function in public.items():
        assert "ValueError" in function.__doc__, name


ELEMENTWISE = [
    (theory.critical_coupling, (), 0.3),
    (theory.critical_coupling_lorentzian, (), 0.3),
    (theory.critical_coupling_gaussian, (), 0.3),
    (theory.critical_coupling_uniform, (), 0.3),
    (theory.critical_coupling_identical, (), 0.3),
    (theory.coherence_lorentzian, (0.5,), 2.5),
    (theory.collective_frequency_lorentzian, (0.5, 0.2), 2.5),
    (theory.coherence_gaussian, (0.5,), 2.5),
    (theory.coherence_uniform, (0.5,), 2.5),
    (theory.coherence_identical, (0.5,), 2.5),
    (theory.ott_antonsen_transient, (0.4, 2.0, 0.5), 2.5),
    (theory.free_decay_lorentzian, (0.4, 0.5), 2.5),
    (theory.free_decay_gaussian, (0.4, 0.5), 2.5),
    (theory.incoherent_fluctuation, (2.0,), 2.5),
    (theory.mean_coherence_independent, (), 7),
    (theory.adler_phase, (3.0,), 2.5),
    (theory.adler_beat_frequency, (2.0,), 2.5),
    (theory.star_locking_threshold, (), 7),
    (theory.star_frequency, (), 7),
    (theory.star_coherence_at_threshold, (), 7),
    (theory.synchronised_frequency, (0.2,), 2.5),
]


@pytest.mark.parametrize(
    ("function", "others", "first"),
    [pytest.param(*row, id=row[0].__name__) for row in ELEMENTWISE],
)
def test_scalar_gives_float_and_array_gives_array(function, others, first):
    scalar = function(first, *others)
    assert isinstance(scalar, float)
    array = function([[first, first, 2 * first]], *others)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float64
    assert array.shape == (1, 3)
    # Entries are independent up to one rounding error of a vectorised sum or power.
    np.testing.assert_allclose(array[0, :2], scalar, rtol=1e-15)
    np.testing.assert_allclose(array[0, 2], function(2 * first, *others), rtol=1e-15)


COHERENCES = [
    (theory.coherence_lorentzian, theory.critical_coupling_lorentzian),
    (theory.coherence_gaussian, theory.critical_coupling_gaussian),
    (theory.coherence_uniform, theory.critical_coupling_uniform),
    (theory.coherence_identical, theory.critical_coupling_identical),
]
coherences = pytest.mark.parametrize(
    ("coherence", "critical"), [pytest.param(*row, id=row[0].__name__) for row in COHERENCES]
)


@coherences
def test_coherence_broadcasts_both_arguments(coherence, critical):
    strength, width = np.linspace(-1, 9, 6)[:, None], np.array([0.0, 0.3, 2.0])
    table = coherence(strength, width)
    assert table.shape == (6, 3)
    assert table[4, 2] == pytest.approx(coherence(7.0, 2.0), rel=1e-15)  # one rounding error


@coherences
def test_coherence_is_zero_below_rises_above_and_saturates(coherence, critical):
    threshold = critical(0.7)
    assert np.all(coherence(threshold * np.array([-2.0, 0.0, 0.5, 1 - 1e-15]), 0.7) == 0)
    values = coherence(threshold * np.geomspace(1 + 1e-12, 1e9, 400), 0.7)
    # Values next to one may swap by the rounding of a sum, twice 2^-52.
    assert np.all(np.diff(values) > -5e-16)
    assert np.all((values > 0) & (values <= 1 + 4e-16))
    assert values[-1] == pytest.approx(1, abs=1e-9)  # the slowest, Lorentzian, misses 0.5e-9
    assert coherence(1e200, 1e-200) == pytest.approx(1, abs=4e-16)  # rounding


@coherences
def test_zero_width_synchronises_at_any_positive_strength(coherence, critical):
    np.testing.assert_allclose(coherence([-1.0, 0.0, 1e-9, 1e9], 0.0), [0, 0, 1, 1], atol=4e-16)


@coherences
def test_coherence_depends_on_the_ratio_only(coherence, critical):
    strength = np.linspace(0.1, 9, 50)
    # Powers of two rescale without rounding; 4e-16 is left for the division.
    np.testing.assert_allclose(
        coherence(strength, 1.0), coherence(strength / 1024, 1 / 1024), atol=4e-16
    )


# Thresholds


@pytest.mark.parametrize("excess", [1e-15, 1e-12, 1e-9, 1e-6])
@pytest.mark.parametrize(
    ("coherence", "critical", "slope"),
    [
        pytest.param(*COHERENCES[0], 1.0, id="lorentzian"),
        pytest.param(*COHERENCES[1], np.pi, id="gaussian"),
        pytest.param(*COHERENCES[3], 2.0, id="identical"),
    ],
)
def test_continuous_thresholds_open_with_the_square_root(coherence, critical, slope, excess):
    for width in (0.5, 3.0):
        threshold = critical(width)
        strength = threshold * (1 + excess)
        above = (strength - threshold) / threshold  # the excess that rounding has left, exactly
        # The next order is below 2 excess relative; a few rounding errors are left.
        assert coherence(strength, width) == pytest.approx(
            np.sqrt(slope * above), rel=2 * excess + 2e-15
        )


@pytest.mark.parametrize("excess", [1e-12, 1e-9, 1e-6])
def test_uniform_frequencies_jump_to_a_two_thirds_power(excess):
    critical = theory.critical_coupling_uniform(2.0)
    assert theory.coherence_uniform(critical, 2.0) == pytest.approx(np.pi / 4, rel=4e-16)
    assert theory.coherence_uniform(np.nextafter(critical, 0), 2.0) == 0
    rise = theory.coherence_uniform(critical * (1 + excess), 2.0) - np.pi / 4
    # The next order is O(excess^(1/3)) relative; the subtraction costs 2e-16/rise relative.
    leading = np.pi / 32 * (6 * np.pi * excess) ** (2 / 3)
    assert rise == pytest.approx(leading, rel=2 * excess ** (1 / 3) + 4e-16 / leading)


def test_critical_couplings_follow_from_the_central_density():
    # Only the rounding of the prefactors differs.
    width = np.array([0.1, 1.0, 7.0])
    rows = [
        (theory.critical_coupling_lorentzian(width), 1 / (np.pi * width)),
        (theory.critical_coupling_gaussian(width), 1 / (width * np.sqrt(2 * np.pi))),
        (theory.critical_coupling_uniform(width), 1 / (2 * width)),
    ]
    for critical, density in rows:
        np.testing.assert_allclose(critical, theory.critical_coupling(density), rtol=1e-15)
    assert theory.critical_coupling_lorentzian(0.5, 0.25) == 1.5
    assert theory.critical_coupling_lorentzian(0.0, 0.25) == theory.critical_coupling_identical(
        0.25
    )


# Self-consistency


@pytest.mark.parametrize(
    ("coherence", "leading"),
    [
        pytest.param(theory.coherence_lorentzian, lambda x: 1 - x, id="lorentzian"),
        pytest.param(theory.coherence_gaussian, lambda x: 1 - x**2 / 2, id="gaussian"),
        pytest.param(theory.coherence_uniform, lambda x: 1 - x**2 / 6, id="uniform"),
        pytest.param(theory.coherence_identical, lambda x: 1 - x / 2, id="identical"),
    ],
)
def test_strong_coupling_expansion(coherence, leading):
    ratio = np.array([1e-8, 1e-6, 1e-4])
    # The next order of each expansion is below 2 ratio²; the rest is rounding.
    np.testing.assert_array_less(
        np.abs(coherence(1 / ratio, 1.0) - leading(ratio)), 2 * ratio**2 + 5e-16
    )


def test_gaussian_solves_the_bessel_equation():
    special = pytest.importorskip("scipy.special")
    # The arguments a reach beyond the switch of the quadrature at 24, where K is near 9.9.
    ratios = [1.6, 2.0, 5.0, 9.8, 9.9, 10.0, 10.3, 10.6, 11.0, 40.0, 1e4]
    for strength, width in [(0.3 * ratio, 0.3) for ratio in ratios]:
        a = (strength * theory.coherence_gaussian(strength, width) / (2 * width)) ** 2
        sides = np.sqrt(np.pi / 8) * strength / width * (special.ive(0, a) + special.ive(1, a))
        assert sides == pytest.approx(1, abs=5e-15)  # some twenty rounding errors


def test_identical_solves_the_bessel_equation():
    special = pytest.importorskip("scipy.special")
    # The arguments reach beyond the switch of the quadrature at 24.
    for ratio in [2.001, 2.5, 3.0, 23.0, 24.0, 24.5, 25.0, 60.0, 1e3, 1e6]:
        coherence = theory.coherence_identical(ratio * 0.7, 0.7)
        bessel = special.ive(1, ratio * coherence) / special.ive(0, ratio * coherence)
        assert bessel == pytest.approx(coherence, abs=1e-15)  # rounding of scipy's and our ratio


def test_uniform_solves_its_equation():
    strength = np.array([1.274, 1.3, 1.5, 4.0, 100.0])
    coherence = theory.coherence_uniform(strength, 1.0)
    x = 1 / (strength * coherence)
    # asin next to x = 1 magnifies rounding by 1/sqrt(1 - x²), here below 40.
    np.testing.assert_allclose((np.sqrt(1 - x**2) + np.arcsin(x) / x) / 2, coherence, atol=1e-14)


@pytest.mark.parametrize(
    ("coherence", "density", "strength"),
    [
        pytest.param(
            theory.coherence_lorentzian, lambda w: 1 / (np.pi * (1 + w**2)), 2.6, id="lorentzian"
        ),
        pytest.param(
            theory.coherence_gaussian,
            lambda w: np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi),
            2.6,
            id="gaussian",
        ),
        pytest.param(theory.coherence_uniform, lambda w: 0.5 * (abs(w) < 1), 2.6, id="uniform"),
    ],
)
def test_mean_field_integral_over_the_frequency_density(coherence, density, strength):
    integrate = pytest.importorskip("scipy.integrate")
    field = strength * coherence(strength, 1.0)
    edge = np.arcsin(min(1, 1 / field)) if coherence is theory.coherence_uniform else np.pi / 2
    integral, _ = integrate.quad(
        lambda phase: np.cos(phase) ** 2 * density(field * np.sin(phase)), -edge, edge, epsabs=1e-13
    )
    assert strength * integral == pytest.approx(1, abs=1e-11)  # a hundred times quad's own target


def test_identical_is_the_mean_of_its_stationary_density():
    integrate = pytest.importorskip("scipy.integrate")
    strength, intensity = 3.0, 0.8
    coherence = theory.coherence_identical(strength, intensity)

    def moment(order):
        def weight(phase):
            return np.exp(strength * coherence / intensity * np.cos(phase)) * np.cos(order * phase)

        return integrate.quad(weight, 0, np.pi, epsabs=1e-13, epsrel=1e-13)[0]

    assert moment(1) / moment(0) == pytest.approx(coherence, abs=1e-12)  # quad's own target


# Dynamics on the Ott-Antonsen manifold

TRANSIENTS = [
    pytest.param(2.0, 0.5, id="above"),
    pytest.param(1.0, 0.5, id="at"),
    pytest.param(1.0 + 1e-9, 0.5, id="just-above"),
    pytest.param(1.0 - 1e-9, 0.5, id="just-below"),
    pytest.param(0.4, 0.5, id="below"),
    pytest.param(0.0, 0.5, id="uncoupled"),
    pytest.param(-1.5, 0.5, id="repulsive"),
    pytest.param(1.2, 0.0, id="identical"),
    pytest.param(-1.2, 0.0, id="identical-repulsive"),
    pytest.param(0.0, 0.0, id="frozen"),
]


@pytest.mark.parametrize(("strength", "width"), TRANSIENTS)
@pytest.mark.parametrize("initial", [0.01, 0.6, 1.0])
def test_transient_solves_its_equation(strength, width, initial):
    integrate = pytest.importorskip("scipy.integrate")
    time = np.linspace(0, 8, 9)
    solution = integrate.solve_ivp(
        lambda t, r: (strength / 2 - width) * r - strength / 2 * r**3,
        (0, 8),
        [initial],
        method="DOP853",
        t_eval=time,
        rtol=1e-12,
        atol=1e-14,
    )
    ours = theory.ott_antonsen_transient(time, initial, strength, width)
    # The integrator's global error: 1e-12 a step over some tens of steps, with room for growth.
    np.testing.assert_allclose(ours, solution.y[0], rtol=1e-9)
    assert ours[0] == pytest.approx(initial, rel=1e-15)


@pytest.mark.parametrize(("strength", "width"), TRANSIENTS)
def test_transient_composes(strength, width):
    halfway = theory.ott_antonsen_transient(1.7, 0.3, strength, width)
    twice = theory.ott_antonsen_transient(2.2, halfway, strength, width)
    # A dozen rounding errors.
    assert twice == pytest.approx(
        theory.ott_antonsen_transient(3.9, 0.3, strength, width), rel=3e-15
    )


def test_transient_limits():
    time = np.array([0.0, 0.3, 4.0, 300.0])
    # Exact identities, so rounding only.
    np.testing.assert_allclose(
        theory.ott_antonsen_transient(time, 0.8, 0.0, 0.5),
        theory.free_decay_lorentzian(time, 0.8, 0.5),
        rtol=1e-15,
    )
    np.testing.assert_allclose(
        theory.ott_antonsen_transient(time, 0.8, 1.0, 0.5),
        0.8 / np.sqrt(1 + 0.64 * time),
        rtol=1e-15,
    )
    assert theory.ott_antonsen_transient(1e4, 1e-3, 2.0, 0.5) == pytest.approx(
        theory.coherence_lorentzian(2.0, 0.5), rel=1e-15
    )
    assert theory.ott_antonsen_transient(1e4, 0.9, 0.5, 0.5) == 0  # e^-2500 underflows
    np.testing.assert_allclose(theory.ott_antonsen_transient(time, 1.0, 2.0, 0.0), 1, rtol=1e-15)
    # Repulsion leaves full synchrony, an unstable state, with the first rounding error.
    escape = theory.ott_antonsen_transient(np.geomspace(1, 1e6, 50), 1.0, -1.2, 0.0)
    assert np.all((escape >= 0) & (escape <= 1 + 1e-15))
    # The published form above threshold.
    final = theory.coherence_lorentzian(2.0, 0.5)
    published = final / np.sqrt(1 + ((final / 0.1) ** 2 - 1) * np.exp(-time))
    np.testing.assert_allclose(
        theory.ott_antonsen_transient(time, 0.1, 2.0, 0.5), published, rtol=1e-14
    )


def test_free_decay_is_the_characteristic_function():
    integrate = pytest.importorskip("scipy.integrate")
    for time in (0.5, 2.0, 4.0):
        lorentzian, _ = integrate.quad(
            lambda w: 2 * 0.5 / (np.pi * (0.25 + w**2)), 0, np.inf, weight="cos", wvar=time
        )
        gaussian, _ = integrate.quad(
            lambda w, t=time: np.exp(-(w**2) / 2) / np.sqrt(2 * np.pi) * np.cos(w * t), -9, 9
        )
        # quad's default absolute target is 1.5e-8.
        assert 0.8 * lorentzian == pytest.approx(
            theory.free_decay_lorentzian(time, 0.8, 0.5), abs=1.5e-8
        )
        assert 0.8 * gaussian == pytest.approx(
            theory.free_decay_gaussian(time, 0.8, 1.0), abs=1.5e-8
        )


@pytest.mark.parametrize("lag", [-0.7, 0.0, 0.5])
def test_lagged_mean_field_rotates_at_the_collective_frequency(lag):
    integrate = pytest.importorskip("scipy.integrate")
    strength, width, centre = 3.0, 0.5, 0.4

    def flow(time, field):
        pull = field * np.exp(-1j * lag) - field**2 * np.conj(field) * np.exp(1j * lag)
        return (1j * centre - width) * field + strength / 2 * pull

    end = integrate.solve_ivp(flow, (0, 40), [0.3 + 0j], method="DOP853", rtol=1e-11, atol=1e-12)
    field = end.y[0, -1]
    rotation = (flow(0, field) / field).imag
    # Transients are down to e^-60; 1e-9 leaves a hundred times the integrator's tolerance.
    assert abs(field) == pytest.approx(theory.coherence_lorentzian(strength, width, lag), abs=1e-9)
    assert rotation == pytest.approx(
        theory.collective_frequency_lorentzian(strength, width, lag, centre), abs=1e-9
    )


def test_lag_raises_the_threshold():
    # cos(lag) K = 1.0 is the threshold of width 0.5.
    lag = 1.0
    assert theory.coherence_lorentzian(0.999 / np.cos(lag), 0.5, lag) == 0
    assert theory.coherence_lorentzian(1.001 / np.cos(lag), 0.5, lag) > 0.03
    assert theory.coherence_lorentzian(5.0, 0.5, 2.0) == 0
    assert theory.collective_frequency_lorentzian(0.5, 0.5, lag, 2.0) == pytest.approx(
        2 - 0.25 * np.sin(lag), rel=1e-15
    )


# Fluctuations


def test_incoherent_fluctuation_is_the_variance_of_the_linear_mode():
    linalg = pytest.importorskip("scipy.linalg")
    for strength in (-1.0, 0.0, 1.0, 1.9):
        drift = -(1.0 - strength / 2) * np.eye(2)
        variance = linalg.solve_continuous_lyapunov(drift, -1.0 * np.eye(2))
        # A 2 x 2 linear solve: rounding only.
        assert theory.incoherent_fluctuation(strength, 1.0) == pytest.approx(
            np.trace(variance), rel=1e-13
        )


def test_incoherent_fluctuation_diverges_at_the_threshold():
    assert theory.incoherent_fluctuation(0.0, 0.3) == 1.0
    assert theory.incoherent_fluctuation(0.6, 0.3) == np.inf
    np.testing.assert_array_equal(
        theory.incoherent_fluctuation([2.0, 5.0, 1.0], 1.0), [np.inf] * 2 + [2]
    )


def test_mean_coherence_of_random_phases():
    phase = np.random.default_rng(1).uniform(0, 2 * np.pi, (4000, 100))
    sample = np.abs(np.exp(1j * phase).mean(axis=1))
    # r has standard deviation 0.046, its mean over 4000 draws 0.0007: five of these.
    assert sample.mean() == pytest.approx(theory.mean_coherence_independent(100), abs=0.0037)


# Locking of finite sets

SETS = [
    pytest.param([0.5, -0.5], id="two"),
    pytest.param([-1, 0, 1], id="three"),
    pytest.param([0, 0, 0, 3], id="outlier"),
    pytest.param(np.linspace(-1, 1, 5), id="five"),
    pytest.param(np.random.default_rng(3).normal(4.0, 1.0, 50), id="gaussian-50"),
    pytest.param([0.0] * 2000 + [1.0], id="outlier-2000"),
]


@pytest.mark.parametrize("frequency", SETS)
def test_locking_threshold_is_the_least_coupling_of_a_locked_state(frequency):
    optimize = pytest.importorskip("scipy.optimize")
    offset = np.asarray(frequency) - np.mean(frequency)
    largest = np.abs(offset).max()

    def coupling(field):
        return field / np.mean(np.sqrt(1 - (offset / field) ** 2))

    least = optimize.minimize_scalar(
        coupling, bounds=(largest, 1.5 * largest), method="bounded", options={"xatol": 1e-10}
    )
    # A minimum is flat: the error is second order in xatol, except for the curvature next to the
    # edge, which grows like 1/(u - u_min)^(3/2).
    assert theory.locking_threshold(frequency) == pytest.approx(least.fun, rel=1e-9)


@pytest.mark.parametrize("frequency", SETS)
@pytest.mark.parametrize("excess", [0.0, 1e-6, 1e-2, 3.0, 1e6])
def test_locked_state_is_a_stable_fixed_point(frequency, excess):
    offset = np.asarray(frequency) - np.mean(frequency)
    strength = theory.locking_threshold(frequency) * (1 + excess)
    coherence = theory.locked_coherence(frequency, strength)
    phase = np.arcsin(np.clip(offset / (strength * coherence), -1, 1))
    field = np.mean(np.exp(1j * phase))
    # At the threshold the two branches meet: K is flat in r, rounding 1e-16 moves r by up to 1e-7.
    assert abs(field) == pytest.approx(coherence, abs=1e-7 if excess == 0 else 1e-11)
    velocity = offset + strength * np.imag(field * np.exp(-1j * phase))
    np.testing.assert_allclose(velocity, 0, atol=2e-7 * strength)
    if len(offset) <= 50 and excess > 0:
        jacobian = strength * np.cos(phase[None, :] - phase[:, None]) / len(offset)
        jacobian -= np.diag(jacobian.sum(axis=1))
        rates = np.sort(np.linalg.eigvalsh(jacobian))
        assert abs(rates[-1]) < 1e-13 * strength * len(offset)  # rotation; rounding of eigvalsh
        assert rates[-2] < 0


def test_no_locked_state_below_threshold():
    threshold = theory.locking_threshold([-1, 0, 1])
    values = theory.locked_coherence([-1, 0, 1], threshold * np.array([-1, 0, 1 - 1e-12, 1, 2]))
    np.testing.assert_array_equal(np.isnan(values), [True, True, True, False, False])
    assert theory.locked_coherence([-1, 0, 1], 1e12) == pytest.approx(1, abs=1e-15)  # rounding


def test_identical_frequencies_lock_at_once():
    assert theory.locking_threshold([0.1, 0.1, 0.1]) == 0
    assert theory.locking_threshold([5.0]) == 0
    np.testing.assert_array_equal(
        theory.locked_coherence([0.1] * 3, [-1, 0, 1]), [np.nan] * 2 + [1]
    )


def test_locking_is_invariant_under_shift_and_scale():
    frequency = np.array([0.0, 0.3, 1.0, 2.2])
    # Shifting by 7 costs a few rounding errors of 9.
    shifted = theory.locking_threshold(2 * frequency + 7)
    assert shifted == pytest.approx(2 * theory.locking_threshold(frequency), rel=1e-14)
    assert theory.locking_threshold(-frequency) == pytest.approx(shifted / 2, rel=1e-14)


def test_many_uniform_frequencies_approach_the_continuum():
    size = 2000
    frequency = (2 * np.arange(size) + 1) / size - 1
    # The coherence is a midpoint rule of a smooth integrand, error O(1/N²).
    assert theory.locked_coherence(frequency, 1.5) == pytest.approx(
        theory.coherence_uniform(1.5, 1.0), abs=1e-6
    )
    # The threshold is a midpoint rule next to a square-root edge, error O(N^(-3/2)), 1.1e-5 here.
    assert theory.locking_threshold(frequency) == pytest.approx(4 / np.pi, abs=2e-5)


# Two oscillators, stars, synchrony


def test_adler_phase_is_the_stable_root():
    detuning = np.array([-1.0, -0.4, 0.0, 0.4, 1.0])
    for strength in (1.0, -1.0, 2.5):
        phase = theory.adler_phase(detuning, strength)
        # Rounding of sin near its extremum and of one division.
        np.testing.assert_allclose(strength * np.sin(phase), detuning, atol=1e-15)
        assert np.all(strength * np.cos(phase) > -1e-15)
    assert np.isnan(theory.adler_phase(1.01, 1.0))
    assert np.isnan(theory.adler_phase(0.0, 0.0))


def test_adler_beat_is_the_inverse_period():
    integrate = pytest.importorskip("scipy.integrate")
    for detuning in (1.01, 1.25, 2.0, -3.0):
        period, _ = integrate.quad(
            lambda phase, d=detuning: 1 / (d - np.sin(phase)), 0, 2 * np.pi, epsrel=1e-12
        )
        # A hundred times quad's own target.
        assert theory.adler_beat_frequency(detuning, 1.0) == pytest.approx(
            2 * np.pi / period, rel=1e-10
        )
    np.testing.assert_array_equal(theory.adler_beat_frequency([-1.0, 0.3, 1.0], 1.0), 0)
    assert theory.adler_beat_frequency(-2.0, 0.0) == -2


@pytest.mark.parametrize("leaves", [1, 2, 10, 300])
def test_star_at_its_threshold_turns_rigidly(leaves):
    phase = np.array([np.pi / 2] + [0.0] * leaves)
    strength = theory.star_locking_threshold(leaves)
    hub = leaves + strength * np.sin(phase[1:] - phase[0]).sum()
    leaf = 1 + strength * np.sin(phase[0] - phase[1:])
    # Rounding of a sum of that many ones.
    np.testing.assert_allclose(hub, theory.star_frequency(leaves), rtol=1e-13)
    np.testing.assert_allclose(leaf, theory.star_frequency(leaves), rtol=1e-15)
    assert theory.star_coherence_at_threshold(leaves) == pytest.approx(
        abs(np.exp(1j * phase).mean()), rel=1e-14
    )


def test_synchronised_frequency_is_the_common_velocity():
    phase = np.full(10, 0.7)
    velocity = 2.0 + 1.3 * np.sin(phase[None, :] - phase[:, None] - 0.4).mean(axis=1)
    # A mean of ten equal numbers: rounding only.
    np.testing.assert_allclose(velocity, theory.synchronised_frequency(1.3, 0.4, 2.0), rtol=1e-15)


# Wrapped Cauchy phases


@pytest.mark.parametrize("concentration", [0.0, 0.1, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_wrapped_cauchy_mean_is_exact_up_to_a_known_power(concentration, count):
    phase = theory.wrapped_cauchy_phases(count, concentration, 0.4)
    assert phase.shape == (count,)
    assert np.all(np.diff(phase) >= 0)
    assert np.all(np.abs(phase - 0.4) <= np.pi)
    # The quantiles are the Moebius image of an even ring: its mean has a finite sum.
    power = concentration ** (count - 1)
    mean = concentration + (1 - concentration**2) * power / (1 + concentration * power)
    np.testing.assert_allclose(np.exp(1j * phase).mean(), mean * np.exp(0.4j), atol=1e-14)


def test_wrapped_cauchy_phases_are_quantiles():
    integrate = pytest.importorskip("scipy.integrate")

    def density(phase):
        return (1 - 0.36) / (2 * np.pi * (1 + 0.36 - 1.2 * np.cos(phase)))

    for number, phase in enumerate(theory.wrapped_cauchy_phases(7, 0.6)):
        level, _ = integrate.quad(density, -np.pi, phase, epsabs=1e-13)
        assert level == pytest.approx((number + 0.5) / 7, abs=1e-12)  # ten times quad's own target


# Bad input

BAD = [
    (theory.critical_coupling, (0.0,), "density_at_centre = 0.0", "density > 0"),
    (theory.critical_coupling, ([0.3, -1],), r"density_at_centre = \[0.3, -1\]", "density > 0"),
    (theory.critical_coupling_lorentzian, (-0.5,), "width = -0.5", ">= 0 in rad/s"),
    (theory.critical_coupling_lorentzian, (0.5, -0.1), "intensity = -0.1", "D >= 0"),
    (theory.critical_coupling_gaussian, (np.nan,), "width = nan", "finite width"),
    (theory.critical_coupling_uniform, (np.inf,), "width = inf", "finite width"),
    (theory.critical_coupling_identical, (-1,), "intensity = -1", "D >= 0"),
    (theory.coherence_lorentzian, (2, -0.5), "width = -0.5", "drop its sign"),
    (theory.coherence_lorentzian, (np.nan, 0.5), "strength = nan", "finite"),
    (theory.coherence_lorentzian, (2, 0.5, np.inf), "lag = inf", "finite"),
    (theory.coherence_lorentzian, ("strong", 0.5), "strength = 'strong'", "finite"),
    (theory.coherence_lorentzian, (2, None), "width = None", "finite"),
    (theory.coherence_lorentzian, (1j, 0.5), "strength = 1j", "finite"),
    (theory.collective_frequency_lorentzian, (2, 0.5, 0.1, np.nan), "centre = nan", "finite"),
    (theory.collective_frequency_lorentzian, (2, -0.5, 0.1), "width = -0.5", "drop its sign"),
    (theory.coherence_gaussian, (2, -1), "width = -1", "drop its sign"),
    (theory.coherence_gaussian, (np.inf, 1), "strength = inf", "finite"),
    (theory.coherence_uniform, (2, -1), "width = -1", "drop its sign"),
    (theory.coherence_identical, (2, -1), "intensity = -1", "noise"),
    (theory.ott_antonsen_transient, (-1, 0.1, 2, 0.5), "time = -1", "initial state"),
    (theory.ott_antonsen_transient, (1, 0.0, 2, 0.5), "initial = 0.0", r"\(0, 1\]"),
    (theory.ott_antonsen_transient, (1, 1.1, 2, 0.5), "initial = 1.1", r"\(0, 1\]"),
    (theory.ott_antonsen_transient, (1, 0.1, 2, -0.5), "width = -0.5", "drop its sign"),
    (theory.free_decay_lorentzian, (1, -0.1, 0.5), "initial = -0.1", r"\(0, 1\]"),
    (theory.free_decay_gaussian, (np.nan, 0.1, 0.5), "time = nan", "finite"),
    (theory.incoherent_fluctuation, (1, -1), "intensity = -1", "D >= 0"),
    (theory.mean_coherence_independent, (0,), "size = 0", "whole numbers >= 1"),
    (theory.mean_coherence_independent, (2.5,), "size = 2.5", "whole numbers >= 1"),
    (theory.locking_threshold, ([],), r"frequency = \[\]", "one set"),
    (theory.locking_threshold, (3.0,), "frequency = 3.0", "one set"),
    (theory.locking_threshold, ([[0, 1]],), "frequency = ", "one set"),
    (theory.locking_threshold, ([0, np.nan],), "frequency = ", "finite"),
    (theory.locked_coherence, ([0, 1], np.nan), "strength = nan", "finite"),
    (theory.locked_coherence, ([[0, 1]], 2), "frequency = ", "one set"),
    (theory.adler_phase, (np.nan, 1), "detuning = nan", "finite"),
    (theory.adler_beat_frequency, (1, np.inf), "strength = inf", "finite"),
    (theory.star_locking_threshold, (0,), "leaves = 0", "whole numbers"),
    (theory.star_frequency, (1.5,), "leaves = 1.5", "whole numbers"),
    (theory.star_coherence_at_threshold, (-3,), "leaves = -3", "whole numbers"),
    (theory.synchronised_frequency, (1, np.nan), "lag = nan", "finite"),
    (theory.wrapped_cauchy_phases, (0, 0.5), "n = 0", "one whole number"),
    (theory.wrapped_cauchy_phases, ([3, 4], 0.5), r"n = \[3, 4\]", "one whole number"),
    (theory.wrapped_cauchy_phases, (np.inf, 0.5), "n = inf", "one whole number"),
    (theory.wrapped_cauchy_phases, (5, 1.5), "concentration = 1.5", r"\[0, 1\]"),
    (theory.wrapped_cauchy_phases, (5, 0.5, np.nan), "centre = nan", "finite"),
]


@pytest.mark.parametrize(
    ("function", "arguments", "given", "expected"),
    [pytest.param(*row, id=f"{row[0].__name__}-{number}") for number, row in enumerate(BAD)],
)
def test_bad_input_is_named(function, arguments, given, expected):
    with pytest.raises(ValueError, match=f"^{given}.*: expected .*{expected}"):
        function(*arguments)
