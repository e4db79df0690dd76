"""Losses in use: sums, what is shared, fits, transformations, grids and BOLD."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tauax as tx
from tauax import losses

KEY = jax.random.key(8)
SIZE, STEPS, DT = 4, 40, 0.05
FC = np.full((SIZE, SIZE), 0.2) + 0.8 * np.eye(SIZE)
VARIED = FC.copy()
VARIED[0, 1] = VARIED[1, 0] = 0.6


@tx.readout
def waves(model, state):
    return jnp.sin(state.phase)


@tx.readout
def wave(model, state):
    return jnp.sin(state.phase[0])


def system(strength=1.0, **parts):
    frequency = np.linspace(-1.0, 2.0, SIZE).astype(np.float32)
    parts = {"noise": tx.WhiteNoise(0.2), **parts}
    return tx.PhaseOscillators(frequency, tx.MeanField(strength), **parts)


simulated = partial(losses.simulated, dt=DT, steps=STEPS, members=2)
ORDER = losses.OrderParameter(0.7)


# Sums and runs ----------------------------------------------------------------------------------


def test_sums_are_sums_and_share_equal_monitors():
    other = losses.Connectivity(FC, waves)
    three = ORDER + 0.1 * other + losses.Connectivity(VARIED, waves, distance="correlation") * 2.0
    three = three + losses.OrderParameter(0.2)
    loss = simulated(three)
    assert len(dict(loss.same)) == 4
    assert len(set(dict(loss.same).values())) == 2
    found = jax.jit(loss)(system(), KEY)
    state = tx.init(system(), key=KEY, members=2)
    sol = tx.simulate(system(), state, dt=DT, steps=STEPS, monitors=three.monitors())
    np.testing.assert_allclose(found, three(sol, paired=True), rtol=1e-5)  # float32

    def alone(term):
        return simulated(term)(system(), KEY)

    likeness = losses.Connectivity(VARIED, waves, distance="correlation")
    parts = alone(ORDER) + 0.1 * alone(other) + 2.0 * alone(likeness)
    expected = parts + alone(losses.OrderParameter(0.2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32


def test_monitors_that_differ_are_not_shared():
    two = losses.Entrainment(0.5, 1.0) + losses.Entrainment(0.5, 1.5)
    assert len(set(dict(simulated(two).same).values())) == 2
    two = losses.TransitionRate(1.0, wave) + losses.DwellTimes([0.5, 0.5, 0.5], wave)
    assert len(set(dict(simulated(two).same).values())) == 1


def test_after_leaves_out_the_first_steps():
    """As a run that goes on from there."""
    for target in (ORDER, losses.OrderParameterCourse(np.full(10, 0.5), every=3)):
        found = simulated(target, after=10)(system(), KEY)
        state = tx.simulate(system(), tx.init(system(), key=KEY, members=2), dt=DT, steps=10).state
        rest = tx.simulate(system(), state, dt=DT, steps=STEPS - 10, monitors=target.monitors())
        np.testing.assert_allclose(found, target(rest, paired=True), rtol=1e-5)  # float32


def test_without_noise_squares_are_plain():
    model = system(noise=None)
    start = np.linspace(0.0, 1.0, SIZE)
    alone = losses.simulated(ORDER, dt=DT, steps=STEPS, phase=start)
    assert float(alone(model)) >= 0
    assert float(simulated(ORDER, phase=start)(model)) == pytest.approx(float(alone(model)))
    common = simulated(ORDER, common_noise=True)(system(), KEY)
    state = tx.init(system(), key=KEY, members=2)
    sol = tx.simulate(system(), state, dt=DT, steps=STEPS, monitors=ORDER.monitors())
    np.testing.assert_allclose(common, ORDER(sol, paired=False), rtol=1e-5)  # float32


def test_one_member_is_enough_where_nothing_is_squared():
    loss = losses.simulated(losses.EndState(np.zeros(SIZE)), dt=DT, steps=5)
    assert 0 < float(loss(system(), KEY)) < 2
    for members in (None, 1):
        loss = losses.simulated(ORDER, dt=DT, steps=5, members=members)
        with pytest.raises(ValueError, match=r"one member for a square.*Fix: pass members=2"):
            loss(system(), KEY)


def test_a_fit_finds_the_strength():
    start = np.linspace(-2.0, 2.0, SIZE)
    loss = simulated(losses.OrderParameter(0.8), members=8, after=20, phase=start)
    fit = tx.fit(
        loss,
        system(0.5),
        where=lambda m: m.coupling.strength,
        optimizer=optax.adam(0.3),
        steps=40,
        key=KEY,
    )
    assert fit.losses[0] > 0.02
    assert abs(fit.losses[-10:].mean()) < 0.1 * fit.losses[0]


def test_vmap_jit_and_grids():
    loss = simulated(ORDER)
    strengths = jnp.asarray([0.5, 2.0])

    def of_strength(k):
        return loss(eqx.tree_at(lambda m: m.coupling.strength, system(), k), KEY)

    each = jax.vmap(of_strength)(strengths)
    np.testing.assert_allclose(each, [of_strength(k) for k in strengths], rtol=1e-4)  # float32
    grid = tx.vary(system(), {"k": (lambda m: m.coupling.strength, strengths)})
    found = loss(grid, KEY)  # the mean over the grid
    state = tx.init(grid, key=KEY, members=2)
    sol = tx.simulate(grid, state, dt=DT, steps=STEPS, monitors={"r": tx.Moments(tx.coherence)})
    apart = np.asarray(sol.monitors["r"].mean) - 0.7
    np.testing.assert_allclose(found, (apart[:, 0] * apart[:, 1]).mean(), rtol=1e-4)  # float32


def test_a_run_that_overflows_is_nan():
    bad = eqx.tree_at(lambda m: m.coupling.strength, system(), jnp.float32(jnp.inf))
    assert np.isnan(simulated(losses.Occupancy([0.2, 0.5, 0.3], wave))(bad, KEY))


def test_bold_is_a_signal_as_well():
    bold = tx.Bold(waves, repetition=4, every=2, discard=2)
    term = losses.Connectivity(FC, bold)
    state = tx.init(system(), key=KEY, members=2)
    monitors = {"signal": bold}
    sol = tx.simulate(system(), state, dt=DT, steps=STEPS, monitors=monitors)
    scans = np.asarray(sol.monitors["signal"].value, np.float64)[:, 2:]
    above = np.triu_indices(SIZE, 1)
    found = np.stack([np.corrcoef(one.T)[above] for one in scans])
    expected = np.mean((found.mean(0) - 0.2) ** 2)
    np.testing.assert_allclose(term(sol, paired=False), expected, rtol=1e-3)  # float32, short scans
    values = losses.connectivity_dynamics(scans[0], 3, 2)
    moving = losses.ConnectivityDynamics(values, bold, window=3, shift=2)
    assert float(moving(sol, paired=False)) > 0
    one = eqx.tree_at(lambda s: s.monitors["signal"].value, sol, sol.monitors["signal"].value[:1])
    one = eqx.tree_at(lambda s: s.state.phase, one, sol.state.phase[:1])
    assert float(moving(one, paired=False)) < 1e-6  # its own values
