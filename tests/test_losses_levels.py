"""Losses of levels: soft crystals, what has no derivative, and the monitors behind them."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_losses_use import DT, KEY, ORDER, STEPS, simulated, system

import tauax as tx
from tauax import losses
from tauax.losses.anchors import log_memberships
from tauax.losses.levels import Passages
from tauax.losses.locking import RhythmLocking


@tx.readout
def side(model, state):
    return jnp.sign(jnp.sin(state.phase[0]))


@tx.readout
def whole(model, state):
    return jnp.where(state.phase[0] > 0, 1, -1)


@tx.readout
def wrapped(model, state):
    """A decision inside of a program of its own."""
    return jax.jit(lambda x: jnp.where(x > 0, 1.0, -1.0))(state.phase[0])


def crystals(**parts):
    return tx.TauCrystals(hertz=np.asarray([5.0, 1.0, 0.1, 0.01], np.float32), **parts)


def soft(decision=tx.Soft(0.08), **options):
    bank = tx.Thresholds((-0.3, 0.3), decision=decision, **options)
    return crystals(thresholds=bank, noise=tx.WhiteNoise(0.5))


def test_cross_entropy_against_the_shares():
    """Of a run of soft crystals: −ln of `memberships` where these are not near 0."""

    @tx.readout
    def shares(model, state):
        return model.thresholds.memberships(state.buffers.anchors, model.field(state))

    codes = np.random.default_rng(0).integers(-1, 2, 20)
    term = losses.AnchorCrossEntropy(codes, every=2)
    model = soft(hysteresis=0.1)
    state = tx.init(model, key=KEY, members=3)
    monitors = {**term.monitors(), "q": tx.Trace(shares, every=2)}
    sol = tx.simulate(model, state, dt=DT, steps=STEPS, monitors=monitors)
    q = np.asarray(sol.monitors["q"].value, np.float64)[:, np.arange(20), codes + 1]
    found = np.exp(sol.monitors["share"].value[:, np.arange(20), codes + 1])
    np.testing.assert_allclose(found, q, rtol=1e-4, atol=2e-7)  # float32: q is 1 − …
    log = np.asarray(sol.monitors["share"].value, np.float64)[:, np.arange(20), codes + 1]
    np.testing.assert_allclose(term(sol, paired=True), -log.mean(), rtol=1e-5)


def test_cross_entropy_has_a_gradient_however_wrong():
    loss = losses.simulated(losses.AnchorCrossEntropy(np.full(5, -1.0)), dt=DT, steps=5)

    def of_weights(scale):
        bank = tx.Thresholds((-0.3, 0.3), decision=tx.Soft(1e-3))
        model = crystals(thresholds=bank)
        model = eqx.tree_at(lambda m: m.weights, model, scale * jnp.asarray([0.0, 0.0, 0.0, 1.0]))
        model = eqx.tree_at(lambda m: m.lead, model, jnp.float32(1.5))
        return loss(model, KEY)

    value, slope = jax.jit(jax.value_and_grad(of_weights))(jnp.float32(0.9))
    # h = 0.9·0.98·sin 1.5, 1,180 temperatures above the lower cut; the slope is (h/0.9)/T.
    h = 0.9 * 0.98 * np.sin(1.5)
    np.testing.assert_allclose(value, (h + 0.3) / 1e-3, rtol=0.01)  # it turns by 0.016
    np.testing.assert_allclose(slope, h / 0.9 / 1e-3, rtol=0.01)


def test_entities_have_codes_of_their_own():
    model = crystals(entities=3, thresholds=tx.Thresholds((-0.3, 0.3), decision=tx.Soft(0.1)))
    phase = np.random.default_rng(1).uniform(-3, 3, 12)
    codes = np.random.default_rng(2).integers(-1, 2, (8, 3))
    run = partial(losses.simulated, dt=DT, steps=8, phase=phase)
    whole = run(losses.AnchorCrossEntropy(codes))(model)
    same = [run(losses.AnchorCrossEntropy(np.repeat(codes[:, k : k + 1], 3, 1))) for k in range(3)]
    assert np.isfinite(float(whole)) and len({float(one(model)) for one in same}) > 1
    column = run(losses.AnchorCrossEntropy(codes[:, 0]))(model)
    np.testing.assert_allclose(column, same[0](model), rtol=1e-6)
    shares = run(losses.Occupancy([[0.2, 0.5, 0.3]] * 3))(model)
    np.testing.assert_allclose(shares, run(losses.Occupancy([0.2, 0.5, 0.3]))(model), rtol=1e-6)


def test_passages_count_as_transitions_do():
    """Of whole levels; and in pieces as in one."""
    codes = (-1.0, 0.0, 1.0)
    monitors = {"soft": Passages(side, codes), "hard": tx.Transitions(side, codes)}
    monitors |= {"dwell": tx.Dwells(side, jnp.asarray([0.0, 9.0]), codes)}
    state = tx.init(system(), key=KEY, members=3)
    sol = tx.simulate(system(), state, dt=DT, steps=STEPS, monitors=monitors)
    counts = np.asarray(sol.monitors["hard"].counts)
    jumps = counts[:, 0, 2] + counts[:, 2, 0]
    seconds = (STEPS - 1) * DT
    rate = np.asarray(sol.monitors["soft"].rate)
    np.testing.assert_allclose(rate, np.stack([jumps, jumps], -1) / seconds, rtol=1e-5)  # float32
    one = tx.simulate(system(), state, dt=DT, steps=15, monitors=monitors)
    two = tx.simulate(system(), one.state, dt=DT, steps=STEPS - 15, monitors=monitors)
    joined = one.then(two).monitors["soft"]
    for name, value in sol.monitors["soft"].statistics().items():
        np.testing.assert_allclose(joined.statistics()[name], value, rtol=1e-5, err_msg=name)


def test_rhythms_join():
    monitors = {"rhythm": RhythmLocking(1.5, 1, 2)}
    state = tx.init(system(), key=KEY, members=2)
    sol = tx.simulate(system(), state, dt=DT, steps=STEPS, monitors=monitors)
    one = tx.simulate(system(), state, dt=DT, steps=15, monitors=monitors)
    two = tx.simulate(system(), one.state, dt=DT, steps=STEPS - 15, monitors=monitors)
    found = one.then(two).monitors["rhythm"].locking
    np.testing.assert_allclose(found, sol.monitors["rhythm"].locking, rtol=1e-5)  # float32


LEVELS = {
    "occupancy": lambda readout: losses.Occupancy([0.3, 0.4, 0.3], readout),
    "rate": lambda readout: losses.TransitionRate([1.0, 1.0], readout),
    "dwells": lambda readout: losses.DwellTimes([1.0, 1.0, 1.0], readout),
}


@pytest.mark.parametrize(
    ("name", "readout"),
    [("occupancy", side), ("rate", whole), ("dwells", wrapped)],
    ids=["sign", "integers", "inside"],
)
def test_whole_levels_can_be_evaluated_but_not_differentiated(name, readout):
    loss = simulated(LEVELS[name](readout))
    assert np.isfinite(float(loss(system(), KEY)))
    with pytest.raises(TypeError, match=r"reads whole levels, by readout\(.*decision=tx.Soft"):
        eqx.filter_grad(lambda model: loss(model, KEY))(system())


def test_crystals_with_hard_thresholds_say_so():
    hard = crystals(noise=tx.WhiteNoise(0.5))
    loss = simulated(ORDER + losses.Occupancy([0.3, 0.4, 0.3]))
    assert np.isfinite(float(loss(hard, KEY)))
    with pytest.raises(TypeError, match="piecewise constant"):
        eqx.filter_grad(lambda model: loss(model, KEY))(hard)
    slopes = eqx.filter_grad(lambda model: loss(model, KEY))(soft(tx.StraightThrough(0.1)))
    assert float(jnp.abs(slopes.weights).max()) > 0
    with pytest.raises(TypeError, match=r"the decision Hard, which is 0 or 1.*tx.Soft\(0.05\)"):
        log_memberships(hard, tx.init(hard, key=KEY))
    dwelling = soft(dwell=0.2)
    with pytest.raises(ValueError, match="thresholds with a dwell time"):
        log_memberships(dwelling, tx.init(dwelling, key=KEY))
