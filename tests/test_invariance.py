"""Law 1: splitting, stepping, monitoring and batching do not change a single bit on a CPU."""

import jax
import numpy as np
import pytest
from tables import COUPLINGS, MONITORS, NOISES, STEPPERS, model

import tauax as tx

KEY = jax.random.key(11)
DT = 0.05
STEPS = 24

COMBINATIONS = [
    *((coupling, "normal", "heun") for coupling in COUPLINGS),
    *((coupling, "none", "euler") for coupling in ("none", "mean_field_lag", "scaled")),
    *(("mean_field_strengths", noise, "euler") for noise in NOISES),
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
    system, stepper = model(coupling, noise), STEPPERS[stepper]()
    whole = run(system, 5, stepper=stepper).state.phase
    half = run(system, 5, steps=STEPS // 2, stepper=stepper)
    rest = tx.simulate(system, half.state, dt=DT, steps=STEPS // 2, stepper=stepper)
    monitors = {name: make() for name, make in MONITORS.items()}
    monitored = run(system, 5, stepper=stepper, monitors=monitors)

    np.testing.assert_array_equal(rest.state.phase, whole, "split")
    np.testing.assert_array_equal(by_hand(system, 5, stepper), whole, "by hand")
    np.testing.assert_array_equal(monitored.state.phase, whole, "monitored")


@pytest.mark.parametrize(
    ("coupling", "size", "stepper"),
    [
        *(("mean_field_lag", size, "euler") for size in (1, 2, 3, 4, 10, 57, 256, 280)),
        *(("dense_lag", size, "euler") for size in (4, 5, 7, 12, 57, 280)),
        ("sum", 12, "heun"),
        ("scaled", 33, "rk4"),
    ],
)
def test_batch_size(coupling, size, stepper):
    noise, stepper = "none" if stepper == "rk4" else "normal", STEPPERS[stepper]()
    system = model(coupling, noise, size)
    whole = run(system, 64, stepper=stepper).state.phase
    for members in (1, 2, 7):
        part = run(system, members, stepper=stepper).state.phase
        np.testing.assert_array_equal(part, whole[:members], f"{members} members")
    alone = run(system, None, stepper=stepper).state.phase
    np.testing.assert_array_equal(alone, whole[0], "no members")
    np.testing.assert_array_equal(by_hand(system, None, stepper), whole[0], "by hand")
