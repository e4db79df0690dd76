"""The plain programs of tau crystals: each against the original's numbers, and all against ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax import baselines
from tauax.hints import ANCHORS
from tauax.monitors.occupancy import Occupancy

DT, STEPS = 0.01, 10_000


@pytest.fixture(scope="module")
def original():
    """The field of every step from the loop over objects."""
    loop = baselines.CrystalLoop()
    return np.array([loop.step(DT) for _ in range(STEPS)])


def anchors(field: np.ndarray) -> np.ndarray:
    return (field > 0.3).astype(int) - (field < -0.3).astype(int)


def ours(members: int | None = None, phase=None, dtype=jnp.float32):
    """Field and anchors of every step."""
    model = tx.TauCrystals(jnp.asarray(baselines.HERTZ, dtype))
    state = tx.init(model, members=members, phase=phase)
    monitors = {"field": tx.Trace(tx.harmonic), "anchor": tx.Trace(tx.anchor)}
    found = tx.simulate(model, state, dt=DT, steps=STEPS, monitors=monitors).monitors
    return np.asarray(found["field"].value), np.asarray(found["anchor"].value)


def test_loop_has_the_figures_of_the_original(original):
    shares = [np.mean(anchors(original) == code) for code in (1, 0, -1)]
    np.testing.assert_allclose(shares, [0.234, 0.532, 0.234], atol=5e-4)  # three digits given
    extremes = [original.min(), original.max(), original.std()]
    np.testing.assert_allclose(extremes, [-0.957, 0.982, 0.382], atol=5e-4)  # the same


def test_loop_never_attends_to_the_fast_scales():
    loop = baselines.CrystalLoop()
    assert loop.context() == {
        "anchor": "INIT",
        "mode": "exploratory",
        "priority": 0.4,
        "attention": "macro",
    }
    largest = 0.0
    for _ in range(2_000):
        loop.step(DT)
        assert loop.context()["attention"] == "macro"
        largest = max(largest, float(np.var(loop.recent)))
    assert 0.015 < largest < 0.02


def test_loop_and_arrays_agree(original):
    phase = np.zeros((4, 1))
    record = baselines.crystals(phase, dt=DT, steps=STEPS, window=STEPS)
    # Sums of 10⁴ angles: φ itself reaches 6,283 in the loop, whose rounding is 10⁻¹² a step.
    np.testing.assert_allclose(record.recent[:, 0], original, atol=1e-8)
    np.testing.assert_array_equal(anchors(record.recent[:, 0]), anchors(original))
    np.testing.assert_array_equal(record.counts[:, 0], np.bincount(anchors(original) + 1))


def test_arrays_carry_on_in_place():
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (4, 5))
    whole, parts, alone = phase.copy(), phase.copy(), phase[:, 3:4].copy()
    record = baselines.crystals(whole, dt=DT, steps=300)
    first = baselines.crystals(parts, dt=DT, steps=207)
    second = baselines.crystals(parts, dt=DT, steps=93)
    np.testing.assert_array_equal(first.counts + second.counts, record.counts)
    np.testing.assert_allclose(second.recent, record.recent, atol=1e-12)  # roundings of float64
    apart = np.angle(np.exp(1j * (parts - whole)))
    np.testing.assert_allclose(apart, 0.0, atol=1e-12)  # the same
    other = baselines.crystals(alone, dt=DT, steps=300)
    np.testing.assert_array_equal(other.counts, record.counts[:, 3:4])
    assert baselines.crystals(phase, dt=DT, steps=3).recent.shape == (3, 5)


def test_float64_has_every_anchor(original, x64):
    """The golden test: no value of the field is closer to a cut than 10⁻⁶."""
    field, anchor = ours(dtype=jnp.float64)
    assert np.abs(np.abs(original) - 0.3).min() > 1e-6
    np.testing.assert_allclose(field, original, atol=1e-8)  # the rounding of the loop's phases
    np.testing.assert_array_equal(anchor, anchors(original))
    record = baselines.crystals(np.zeros((4, 1)), dt=DT, steps=STEPS, window=STEPS)
    np.testing.assert_array_equal(anchor, anchors(record.recent[:, 0]))


def test_float32_differs_only_within_rounding_of_a_cut(original):
    field, anchor = ours()
    # Phases are exact to 2⁻³² turns, sines to 4e-7 (tauax.numerics.trig), and four weights of sum 1
    # are added with roundings of 6e-8.
    bound = 6e-7
    np.testing.assert_allclose(field, original, atol=bound)
    differs = anchor != anchors(original)
    assert (np.abs(np.abs(original[differs]) - 0.3) < bound).all()
    # By the density of the field there are 10⁴ · 4 · 6e-7 ≈ 0.02 such values.
    assert differs.sum() <= 1


def test_float32_of_both_kinds_counts_alike():
    """Many members from random phases, as the benchmark runs them."""
    phase = np.random.default_rng(1).uniform(-np.pi, np.pi, (4, 64)).astype(np.float32)
    model = tx.TauCrystals()
    state = tx.init(model, members=64, phase=phase.T)
    monitors = {"anchor": Occupancy(tx.anchor)}
    sol = tx.simulate(model, state, dt=DT, steps=1_000, monitors=monitors)
    moved = phase.copy()
    record = baselines.crystals(moved, dt=DT, steps=1_000)
    apart = np.angle(np.exp(1j * (np.asarray(sol.state.phase).T - moved)))
    # Numpy's phases grow to 10 between two wraps, where a sum is rounded by up to 5e-7, and at
    # 10 Hz every tenth by the same: 5e-4 at most.
    assert np.abs(apart).max() < 5e-4
    counts = np.asarray(sol.monitors["anchor"].whole).T
    assert counts.sum() == record.counts.sum() == 64_000
    # The field is off by less than 2e-4, and has a density below 1.5 at each of two cuts: of 64,000
    # values less than 40 can change sides.
    assert np.abs(counts - record.counts).sum() < 40


def test_context_is_that_of_the_loop(x64):
    """Ours reads the field of the step that is about to begin, so the loop is one step ahead."""
    model = tx.TauCrystals(jnp.asarray(baselines.HERTZ, jnp.float64))

    def turn(state, _):
        hints = tx.context(model, state)
        return tx.step(model, state, dt=DT), (hints.anchor, hints.priority, hints.attention)

    start = tx.init(model)
    _, (anchor, priority, attention) = jax.lax.scan(turn, start, None, length=300)
    loop = baselines.CrystalLoop()
    expected = [loop.context()]
    loop.step(DT)
    for _ in range(299):
        loop.step(DT)
        expected.append(loop.context())
    assert [ANCHORS[one] for one in anchor] == [one["anchor"] for one in expected]
    np.testing.assert_allclose(priority, [one["priority"] for one in expected], atol=1e-12)
    assert [model.scales[one] for one in attention] == [one["attention"] for one in expected]


def test_phase_error_is_numpys(original, x64):
    found = tx.phase_error(original[:500])
    # Sums of 100 values below 1.
    np.testing.assert_allclose(found, baselines.phase_error(original[:500]), atol=1e-12)
