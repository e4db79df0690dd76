"""What an agent is told: anchors, modes, priorities, attention, and the statistics behind them."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import tauax as tx
from tauax.hints import ANCHORS, MODES, PRIORITIES, context, phase_error

KEY = jax.random.key(17)
DT = 0.01
told = jax.jit(context)


def noisy(**options):
    """Crystals whose readings scatter, so that every statistic of a window is well defined."""
    return tx.TauCrystals(**{"deviation": 0.4, "noise": tx.WhiteNoise(0.2), **options})


# The window -------------------------------------------------------------------------------------


@tx.readout
def remembered(model, state):
    """The window with the number of values in it at the end, `[..., window + 1]`."""
    values, count = model.recent(state)
    count = jnp.broadcast_to(count.astype(values.dtype), values.shape[:-1])
    return jnp.concatenate([values, count[..., None]], axis=-1)


@tx.readout
def hinted(model, state):
    """All that a context says, `[..., 4 + 3 + 4]`."""
    hints = context(model, state)
    kind = state.phase.dtype
    each = [hints.anchor, hints.mode, hints.attention, hints.priority]
    places = jnp.stack([one.astype(kind) for one in each], axis=-1)
    return jnp.concatenate([places, hints.attentions, hints.anchors], axis=-1)


STATISTICS = {
    "variance": tx.field_variance,
    "skewness": tx.field_skewness,
    "kurtosis": tx.field_kurtosis,
    "crossings": tx.field_crossings,
}
STEPS, MEMBERS = 45, 4
WINDOWS = [(10, 3), (2, None)]


@cache
def recorded(window, entities):
    """A run: the model, its end, and by name the field and what is read, `[member, step, ...]`."""
    model = noisy(window=window, entities=entities)
    state = tx.init(model, key=KEY, members=MEMBERS)
    watched = {"field": tx.harmonic, "window": remembered, "hints": hinted, **STATISTICS}
    monitors = {name: tx.Trace(readout) for name, readout in watched.items()}
    sol = tx.simulate(model, state, dt=DT, steps=STEPS, monitors=monitors)
    return model, sol.state, {name: np.asarray(one.value) for name, one in sol.monitors.items()}


@pytest.mark.parametrize(("window", "entities"), WINDOWS)
def test_the_window_holds_the_last_values(window, entities):
    _, _, found = recorded(window, entities)
    field, seen = found["field"], found["window"]
    each = () if entities is None else (entities,)
    assert field.shape == (MEMBERS, STEPS, *each)
    assert seen.shape == (MEMBERS, STEPS, *each, window + 1)
    for step in range(STEPS):
        count = min(step + 1, window)
        np.testing.assert_array_equal(seen[:, step, ..., -1], count)
        wanted = np.moveaxis(field[:, step + 1 - count : step + 1], 1, -1)
        # The same stored numbers.
        np.testing.assert_array_equal(seen[:, step, ..., window - count : window], wanted)


def test_the_window_after_a_run():
    """Read from a state, as an agent does: the present value is worked out anew."""
    model, state, found = recorded(2, None)
    field, window = jax.jit(lambda state: (tx.harmonic(model, state), remembered(model, state)))(
        state
    )
    np.testing.assert_array_equal(window[:, 2], 2)
    np.testing.assert_array_equal(window[:, 0], found["field"][:, -1])
    np.testing.assert_allclose(window[:, 1], field, rtol=0, atol=5e-7)


def sliding(function, field, window):
    """`function` of the last values up to each step, in float64."""
    return np.stack(
        [function(field[:, max(0, n + 1 - window) : n + 1]) for n in range(field.shape[1])], axis=1
    )


def crossings(values):
    """The share of neighbours on two sides of 0, which itself is above."""
    above = values >= 0
    changes = (above[:, 1:] != above[:, :-1]).sum(axis=1)
    return changes / max(values.shape[1] - 1, 1)


ORACLES = {
    "variance": lambda x: x.var(axis=1),
    "skewness": lambda x: stats.skew(x, axis=1),
    "kurtosis": lambda x: stats.kurtosis(x, axis=1),
    "crossings": crossings,
}


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize(("window", "entities"), WINDOWS)
def test_statistics_are_those_of_numpy(name, window, entities):
    _, _, found = recorded(window, entities)
    wanted = sliding(ORACLES[name], found["field"].astype(float)[:, 1:], window)[:, window:]
    # A dozen roundings of float32, times a fourth power of scores up to 3.
    np.testing.assert_allclose(found[name][:, 1 + window :], wanted, rtol=5e-6, atol=2e-5)
    assert np.isfinite(found[name]).all()


def test_statistics_of_fewer_values_are_of_those():
    _, _, found = recorded(10, 3)
    field = found["field"].astype(float)
    np.testing.assert_array_equal([found[name][:, 0] for name in STATISTICS], 0.0)
    for name in ("variance", "crossings"):
        wanted = sliding(ORACLES[name], field, 10)
        np.testing.assert_allclose(found[name], wanted, rtol=5e-6, atol=1e-6)
    # Of two values the skewness is 0 and the kurtosis −2, whatever they are.
    np.testing.assert_allclose(found["skewness"][:, 1], 0.0, atol=2e-6)
    np.testing.assert_allclose(found["kurtosis"][:, 1], -2.0, atol=1e-5)


# Context ----------------------------------------------------------------------------------------


FIRST = {"anchor": "INIT", "mode": "exploratory", "priority": 0.4, "attention": "macro"}
EXPECTED = {
    "FLOW+": {"mode": "predictive", "priority": 0.8},
    "FLOW−": {"mode": "reflective", "priority": 0.9},
    "SYNC": {"mode": "present", "priority": 0.6},
}


def test_words():
    model = tx.TauCrystals()
    states = tx.init(model, phase=[[1.0] * 4, [-2.0] * 4, [-0.1] * 4], members=3)
    assert told(model, states).words() == [FIRST] * 3
    words = told(model, tx.step(model, states, dt=1e-4)).words()
    assert [one["anchor"] for one in words] == ["FLOW+", "FLOW−", "SYNC"]
    for one in words:
        assert one == {"anchor": one["anchor"], "attention": "macro", **EXPECTED[one["anchor"]]}


@pytest.mark.parametrize(("window", "entities"), WINDOWS)
def test_hints_at_every_step(window, entities):
    """INIT at step 0 alone; then the anchor of the field, and the scale of its variance."""
    _, _, found = recorded(window, entities)
    field, variance = found["field"], found["variance"]
    anchor, mode, attention, priority, *_ = np.moveaxis(found["hints"], -1, 0)
    place = 1 + (field > 0.3).astype(int) - (field < -0.3)
    place[:, 0] = 3
    np.testing.assert_array_equal(anchor, place)
    np.testing.assert_array_equal(mode, place)
    np.testing.assert_allclose(priority, np.asarray(PRIORITIES)[place], rtol=1e-7)
    np.testing.assert_array_equal(attention, 2 - np.digitize(variance, [0.1, 0.5]))
    assert set(place.ravel()) == {0, 1, 2, 3}
    assert {1, 2} <= set(attention.ravel())
    # Hard thresholds: all of it for one.
    for shares, chosen in ((found["hints"][..., 4:7], attention), (found["hints"][..., 7:], place)):
        np.testing.assert_array_equal(shares, np.eye(shares.shape[-1])[chosen.astype(int)])


def test_members_and_entities_are_told_each_their_own():
    model, state, _ = recorded(10, 3)
    hints = told(model, state)
    assert hints.anchors.shape == (MEMBERS, 3, 4)
    assert hints.attentions.shape == (MEMBERS, 3, 3)
    words = hints.words()
    assert len(words) == MEMBERS
    for member, row in enumerate(words):
        assert len(row) == 3
        for entity, one in enumerate(row):
            place = int(hints.anchor[member, entity])
            assert one["anchor"] == ANCHORS[place]
            assert one["mode"] == MODES[place]
            assert one["priority"] == PRIORITIES[place]
            attention = int(hints.attention[member, entity])
            assert one["attention"] == ("micro", "meso", "macro")[attention]
    assert len({one["anchor"] for row in words for one in row}) > 1


def test_grids_and_changes():
    """Three pairs of cuts, which are not three cuts; and weights that vanish on the way."""
    model = tx.TauCrystals()
    cuts = [[-0.3, 0.3], [-0.9, 0.9], [0.01, 0.02]]
    grid = tx.vary(model, {"cuts": (lambda m: m.thresholds.cuts.values, cuts)})
    change = tx.Change(lambda m: m.weights, [20 * DT], [[0.0] * 4])
    changed = tx.scheduled(grid, {"off": change})
    state = tx.init(changed)
    for wanted in (["FLOW+", "SYNC", "FLOW+"], ["SYNC", "SYNC", "FLOW−"]):
        # h is near 0.4·sin(2π·0.19 + 0.1), above 0.3 and 0.02 and below 0.9, and at the end 0.
        state = tx.simulate(changed, state, dt=DT, steps=19).state
        assert [one["anchor"] for one in told(changed, state).words()] == wanted
    assert len(told(grid, state).words()) == 3


def test_fewer_levels_take_the_fastest_scales():
    """One cut: the first two of four scales, whatever their names."""
    _, state, _ = recorded(2, None)
    names = ("quick", "slow", "slower", "slowest")
    model = noisy(attention=tx.Thresholds((0.05,)), scales=names, window=2)
    hints = told(model, state)
    assert hints.attentions.shape == (MEMBERS, 2)
    variance = jax.jit(tx.field_variance)(model, state)
    wanted = ["quick" if one > 0.05 else "slow" for one in np.asarray(variance)]
    assert [one["attention"] for one in hints.words()] == wanted
    assert set(wanted) == {"quick", "slow"}


# Soft thresholds --------------------------------------------------------------------------------


def soft_model():
    return tx.TauCrystals(
        thresholds=tx.Thresholds((-0.3, 0.3), tx.Soft(0.1)),
        attention=tx.Thresholds((0.001, 0.004), tx.Soft(0.002)),
    )


@jax.jit
def outcome(model, phase):
    """(priority, attentions, anchors) after some steps from a phase."""
    state = tx.init(model, phase=phase)
    state = tx.simulate(model, state, dt=jnp.asarray(DT, phase.dtype), steps=12).state
    hints = context(model, state)
    return hints.priority, hints.attentions, hints.anchors


slope = jax.jit(jax.grad(lambda model, phase: outcome(model, phase)[0], argnums=(0, 1)))


def test_priority_has_a_derivative(x64):
    model, phase = soft_model(), jnp.asarray([0.3, -1.1, 0.4, 0.2])
    by_model, by_phase = slope(model, phase)
    directions = [
        (by_phase, lambda x: (model, x), phase),
        (
            by_model.weights,
            lambda x: (tx.TauCrystals(weights=x, thresholds=model.thresholds), phase),
            model.weights,
        ),
        (
            by_model.thresholds.cuts.values,
            lambda x: (tx.TauCrystals(thresholds=tx.Thresholds(x, tx.Soft(0.1))), phase),
            model.thresholds.cuts.values,
        ),
        (
            by_model.thresholds.decision.temperature,
            lambda x: (tx.TauCrystals(thresholds=tx.Thresholds((-0.3, 0.3), tx.Soft(x))), phase),
            model.thresholds.decision.temperature,
        ),
    ]
    for found, built, value in directions:
        way = jnp.cos(jnp.arange(value.size, dtype=float)).reshape(value.shape)
        ends = [outcome(*built(value + by * way))[0] for by in (1e-5, -1e-5)]
        assert abs(float((found * way).sum())) > 1e-3
        # Curvature times 1e-10, and rounding of 1e-16 over 1e-5.
        assert float((found * way).sum()) == pytest.approx(
            float(ends[0] - ends[1]) / 2e-5, rel=1e-7, abs=1e-9
        )


def test_shares_add_up_to_one(x64):
    phases, between, scales = np.random.default_rng(3).uniform(-3, 3, (25, 4)), 0, set()
    for phase in phases:
        priority, attentions, anchors = map(np.asarray, outcome(soft_model(), jnp.asarray(phase)))
        for shares in (anchors, attentions):
            assert (shares >= 0).all()
            assert shares.sum() == pytest.approx(1.0, rel=1e-14)
        assert anchors[3] == 0  # no longer at the start
        assert priority == pytest.approx(anchors @ PRIORITIES, rel=1e-14)
        between += np.sum((anchors > 0.01) & (anchors < 0.99))
        scales.add(int(attentions.argmax()))
    assert between > 10
    assert len(scales) > 1


# Phase error ------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 3, 10, 99, 100, 250])
def test_phase_error_is_numpy_s(window):
    field = np.random.default_rng(window).normal(size=(2, 3, 250))
    found = phase_error(field.astype(np.float32), window)
    share = np.full(window, 1.0 / window)
    mean = np.apply_along_axis(lambda row: np.convolve(row, share, mode="same"), -1, field)
    # A sum of up to 250 numbers of float32.
    np.testing.assert_allclose(found, np.abs(field - mean), rtol=0, atol=3e-6)
    # As documented: from t − ⌊w/2⌋ to t + ⌊(w−1)/2⌋, divided by w also where fewer are there.
    place = 120
    inside = field[..., max(place - window // 2, 0) : place + (window - 1) // 2 + 1]
    wanted = np.abs(field[..., place] - inside.sum(axis=-1) / window)
    np.testing.assert_allclose(found[..., place], wanted, rtol=0, atol=3e-6)


def test_phase_error_is_of_100_values_and_under_jit():
    field = np.sin(np.arange(300) * 0.1)
    found = jax.jit(phase_error)(field.astype(np.float32))
    wanted = np.abs(field - np.convolve(field, np.full(100, 0.01), mode="same"))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6)  # as above
    assert phase_error(field).shape == (300,)


@pytest.mark.parametrize(
    ("field", "window", "message"),
    [
        (
            np.ones(5),
            6,
            "got 5 values for a window of 6; expected at least 6. Fix: record a longer",
        ),
        (1.0, 1, "got 0 values for a window of 1"),
        (np.ones(5), 0, "got window=0; expected an integer ≥ 1"),
        (np.ones(5), 2.0, r"got window=2.0 \(float\); expected an integer ≥ 1"),
    ],
)
def test_refused_phase_errors(field, window, message):
    with pytest.raises((ValueError, TypeError), match=message):
        phase_error(field, window)


# Calibration ------------------------------------------------------------------------------------

WATCHED = {"field": tx.Trace(tx.harmonic), "variance": tx.Trace(tx.field_variance)}
SHARES, LEVELS = (0.2, 0.5, 0.3), (0.1, 0.3, 0.6)


def shares(model, state, steps):
    """How often each anchor, from the lowest, and each scale, the fastest first, occurs in a run.

    From where the window is full.
    """
    found = tx.simulate(model, state, dt=DT, steps=steps, monitors=WATCHED).monitors
    parts = []
    for bank, name in ((model.thresholds, "field"), (model.attention, "variance")):
        axis = found[name].axis
        values = np.moveaxis(np.asarray(found[name].value), axis, 0)[model.window - 1 :]
        cuts = np.asarray(bank.cuts.values)
        level = (values[..., None] > cuts).sum(axis=-1)
        parts.append(np.bincount(level.ravel(), minlength=cuts.size + 1) / level.size)
    return parts[0], parts[1][::-1]


def test_shares_of_the_run_itself():
    """Without noise a run repeats: the shares are those asked for, to a few records."""
    model, steps = tx.TauCrystals(thresholds=tx.Thresholds((-0.3, 0.3), hysteresis=0.1)), 2000
    fitted = tx.calibrated(model, dt=DT, steps=steps, anchors=SHARES)
    found, _ = shares(fitted, tx.init(fitted), steps)
    # A quantile lies within one record of a share; in this run some values come twice.
    np.testing.assert_allclose(found, SHARES, rtol=0, atol=4 / steps)
    assert fitted.thresholds.cuts.values.dtype == jnp.float32
    # The rest stays.
    np.testing.assert_array_equal(fitted.attention.cuts.values, model.attention.cuts.values)
    assert float(fitted.thresholds.hysteresis) == np.float32(0.1)


def test_shares_of_another_run():
    model = noisy(entities=4)
    fitted = tx.calibrated(
        model, dt=DT, steps=300, key=KEY, members=20, every=2, anchors=SHARES, attention=LEVELS
    )
    state = tx.init(fitted, key=jax.random.key(99), members=20)
    for found, wanted in zip(shares(fitted, state, 300), (SHARES, LEVELS), strict=True):
        # 80 runs of 300 steps, whose windows of 10 overlap: 2400 independent variances, so the
        # error of a share of ½ is 0.01 in either run; five times the error of a difference.
        np.testing.assert_allclose(found, wanted, rtol=0, atol=5 * 0.01 * math.sqrt(2))


STILL = tx.TauCrystals(hertz=(0.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (None, {"anchors": (0.2, 0.2)}, "got shares of sum 0.4; expected sum 1"),
        (None, {"anchors": (1.0,)}, r"got shares \(1.0,\); expected two or more, each > 0"),
        (None, {"anchors": (1.0, 0.0)}, r"got shares \(1.0, 0.0\); expected two or more"),
        (None, {"attention": (0.5, 0.7, -0.2)}, "expected two or more, each > 0"),
        (None, {"anchors": 0.5}, "got shares 0.5; expected two or more"),
        (None, {}, "got neither anchors nor attention; expected shares of one of them"),
        (None, {"anchors": (0.5, 0.5), "steps": 9}, "got steps=9; expected an integer ≥ 10"),
        (STILL, {"anchors": (0.4, 0.3, 0.3)}, "got a run in which the cuts of thresholds fall"),
        (noisy(), {"anchors": (0.5, 0.5)}, "got no key, though the model has noise"),
        (tx.PhaseOscillators([1.0]), {}, "got model=PhaseOscillators.*expected.*TauCrystals"),
        (
            tx.TauCrystals(thresholds=tx.Thresholds(tx.EmaCuts((-1, 1), 1.0))),
            {"anchors": (0.2, 0.6, 0.2)},
            "got thresholds.cuts=EmaCuts; expected an instance of FixedCuts.*follow the field",
        ),
        (
            None,
            {"attention": (0.2,) * 5},
            "got 5 shares of attention for 4 scales; expected at most one per scale",
        ),
    ],
)
def test_refused_calibrations(model, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        tx.calibrated(model or tx.TauCrystals(), **{"dt": DT, "steps": 30, **options})


# Bad input --------------------------------------------------------------------------------------


def two_scales():
    two = (0.5, 0.5)
    return tx.TauCrystals(scales=("a", "b"), hertz=(1.0, 2.0), weights=two, gain=two)


REFUSED = {
    "another model": (
        lambda: tx.PhaseOscillators(np.ones(4)),
        "got a model of the kind PhaseOscillators, which has no scales; expected tau crystals",
    ),
    "three cuts": (
        lambda: tx.TauCrystals(thresholds=tx.Thresholds((-0.3, 0.0, 0.3))),
        "got thresholds with 3 cuts; expected 2 cuts.*read tx.anchor",
    ),
    "three adaptive cuts": (
        lambda: tx.TauCrystals(thresholds=tx.Thresholds(tx.EmaCuts((-1, 0, 1), 1.0))),
        "got thresholds with 3 cuts",
    ),
    "one scale": (
        lambda: tx.TauCrystals(scales=("a",), hertz=(1.0,), weights=(1.0,), gain=(1.0,)),
        "got crystals of a single scale; expected two scales or more",
    ),
    "levels": (two_scales, "got 3 levels of attention for 2 scales.*at most 1 cuts"),
    "hysteresis": (
        lambda: tx.TauCrystals(attention=tx.Thresholds((0.1, 0.5), hysteresis=0.1)),
        "got thresholds of attention that remember; expected fixed cuts",
    ),
    "adaptive attention": (
        lambda: tx.TauCrystals(attention=tx.Thresholds(tx.EmaCuts((0.1, 0.5), 1.0))),
        "got thresholds of attention that remember",
    ),
}


@cache
def four_phases(members):
    return tx.init(tx.TauCrystals(), members=members)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_contexts(case):
    make, message = REFUSED[case]
    model = make()
    with pytest.raises((ValueError, TypeError), match=message):
        context(model, four_phases(None))
    # And where a leaf varies, under jit.
    varied = tx.per_member(model, lambda m: jax.tree.leaves(m)[0], np.ones((1, model.size)))
    with pytest.raises((ValueError, TypeError), match=message):
        told(varied, four_phases(1))


def test_a_context_needs_a_state():
    with pytest.raises(TypeError, match="got state=3; expected an instance of State"):
        context(tx.TauCrystals(), 3)


@pytest.mark.parametrize("readout", [tx.harmonic, tx.anchor, tx.scale_coherence, tx.field_variance])
def test_readouts_of_crystals_refuse_others(readout):
    model = tx.PhaseOscillators(np.ones(4))
    with pytest.raises(TypeError, match=r"which has no scales; expected tau crystals.*TauCr"):
        readout(model, four_phases(None))
