"""`tx.gradient_health`: products of Jacobians, known exponents, chaos against plain numpy."""

import math
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax.learn.health import _tail, gradient_health

KEY = jax.random.key(5)


def amplitude(model):
    return model.drive.amplitude


def strength(model):
    return model.coupling.strength


def strange(noise=None, drive=None):
    """Twelve oscillators with random signs of coupling, whose largest exponent is near 0.26."""
    weights = np.random.default_rng(2).normal(size=(12, 12)) / np.sqrt(12)
    coupling = tx.Dense(weights.astype(np.float32), 3.0)
    return tx.PhaseOscillators(np.zeros(12, np.float32), coupling, noise, drive)


def jacobian(weights, phase, dt):
    """That of an Euler step of dθ_i = Σ_j w_ij sin(θ_j − θ_i), `[..., i, j]`."""
    cosine = weights * np.cos(phase[..., None, :] - phase[..., :, None])
    each = np.eye(phase.shape[-1])
    return each + dt * (cosine - each * cosine.sum(axis=-1, keepdims=True))


def torque(weights, phase):
    return (weights * np.sin(phase[..., None, :] - phase[..., :, None])).sum(axis=-1)


def test_growth_is_that_of_the_product_of_jacobians(x64):
    random = np.random.default_rng(0)
    weights, phase, dt = random.normal(size=(5, 5)), random.uniform(-3, 3, (2, 5)), 0.05
    model = tx.PhaseOscillators(jnp.zeros(5), tx.Dense(jnp.asarray(weights)))
    state = tx.init(model, phase=phase, members=2)
    health = gradient_health(model, state, dt=dt, steps=25)
    adjoint = np.broadcast_to(np.cos(np.arange(1.0, 6.0) ** 2), (2, 5))
    adjoint = adjoint / np.linalg.norm(adjoint, axis=1, keepdims=True)
    whole = np.broadcast_to(np.eye(5), (2, 5, 5))
    for _ in range(25):
        whole = jacobian(weights, phase, dt) @ whole
        phase = phase + dt * torque(weights, phase)
    grown = np.linalg.norm(np.einsum("mij,mi->mj", whole, adjoint), axis=1)
    # 25 products in float64.
    np.testing.assert_allclose(health.growth, np.log(grown), atol=1e-10)


@cache
def chaos():
    model = strange()
    state = tx.init(model, key=KEY, members=32)
    return gradient_health(model, state, dt=0.05, steps=2500)


def exponents_in_numpy(members, steps, dt):
    """The largest exponent of each path, from a tangent over the second half of plain Euler."""
    weights = 3.0 * np.random.default_rng(2).normal(size=(12, 12)) / np.sqrt(12)
    random = np.random.default_rng(7)
    phase, tangent = random.uniform(-np.pi, np.pi, (members, 12)), random.normal(size=(members, 12))
    total = np.zeros(members)
    for step in range(steps):
        tangent = np.einsum("mij,mj->mi", jacobian(weights, phase, dt), tangent)
        phase = phase + dt * torque(weights, phase)
        size = np.linalg.norm(tangent, axis=1)
        tangent, total = tangent / size[:, None], total + np.log(size) * (2 * step >= steps)
    return total / (steps / 2 * dt)


def test_chaos_has_the_exponent_of_a_plain_tangent():
    health = chaos()
    plain = exponents_in_numpy(32, 2500, 0.05)
    error = plain.std(ddof=1) / math.sqrt(32)
    assert plain.mean() > 0.2 and error < 0.06 * plain.mean()
    # Other paths of the same attractor: four standard errors of the difference.
    for rate, own in ((health.rate, health.rate_error), (health.tangent, health.tangent_error)):
        assert abs(rate - plain.mean()) < 4 * math.hypot(own, error)
    # Of one path, both are the same exponent, but for an angle at each end of 62 s: e^±3 at most.
    assert abs(health.rate - health.tangent) < 3 / 62


def test_chaos_is_not_trusted():
    health = chaos()
    assert not health.trusted and "float32 has 7 digits" in health.reason
    assert health.window == round(1 / (health.rate * 0.05))
    assert health.longest == int(0.5 * math.log(2.0**23) / (health.rate * 0.05))
    text = str(health)
    assert f"tx.Truncated({health.window})" in text
    assert f"fewer than {health.longest} steps" in text
    assert "tx.finite_differences" in text and "tx.girsanov" not in text


def test_a_short_run_of_the_same_is_trusted():
    model = strange()
    state = tx.init(model, key=KEY, members=4)
    health = gradient_health(model, state, dt=0.05, steps=100)
    assert health.trusted and str(health).startswith("nothing speaks against")
    assert health.duration == pytest.approx(5.0)


@pytest.mark.parametrize(("value", "rate"), [(2.0, 0.0), (-2.0, math.log(1.1) / 0.05)])
def test_in_step(value, rate):
    """Transverse differences change by 1 − K·dt per step, a turn of all by 1."""
    model = tx.PhaseOscillators(np.zeros(4, np.float32), tx.MeanField(value))
    state = tx.init(model, phase=np.full((3, 4), 0.3), members=3)
    health = gradient_health(model, state, dt=0.05, steps=400)
    # A rounding of float32 per step, over 0.05 s; of 200 steps some cancel.
    assert health.rate == pytest.approx(rate, abs=3e-6)
    assert health.tangent == pytest.approx(rate, abs=3e-6)
    assert health.trusted is (value > 0)
    assert (health.window == round(1 / (rate * 0.05))) if rate else (abs(health.rate) < 3e-6)


@pytest.mark.parametrize(("value", "dt"), [(2.0, 0.05), (30.0, 0.02)])
def test_locked_to_a_tone(value, dt):
    """The second loses more in a window than float32 can hold."""
    frequency, detuning = 3.0, 0.4 * value
    model = tx.PhaseOscillators(
        np.asarray([frequency + detuning], np.float32), drive=tx.Tone(value, frequency)
    )
    start = math.asin(detuning / value)
    state = tx.init(model, phase=np.full((2, 1), start), members=2)
    health = gradient_health(model, state, dt=dt, steps=400 if value < 10 else 10_000)
    assert health.trusted and np.isfinite(health.growth).all()
    if value < 10:
        exact = math.log(1 - value * math.cos(start) * dt) / dt
        # Phases are locked to some 1e-6, and each step is rounded.
        assert health.rate == pytest.approx(exact, rel=1e-5)
        assert health.tangent == pytest.approx(exact, rel=1e-5)
    else:
        assert health.rate < -20 and health.tangent < -20


def last(sol):
    return jnp.sin(sol.state.phase).sum(axis=-1)


def test_spread_is_that_of_the_members():
    model = strange(tx.WhiteNoise(0.1), tx.Tone(0.5, 0.0))
    members, options = 24, {"dt": 0.05, "steps": 30}
    state = tx.init(model, key=KEY, members=members)

    def where(m):
        return m.frequency, m.drive.amplitude

    found = gradient_health(model, state, **options, statistic=last, where=where).spread
    frequency, own = jnp.stack([model.frequency] * members), jnp.full(members, 0.5)

    def total(frequency, own):
        each = tx.per_member(model, lambda m: m.frequency, frequency)
        each = tx.per_member(each, amplitude, own)
        return last(tx.simulate(each, state, **options)).sum()

    expected = jax.jit(jax.grad(total, argnums=(0, 1)))(frequency, own)
    for k, each in enumerate(np.asarray(one, np.float64) for one in expected):
        # The same program up to the order of float32 sums.
        np.testing.assert_allclose(found.mean[k], each.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(found.median[k], np.median(each, axis=0), atol=1e-5)
        np.testing.assert_allclose(found.deviation[k], each.std(axis=0, ddof=1), atol=1e-5)
        error = each.std(axis=0, ddof=1) / math.sqrt(members)
        np.testing.assert_allclose(found.standard_error[k], error, atol=1e-5)
        apart = ((each - each.mean(axis=0)) ** 2).reshape(members, -1).sum(axis=1)
        assert found.tail[k] == pytest.approx(apart.max() / apart.sum(), rel=1e-3)


def _below(x):
    """The normal distribution function."""
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def test_tail_of_known_distributions():
    random = np.random.default_rng(1)
    normal = random.normal(size=40_000)
    # The share beyond 1.96 is 0.05 + 2·1.96·φ(1.96).
    assert _tail(normal) == pytest.approx(0.279, abs=0.01)
    # Of e^{σz} beyond q: the moments are e^{k²σ²/2}·Φ(kσ − q), of which the mean is taken off.
    deviation, above = 0.8, 1.645
    whole = [math.exp((k * deviation) ** 2 / 2) for k in (0, 1, 2)]
    beyond = [x * _below(k * deviation - above) for k, x in enumerate(whole)]
    share = (beyond[2] - 2 * whole[1] * beyond[1] + whole[1] ** 2 * beyond[0]) / (
        whole[2] - whole[1] ** 2
    )
    # Means of squares of 40 000 numbers, of which the fourth moment is large.
    assert _tail(np.exp(deviation * normal)) == pytest.approx(share, abs=0.04)
    assert _tail(np.ones(30)) == 0.0
    assert math.isnan(_tail(normal[:19]))
    assert math.isnan(_tail(np.full(30, np.inf)))


def test_heavy_tails_are_not_trusted():
    """Before digits are lost: the mean over members hardly converges already."""
    model = strange(tx.WhiteNoise(0.1), tx.Tone(0.5, 0.0))
    state = tx.init(model, key=KEY, members=200)
    health = gradient_health(model, state, dt=0.05, steps=280, statistic=last, where=amplitude)
    assert health.spread.tail > 0.5 and not health.trusted
    assert "of the members has" in health.reason and "tx.girsanov" in str(health)


def test_one_member_has_no_error():
    model = strange()
    health = gradient_health(model, tx.init(model, key=KEY, members=1), dt=0.05, steps=16)
    assert math.isnan(health.rate_error) and math.isfinite(health.rate)


def test_derivatives_that_overflow():
    """A step far too long: the growth in one window is more than float32 holds."""
    model = tx.PhaseOscillators(np.zeros(4, np.float32), tx.MeanField(-1e4))
    state = tx.init(model, phase=np.full((2, 4), 0.3), members=2)
    health = gradient_health(model, state, dt=1.0, steps=400)
    assert not health.trusted and "a derivative is not finite" in str(health)


def free(**options):
    model = tx.PhaseOscillators(np.zeros(3, np.float32), tx.MeanField(1.0))
    state = tx.init(model, phase=np.zeros(3), members=4)
    return gradient_health(options.pop("model", model), state, **{"dt": 0.1, "steps": 9, **options})


BAD = {
    "steps": (lambda: free(steps=3), ValueError, "steps=3; expected an integer ≥ 4"),
    "model": (lambda: free(model=3), TypeError, "model=3; .* tx.PhaseOscillators"),
    "where": (lambda: free(where=strength), ValueError, "got where without statistic; .* both"),
    "statistic": (lambda: free(statistic=last), ValueError, "got statistic without where"),
    "function": (lambda: free(statistic=2, where=strength), TypeError, "statistic=2; .* function"),
    "nowhere": (lambda: free(statistic=last, where=3), TypeError, "where=3; expected a function"),
    "nothing": (
        lambda: free(statistic=last, where=lambda m: ()),
        ValueError,
        "selects nothing; expected one or more leaves",
    ),
    "twice": (
        lambda: free(statistic=last, where=lambda m: (m.frequency, m.frequency)),
        ValueError,
        "selects one leaf twice",
    ),
    "mean": (
        lambda: free(statistic=lambda sol: last(sol).mean(), where=strength),
        ValueError,
        r"a statistic of shape \(\) and dtype float32; .* shape \(4,\)",
    ),
    "number": (
        lambda: free(statistic=lambda sol: 1.0, where=strength),
        ValueError,
        "a statistic of type float; expected one real number per member",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        call()


def test_bad_states():
    model = tx.PhaseOscillators(np.zeros(3, np.float32), tx.MeanField(1.0))
    single = tx.init(model, phase=np.zeros(3))
    with pytest.raises(ValueError, match=r"a state with the axes \(\); expected members"):
        gradient_health(model, single, dt=0.1, steps=9)
    grid = tx.vary(model, {"strength": (strength, np.ones(2))})
    with pytest.raises(ValueError, match=r"axes .'strength', 'member'.; .* one by one"):
        gradient_health(grid, tx.init(grid, phase=np.zeros(3), members=2), dt=0.1, steps=9)
    state = tx.init(model, phase=np.zeros(3), members=2)
    own = tx.per_member(model, strength, np.ones(2))
    with pytest.raises(ValueError, match=r"a leaf with one value per member; .* all members share"):
        gradient_health(own, state, dt=0.1, steps=9, statistic=last, where=strength)
    with pytest.raises(ValueError, match=r"a run inside jit, grad or vmap; .* call it outside"):
        jax.jit(lambda model: gradient_health(model, state, dt=0.1, steps=9).rate)(model)
