"""Turning exactly: phases after 10⁷ steps, wrapping, what is absorbed, and addressed readings."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax.numerics import cycles, random
from tauax.numerics.circular import wrap

# π to 50 digits.
PI = Fraction("3.14159265358979323846264338327950288419716939937510")
HALF = np.float32(math.pi)
PER_TURN = np.float32(2.0**32 / (2.0 * math.pi))
HERTZ = ("10", "1", "0.1", "0.01")  # those of the model without arguments


def both(words) -> list[Fraction]:
    """Each number that two words stand for."""
    high, low = (np.atleast_1d(np.asarray(word, float)) for word in words)
    return [Fraction(float(a)) + Fraction(float(b)) for a, b in zip(high, low, strict=True)]


def apart(phase, turns: Fraction) -> float:
    """Radians between a phase and a number of turns."""
    gap = Fraction(float(phase)) / (2 * PI) - turns
    return float(abs(gap - round(gap)) * 2 * PI)


def counted(phase, low) -> Fraction:
    """A phase with what rounding left of it, in turns: the integers that are carried on."""
    whole = int(np.float32(phase) * PER_TURN)
    return Fraction((whole << 18) + int(low), 2**50)


def asked(hertz, crystals=1, **options):
    """Oscillators of these frequencies, one scale each."""
    count = len(hertz)
    names = tuple(f"s{k}" for k in range(count))
    ones = np.ones(count)
    return tx.TauCrystals(
        hertz=hertz, weights=ones, gain=ones, scales=names, crystals=crystals, **options
    )


# What is meant by a number --------------------------------------------------------------------


nominal = jax.jit(cycles.nominal)
ROUND = "0.01 10 1 0.1 0.001 0.000025 0.000001 7.3 7.999999 8.7 16.7 40.3 333.333 8191.999 -0.1 0"
OTHER = np.asarray([1 / 128, 1 / 3, math.pi, 3e-7, 12.345678, 8192.3, 1e30, -1e-38], np.float32)


def test_round_decimals_are_meant():
    stored = np.asarray(ROUND.split(), np.float32)
    high, low = nominal(stored)
    np.testing.assert_array_equal(high, stored)
    for found, x in zip(both((high, low)), ROUND.split(), strict=True):
        # Two words of 24 digits; the low one of the unit has a rounding of its own.
        assert abs(found - Fraction(x)) <= abs(Fraction(x)) / 2**45


def test_other_numbers_are_what_is_stored():
    high, low = nominal(OTHER)
    np.testing.assert_array_equal(high, OTHER)
    np.testing.assert_array_equal(low, 0.0)


def test_every_decimal_is_found_where_float32_tells_it_apart():
    drawn = np.random.default_rng(0)
    for unit, most in ((6, 8 * 10**6), (3, 8192 * 10**3)):
        count = np.append(drawn.integers(0, most, 50_000), np.arange(1, 2000) * (most // 2000))
        words = nominal(np.asarray(count / 10.0**unit, np.float32))
        # In float64 both words are added without rounding that matters: 2⁻⁵³ against 2⁻⁴⁵.
        found = sum(np.asarray(word, float) for word in words)
        np.testing.assert_allclose(found, count / 10.0**unit, rtol=2**-44, atol=0)


def test_float64_is_taken_as_it_is(x64):
    high, low = nominal(0.01)
    assert (float(high), float(low)) == (0.01, 0.0)
    # float32 in 64-bit mode is float32.
    high, low = nominal(np.float32(0.01))
    assert high.dtype == low.dtype == jnp.float32
    assert abs(both((high, low))[0] - Fraction(1, 100)) < Fraction(1, 10**16)


def test_the_derivative_of_two_words_is_that_of_one():
    assert jax.grad(lambda x: cycles.nominal(x)[0])(0.01) == 1.0
    assert jax.grad(lambda x: cycles.nominal(x)[1])(0.01) == 0.0


# Exactness ------------------------------------------------------------------------------------


def test_ten_million_steps_of_the_original():
    """Asked for is 10⁻³ rad; a float32 sum is off by 0.2 rad, and 0.01 in float32 by 0.14."""
    model, steps = tx.TauCrystals(), 10**7
    start = np.asarray([0.5, -2.0, 3.0, 1.0], np.float32)
    sol = tx.simulate(model, tx.init(model, phase=start), dt=0.01, steps=steps)
    assert float(sol.state.time) == 1e5
    for phase, hertz, first in zip(sol.state.phase, HERTZ, start, strict=True):
        wanted = Fraction(float(first)) / (2 * PI) + Fraction(hertz) * steps / 100
        # 5e-7: how finely a phase is stored, at either end; 10⁷ truncations of 2⁻⁵⁰ turns are 6e-8.
        assert apart(phase, wanted) <= 1e-6


@jax.jit
def turn(phase, rate, time, displacement, steps):
    """Where phases are after many turns; `displacement` is added at every step."""
    turns = cycles.turns(rate, time)

    def one(_, words):
        return cycles.turned(*words, turns, displacement)

    return jax.lax.fori_loop(0, steps, one, (phase, jnp.zeros(phase.shape, jnp.int32)))


def drawn_rates(count):
    """Frequencies of either sign and a dt, at up to half a turn per step."""
    drawn = np.random.default_rng(4)
    dt = np.float32(0.01)
    turns = drawn.choice([-1.0, 1.0], count) * 10.0 ** drawn.uniform(-7, np.log10(0.5), count)
    return np.asarray(turns / dt, np.float32), dt


@pytest.mark.parametrize("steps", [1, 1000, 300_000])
def test_any_rate_as_it_is_stored(steps):
    rates, dt = drawn_rates(60)
    low = np.asarray(rates * np.random.default_rng(5).uniform(-3e-8, 3e-8, rates.size), np.float32)
    step = tuple(map(np.asarray, cycles.nominal(jnp.full(rates.shape, dt))))
    zeros = np.zeros(rates.size, np.float32)
    phase, left = map(np.asarray, turn(zeros, (rates, low), step, zeros, steps))
    for one, rest, rate, time in zip(phase, left, both((rates, low)), both(step), strict=True):
        wanted = rate * time * steps
        # Each step is a whole number of 2⁻⁵⁰ turns, rounded down, and in its own two words to
        # 2⁻⁴⁶ of it.
        gap = counted(one, rest) - wanted
        allowed = steps * (Fraction(1, 2**50) + abs(rate * time) / 2**46)
        assert abs(gap - round(gap)) <= allowed
        # And the phase is the float32 next to that, or one of those beside it.
        assert apart(one, wanted) <= 7.5e-7 + float(allowed) * 2 * math.pi


def test_displacements_add_up():
    """However small they are: a float32 near π would lose what is below 10⁻⁷."""
    steps = 20_000
    drawn = np.random.default_rng(6)
    rates, dt = drawn_rates(60)
    moves = np.asarray(drawn.normal(size=60) * 10.0 ** drawn.uniform(-12, 0.5, 60), np.float32)
    zeros = np.zeros(60, np.float32)
    phase, _ = turn(zeros, (rates, zeros), (np.full(60, dt), zeros), moves, steps)
    for one, rate, move in zip(np.asarray(phase), rates, moves, strict=True):
        wanted = Fraction(float(rate)) * Fraction(float(dt)) * steps
        wanted += Fraction(float(move)) / (2 * PI) * steps
        # Per step two times 2⁻⁵⁰ turns, and a few roundings of the displacement itself.
        allowed = steps * (4 * math.pi * 2.0**-50 + 2.4e-7 * abs(float(move)))
        assert apart(one, wanted) <= 7.5e-7 + allowed


def test_small_torques_are_not_lost():
    """10⁻⁷ rad per step, at phases where a float32 holds 2.4·10⁻⁷."""
    torque, steps = 1e-5, 20_000
    drive = tx.Forcing(tx.Sine(torque, 0.0, math.pi / 2))
    model = tx.TauCrystals(hertz=(0.0, 0.0, 10.0, 0.01), drive=drive)
    start = np.asarray([3.0, -3.1, 2.0, 1.0])
    state = tx.init(model, phase=start)
    state = tx.simulate(model, state, dt=0.01, steps=steps, stepper=tx.Heun()).state
    wanted = start + 2 * math.pi * np.asarray([0.0, 0.0, 0.0, 2.0]) + torque * 0.01 * steps
    gap = np.asarray(state.phase) - wanted
    # The relative 10⁻⁷ of what was moved, and how finely a phase is stored at both ends.
    np.testing.assert_allclose((gap + 3) % (2 * math.pi), 3, rtol=0, atol=1e-6)


def test_dt_that_changes_between_runs():
    """And a start anew from the phases goes on from what they show."""
    hertz = ("7.3", "-0.37", "0.013", "24.5")
    model, total, last = asked([float(x) for x in hertz]), Fraction(0), None
    state = tx.init(model)
    for dt, meant in ((0.01, "0.01"), (0.003, "0.003"), (0.0125, "0.0125"), (0.01, "0.01")):
        for _ in range(2):  # the second with the same dt
            state = tx.simulate(model, state, dt=dt, steps=20_000).state
            total += 20_000 * Fraction(meant)
            for phase, rate in zip(state.phase, hertz, strict=True):
                # As for 10⁷ steps.
                assert apart(phase, Fraction(rate) * total) <= 1e-6
    last = tx.init(model, phase=state.phase)
    # Rounding of a start, then of what is shown.
    assert np.abs(np.asarray(wrap(last.phase - state.phase))).max() <= 7.5e-7


def test_float64_turns_as_a_sum(x64):
    model, steps = tx.TauCrystals(), 20_000
    state = tx.simulate(model, tx.init(model), dt=0.01, steps=steps).state
    assert not np.any(state.low)
    for phase, hertz in zip(state.phase, HERTZ, strict=True):
        # 20 000 roundings of numbers below 4, that do not cancel: 2.2e-16 each.
        assert apart(phase, Fraction(hertz) * steps / 100) <= steps * 4.4e-16


def test_every_stepper_turns_alike():
    """Nothing but turns: no stage has anything to add."""
    model = tx.TauCrystals()
    state = tx.init(model, phase=[1.0, 2.0, -3.0, 0.5])
    ends = [
        tx.simulate(model, state, dt=0.01, steps=500, stepper=stepper).state
        for stepper in (tx.Euler(), tx.Heun(), tx.RK4())
    ]
    for end in ends[1:]:
        np.testing.assert_array_equal(end.phase, ends[0].phase)
        np.testing.assert_array_equal(end.low, ends[0].low)


# Wrapping ---------------------------------------------------------------------------------------


def test_quarter_turns_come_round():
    """A million of them: ±π is always −π, and what is left never grows."""
    zeros = np.zeros(4, np.float32)
    rates = np.asarray([0.25, -0.25, 0.5, -0.5], np.float32)
    one = (np.ones(4, np.float32), zeros)
    ends = {1: [0.5, -0.5, -1, -1], 2: [-1, -1, 0, 0], 999_999: [-0.5, 0.5, -1, -1]}
    for steps, wanted in ends.items():
        phase, low = map(np.asarray, turn(zeros, (rates, zeros), one, zeros, steps))
        np.testing.assert_array_equal(phase, HALF * np.asarray(wanted, np.float32))
        # The integers themselves are exact.
        for x, rest, rate in zip(phase, low, rates, strict=True):
            gap = counted(x, rest) - Fraction(float(rate)) * steps
            assert gap == round(gap)


def test_phases_stay_where_they_are_without_turns():
    edge = np.asarray([HALF, np.nextafter(HALF, 4), np.nextafter(HALF, 0)], np.float32)
    phase = np.concatenate([-edge[[0, 2]], edge[2:], np.linspace(-3.14, 3.14, 997)])
    phase = np.concatenate([phase, [0.0, 1e-30, -1e-9]]).astype(np.float32)
    zeros = np.zeros_like(phase)
    still = (zeros, zeros), (zeros, zeros), zeros
    once, low = map(np.asarray, turn(phase, *still, 1))
    assert (once >= -HALF).all() and (once < HALF).all()
    gap = (once.astype(float) - phase + math.pi) % (2 * math.pi) - math.pi
    assert np.abs(gap).max() <= 7.5e-7  # 512 of 2³² parts: the bound of `low`
    assert np.abs(low).max() <= 2**27
    many, rest = turn(phase, *still, 1000)
    np.testing.assert_array_equal(many, once)
    np.testing.assert_array_equal(rest, low)


def test_all_phases_are_wrapped():
    zeros = np.zeros(4001, np.float32)
    moves = np.linspace(-20.0, 20.0, 4001).astype(np.float32)
    phase, _ = turn(zeros, (zeros, zeros), (zeros, zeros), moves, 1)
    phase = np.asarray(phase)
    assert (phase >= -HALF).all() and (phase < HALF).all()
    gap = (phase - moves.astype(float) + math.pi) % (2 * math.pi) - math.pi
    # Three turns in float32: 20·6e-8, and the rounding of the phase.
    assert np.abs(gap).max() <= 2.4e-6


# What is not finite -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1.1e7, -3e30])
def test_lost_phases_are_absorbing(bad):
    zeros = np.zeros(2, np.float32)
    rates, time = (zeros + 1, zeros), (zeros + np.float32(0.1), zeros)
    phase, _ = turn(zeros, rates, time, np.asarray([bad, 1.0], np.float32), 1)
    np.testing.assert_array_equal(np.isnan(phase), [True, False])
    phase, _ = turn(phase, rates, time, zeros, 5)
    np.testing.assert_array_equal(np.isnan(phase), [True, False])


def test_a_run_names_the_step_that_lost_a_phase():
    model = tx.TauCrystals(drive=tx.Kicks([0.03], [1e12]))
    with pytest.raises(FloatingPointError, match="the system after step 4;"):
        tx.simulate(model, tx.init(model), dt=0.01, steps=6)


# Derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_derivatives_of_one_turn(x64, dtype):
    phase, rate, time, move = (jnp.asarray([x], dtype) for x in (1.0, 3.0, 0.02, 0.4))

    def turned(phase, rate, time, move):
        turns = cycles.turns(cycles.nominal(rate), cycles.nominal(time))
        return cycles.turned(phase, jnp.zeros(1, jnp.int32), turns, move)[0].sum()

    found = jax.jit(jax.grad(turned, argnums=(0, 1, 2, 3)))(phase, rate, time, move)
    # φ + 2πft + d; roundings of float32.
    for one, wanted in zip(found, (1, 2 * math.pi * 0.02, 2 * math.pi * 3, 1), strict=True):
        assert one.dtype == dtype
        assert float(one[0]) == pytest.approx(wanted, rel=3e-7)


@pytest.mark.parametrize("wide", [False, True])
def test_derivatives_through_a_run(wide):
    steps, dt = 300, 0.01

    def end(hertz, dt):
        model = tx.TauCrystals(hertz=hertz)
        state = tx.init(model, phase=jnp.ones(4, hertz.dtype))
        return jnp.sin(tx.simulate(model, state, dt=dt, steps=steps).state.phase).sum()

    with jax.enable_x64(wide):
        hertz = jnp.asarray([10.0, 1.3, 0.1, 0.01])
        by_hertz, by_dt = jax.jit(jax.grad(end, argnums=(0, 1)))(hertz, jnp.asarray(dt))
        rates = np.asarray([10.0, 1.3, 0.1, 0.01])
        slope = np.cos(1.0 + 2 * math.pi * rates * steps * dt)
        # Sums of 300 equal terms; the phase itself is known to 1e-6.
        tolerance = {"rtol": 1e-10, "atol": 1e-9} if wide else {"rtol": 5e-5, "atol": 1e-4}
        np.testing.assert_allclose(by_hertz, 2 * math.pi * steps * dt * slope, **tolerance)
        np.testing.assert_allclose(by_dt, 2 * math.pi * steps * rates @ slope, **tolerance)


# Addresses of what is measured --------------------------------------------------------------------


def test_readings_have_addresses_of_their_own():
    """The counters from 2³¹ on: no oscillator has them."""
    key, step = jnp.asarray([123, 456], jnp.uint32), jnp.uint32(9)
    kind = jnp.dtype("float32")
    measured, more, other = (
        jax.jit(lambda count=count, first=first: random.normal(key, step, count, kind, first))()
        for count, first in ((5, random.MEASURED), (9, random.MEASURED), (1000, 0))
    )
    assert not np.intersect1d(more, other).size
    np.testing.assert_array_equal(measured, more[:5])
    counters = jnp.asarray([2**31 + k for k in range(3)], jnp.uint32)
    radius, angle = (np.asarray(word) for word in random.threefry2x32(*key, step, counters))
    turns = np.exp(2j * np.pi * angle * 2.0**-32)
    pairs = np.sqrt(-2 * np.log((radius // 2 + 0.5) * 2.0**-31)) * turns
    wanted = np.stack([pairs.real, pairs.imag], axis=-1).ravel()[:5]
    np.testing.assert_allclose(measured, wanted, rtol=0, atol=4e-6)  # float32, |z| ≤ 6.7
