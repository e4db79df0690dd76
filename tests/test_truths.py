"""Law 8: closed forms and published numbers, by their catalogue id, reproduced by simulation.

The closed forms are `tauax.theory`, pinned to the published numbers by its own tests. Where chance
plays a part the tolerance is five standard errors of the run itself, taken over its members.
"""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax import theory
from tauax.numerics.circular import resultant

KEY = jax.random.key(8)


def strength(model):
    return model.coupling.strength


def lag(model):
    return model.coupling.lag


def frequency(model):
    return model.frequency


def array(values):
    """The values in the default precision: float64 inside the fixture `x64`."""
    return jnp.asarray(values, float)


def grid_of(frequencies, strengths, lags=0.0):
    """Mean-field systems along one axis, a set of frequencies, a strength and a lag each."""
    strengths = array(strengths)
    lags = jnp.broadcast_to(array(lags), strengths.shape)
    frequencies = jnp.broadcast_to(array(frequencies), (len(strengths), np.shape(frequencies)[-1]))
    model = tx.PhaseOscillators(frequencies[0], tx.MeanField(1.0))
    moved = {"f": (frequency, frequencies), "k": (strength, strengths), "a": (lag, lags)}
    return tx.vary(model, {"case": tx.zipped(moved)})


def run(model, dt, steps, *, stepper=tx.RK4(), monitors=None, **start):
    state = tx.init(model, **start)
    return tx.simulate(model, state, dt=dt, steps=steps, stepper=stepper, monitors=monitors or {})


def error_of_mean(values):
    """The mean over members and its standard error."""
    values = np.asarray(values, np.float64)
    return values.mean(), values.std(ddof=1) / math.sqrt(len(values))


def spread(frequency):
    """Largest difference between the frequencies of the oscillators of one system."""
    return np.ptp(np.asarray(frequency), axis=-1)


# The continuum: 2000 quantile frequencies stand for the whole law.

LORENTZ, GAUSS, UNIFORM = "lorentzian", "gaussian", "uniform"
CONTINUUM = {
    "K01": (LORENTZ, 0.5, 2.0, 0.0),
    "K01 strong": (LORENTZ, 0.5, 4.0, 0.0),
    "K03": (LORENTZ, 0.5, 0.5, 0.0),
    "K04": (GAUSS, 1.0, 2.0, 0.0),
    "K04 strong": (GAUSS, 1.0, 3.0, 0.0),
    "K06": (UNIFORM, 1.0, 1.5, 0.0),
    "K06 above the jump": (UNIFORM, 1.0, 1.28, 0.0),
    "K06 below the jump": (UNIFORM, 1.0, 1.2, 0.0),
    "S01": (LORENTZ, 0.5, 3.0, 0.5),
    "S01 negative": (LORENTZ, 0.5, 3.0, -0.8),
}


@cache
def continuum():
    """For each case its coherence averaged over t = 40 to 80, at t = 80, and its frequencies."""
    laws = [getattr(tx.frequencies, law)(2000, 0.0, width) for law, width, *_ in CONTINUUM.values()]
    _, _, strengths, lags = zip(*CONTINUUM.values(), strict=True)
    grid = grid_of(np.stack(laws), strengths, lags)
    phase = np.random.default_rng(1).uniform(-math.pi, math.pi, (len(CONTINUUM), 2000))
    phase[["jump" in name for name in CONTINUUM]] = 0.0  # the coherent side of the jump
    # dt is coarse for the fastest oscillators only, which no mean field can hold anyway.
    monitors = {"r": tx.Moments(tx.coherence, after=800), "turns": tx.Rotations(after=800)}
    sol = run(grid, 0.05, 1600, phase=phase, monitors=monitors)
    final = tx.coherence(grid, sol.state)
    speeds = sol.monitors["turns"].frequency
    means = sol.monitors["r"].mean
    return {
        name: (float(means[i]), float(final[i]), np.asarray(laws[i]), np.asarray(speeds[i]))
        for i, name in enumerate(CONTINUUM)
    }


@pytest.mark.parametrize("case", ["K01", "K01 strong"])
def test_k01_lorentzian_coherence(case):
    _, width, coupling, _ = CONTINUUM[case]
    # 0.004: finite-size fluctuations of 2000 quantiles averaged over 40 s.
    assert continuum()[case][0] == pytest.approx(
        theory.coherence_lorentzian(coupling, width), abs=0.004
    )


def test_k03_incoherent_below_the_threshold():
    _, width, coupling, _ = CONTINUUM["K03"]
    assert theory.coherence_lorentzian(coupling, width) == 0.0
    assert continuum()["K03"][0] < 0.1  # a few times 1/√2000


@pytest.mark.parametrize("case", ["K04", "K04 strong"])
def test_k04_gaussian_coherence(case):
    _, width, coupling, _ = CONTINUUM[case]
    # 0.003: finite-size fluctuations of 2000 quantiles averaged over 40 s.
    assert continuum()[case][0] == pytest.approx(
        theory.coherence_gaussian(coupling, width), abs=0.003
    )


def test_k06_uniform_locked_coherence():
    _, width, coupling, _ = CONTINUUM["K06"]
    _, final, _, speeds = continuum()["K06"]
    # 1e-5: the midpoint quantiles differ from the continuum by 1/N², float32 by a few 1e-7.
    assert final == pytest.approx(theory.coherence_uniform(coupling, width), abs=1e-5)
    assert spread(speeds) < 1e-4  # the last of the transient, and rounding of 40 s of phase


def test_k06_uniform_jump():
    jump = math.pi / 4
    above, below = continuum()["K06 above the jump"], continuum()["K06 below the jump"]
    _, width, coupling, _ = CONTINUUM["K06 above the jump"]
    # 1e-3: the slow transient next to the jump, and 1/N of the outermost oscillators.
    assert above[1] == pytest.approx(theory.coherence_uniform(coupling, width), abs=1e-3)
    assert above[1] > jump
    assert below[0] < 0.5 * jump


@pytest.mark.parametrize("case", ["S01", "S01 negative"])
def test_s01_lagged_coherence_and_frequency(case):
    _, width, coupling, angle = CONTINUUM[case]
    mean, _, own, speeds = continuum()[case]
    rotation = theory.collective_frequency_lorentzian(coupling, width, angle)
    # 0.003: as K01. The oscillators near Ω are locked and show it.
    assert mean == pytest.approx(theory.coherence_lorentzian(coupling, width, angle), abs=0.003)
    assert np.median(speeds[np.abs(own - rotation) < 0.3]) == pytest.approx(rotation, abs=0.003)


# Few oscillators


def test_k08_exact_locking_threshold():
    sets = np.array([[-1.0, 0.0, 1.0], [-1.0, 0.3, 0.9]])
    factors = np.array([0.998, 1.002])
    thresholds = [factors * theory.locking_threshold(one) for one in sets]
    grid = grid_of(np.repeat(sets, 2, axis=0), np.concatenate(thresholds))
    sol = run(grid, 0.1, 20_000, key=KEY, monitors={"turns": tx.Rotations(after=10_000)})
    turns = np.ptp(np.asarray(sol.monitors["turns"].displacement), axis=-1).reshape(2, 2)
    assert (turns[:, 0] > 4 * math.pi).all()  # two beats at the least in 1000 s
    assert (turns[:, 1] < 0.01).all()  # the last of the slow transient next to the threshold


@pytest.mark.parametrize(
    ("frequencies", "strengths"),
    [(np.linspace(-1, 1, 3), [2.0, 3.0]), (np.linspace(-1, 1, 5), [2.0])],
)
def test_k10_locked_coherence(x64, frequencies, strengths):
    grid = grid_of(frequencies, strengths)
    sol = run(grid, 0.1, 600, phase=np.zeros(len(frequencies)))
    # 1e-9: a fixed point has no discretisation error, and the transient is e^{-60}.
    np.testing.assert_allclose(
        tx.coherence(grid, sol.state),
        [theory.locked_coherence(frequencies, one) for one in strengths],
        atol=1e-9,
    )


def test_s03_frequency_of_identical_oscillators(x64):
    size, angle = 10, 0.3
    others = np.ones((size, size)) - np.eye(size)
    couplings = {
        theory.synchronised_frequency(1.0, angle): tx.MeanField(1.0, angle),
        -(size - 1) / size * math.sin(angle): tx.Dense(others, 1.0, angle, norm="size"),
    }
    for expected, coupling in couplings.items():
        model = tx.PhaseOscillators(array(np.zeros(size)), coupling)
        monitors = {"turns": tx.Rotations(after=400)}
        sol = run(model, 0.1, 500, phase=np.linspace(-0.5, 0.5, size), monitors=monitors)
        # 1e-8: what is left of the transient after 40 s is e^{-38}.
        np.testing.assert_allclose(sol.monitors["turns"].frequency, expected, atol=1e-8)


def test_a06_two_oscillators_are_one_adler_equation(x64):
    detuning, strengths = 1.0, [2.0, 0.8]
    beat = theory.adler_beat_frequency(detuning, strengths[1])
    steps = 10_000
    period = 50 * 2 * math.pi / beat  # whole beats, so that the mean is exact
    grid = grid_of([0.5, -0.5], strengths)
    monitors = {"turns": tx.Rotations(after=steps), "phase": tx.Trace(tx.phase, every=100)}
    sol = run(grid, period / steps, 2 * steps + 1, phase=np.zeros(2), monitors=monitors)
    phase = np.asarray(sol.monitors["phase"].value[0])
    apart = phase[:, 0] - phase[:, 1]
    locked = theory.adler_phase(detuning, strengths[0])
    # 1e-9: a fixed point has no discretisation error.
    assert apart[-1] == pytest.approx(locked, abs=1e-9)
    decay = np.log((apart[3] - locked) / (apart[2] - locked)) / (period / steps * 100)
    # 1e-2: the second-order term of the deviation, 0.003 at that time.
    assert decay == pytest.approx(-math.sqrt(strengths[0] ** 2 - detuning**2), abs=1e-2)
    speeds = np.asarray(sol.monitors["turns"].frequency)
    assert spread(speeds[0]) < 1e-9
    # 1e-6: RK4 at dt = 0.05.
    assert spread(speeds[1]) == pytest.approx(beat, abs=1e-6)


# Transients from the Ott–Antonsen manifold: every frequency with every phase.


def manifold(law, width, count, phases, initial):
    """Every one of `count` frequencies with every one of `phases` phases."""
    own = getattr(tx.frequencies, law)(count, 0.0, width)
    return np.repeat(own, phases), np.tile(theory.wrapped_cauchy_phases(phases, initial), count)


def test_t01_ott_antonsen_transient():
    width, coupling, initial, times = 0.5, 2.0, 0.1, np.array([1.0, 2.0, 5.0, 10.0])
    own, phase = manifold(LORENTZ, width, 200, 60, initial)
    monitors = {"r": tx.Trace(tx.coherence, every=100)}
    sol = run(grid_of(own, [coupling]), 0.01, 1001, phase=phase, monitors=monitors)
    # 0.003: 200 quantiles of the frequency law.
    np.testing.assert_allclose(
        sol.monitors["r"].value[0, times.astype(int)],
        theory.ott_antonsen_transient(times, initial, coupling, width),
        atol=0.003,
    )


def test_t02_free_decay():
    initial, dt, times = 0.8, 0.5, np.array([0.5, 1.0, 2.0, 4.0])
    rows = [
        manifold(law, width, 4000, 40, initial) for law, width in ((LORENTZ, 0.5), (GAUSS, 1.0))
    ]
    frequencies, phase = np.stack(rows, axis=1)
    monitors = {"r": tx.Trace(tx.coherence)}
    grid = grid_of(frequencies, [0.0, 0.0])
    # Without coupling a step of any length is exact.
    sol = run(grid, dt, 9, stepper=tx.Euler(), phase=phase, monitors=monitors)
    lorentzian, gaussian = sol.monitors["r"].value[:, (times / dt).astype(int)]
    # 0.003: 4000 quantiles of the frequency law, whose outermost wrap at such a step.
    expected = theory.free_decay_lorentzian(times, initial, 0.5)
    np.testing.assert_allclose(lorentzian, expected, atol=0.003)
    np.testing.assert_allclose(
        gaussian, theory.free_decay_gaussian(times, initial, 1.0), atol=0.003
    )


# Noise


def identical(size, coupling, intensity):
    return tx.PhaseOscillators(np.zeros(size), tx.MeanField(coupling), tx.WhiteNoise(intensity))


def stationary_coherence(dt, time, members, stepper=tx.Euler()):
    """⟨r⟩ of 4000 oscillators with K = 3 and D = 1 after 10 s, with its standard error."""
    monitors = {"r": tx.Moments(tx.coherence, every=max(1, round(0.1 / dt)), after=round(10 / dt))}
    sol = run(
        identical(4000, 3.0, 1.0),
        dt,
        round((10 + time) / dt),
        stepper=stepper,
        key=KEY,
        members=members,
        phase=theory.wrapped_cauchy_phases(4000, 0.72),
        monitors=monitors,
    )
    return error_of_mean(sol.monitors["r"].mean)


# Below 4e-4: second-order bias of Heun at dt = 0.05 and 1/N terms of 4000 oscillators.
SMALL_BIAS = 4e-4


@pytest.mark.slow
def test_n01_identical_noisy_oscillators():
    exact = theory.coherence_identical(3.0, 1.0)
    euler, _ = stationary_coherence(0.01, 50, 8)
    assert euler == pytest.approx(exact, abs=0.006)  # the bias of Euler is −0.0046
    heun, error = stationary_coherence(0.05, 100, 16, tx.Heun())
    assert heun == pytest.approx(exact, abs=5 * error + SMALL_BIAS)


@pytest.mark.slow
def test_n01_the_bias_of_euler_shrinks_linearly():
    steps = np.array([0.1, 0.05, 0.025])
    means, errors = np.array([stationary_coherence(dt, 100, 16) for dt in steps]).T
    bias = theory.coherence_identical(3.0, 1.0) - means
    assert (bias > 5 * errors).all()
    slopes = np.diff(np.log(bias)) / np.diff(np.log(steps))
    doubt = np.hypot((errors / bias)[1:], (errors / bias)[:-1]) / math.log(2)
    # 0.12: the second-order term at dt = 0.1; the rest is chance.
    assert (np.abs(slopes - 1.0) < 0.12 + 5 * doubt).all(), (slopes, doubt)


@pytest.mark.slow
def test_n03_fluctuations_below_the_threshold():
    size, dt, coupling, intensity = 1000, 0.05, 1.0, 1.0
    monitors = {"r": tx.Moments(tx.coherence, every=2, after=200)}
    model = identical(size, coupling, intensity)
    sol = run(model, dt, 2200, stepper=tx.Euler(), key=KEY, members=64, monitors=monitors)
    moments = sol.monitors["r"]
    mean, error = error_of_mean(size * (moments.mean**2 + moments.variance))
    assert mean == pytest.approx(theory.incoherent_fluctuation(coupling, intensity), abs=0.25)
    # What Euler itself makes of it: each step multiplies the linear mode by (1 + K dt/2) and then
    # noise multiplies it by e^{-D dt} and renews the rest of its variance.
    kept = math.exp(-2 * intensity * dt)
    discrete = (1 - kept) / (1 - kept * (1 + coupling * dt / 2) ** 2)
    assert mean == pytest.approx(discrete, abs=5 * error + 0.01)  # 0.01: terms of order 1/N
    assert error < 0.05  # so that the line above can tell Euler's 1.93 from 2


def test_n04_independent_phases():
    size = 100
    model = tx.PhaseOscillators(np.linspace(-3, 3, size), noise=tx.WhiteNoise(0.5))
    state = tx.init(model, key=KEY, members=20_000)
    moved = tx.simulate(model, state, dt=0.05, steps=5).state
    for one in (state, moved):
        coherence = np.asarray(tx.coherence(model, one), np.float64)
        mean, error = error_of_mean(size * coherence**2)
        assert mean == pytest.approx(1.0, abs=5 * error)
        mean, error = error_of_mean(coherence)
        # 1e-4: the closed form leaves out a relative 1/(16 N).
        expected = theory.mean_coherence_independent(size)
        assert mean == pytest.approx(expected, abs=5 * error + 1e-4)


@pytest.mark.slow
def test_n08_the_mean_phase_is_brownian():
    size, intensity, time, members = 10, 0.3, 5.0, 40_000
    own = np.linspace(-0.5, 1.5, size)
    model = tx.PhaseOscillators(own, tx.MeanField(2.0), tx.WhiteNoise(intensity))
    # One record more than steps to t = 5, because a monitor reads before each step.
    sol = run(
        model,
        0.1,
        51,
        stepper=tx.Euler(),
        key=KEY,
        members=members,
        monitors={"turns": tx.Rotations()},
    )
    travelled = np.asarray(sol.monitors["turns"].displacement, np.float64).mean(axis=-1)
    variance = 2 * intensity * time / size
    mean, error = error_of_mean(travelled)
    assert mean == pytest.approx(own.mean() * time, abs=5 * error)
    # The variance of 40 000 Gaussians has a relative error √(2/M) = 0.7 %.
    assert travelled.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / members))


# Graphs


def star(leaves):
    """Hub 0 and its leaves, with the frequencies that make locking explosive."""
    weights = np.zeros((leaves + 1, leaves + 1))
    weights[0, 1:] = weights[1:, 0] = 1.0
    return np.array([leaves, *np.ones(leaves)], float), weights


def test_g01_g02_star():
    leaves = 10
    own, weights = star(leaves)
    factors = np.array([0.995, 1.0005, 1.005])
    model = tx.PhaseOscillators(own, tx.Dense(weights))
    threshold = theory.star_locking_threshold(leaves)
    grid = tx.vary(model, {"strength": (strength, factors * threshold)})
    monitors = {"turns": tx.Rotations(after=6000)}
    sol = run(grid, 0.02, 8000, phase=np.zeros(leaves + 1), monitors=monitors)
    speeds = sol.monitors["turns"].frequency
    locked = spread(speeds) < 1e-3  # 40 s of float32 phases; unlocked they are 0.8 apart
    np.testing.assert_array_equal(locked, factors >= 1)
    expected = theory.star_frequency(leaves)
    np.testing.assert_allclose(np.asarray(speeds)[1:], expected, atol=1e-3)
    # 0.004: at 1.0005 of the threshold the hub is 0.032 short of π/2 ahead.
    at_threshold = tx.coherence(grid, sol.state)[1]
    assert at_threshold == pytest.approx(theory.star_coherence_at_threshold(leaves), abs=0.004)


def laplacian(weights):
    return np.diag(weights.sum(axis=-1)) - weights


def random_tree(size):
    """Frequencies of mean 0, edges (parent, child), and the flow from each child to its parent."""
    random = np.random.default_rng(4)
    own = random.normal(size=size)
    own -= own.mean()
    edges = [(int(random.integers(child)), child) for child in range(1, size)]
    flow = own.copy()
    for parent, child in reversed(edges):
        flow[parent] += flow[child]
    return own, edges, flow[1:]


def test_g03_tree_carries_its_flow_exactly(x64):
    own, edges, flow = random_tree(10)
    parents, children = np.transpose(edges)
    weights = np.zeros((10, 10))
    weights[parents, children] = weights[children, parents] = 1.0
    factors = np.array([0.99, 1.01, 2.0])
    model = tx.PhaseOscillators(array(own), tx.Dense(weights))
    strengths = factors * np.abs(flow).max()
    grid = tx.vary(model, {"strength": (strength, strengths)})
    dt = 2.0 / (strengths[-1] * np.linalg.eigvalsh(laplacian(weights))[-1])  # RK4: below 2.78
    sol = run(grid, dt, 8000, phase=np.zeros(10), monitors={"turns": tx.Rotations(after=6000)})
    locked = spread(sol.monitors["turns"].frequency) < 1e-9
    np.testing.assert_array_equal(locked, factors > 1)
    phase = np.asarray(sol.state.phase)[1:]
    carried = np.sin(phase[:, children] - phase[:, parents])
    # 1e-9: a fixed point has no discretisation error.
    np.testing.assert_allclose(carried, flow / strengths[1:, None], atol=1e-9)


def test_g04_twisted_states_of_a_ring():
    size, kick = 20, 1e-2
    ring = np.roll(np.eye(size), 1, axis=0) + np.roll(np.eye(size), -1, axis=0)
    twists = np.arange(size // 2 + 1)
    exact = 2 * math.pi * twists[:, None] * np.arange(size) / size
    bent = np.random.default_rng(6).normal(size=size) * kick
    bent -= bent.mean()
    model = tx.PhaseOscillators(np.zeros(size), tx.Dense(ring))
    sol = run(model, 0.1, 2000, members=len(twists), phase=exact + bent)
    apart = np.asarray(tx.numerics.circular.wrap(sol.state.phase - jnp.asarray(exact, jnp.float32)))
    stable = np.cos(2 * math.pi * twists / size) > 1e-9
    assert twists[stable].max() == 4
    # The slowest mode of a stable twist decays e^{6}-fold in 200 s; at q = 5 it does not decay.
    np.testing.assert_array_equal(np.abs(apart).max(-1) < 0.1 * kick, stable)


# Power grids

# Largest angle difference over an edge, and the largest flow of the linearised network.
GRIDS = {
    9: (0.149797, 0.149311),
    14: (0.167925, 0.167423),
    30: (0.055912, 0.055892),
    39: (0.181352, 0.18036),
    57: (0.161485, 0.160977),
}


@pytest.mark.parametrize("buses", GRIDS)
def test_w06_w07_power_grids(x64, buses):
    grid = tx.networks.ieee(buses)
    rates = np.linalg.eigvalsh(laplacian(grid.weights))
    # RK4 is stable up to 2.78 over the fastest rate; the slowest decays by e^{-25}, sines included.
    dt, steps = 2.0 / rates[-1], math.ceil(13 * rates[-1] / rates[1])
    model = tx.PhaseOscillators(array(grid.power), tx.Dense(grid.weights))
    both = tx.vary(model, {"case": (frequency, np.stack([grid.power, grid.power_ac]))})
    start = np.stack([np.zeros(buses), grid.angle_ac])
    balanced, exact = np.asarray(run(both, dt, steps, phase=start).state.phase)

    # W07. 1e-9: the AC angles stay where they are, through thousands of steps of rounding.
    np.testing.assert_allclose(exact, grid.angle_ac, atol=1e-9)

    # W06. 1e-6 is the rounding of the published digits, 1e-9 the fixed point itself.
    differences = np.abs(balanced[:, None] - balanced) * (grid.weights > 0)
    linear = np.linalg.pinv(laplacian(grid.weights), rcond=1e-10, hermitian=True) @ grid.power
    flow = np.abs(linear[:, None] - linear).max(where=grid.weights > 0, initial=0.0)
    assert (differences.max(), flow) == pytest.approx(GRIDS[buses], abs=1e-6)
    assert differences.max() == pytest.approx(math.asin(flow), abs=3e-4)
    np.testing.assert_allclose(balanced - balanced.mean(), grid.angle, atol=1e-9)


# Chimeras


@tx.readout
def halves(model, state):
    """The coherence of each of two populations."""
    return resultant(state.phase.reshape(2, -1))


def two_populations(size, contrast):
    """Weights (1 + A)/2 within and (1 − A)/2 between two populations, per oscillator of each."""
    blocks = np.array([[1 + contrast, 1 - contrast], [1 - contrast, 1 + contrast]]) / 2
    return np.kron(blocks, np.ones((size, size))) / size


@pytest.mark.slow
def test_c01_c02_chimera_of_two_populations():
    size, beta, contrasts = 128, 0.1, (0.2, 0.1)
    phase = np.concatenate([np.zeros(size), theory.wrapped_cauchy_phases(size, 0.6, 0.2)])
    weights = np.stack([two_populations(size, contrast) for contrast in contrasts])
    coupling = tx.Dense(weights[0], 1.0, math.pi / 2 - beta)
    model = tx.PhaseOscillators(np.zeros(2 * size), coupling)
    grid = tx.vary(model, {"contrast": (lambda m: m.coupling.weights, weights)})
    monitors = {"r": tx.Moments(halves, every=10, after=5000)}
    sol = run(grid, 0.2, 10_000, phase=phase, monitors=monitors)
    # C01. 0.001: the catalogue's accuracy for 128 oscillators after t = 1000.
    np.testing.assert_allclose(sol.monitors["r"].mean[0], [1.0, 0.7291471], atol=0.001)
    assert float(sol.monitors["r"].std[0, 1]) < 0.002  # it does not breathe
    # C02. 1e-6: full synchrony in float32.
    np.testing.assert_allclose(tx.coherence(grid, sol.state)[1], 1.0, atol=1e-6)


# Gradients ---------------------------------------------------------------------------------------

LORENTZIAN, MANY, RUNS = 0.5, 2_000, 64


def starts(concentration):
    """Phases of a given order parameter, dealt to the oscillators at random in every member."""
    phases = np.asarray(theory.wrapped_cauchy_phases(MANY, concentration))
    deal = np.random.default_rng(4)
    return np.stack([deal.permutation(phases) for _ in range(RUNS)])


def mean_coherence(width, strengths, phases):
    """r of every member between 8 s and 16 s; `strengths`, one each."""
    model = tx.PhaseOscillators(
        tx.frequencies.lorentzian(MANY, centre=0.0, width=1.0) * width, tx.MeanField(1.0)
    )
    model = tx.per_member(model, strength, strengths)
    state = tx.init(model, members=RUNS, phase=phases)
    watch = {"r": tx.Moments(tx.coherence, after=400)}
    sol = tx.simulate(model, state, dt=0.02, steps=800, stepper=tx.Heun(), monitors=watch)
    return sol.monitors["r"].mean


@jax.jit
def slopes(strengths, phases):
    """dr/dK of every member in one reverse pass."""

    def summed(strengths):
        return mean_coherence(LORENTZIAN, strengths, phases).sum()

    return jax.grad(summed)(strengths)


@pytest.mark.slow
def test_p04_gradient_above_the_transition():
    coupling = 2.0
    r = theory.coherence_lorentzian(coupling, LORENTZIAN)
    by_strength, error = error_of_mean(slopes(jnp.full(RUNS, coupling), starts(0.7)))
    expected = LORENTZIAN / (coupling**2 * r)
    assert expected == pytest.approx(0.17677670, abs=1e-8)
    # Measured: an error of 0.003, so 5 % of the catalogue are three of them.
    assert error < 0.006
    assert abs(by_strength - expected) < 5 * error
    # The slopes by the width have no variance that is finite: the phases of the fastest oscillators
    # move with it most. Differences do, as r itself has; their bias is 1e-3 here.
    ends = [
        jax.jit(mean_coherence)(LORENTZIAN + by, jnp.full(RUNS, coupling), starts(0.7))
        for by in (0.05, -0.05)
    ]
    by_width, error = error_of_mean((ends[0] - ends[1]) / 0.1)
    assert error < 0.01
    assert abs(by_width - -1.0 / (coupling * r)) < 5 * error + 1e-3


@pytest.mark.slow
def test_p04_gradient_below_the_transition():
    # For infinitely many 0; for N the fluctuations √(π/4N) grow by (1 − K/K_c)^−½ (Daido 1990).
    coupling, critical = 0.5, 2.0 * LORENTZIAN
    r = math.sqrt(math.pi / (4 * MANY * (1.0 - coupling / critical)))
    by_strength, error = error_of_mean(slopes(jnp.full(RUNS, coupling), starts(0.01)))
    expected = r / (2.0 * (critical - coupling))
    assert error < 0.005
    assert abs(by_strength - expected) < 5 * error
    assert by_strength > 4 * error  # and it is not 0 by construction
