"""Thresholds: the rule, plain loops in float64, closed forms, derivatives, and bad input."""

import math
from functools import partial
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from tauax._types import numeric
from tauax.thresholds import (
    EmaCuts,
    FixedCuts,
    Hard,
    QuantileCuts,
    Soft,
    StraightThrough,
    Thresholds,
)

DT, STEPS, ENTITIES = 0.05, 50, 3
WIDTH, TIME, RATE, BAND = 0.12, 0.4, 2.0, 0.07

CUTS = {
    "fixed": lambda: FixedCuts((-0.3, 0.3)),
    "fixed_one": lambda: FixedCuts((0.1,)),
    "fixed_four": lambda: FixedCuts((-0.6, -0.1, 0.2, 0.8)),
    "ema": lambda: EmaCuts((-0.8, 0.8), time=TIME, mean=0.1, scale=0.4),
    "quantile": lambda: QuantileCuts((0.25, 0.75), RATE, BAND, (-0.3, 0.3)),
}
DECISIONS = {
    "hard": Hard,
    "soft": lambda: Soft(WIDTH),
    "straight": lambda: StraightThrough(WIDTH),
}
PASTS = {
    "none": {},
    "hysteresis": {"hysteresis": 0.2},
    "dwell": {"dwell": 0.2},
    "both": {"hysteresis": 0.2, "dwell": 0.2},
}


def bank_of(cuts="fixed", decision="hard", past="none"):
    return Thresholds(CUTS[cuts](), DECISIONS[decision](), **PASTS[past])


def noisy(steps=STEPS, seed=0, shape=(ENTITIES,)):
    """A slow wave with noise, which passes every cut."""
    noise = np.random.default_rng(seed).normal(size=(steps, *shape))
    wave = np.sin(0.2 * np.arange(steps)).reshape(-1, *[1] * len(shape))
    return 0.6 * wave + 0.4 * noise


@eqx.filter_jit
def run(bank, signal, dt=DT):
    """(codes, cuts, what advance remembers of each code) at every step, and the last memory."""

    def one(memory, value):
        code, cuts = bank(memory, value), bank.cuts_at(memory)
        memory = bank.advance(memory, value, dt)
        above = None if memory is None else memory.above
        return memory, (code, jnp.broadcast_to(cuts, (*value.shape, cuts.shape[-1])), above)

    start = bank.init(shape=signal.shape[1:], dtype=signal.dtype)
    last, found = jax.lax.scan(one, start, signal)
    return *found, last


@eqx.filter_jit
def read(bank, h):
    return bank(None, h), bank.memberships(None, h)


# The same by plain loops in float64.


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def followed(cuts, signal, dt):
    """The cuts that each value of one series meets, without hysteresis."""
    met = []
    if isinstance(cuts, EmaCuts):
        mean, variance = float(cuts.mean), float(cuts.scale) ** 2
        share = 1.0 - math.exp(-dt / float(cuts.time))
        for value in signal:
            met.append(mean + np.asarray(cuts.offsets, float) * math.sqrt(variance))
            variance = (1.0 - share) * (variance + share * (value - mean) ** 2)
            mean = mean + share * (value - mean)
    elif isinstance(cuts, QuantileCuts):
        quantiles = np.asarray(cuts.start, float)
        for value in signal:
            met.append(np.sort(quantiles))
            below = [sigmoid((q - value) / float(cuts.bandwidth)) for q in quantiles]
            quantiles = quantiles + float(cuts.rate) * dt * (np.asarray(cuts.levels) - below)
    else:
        met = [np.asarray(cuts.values, float)] * len(signal)
    return met


def decided(decision, value, cuts):
    """How far the value exceeds each cut."""
    if isinstance(decision, Soft):
        return np.asarray([sigmoid((value - c) / float(decision.temperature)) for c in cuts])
    lower = np.arange(len(cuts)) < (len(cuts) - 1) / 2
    return np.where(lower, value >= cuts, value > cuts).astype(float)


def offline(bank, signal, dt=DT):
    """Codes and cuts of one series, one value after another."""
    width = 0.0 if bank.hysteresis is None else float(bank.hysteresis)
    dwell = 0.0 if bank.dwell is None else float(bank.dwell)
    above, level, begun, codes, met = 0.5, None, 0, [], []
    for step, cuts in enumerate(followed(bank.cuts, signal, dt)):
        met.append(cuts + width * (0.5 - above))
        new = decided(bank.decision, signal[step], met[-1])
        reached = (new > 0.5).sum()
        if level is None or reached == level or (step - begun) * dt >= dwell - 1e-3 * dt:
            begun = begun if reached == level else step
            above, level = new, reached
        codes.append(above.sum() - len(cuts) / 2)
    return np.asarray(codes), np.asarray(met)


CASES = [
    ("fixed", "hard", "both"),
    ("fixed", "soft", "dwell"),
    ("fixed_one", "straight", "dwell"),
    ("fixed_four", "soft", "hysteresis"),
    ("fixed_four", "straight", "none"),
    ("ema", "hard", "dwell"),
    ("ema", "soft", "none"),
    ("ema", "straight", "both"),
    ("quantile", "hard", "none"),
    ("quantile", "soft", "both"),
    ("quantile", "straight", "hysteresis"),
]


@pytest.mark.parametrize(("cuts", "decision", "past"), CASES)
def test_a_run_is_the_plain_loop(x64, cuts, decision, past):
    bank, signal = bank_of(cuts, decision, past), noisy()
    codes, met, above, last = run(bank, jnp.asarray(signal))
    wanted = [offline(bank, series) for series in signal.T]
    # 50 steps of a few roundings of 1e-16, which hysteresis of w > 4T may amplify at each cut.
    bounds = {"rtol": 0, "atol": 1e-11}
    np.testing.assert_allclose(codes, np.stack([code for code, _ in wanted], axis=1), **bounds)
    np.testing.assert_allclose(met, np.stack([cut for _, cut in wanted], axis=1), **bounds)
    assert np.ptp(codes) > 0.9
    assert (np.diff(met, axis=-1) > 0).all()
    if past == "none":
        assert last is None or (last.above == () and last.wait is None)
        return
    # What is read is what is then remembered, to the bit.
    np.testing.assert_array_equal(codes, sum(above[1:], above[0]) - len(above) / 2)


# Hard: the rule.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hard_is_the_rule(x64, dtype):
    low, high = np.asarray([-0.3, 0.3], dtype)
    near = [np.nextafter(cut, to) for cut in (low, high) for to in (low - 1, high + 1)]
    h = np.asarray([-np.inf, -2.0, low, 0.0, high, 2.0, np.inf, *near], dtype)
    wanted = np.where(h > high, 1, np.where(h < low, -1, 0))
    bank = Thresholds((low, high))
    code, shares = read(bank, jnp.asarray(h))
    assert code.dtype == dtype
    assert code.shape == h.shape
    np.testing.assert_array_equal(code, wanted)
    np.testing.assert_array_equal(shares, wanted[:, None] == np.asarray([-1, 0, 1]))
    assert shares.dtype == dtype


def test_the_smallest_difference_decides():
    # Their difference is subnormal, which may count as 0.
    cut = np.finfo(np.float32).tiny
    h = jnp.asarray([cut, np.nextafter(cut, np.float32(1))])
    np.testing.assert_array_equal(read(Thresholds((-1.0, cut)), h)[0], [0, 1])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_value_on_a_cut_is_nearer_the_middle(count):
    cuts = np.arange(count) - (count - 1) / 2
    codes, _ = read(Thresholds(cuts), jnp.asarray(cuts, jnp.float32))
    between = np.arange(count + 1) - count / 2
    # The lower one of two that are as near.
    wanted = [low if abs(low) <= abs(high) else high for low, high in pairwise(between)]
    np.testing.assert_array_equal(codes, wanted)


@pytest.mark.parametrize("decision", DECISIONS)
def test_not_a_number_has_no_code(decision):
    bank = bank_of("fixed", decision, "both")
    h = jnp.asarray([jnp.nan, 0.5])
    codes = run(bank, jnp.stack([h, h]))[0]
    assert np.isnan(codes[:, 0]).all()
    assert (codes[:, 1] > 0.5).all()


# Laws of every bank.


def floats(low, high):
    return st.floats(low, high, width=32, allow_subnormal=False)


several_cuts = st.lists(floats(-4.0, 4.0), min_size=3, max_size=3, unique=True).map(sorted)
values = st.lists(floats(-6.0, 6.0), min_size=8, max_size=8)
# Every example of a law meets the same compiled function.
law = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("decision", [Hard, Soft, StraightThrough])
def test_codes_and_memberships(decision):
    @law
    @given(several_cuts, values, floats(2.0**-10, 4.0))
    def check(cuts, h, temperature):
        bank = Thresholds(cuts, decision() if decision is Hard else decision(temperature))
        code, shares = map(np.asarray, read(bank, jnp.sort(jnp.asarray(h, jnp.float32))))
        # 2e-6: some roundings of sums of numbers up to 3, and of the sigmoid's.
        assert (np.diff(code) >= -2e-6).all()
        assert (np.abs(code) <= 1.5 + 2e-6).all()
        assert (shares >= 0).all()
        np.testing.assert_allclose(shares.sum(axis=-1), 1.0, atol=2e-6)
        np.testing.assert_allclose(shares @ [-1.5, -0.5, 0.5, 1.5], code, atol=2e-6)
        if decision is not Soft:
            assert np.isin(code, [-1.5, -0.5, 0.5, 1.5]).all()
            assert np.isin(shares, [0, 1]).all()

    check()


@law
@given(several_cuts, values, floats(2.0**-10, 4.0))
def test_straight_through_is_hard_forward_and_soft_backward(cuts, h, temperature):
    h = jnp.asarray(h, jnp.float32)
    weight = jnp.cos(jnp.arange(8.0))
    hard, soft, straight = (
        _slopes(Thresholds(cuts, decision), h, weight)
        for decision in (Hard(), Soft(temperature), StraightThrough(temperature))
    )
    np.testing.assert_array_equal(straight[0], hard[0])
    assert np.signbit(straight[0]).tolist() == np.signbit(hard[0]).tolist()
    assert not np.asarray(hard[2]).any()
    np.testing.assert_array_equal(hard[1].cuts.values, 0.0)
    for one, other in zip(jax.tree.leaves(soft[1:]), jax.tree.leaves(straight[1:]), strict=True):
        np.testing.assert_array_equal(one, other)


@eqx.filter_jit
def _slopes(bank, h, weight):
    """The codes, and the derivatives of a weighted sum of them by the bank and the signal."""

    def value(bank, h):
        code = bank(None, h)
        return (weight * code).sum(), code

    (_, code), slopes = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(bank, h)
    return code, *slopes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_soft_becomes_hard(x64, dtype):
    cuts = np.asarray([-0.3, 0.25, 0.3], dtype)
    h = np.concatenate([cuts, np.linspace(-1, 1, 34), [-1e30, 1e30, -np.inf, np.inf]])
    h = jnp.asarray(h, dtype)
    hard = np.asarray(read(Thresholds(cuts), h)[0])
    at_cut = np.isin(np.asarray(h), cuts)
    assert at_cut[:3].all()
    info = jnp.finfo(dtype)
    smallest = float(info.smallest_subnormal)
    for temperature in (smallest, float(info.tiny), 1e-30, 1e-20, 1e-18, 1e-9):
        bank = Thresholds(cuts, Soft(np.asarray(temperature, dtype)))
        code, by_bank, by_signal = _slopes(bank, h, jnp.ones_like(h))
        np.testing.assert_array_equal(np.asarray(code)[~at_cut], hard[~at_cut])
        np.testing.assert_array_equal(np.asarray(code)[:3], [-1.0, 0.0, 1.0])
        for slope in jax.tree.leaves((by_bank, by_signal)):
            assert np.isfinite(slope).all(), temperature


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("decision", [Soft, StraightThrough])
def test_derivatives_are_finite_at_any_temperature(x64, dtype, decision):
    info = jnp.finfo(dtype)
    low, high = math.log10(float(info.smallest_subnormal)), math.log10(float(info.max)) - 3
    for temperature in 10.0 ** np.linspace(low, high, 25):
        # Apart by nothing, by the smallest number, and by T times a few factors.
        apart = np.outer([-1, 1], [0, float(info.tiny), *temperature * np.arange(0.0, 80.0, 7.0)])
        bank = Thresholds((0.0,), decision(np.asarray(temperature, dtype)))
        for h in (jnp.asarray(apart, dtype), jnp.asarray(1.0 + apart, dtype)):
            bank = eqx.tree_at(lambda b: b.cuts.values, bank, h[0, :1])
            code, *slopes = _slopes(bank, h, jnp.ones_like(h))
            assert (np.abs(code) <= 0.5).all()
            for slope in jax.tree.leaves(slopes):
                assert np.isfinite(slope).all(), temperature


def test_soft_is_the_logistic_function(x64):
    h = np.linspace(-1.0, 1.0, 101)
    bank = Thresholds((-0.3, 0.3), Soft(0.05))
    wanted = stats.logistic.cdf(h, -0.3, 0.05) + stats.logistic.cdf(h, 0.3, 0.05) - 1.0
    # A value 40 T away counts as decided, which moves 4e-18.
    np.testing.assert_allclose(bank(None, jnp.asarray(h)), wanted, rtol=0, atol=1e-15)


@pytest.mark.parametrize("cuts", ["fixed_four", "ema", "quantile"])
def test_cuts_are_ascending_whatever_training_does(x64, cuts):
    bank = bank_of(cuts, "soft")
    signal = jnp.asarray(noisy())
    wanted = run(bank, signal)[:2]

    def numbers(bank):
        name = {"fixed_four": "values", "ema": "offsets", "quantile": "levels"}[cuts]
        return getattr(bank.cuts, name)

    turned = eqx.tree_at(numbers, bank, numbers(bank)[::-1])
    if cuts == "quantile":
        turned = eqx.tree_at(lambda b: b.cuts.start, turned, bank.cuts.start[::-1])
    for one, other in zip(run(turned, signal)[:2], wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    random = np.random.default_rng(3)
    for _ in range(10):
        leaves, structure = jax.tree.flatten(bank)
        moved = [leaf + random.normal(size=leaf.shape) for leaf in leaves]
        _, met, _, _ = run(structure.unflatten(moved), signal)
        finite = np.isfinite(np.asarray(met)).all()
        assert not finite or (np.diff(met, axis=-1) >= 0).all()


def test_equal_cuts_share_the_derivative(x64):
    def code(values, h):
        bank = eqx.tree_at(lambda b: b.cuts.values, Thresholds((-1.0, 1.0), Soft(0.1)), values)
        return bank(None, h)

    slope = jax.grad(code)(jnp.asarray([0.2, 0.2]), jnp.asarray(0.25))
    wanted = -stats.logistic.pdf(0.05 / 0.1) / 0.1
    np.testing.assert_allclose(slope, [wanted, wanted], rtol=1e-12)


# Hysteresis and dwell.


def passings(codes):
    """By how many levels the code moves in all."""
    return np.abs(np.diff(np.asarray(codes), axis=0)).sum(axis=0)


@pytest.mark.parametrize("cuts", ["fixed_one", "fixed_four", "ema", "quantile"])
@pytest.mark.parametrize("seed", [1, 2])
def test_hysteresis_never_passes_more_often(cuts, seed):
    signal = jnp.asarray(noisy(2000, seed), jnp.float32)
    plain = passings(run(bank_of(cuts), signal)[0])
    before = plain
    for width in (0.0, 0.1, 0.5):
        bank = Thresholds(CUTS[cuts](), hysteresis=width)
        found = passings(run(bank, signal)[0])
        assert (found <= before).all() if width else (found == plain).all()
        before = found
    assert (found < plain).all()


def test_hysteresis_is_a_schmitt_trigger():
    # Up at 0.4, down at 0.2, and at first at 0.3.
    h = [0.35, 0.25, 0.19, 0.35, 0.39, 0.41, 0.21, 0.45, 0.1]
    codes, cuts, _, _ = run(Thresholds((0.3,), hysteresis=0.2), jnp.asarray(h)[:, None])
    np.testing.assert_array_equal(codes[:, 0] + 0.5, [1, 1, 0, 0, 0, 1, 1, 1, 0])
    # A rounding of 0.3.
    wanted = [0.3, 0.2, 0.2, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2]
    np.testing.assert_allclose(cuts[:, 0, 0], wanted, atol=1e-7)


def test_cuts_with_hysteresis_are_those_that_are_met():
    signal = jnp.asarray(noisy(400), jnp.float32)
    codes, cuts, _, _ = run(bank_of("ema", "hard", "hysteresis"), signal)
    low, high = cuts[..., 0], cuts[..., 1]
    met = np.where(signal > high, 1, np.where(signal < low, -1, 0))
    np.testing.assert_array_equal(codes, met)


def spans(codes):
    """How many steps each level lasted, the last one left out, in one series."""
    return np.diff(np.flatnonzero(np.r_[True, np.diff(codes) != 0]))


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("dwell", [0.07, 0.2, 1.0])
def test_levels_last(decision, dwell):
    steps = 1500
    signal = jnp.asarray(noisy(steps), jnp.float32)
    bank = Thresholds((-0.3, 0.3), DECISIONS[decision](), dwell=dwell)
    codes, _, above, _ = run(bank, signal)
    levels = sum(np.asarray(one) > 0.5 for one in above)
    for series in levels.T:
        lasted = spans(series)
        assert lasted.min() == math.ceil(dwell / DT)
        assert len(lasted) <= steps * DT / dwell
    if decision != "soft":
        np.testing.assert_array_equal(codes, levels - 1)


def test_soft_values_move_within_a_level():
    bank = Thresholds((0.0,), Soft(0.1), dwell=0.2)
    h = [0.05, 0.1, -0.2, -0.2, -0.2, -0.1]
    found = run(bank, jnp.asarray(h)[:, None])[0][:, 0] + 0.5
    sigma = stats.logistic.cdf(np.asarray(h) / 0.1)
    # The third and the fourth value come 0.1 and 0.15 s after the level began.
    wanted = [sigma[0], sigma[1], sigma[1], sigma[1], sigma[4], sigma[5]]
    np.testing.assert_allclose(found, wanted, atol=3e-7)  # a few roundings


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("dt", "steps"), [(0.1, 1), (0.1, 3), (0.1, 7), (1 / 3, 6), (0.001, 977), (1e-4, 30_000)]
)
def test_rounding_adds_no_step(x64, dtype, dt, steps):
    """A signal that would leave every level at once leaves it after exactly the dwell."""

    @jax.jit
    def changes(dwell, dt):
        bank = Thresholds((0.0,), dwell=dwell)

        def one(state, _):
            memory, before = state
            signal = -before
            code = bank(memory, signal)
            return (bank.advance(memory, signal, dt), code), code

        start = bank.init(shape=(), dtype=dtype), jnp.asarray(-1.0, dtype)
        return jax.lax.scan(one, start, length=5 * steps)[1]

    for factor in (1.0, 1.0 - 1e-4 / steps):
        codes = changes(jnp.asarray(factor * steps * dt, dtype), jnp.asarray(dt, dtype))
        assert set(spans(np.asarray(codes))) == {steps}
    if steps <= 10:  # a hundredth of a step more than that is another step
        codes = changes(jnp.asarray((steps + 0.01) * dt, dtype), jnp.asarray(dt, dtype))
        assert set(spans(np.asarray(codes))) == {steps + 1}


@eqx.filter_jit
def advance(bank, memory, value, dt):
    return bank.advance(memory, value, dt)


def test_dwell_counts_seconds_of_any_length():
    bank = Thresholds((0.0,), dwell=0.5)
    up, down = jnp.asarray(1.0), jnp.asarray(-1.0)
    memory = advance(bank, bank.init(shape=(), dtype=up.dtype), up, jnp.asarray(0.3))
    assert bank(memory, down) == 0.5
    memory = advance(bank, memory, down, jnp.asarray(0.1))
    assert bank(memory, down) == 0.5
    memory = advance(bank, memory, down, jnp.asarray(0.1))
    assert bank(memory, down) == -0.5


# Moving averages.


def test_a_held_value_may_be_cut_in_two(x64):
    cuts = EmaCuts((-1.0, 1.0), time=0.7, mean=0.3, scale=2.0)
    start = cuts.init((), jnp.float64)
    value = jnp.asarray(1.5)
    whole = cuts.advance(start, value, jnp.asarray(0.5))
    parts = cuts.advance(cuts.advance(start, value, jnp.asarray(0.2)), value, jnp.asarray(0.3))
    np.testing.assert_allclose(parts, whole, rtol=1e-14)  # a few roundings


@pytest.mark.slow
def test_averages_of_independent_values(x64):
    mean, spread, share, steps, count = 1.3, 0.6, 0.1, 4000, 200
    random = np.random.default_rng(7)
    signal = jnp.asarray(random.normal(mean, spread, (steps, count)))
    time = -DT / math.log1p(-share)
    bank = Thresholds(EmaCuts((-0.8, 0.0, 0.8), time=time, mean=mean, scale=spread))
    cuts = np.asarray(run(bank, signal)[1])[200:]
    middle = cuts[..., 1]
    effective = share / (2.0 - share)
    # The samples are correlated over 1/share steps; entities are independent.
    error = middle.mean(axis=0).std() / math.sqrt(count)
    assert abs(middle.mean() - mean) < 4 * error
    each = ((middle - mean) ** 2).mean(axis=0)
    assert abs(each.mean() - spread**2 * effective) < 4 * each.std() / math.sqrt(count)
    each = (((cuts[..., 2] - cuts[..., 0]) / 1.6) ** 2).mean(axis=0)
    assert abs(each.mean() - spread**2 * (1 - effective)) < 4 * each.std() / math.sqrt(count)


def test_cuts_settle_at_deviations():
    """A slow average of normal values: cuts at μ + zσ within its known deviation."""
    mean, spread, share, count = -0.4, 0.5, 0.01, 500
    signal = np.random.default_rng(8).normal(mean, spread, (1000, count))
    cuts = EmaCuts((-0.8, 0.8), time=-DT / math.log1p(-share))
    met = np.asarray(run(Thresholds(cuts), jnp.asarray(signal, jnp.float32))[1])[-1]
    # Var m = σ²a/(2 − a), and Var s is half of it for normal values, independent of m.
    deviation = spread * math.sqrt(share / (2 - share) * (1 + 0.8**2 / 2))
    bias = 0.8 * spread * share / 2  # of s, by √(1 − a/2) and Jensen, and as much to spare
    for found, wanted in zip(met.T, mean + np.asarray([-0.8, 0.8]) * spread, strict=True):
        assert abs(found.mean() - wanted) < 4 * deviation / math.sqrt(count) + bias
        # The standard deviation of a standard deviation.
        assert abs(found.std() / deviation - 1) < 4 / math.sqrt(2 * count)


# Running quantiles.


def settled(level, bandwidth, spread=1.0):
    """Where E σ((q − h)/b) = p for normal h: the distribution of h plus logistic noise."""
    z, weight = np.polynomial.hermite_e.hermegauss(120)
    weight = weight / weight.sum()

    def excess(q):
        return (weight * stats.logistic.cdf((q - spread * z) / bandwidth)).sum() - level

    return optimize.brentq(excess, -5, 5, xtol=1e-13)


def test_the_bias_is_of_second_order():
    wanted = stats.norm.ppf(0.75)
    for bandwidth in (0.2, 0.3):
        # f'/f = −q for normal values of deviation 1.
        predicted = wanted + math.pi**2 / 6 * bandwidth**2 * wanted
        assert abs(settled(0.75, bandwidth) - predicted) < 2 * bandwidth**4


@pytest.mark.slow
def test_quantiles_settle(x64):
    levels, rate, bandwidth, count = (0.2, 0.5, 0.9), 0.4, 0.3, 200
    signal = jnp.asarray(np.random.default_rng(9).normal(size=(6000, count)))
    bank = Thresholds(QuantileCuts(levels, rate, bandwidth, (-1.0, 0.0, 1.0)))
    cuts = np.asarray(run(bank, signal)[1])[1000:].mean(axis=0)
    for k, level in enumerate(levels):
        error = cuts[:, k].std() / math.sqrt(count)
        # The mean of q is off its fixed point by its variance, ~ η·dt, times curvatures of order 1.
        assert abs(cuts[:, k].mean() - settled(level, bandwidth)) < 4 * error + rate * DT / 4


@pytest.mark.parametrize("relative", [0.99, 40.0])
def test_quantiles_keep_their_order(relative):
    """Without sorting while η·dt < 4b, and with it always."""
    bandwidth = 0.05
    cuts = QuantileCuts(
        (0.3, 0.31, 0.6), relative * 4 * bandwidth / DT, bandwidth, (-0.001, 0.0, 0.001)
    )
    signal = jnp.asarray(np.random.default_rng(10).normal(0.0, 0.05, (500, 20)), jnp.float32)
    _, met, _, last = run(Thresholds(cuts), signal)
    assert (np.diff(met, axis=-1) >= 0).all()
    if relative < 1:
        assert (np.diff(np.stack(last.cuts), axis=0) > 0).all()


# Derivatives.

SMOOTH = [("ema", "dwell"), ("quantile", "hysteresis")]


def outcome(point):
    """A number that every leaf, every value and dt move."""
    bank, signal, dt = point

    def one(memory, value):
        shares = bank.memberships(memory, value)
        found = shares @ jnp.cos(jnp.arange(1.0 * shares.shape[-1])) * jnp.sin(5.0 * value)
        found = found.mean() + 0.1 * jnp.sin(bank.cuts_at(memory)).mean()
        return bank.advance(memory, value, dt), found

    start = bank.init(shape=signal.shape[1:], dtype=signal.dtype)
    return jax.lax.scan(one, start, signal)[1].sum()


value = eqx.filter_jit(outcome)
reverse = eqx.filter_jit(eqx.filter_grad(outcome))


@pytest.mark.parametrize(("cuts", "past"), SMOOTH)
def test_derivatives_agree(x64, cuts, past):
    bank = bank_of(cuts, "soft", past)
    point = bank, jnp.asarray(noisy(STEPS, 4)), jnp.asarray(DT)
    gradient = reverse(point)
    leaves, structure = jax.tree.flatten(point)
    slopes = jax.tree.leaves(gradient)
    random, nudge = np.random.default_rng(5), 1e-6
    for place, (leaf, slope) in enumerate(zip(leaves, slopes, strict=True)):
        direction = random.normal(size=leaf.shape)
        ends = []
        for by in (nudge, -nudge):
            moved = leaves.copy()
            moved[place] = leaf + by * direction
            ends.append(float(value(structure.unflatten(moved))))
        difference = (ends[0] - ends[1]) / (2 * nudge)
        # Curvatures up to 1/T³ ~ 10³ times 10⁻¹², and roundings of 1e-15 over 1e-6.
        assert float((slope * direction).sum()) == pytest.approx(difference, rel=1e-6, abs=3e-9)
    if bank.dwell is not None:
        assert gradient[0].dwell == 0


@pytest.mark.parametrize(
    ("cuts", "decision", "past"),
    [("ema", "straight", "hysteresis"), ("quantile", "soft", "none")],
)
def test_derivatives_are_finite_in_delicate_places(cuts, decision, past):
    """A constant signal on a cut, one without variance, and one that jumps far, in float32."""
    places = {
        "ema": lambda b: b.cuts.time,
        "quantile": lambda b: b.cuts.bandwidth,
    }
    tiny = {"ema": 1e-4, "quantile": 1e-30}
    far = jnp.where(jnp.arange(20) % 3 == 0, 1e15, 0.0)
    bank = bank_of(cuts, decision, past)
    for one in (bank, eqx.tree_at(places[cuts], bank, numeric(tiny[cuts]))):
        for signal in (jnp.zeros(20), jnp.full(20, 0.3), far):
            for slope in jax.tree.leaves(reverse((one, signal, jnp.asarray(DT)))):
                assert np.isfinite(slope).all()


def test_straight_through_has_the_soft_derivative_along_a_run(x64):
    """With cuts that depend on the signal alone, as derivatives then meet at the same places."""
    signal = jnp.asarray(noisy())

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def slopes(bank, signal):
        return (run(bank, signal)[0] * jnp.cos(jnp.arange(STEPS * 1.0))[:, None]).sum()

    cuts = EmaCuts((0.3,), time=TIME)
    both = (slopes(Thresholds(cuts, DECISIONS[kind]()), signal) for kind in ("soft", "straight"))
    for one, other in zip(*map(jax.tree.leaves, both), strict=True):
        # The same sums, in programs that are compiled apart.
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


# One memory, one program.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("cuts", "decision", "past"), CASES)
def test_memory_keeps_its_form(x64, dtype, cuts, decision, past):
    # The numbers of the bank have another dtype than the signal.
    bank = bank_of(cuts, decision, past)
    h = jax.ShapeDtypeStruct((4, 2), dtype)
    start = jax.eval_shape(lambda: bank.init(shape=h.shape, dtype=h.dtype))
    after = jax.eval_shape(lambda m, h: bank.advance(m, h, DT), start, h)
    forms = [
        [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)]
        for tree in (start, after)
    ]
    assert forms[0] == forms[1]
    assert {form[:2] for form in forms[0]} <= {((4, 2), jnp.dtype(dtype))}
    assert jax.tree.structure(start) == jax.tree.structure(after)
    code = jax.eval_shape(bank, start, h)
    assert (code.shape, code.dtype, code.weak_type) == (h.shape, dtype, False)
    shares = jax.eval_shape(bank.memberships, start, h)
    levels = jax.eval_shape(bank.cuts_at, start).shape[-1] + 1
    assert (shares.shape, shares.dtype) == ((4, 2, levels), dtype)


def test_a_plain_bank_remembers_nothing():
    bank = Thresholds((-0.3, 0.3), Soft(0.1))
    assert bank.init(shape=(2,), dtype=jnp.float32) is None
    assert bank.advance(None, jnp.zeros(2), DT) is None
    np.testing.assert_array_equal(bank.cuts_at(None), bank.cuts.values)


BATCHES = [
    ("ema", "soft", "both"),
    ("quantile", "soft", "none"),
]


@pytest.mark.parametrize(("cuts", "decision", "past"), BATCHES)
def test_the_same_bits_in_every_batch(cuts, decision, past):
    bank = bank_of(cuts, decision, past)
    signal = jnp.asarray(noisy(40, 6, (33, 5)), jnp.float32)
    mapped = jax.jit(jax.vmap(lambda signal: run(bank, signal)[0], in_axes=1, out_axes=1))
    whole = mapped(signal)
    for size in (2, 7):
        np.testing.assert_array_equal(mapped(signal[:, :size]), whole[:, :size])


@pytest.mark.parametrize("cuts", ["ema", "quantile"])
def test_one_bank_per_member(cuts):
    """Every number of the bank, with a leading axis of members."""
    bank = bank_of(cuts, "soft", {"ema": "dwell", "quantile": "hysteresis"}[cuts])
    members = 4
    scale = 1.0 + 0.05 * np.arange(members)
    many = jax.tree.map(
        lambda leaf: leaf * jnp.asarray(scale, leaf.dtype).reshape(-1, *[1] * leaf.ndim), bank
    )
    signal = jnp.asarray(noisy(40, 6, (members, 5)), jnp.float32)
    found = jax.vmap(run, in_axes=(0, 1), out_axes=1)(many, signal)[0]
    for member in range(members):
        one = jax.tree.map(lambda leaf: leaf[member], many)  # noqa: B023
        # 40 steps of a few roundings, in programs that are compiled apart.
        np.testing.assert_allclose(run(one, signal[:, member])[0], found[:, member], atol=1e-4)


def test_traced_numbers_pass():
    @jax.jit
    def code(cuts, temperature, h):
        bank = Thresholds(cuts, Soft(temperature), hysteresis=temperature, dwell=temperature)
        return bank(bank.init(shape=(), dtype=h.dtype), h)

    # In any order, as in training; nothing is known of traced numbers.
    found = code(jnp.asarray([0.3, -0.3]), jnp.asarray(0.1), jnp.asarray(0.5))
    wanted = Thresholds((-0.3, 0.3), Soft(0.1))(None, jnp.asarray(0.5))
    np.testing.assert_allclose(found, wanted, atol=3e-7)  # a few roundings

    def quantile(level):
        return QuantileCuts(level, 0.1, 0.1, (0.0,)).levels.sum()

    assert jax.grad(quantile)(jnp.asarray([0.5])).shape == (1,)


# Bad input.

BAD = {
    "cut_infinite": (lambda: Thresholds((-0.3, np.inf)), "FixedCuts.values.1. = inf; .* finite"),
    "cut_nan": (lambda: EmaCuts((np.nan, 1.0), 1.0), "EmaCuts.offsets.0. = nan; .* finite"),
    "cuts_descend": (lambda: Thresholds((0.3, -0.3)), "0.3.* is followed by -0.3.* sort them"),
    "cuts_equal": (lambda: Thresholds((0.5, 0.5)), "no two of them equal.* leave out one"),
    "cuts_equal_in_float32": (lambda: Thresholds((1.0, 1.0 + 1e-12)), "no two of them equal"),
    "no_cuts": (lambda: Thresholds(()), "shape .0,.; expected one number per cut, and at least"),
    "cut_without_axis": (lambda: Thresholds(0.3), "write them as a tuple, such as"),
    "cuts_of_members": (lambda: Thresholds(np.zeros((3, 2))), "goes through tx.per_member"),
    "offsets_descend": (lambda: EmaCuts((0.8, -0.8), 1.0), "EmaCuts.offsets out of order"),
    "no_time": (lambda: EmaCuts((0.0,), 0.0), "EmaCuts.time = 0.0; expected .* > 0"),
    "times": (lambda: EmaCuts((0.0,), (1.0, 2.0)), "EmaCuts.time of shape .2,.* give one number"),
    "no_scale": (lambda: EmaCuts((0.0,), 1.0, scale=0), "EmaCuts.scale = 0.0; expected .* > 0"),
    "mean": (lambda: EmaCuts((0.0,), 1.0, mean=np.nan), "EmaCuts.mean = nan; expected finite"),
    "levels_percent": (
        lambda: QuantileCuts((25, 75), 0.2, 0.05, (-0.3, 0.3)),
        "levels with 25.0; expected shares > 0 and < 1.* not percentages",
    ),
    "level_zero": (lambda: QuantileCuts((0.0, 0.5), 0.2, 0.1, (-1, 1)), "levels with 0.0"),
    "level_nan": (lambda: QuantileCuts((np.nan,), 0.2, 0.1, (0.0,)), "levels with nan"),
    "levels_descend": (
        lambda: QuantileCuts((0.7, 0.5), 0.2, 0.1, (-1, 1)),
        "QuantileCuts.levels out of order",
    ),
    "start_descends": (
        lambda: QuantileCuts((0.2, 0.5), 0.2, 0.1, (1, -1)),
        "QuantileCuts.start out of order",
    ),
    "lengths": (
        lambda: QuantileCuts((0.2, 0.5), 0.2, 0.1, (0.0,)),
        "2 levels and 1 starting cuts.* the same length",
    ),
    "rate": (lambda: QuantileCuts((0.5,), -1.0, 0.1, (0.0,)), "QuantileCuts.rate = -1.0"),
    "bandwidth": (lambda: QuantileCuts((0.5,), 1.0, 0.0, (0.0,)), "QuantileCuts.bandwidth = 0.0"),
    "temperature": (lambda: Soft(0.0), "Soft.temperature = 0.0; expected finite numbers > 0"),
    "temperatures": (lambda: Soft((0.1, 0.2)), "Soft.temperature of shape .2,.* one number"),
    "straight": (lambda: StraightThrough(-1.0), "StraightThrough.temperature = -1.0"),
    "straight_many": (lambda: StraightThrough((0.1,)), "temperature of shape .1,.* one number"),
    "hysteresis": (lambda: Thresholds((0.0,), hysteresis=-0.1), "Thresholds.hysteresis = -0.1"),
    "hysteresis_many": (
        lambda: Thresholds((-1.0, 1.0), hysteresis=(0.1, 0.2)),
        "Thresholds.hysteresis of shape .2,.* give one number",
    ),
    "dwell": (lambda: Thresholds((0.0,), dwell=-1), "Thresholds.dwell = -1.0; .* ≥ 0"),
    "decision": (lambda: Thresholds((0.0,), 0.1), "decision=0.1; .* pass tx.Hard.., tx.Soft.0.05."),
    "decision_class": (lambda: Thresholds((0.0,), Soft), "decision=the class Soft; .* instance"),
    "cuts_class": (lambda: Thresholds(EmaCuts), "expected a real number or an array of numbers"),
    "cuts_complex": (lambda: Thresholds((1j, 2j)), "expected a real number"),
    "signal": (
        lambda: Thresholds((0.0,))(None, jnp.arange(3)),
        "a signal of dtype int32; expected floating.* signal.astype",
    ),
    "no_memory": (
        lambda: Thresholds((0.0,), dwell=1.0)(None, jnp.zeros(3)),
        "no memory; .* start from bank.init",
    ),
    "no_memory_to_advance": (
        lambda: Thresholds(EmaCuts((0.0,), 1.0)).advance(None, jnp.zeros(3), DT),
        "no memory; .* start from bank.init",
    ),
    "other_shape": (
        lambda: _with_memory_of((2,), jnp.zeros(3)),
        "a signal of shape .3,. and float32, a memory of .2,. .* bank.init",
    ),
    "other_dtype": (
        lambda: _with_memory_of((3,), jnp.zeros(3, jnp.float16)),
        "and float16, a memory of .3,. and float32",
    ),
}


def _with_memory_of(shape, h):
    bank = Thresholds(EmaCuts((0.0,), 1.0))
    return bank(bank.init(shape=shape, dtype=jnp.float32), h)


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    make, expected = BAD[name]
    with pytest.raises((ValueError, TypeError), match=expected):
        make()
