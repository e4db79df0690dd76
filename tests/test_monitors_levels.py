"""Laws 1, 5, 6 and 8 of the monitors of levels and windows: plain numpy, joins, slopes, bits."""

import math
from dataclasses import replace
from functools import cache, partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tables import SIZE, model

import tauax as tx
from tauax.monitors.dwells import Dwells
from tauax.monitors.occupancy import Occupancy
from tauax.monitors.transitions import Transitions
from tauax.monitors.windows import Windows
from tauax.numerics import windows as at_once
from tauax.numerics.trig import sincos_wrapped
from tauax.state import Clock, State

KEY = jax.random.key(31)
DT = 0.05
STEPS, PIECE = 36, 12
KINDS = (Occupancy, Transitions, Dwells, Windows)


@tx.readout
def side(model, state):
    """The side of the first oscillator, −1, 0 or 1."""
    return jnp.sign(sincos_wrapped(state.phase[0])[0])


@tx.readout
def sides(model, state):
    """A third of a turn for each of −1, 0, 1, as integers."""
    return jnp.round(state.phase * (1.5 / math.pi)).astype(jnp.int32)


@tx.readout
def soft(model, state):
    """Between and beyond the codes; a product, so that a compiler could contract it."""
    return 1.3 * sincos_wrapped(state.phase)[0]


OFFLINE = {
    side: lambda phase: np.sign(np.sin(phase[..., 0])),
    sides: lambda phase: np.round(phase * 1.5 / np.pi),
    soft: lambda phase: 1.3 * np.sin(phase),
    tx.coherence: lambda phase: np.abs(np.exp(1j * phase).mean(axis=-1)),
}
EDGES = np.asarray([0.1, 0.15, 0.3, 0.6])
ALL = {
    "occupancy": Occupancy(side),
    "occupancy_soft": Occupancy(soft, (-0.6, 0.0, 0.6, 1.2)),
    "transitions_each": Transitions(sides),
    "transitions_real": Transitions(soft, (-0.5, 0.5)),
    "dwells": Dwells(side, EDGES),
    "dwells_each": Dwells(sides, EDGES),
    "windows": Windows(tx.coherence, 6, level=0.3),
    "windows_each": Windows(soft, 4),
}
ONE_EACH = {
    n: ALL[n] for n in ("occupancy_soft", "transitions_each", "dwells_each", "windows_each")
}


def monitors(batch):
    """By name: for a grid one of each kind, and the others, late ones, for one system."""
    if batch == "vary":
        return ONE_EACH
    others = {name: monitor for name, monitor in ALL.items() if name not in ONE_EACH}
    return {name: replace(monitor, every=2, after=3) for name, monitor in others.items()}


def setting(batch):
    system = model("mean_field_lag", "normal")
    if batch == "none":
        return system, {}
    strengths = jnp.asarray([0.0, 2.5])
    return tx.vary(system, {"coupling": (lambda m: m.coupling.strength, strengths)}), {"members": 3}


def start(batch):
    system, options = setting(batch)
    return system, tx.init(system, key=KEY, **options)


@cache
def run(batch):
    """One run of all monitors."""
    system, state = start(batch)
    watched = {**monitors(batch), "full": tx.Trace(tx.phase)}
    return tx.simulate(system, state, dt=DT, steps=STEPS, monitors=watched)


@cache
def pieces():
    """The run of the grid in three."""
    system, state = start("vary")
    found = []
    for _ in range(STEPS // PIECE):
        found.append(tx.simulate(system, state, dt=DT, steps=PIECE, monitors=ONE_EACH))
        state = found[-1].state
    return found


# From all records at once, in float64; `value` is [..., record] and `time` that of each.


def nearest(value, codes):
    """The position of the nearest code, the upper one halfway, −1 for NaN."""
    apart = np.abs(value[..., None] - np.asarray(codes))
    found = len(codes) - 1 - np.argmin(apart[..., ::-1], axis=-1)
    return np.where(np.isnan(value), -1, found)


def occupancy(monitor, value, time=None):
    codes = np.asarray(monitor.codes)
    inside = np.clip(value, codes[0], codes[-1])[..., None]
    share = np.clip(1.0 - np.abs(inside - codes) / (codes[1] - codes[0]), 0.0, None)
    return {"fraction": np.nan_to_num(share).mean(axis=-2)}


def transitions(monitor, value, time):
    size, code = len(monitor.codes), nearest(value, monitor.codes)
    counts, seconds = np.zeros((*value.shape[:-1], size, size)), np.zeros((*value.shape[:-1], size))
    for *place, record in np.ndindex(*value.shape[:-1], value.shape[-1] - 1):
        before, after = code[(*place, record)], code[(*place, record + 1)]
        if min(before, after) >= 0:
            counts[(*place, before, after)] += 1
            seconds[(*place, before)] += time[record + 1] - time[record]
    with np.errstate(invalid="ignore"):
        probability = counts / counts.sum(axis=-1, keepdims=True)
        rate = np.where(np.eye(size), 0.0, counts) / seconds[..., None]
    return {"counts": counts, "probability": probability, "rate": rate}


def dwell_times(code, time):
    """(code, seconds) of each run of equal codes that has both of its ends."""
    changes = np.flatnonzero(np.diff(code)) + 1
    ends = time[changes]
    return [(code[k], b - a) for k, a, b in zip(changes, ends[:-1], ends[1:], strict=False)]


def dwells(monitor, value, time):
    """Lengths are compared in whole tenths of a millisecond."""
    edges = np.round(np.asarray(monitor.edges, float) * 1e4)
    codes, code = len(monitor.codes), nearest(value, monitor.codes)
    shape = (*value.shape[:-1], codes)
    lengths = np.frompyfunc(lambda _: [], 1, 1)(np.zeros(shape))
    for place in np.ndindex(*value.shape[:-1]):
        for one, length in dwell_times(code[place], time):
            if one >= 0:
                lengths[(*place, one)].append(length)
    found = {name: np.zeros(shape) for name in ("below", "above", "completed", "mean")}
    found["count"] = np.zeros((*shape, edges.size - 1))
    for place in np.ndindex(*shape):
        ticks = np.round(np.asarray(lengths[place], float) * 1e4)
        found["count"][place] = np.histogram(ticks, edges)[0]
        found["below"][place] = (ticks < edges[0]).sum()
        found["above"][place] = (ticks > edges[-1]).sum()
        found["completed"][place] = ticks.size
        found["mean"][place] = np.mean(lengths[place]) if ticks.size else np.nan
    return found


def windows(monitor, value, time=None):
    full = value.shape[-1] // monitor.window
    parts = value[..., : full * monitor.window].reshape(*value.shape[:-1], full, monitor.window)
    above = parts >= np.asarray(monitor.level)[..., None, None]
    return {
        "mean": parts.mean(axis=-1),
        "variance": parts.var(axis=-1),
        "skewness": stats.skew(parts, axis=-1),
        "kurtosis": stats.kurtosis(parts, axis=-1),
        "zero_crossing_rate": (above[..., 1:] != above[..., :-1]).mean(axis=-1),
    }


ORACLES = {Occupancy: occupancy, Transitions: transitions, Dwells: dwells, Windows: windows}


def offline(monitor, phase, dt=DT):
    """The statistics of a monitor from a full trace `[*batch, step, oscillator]`."""
    due = np.arange(monitor.after, phase.shape[-2], monitor.every)
    value = OFFLINE[monitor.readout](phase[..., due, :].astype(np.float64))
    value = np.moveaxis(value, phase.ndim - 2, -1)
    return ORACLES[type(monitor)](monitor, value, due * dt)


def equal(result, wanted, name):
    found = result.statistics()
    assert set(found) == set(wanted), name
    for statistic, value in wanted.items():
        assert found[statistic].shape == value.shape, (name, statistic)
        # Readouts are good to 1e-6; a skewness and a kurtosis of four records divide that by
        # deviations of 0.01 at the least. Counts and what follows from them are exact.
        bound = 1e-3 if statistic in ("skewness", "kurtosis") else 1e-5
        np.testing.assert_allclose(
            np.asarray(found[statistic], float),
            value,
            rtol=bound,
            atol=bound,
            err_msg=f"{name} {statistic}",
        )


BATCHES = ("none", pytest.param("vary", marks=pytest.mark.slow))


@pytest.mark.parametrize("batch", BATCHES)
def test_streaming_is_offline(batch):
    whole = run(batch)
    phase = np.asarray(whole.monitors["full"].value)
    for name, monitor in monitors(batch).items():
        equal(whole.monitors[name], offline(monitor, phase), name)


@pytest.mark.slow
def test_merged_is_one_run():
    phase = np.asarray(run("vary").monitors["full"].value)
    first, second, third = pieces()
    left, right = first.then(second).then(third), first.then(second.then(third))
    for name, monitor in ONE_EACH.items():
        both = (jax.tree.leaves(run.monitors[name]) for run in (left, right))
        for one, other in zip(*both, strict=True):
            # Sums of three numbers of order 1; counts exactly.
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=name)
        equal(left.monitors[name], offline(monitor, phase), name)


@pytest.mark.slow
def test_merging_counts_is_exact():
    first, second, third = pieces()
    merged = first.then(second).then(third).monitors
    for name in ("transitions_each", "dwells_each"):
        counts = run("vary").monitors[name].counts
        assert jnp.issubdtype(counts.dtype, jnp.integer)
        assert counts.sum() > 0
        np.testing.assert_array_equal(merged[name].counts, counts)


@pytest.mark.slow
def test_counts():
    whole = run("vary")
    found = whole.monitors
    assert found["occupancy_soft"].count == found["transitions_each"].records == STEPS
    assert run("none").monitors["transitions_real"].records == 17
    # Shares of the records; every pair of them; every dwell.
    np.testing.assert_allclose(found["occupancy_soft"].fraction.sum(axis=-1), 1.0, rtol=1e-6)
    pairs = np.asarray(found["transitions_each"].counts).sum(axis=(-1, -2))
    np.testing.assert_array_equal(pairs, STEPS - 1)
    dwells = found["dwells_each"]
    parts = dwells.count.sum(axis=-1) + dwells.below + dwells.above
    np.testing.assert_array_equal(dwells.completed, parts)


# Sequences of codes that are known beforehand, read from a table by the step.

LONG = 240


def telegraph(length, columns, seed=3):
    """Codes −1, 0, 1 that stay for some 5 records on average."""
    random = np.random.default_rng(seed)
    moves, codes = random.random((length, columns)) < 0.2, np.zeros((length, columns))
    for record in range(1, length):
        new = random.integers(-1, 2, columns)
        codes[record] = np.where(moves[record], new, codes[record - 1])
    return codes


SEQUENCE = telegraph(LONG, 5)
SEQUENCE[:, 2] = 1.0  # never another code
SEQUENCE[::7, 3] = np.nan
SEQUENCE[:100, 4], SEQUENCE[100:, 4] = 0.0, -1.0  # one change, and no dwell with both ends


@tx.readout
def sequence(model, state):
    return jnp.asarray(SEQUENCE, jnp.float32)[state.step]


def still():
    """One oscillator that does not move."""
    system = tx.PhaseOscillators([0.0])
    return system, tx.init(system, phase=np.zeros(1))


WIDE = np.asarray([0.15, 0.4, 0.5, 1.0])
SCRIPTED = {
    "occupancy": Occupancy,
    "transitions": Transitions,
    "dwells": partial(Dwells, edges=WIDE),
}


def scripted(**when):
    return {name: make(sequence, **when) for name, make in SCRIPTED.items()}


def chained(dts, steps, watched):
    """Runs one after the other, each with its own dt."""
    system, state = still()
    solutions = []
    for dt, length in zip(dts, steps, strict=True):
        run = tx.simulate(system, state, dt=dt, steps=length, monitors=watched)
        solutions.append(run)
        state = run.state
    return solutions


def recorded(dts, steps, every, after):
    """Values and times of all records of such runs."""
    due, begin = [], 0
    for length in steps:
        due += [begin + step for step in range(after, length, every)]
        begin += length
    time = np.concatenate([[0.0], np.cumsum(np.repeat(dts, steps))])
    return SEQUENCE[due].T, time[due]


CHAINS = {
    "one dt": ([0.05] * 6, {}),
    "two dt": ([0.1, 0.05, 0.05, 0.1, 0.025, 0.1], {}),
    "gaps": ([0.1, 0.05, 0.1, 0.1, 0.05, 0.1], {"every": 3, "after": 11}),
}


def joined_in_every_way(runs):
    """Six runs as one, by the order of joining."""
    a, b, c, d, e, f = runs
    return {
        "left": reduce(lambda one, two: one.then(two), runs),
        "right": reduce(lambda two, one: one.then(two), runs[::-1]),
        "pairs": a.then(b).then(c.then(d)).then(e.then(f)),
        "middle": a.then(b.then(c).then(d.then(e))).then(f),
    }


@pytest.mark.parametrize("chain", CHAINS)
def test_joins_through_changes_of_dt_and_runs_without_records(chain):
    dts, when = CHAINS[chain]
    # With "gaps" the short runs have no record.
    steps = [40, 10, 10, 40, 10, 40] if when else [40] * 6
    monitors = scripted(**when)
    brackets = joined_in_every_way(chained(dts, steps, monitors))
    value, time = recorded(dts, steps, **({"every": 1, "after": 0} | when))
    for name, monitor in monitors.items():
        wanted = ORACLES[type(monitor)](monitor, value, time)
        for bracket, joined in brackets.items():
            equal(joined.monitors[name], wanted, f"{name} {bracket}")
            pair = jax.tree.leaves((joined.monitors[name], brackets["left"].monitors[name]))
            half = len(pair) // 2
            for one, other in zip(pair[:half], pair[half:], strict=True):
                # Times of up to 10 s, added up in another order; counts exactly.
                exact = 0.0 if jnp.issubdtype(one.dtype, jnp.integer) else 2e-6
                np.testing.assert_allclose(one, other, rtol=exact, atol=exact)
    assert brackets["left"].monitors["dwells"].completed.sum() > 10
    occupied = brackets["left"].monitors["occupancy"]
    assert not np.any(occupied.rest)
    np.testing.assert_array_equal(occupied.whole[:, 2].sum(), (value == 1.0).sum())


def test_a_whole_run_without_a_change():
    """A dwell that outlasts two runs is one dwell; no sooner is it counted."""
    at_rest = {"dwells": Dwells(halves, [0.0, 100.0])}
    first, second, third = chained([0.1] * 3, [40] * 3, at_rest)
    for solution in (first, second, third, first.then(second), second.then(third)):
        assert not np.any(solution.monitors["dwells"].completed)
    for joined in (first.then(second).then(third), first.then(second.then(third))):
        found = joined.monitors["dwells"]
        np.testing.assert_array_equal(found.completed, [0, 1, 0])
        # The records from 30 to 90.
        np.testing.assert_allclose(found.mean, [np.nan, 6.0, np.nan], rtol=1e-6)


@tx.readout
def halves(model, state):
    return jnp.where(state.step < 30, -1.0, jnp.where(state.step < 90, 0.0, 1.0))


def test_lengths_on_an_edge():
    """k·dt is not k·dt in float32; a length on an edge is on it for every k."""

    @tx.readout
    def alternating(model, state):
        return jnp.where(state.step // 3 % 2 == 0, 0.0, 1.0)

    system, state = still()
    for dt in (0.1, 0.01, 0.7, 1 / 3, 1e-3):
        edges = jnp.asarray([dt, 3 * dt, 4 * dt], jnp.float32)
        watched = {"dwells": Dwells(alternating, edges, (0, 1))}
        found = tx.simulate(system, state, dt=dt, steps=40, monitors=watched).monitors["dwells"]
        np.testing.assert_array_equal(found.count.sum(axis=0), [0, 12])
        last = {"dwells": Dwells(alternating, edges[:2], (0, 1))}
        found = tx.simulate(system, state, dt=dt, steps=40, monitors=last).monitors["dwells"]
        assert found.count.sum() == 12
        assert found.above.sum() == found.below.sum() == 0


def test_lengths_late_in_a_long_run():
    """After 10⁸ steps of 1 ms, float32 tells times 8 ms apart; lengths are counted in steps."""
    system, state = still()
    origin = 99_999_996
    late = replace(state, step=jnp.asarray(origin, jnp.int32))
    watched = {
        "dwells": Dwells(late_sides, jnp.asarray([2.5e-3, 3.5e-3])),
        "rate": Transitions(late_sides),
    }
    found = tx.simulate(system, late, dt=1e-3, steps=600, monitors=watched).monitors
    np.testing.assert_array_equal(found["dwells"].count[..., 0], [99, 0, 99])
    np.testing.assert_allclose(found["dwells"].mean, [3e-3, np.nan, 3e-3], rtol=1e-6)
    # 100 times 3 ms each, less the last record; the last is not left.
    np.testing.assert_allclose(found["rate"].rate[0, 2], 100 / 0.3, rtol=1e-6)


@tx.readout
def late_sides(model, state):
    return jnp.where(state.step // 3 % 2 == 0, -1, 1)


def test_rates_of_a_known_process():
    """A Markov chain of known probabilities; the rate of leaving is −ln(stay)/dt but for p/2."""
    wanted = np.asarray([[0.97, 0.02, 0.01], [0.03, 0.95, 0.02], [0.0, 0.04, 0.96]])
    random, columns = np.random.default_rng(12), 400
    chain = np.zeros((LONG, columns), np.int32)
    for record in range(1, LONG):
        draw = random.random(columns)[:, None] > wanted.cumsum(axis=1)[chain[record - 1]]
        chain[record] = draw.sum(axis=1)

    @tx.readout
    def read(model, state):
        return jnp.asarray(chain - 1)[state.step]

    system, state = still()
    watched = {"it": Transitions(read)}
    found = tx.simulate(system, state, dt=DT, steps=LONG, monitors=watched).monitors["it"]
    counts = np.asarray(found.counts).sum(axis=0)
    rows = counts.sum(axis=-1, keepdims=True)
    # 5 standard errors of a binomial share; in 9 of them, odds of 5e-6.
    assert (np.abs(counts / rows - wanted) <= 5 * np.sqrt(wanted * (1 - wanted) / rows)).all()
    total = np.asarray(found.seconds).sum(axis=0)
    np.testing.assert_allclose(total, rows[:, 0] * DT, rtol=1e-5)
    stays = np.asarray(found.probability)
    assert np.all((np.abs(stays.sum(axis=-1) - 1) < 1e-6) | np.isnan(stays.sum(axis=-1)))


def test_a_code_that_is_never_left():
    system, state = still()
    watched = {"t": Transitions(halves), "d": Dwells(halves, [0.0, 1.0])}
    found = tx.simulate(system, state, dt=DT, steps=40, monitors=watched).monitors
    probability, rate = np.asarray(found["t"].probability), np.asarray(found["t"].rate)
    assert np.isnan(probability[2]).all()
    assert np.isnan(rate[2]).all()
    np.testing.assert_allclose(probability[:2], [[29 / 30, 1 / 30, 0], [0, 1, 0]], rtol=1e-6)
    # Left once in 30 records; 0 on the diagonal.
    np.testing.assert_allclose(rate[:2], [[0, 1 / (30 * DT), 0], [0, 0, 0]], rtol=1e-6)
    assert np.isnan(np.asarray(found["d"].mean)).all()


def test_no_record_at_all():
    system = model("mean_field", "none")
    state = tx.init(system, key=KEY, members=3)

    @jax.jit
    def nothing():
        pairs = ONE_EACH.items()
        return {name: one.result(one.init(system, state, 0), state) for name, one in pairs}

    for name, result in nothing().items():
        for statistic, value in result.statistics().items():
            if jnp.issubdtype(value.dtype, jnp.integer):
                assert not np.any(value), (name, statistic)
            else:
                assert np.isnan(np.asarray(value)).all(), (name, statistic)  # or empty
    assert result.mean.shape == (3, 0, SIZE)
    assert result.time.shape == (0,)


# Memberships.


def memberships(codes, value):
    """How much a value belongs to each code, `[..., code]`."""
    return jnp.stack(Occupancy(tx.phase, codes)._memberships(value), axis=-1)


def test_memberships_of_codes_are_whole():
    for codes in ((-1, 0, 1), (0, 1), (-1.5, -0.5, 0.5, 1.5), (0.1, 0.3, 0.5)):
        values = jnp.asarray([*codes, -1e30, jnp.inf], jnp.float32)
        found = jax.jit(partial(memberships, codes))(values)
        wanted = np.eye(len(codes))[[*range(len(codes)), 0, len(codes) - 1]]
        # The distance of codes that are no sums of powers of 2 rounds.
        exact = 0.0 if codes[0] != 0.1 else 1e-6
        np.testing.assert_allclose(found, wanted, rtol=0, atol=exact)


def test_nan_is_at_no_code():
    found = jax.jit(partial(memberships, (-1, 0, 1)))(jnp.asarray([jnp.nan, 0.5]))
    np.testing.assert_array_equal(found, [[0, 0, 0], [0, 0.5, 0.5]])
    slope = jax.jit(jax.grad(lambda x: memberships((-1, 0, 1), x)[:, 2].sum()))
    np.testing.assert_array_equal(slope(jnp.asarray([jnp.nan, 0.25, 4.0])), [0.0, 1.0, 0.0])


def test_derivatives_at_the_codes_are_means_of_both_sides():
    slope = jax.jit(jax.vmap(jax.jacfwd(partial(memberships, (-1, 0, 1)))))
    wanted = [[-0.5, 0.5, 0.0], [-0.5, 0.0, 0.5], [0.0, -0.5, 0.5]]
    np.testing.assert_array_equal(slope(jnp.asarray([-1.0, 0.0, 1.0])), wanted)


@pytest.mark.parametrize("value", [1.0, 0.3])
def test_occupancy_of_many_records(value):
    """Sums beyond 2²⁴, where a sum in float32 stops; each step of the way is the monitor's own."""
    monitor, (system, start) = Occupancy(first_phase), still()

    @jax.jit
    def run(accumulator):
        def body(accumulator, _):
            state = State(start.step, Clock.start(jnp.float32), None, jnp.asarray([value]))
            return monitor.update(accumulator, system, state, jnp.int32(0)), None

        return jax.lax.scan(body, accumulator, None, length=2**20)[0]

    whole = 2**30
    begun = monitor.init(system, start, 1)
    begun = replace(begun, whole=jax.tree.map(lambda sum: sum + whole, begun.whole))
    found = monitor.result(run(begun), start)
    exact = 2**20 * float(np.float32(value))
    gained = np.asarray(found.whole, float)[2] - whole + float(found.rest[2])
    # Each addition rounds a rest below 2 by 6e-8 at most, 2²⁰ times; whole ones are exact.
    assert abs(gained - exact) <= (0.0 if value == 1.0 else 0.07)
    assert 0.0 <= float(found.rest[2]) < 1.0


@tx.readout
def first_phase(model, state):
    return state.phase[0]


# Windows.


@pytest.mark.slow
def test_windows_are_those_at_once():
    """The same numbers as the functions of whole windows."""
    whole = run("vary")
    phase = np.asarray(whole.monitors["full"].value)
    value = np.moveaxis(OFFLINE[soft](phase.astype(float)), 2, -1).astype(np.float32)
    parts = jnp.asarray(value.reshape(2, 3, SIZE, 9, 4))
    found = whole.monitors["windows_each"].statistics()
    rate = jax.jit(at_once.zero_crossing_rate)(parts, 0.0)
    np.testing.assert_array_equal(found["zero_crossing_rate"], rate)
    for name, bound in (("variance", 1e-5), ("skewness", 1e-3), ("kurtosis", 1e-3)):
        # As in `equal`.
        wanted = jax.jit(getattr(at_once, name))(parts)
        np.testing.assert_allclose(found[name], wanted, rtol=bound, atol=bound)


def test_times_of_windows():
    whole = run("none")
    found = whole.monitors
    # Products in float32 of order 1.
    np.testing.assert_allclose(found["windows"].time, [0.15, 0.75], rtol=3e-7)
    assert found["windows"].mean.shape == (2,)


def test_runs_under_way():
    """Rows of the windows that are full; and in the end the bits of a run at once."""
    system = model("mean_field_lag", "normal")
    start = tx.init(system, key=KEY, members=5)
    monitor, rows = ONE_EACH["windows_each"], []
    for solution in tx.iterate(system, start, dt=DT, steps=STEPS, chunk=9, monitors=ONE_EACH):
        found = solution.monitors["windows_each"]
        full = monitor.records(int(solution.state.step)) // monitor.window
        assert found.time.shape == (full,)
        assert found.mean.shape == (5, full, SIZE)
        rows.append(found)
    for found in rows:
        for one, last in zip(bits(found), bits(rows[-1]), strict=True):
            cut = last[: found.time.size] if last.ndim == 1 else last[:, : found.time.size]
            np.testing.assert_array_equal(one, cut)
    for name in ONE_EACH:
        for one, other in zip(
            bits(solution.monitors[name]), bits(of_members(5)[name]), strict=True
        ):
            np.testing.assert_array_equal(one, other, name)


def test_a_run_shorter_than_a_window_has_no_row():
    system, state = still()
    watched = {"it": Windows(sequence, 41)}
    short = tx.simulate(system, state, dt=DT, steps=40, monitors=watched)
    assert short.monitors["it"].mean.shape == (0, 5)
    both = short.then(tx.simulate(system, short.state, dt=DT, steps=90, monitors=watched))
    found = both.monitors["it"]
    assert found.mean.shape == (2, 5)
    np.testing.assert_allclose(found.time, np.asarray([40, 81]) * DT, rtol=3e-7)
    wanted = SEQUENCE[40:122, :3].reshape(2, 41, 3).mean(axis=1)
    np.testing.assert_allclose(found.mean[:, :3], wanted, rtol=1e-6, atol=1e-7)
    # NaN stays in its window: every seventh record of one component is.
    assert np.isnan(np.asarray(found.mean)[:, 3]).all()
    # A component that does not vary.
    for name in ("variance", "skewness", "kurtosis", "zero_crossing_rate"):
        assert not np.any(getattr(found, name)[:, 2]), name


def test_long_windows():
    """Half a million records far from 0: rounding grows like the root of their number."""
    records = 2**19
    monitor, (system, start) = Windows(first_phase, records, level=3.0), still()
    values = (2.5 + 0.1 * np.random.default_rng(5).gamma(2.0, 1.0, records)).astype(np.float32)

    @jax.jit
    def run(values):
        def body(accumulator, pair):
            record, value = pair
            state = State(start.step, Clock.start(jnp.float32), None, value[None])
            return monitor.update(accumulator, system, state, record), None

        pairs = (jnp.arange(records, dtype=jnp.int32), values)
        accumulator, _ = jax.lax.scan(body, monitor.init(system, start, records), pairs)
        return monitor.result(accumulator, start)

    found, exact = run(values), values.astype(float)
    assert float(found.mean[0]) == pytest.approx(exact.mean(), rel=1e-6)
    # 2¹⁹ roundings of 6e-8 at random are 4e-5.
    assert float(found.variance[0]) == pytest.approx(exact.var(), rel=2e-4)
    assert float(found.skewness[0]) == pytest.approx(stats.skew(exact), rel=5e-4)
    assert float(found.kurtosis[0]) == pytest.approx(stats.kurtosis(exact), rel=1e-3)


# Law 1: bits.


def bits(result):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(result)]


@cache
def of_members(members, names=(*ONE_EACH, "trace")):
    """The results of some monitors, by default one of each kind beside a trace."""
    system = model("mean_field_lag", "normal")
    state = tx.init(system, key=KEY, members=members)
    watched = ONE_EACH | {"trace": tx.Trace(soft)}
    watched = {name: watched[name] for name in names}
    return tx.simulate(system, state, dt=DT, steps=STEPS, monitors=watched).monitors


def test_other_monitors_change_no_bit():
    """Of the two that calculate with the readout, which is a product."""
    few = of_members(5, ("occupancy_soft", "windows_each"))
    for name, found in few.items():
        for one, other in zip(bits(found), bits(of_members(5)[name]), strict=True):
            np.testing.assert_array_equal(one, other, name)


@pytest.mark.parametrize("members", [1, 64])
def test_other_members_change_no_bit(members):
    few = min(members, 5)
    for name in ONE_EACH:
        for statistic, value in of_members(5)[name].statistics().items():
            other = of_members(members)[name].statistics()[statistic]
            np.testing.assert_array_equal(other[:few], value[:few], f"{name} {statistic}")


def test_saved_is_loaded(tmp_path):
    whole = run("none")
    path = tmp_path / "solution.npz"
    whole.save(path)
    loaded = tx.Solution.load(path, setting("none")[0], whole.specification)
    for one, other in zip(bits(loaded.monitors), bits(whole.monitors), strict=True):
        np.testing.assert_array_equal(one, other)


# Transformations.


@pytest.mark.slow
def test_derivatives_are_finite_differences(x64):
    monitors = {"occupancy": Occupancy(soft, (-1, 0, 1)), "windows": Windows(soft, 4)}
    start = np.linspace(-2.5, 2.8, SIZE)
    system = model("mean_field_lag", "none", dtype=jnp.float64)
    system = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), system)

    def read(strength):
        coupling = tx.MeanField(strength, system.coupling.lag)
        moved = tx.PhaseOscillators(system.frequency, coupling)
        state = tx.init(moved, phase=start)
        results = tx.simulate(moved, state, dt=DT, steps=8, monitors=monitors).monitors
        found = [value for result in results.values() for value in result.statistics().values()]
        # Weights, so that no two derivatives cancel.
        return sum((k + 1) * (jnp.cos(jnp.arange(v.size)) @ v.ravel()) for k, v in enumerate(found))

    point, nudge = jnp.asarray(2.0), 1e-6
    both = jax.jit(jax.value_and_grad(read))
    above, below = (float(both(point + by)[0]) for by in (nudge, -nudge))
    slope, difference = float(both(point)[1]), (above - below) / (2 * nudge)
    # Curvature times 1e-12, and rounding of 1e-14 over 1e-6.
    assert slope == pytest.approx(difference, rel=1e-6, abs=1e-7)
    assert abs(difference) > 0.1


def test_no_derivative_is_nan():
    """Of what does not vary, and of codes, which have none."""
    watched = {"occupancy": Occupancy(side), "windows": Windows(first_phase, 3)}
    watched |= {"transitions": Transitions(side), "dwells": Dwells(side, EDGES)}

    def read(frequency):
        system = tx.PhaseOscillators(frequency)
        state = tx.init(system, phase=np.zeros(SIZE))
        found = tx.simulate(system, state, dt=DT, steps=PIECE, monitors=watched).monitors
        leaves = jax.tree.leaves([result.statistics() for result in found.values()])
        return sum(jnp.where(jnp.isnan(x), 0, x).sum() for x in leaves if x.dtype == jnp.float32)

    assert np.isfinite(jax.jit(jax.grad(read))(jnp.zeros(SIZE))).all()


@pytest.mark.slow
def test_under_vmap_and_jit():
    system, phase = model("mean_field_lag", "none"), np.linspace(-2.0, 2.5, SIZE)
    watched = ONE_EACH | {"full": tx.Trace(tx.phase)}

    @jax.jit
    @jax.vmap
    def read(strength):
        moved = tx.PhaseOscillators(system.frequency, tx.MeanField(strength, 0.4))
        state = tx.init(moved, phase=phase)
        return tx.simulate(moved, state, dt=DT, steps=STEPS, monitors=watched).monitors

    mapped = read(jnp.asarray([0.0, 2.5]))
    for row in range(2):
        one = jax.tree.map(lambda leaf, row=row: leaf[row], mapped)
        for name, monitor in ONE_EACH.items():
            equal(one[name], offline(monitor, np.asarray(one["full"].value)), name)


def test_float32_in_64_bit_mode(x64):
    """Every number stays in the precision of the phase, in a run and in a merge."""
    system = model("mean_field_lag", "none", dtype=jnp.float32)
    system = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), system)
    state = tx.init(system, phase=np.linspace(-2.0, 2.5, SIZE))

    def read():
        first = tx.simulate(system, state, dt=DT, steps=PIECE, monitors=ALL)
        both = first.then(tx.simulate(system, first.state, dt=DT, steps=PIECE, monitors=ALL))
        return first.monitors, both.monitors, [one.statistics() for one in both.monitors.values()]

    first, both, statistics = jax.eval_shape(read)
    allowed = (jnp.float32, jnp.int32, jnp.bool_)
    assert all(leaf.dtype in allowed for leaf in jax.tree.leaves(statistics))
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(both), strict=True):
        assert one.dtype == other.dtype
        assert one.dtype in allowed


# Axes.


@pytest.mark.slow
def test_axes_and_coordinates():
    whole = run("vary")
    for name in ONE_EACH:
        result = whole.monitors[name]
        found, coordinates = result.statistics(), result.coordinates()
        for statistic, axes in result.axes().items():
            shape = found[statistic].shape
            assert shape[:2] == (2, 3), name
            for axis, size in zip(reversed(axes), reversed(shape), strict=False):
                assert np.shape(coordinates[axis]) == (size,), (name, axis)
    np.testing.assert_array_equal(whole.monitors["dwells_each"].coordinates()["code"], [-1, 0, 1])
    np.testing.assert_allclose(
        whole.monitors["dwells_each"].coordinates()["bin"], [0.125, 0.225, 0.45], rtol=1e-6
    )


@pytest.mark.slow
def test_to_xarray():
    pytest.importorskip("xarray")
    table = run("vary").to_xarray()
    each = ("coupling", "member", "oscillator")
    assert table["occupancy_soft_fraction"].dims == (*each, "occupancy_soft_code")
    names = ("transitions_each_from", "transitions_each_to")
    assert table["transitions_each_rate"].dims == (*each, *names)
    assert table["dwells_each_count"].dims == (*each, "dwells_each_code", "dwells_each_bin")
    assert table["dwells_each_mean"].dims == (*each, "dwells_each_code")
    assert table["windows_each_kurtosis"].dims == (*each, "windows_each_time")
    np.testing.assert_array_equal(
        table["windows_each_time"], run("vary").monitors["windows_each"].time
    )
    frame = run("vary").to_dataframe("dwells_each")
    assert len(frame) == 2 * 3 * SIZE * 3 * 3


# Bad input.

CODES = r"two finite numbers or more, ascending in equal steps"
BAD = {
    **{
        f"{kind.__name__} {name}": (partial(make, codes=codes), ValueError, CODES)
        for kind, make in (
            (Occupancy, partial(Occupancy, side)),
            (Transitions, partial(Transitions, side)),
            (Dwells, partial(Dwells, side, EDGES)),
        )
        for name, codes in {
            "one": (1,),
            "none": (),
            "no sequence": 3,
            "text": "ab",
            "order": (1, 0, -1),
            "twice": (0, 0, 1),
            "gap": (-1, 0, 2),
            "nan": (0, np.nan),
            "infinite": (np.inf, np.inf),
        }.items()
    },
    "edges in disorder": (lambda: Dwells(side, [0.0, 2.0, 1.0]), ValueError, "ascending"),
    "edges twice": (lambda: Dwells(side, [0.0, 1.0, 1.0]), ValueError, "ascending"),
    "one edge": (lambda: Dwells(side, [1.0]), ValueError, "two numbers of seconds or more"),
    "edge": (lambda: Dwells(side, 1.0), ValueError, "two numbers of seconds or more"),
    "grid of edges": (lambda: Dwells(side, [[0.0, 1.0]]), ValueError, "two numbers"),
    "negative edge": (lambda: Dwells(side, [-1.0, 1.0]), ValueError, "≥ 0"),
    "infinite edge": (lambda: Dwells(side, [0.0, np.inf]), ValueError, "finite numbers"),
    "text as edges": (lambda: Dwells(side, "ab"), TypeError, "a real number"),
    "window": (lambda: Windows(side, 1), ValueError, "an integer ≥ 2"),
    "half a window": (lambda: Windows(side, 2.5), TypeError, "an integer ≥ 2"),
    "level": (lambda: Windows(side, 4, level=np.nan), ValueError, "finite numbers"),
    "readout": (lambda: Occupancy(abs), TypeError, "an instance of Readout"),
    "no readout": (lambda: Transitions("phase"), TypeError, "an instance of Readout"),
    "a class": (lambda: Dwells(int, EDGES), TypeError, "an instance of Readout"),
    "function": (lambda: Windows(len, 4), TypeError, "an instance of Readout"),
    "every": (lambda: Transitions(side, every=0), ValueError, "an integer ≥ 1"),
    "after": (lambda: Windows(side, 4, after=-1), ValueError, "an integer ≥ 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, kind, expected = BAD[case]
    with pytest.raises(kind, match=f"{expected}.* Fix: ") as caught:
        make()
    assert str(caught.value).startswith("got ")


@tx.readout
def vector(model, state):
    return jnp.exp(1j * state.phase)


@pytest.mark.parametrize("kind", KINDS)
def test_complex_readouts_are_refused(kind):
    more = {Dwells: (EDGES,), Windows: (4,)}.get(kind, ())
    system, state = still()
    with pytest.raises(TypeError, match=r"a readout of dtype complex64.* Fix: "):
        tx.simulate(system, state, dt=DT, steps=4, monitors={"it": kind(vector, *more)})


def test_a_level_that_does_not_fit():
    system, state = still()
    watched = {"it": Windows(sequence, 4, level=[0.0, 1.0])}
    with pytest.raises(ValueError, match=r"level of shape \(2,\).*\(\) or \(5,\)"):
        tx.simulate(system, state, dt=DT, steps=8, monitors=watched)


def test_traced_edges_and_levels():
    """Numbers that are traced pass, and make one program."""
    system, state = still()

    @jax.jit
    def read(edges, level):
        watched = {"d": Dwells(sequence, edges), "w": Windows(sequence, 40, level=level)}
        found = tx.simulate(system, state, dt=DT, steps=120, monitors=watched).monitors
        return found["d"].count, found["w"].zero_crossing_rate

    value = SEQUENCE[:120].T
    for edges, level in (([0.1, 0.3], [0.5, -0.5, 0, 0, 0.5]), ([0.0, 0.5], [-0.5] * 5)):
        count, rate = read(jnp.asarray(edges), jnp.asarray(level))
        wanted = dwells(Dwells(sequence, edges), value, np.arange(120) * DT)
        np.testing.assert_array_equal(count, wanted["count"])
        above = value.reshape(5, 3, 40) >= np.asarray(level)[:, None, None]
        np.testing.assert_allclose(
            rate, (above[..., 1:] != above[..., :-1]).mean(axis=-1).T, rtol=1e-6
        )
