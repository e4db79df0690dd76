"""Events: a scheduled run is the runs of the changed models, one after the other, bit for bit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import SIZE, model

import tauax as tx
from tauax import _programs

KEY = jax.random.key(31)
DT, PART = 0.1, 6  # events fall on the ends of parts of 6 steps
TIMES = [0.6, 1.2, 1.8]
WEIGHTS = np.random.default_rng(8).normal(size=(SIZE, SIZE)).astype(np.float32)
ONCE = np.arange(SIZE, dtype=np.float32)


def strength(system):
    return system.coupling.strength


def weights(system):
    return system.coupling.weights


def lag(system):
    return system.coupling.lag


def intensity(system):
    return system.noise.intensity


def frequency(system):
    return system.frequency


def amplitude(system):
    return system.drive.amplitude


def plain(norm="none"):
    parts = model("none", "normal", drive="tone")
    coupling = tx.Dense(WEIGHTS, 0.5, 0.2, norm)
    return tx.PhaseOscillators(parts.frequency, coupling, parts.noise, parts.drive)


def run(system, state=None, members=3, **options):
    state = tx.init(system, key=KEY, members=members) if state is None else state
    return tx.simulate(
        system, state, **{"dt": DT, "steps": 4 * PART, "stepper": tx.Heun(), **options}
    )


def in_parts(systems):
    """The state after a part of a run of each of the systems."""
    state = tx.init(systems[0], key=KEY, members=3)
    for system in systems:
        state = run(system, state, steps=PART).state
    return state.phase


def replaced(system, where, value):
    return eqx.tree_at(where, system, jnp.asarray(value, jnp.float32))


def single(where, values):
    return {"one": tx.Change(where, TIMES[: len(values)], values)}


# The same as runs of changed models


@pytest.mark.parametrize(
    ("where", "values"),
    [
        (strength, [2.0, -1.0, 0.0]),
        (lag, [1.0, 0.3, 0.2]),
        (frequency, np.stack([ONCE, -ONCE, 0.3 * ONCE])),
        (intensity, [0.0, 0.5, 0.01]),
        (amplitude, [3.0, 0.0, -1.0]),
        (weights, np.stack([WEIGHTS.T, 2 * WEIGHTS, np.zeros_like(WEIGHTS)])),
    ],
    ids=["strength", "lag", "frequency", "intensity", "amplitude", "weights"],
)
def test_a_parameter_jumps(where, values):
    system = plain()
    parts = [system, *(replaced(system, where, value) for value in values)]
    found = run(tx.scheduled(system, single(where, values))).state.phase
    np.testing.assert_array_equal(found, in_parts(parts))


@pytest.mark.parametrize("norm", ["none", "in_degree"])
def test_edges_are_cut_and_set(norm):
    system = plain(norm)
    # Two at once, one twice; out of the order of the matrix.
    times, values = [0.6, 0.6, 1.2, 1.8], [0.0, 0.0, 3.0, 0.0]
    index = [(3, 4), (1, 2), (3, 4), (0, 0)]
    changes = {"cut": tx.Change(weights, times, values, index)}
    tables = [WEIGHTS.copy()]
    for events in ([0, 1], [2], [3]):
        table = tables[-1].copy()
        for event in events:
            table[index[event]] = values[event]
        tables.append(table)
    parts = [replaced(system, weights, table) for table in tables]
    found = run(tx.scheduled(system, changes)).state.phase
    np.testing.assert_array_equal(found, in_parts(parts))
    assert np.abs(found - run(system).state.phase).max() > 1e-3


def test_several_changes_and_the_last_named_wins():
    system = plain()
    first = {
        "boost": tx.Change(strength, [0.6], [2.0]),
        "other": tx.Change(weights, [1.2], WEIGHTS.T[None]),
    }
    both = tx.scheduled(
        tx.scheduled(system, first), {"cut": tx.Change(weights, [0.6], [9.0], index=[(1, 0)])}
    )
    assert isinstance(both.system, tx.PhaseOscillators)
    boosted = replaced(system, strength, 2.0)
    cut, swapped = np.array(WEIGHTS), np.array(WEIGHTS.T)
    cut[1, 0] = swapped[1, 0] = 9.0
    parts = [system, *(replaced(boosted, weights, one) for one in (cut, swapped, swapped))]
    np.testing.assert_array_equal(run(both).state.phase, in_parts(parts))


def test_an_element_of_a_list_jumps():
    system = plain()
    changes = {"one": tx.Change(frequency, [0.6, 1.2], [5.0, 0.0], index=[2, SIZE - 1])}
    second = system.frequency.at[2].set(5.0)
    third = second.at[SIZE - 1].set(0.0)
    parts = [system, *(replaced(system, frequency, one) for one in (second, third, third))]
    np.testing.assert_array_equal(run(tx.scheduled(system, changes)).state.phase, in_parts(parts))


def test_a_grid_is_scheduled_like_its_points():
    strengths = jnp.asarray([0.5, 1.5])
    grid = tx.vary(model("mean_field"), {"coupling": (strength, strengths)})
    changes = {"noise": tx.Change(intensity, [0.6], [0.4]), "same": tx.Change(strength, [1.2], [1])}
    scheduled = tx.scheduled(grid, changes)
    state = tx.init(scheduled, key=KEY, members=3, common_noise=True)
    assert state.axes == ("coupling", "member")
    sol = run(scheduled, state)
    np.testing.assert_array_equal(sol.coordinates["coupling"], strengths)
    for point, value in enumerate(strengths):
        alone = tx.scheduled(replaced(model("mean_field"), strength, value), changes)
        np.testing.assert_array_equal(sol.state.phase[point], run(alone).state.phase)


def test_times_and_values_can_be_swept():
    scheduled = tx.scheduled(plain(), single(strength, [2.0]))
    times, values = jnp.asarray([[0.6], [1.2]]), jnp.asarray([[2.0], [-1.0], [0.5]])
    grid = tx.vary(scheduled, {"start": (lambda m: m["one"].times, times)})
    grid = tx.per_member(grid, lambda m: m["one"].values, values)
    found = run(grid, tx.init(grid, key=KEY, members=3, common_noise=True)).state.phase
    for i in range(2):
        for j in range(3):
            one = {"one": tx.Change(strength, times[i], values[j])}
            alone = run(tx.scheduled(plain(), one)).state.phase
            # 1e-5: times in a batch are another program.
            np.testing.assert_allclose(found[i, j], alone[j], atol=1e-5)


# When


def test_splitting_and_stepping_by_hand():
    scheduled = tx.scheduled(
        plain(), {"cut": tx.Change(weights, [0.31, 1.0], [0.0, 4.0], index=[(1, 2), (2, 1)])}
    )
    whole = run(scheduled)
    half = run(scheduled, steps=2 * PART)
    np.testing.assert_array_equal(
        run(scheduled, half.state, steps=2 * PART).state.phase, whole.state.phase
    )
    state = tx.init(scheduled, key=KEY)
    for _ in range(4 * PART):
        state = tx.step(scheduled, state, dt=DT, stepper=tx.Heun())
    np.testing.assert_array_equal(state.phase, whole.state.phase[0])


def test_an_event_waits_for_the_next_step():
    """A velocity that jumps, and steps that change their length: all in exact halves."""
    system = tx.PhaseOscillators([0.0])
    for time, steps in ((0.0, 0), (0.25, 1), (0.5, 1), (0.75, 2), (1.0, 2), (1.1, 3), (9.0, 99)):
        scheduled = tx.scheduled(system, {"go": tx.Change(frequency, [time], [[0.25]])})
        state = tx.init(scheduled, phase=[0.0])
        moved = []
        for dt in (0.5, 0.5, 0.25, 0.25, 0.25):
            after = tx.step(scheduled, state, dt=dt)
            moved.append(float(after.phase[0] - state.phase[0]))
            state = after
        expected = [0.125, 0.125, 0.0625, 0.0625, 0.0625]
        assert moved == [one if n >= steps else 0.0 for n, one in enumerate(expected)], time


def test_new_times_and_values_compile_nothing():
    def call(times, values, index):
        changes = {
            "boost": tx.Change(lambda m: m.coupling.strength, times, values),
            "cut": tx.Change(lambda m: m.coupling.weights, times, values, index=index),
        }
        scheduled = tx.scheduled(plain(), changes)
        run(scheduled, members=2, steps=3)

    call([0.1, 0.2], [1.0, 2.0], [(0, 1), (0, 2)])
    before = _programs.simulate.outer._cache_size()
    call(np.asarray([0.0, 3.0]), [1, 2], np.asarray([[0, 1], [0, 1]]))
    call(jnp.asarray([1.0, 1.0]), jnp.asarray([0.1, 0.2]), [[5, 5], [5, 6]])
    assert _programs.simulate.outer._cache_size() == before


def test_values_have_derivatives(x64):
    system = tx.PhaseOscillators(jnp.linspace(-1.0, 1.0, 4), tx.Dense(np.ones((4, 4)), 0.3))
    weight = jnp.cos(jnp.arange(4.0))

    @jax.jit
    def outcome(boost, edge):
        changes = {
            "boost": tx.Change(strength, [0.3, 0.6], boost),
            "edge": tx.Change(weights, [0.4, 0.7], edge, index=[(1, 2), (1, 2)]),
        }
        scheduled = tx.scheduled(system, changes)
        state = tx.init(scheduled, phase=[0.1, 1.0, -2.0, 2.5])
        end = tx.simulate(scheduled, state, dt=jnp.asarray(0.1), steps=10).state
        return (weight * jnp.sin(end.phase)).sum()

    point = (jnp.asarray([1.0, 2.0]), jnp.asarray([0.5, -1.0]))
    gradient = jax.jit(jax.grad(outcome, argnums=(0, 1)))(*point)
    for which in range(2):
        for event in range(2):
            ends = []
            for by in (1e-6, -1e-6):
                moved = list(point)
                moved[which] = moved[which].at[event].add(by)
                ends.append(float(outcome(*moved)))
            # 1e-8: curvature times 1e-12, and rounding of 1e-16 over 1e-6.
            assert gradient[which][event] == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)
            assert abs(gradient[which][event]) > 1e-4


def test_no_event_yet_changes_nothing():
    scheduled = tx.scheduled(plain(), single(strength, [99.0]))
    now = tx.init(scheduled, key=KEY).now
    for one, other in zip(
        jax.tree.leaves(scheduled.at(now)), jax.tree.leaves(plain()), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert scheduled.size == SIZE
    assert scheduled.dtype == jnp.float32


# Bad input


def change(times, values, where=strength, **options):
    return tx.scheduled(plain(), {"one": tx.Change(where, times, values, **options)})


def varied(leaf, values):
    """The times or the values of a change of the noise along an axis."""
    model = change([1.0, 2.0], [0.1, 0.2], intensity)
    return tx.vary(model, {"axis": (lambda m: getattr(m["one"], leaf), values)})


def twice():
    once = tx.scheduled(plain(), single(strength, [1.0]))
    return tx.scheduled(once, single(lag, [1.0]))


# id, call, exception, what the message must name.
CASES = [
    ("out of order", lambda: change([2.0, 1.0], [1.0, 1.0]), ValueError,
     ["Change.times out of order", "2.0 is followed by 1.0", "sort"]),
    ("time negative", lambda: change([-1.0], [1.0]), ValueError, ["Change.times[0] = -1.0", "≥ 0"]),
    ("time nan", lambda: change([np.nan], [1.0]), ValueError, ["Change.times[0] = nan"]),
    ("one time", lambda: change(1.0, [1.0]), ValueError, ["Change.times of shape ()", "(events,)"]),
    ("no events", lambda: change([], []), ValueError, ["Change.times of shape (0,)"]),
    ("value nan", lambda: change([1.0], [np.nan]), ValueError, ["Change.values[0] = nan"]),
    ("too few values", lambda: change([1.0, 2.0], [1.0]), ValueError,
     ["Change.values of shape (1,) for 2 times", "(2, ...)"]),
    ("values of a shape", lambda: change([1.0], [[1.0, 2.0]]), ValueError,
     ["values of shape (1, 2)", "'one'", "shape (1,)"]),
    ("a number for a matrix", lambda: change([1.0], [0.0], weights), ValueError,
     ["values of shape (1,)", "(1, 12, 12)", "index=["]),
    ("matrices with an index", lambda: change([1.0], WEIGHTS[None], weights, index=[(0, 0)]),
     ValueError, ["shape (1,)", "one number per event and index"]),
    ("outside of the domain", lambda: change([1.0], [-0.5], intensity), ValueError,
     ["WhiteNoise.intensity[0] = -0.5", "≥ 0"]),
    ("index out of range", lambda: change([1.0], [0.0], weights, index=[(3, 12)]), ValueError,
     ["index (3, 12)", "shape (12, 12)"]),
    ("index negative", lambda: change([1.0], [0.0], weights, index=[(-1, 2)]), ValueError,
     ["index (-1, 2)"]),
    ("index of a number", lambda: change([1.0], [0.0], index=[()]), ValueError,
     ["no index", "leave index out"]),
    ("index of one row", lambda: change([1.0], [0.0], weights, index=[3]), ValueError,
     ["index=[3]", "1 positions of 2 integers", "(3, 4)"]),
    ("index of two", lambda: change([1.0], [0.0], weights, index=[(1, 2), (3, 4)]), ValueError,
     ["1 positions of 2 integers"]),
    ("index of fractions", lambda: change([1.0], [0.0], weights, index=[(1.0, 2.0)]), ValueError,
     ["integers"]),
    ("index ragged", lambda: change([1.0, 2.0], [0.0, 0.0], weights, index=[(1, 2), (3,)]),
     ValueError, ["2 positions of 2 integers"]),
    ("where fails", lambda: change([1.0], [0.0], lambda m: m.coupling.delay), ValueError,
     ["a where that fails", "no attribute 'delay'"]),
    ("where static", lambda: change([1.0], [0.0], lambda m: m.coupling.norm), ValueError,
     ["a where that selects str"]),
    ("where two", lambda: change([1.0], [0.0], lambda m: (strength(m), lag(m))), ValueError,
     ["2 leaves", "'one'", "a change of its own"]),
    ("varied out of order", lambda: varied("times", [[1.0, 2.0], [2.0, 1.0]]), ValueError,
     ["Replacement.times out of order", "2.0 is followed by 1.0", "sort"]),
    ("varied times nan", lambda: varied("times", [[1.0, np.nan]]), ValueError, ["[0, 1] = nan"]),
    ("varied outside of the domain", lambda: varied("values", [[0.1, -0.2]]), ValueError,
     ["WhiteNoise.intensity[0, 1] = -0.2", "≥ 0"]),
    ("name twice", twice, ValueError, ["'one' again", "a name of its own"]),
    ("no mapping", lambda: tx.scheduled(plain(), [1]), TypeError, ["changes=[1]", "tx.Change"]),
    ("no change", lambda: tx.scheduled(plain(), {"one": 1.0}), TypeError,
     ["changes['one']=1.0", "tx.Change"]),
    ("no model", lambda: tx.scheduled(3, single(strength, [1.0])), TypeError, ["model=3"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_bad_input(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
