"""Gradients without derivatives of paths: closed forms, plain numpy, chaos, bad input."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import tauax as tx
from tauax._types import numeric
from tauax.learn.finite_differences import finite_differences
from tauax.learn.girsanov import _SCORE, _Score, girsanov
from tauax.learn.health import _gradients, _spread, gradient_health
from tauax.learn.members import checked_shared

KEY = jax.random.key(11)
OMEGA = np.asarray([0.5, -0.3, 0.2], np.float32)
START = np.asarray([0.3, -1.0, 2.0], np.float32)
INTENSITY, DT, STEPS = 0.2, 0.05, 40
RESPONSE = tx.PhaseResponse.type_one()


def frequency(model):
    return model.frequency


def strength(model):
    return model.coupling.strength


def amplitude(model):
    return model.drive.amplitude


def cosine(sol):
    return jnp.cos(sol.state.phase).sum(axis=-1)


def free(intensity=INTENSITY, **options):
    return tx.PhaseOscillators(OMEGA, noise=tx.WhiteNoise(intensity, **options))


def coupled(noise=None):
    noise = tx.WhiteNoise(INTENSITY) if noise is None else noise
    return tx.PhaseOscillators(OMEGA, tx.MeanField(1.0), noise, tx.Tone(0.5, 1.0))


def cosine_loss(members):
    def loss(model, key):
        state = tx.init(model, key=key, members=members, phase=START)
        return cosine(tx.simulate(model, state, dt=DT, steps=STEPS)).mean()

    return loss


def spread(model, state, where, steps):
    """The derivatives of the members' paths."""
    shared = checked_shared(model, where)
    dt = jnp.asarray(DT, jnp.float32)
    gradients = _gradients(cosine, shared, model, state, dt, steps, tx.Euler(), {})
    return _spread(shared, gradients)


def slopes(time):
    """d/dω of E cos θ(t) = cos(θ_0 + ωt) e^{−Dt}, of each free oscillator."""
    return -time * np.sin(START + OMEGA * time) * np.exp(-INTENSITY * time)


def within(z, most=4.0):
    assert np.abs(np.asarray(z)).max() < most, z


# Closed forms; Euler steps of free oscillators are exact


def test_pathwise_likelihood_and_differences_have_the_closed_form():
    exact, model, members = slopes(DT * STEPS), free(), 4096
    state = tx.init(model, key=KEY, members=members, phase=START)
    found = girsanov(cosine, model, state, where=frequency, dt=DT, steps=STEPS)
    within(found.z(exact))
    assert np.all(found.standard_error < 0.05) and found.samples == members
    expected = (np.cos(START + OMEGA * DT * STEPS) * np.exp(-INTENSITY * DT * STEPS)).sum()
    # Four standard errors of a mean of three cosines, each of variance below 1/2.
    assert float(found.value) == pytest.approx(expected, abs=4 * math.sqrt(1.5 / members))
    options = {"where": frequency, "key": KEY, "repeats": 16}
    differences = finite_differences(cosine_loss(256), model, **options)
    within(differences.z(exact))
    assert differences.reason == "" and differences.samples == 16
    # The same phases beside each other: nearly all noise is common.
    assert np.all(differences.correlation > 0.99)
    path = spread(model, state, frequency, STEPS)
    within((path.mean - exact) / path.standard_error)
    # What a path knows of its own end is worth more than its likelihood.
    assert np.all(found.standard_error > path.standard_error)


def test_error_of_a_long_step(x64):
    """g(h) − g = h²/6·d³/dω³, up to h²T²/20 of it."""
    time, step = DT * STEPS, 0.25
    model = tx.PhaseOscillators(jnp.asarray(OMEGA, jnp.float64), noise=tx.WhiteNoise(INTENSITY))
    options = {"where": frequency, "key": KEY, "repeats": 64}
    found = finite_differences(cosine_loss(64), model, **options, step=step)
    wrong = -(step**2) / 6 * time**2 * slopes(time)
    error = 4 * np.asarray(found.truncation_error) + 0.02 * np.abs(wrong)
    assert np.all(np.abs(found.truncation - wrong) < error)
    within((found.gradient - (slopes(time) + wrong)) / found.standard_error, 4.3)
    assert found.reason == ""  # 4 %, of a gradient known to some per cent
    longer = finite_differences(cosine_loss(64), model, **options, step=1.0)
    assert "too long at .frequency[" in longer.reason and "a shorter step=" in longer.reason


def test_crystals_turn_exactly_and_have_a_likelihood():
    """dE cos θ/df = −2πT·sin(2πfT)·e^{−DT}: what turns exactly counts as drift."""
    hertz = np.asarray([0.3, 0.2, 0.1, 0.05], np.float32)
    model = tx.TauCrystals(hertz=hertz, noise=tx.WhiteNoise(INTENSITY))
    state = tx.init(model, key=KEY, members=4096)
    found = girsanov(cosine, model, state, where=lambda m: m.hertz, dt=DT, steps=STEPS)
    time = DT * STEPS
    turns = 2 * math.pi * time
    within(found.z(-turns * np.sin(turns * hertz) * np.exp(-INTENSITY * time)))


# The score


def test_score_is_that_of_the_increments(x64):
    """From the path alone, in plain numpy: Σ_n Σ_i ∂f_i/∂p·(Δθ_i − f_i dt)/(2 D_i)."""
    random, members, steps = np.random.default_rng(0), 3, 12
    weights, intensity = random.normal(size=(4, 4)), np.asarray([0.1, 0.2, 0.3, 0.4])
    omega, lag = random.normal(size=4), 0.3
    coupling = tx.Dense(jnp.asarray(weights), 1.3, lag)
    model = tx.PhaseOscillators(jnp.asarray(omega), coupling, tx.WhiteNoise(intensity))
    shared = checked_shared(
        model, lambda m: (m.frequency, m.coupling.weights, m.coupling.strength, m.coupling.lag)
    )
    state = tx.init(model, key=KEY, members=members)
    monitors = {"phase": tx.Trace(tx.phase), _SCORE: _Score(shared)}
    sol = tx.simulate(model, state, dt=DT, steps=steps, monitors=monitors)
    path = np.asarray(sol.monitors["phase"].value)
    path = np.concatenate([path, np.asarray(sol.state.phase)[:, None]], axis=1)
    before, moved = path[:, :-1], np.diff(path, axis=1)
    moved = np.mod(moved + np.pi, 2 * np.pi) - np.pi
    apart = before[..., None, :] - before[..., :, None] - lag
    sine, weighted = 1.3 * np.sin(apart), weights * np.sin(apart)
    drift = omega + 1.3 * weighted.sum(axis=-1)
    surprise = (moved - drift * DT) / (2 * intensity)
    by_lag = -1.3 * (weights * np.cos(apart)).sum(axis=-1)
    expected = (
        surprise.sum(axis=1),
        (surprise[..., None] * sine).sum(axis=1),
        (surprise * weighted.sum(axis=-1)).sum(axis=(1, 2)),
        (surprise * by_lag).sum(axis=(1, 2)),
    )
    for one, other in zip(sol.monitors[_SCORE].scores, expected, strict=True):
        # Sums of 48 terms in float64; increments are read off phases by a difference.
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_variance_grows_with_the_length_of_the_run():
    model = coupled()
    state = tx.init(model, key=KEY, members=4096)
    shared, variances, spreads = checked_shared(model, frequency), [], []
    for steps in (200, 400, 800):  # from 10 s on, when the statistic is that of locked phases
        found = girsanov(cosine, model, state, where=frequency, dt=DT, steps=steps)
        variances.append(float((found.standard_error**2).sum()))
        monitors = {_SCORE: _Score(shared)}
        scores = tx.simulate(model, state, dt=DT, steps=steps, monitors=monitors)
        spread = np.asarray(scores.monitors[_SCORE].scores[0]).var(axis=0, ddof=1)
        spreads.append(spread / (DT * steps / (2 * INTENSITY)))
    # Of the score of a frequency it is T/(2D); a variance of 4096 numbers is known to 2.2 %.
    within((np.asarray(spreads) - 1) / math.sqrt(2 / 4096))
    # Of the estimate, with the variance of the locked statistic: the ratio scatters by 4.5 %.
    assert variances[1] / variances[0] == pytest.approx(2.0, rel=0.17)
    assert variances[2] / variances[1] == pytest.approx(2.0, rel=0.17)


# Against the derivative of the path, where that is good


@pytest.mark.slow
def test_every_part_of_the_drift():
    """A frequency, a tone and kicks, which act before the drift of their step."""
    drive = tx.Tone(1.5, 0.0) + tx.PulseTrain(0.3, 0.45, RESPONSE, start=0.12)
    model = tx.PhaseOscillators(OMEGA, None, tx.WhiteNoise(INTENSITY), drive)
    state = tx.init(model, key=KEY, members=4096, phase=START)

    def where(m):
        return m.frequency, m.drive.parts[0].amplitude, m.drive.parts[1].strength

    found = girsanov(cosine, model, state, where=where, dt=DT, steps=25)
    path = spread(model, state, where, 25)
    for one, error, mean, own in zip(
        found.gradient, found.standard_error, path.mean, path.standard_error, strict=True
    ):
        assert one.shape == mean.shape
        within((one - mean) / np.hypot(error, own))


def test_events_and_members_of_their_own():
    """A value that holds from an event on, with an intensity of each member's own."""
    members = 4096
    changes = {"jump": tx.Change(frequency, [1.0], [OMEGA + 0.5])}
    model = tx.scheduled(free(), changes)
    model = tx.per_member(model, lambda m: m.noise.intensity, np.linspace(0.1, 0.3, members))
    state = tx.init(model, key=KEY, members=members, phase=START)
    found = girsanov(cosine, model, state, where=lambda m: m["jump"].values, dt=DT, steps=STEPS)
    assert found.gradient.shape == (1, 3)
    decay = np.exp(-2.0 * np.linspace(0.1, 0.3, members)).mean()
    within(found.z((-np.sin(START + 2 * OMEGA + 0.5) * decay)[None]))


def test_under_jit_and_for_functions_without_a_derivative():
    model = coupled()
    state = tx.init(model, key=KEY, members=64, phase=START)

    def sign(sol):
        return jnp.sign(sol.monitors["r"].mean - 0.7)

    options = {
        "where": strength,
        "dt": DT,
        "steps": 20,
        "monitors": {"r": tx.Moments(tx.coherence)},
    }
    one = girsanov(sign, model, state, **options)
    other = eqx.filter_jit(lambda model, state: girsanov(sign, model, state, **options))(
        model, state
    )
    assert float(one.gradient) != 0
    # Sums over 64 members in another order.
    np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(one.standard_error, other.standard_error, rtol=1e-4)


# Chaos


@pytest.mark.slow
def test_chaos_with_noise():
    """Derivatives of paths explode; likelihood and differences agree on the mean."""
    weights = np.random.default_rng(2).normal(size=(12, 12)) / np.sqrt(12)
    model = tx.PhaseOscillators(
        np.zeros(12, np.float32),
        tx.Dense(weights.astype(np.float32), 3.0),
        tx.WhiteNoise(0.1),
        tx.Tone(0.7, 0.0),
    )
    options = {"dt": DT, "steps": 400}
    monitors = {"cosine": tx.Moments(mean_cosine)}

    def statistic(sol):
        return sol.monitors["cosine"].mean

    def loss(model, key):
        state = tx.init(model, key=key, members=256)
        return statistic(tx.simulate(model, state, **options, monitors=monitors)).mean()

    state = tx.init(model, key=KEY, members=4096)
    found = girsanov(statistic, model, state, where=amplitude, **options, monitors=monitors)
    small = tx.init(model, key=KEY, members=64)
    health = gradient_health(
        model, small, **options, statistic=statistic, where=amplitude, monitors=monitors
    )
    assert not health.trusted and health.rate > 10 * health.rate_error
    assert health.spread.deviation > 100 * float(found.standard_error) * math.sqrt(4096)
    assert "tx.girsanov" in str(health)
    differences = finite_differences(
        loss, model, where=amplitude, key=jax.random.key(2), repeats=8, step=0.2
    )
    assert float(differences.correlation) < 0.9  # paths part
    # Both see the effect, and the same.
    assert float(found.gradient) > 6 * float(found.standard_error)
    both = math.hypot(float(found.standard_error), float(differences.standard_error))
    assert abs(float(found.gradient - differences.gradient)) < 4 * both
    assert both < 0.25 * float(differences.gradient)


@tx.readout
def mean_cosine(model, state):
    return jnp.cos(state.phase).mean()


# Finite differences of plain functions


class Line(eqx.Module):
    """Two leaves to differentiate by."""

    slope: Array = eqx.field(converter=numeric)
    offset: Array = eqx.field(converter=numeric)


def both(model):
    return model.slope, model.offset


def cubic(model, key):
    noise = jax.random.normal(key)
    return (model.slope**3).sum() + noise * model.offset + 5.0 * jax.random.normal(key, (3,))[2]


def test_leaves_steps_and_correlation(x64):
    model = Line(jnp.asarray([[1.0, 2.0], [-1.0, 0.5]]), jnp.asarray(0.0))
    found = finite_differences(cubic, model, where=both, key=KEY, repeats=5, step=(0.1, 0.5))
    keys = [jax.random.fold_in(KEY, repeat) for repeat in range(5)]
    noise = np.asarray([float(jax.random.normal(key)) for key in keys])
    # (x+h)³ − (x−h)³ = 2h (3x² + h²), exactly; sums of float64 otherwise.
    slope = np.asarray(model.slope)
    np.testing.assert_allclose(found.gradient[0], 3 * slope**2 + 0.01, atol=1e-12)
    np.testing.assert_allclose(found.truncation[0], 0.01, atol=1e-12)
    np.testing.assert_allclose(found.standard_error[0], 0.0, atol=1e-12)
    assert float(found.gradient[1]) == pytest.approx(noise.mean(), abs=1e-12)
    assert float(found.standard_error[1]) == pytest.approx(noise.std(ddof=1) / 5**0.5, abs=1e-12)
    np.testing.assert_allclose(found.correlation[0], 1.0, atol=1e-12)
    far = found.z((found.gradient[0] + 1.0, found.gradient[1] + 2 * found.standard_error[1]))
    assert float(far[1]) == pytest.approx(2.0) and np.all(far[0] > 1e10)
    same = found.z(found.gradient)
    assert all(np.all(np.asarray(one) == 0) for one in same)
    own = finite_differences(cubic, model, where=lambda m: m.slope, key=KEY, repeats=2)
    # By default h = 2^(−52/3)·1.25: h² = 6e-11, and 1e-15 of rounding over h.
    np.testing.assert_allclose(own.gradient, 3 * slope**2, atol=1e-9)


def test_a_step_too_short_for_the_precision():
    model = Line([1.0, 2.0], 0.0)
    found = finite_differences(
        lambda m, key: (m.slope**3).sum() + 1.0, model, where=both, key=KEY, repeats=2, step=1e-6
    )
    assert "too short for the precision at .slope[" in found.reason
    assert "pass a longer step=" in found.reason


# Bad input


def ask(model=None, state=None, statistic=cosine, **options):
    model = coupled() if model is None else model
    state = tx.init(model, key=KEY, members=4) if state is None else state
    return girsanov(statistic, model, state, **{"where": strength, "dt": DT, "steps": 3, **options})


def loud_event():
    changes = {"loud": tx.Change(lambda m: m.noise.intensity, [0.1], [0.3])}
    return tx.scheduled(coupled(), changes)


def silenced():
    changes = {"quiet": tx.Change(lambda m: m.noise.intensity, [0.0], [0.0])}
    return tx.scheduled(coupled(), changes)


def given():
    return tx.PhaseOscillators(OMEGA, tx.MeanField(1.0), tx.GivenNoise(np.zeros((9, 3))))


BAD = {
    "silent": (
        lambda: ask(tx.PhaseOscillators(OMEGA, tx.MeanField(1.0))),
        ValueError,
        "a model with no noise; expected tx.WhiteNoise.* Fix: use tx.finite_differences",
    ),
    "given": (lambda: ask(given()), ValueError, "a model with GivenNoise; .* known likelihood"),
    "law": (
        lambda: ask(coupled(tx.WhiteNoise(0.1, "two_point"))),
        ValueError,
        "increments='two_point'; expected normal ones",
    ),
    "zero": (
        lambda: ask(coupled(tx.WhiteNoise([0.1, 0.0, 0.2]))),
        ValueError,
        r"a noise intensity of 0 at \[1\]; expected D > 0 for every oscillator",
    ),
    "zero for all": (lambda: ask(coupled(tx.WhiteNoise(0.0))), ValueError, "intensity of 0; exp"),
    "noise": (
        lambda: ask(where=lambda m: m.noise.intensity),
        ValueError,
        "selects a parameter of the noise; .* Fix: use tx.finite_differences, or while",
    ),
    "event of noise": (
        lambda: ask(loud_event(), where=lambda m: m["loud"].values),
        ValueError,
        "selects a parameter of the noise",
    ),
    "silenced": (
        lambda: ask(silenced(), where=lambda m: m.system.coupling.strength),
        FloatingPointError,
        "a score that is not finite, of member 0; .* keep noise on every oscillator",
    ),
    "infinite": (
        lambda: ask(statistic=lambda sol: cosine(sol) / 0.0),
        FloatingPointError,
        "a statistic that is not finite, of member 0",
    ),
    "one member": (
        lambda: ask(state=tx.init(coupled(), key=KEY, members=1)),
        ValueError,
        "got 1 member; expected at least 2",
    ),
    "members": (
        lambda: ask(state=tx.init(coupled(), key=KEY)),
        ValueError,
        r"a state with the axes \(\); expected members",
    ),
    "statistic": (lambda: ask(statistic=3), TypeError, "statistic=3; expected a function"),
    "mean": (lambda: ask(statistic=lambda sol: cosine(sol).mean()), ValueError, r"shape \(4,\)"),
    "model": (lambda: ask(model=3, state=3), TypeError, "model=3; .* tx.PhaseOscillators"),
}

SMALL = Line([1.0, 2.0], 0.0)
STILL = tx.PhaseOscillators(OMEGA, noise=tx.WhiteNoise(0.1))


def total(model, key):
    return model.slope.sum()


def differ(loss=total, model=SMALL, **options):
    options = {"where": lambda m: m.slope, "key": KEY, "repeats": 2, **options}
    return finite_differences(loss, model, **options)


BAD |= {
    "loss": (lambda: differ(3), TypeError, "loss=3; expected a function"),
    "arguments": (lambda: differ(lambda m: 1.0), TypeError, r"called with \(model, key\)"),
    "several": (lambda: differ(lambda m, k: m.slope), ValueError, r"a loss of shape \(2,\)"),
    "integer": (lambda: differ(lambda m, k: 1), ValueError, "a loss of int; expected one real"),
    "not finite": (
        lambda: differ(lambda m, k: total(m, k) / 0.0, where=both),
        FloatingPointError,
        "a loss that is not finite beside the present value of .slope",
    ),
    "repeats": (lambda: differ(repeats=1), ValueError, "repeats=1; expected an integer ≥ 2"),
    "step": (lambda: differ(step=-1.0), ValueError, "step = -1.0; expected finite numbers > 0"),
    "no number": (lambda: differ(step="a"), TypeError, "step='a'; expected a number > 0"),
    "steps": (lambda: differ(step=(0.1, 0.1)), ValueError, "2 steps for 1 leaves"),
    "lost": (lambda: differ(step=1e-9), ValueError, "lost in the rounding of float32"),
    "domain": (
        lambda: differ(cosine_loss(2), STILL, where=lambda m: m.noise.intensity, step=0.2),
        ValueError,
        "a step of .noise.intensity out of its domain, to WhiteNoise.intensity = -0.1",
    ),
    "traced": (
        lambda: jax.jit(lambda m: differ(model=m).gradient)(SMALL),
        ValueError,
        "finite differences inside jit, grad or vmap",
    ),
    "structure": (
        lambda: differ().z((SMALL.slope,)),
        ValueError,
        r"a gradient of the shapes \[\(2,\)\]; .* the structure of this one",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        call()
