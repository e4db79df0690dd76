"""Drives: their formulas, entrainment by closed forms, exact clocks, orders, gradients, errors."""

import math
from dataclasses import replace
from fractions import Fraction
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import DRIVES, SIZE, STEPPERS, model
from test_orders import advance, distance, slope

import tauax as tx
from tauax import _programs, theory
from tauax.clock import Clock, Moment
from tauax.numerics.circular import wrap

KEY = jax.random.key(21)
PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459")
PHASES = np.linspace(-3.0, 3.0, SIZE)


def clock(dt, dtype=jnp.float32):
    """A clock that has gone in steps of dt since step 0."""
    return Clock.start(dtype).with_dt(jnp.asarray(dt, dtype), jnp.int32(0))


def meant(dt):
    """The number that a clock takes dt for, in its two words."""
    now = clock(dt)
    return exact(now.dt) + exact(now.dt_low)


def moment(step, dt, fraction=0.0, dtype=jnp.float32):
    return Moment(clock(dt, dtype), jnp.asarray(step, jnp.int32), fraction)


def exact(value):
    """The number that a float32 holds."""
    return Fraction(float(np.float32(value)))


def remainder(angle):
    """A rational angle modulo 2π, as a float."""
    return float(angle - 2 * PI * round(angle / (2 * PI)))


def uncoupled(frequency, drive, noise=None):
    return tx.PhaseOscillators(jnp.asarray(frequency, float), None, noise, drive)


def run(system, dt, steps, stepper=tx.RK4(), monitors=None, **start):
    state = tx.init(system, **start)
    return tx.simulate(system, state, dt=dt, steps=steps, stepper=stepper, monitors=monitors or {})


# Formulas, in float64 numpy


@pytest.mark.parametrize("step", [0, 37, 10**7 + 3, 10**9 + 1])
@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_tone_is_exact_after_many_steps(step, fraction):
    dt, frequency, shift = 0.01, 62.831853, 0.7
    tone = tx.Tone(2.0, frequency, shift, turns=2, cycles=3)
    phase = jnp.asarray(PHASES, jnp.float32)
    torque = tone(phase, moment(step, dt, fraction))
    time = (step + Fraction(fraction)) * meant(dt)
    angle = remainder(2 * exact(frequency) * time)
    expected = 2.0 * np.sin(angle + float(exact(shift)) - 3.0 * np.asarray(phase, np.float64))
    # Twice the angle's 3e-7 and 1.5e-14 of the angle passed, as two words of Ω/2π and of dt hold 48
    # digits each; roundings of an argument of 15 rad; twice that.
    tolerance = 5e-6 + 4 * 1.5e-14 * 62.83 * 0.01 * step
    np.testing.assert_allclose(torque, expected, atol=tolerance)


@pytest.mark.parametrize("step", [10**7, 10**9])
def test_tone_in_a_run_that_began_long_ago(step):
    dt, frequency, strength = 0.01, 33.3, 100.0
    system = uncoupled([0.0], tx.Tone(strength, frequency))
    state = replace(tx.init(system, phase=[0.0]), step=jnp.asarray(step), clock=clock(dt))
    moved = float(tx.step(system, state, dt=dt).phase[0])
    angle = remainder(step * meant(dt) * exact(frequency))
    assert moved == pytest.approx(float(exact(dt)) * strength * math.sin(angle), abs=2e-6)  # angle

    # The clock stays exact when dt changes.
    after = replace(tx.step(system, state, dt=0.02), phase=state.phase)
    moved = float(tx.step(system, after, dt=0.03).phase[0])
    angle = remainder((step * meant(dt) + meant(0.02)) * exact(frequency))
    assert moved == pytest.approx(float(exact(0.03)) * strength * math.sin(angle), abs=6e-6)


def test_responses():
    phase = jnp.asarray(PHASES, jnp.float32)
    for response, expected in (
        (tx.PhaseResponse.type_one(), 1 - np.cos(PHASES)),
        (tx.PhaseResponse.type_two(), -np.sin(PHASES)),
        (
            tx.PhaseResponse(0.3, [-1.0, 0.4, 0.1], [0.2, 0.0, -0.3]),
            0.3
            + np.cos(np.outer(PHASES, [1, 2, 3])) @ [-1.0, 0.4, 0.1]
            + np.sin(np.outer(PHASES, [1, 2, 3])) @ [0.2, 0.0, -0.3],
        ),
    ):
        np.testing.assert_allclose(response(phase), expected, atol=2e-6)  # float32, 3 harmonics
    # Type I only advances, type II does both.
    assert (tx.PhaseResponse.type_one()(phase) >= 0).all()
    assert np.ptp(np.sign(tx.PhaseResponse.type_two()(phase))) == 2


@pytest.mark.parametrize("beyond", ["hold", "zero", "repeat"])
@pytest.mark.parametrize("interpolation", ["linear", "hold"])
def test_sampled_signals(interpolation, beyond):
    values = np.asarray([1.0, -2.0, 0.5, 3.0])
    interval, start, dt = 0.3, 0.45, 0.07
    signal = tx.Sampled(values, interval, start, interpolation, beyond)
    steps = np.arange(40)
    given = jax.vmap(lambda step: signal(Moment(clock(dt), step, 0.25)))(jnp.asarray(steps))
    time = (steps + (0.25 if interpolation == "linear" else 0.0)) * dt
    place = (time - start) / interval
    if beyond == "repeat":
        values, place = np.tile(values, 20), place + 4 * 8  # from long before the first step
    if interpolation == "linear":
        ends = {"left": 0.0, "right": 0.0} if beyond == "zero" else {}
        expected = np.interp(place, np.arange(len(values)), values, **ends)
    else:
        index = np.floor(place + 1e-6).astype(int)
        expected = values[np.clip(index, 0, len(values) - 1)]
        if beyond == "zero":
            expected = np.where((index < 0) | (index >= len(values)), 0.0, expected)
    np.testing.assert_allclose(given, expected, atol=1e-5)  # float32 of a slope of 12 per second


def test_sampled_signals_do_not_slip():
    record = np.arange(100.0)
    for step in (10**7 + 1, 10**9 + 7):
        signal = tx.Sampled(record, 0.013, beyond="repeat")
        place = step * Fraction("0.01") / Fraction("0.013") % 100
        low = int(place)
        expected = low + float(place - low) * ((low + 1) % 100 - low)
        # 2e-3: a quotient of 10⁹ intervals to 3e-14, and a jump of 99 at the end of the record.
        assert float(signal(moment(step, 0.01))) == pytest.approx(expected, abs=2e-3)


def test_sums_and_multiples():
    phase = jnp.asarray(PHASES, jnp.float32)
    tone, forcing = DRIVES["tone_ratio"](SIZE), DRIVES["response"](SIZE)
    factor = np.linspace(-1.0, 2.0, SIZE).astype(np.float32)
    now = moment(13, 0.1, 0.5)
    combined = 2.0 * tone + factor * forcing + tone
    expected = 3.0 * tone(phase, now) + factor * forcing(phase, now)
    np.testing.assert_allclose(combined(phase, now), expected, atol=2e-6)  # roundings near 6

    kick, turn = tx.Kicks([1.3], [0.4]), tx.PulseTrain(0.5, 1.3, tx.PhaseResponse.type_two())
    due = moment(13, 0.1)
    np.testing.assert_allclose(
        (kick + turn).jump(phase, due),
        phase + 0.4 - 0.5 * np.sin(phase + np.float32(0.4)),
        atol=1e-6,  # float32 phases of a few radians
    )
    np.testing.assert_allclose(
        (turn + kick).jump(phase, due),
        phase + 0.4 - 0.5 * np.sin(phase),
        atol=1e-6,  # the same
    )
    np.testing.assert_allclose(
        (factor * (kick + kick)).jump(phase, due),
        phase + factor * 0.8,
        atol=1e-6,  # the same
    )
    assert (tone + 2.0 * forcing).jump(phase, due) is phase


@pytest.mark.parametrize("drive", DRIVES)
def test_torques_have_the_shape_of_the_phase(drive):
    one = DRIVES[drive](SIZE)
    if one is not None:
        phase = jnp.asarray(PHASES, jnp.float32)
        assert one(phase, moment(3, 0.1)).shape == one.jump(phase, moment(2, 0.1)).shape == (SIZE,)


# Entrainment: φ = θ − Ωt under a tone obeys Adler's equation dφ = Δ − A sin φ.

OMEGA = 3.0


@cache
def adler():
    """One run of 10 s in float64: A02, and A01 from next to its two fixed points."""
    fixed = [theory.adler_phase(0.5, 1.0), theory.adler_phase(0.9, 1.0)]
    system = uncoupled(OMEGA + np.asarray([1.25, 0.5, 0.9, 0.5, 0.9]), tx.Tone(1.0, OMEGA))
    phase = [0.3, fixed[0] + 1e-5, fixed[1] + 1e-5, 2.0, 2.0]
    trace = {"phase": tx.Trace(tx.phase, every=100)}
    sol = run(system, 0.01, 1001, monitors=trace, phase=phase)
    time, value = sol.monitors["phase"].time, sol.monitors["phase"].value
    return np.asarray(wrap(value - OMEGA * time[:, None])), fixed


def test_a02_trajectory(x64):
    expected = [0.94407652, 1.29365914, 2.14921634, 7.46142871]
    gap = wrap(jnp.asarray(adler()[0][[1, 2, 5, 10], 0] - expected))
    np.testing.assert_allclose(gap, 0.0, atol=1e-7)  # of the catalogue; RK4 at 0.01 has 1e-9


def test_a01_locking(x64):
    locked, fixed = adler()
    np.testing.assert_allclose(fixed, [0.52359878, 1.11976951], atol=1e-8)  # digits given
    for column, phase in ((1, 0), (2, 1)):
        strayed = locked[:, column] - fixed[phase]
        rate = math.log(strayed[0] / strayed[2]) / 2.0
        # 1e-4: curvature over the 1e-5 rad from which it relaxes.
        assert rate == pytest.approx(math.sqrt(1 - (0.5, 0.9)[phase] ** 2), rel=1e-4)
    # From far away: what is left of 3 rad after 10 s at the rate √(1 − 0.25).
    assert locked[10, 3] == pytest.approx(fixed[0], abs=3 * math.exp(-8.0))


@pytest.mark.parametrize(("detuning", "beat"), [(1.1, 0.45825757), (1.25, 0.75), (2.0, 1.73205081)])
def test_a01_beat(x64, detuning, beat):
    system = uncoupled([OMEGA + detuning], tx.Tone(1.0, OMEGA))
    steps, time = 20_000, 50 * 2 * math.pi / theory.adler_beat_frequency(detuning, 1.0)
    sol = run(system, time / steps, steps + 1, phase=[0.3], monitors={"turns": tx.Rotations()})
    slip = float(sol.monitors["turns"].frequency[0]) - OMEGA
    assert slip == pytest.approx(beat, abs=1e-6)  # whole periods: RK4 and the digits given


@pytest.mark.slow  # 3 × 4000 noisy oscillators, 4000 steps
def test_a03_mean_drift_with_noise():
    cases = np.asarray([(0.5, 0.1, 0.00087028), (1.0, 0.1, 0.36895325), (1.0, 0.5, 0.62652319)])
    detuning, intensity, expected = np.repeat(cases, 4000, axis=0).T
    noise = tx.WhiteNoise(intensity)
    system = uncoupled(OMEGA + detuning, tx.Tone(1.0, OMEGA), noise)
    phase = np.random.default_rng(2).uniform(-math.pi, math.pi, 12_000)
    turns = {"turns": tx.Rotations(after=400)}
    # dt: Heun's weak error at 0.04, of order dt², is below 1e-3.
    sol = run(system, 0.04, 4000, tx.Heun(), turns, phase=phase, key=KEY)
    drift = (np.asarray(sol.monitors["turns"].frequency, np.float64) - OMEGA).reshape(3, 4000)
    error = drift.std(axis=1, ddof=1) / math.sqrt(4000)
    assert (error < 2e-3).all()
    # Five standard errors, and the weak error of Heun.
    assert (np.abs(drift.mean(axis=1) - expected[::4000]) < 5 * error + 1e-3).all()


@pytest.mark.parametrize(("turns", "cycles"), [(2, 1), (1, 2), (3, 2)])
def test_n_to_m_locking(turns, cycles):
    strength, tone = 0.5, 2.0
    frequency = np.linspace(0.2, 5.0, 97)
    drive = tx.Tone(strength, tone, 0.4, turns=turns, cycles=cycles)
    turned = {"turns": tx.Rotations(after=2000)}
    sol = run(uncoupled(frequency, drive), 0.02, 12_001, tx.Heun(), turned, phase=np.zeros(97))
    found = np.asarray(sol.monitors["turns"].frequency)
    detuning = cycles * frequency - turns * tone
    inside = np.abs(detuning) < 0.97 * cycles * strength
    assert inside.sum() >= 9
    # 1e-4: float32 roundings over 200 s, 40 s after the start.
    np.testing.assert_allclose(found[inside], turns * tone / cycles, atol=1e-4)
    outside = np.abs(detuning) > 1.05 * cycles * strength
    beat = [theory.adler_beat_frequency(d, cycles * strength) for d in detuning[outside]]
    # At most one turn of cycles·θ − turns·Ωt is cut off at the end of 200 s.
    expected = (turns * tone + np.asarray(beat)) / cycles
    np.testing.assert_allclose(found[outside], expected, atol=2 * math.pi / 200 / cycles)


def test_additive_forcing_never_entrains(x64):
    frequency, size, tone, shift, time = np.linspace(0.5, 3.0, 7), 5.0, 1.7, 0.4, 37.0
    drive = tx.Forcing(tx.Sine(size, tone, shift))
    turned = {"turns": tx.Rotations()}
    sol = run(uncoupled(frequency, drive), time / 2000, 2001, monitors=turned, phase=np.zeros(7))
    expected = frequency * time + size / tone * (math.cos(shift) - math.cos(tone * time + shift))
    # 1e-8: Simpson's rule at 0.0185 s, h⁴/2880 times the fourth derivative over 37 s.
    np.testing.assert_allclose(sol.monitors["turns"].displacement, expected, atol=1e-8)


@pytest.mark.parametrize("kind", ["type_one", "type_two"])
def test_pulse_train_is_the_circle_map(x64, kind):
    response = getattr(tx.PhaseResponse, kind)()
    frequency, strength, period = np.linspace(0.5, 7.0, 9), 0.8, 0.9
    drive = tx.PulseTrain(strength, period, response, start=0.25)
    # Monitors read before a kick: every 18 steps from 0.2 s after the first one on.
    trace = {"phase": tx.Trace(tx.phase, every=18, after=9)}
    sol = run(uncoupled(frequency, drive), 0.05, 18 * 60, tx.Euler(), trace, phase=np.zeros(9))
    seen = np.asarray(sol.monitors["phase"].value)
    phase = frequency * 0.25
    for turn in range(60):
        push = 1 - np.cos(phase) if kind == "type_one" else -np.sin(phase)
        phase = phase + strength * push
        gap = wrap(jnp.asarray(seen[turn] - phase - frequency * 0.2))
        # 1e-10: rounding of 1e-15 per step; with ε < 1 the map is invertible, so nothing grows.
        np.testing.assert_allclose(gap, 0.0, atol=1e-10)
        phase = phase + frequency * period


# Exactly once


def steps_kicked(drive, steps, dt, chunk=1 << 19):
    """How far a phase at 0 jumps at each of the steps."""
    now = clock(dt)
    jump = jax.jit(jax.vmap(lambda step: drive.jump(jnp.zeros(1), Moment(now, step))[0]))
    parts = [steps[i : i + chunk] for i in range(0, len(steps), chunk)]
    return np.concatenate([jump(jnp.asarray(part, jnp.int32)) for part in parts])


@pytest.mark.parametrize(
    ("period", "start", "dt"),
    [(0.37, 0.0, 0.1), (0.3, 0.1, 0.1), (0.01, 0.0, 0.01), (2.5, 3.3, 0.03)],
)
def test_each_pulse_kicks_once(period, start, dt):
    drive = tx.PulseTrain(1.0, period, start=start)
    steps = np.arange(1_000_000)
    jumps = steps_kicked(drive, steps, dt)
    wide = [np.longdouble(str(one)) for one in (period, start, dt)]
    count = int((steps[-1] * wide[2] - wide[1]) / wide[0]) + 1
    pulses = wide[1] + np.arange(count + 1) * wide[0]
    # A thousandth of a step before its time a pulse is due, to 1e-7 of a period: so where the
    # pulses slide past the steps, one may go either way. Each kicks exactly once.
    first = np.ceil(pulses / wide[2] - np.longdouble(1e-3)).astype(int)
    first, kicked = first[first < len(steps)], np.flatnonzero(jumps)
    assert jumps.max() == 1.0
    assert kicked.shape == first.shape
    assert np.abs(kicked - first).max() <= 1
    assert np.count_nonzero(kicked != first) <= 1


def test_pulses_after_a_billion_steps():
    drive = tx.PulseTrain(1.0, 0.37)
    begin = 10**9
    jumps = steps_kicked(drive, np.arange(begin, begin + 100_000), 0.1)
    wide = [np.longdouble(one) for one in ("0.37", "0.1")]
    low = int(begin * wide[1] / wide[0])
    pulses = np.arange(low - 1, low + 28_000) * wide[0]
    first = np.ceil(pulses / wide[1] - np.longdouble(1e-3)).astype(np.int64) - begin
    expected = np.bincount(first[(first >= 0) & (first < 100_000)], minlength=100_000)
    # A quotient of 10⁸·2.7 is good to 1e-5, so of 27 000 pulses hardly one may shift by a step.
    assert np.count_nonzero(jumps != expected) <= 4
    assert abs(jumps.sum() - expected.sum()) <= 1


def test_each_kick_happens_once():
    random = np.random.default_rng(4)
    times = np.sort(np.concatenate([random.uniform(0, 500, 2000), [0.0, 0.0, 250.0]]))
    times = times.astype(np.float32)
    drive = tx.Kicks(times, np.ones(len(times)))
    jumps = steps_kicked(drive, np.arange(6000), 0.1, chunk=1000)
    first = np.ceil(times.astype(np.float64) / np.float64(np.float32(0.1)) - 1e-3).astype(int)
    np.testing.assert_array_equal(jumps, np.bincount(first, minlength=6000))


def test_each_kick_happens_once_when_dt_changes():
    lengths = np.tile(np.repeat([0.5, 0.125, 0.25], [3, 2, 5]), 3)
    begins = np.concatenate([[0.0], np.cumsum(lengths)])
    times = np.sort(np.random.default_rng(5).uniform(0.0, begins[-2], 40))
    for drive, due in (
        (tx.Kicks(times, np.full(40, 0.125)), times),
        (tx.PulseTrain(0.125, 0.6, start=0.3), 0.3 + 0.6 * np.arange(100)),
    ):
        system = uncoupled([0.0], drive)
        state = tx.init(system, phase=[0.0])
        for number, dt in enumerate(lengths):
            past = begins[number - 1] if number else -1.0
            expected = 0.125 * np.sum((past < due) & (due <= begins[number]))
            after = tx.step(system, state, dt=dt)
            moved = wrap(after.phase - state.phase)[0]
            assert float(moved) == pytest.approx(expected, abs=1e-6), number  # float32
            state = after


def test_a_time_on_a_step_is_not_late():
    for dt in (0.1, 0.01, 0.3):
        steps = np.unique(np.geomspace(10, 1e6, 20_000).astype(int))
        times = (steps * np.float64(dt)).astype(np.float32)
        np.testing.assert_array_equal(moment(0, dt).steps_until(jnp.asarray(times)), steps)


def test_kicks_in_a_run():
    times, sizes = [0.0, 0.3, 0.34, 0.9], np.asarray([[1.0, -1.0], [0.5, 0.0], [0.25, 2.0], [3, 4]])
    system = uncoupled([0.0, 0.0], tx.Kicks(times, sizes))
    trace = {"phase": tx.Trace(tx.phase)}
    sol = run(system, 0.1, 12, tx.Euler(), trace, phase=[0.0, 0.0])
    seen = np.vstack([sol.monitors["phase"].value, sol.state.phase])
    # A kick is at the start of a step, so it is seen one record later.
    after = np.searchsorted([0, 3, 4, 9], np.arange(13), side="left")
    expected = np.vstack([np.zeros((1, 2)), np.cumsum(sizes, axis=0)])[after]
    np.testing.assert_allclose(wrap(jnp.asarray(seen - expected)), 0.0, atol=2e-6)  # float32


def test_two_pulses_in_a_step_are_refused():
    system = uncoupled([1.0], tx.PulseTrain(0.1, 0.15))
    with pytest.raises(FloatingPointError, match="lower dt"):
        run(system, 0.2, 20, tx.Euler(), phase=[0.0])
    assert np.isfinite(run(system, 0.1, 20, tx.Euler(), phase=[0.0]).state.phase).all()


# Orders: a drive that is frozen at the start of a step would show as order 1.

ORDERS = {"euler": 1, "heun": 2, "rk4": 4, "sra1": 2}
COUNTS = {"euler": (160, 320, 640), "heun": (40, 80, 160), "rk4": (12, 24, 48)}


class FrozenDrive(tx.AbstractStepper):
    """Heun as it must not be: both stages see the drive at the start of the step."""

    noisy = True
    stages = 2

    def __call__(self, drift, phase, dt, increment):
        return tx.Heun()(lambda phase, _: drift(phase, 0.0), phase, dt, increment)


def driven(dtype):
    parts = model("mean_field_lag", "none", dtype=dtype)
    response = tx.PhaseResponse(0.3, [-1.0, 0.4], [0.2, 0.1])
    drive = tx.Tone(1.3, 4.0, turns=2) + tx.Forcing(tx.Sine(1.1, 5.0, 0.3), response)
    return tx.PhaseOscillators(parts.frequency, parts.coupling, None, drive)


def arrive(steps, stepper):
    system = driven(jnp.float64)
    state = tx.init(system, phase=PHASES)
    return advance(system, state, jnp.asarray(1.0 / steps), steps, stepper).phase


@cache
def reference():
    return np.asarray(arrive(1500, tx.RK4()))


@pytest.mark.parametrize("name", ORDERS)
def test_orders_with_a_drive(x64, name):
    counts = COUNTS.get(name, COUNTS["heun"])
    errors = [distance(arrive(count, STEPPERS[name]()), reference()) for count in counts]
    # 0.2: the next term of the expansion at the coarsest dt.
    assert slope(counts, errors) == pytest.approx(ORDERS[name], abs=0.2), errors


def test_a_frozen_drive_is_seen_as_order_one(x64):
    errors = [distance(arrive(count, FrozenDrive()), reference()) for count in COUNTS["heun"]]
    assert slope(COUNTS["heun"], errors) == pytest.approx(1.0, abs=0.2)


# Derivatives


def everything():
    return (
        DRIVES["response"](SIZE)
        + tx.Forcing(tx.Sampled(np.cos(np.arange(5)), 0.171, 0.013))
        + 0.7 * DRIVES["function"](SIZE)
        + tx.PulseTrain(0.4, 0.33, tx.PhaseResponse.type_two(), 0.1)
        + DRIVES["kicks"](SIZE)
    )


# The leaves that move nothing: period and start of the train, and the times of the kicks.
@pytest.mark.parametrize(
    ("make", "still"),
    [(lambda: DRIVES["tone_ratio"](SIZE), 0), pytest.param(everything, 3, marks=pytest.mark.slow)],
    ids=["tone", "everything"],
)
def test_derivatives_equal_finite_differences(x64, make, still):
    frequency = jnp.linspace(-1.5, 2.0, SIZE, dtype=jnp.float64)
    system = tx.PhaseOscillators(frequency, None, None, make())
    weight = jnp.cos(jnp.arange(SIZE))

    @jax.jit
    def outcome(system):
        state = tx.init(system, phase=PHASES)
        end = tx.simulate(system, state, dt=jnp.asarray(0.05), steps=16, stepper=tx.Heun()).state
        return (weight * jnp.sin(end.phase)).sum()

    gradient = jax.tree.leaves(jax.jit(jax.grad(outcome))(system))
    leaves, structure = jax.tree.flatten(system)
    random, moving = np.random.default_rng(6), 0
    for i, leaf in enumerate(leaves):
        direction = jnp.asarray(random.normal(size=leaf.shape))
        ends = [
            outcome(structure.unflatten([*leaves[:i], leaf + by * direction, *leaves[i + 1 :]]))
            for by in (1e-6, -1e-6)
        ]
        difference = float(ends[0] - ends[1]) / 2e-6
        analytic = float((gradient[i] * direction).sum())
        # 1e-7: rounding of 1e-15 over 1e-6, and curvature times 1e-12.
        assert analytic == pytest.approx(difference, rel=1e-6, abs=1e-7), i
        moving += abs(analytic) > 1e-4
    assert moving == len(leaves) - still


# Batches and compilations


def test_a_drive_per_member_and_along_an_axis():
    system = uncoupled(np.linspace(0.0, 1.0, 4), tx.Tone(1.0, 2.0, cycles=2))
    amplitude = jnp.asarray([0.0, 0.5, 1.5])
    members = tx.per_member(system, lambda m: m.drive.amplitude, amplitude)
    grid = tx.vary(members, {"tone": (lambda m: m.drive.frequency, jnp.asarray([1.0, 3.0]))})
    phase = np.zeros(4)
    found = run(grid, 0.05, 40, tx.Heun(), phase=phase, members=3).state.phase
    for i, frequency in enumerate([1.0, 3.0]):
        for j in range(3):
            one = uncoupled(system.frequency, tx.Tone(amplitude[j], frequency, cycles=2))
            alone = run(one, 0.05, 40, tx.Heun(), phase=phase).state.phase
            # 1e-6: frequencies in a batch are another program.
            np.testing.assert_allclose(found[i, j], alone, atol=1e-6)


def test_new_numbers_compile_nothing():
    def call(amplitude, times, strength):
        drive = tx.Tone(amplitude, 2.0) + tx.Kicks(times, [1.0, 2.0])
        drive = drive + tx.TorqueFunction(pull, {"strength": strength})
        run(uncoupled([0.0, 1.0], drive), 0.1, 5, tx.Euler(), phase=[0.0, 0.0])

    call(1.0, [0.1, 0.2], 0.5)
    before = _programs.simulate.outer._cache_size()
    call(np.float64(2.0), np.asarray([0.0, 0.3]), 1)
    call(jnp.asarray(3.0), [0, 1], jnp.asarray(2.0))
    assert _programs.simulate.outer._cache_size() == before


def pull(time, phase, parameters):
    return -parameters["strength"] * jnp.sin(phase - time)


def wide(time, phase, parameters):
    return jnp.zeros((2, 3))


# Bad input

TONE = tx.Tone(1.0, 2.0)
# id, call, exception, what the message must name.
CASES = [
    ("amplitude nan", lambda: tx.Tone(np.nan, 1.0), ValueError, ["Tone.amplitude", "nan"]),
    ("amplitude shape", lambda: uncoupled([0.0, 1.0], tx.Tone([1.0, 2.0, 3.0], 1.0)), ValueError,
     ["Tone.amplitude of shape (3,)", "(2,)"]),
    ("turns zero", lambda: tx.Tone(1.0, 1.0, turns=0), ValueError, ["turns=0", "≥ 1"]),
    ("cycles fraction", lambda: tx.Tone(1.0, 1.0, cycles=1.5), TypeError, ["cycles=1.5"]),
    ("drive is a number", lambda: uncoupled([0.0], 1.0), TypeError, ["drive=1.0", "AbstractDrive"]),
    ("drive and coupling", lambda: TONE + tx.MeanField(1.0), TypeError, ["unsupported"]),
    ("factor per member", lambda: uncoupled([0.0, 1.0], np.ones(3) * TONE), ValueError,
     ["factor of shape (3,)", "per_member"]),
    ("signal is a number", lambda: tx.Forcing(1.0), TypeError, ["signal=1.0", "tx.Sine"]),
    ("response is a function", lambda: tx.Forcing(tx.Sine(1.0, 1.0), np.sin), TypeError,
     ["response=", "tx.PhaseResponse"]),
    ("harmonics of two lengths", lambda: tx.PhaseResponse(0.0, [1.0, 2.0], [1.0]), ValueError,
     ["(2,)", "(1,)", "zeros"]),
    ("record empty", lambda: tx.Sampled([], 0.1), ValueError, ["values of shape (0,)", "samples"]),
    ("record of another size", lambda: uncoupled([0.0], tx.Forcing(tx.Sampled([[1.0] * 3], 0.1))),
     ValueError, ["for 3 oscillators", "1 oscillators"]),
    ("interval zero", lambda: tx.Sampled([1.0], 0.0), ValueError,
     ["Sampled.interval = 0.0", "> 0"]),
    ("interpolation", lambda: tx.Sampled([1.0], 1.0, interpolation="cubic"), ValueError,
     ["interpolation='cubic'", "linear, hold"]),
    ("beyond", lambda: tx.Sampled([1.0], 1.0, beyond="mirror"), ValueError, ["hold, zero, repeat"]),
    ("period zero", lambda: tx.PulseTrain(1.0, 0.0), ValueError,
     ["PulseTrain.period = 0.0", "> 0"]),
    ("start negative", lambda: tx.PulseTrain(1.0, 1.0, start=-1.0), ValueError,
     ["PulseTrain.start = -1.0", "≥ 0"]),
    ("periods", lambda: uncoupled([0.0, 1.0], tx.PulseTrain(1.0, [1.0, 2.0])), ValueError,
     ["PulseTrain.period of shape (2,)", "add"]),
    ("times out of order", lambda: tx.Kicks([1.0, 3.0, 2.0], np.ones(3)), ValueError,
     ["Kicks.times out of order", "3.0 is followed by 2.0", "sort"]),
    ("time negative", lambda: tx.Kicks([-1.0], [1.0]), ValueError, ["Kicks.times[0] = -1.0"]),
    ("time nan", lambda: tx.Kicks([np.nan], [1.0]), ValueError, ["Kicks.times[0] = nan"]),
    ("no times", lambda: tx.Kicks([], []), ValueError, ["Kicks.times of shape (0,)"]),
    ("sizes", lambda: tx.Kicks([1.0, 2.0], [1.0]), ValueError, ["shape (1,) for 2 times", "(2,)"]),
    ("sizes for others", lambda: uncoupled([0.0], tx.Kicks([1.0], [[1.0, 2.0]])), ValueError,
     ["Kicks.sizes for 2 oscillators", "1 oscillators"]),
    ("function is a number", lambda: tx.TorqueFunction(1.0), TypeError, ["function=1.0", "def"]),
    ("function of a shape", lambda: uncoupled([0.0], tx.TorqueFunction(wide)), ValueError,
     ["torque of the function", "(2, 3)", "(1,)"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_bad_input(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
