"""Law 1: splitting, stepping, monitoring and batching do not change a single bit on a CPU."""

import jax
import numpy as np
import pytest
from tables import COUPLINGS, DRIVES, MONITORS, NOISES, STEPPERS, model

import tauax as tx

KEY = jax.random.key(11)
DT = 0.05
STEPS = 24

COMBINATIONS = [
    *(
        pytest.param(coupling, "normal", "heun", marks=pytest.mark.slow)
        if coupling in ("sparse", "sparse_hub")  # a second or more to compile each program
        else (coupling, "normal", "heun")
        for coupling in COUPLINGS
    ),
    *((coupling, "none", "euler") for coupling in ("none", "mean_field_lag", "scaled")),
    *(("mean_field_strengths", noise, "euler") for noise in NOISES),
    ("mean_field_strengths", "normal_each", "sra1"),
    *((coupling, "none", "rk4") for coupling in ("sum", "dense_in_degree")),
]


def run(system, members, steps=STEPS, **options):
    state = tx.init(system, key=KEY, members=members)
    return tx.simulate(system, state, dt=DT, steps=steps, **options)


def by_hand(system, members, stepper):
    state = tx.init(system, key=KEY, members=members)
    for _ in range(STEPS):
        state = tx.step(system, state, dt=DT, stepper=stepper)
    return state.phase


@pytest.mark.parametrize(("coupling", "noise", "stepper"), COMBINATIONS)
def test_stepping_splitting_and_monitoring(coupling, noise, stepper):
    assert_invariant(model(coupling, noise), STEPPERS[stepper]())


def test_every_monitor_leaves_the_phases_alone():
    system = model("mean_field_lag", "normal")
    monitors = {name: make() for name, make in MONITORS.items()}
    watched = run(system, 5, monitors=monitors).state.phase
    np.testing.assert_array_equal(watched, run(system, 5).state.phase)


# Every stage of the loop: a readout the coupling shares, one under a condition, a buffer, wrapping.
WATCHED = ("moments", "moments_thin", "trace", "rotations")


def assert_invariant(system, stepper):
    whole = run(system, 5, stepper=stepper).state.phase
    half = run(system, 5, steps=STEPS // 2, stepper=stepper)
    rest = tx.simulate(system, half.state, dt=DT, steps=STEPS // 2, stepper=stepper)
    monitors = {name: MONITORS[name]() for name in WATCHED}
    monitored = run(system, 5, stepper=stepper, monitors=monitors)

    np.testing.assert_array_equal(rest.state.phase, whole, "split")
    np.testing.assert_array_equal(by_hand(system, 5, stepper), whole, "by hand")
    np.testing.assert_array_equal(monitored.state.phase, whole, "monitored")


@pytest.mark.parametrize(
    ("coupling", "size", "stepper"),
    [
        *(("mean_field_lag", size, "euler") for size in (1, 2, 3, 57, 280)),
        *(("dense_lag", size, "euler") for size in (4, 7, 57, 280)),
        pytest.param("sparse_lag_in_degree", 12, "euler", marks=pytest.mark.slow),
        pytest.param("sparse_hub", 33, "euler", marks=pytest.mark.slow),  # two levels of sums
        ("mean_field_lag", 7, "sra1"),
        ("sum", 12, "heun"),
        ("scaled", 33, "rk4"),
    ],
)
def test_batch_size(coupling, size, stepper):
    noise, stepper = "none" if stepper == "rk4" else "normal", STEPPERS[stepper]()
    assert_same_in_every_batch(model(coupling, noise, size), stepper)


def assert_same_in_every_batch(system, stepper):
    whole = run(system, 64, stepper=stepper).state.phase
    for members in (1, 2, 7):
        part = run(system, members, stepper=stepper).state.phase
        np.testing.assert_array_equal(part, whole[:members], f"{members} members")
    alone = run(system, None, stepper=stepper).state.phase
    np.testing.assert_array_equal(alone, whole[0], "no members")
    np.testing.assert_array_equal(by_hand(system, None, stepper), whole[0], "by hand")


QUICK = ("tone_ratio", "response", "sampled", "pulses", "kicks")


@pytest.mark.parametrize(
    "drive",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in DRIVES],
)
def test_drives(drive):
    # 7 oscillators: the width of a vector less one, where few rows compile differently.
    system, stepper = model("mean_field_lag", "normal", 7, drive=drive), tx.Heun()
    whole = run(system, 5, stepper=stepper).state.phase
    half = run(system, 5, steps=STEPS // 2, stepper=stepper).state
    rest = tx.simulate(system, half, dt=DT, steps=STEPS // 2, stepper=stepper)
    np.testing.assert_array_equal(rest.state.phase, whole, "split")
    np.testing.assert_array_equal(by_hand(system, None, stepper), whole[0], "by hand, alone")


@pytest.mark.slow  # five drives in each of its programs
def test_drives_in_every_batch():
    one, *others = [DRIVES[name](7) for name in QUICK]
    for other in others:
        one = one + other
    parts = model("dense_lag", "normal", 7)
    system = tx.PhaseOscillators(parts.frequency, parts.coupling, parts.noise, one)
    assert_same_in_every_batch(system, tx.Euler())
