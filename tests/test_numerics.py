"""Sine and cosine, circular arithmetic and fixed-order sums, against float64 and exact numbers."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tauax.numerics import circular, reduce, trig

PI = Fraction("3.14159265358979323846264338327950288419716939937510")
ULP32 = 2.0**-23
HALF_32 = float(np.float32(math.pi))

sincos = jax.jit(trig.sincos)
wrap = jax.jit(circular.wrap)
total = jax.jit(reduce.total)


def angles(bound: float) -> np.ndarray:
    """float32 angles up to `bound`: a dense grid, multiples of π/2 and both their neighbours."""
    dense = np.linspace(-bound, bound, 200_001).astype(np.float32)
    count = int(bound / (math.pi / 2))
    marks = np.arange(-count, count + 1) * (math.pi / 2)
    marks = marks.astype(np.float32)
    low, high = np.nextafter(marks, np.float32(-np.inf)), np.nextafter(marks, np.float32(np.inf))
    every = np.concatenate([dense, marks, low, high])
    return every[np.abs(every) <= bound]


def circle_distance(a, b) -> np.ndarray:
    """|a − b| modulo 2π in float64."""
    turns = (np.asarray(a, np.float64) - np.asarray(b, np.float64)) / (2 * math.pi)
    return np.abs(turns - np.round(turns)) * 2 * math.pi


# The bounds of the docstring of sincos.
@pytest.mark.parametrize(
    ("bound", "error"), [(math.pi, 4e-7), (4 * math.pi, 4e-7), (1e4, 4e-7), (1e5, 2e-6)]
)
def test_sincos_float32_error(bound, error):
    x = angles(bound)
    sin, cos = sincos(x)
    assert sin.dtype == cos.dtype == jnp.float32
    exact = x.astype(np.float64)
    assert np.abs(np.asarray(sin, np.float64) - np.sin(exact)).max() <= error
    assert np.abs(np.asarray(cos, np.float64) - np.cos(exact)).max() <= error


def test_sincos_symmetry_and_pythagoras():
    x = angles(1e4)
    sin, cos = map(np.asarray, sincos(x))
    sin_mirrored, cos_mirrored = map(np.asarray, sincos(-x))
    np.testing.assert_array_equal(sin_mirrored, -sin)
    np.testing.assert_array_equal(cos_mirrored, cos)
    square = sin.astype(np.float64) ** 2 + cos.astype(np.float64) ** 2
    # 2 (|sin| + |cos|) times the error of each, 4e-7, is at most 2·√2·4e-7.
    assert np.abs(square - 1).max() <= 1.2e-6


@pytest.mark.parametrize("bound", [4 * math.pi, 1e4])
def test_sincos_float64_is_the_library(x64, bound):
    x = np.linspace(-bound, bound, 20_001)
    sin, cos = trig.sincos(jnp.asarray(x))
    assert sin.dtype == jnp.float64
    # Two libraries within a few half-ulps of 1 of each other.
    np.testing.assert_allclose(sin, np.sin(x), rtol=0, atol=1e-15)
    np.testing.assert_allclose(cos, np.cos(x), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_not_finite_gives_nan(x64, dtype):
    x = jnp.asarray([np.nan, np.inf, -np.inf], dtype)
    for result in (*trig.sincos(x), circular.wrap(x), circular.difference(x, jnp.zeros_like(x))):
        assert np.isnan(np.asarray(result)).all()


def test_derivative_rule_is_exactly_the_other_function():
    x = jnp.asarray([-7.5, -3.2, -0.4, 0.0, 1.1, 2.9, 30.0], jnp.float32)

    def first(pick):
        return lambda angle: trig.sincos(angle)[pick]

    @jax.jit
    def all_orders(x):
        sin, cos = trig.sincos(x)
        forward = [jax.vmap(jax.jacfwd(first(pick)))(x) for pick in (0, 1)]
        reverse = [jax.vmap(jax.grad(first(pick)))(x) for pick in (0, 1)]
        mixed = [jax.vmap(jax.jacfwd(jax.grad(first(pick))))(x) for pick in (0, 1)]
        twice = [jax.vmap(jax.grad(jax.grad(first(pick))))(x) for pick in (0, 1)]
        return (sin, cos), forward, reverse, mixed, twice

    (sin, cos), forward, reverse, mixed, twice = all_orders(x)
    for order in (forward, reverse):
        np.testing.assert_array_equal(order[0], cos)
        np.testing.assert_array_equal(order[1], -sin)
    for order in (mixed, twice):
        np.testing.assert_array_equal(order[0], -sin)
        np.testing.assert_array_equal(order[1], -cos)


def test_derivative_rule_is_autodiff_of_the_library(x64):
    x = jnp.linspace(-9.0, 9.0, 37)
    weights = jnp.linspace(0.5, 2.0, 37)

    def loss(functions, x):
        sin, cos = functions(x)
        return (weights * sin * cos**2 + sin**3).sum()

    def plain(x):
        return jnp.sin(x), jnp.cos(x)

    @jax.jit
    def orders(x):
        ours, theirs = (lambda x, f=f: loss(f, x) for f in (trig.sincos, plain))
        return [
            (jax.grad(f)(x), jax.jacfwd(f)(x), jax.jacfwd(jax.grad(f))(x)) for f in (ours, theirs)
        ]

    ours, theirs = orders(x)
    for mine, wanted in zip(ours, theirs, strict=True):
        # Sums of a few terms of order 1: some ulps of 1 in float64.
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=2e-14)


def test_sincos_under_vmap():
    # A shape of its own compiles on its own: the same to a rounding of each of two products.
    x = jnp.asarray(angles(20.0)[:60].reshape(3, 4, 5))
    for mapped, plain in zip(jax.vmap(jax.vmap(trig.sincos))(x), sincos(x), strict=True):
        np.testing.assert_allclose(mapped, plain, rtol=0, atol=2 * ULP32)


def test_wrapped_and_turns_agree_with_sincos():
    x = jnp.asarray(angles(math.pi))
    for ours, wanted in zip(trig.sincos_wrapped(x), sincos(x), strict=True):
        # The reduction is the identity within ±π, but for a rounding at the ends.
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=4e-7)
    turns = np.linspace(-0.5, 0.5, 20_001).astype(np.float32)
    exact = np.cos(2 * math.pi * turns.astype(np.float64))
    # The bound of sincos holds for the angle of Box–Muller as well.
    assert np.abs(np.asarray(trig.cos_turns(jnp.asarray(turns)), np.float64) - exact).max() <= 4e-7


def best_quarter_error(count: int) -> float:
    """The least largest error of x + x³P(x²) for sin x on [0, π/2], by Lawson's iteration."""
    x = math.pi / 4 * (1 - np.cos(math.pi * (np.arange(2000) + 0.5) / 2000))
    basis = np.stack([x ** (2 * k + 3) for k in range(count)], axis=-1)
    target, weight = np.sin(x) - x, np.full_like(x, 1 / x.size)
    best = math.inf
    for _ in range(200):
        root = np.sqrt(weight)
        fit = np.linalg.lstsq(basis * root[:, None], target * root, rcond=None)[0]
        error = np.abs(basis @ fit - target)
        best = min(best, error.max())
        weight = weight * error
        weight = weight / weight.sum()
    return best


def quarter_error(coefficients: np.ndarray) -> float:
    x = np.linspace(-math.pi / 2, math.pi / 2, 100_001)
    sine = x + x**3 * np.polynomial.polynomial.polyval(x**2, coefficients)
    return np.abs(sine - np.sin(x)).max()


def test_polynomial_is_near_the_best_of_its_degree():
    stored = np.asarray(trig.QUARTER_SINE)
    assert quarter_error(stored) <= 2 * best_quarter_error(len(stored))
    # As float32 numbers they may lose (π/2)³ times half an ulp of 1/6 = 2.9e-8, still below half
    # an ulp of the sine; one term fewer is worse than that.
    rounded = stored.astype(np.float32).astype(np.float64)
    assert quarter_error(rounded) <= 3.4e-8
    assert best_quarter_error(len(stored) - 1) > 10 * 3.4e-8


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wrap_range(x64, dtype):
    half = np.asarray(math.pi, dtype)
    edges = np.arange(-9, 10).astype(dtype) * half
    around = [np.nextafter(edges, np.asarray(limit, dtype)) for limit in (-np.inf, np.inf)]
    spread = np.linspace(-1e4, 1e4, 100_001).astype(dtype)
    x = np.concatenate([edges, *around, spread, np.asarray([0.0, -0.0, 1e-30, -1e-30], dtype)])
    angle = np.asarray(circular.wrap(jnp.asarray(x)))
    assert angle.dtype == dtype
    assert (angle >= -half).all()
    assert (angle < half).all()
    np.testing.assert_array_equal(circular.wrap(jnp.asarray([half, -half])), [-half, -half])
    inside = np.linspace(-3.1415, 3.1415, 1001).astype(dtype)
    np.testing.assert_array_equal(circular.wrap(jnp.asarray(inside)), inside)


@pytest.mark.parametrize(
    ("bound", "error"),
    [
        # x − k·HIGH is exact; one rounding at π, half an ulp of 4, and one of 2·float32(π) at an
        # edge (1.75e-7).
        (3 * math.pi, 1.2e-7 + 1.75e-7),
        # k·LOW ≤ 3.1 adds half an ulp of 4 and the rounding of LOW, 2⁻²⁵ of it.
        (1e4, 3e-7 + 1.2e-7 + 3.1 * 2**-25),
    ],
)
def test_wrap_of_many_turns_float32(bound, error):
    x = angles(bound)
    assert circle_distance(wrap(x), x).max() <= error


def test_wrap_of_many_turns_float64(x64):
    x = np.concatenate([np.linspace(-50, 50, 401), np.linspace(-1e6, 1e6, 101)])
    angle = np.asarray(wrap(jnp.asarray(x)))
    for value, wrapped in zip(x, angle, strict=True):
        turns = (Fraction(float(wrapped)) - Fraction(float(value))) / (2 * PI)
        error = abs(turns - round(turns)) * 2 * PI
        # Half an ulp of 4; then k·LOW = x/3246 is rounded once, as LOW was: 1.1e-16 of it each.
        assert error <= 2.3e-16 + 2.3e-16 * abs(value) / 3000, value


def test_wrap_and_difference_have_slope_one():
    x = jnp.asarray([-40.0, -3.2, 0.0, 1.0, 3.0, 3.5, 100.0])
    slope = jax.vmap(jax.grad(circular.wrap))(x)
    np.testing.assert_array_equal(slope, np.ones(x.shape))
    to, of = jax.vmap(jax.grad(circular.difference, argnums=(0, 1)))(x, x[::-1])
    np.testing.assert_array_equal(to, np.ones(x.shape))
    np.testing.assert_array_equal(of, -np.ones(x.shape))


def test_difference():
    a, b = np.meshgrid(np.linspace(-3, 3, 25), np.linspace(-3, 3, 25))
    a, b = a.astype(np.float32), b.astype(np.float32)
    signed = np.asarray(circular.difference(jnp.asarray(a), jnp.asarray(b)))
    # a − b up to 6 rounds by half an ulp of 8, its wrap by half an ulp of 4.
    assert circle_distance(signed, a.astype(np.float64) - b).max() <= 4e-7
    assert ((signed >= -HALF_32) & (signed < HALF_32)).all()
    np.testing.assert_array_equal(circular.difference(jnp.asarray(a), jnp.asarray(a)), 0)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_directions_against_complex_numbers(size):
    phase = np.random.default_rng(size).uniform(-3.1, 3.1, (6, size)).astype(np.float32)
    phase[0] = 1.25
    vector = np.exp(1j * phase.astype(np.float64)).mean(axis=-1)
    phase = jnp.asarray(phase)
    # The error of sincos, 4e-7, and a few roundings of the mean.
    tolerance = {"rtol": 0, "atol": 1e-6}
    np.testing.assert_allclose(circular.resultant(phase), np.abs(vector), **tolerance)
    np.testing.assert_allclose(circular.circular_variance(phase), 1 - np.abs(vector), **tolerance)
    # The direction of a vector of length r is off by its error over r.
    error = circle_distance(circular.circular_mean(phase), np.angle(vector))
    assert (error * np.abs(vector)).max() <= 1e-6


def numbers(*values: float):
    """float32 scalars."""
    return tuple(jnp.float32(value) for value in values)


@pytest.mark.parametrize("function", [circular.length, circular.direction])
def test_no_derivative_at_the_origin(function):
    value, slopes = jax.value_and_grad(function, argnums=(0, 1))(*numbers(0, 0))
    assert value == 0
    assert slopes == (0, 0)
    slopes = jax.grad(function, argnums=(0, 1))(*numbers(0.6, 0.8))
    wanted = {circular.length: (0.6, 0.8), circular.direction: (0.8, -0.6)}[function]
    # A handful of float32 roundings of numbers below 1.
    np.testing.assert_allclose(slopes, wanted, rtol=0, atol=1e-6)


def test_direction_of_a_half_turn():
    assert circular.direction(*numbers(0, -1)) == np.float32(math.pi)


def exact_sum(row) -> float:
    return math.fsum(map(float, row))


def test_total_against_exact_sums():
    draw = np.random.default_rng(2).normal
    rows = [draw(size=(2, size)).astype(np.float32) for size in (*range(1, 71), 4096, 65_537)]
    rows = [np.abs(x) if x.shape[-1] % 3 == 0 else x for x in rows]
    both = jax.jit(lambda rows: [(reduce.total(x), reduce.mean(x)) for x in rows])(rows)
    for x, (sums, means) in zip(rows, both, strict=True):
        size = x.shape[-1]
        exact = np.asarray([exact_sum(row) for row in x])
        # log₂ N halvings and as many odd ones, each rounded by half an ulp of a partial sum.
        bound = (math.log2(size) + 1) * ULP32 * np.abs(x).sum(axis=-1)
        assert (np.abs(sums - exact) <= bound).all(), size
        # 1/N and the product round once more each.
        assert (np.abs(means - exact / size) <= (bound + ULP32 * np.abs(exact)) / size).all(), size


@pytest.mark.parametrize("size", [1, 5, 12, 70, 1023])
def test_total_has_the_same_bits_in_every_batch(size):
    x = np.random.default_rng(1).normal(size=(64, size)).astype(np.float32)
    whole = np.asarray(total(x))
    np.testing.assert_array_equal(jax.jit(jax.vmap(reduce.total))(x), whole)
    np.testing.assert_array_equal(total(x.reshape(4, 16, size)).reshape(-1), whole)
    for members in (1, 2, 7):
        np.testing.assert_array_equal(total(x[:members]), whole[:members])
    np.testing.assert_array_equal(total(x[0]), whole[0])


# 8 × 8 is where kernels have differed by the number of rows.
@pytest.mark.parametrize(("size", "terms"), [(1, 1), (3, 8), (8, 3), (8, 8), (9, 9), (17, 40)])
def test_weighted_totals_have_the_same_bits_for_any_rows(size, terms):
    drawn = np.random.default_rng(7)
    weights, x = (drawn.normal(size=(rows, terms)).astype(np.float32) for rows in (size, 40))
    weighted = jax.jit(reduce.weighted_totals)
    whole = np.asarray(weighted(weights, x))
    # Sums of so many products of order 1, each rounded.
    np.testing.assert_allclose(whole, x.astype(float) @ weights.T, rtol=0, atol=3e-6)
    for rows in (2, 3, 4, 5, 8, 16, 33):
        np.testing.assert_array_equal(weighted(weights, x[:rows]), whole[:rows])


def test_total_beats_a_running_sum():
    sizes = (2**10, 2**14, 2**18)
    rows = np.random.default_rng(2).uniform(0.5, 1.5, (16, sizes[-1])).astype(np.float32)
    halves, running = [], []
    for size in sizes:
        x = rows[:, :size]
        exact = np.asarray([exact_sum(row) for row in x])
        halves.append(np.mean(np.abs(np.asarray(total(x)) - exact) / exact))
        running.append(np.mean(np.abs(np.cumsum(x, axis=-1)[:, -1] - exact) / exact))
    # Twenty halvings keep to a few roundings, two ulps; a running sum loses in proportion to √N.
    assert max(halves) < 2 * ULP32
    assert running[-1] > 10 * halves[-1]
    assert running[-1] / running[0] > 4 * halves[-1] / halves[0]


def one_word(x):
    """The negative control: 2π as one float32."""
    turns = jnp.round(x * (0.5 / math.pi))
    return x - turns * np.float32(2 * math.pi)


def test_wrapping_for_a_million_steps():
    # The increment is a multiple of 2⁻²² below 4 − π, so that adding it to any phase is exact, and
    # all that drifts is the wrapping: once every turn.
    increment, steps = 3_145_729 * 2.0**-22, 1_000_000
    assert np.float32(increment) == increment

    @jax.jit
    def run(start):
        def advance(phases, _):
            ours, control = phases
            return (circular.wrap(ours + increment), one_word(control + increment)), None

        return jax.lax.scan(advance, (start, start), length=steps)[0]

    phases = run(jnp.zeros((), jnp.float32))
    turns = steps * Fraction(increment) / (2 * PI)
    exact = float((turns - round(turns)) * 2 * PI)
    ours, control = (circle_distance(phase, exact) for phase in phases)
    # x − HIGH is exact; subtracting LOW rounds by half an ulp of 4, and LOW itself by 2e-10.
    bound = float(turns) * (2.0**-23 + 2e-10)
    assert ours <= bound
    # float32(2π) is 1.75e-7 too large, every turn.
    assert control > bound
