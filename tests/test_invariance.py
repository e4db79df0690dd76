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
    (coupling, noise, stepper)
    for coupling in COUPLINGS
    for noise in NOISES
    for stepper in STEPPERS
    if (noise == "none" or stepper != "rk4")
    and (coupling in ("mean_field", "dense_in_degree") or noise in ("normal", "none"))
]


def phases(system, members, **run):
    state = tx.init(system, key=KEY, members=members)
    return np.asarray(tx.simulate(system, state, dt=DT, steps=STEPS, **run).state.phase)


@pytest.mark.parametrize(("coupling", "noise", "stepper"), COMBINATIONS)
def test_stepping_splitting_monitoring_batching(coupling, noise, stepper):
    system, stepper = model(coupling, noise), STEPPERS[stepper]()
    whole = phases(system, 16, stepper=stepper)

    state = tx.init(system, key=KEY, members=16)
    first = tx.simulate(system, state, dt=DT, steps=9, stepper=stepper)
    second = tx.simulate(system, first.state, dt=DT, steps=STEPS - 9, stepper=stepper)
    np.testing.assert_array_equal(second.state.phase, whole, "split")

    for _ in range(STEPS):
        state = tx.step(system, state, dt=DT, stepper=stepper)
    np.testing.assert_array_equal(state.phase, whole, "by hand")

    monitors = {name: make() for name, make in MONITORS.items()}
    np.testing.assert_array_equal(
        phases(system, 16, stepper=stepper, monitors=monitors), whole, "monitored"
    )

    for members in (1, 3):
        np.testing.assert_array_equal(
            phases(system, members, stepper=stepper), whole[:members], f"{members} members"
        )
    np.testing.assert_array_equal(phases(system, None, stepper=stepper), whole[0], "no members")


@pytest.mark.parametrize("size", [1, 2, 3, 4, 10, 57, 100, 256, 280])
@pytest.mark.parametrize("coupling", ["mean_field_lag", "dense_lag"])
@pytest.mark.parametrize("stepper", ["euler", "heun"])
def test_sizes(size, coupling, stepper):
    if size < 4 and coupling == "dense_lag":
        pytest.skip("the table's weights need four oscillators")
    system, stepper = model(coupling, "normal", size), STEPPERS[stepper]()
    monitors = {name: make() for name, make in MONITORS.items()}
    whole = phases(system, 256, stepper=stepper)
    for members in (1, 2, 7, 64):
        np.testing.assert_array_equal(
            phases(system, members, stepper=stepper), whole[:members], f"{members} members"
        )
    np.testing.assert_array_equal(
        phases(system, 7, stepper=stepper, monitors=monitors), whole[:7], "monitored"
    )
    np.testing.assert_array_equal(phases(system, None, stepper=stepper), whole[0], "no members")
    state = tx.init(system, key=KEY)
    for _ in range(STEPS):
        state = tx.step(system, state, dt=DT, stepper=stepper)
    np.testing.assert_array_equal(state.phase, whole[0], "by hand")
