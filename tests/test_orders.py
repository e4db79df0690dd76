"""Law 4: every stepper converges at the order it claims, read off as a slope."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import COUPLINGS, SIZE, STEPPERS, model

import tauax as tx
from tauax.numerics.circular import wrap

ORDERS = {"euler": 1, "heun": 2, "rk4": 4}
TIME = 1.0
# Few enough steps that the error stays far above the rounding of float64.
STEPS = {"euler": (160, 320, 640, 1280), "heun": (40, 80, 160, 320), "rk4": (12, 24, 48, 96)}
REFERENCE = 1500  # RK4, with an error below 1e-13
PHASE = np.linspace(-2.5, 2.8, SIZE)


class Frozen(tx.AbstractStepper):
    """Heun as it must not be: the coupling of the first stage serves the second as well."""

    noisy = True
    stages = 2

    def __call__(self, drift, phase, dt, increment):
        torque = drift(phase)
        return phase + 0.5 * dt * (torque + torque)


@jax.jit
def advance(system, state, dt, steps, stepper):
    """As many steps as asked for, in one program for every number of them."""
    return jax.lax.fori_loop(
        0, steps, lambda _, state: tx.step(system, state, dt=dt, stepper=stepper), state
    )


def arrive(system, steps, stepper, members=None):
    state = tx.init(system, phase=PHASE, members=members)
    return advance(system, state, jnp.asarray(TIME / steps), steps, stepper).phase


def distance(phase, reference):
    """Root mean square angle between two sets of phases."""
    return float(jnp.sqrt((wrap(phase - reference) ** 2).mean()))


def slope(steps, errors):
    """The order at which errors fall with the number of steps."""
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_deterministic_order(x64, coupling):
    system = model(coupling, "none", dtype=jnp.float64)
    reference = arrive(system, REFERENCE, tx.RK4())
    for name, counts in STEPS.items():
        errors = [distance(arrive(system, n, STEPPERS[name]()), reference) for n in counts]
        if coupling == "none":
            assert max(errors) < 1e-12  # a constant velocity is exact for every stepper
        else:
            # 0.15: the next term of the expansion at the coarsest dt.
            assert slope(counts, errors) == pytest.approx(ORDERS[name], abs=0.15), (name, errors)


def test_a_frozen_coupling_is_seen_as_order_one(x64):
    system = model("mean_field_lag", "none", dtype=jnp.float64)
    reference = arrive(system, REFERENCE, tx.RK4())
    counts = STEPS["heun"]
    errors = [distance(arrive(system, n, Frozen()), reference) for n in counts]
    assert slope(counts, errors) == pytest.approx(1.0, abs=0.15)


PATHS, FINE = 200, 1024
COARSER = (8, 16, 32, 64)  # how many fine increments are summed into one


def brownian():
    """√(2D) times the increments of one Brownian path per member, D = 0.5, on the fine steps."""
    random = np.random.default_rng(9)
    return random.normal(size=(PATHS, FINE, SIZE)) * math.sqrt(TIME / FINE)


def follow(system, fine, together, stepper):
    """Where each of the Brownian paths leads when `together` increments are summed into one."""
    sums = fine.reshape(PATHS, FINE // together, together, SIZE).sum(axis=2)
    paths = np.zeros_like(fine)  # rows of zeros at the end, for one shape at every dt
    paths[:, : sums.shape[1]] = sums
    system = tx.PhaseOscillators(system.frequency, system.coupling, tx.GivenNoise(paths[0]))
    members = tx.per_member(system, lambda m: m.noise.increments, paths)
    return arrive(members, FINE // together, stepper, PATHS)


@pytest.mark.parametrize("coupling", ["mean_field_lag", "dense_lag"])
def test_strong_order_with_additive_noise(x64, coupling):
    system = model(coupling, "none", dtype=jnp.float64)
    fine = brownian()
    reference = follow(system, fine, 1, tx.Heun())
    for stepper in (tx.Euler(), tx.Heun()):
        errors = [distance(follow(system, fine, k, stepper), reference) for k in COARSER]
        counts = [FINE // k for k in COARSER]
        # 0.2: 200 paths of 12 oscillators, and the error of the reference itself.
        assert slope(counts, errors) == pytest.approx(1.0, abs=0.2), (stepper, errors)


def test_runge_kutta_refuses_noise():
    for noise in ("normal", "given"):
        system = model("mean_field", noise)
        state = tx.init(system, key=jax.random.key(0))
        with pytest.raises(ValueError, match="RK4 for a model with noise"):
            tx.simulate(system, state, dt=0.1, steps=2, stepper=tx.RK4())
        with pytest.raises(ValueError, match="RK4 for a model with noise"):
            tx.step(system, state, dt=0.1, stepper=tx.RK4())
