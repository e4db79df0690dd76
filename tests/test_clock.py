"""Time and the angle of a drive, against exact arithmetic with the numbers that are stored."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import model

import tauax as tx
from tauax.clock import Clock, Moment
from tauax.numerics import cycles

# π to 50 digits: turns of 10⁹ steps need 25.
PI = Fraction("3.14159265358979323846264338327950288419716939937510")


def exact(x) -> Fraction:
    """A stored number as it is."""
    return Fraction(float(x))


def both(words) -> Fraction:
    """Two words as the number they stand for."""
    return exact(words[0]) + exact(words[1])


def meant(x: float) -> Fraction:
    """What a float32 made of `x` is taken for: a whole number of microseconds, or as stored."""
    return both(cycles.nominal(jnp.float32(x)))


def exact_turns(frequency, dt, steps, fraction, origin) -> Fraction:
    time = both(origin) + (int(steps) + exact(fraction)) * both(dt)
    return exact(frequency) * time / (2 * PI)


def excess(found, turns: Fraction, absolute=5e-7, relative=1.5e-14) -> float:
    """The error of an angle as a part of what is allowed."""
    gap = Fraction(float(found)) / (2 * PI) - turns
    error = float(abs(gap - round(gap)) * 2 * PI)
    return error / (absolute + relative * float(abs(turns)) * 2 * math.pi)


angles = jax.jit(jax.vmap(cycles.angle))


def draw(count):
    """Arguments over many orders of magnitude, with at most one turn per step."""
    random = np.random.default_rng(21)
    sign = random.choice([-1.0, 1.0], count)
    dt = (10.0 ** random.uniform(-5, 0.5, count)).astype(np.float32)
    turns = 10.0 ** random.uniform(-6, 0, count)  # per step
    frequency = (sign * 2 * math.pi * turns / dt).astype(np.float32)
    steps = (10.0 ** random.uniform(0, 9.3, count)).astype(np.int32)
    fraction = random.choice([0.0, 0.5, 0.75, 1.0], count).astype(np.float32)
    start = (10.0 ** random.uniform(-3, 6, count)).astype(np.float32)
    start[:: count // 7] = 0.0
    rest, low = ((x * random.uniform(-3e-8, 3e-8, count)).astype(np.float32) for x in (start, dt))
    low[:: count // 5] = 0.0
    return frequency, (dt, low), steps, fraction, (start, rest)


CORNERS = [  # frequency, dt and its low word as `nominal` has it, steps, fraction, origin
    (0.0, 0.01, 10**9, 0.5, (0.0, 0.0)),
    (2 * math.pi, 1.0, 2**31 - 1, 1.0, (0.0, 0.0)),
    (2 * math.pi * 10, 0.001, 10**9, 0.0, (0.0, 0.0)),
    (-2 * math.pi * 10, 0.001, 10**9, 0.75, (1e6, 0.01)),
    (math.pi, 1.0, 1, 0.0, (0.0, 0.0)),  # half a turn
    (-math.pi, 1.0, 1, 0.0, (0.0, 0.0)),
    (math.pi, 1.0, 0, 1.0, (0.0, 0.0)),
    (1e-20, 1e-3, 10**9, 0.5, (1e5, 0.0)),
    (1e-6, 1e-6, 2**31 - 1, 0.5, (0.0, 0.0)),
    (1e4, 1e-5, 65535, 1.0, (0.0, 0.0)),
    (1e4, 1e-5, 65536, 0.0, (0.0, 0.0)),
    (2 * math.pi * 10, 0.01, 10**7, 0.0, (0.0, 0.0)),
    (2 * math.pi * 10, 1 / 3, 10**9, 0.5, (0.0, 0.0)),
]


def stack(rows):
    """One array per argument."""
    frequency, dt, steps, fraction, origin = zip(*rows, strict=True)
    single = [np.asarray(x, np.float32) for x in (frequency, dt, fraction)]
    words = tuple(map(np.asarray, cycles.nominal(jnp.asarray(single[1]))))
    origins = tuple(np.asarray(x, np.float32) for x in zip(*origin, strict=True))
    return single[0], words, np.asarray(steps, np.int32), single[2], origins


@pytest.mark.parametrize("rows", [draw(3000), stack(CORNERS)], ids=["random", "corners"])
def test_angles_are_exact_over_a_billion_steps(rows):
    found = np.asarray(angles(*rows))
    frequency, dt, steps, fraction, origin = rows
    assert (np.abs(found) <= np.float32(math.pi)).all()
    for index, one in enumerate(found):
        step, start = ((words[0][index], words[1][index]) for words in (dt, origin))
        point = (frequency[index], step, steps[index], fraction[index], start)
        turns = exact_turns(*point)
        # The documented bound: 5e-7 rad and 1.5e-14 of the angle passed.
        assert excess(one, turns) <= 1, (point, float(turns))


def test_angles_in_float64(x64):
    rows = draw(300)
    rows = (rows[0], (rows[1][0], np.zeros_like(rows[1][1])), *rows[2:])  # one word is enough
    wide = jax.tree.map(lambda x: jnp.asarray(x, float) if x.dtype == np.float32 else x, rows)
    for index, one in enumerate(np.asarray(angles(*wide))):
        point = jax.tree.map(lambda x, index=index: x[index], wide)
        # A few roundings of the number of turns, each 1.1e-16.
        assert excess(one, exact_turns(*point), 1e-15, 1e-15) <= 1


def test_derivatives_are_finite_differences(x64):
    point = (jnp.asarray(3.1), jnp.asarray(0.01), jnp.asarray(0.5), jnp.asarray(2.3))

    def angle(frequency, dt, fraction, start):
        origin = (start, 1e-9 * start)
        return cycles.angle(frequency, cycles.nominal(dt), jnp.int32(1234), fraction, origin)

    slopes = jax.grad(angle, argnums=(0, 1, 2, 3))(*point)
    single = jax.grad(angle)(*(jnp.asarray(x, jnp.float32) for x in point))
    for index, slope in enumerate(slopes):
        ends = [
            angle(*(x + by * (index == place) for place, x in enumerate(point)))
            for by in (1e-6, -1e-6)
        ]
        gap = (ends[0] - ends[1] + math.pi) % (2 * math.pi) - math.pi
        # Rounding of 50 rad in float64 over 1e-6; the angle is linear in each but for dt·fraction.
        assert slope == pytest.approx(float(gap) / 2e-6, rel=1e-6, abs=1e-7)
    # The rule in float32 is the same formula.
    assert float(single) == pytest.approx(float(slopes[0]), rel=1e-6)


# The clock ---------------------------------------------------------------------------------------


def test_a_clock_stays_exact_through_changes_of_dt():
    random = np.random.default_rng(5)
    clock, step, time = Clock.start(jnp.float32), 0, Fraction(0)
    turn = jax.jit(Clock.with_dt)
    for _ in range(40):
        dt = 10.0 ** random.uniform(-4, 0)
        dt = np.float32(round(dt, 4) or dt if random.random() < 0.5 else dt)
        clock = turn(clock, dt, jnp.int32(step))
        length = int(10.0 ** random.uniform(0, 7))
        step, time = step + length, time + length * both(clock.words)
        whole = cycles.elapsed(clock.origin, clock.words, jnp.int32(length))
        # Two words of 24 digits: each of at most 40 additions rounds to one in 2⁴⁷.
        assert abs(both(whole) - time) <= 40 * time / 2**47
        # As one number it is rounded once or twice.
        assert clock.time(jnp.int32(step)) == pytest.approx(float(time), rel=1.8e-7)


def test_ten_million_steps_of_a_hundredth_are_a_hundred_thousand_seconds():
    clock = Clock.start(jnp.float32).with_dt(jnp.float32(0.01), jnp.int32(0))
    assert float(clock.time(jnp.int32(10**7))) == 1e5  # 0.01 as float32 makes 99999.998
    later = clock.with_dt(jnp.float32(0.25), jnp.int32(10**7))
    assert abs(both(later.origin) - 10**5) < Fraction(1, 10**8)
    # 10 Hz has made whole turns by then, to the documented 5e-7 rad and what the float32 of 20π is
    # off by: 62.831852 rad/s for 62.8318531.
    frequency = jnp.float32(20 * math.pi)
    found = float(Moment(clock, jnp.int32(10**7)).angle(frequency))
    wanted = float((exact(frequency) - 20 * PI) * 10**5)
    assert found == pytest.approx(wanted, abs=5e-7 + 1.5e-14 * 6.3e6)


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_a_change_to_a_dt_that_rounds_the_same_is_none(fraction):
    """dt is compared as it is stored; its low word follows from it."""
    clock = Clock.start(jnp.float32).with_dt(jnp.float32(0.01), jnp.int32(3))
    again = clock.with_dt(jnp.float32(0.01 + fraction * 1e-10), jnp.int32(8))
    assert int(again.since) == 3
    assert both(again.words) == both(clock.words)


def test_the_same_dt_changes_nothing():
    clock = Clock.start(jnp.float32).with_dt(jnp.float32(0.1), jnp.int32(0))
    again = clock.with_dt(jnp.float32(0.1), jnp.int32(7))
    assert jax.tree.map(float, again) == jax.tree.map(float, clock)


def test_time_of_a_run_with_changes_of_dt():
    system = model("mean_field", "none")
    state = tx.init(system, phase=np.zeros(12))
    time = Fraction(0)
    for dt in (0.1, 0.03, 0.03, 0.007):
        state = tx.simulate(system, state, dt=dt, steps=5).state
        time += 5 * meant(dt)
        # Two roundings of a number near 1.
        assert float(state.time) == pytest.approx(float(time), rel=1.8e-7)
    assert int(state.step) == 20


# What is due when --------------------------------------------------------------------------------


def until(time, dt, step, clock=None):
    clock = clock or Clock.start(jnp.float32).with_dt(dt, jnp.int32(0))
    return jax.vmap(lambda time: Moment(clock, step).steps_until(time))(time)


# 1/128 is a number of float32; the others are not.
@pytest.mark.parametrize("dt", [1 / 128, 0.1, 0.01, 0.003, 1e-3, 1.7e-5])
def test_events_on_a_step_are_not_delayed(dt):
    """A time that was meant to be step k is step k, though neither it nor dt is a float32."""
    count = 100_000
    step = np.arange(count)
    short = jnp.float32(dt)
    for time in (step * np.float64(dt), step.astype(np.float32) * np.float32(dt)):
        found = np.asarray(until(jnp.asarray(time, jnp.float32), short, jnp.int32(0)))
        late = np.flatnonzero(found != step)
        assert late.size == 0, (late[:5], found[late[:5]])


def test_events_between_steps_wait_for_the_next():
    dt = jnp.float32(0.01)
    step = np.arange(1000)
    for part, later in ((0.01, 1), (0.5, 1), (0.99, 1), (0.0005, 0)):
        time = jnp.asarray((step + part) * 0.01, jnp.float32)
        np.testing.assert_array_equal(until(time, dt, jnp.int32(0)), step + later)


def test_every_event_begins_once():
    """Over 10⁵ steps, with two changes of dt on the way."""
    parts = [(0, 0.01), (40_000, 0.003), (70_000, 0.02)]
    clocks, clock = [], Clock.start(jnp.float32)
    for step, dt in parts:
        clock = clock.with_dt(jnp.float32(dt), jnp.int32(step))
        clocks.append(clock)
    ends = [400.0, 490.0, 1090.0]
    random = np.random.default_rng(8)
    # Half at any time, half where a step is to begin, and the changes themselves.
    on_steps = np.concatenate(
        [
            0.01 * random.choice(40_000, 100),
            ends[0] + 0.003 * random.choice(30_000, 100),
            ends[1] + 0.02 * random.choice(30_000, 100),
        ]
    )
    times = np.concatenate([random.uniform(0, ends[2], 300), on_steps, [0.0, *ends[:2]]])

    @jax.jit
    def begun(times):
        def one(step, found):
            total, first = found
            part = sum(step >= begin for begin, _ in parts[1:])
            now = jnp.stack([Moment(clock, step).begins(times) for clock in clocks])[part]
            return total + now, jnp.where(now, step, first)

        none = jnp.zeros(times.shape, jnp.int32)
        return jax.lax.fori_loop(0, 100_000, one, (none, none))

    total, first = map(np.asarray, begun(jnp.asarray(times, jnp.float32)))
    np.testing.assert_array_equal(total, 1)
    # Near enough: in the step that begins at or after it, to a few roundings of its float32.
    start = np.where(
        first < 40_000,
        0.01 * first,
        np.where(first < 70_000, 400 + 0.003 * (first - 40_000), 490 + 0.02 * (first - 70_000)),
    )
    length = np.where(first <= 40_000, 0.01, np.where(first <= 70_000, 0.003, 0.02))
    slack = 1e-3 * length + 3e-7 * times
    assert (start > times - slack).all()
    assert (start < times + length + slack).all()


def test_what_has_passed_is_negative_and_what_is_far_is_far():
    dt = jnp.float32(0.1)
    times = jnp.asarray([-1e30, 0.0, 0.5, 1.0, 1e30], jnp.float32)
    found = np.asarray(until(times, dt, jnp.int32(10)))
    np.testing.assert_array_equal(found, [-(2**30) - 10, -10, -5, 0, 2**30 - 10])
