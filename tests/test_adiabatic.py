"""Sweeps up and down: the runs that they are made of, and the hysteresis that they are made for."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax import theory

KEY = jax.random.key(17)
DT, STEPS, SETTLE, SIZE = 0.05, 7, 5, 6
VALUES = np.asarray([0.2, 0.9, 1.4, 3.0], np.float32)
LAGS = np.asarray([0.0, 0.3], np.float32)
MONITORS = {
    "r": tx.Moments(tx.coherence),
    "phase": tx.Trace(tx.phase, every=3),
    "turn": tx.Rotations(),
}


def strength(model):
    return model.coupling.strength


def system(value=0.2, intensity=0.1, dtype=np.float32):
    return tx.PhaseOscillators(
        np.linspace(-1, 1, SIZE, dtype=dtype), tx.MeanField(value), tx.WhiteNoise(intensity)
    )


def grid(value=0.2):
    return tx.vary(system(value), {"lag": (lambda m: m.coupling.lag, LAGS)})


def sweep(model, state, values=VALUES, where=strength, **options):
    options = {"settle": SETTLE, "stepper": tx.Heun(), "monitors": MONITORS} | options
    return tx.sweep_adiabatic(model, where, values, state=state, dt=DT, steps=STEPS, **options)


@pytest.fixture(scope="module")
def swept():
    """One sweep over a grid with members, and the state that it began from."""
    state = tx.init(grid(), key=KEY, members=3)
    return state, sweep(grid(), state)


def test_a_sweep_is_a_loop_of_runs(swept):
    state, found = swept
    for way, order in ((0, range(4)), (1, reversed(range(4)))):
        for index in order:
            model = grid(VALUES[index])
            state = tx.simulate(model, state, dt=DT, steps=SETTLE, stepper=tx.Heun()).state
            run = tx.simulate(
                model, state, dt=DT, steps=STEPS, stepper=tx.Heun(), monitors=MONITORS
            )
            state = run.state
            mine = found.solutions[way][index]
            for left, right in zip(*map(jax.tree.leaves, (mine, run)), strict=True):
                np.testing.assert_array_equal(left, right, f"way {way}, value {index}")
    assert int(state.step) == 8 * (SETTLE + STEPS)


def test_results_are_stacked_by_value(swept):
    _, found = swept
    np.testing.assert_array_equal(found.values, VALUES)
    for way, results in enumerate((found.up, found.down)):
        assert results["r"].mean.shape == (4, 2, 3)
        assert results["phase"].value.shape == (4, 2, 3, 3, SIZE)
        for index in range(4):
            single = found.solutions[way][index].monitors
            np.testing.assert_array_equal(results["r"].mean[index], single["r"].mean)
            # Derived from numbers of which some have no axis for the batch.
            np.testing.assert_array_equal(results["r"].std[index], single["r"].std)
            turns = single["turn"].frequency
            np.testing.assert_array_equal(results["turn"].frequency[index], turns)
            statistics = results["r"].statistics()["variance"]
            np.testing.assert_array_equal(statistics[index], single["r"].variance)
        assert not hasattr(results["r"], "median")


def test_to_xarray(swept):
    pytest.importorskip("xarray")
    _, found = swept
    data = found.to_xarray()
    assert data.r_mean.dims == ("direction", "value", "lag", "member")
    assert data.phase_value.dims[:4] == ("direction", "value", "lag", "member")
    assert list(data.direction.values) == ["up", "down"]
    np.testing.assert_array_equal(data.value, VALUES)
    np.testing.assert_array_equal(data.lag, LAGS)
    for name, results in (("up", found.up), ("down", found.down)):
        np.testing.assert_array_equal(data.r_mean.sel(direction=name), results["r"].mean)
        np.testing.assert_array_equal(data.phase_value.sel(direction=name), results["phase"].value)
    # Every value's trace counts from its own beginning: float32 differences of times up to 5.
    np.testing.assert_allclose(data.phase_time, 3 * DT * np.arange(3), rtol=0, atol=1e-6)


def test_one_value_of_the_leaf_per_oscillator():
    each = np.linspace(0.5, 1.5, SIZE)
    model = tx.PhaseOscillators(np.zeros(SIZE), tx.MeanField(each))
    state = tx.init(model, key=KEY)
    found = sweep(model, state, values=np.stack([each, 2 * each]), settle=0)
    assert found.values.shape == (2, SIZE)
    first = tx.simulate(model, state, dt=DT, steps=STEPS, stepper=tx.Heun())
    np.testing.assert_array_equal(found.solutions[0][0].state.phase, first.state.phase)


def test_one_program_for_all_values():
    count = 0

    @tx.readout
    def counted(model, state):
        nonlocal count
        count += 1
        return tx.coherence(model, state)

    state = tx.init(system(), key=KEY)
    monitors = {"r": tx.Moments(counted)}
    sweep(system(), state, VALUES[:2], monitors=monitors)
    traced = count
    assert traced > 0
    sweep(system(0.7), state, np.linspace(0.1, 0.6, 5), monitors=monitors)
    assert count == traced


def test_derivatives_go_through_a_sweep(x64):
    model = system(jnp.asarray(0.2, float), dtype=np.float64)
    state = tx.init(model, key=KEY, members=2)

    def outcome(values, frequency):
        noisy = tx.PhaseOscillators(frequency, model.coupling, model.noise)
        monitors = {"r": tx.Moments(tx.coherence)}
        found = sweep(noisy, state, values, monitors=monitors, settle=0)
        # The last value of the way down: all that came before moves it.
        return found.down["r"].mean[0].sum()

    point = (jnp.asarray([0.2, 0.9, 1.4]), model.frequency)
    slopes = jax.grad(outcome, argnums=(0, 1))(*point)
    nudge = 1e-5
    for place, at in ((0, 2), (1, 3)):
        ends = [
            outcome(*(x.at[at].add(by) if place == index else x for index, x in enumerate(point)))
            for by in (nudge, -nudge)
        ]
        difference = float(ends[0] - ends[1]) / (2 * nudge)
        # 1e-8: curvature times 1e-10, and rounding of 1e-15 over 1e-5.
        assert float(slopes[place][at]) == pytest.approx(difference, rel=1e-7, abs=1e-8)
        assert abs(difference) > 1e-5


def swept_badly(where=strength, values=VALUES, model=None, **options):
    model = model or system()
    return sweep(model, tx.init(model, key=KEY), values, where, **options)


FAULTS = {
    "one value": ({"values": [0.2]}, r"values of shape \(1,\); expected shape \(V\) with V ≥ 2"),
    "no list": ({"values": 0.2}, r"values of shape \(\)"),
    "table": ({"values": np.ones((3, 2))}, r"values of shape \(3, 2\)"),
    "per oscillator": (
        {"where": lambda m: m.frequency, "values": VALUES},
        rf"expected shape \(V, {SIZE}\) with V ≥ 2",
    ),
    "varied": (
        {"where": lambda m: m.coupling.lag, "model": grid()},
        "a leaf that has an axis of its own",
    ),
    "two": ({"where": lambda m: (m.coupling.lag, m.coupling.strength)}, "several leaves"),
    "negative": (
        {"where": lambda m: m.noise.intensity, "values": [0.1, -1.0]},
        r"WhiteNoise.intensity = -1.0; expected finite numbers ≥ 0",
    ),
    "nan": ({"values": [0.1, math.nan]}, "MeanField.strength = nan"),
    "no such part": ({"where": lambda m: m.coupling.weights}, "a where that fails on this model"),
    "no leaf": ({"where": lambda m: m.coupling}, "expected a numeric leaf"),
    "settle": ({"settle": -1}, "settle=-1; expected an integer ≥ 0"),
    "rk4": ({"stepper": tx.RK4()}, "RK4 for a model with noise"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_bad_input(case):
    options, message = FAULTS[case]
    with pytest.raises(ValueError, match=message):
        swept_badly(**options)


def test_wrong_kinds():
    with pytest.raises(TypeError, match=r"settle=2\.0"):
        swept_badly(settle=2.0)
    with pytest.raises(TypeError, match="an instance of AbstractMonitor"):
        swept_badly(monitors={"r": tx.coherence})
    with pytest.raises(FloatingPointError, match="not finite"):
        swept_badly(values=[0.1, 3e38], settle=0)


# Physics -----------------------------------------------------------------------------------------

LEAVES = 10


def star_start(coupling):
    """Phases of the star in its incoherent state, where the order parameter of the leaves rests.

    With φ_j = θ_hub − θ_j and z = ⟨e^{iφ}⟩ the leaves obey dφ_j/dt = (k − 1) − λ Σ_l sin φ_l −
    λ sin φ_j, so dz/dt = i(k − 1 − λk Im z) z + λ(1 − z²)/2, which rests at z = iy with
    λ(k + ½) y² − (k − 1) y + λ/2 = 0.
    """
    largest = (LEAVES - 1) / coupling / (2 * LEAVES + 1)
    y = largest - math.sqrt(largest**2 - 1 / (2 * LEAVES + 1))
    apart = theory.wrapped_cauchy_phases(LEAVES, y, math.pi / 2)
    return np.concatenate([[0.0], -apart])


@pytest.mark.slow  # 10⁵ steps
def test_explosive_star():
    """Hub of frequency k with k leaves of frequency 1, no noise (Gómez-Gardeñes et al. 2011)."""
    values = np.concatenate([np.arange(0.1, 1.7, 0.1), np.arange(1.7, 2.05, 0.02)])
    links = np.zeros((LEAVES + 1, LEAVES + 1))
    links[0, 1:] = links[1:, 0] = 1.0
    frequency = np.ones(LEAVES + 1)
    frequency[0] = LEAVES
    model = tx.PhaseOscillators(frequency, tx.Dense(links, values[0]))
    random = np.random.default_rng(2).uniform(-math.pi, math.pi, LEAVES + 1)
    state = tx.init(model, phase=np.stack([star_start(values[0]), random]), members=2)
    found = tx.sweep_adiabatic(
        model,
        strength,
        values,
        state=state,
        dt=0.02,
        steps=1000,
        settle=1000,
        stepper=tx.RK4(),
        monitors={"r": tx.Moments(tx.coherence), "turn": tx.Rotations()},
    )
    up, down = found.up, found.down
    locked = [
        # Twice the rounding of 2000 float32 steps; a hub that runs off makes 2 rad/s and more.
        np.abs(np.asarray(way["turn"].frequency)[..., 0] - way["turn"].frequency[..., 1]) < 1e-2
        for way in (up, down)
    ]
    backward = theory.star_locking_threshold(LEAVES)
    assert backward == pytest.approx(9 / 11)
    below, above = values < backward, values > backward
    assert not locked[1][below].any()
    assert locked[1][above].all()
    sine = (LEAVES - 1) / (LEAVES + 1) / values[above]
    wanted = np.abs(LEAVES + np.exp(1j * np.arcsin(sine))) / (LEAVES + 1)
    # Roundings of float32; the state has relaxed for 20 s.
    np.testing.assert_allclose(down["r"].mean[above], wanted[:, None] * [1, 1], rtol=0, atol=1e-5)
    # Seen from the hub, with z = ⟨e^{iφ}⟩ over leaves, Ott & Antonsen's equation has the incoherent
    # state z = iy, (2k + 1)λy² + 2(k − 1)y + λ = 0, up to λ = (k − 1)/√(2k + 1), where the roots
    # meet. It is neutrally stable, so steps of λ shake it off a little earlier; a state that began
    # at random circles it and leaves the branch elsewhere, but far above `backward`.
    forward = (LEAVES - 1) / math.sqrt(2 * LEAVES + 1)
    jumps = [values[np.argmax(locked[0][:, member])] for member in range(2)]
    assert forward - 0.1 < jumps[0] <= forward + 0.02
    assert backward + 0.2 < jumps[1]
    for member, jump in enumerate(jumps):
        assert locked[0][values >= jump, member].all()
    assert (np.asarray(up["r"].mean[(values > backward) & (values < jumps[0]), 0]) < 0.25).all()


@pytest.mark.slow  # 3·10⁴ steps
def test_uniform_frequencies_jump_without_hysteresis():
    """First order at K_c = 4γ/π with r_c = π/4, and the same both ways (Pazó 2005)."""
    values = np.asarray([0.9, 1.1, 1.2, 1.3, 1.35, 1.5, 1.8])
    model = tx.PhaseOscillators(tx.frequencies.uniform(200, 0.0, 1.0), tx.MeanField(0.9))
    found = tx.sweep_adiabatic(
        model,
        strength,
        values,
        state=tx.init(model, key=KEY),
        dt=0.05,
        steps=2000,
        settle=2000,
        stepper=tx.RK4(),
        monitors={"r": tx.Moments(tx.coherence)},
    )
    above = values > theory.critical_coupling_uniform(1.0)
    wanted = theory.coherence_uniform(values, 1.0)
    assert wanted[above].min() > math.pi / 4
    for way in (found.up, found.down):
        coherence = np.asarray(way["r"].mean)
        # 200 quantiles instead of a continuum: 5e-5 of r where it is locked; 1/√200 is 0.07.
        np.testing.assert_allclose(coherence[above], wanted[above], rtol=0, atol=3e-4)
        assert (coherence[~above] < 0.2).all()
