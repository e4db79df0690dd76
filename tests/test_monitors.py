"""Law 5: streaming equals offline for every monitor, and merging is associative."""

import dataclasses
import math
import sys
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import MONITORS as EVERY
from tables import SIZE, model

import tauax as tx
from tauax.state import Clock, State

KEY = jax.random.key(17)
DT = 0.05
STEPS = 24
PIECE = STEPS // 3
# The others have oracles of their own: test_monitors_statistics and test_monitors_connectivity.
KINDS_HERE = (tx.Moments, tx.Trace, tx.Rotations)
MONITORS = {name: make for name, make in EVERY.items() if isinstance(make(), KINDS_HERE)}
VARIANTS = [(4, 0), (3, 2), (1, STEPS)]
ULP = 2.0**-23


def vector(phase: np.ndarray) -> np.ndarray:
    return np.exp(1j * phase).mean(axis=-1)


READOUTS = {
    tx.phase: lambda phase: phase,
    tx.coherence: lambda phase: np.abs(vector(phase)),
    tx.mean_phase: lambda phase: np.angle(vector(phase)),
}


def monitors() -> dict[str, tx.AbstractMonitor]:
    """Each monitor of the table as it is and in every variant, by name."""
    made = {name: make() for name, make in MONITORS.items()}
    for name, (every, after) in ((name, variant) for name in MONITORS for variant in VARIANTS):
        kind = dataclasses.replace(MONITORS[name](), every=every, after=after)
        if after < STEPS or not isinstance(kind, tx.Trace):  # see test_trace_without_a_record
            made[f"{name}_{every}_{after}"] = kind
    return made


ALL = monitors()


def setting(batch: str):
    """A model and the keywords of its state."""
    system = model("mean_field_lag", "normal")
    if batch == "none":
        return system, {}
    strengths = jnp.asarray([0.0, 2.5])
    return tx.vary(system, {"coupling": (lambda m: m.coupling.strength, strengths)}), {"members": 3}


BATCHES = ("none", "vary")


@cache
def runs(batch: str):
    """One run of all monitors, and the same in three pieces."""
    system, options = setting(batch)
    start = tx.init(system, key=KEY, **options)
    watched = {**ALL, "full": tx.Trace(tx.phase)}
    whole = tx.simulate(system, start, dt=DT, steps=STEPS, monitors=watched)
    pieces, state = [], start
    for _ in range(3):
        pieces.append(tx.simulate(system, state, dt=DT, steps=PIECE, monitors=watched))
        state = pieces[-1].state
    return whole, pieces


def offline(monitor, phase: np.ndarray, dt: float = DT) -> dict[str, np.ndarray]:
    """The statistics from a full trace `[*batch, step, oscillator]`, in float64."""
    due = np.arange(monitor.after, phase.shape[-2], monitor.every)
    phase = phase[..., due, :].astype(np.float64)
    if isinstance(monitor, tx.Rotations):
        moved = np.unwrap(phase, axis=-2)
        moved = moved[..., -1, :] - moved[..., 0, :]
        return {"displacement": moved, "frequency": moved / ((due[-1] - due[0]) * dt)}
    value = READOUTS[monitor.readout](phase)
    axis = phase.ndim - 2
    if isinstance(monitor, tx.Trace):
        return {"value": value}
    return {"mean": value.mean(axis=axis), "variance": value.var(axis=axis)}


def equal(result, wanted: dict[str, np.ndarray], name: str) -> None:
    found = result.statistics()
    assert set(found) == set(wanted), name
    for statistic, value in wanted.items():
        assert found[statistic].shape == value.shape, name
        # Readouts are good to 4e-7 and phases of order π round by 2e-7 in each of 24 records; a
        # frequency divides that by at least 0.95 s.
        np.testing.assert_allclose(found[statistic], value, rtol=5e-6, atol=5e-6, err_msg=name)


@pytest.mark.parametrize("batch", BATCHES)
def test_streaming_is_offline(batch):
    whole, _ = runs(batch)
    phase = np.asarray(whole.monitors["full"].value)
    for name, monitor in ALL.items():
        if monitor.after < STEPS:
            equal(whole.monitors[name], offline(monitor, phase), name)


@pytest.mark.parametrize("batch", BATCHES)
def test_merged_is_one_run(batch):
    whole, (first, second, third) = runs(batch)
    left, right = first.then(second).then(third), first.then(second.then(third))
    np.testing.assert_array_equal(left.state.phase, whole.state.phase)
    for name, monitor in ALL.items():
        for one, other in zip(*map(jax.tree.leaves, both(left, right, name)), strict=True):
            # Associative, but for roundings in float32 (counts and turns exactly).
            np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6, err_msg=name)
        if PIECE % monitor.every == 0 and monitor.after == 0:
            equal(left.monitors[name], offline_of(whole, monitor), name)


def both(left, right, name):
    return left.monitors[name], right.monitors[name]


def offline_of(whole, monitor):
    return offline(monitor, np.asarray(whole.monitors["full"].value))


def test_counts_and_times():
    whole, (first, second, third) = runs("none")
    joined = first.then(second).then(third)
    for name, monitor in ALL.items():
        records = len(range(monitor.after, STEPS, monitor.every))
        assert monitor.records(STEPS) == records, name
        result = whole.monitors[name]
        if isinstance(monitor, tx.Moments):
            assert result.count == records, name
        if isinstance(monitor, tx.Trace):
            times = np.arange(monitor.after, STEPS, monitor.every) * DT
            # A product in float32 of numbers of order 1.
            np.testing.assert_allclose(result.time, times, rtol=2e-7, atol=0, err_msg=name)
            np.testing.assert_array_equal(result.value.shape[0], records, name)
    np.testing.assert_array_equal(joined.monitors["full"].time, whole.monitors["full"].time)
    np.testing.assert_array_equal(joined.monitors["full"].value, whole.monitors["full"].value)
    assert joined.monitors["moments"].count == STEPS


def free(frequency):
    """Oscillators that turn by themselves, from phase 0."""
    system = tx.PhaseOscillators(frequency)
    return system, tx.init(system, phase=np.zeros(len(frequency)))


def test_times_through_changes_of_dt():
    system, state = free([0.5, 1.0])
    watched = {"phase": tx.Trace(tx.phase), "turns": tx.Rotations()}
    solution = None
    for dt, steps in ((0.05, 8), (0.02, 10), (0.02, 10), (0.1, 8)):
        more = tx.simulate(system, state, dt=dt, steps=steps, monitors=watched)
        solution, state = more if solution is None else solution.then(more), more.state
    lengths = np.repeat([0.05, 0.02, 0.1], [8, 20, 8])
    times = np.concatenate([[0.0], np.cumsum(lengths)])
    # float32 times of order 1, rounded anew at each change of dt.
    np.testing.assert_allclose(solution.monitors["phase"].time, times[:-1], rtol=0, atol=5e-7)
    np.testing.assert_allclose(solution.state.time, times[-1], rtol=0, atol=5e-7)
    turns = solution.monitors["turns"]
    np.testing.assert_allclose([turns.start, turns.stop], [0, times[-2]], rtol=0, atol=5e-7)
    # Free oscillators, through every gap between runs: 36 roundings of a phase below 2.
    np.testing.assert_allclose(turns.frequency, [0.5, 1.0], rtol=0, atol=4e-6)


@tx.readout
def first_phase(model, state):
    return state.phase[0]


def test_moments_of_two_million_records():
    records = 2**21
    monitor = tx.Moments(first_phase)
    system, start = free([0.0])
    # Not centred, so that a naive sum loses digits: mean 2.5, deviation 0.17.
    sequence = np.random.default_rng(3).uniform(2.2, 2.8, records).astype(np.float32)

    @jax.jit
    def run(sequence):
        def body(carry, value):
            accumulator, naive = carry
            state = State(start.step, Clock.start(jnp.float32), None, value[None])
            accumulator = monitor.update(accumulator, system, state, jnp.int32(0))
            return (accumulator, naive + value), None

        first = monitor.init(system, start, records), jnp.float32(0.0)
        (accumulator, naive), _ = jax.lax.scan(body, first, sequence)
        return monitor.result(accumulator, start), naive / records

    result, naive = run(sequence)
    exact = math.fsum(map(float, sequence)) / records
    assert result.count == records
    # Two ulps of a number between 2 and 4.
    bound = 2 * 2 * ULP
    assert abs(float(result.mean) - exact) <= bound
    assert abs(float(naive) - exact) > 10 * bound
    # Each term (x − mean)² rounds by some ulps, at random; the sum keeps them all.
    variance = sequence.astype(np.float64).var()
    assert abs(float(result.variance) / variance - 1) < 1e-5


def test_rotations_of_free_oscillators():
    frequency = np.asarray([-30.0, -1.3, 0.0, 0.4, 2.0, 47.0], np.float32)
    system, state = free(frequency)
    dt, steps = 0.01, 3000
    watched = {"turns": tx.Rotations(), "thin": tx.Rotations(every=5, after=100)}
    run = tx.simulate(system, state, dt=dt, steps=steps, monitors=watched)
    moved = frequency.astype(np.float64) * (steps - 1) * dt
    turns = run.monitors["turns"]
    # Every step rounds the phase by at most half an ulp of 4, and ω·dt by 6e-8 of itself; then the
    # displacement by half an ulp of itself.
    bound = steps * 2.4e-7 + np.abs(moved) * 2.4e-7
    assert (np.abs(turns.displacement - moved) <= bound).all()
    np.testing.assert_array_equal(turns.turns, np.round(moved / (2 * math.pi)))
    assert (np.abs(turns.rest) <= math.pi * (1 + ULP)).all()
    thin = run.monitors["thin"]
    # The same bound, over 29 s.
    np.testing.assert_allclose(thin.frequency, frequency, rtol=0, atol=1e-4)
    assert thin.start == pytest.approx(1.0, abs=1e-6)
    assert thin.stop == pytest.approx(29.95, abs=1e-5)


def test_rotations_close_the_gap_between_runs():
    frequency = np.asarray([-4.0, 6.0, 9.5], np.float32)
    system, state = free(frequency)
    watched = {"turns": tx.Rotations(every=10)}
    run = lambda state: tx.simulate(system, state, dt=0.01, steps=500, monitors=watched)  # noqa: E731
    first = run(state)
    both = first.then(run(first.state)).monitors["turns"]
    moved = frequency * 9.9
    # As above: 1000 steps of 2.4e-7.
    np.testing.assert_allclose(both.displacement, moved, rtol=0, atol=3e-4)
    np.testing.assert_array_equal(both.turns, np.round(moved / (2 * math.pi)))
    # Without the gap 10 steps would be missing.
    assert abs(first.monitors["turns"].displacement[2] * 2 - moved[2]) > 0.5


LATE = [name for name, monitor in ALL.items() if monitor.after == STEPS]


def test_no_record_at_all():
    whole, _ = runs("vary")
    for name in LATE:
        result = whole.monitors[name]
        if isinstance(ALL[name], tx.Moments):
            assert result.count == 0, name
            assert np.isnan(np.asarray(result.mean)).all(), name
            assert np.isnan(np.asarray(result.variance)).all(), name
        else:
            assert np.isnan(np.asarray(result.frequency)).all(), name
            assert not np.asarray(result.displacement).any(), name


def test_trace_without_a_record():
    system, options = setting("vary")
    state = tx.init(system, key=KEY, **options)
    watched = {"late": tx.Trace(tx.phase, after=4), "later": tx.Trace(tx.coherence, 2, after=9)}
    for steps in (4, 3):
        results = tx.simulate(system, state, dt=DT, steps=steps, monitors=watched).monitors
        assert results["late"].time.shape == results["later"].time.shape == (0,)
        assert results["late"].value.shape == (2, 3, 0, SIZE)
        assert results["later"].value.shape == (2, 3, 0)


KINDS = {
    "moments": lambda **when: tx.Moments(tx.coherence, **when),
    "trace": lambda **when: tx.Trace(tx.phase, **when),
    "rotations": tx.Rotations,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_without_records_adds_nothing(kind):
    """Merged on either side of a run with records, it leaves the statistics of that run."""
    monitor = KINDS[kind](after=6)
    system = model("mean_field", "none")
    start = tx.init(system, key=KEY)
    run = lambda state, steps: tx.simulate(  # noqa: E731
        system, state, dt=DT, steps=steps, monitors={"it": monitor}
    )
    empty, full = run(start, 6), run(run(start, 6).state, 12)
    after = run(full.state, 6)
    for merged in (empty.then(full), full.then(after)):
        found, wanted = (sol.monitors["it"].statistics() for sol in (merged, full))
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name], name)


def test_other_monitors_do_not_merge():
    system, state = free([1.0])
    one = tx.simulate(system, state, dt=DT, steps=2, monitors={"r": tx.Moments(tx.coherence)})
    two = tx.simulate(system, state, dt=DT, steps=2, monitors={"q": tx.Moments(tx.coherence)})
    with pytest.raises(ValueError, match="pass the same monitors"):
        one.then(two)


def test_to_xarray():
    pytest.importorskip("xarray")
    whole, _ = runs("vary")
    table = whole.to_xarray()
    axes = ("coupling", "member")
    assert table["status"].dims == axes
    assert table["moments_mean"].dims == axes
    assert table["moments_thin_variance"].dims == (*axes, "oscillator")
    assert table["rotations_frequency"].dims == (*axes, "oscillator")
    assert table["trace_value"].dims == (*axes, "trace_time", "oscillator")
    assert table["trace_thin_value"].dims == (*axes, "trace_thin_time")
    assert dict(table.sizes)["member"] == 3
    assert dict(table.sizes)["oscillator"] == SIZE
    np.testing.assert_array_equal(table["coupling"], [0.0, 2.5])
    assert "member" not in table.coords
    np.testing.assert_array_equal(table["trace_thin_time"], whole.monitors["trace_thin"].time)
    np.testing.assert_array_equal(table["trace_value"], whole.monitors["trace"].value)
    for name, monitor in ALL.items():
        for statistic, value in whole.monitors[name].statistics().items():
            assert table[f"{name}_{statistic}"].shape == value.shape, monitor


def test_to_xarray_of_one_system():
    pytest.importorskip("xarray")
    whole, _ = runs("none")
    table = whole.to_xarray()
    assert table["status"].dims == ()
    assert table["moments_mean"].dims == ()
    assert table["trace_value"].dims == ("trace_time", "oscillator")


def test_to_xarray_without_xarray(monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r'pip install "tauax\[xarray\]"'):
        runs("none")[0].to_xarray()
