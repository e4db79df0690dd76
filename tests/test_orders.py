"""Law 4: every stepper converges at the order it claims, read off as a slope."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats
from tables import COUPLINGS, SIZE, STEPPERS, model

import tauax as tx
from tauax.numerics.circular import wrap

ORDERS = {"euler": 1, "heun": 2, "rk4": 4, "sra1": 2}
KEY = jax.random.key(4)
TIME = 1.0
# Few enough steps that the error stays far above the rounding of float64.
STEPS = {
    "euler": (160, 320, 640, 1280),
    "heun": (40, 80, 160, 320),
    "rk4": (12, 24, 48, 96),
    "sra1": (40, 80, 160, 320),
}
REFERENCE = 1500  # RK4, with an error below 1e-13
PHASE = np.linspace(-2.5, 2.8, SIZE)


class Frozen(tx.AbstractStepper):
    """Heun as it must not be: the coupling of the first stage serves the second as well."""

    noisy = True
    stages = 2

    def __call__(self, drift, phase, dt, increment):
        torque = drift(phase, 0.0)
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
    """√(2D) times one Brownian path per member, D = 0.5: its increments over the fine steps, and
    over each the average of the path since the start of the step.

    Given the increment, the average is normal round half of it, with variance dt/12 (√(2D) = 1).
    """
    random = np.random.default_rng(9)
    dt = TIME / FINE
    increments = random.normal(size=(PATHS, FINE, SIZE)) * math.sqrt(dt)
    bridges = random.normal(size=(PATHS, FINE, SIZE)) * math.sqrt(dt / 12)
    return increments, increments / 2 + bridges


def coarser(path, together):
    """The same path over longer steps: A·H = Σ_k [A_k·h + (B(t_k) − B(t_0))·h]."""
    increments, averages = (x.reshape(PATHS, -1, together, SIZE) for x in path)
    since = np.cumsum(increments, axis=2) - increments
    return increments.sum(axis=2), (averages + since).mean(axis=2)


def follow(system, path, together, stepper):
    """Where each of the Brownian paths leads when `together` fine steps are made one."""
    # Rows of zeros at the end, for one shape at every dt.
    increments, averages = (
        np.pad(x, [(0, 0), (0, FINE - x.shape[1]), (0, 0)]) for x in coarser(path, together)
    )
    noise = tx.GivenNoise(increments[0], averages[0])
    system = tx.PhaseOscillators(system.frequency, system.coupling, noise)
    members = tx.per_member(system, lambda m: m.noise.increments, increments)
    members = tx.per_member(members, lambda m: m.noise.averages, averages)
    return arrive(members, FINE // together, stepper, PATHS)


STRONG = {"euler": (tx.Euler(), 1.0), "heun": (tx.Heun(), 1.0), "sra1": (tx.SRA1(), 1.5)}


@pytest.mark.parametrize("coupling", ["mean_field_lag", "dense_lag"])
def test_e03_strong_orders_with_additive_noise(x64, coupling):
    system = model(coupling, "none", dtype=jnp.float64)
    path = brownian()
    reference = follow(system, path, 1, tx.SRA1())
    counts, errors = [FINE // k for k in COARSER], {}
    for name, (stepper, order) in STRONG.items():
        errors[name] = [distance(follow(system, path, k, stepper), reference) for k in COARSER]
        # 0.2: 200 paths of 12 oscillators, and the error of the reference itself.
        assert slope(counts, errors[name]) == pytest.approx(order, abs=0.2), (name, errors)
    for euler, heun, sra1 in zip(*errors.values(), strict=True):
        assert sra1 < heun / 3 < euler / 3


def test_one_path_at_several_dt_is_one_path():
    """What the coarser averages must do: end with the path, and average what they cover."""
    path = brownian()
    increments, averages = coarser(path, 64)
    # Sums of 1024 numbers of order 0.03.
    np.testing.assert_allclose(increments.sum(axis=1), path[0].sum(axis=1), rtol=0, atol=1e-12)
    # Over a step H the average since its start has variance H/3, and covariance H/2 with the
    # increment. 38400 of them: relative deviation 0.007, 6 of those.
    assert (averages**2).mean() == pytest.approx(64 * TIME / FINE / 3, rel=0.045)
    assert (averages * increments).mean() == pytest.approx(64 * TIME / FINE / 2, rel=0.045)


# Weak orders, without chance: every path of a law of few values is run, and weighed by its odds.
# Oscillator 0 of two is noisy, so the phase difference φ obeys dφ = (Δ − K sin φ) dt + √(2D) dW,
# whose law follows from the Fokker–Planck equation.

DETUNING, STRENGTH, INTENSITY, HORIZON = 1.0, 2.0, 0.5, 0.6
APART = 0.8
LAWS = {  # values of z and their odds
    "two_point": ([-1.0, 1.0], [0.5, 0.5]),
    "three_point": ([-math.sqrt(3), 0.0, math.sqrt(3)], [1 / 6, 2 / 3, 1 / 6]),
}


def exact_mean():
    """E e^{iφ(T)}, from the Fourier modes c_m = E e^{−imφ} of the density of φ:

    dc_m/dt = −(imΔ + m²D) c_m + (mK/2) (c_{m−1} − c_{m+1}).
    """
    modes = np.arange(-60, 61)
    rates = np.diag(-1j * modes * DETUNING - modes**2 * INTENSITY)
    rates += np.diag(modes[1:] * STRENGTH / 2, -1) - np.diag(modes[:-1] * STRENGTH / 2, 1)
    density = linalg.expm(rates * HORIZON) @ np.exp(-1j * modes * APART)
    return density[modes == -1][0]


def every_path(law, length):
    """All sequences of `length` draws, `[path, step]`, and the odds of each."""
    values, odds = LAWS[law]
    return (
        np.asarray(list(itertools.product(values, repeat=length))),
        np.asarray(list(itertools.product(odds, repeat=length))).prod(axis=1),
    )


def mean_over_paths(stepper, law, steps):
    """E e^{iφ(T)} of a method, over all paths of a law."""
    dt = HORIZON / steps
    deviation = math.sqrt(2 * INTENSITY * dt)
    if stepper.needs_average:  # pairs of draws: one for the increment, one more for the average
        draws, odds = every_path(law, 2 * steps)
        first, second = draws[:, :steps], draws[:, steps:]
        averages = deviation * (first / 2 + second / math.sqrt(12))
    else:
        first, odds = every_path(law, steps)
        averages = None
    increments = deviation * first

    def of_first(x):
        return jnp.stack([jnp.asarray(x), jnp.zeros(x.shape)], axis=-1)

    paths = of_first(increments)
    noise = tx.GivenNoise(paths[0], None if averages is None else of_first(averages)[0])
    one = tx.PhaseOscillators(
        jnp.asarray([DETUNING, 0.0]), tx.MeanField(jnp.asarray(STRENGTH)), noise
    )
    many = tx.per_member(one, lambda m: m.noise.increments, paths)
    if averages is not None:
        many = tx.per_member(many, lambda m: m.noise.averages, of_first(averages))
    state = tx.init(many, phase=np.asarray([APART, 0.0]), members=len(odds))
    end = tx.simulate(many, state, dt=dt, steps=steps, stepper=stepper).state.phase
    return (odds * np.exp(1j * (end[:, 0] - end[:, 1]))).sum()


WEAK = {
    "euler": (tx.Euler(), "two_point", (6, 8, 11, 14), 1.0),
    "heun": (tx.Heun(), "three_point", (4, 5, 7, 9), 2.0),
    "heun, a law too poor for it": (tx.Heun(), "two_point", (10, 12, 14, 16), 1.0),
    "sra1": (tx.SRA1(), "three_point", (2, 3, 4, 5), 2.0),
}


@pytest.mark.parametrize("case", WEAK)
def test_e03_weak_orders_with_additive_noise(x64, case):
    stepper, law, counts, order = WEAK[case]
    exact = exact_mean()
    errors = [abs(mean_over_paths(stepper, law, steps) - exact) for steps in counts]
    # 0.25: steps of a tenth of the relaxation time, whose next order shows.
    assert slope(counts, errors) == pytest.approx(order, abs=0.25), errors


@pytest.mark.parametrize(
    ("stepper", "law", "steps"), [("euler", "two_point", 6), ("heun", "three_point", 5)]
)
def test_the_noise_of_a_run_has_the_law_that_was_weighed(x64, stepper, law, steps):
    members = 100_000
    noise = tx.WhiteNoise(jnp.asarray([INTENSITY, 0.0]), law)
    one = tx.PhaseOscillators(
        jnp.asarray([DETUNING, 0.0]), tx.MeanField(jnp.asarray(STRENGTH)), noise
    )
    state = tx.init(one, key=KEY, phase=np.asarray([APART, 0.0]), members=members)
    sol = tx.simulate(one, state, dt=HORIZON / steps, steps=steps, stepper=STEPPERS[stepper]())
    apart = np.exp(1j * (sol.state.phase[:, 0] - sol.state.phase[:, 1]))
    wanted = mean_over_paths(STEPPERS[stepper](), law, steps)
    for part in (np.real, np.imag):
        error = part(apart).std() / math.sqrt(members)
        # Five standard errors, each about 0.002.
        assert abs(part(apart.mean() - wanted)) < 5 * error


# The noise of SRA1 -------------------------------------------------------------------------------


def pairs_of(noise, dt, steps, members=4000):
    """Increments and averages, each `[step, member, oscillator]`."""
    system = tx.PhaseOscillators(np.zeros(SIZE), noise=noise)
    keys = tx.init(system, key=KEY, members=members).key

    @jax.jit
    def draw(step):
        return jax.vmap(lambda key: noise.increment_and_average(key, step, dt, SIZE))(keys)

    pairs = [draw(jnp.int32(step)) for step in range(steps)]
    return tuple(np.stack(side).astype(np.float64) for side in zip(*pairs, strict=True))


def test_increments_and_their_averages():
    dt, intensity = 0.04, np.linspace(0.1, 0.5, SIZE)
    noise = tx.WhiteNoise(intensity)
    increments, averages = pairs_of(noise, jnp.float32(dt), 2)
    scale = np.sqrt(2 * intensity * dt)
    columns = np.concatenate([*(increments / scale), *(averages / scale)], axis=1)
    # Per step and oscillator: variances 1 and 1/3, covariance 1/2, in units of 2D·dt; nothing
    # between oscillators or steps.
    each = np.eye(2 * SIZE)
    wanted = np.block([[each, each / 2], [each / 2, each / 3]])
    # A sample covariance over 4000 members deviates by at most √(2/4000) = 0.022; 5 of these for
    # the largest of 1176.
    np.testing.assert_allclose(columns.T @ columns / len(columns), wanted, rtol=0, atol=0.112)
    # Over all 96000: √(2/96000) = 0.0046 for the increments, and less for the others.
    for product, value in (
        (increments**2, 1),
        (averages**2, 1 / 3),
        (increments * averages, 1 / 2),
    ):
        assert (product / scale**2).mean() == pytest.approx(value, abs=0.023)
    # The average given the increment is normal, too: not only its variance is right.
    rest = ((averages - increments / 2) / scale * math.sqrt(12)).ravel()
    assert stats.kstest(rest, "norm").pvalue > 1e-4
    assert stats.kstest((increments / scale).ravel(), "norm").pvalue > 1e-4


def test_sra1_has_the_noise_of_euler():
    """The same address, so the same path: without drift they are one."""
    system = tx.PhaseOscillators(np.zeros(SIZE), noise=tx.WhiteNoise(0.3))
    state = tx.init(system, key=KEY, members=3)
    ends = [
        tx.simulate(system, state, dt=0.1, steps=5, stepper=stepper).state.phase
        for stepper in (tx.Euler(), tx.Heun(), tx.SRA1())
    ]
    for end in ends[1:]:
        # A rounding of float32 per step, below 4.
        np.testing.assert_allclose(wrap(end - ends[0]), 0.0, rtol=0, atol=5 * 2.4e-7)


@pytest.mark.parametrize("noise", ["two_point", "three_point", "given"])
def test_sra1_refuses_noise_without_averages(noise):
    system = model("mean_field", noise)
    state = tx.init(system, key=KEY)
    with pytest.raises(ValueError, match="SRA1 for a noise whose average over a step is not known"):
        tx.simulate(system, state, dt=0.1, steps=2, stepper=tx.SRA1())
    with pytest.raises(ValueError, match="SRA1 for a noise whose average over a step is not known"):
        tx.step(system, state, dt=0.1, stepper=tx.SRA1())


def test_averages_must_match_the_increments():
    with pytest.raises(ValueError, match=r"GivenNoise.averages of shape \(3, 2\)"):
        tx.GivenNoise(np.zeros((4, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"GivenNoise.averages\[1, 0\] = nan"):
        tx.GivenNoise(np.zeros((2, 1)), np.asarray([[0.0], [math.nan]]))


def test_runge_kutta_refuses_noise():
    for noise in ("normal", "given"):
        system = model("mean_field", noise)
        state = tx.init(system, key=jax.random.key(0))
        with pytest.raises(ValueError, match="RK4 for a model with noise"):
            tx.simulate(system, state, dt=0.1, steps=2, stepper=tx.RK4())
        with pytest.raises(ValueError, match="RK4 for a model with noise"):
            tx.step(system, state, dt=0.1, stepper=tx.RK4())
