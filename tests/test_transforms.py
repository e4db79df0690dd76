"""Transforms of `tx.fit`: closed forms, there and back, inside of the domain at all extremes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tauax.learn.transforms import Bounded, Ordered, Positive, Simplex

SIZE = 5
LOWER = np.linspace(-3.0, 1.0, SIZE)
UPPER = np.linspace(-1.0, 4.0, SIZE)
TRANSFORMS = {
    "positive": Positive,
    "bounded": lambda: Bounded(-2.0, 3.0),
    "bounded_share": lambda: Bounded(0.0, 1.0),
    "bounded_each": lambda: Bounded(LOWER, UPPER),
    "simplex": Simplex,
    "ordered": Ordered,
}
DTYPES = {"float32": jnp.float32, "float64": jnp.float64}


def softplus(x):
    return np.logaddexp(0.0, x)


def between(lower, upper):
    return lambda x: lower + (upper - lower) * np.exp(-np.logaddexp(0.0, -x))


def softmax(x):
    weight = np.exp(x - x.max(axis=-1, keepdims=True))
    return weight / weight.sum(axis=-1, keepdims=True)


def climbing(x):
    return np.cumsum(np.concatenate([x[..., :1], softplus(x[..., 1:])], axis=-1), axis=-1)


# The same in plain numpy.
PLAIN = {
    "positive": softplus,
    "bounded": between(-2.0, 3.0),
    "bounded_share": between(0.0, 1.0),
    "bounded_each": between(LOWER, UPPER),
    "simplex": softmax,
    "ordered": climbing,
}


@pytest.fixture(params=DTYPES)
def dtype(request):
    if request.param == "float64":
        with jax.enable_x64(True):
            yield jnp.float64
    else:
        yield jnp.float32


@pytest.fixture(params=TRANSFORMS)
def name(request):
    return request.param


def numbers(dtype, rows=40, scale=4.0):
    random = np.random.default_rng(3)
    return jnp.asarray(scale * random.normal(size=(rows, SIZE)), dtype)


@eqx.filter_jit
def constrain(transform, free):
    return transform.constrain(free)


@eqx.filter_jit
def back(transform, value):
    return transform.free(value)


@eqx.filter_jit
def jacobians(transform, free):
    """By reverse and by forward mode, `[row, ...]` each."""
    return [jax.vmap(mode(transform.constrain))(free) for mode in (jax.jacrev, jax.jacfwd)]


def eps(dtype) -> float:
    return float(jnp.finfo(dtype).eps)


def test_closed_form(name, dtype):
    free = numbers(dtype)
    found = constrain(TRANSFORMS[name](), free)
    assert found.dtype == dtype
    plain = PLAIN[name](np.asarray(free, np.float64))
    # A few roundings of each term; where terms of both signs are added, of the largest.
    size = np.abs(plain).max() if name in ("ordered", "bounded", "bounded_each") else 0.0
    np.testing.assert_allclose(found, plain, rtol=20 * eps(dtype), atol=4 * eps(dtype) * size)


def test_there_and_back(name, dtype):
    transform = TRANSFORMS[name]()
    value = constrain(transform, numbers(dtype))
    for one in np.asarray(value):
        transform.check("x", one)
    again = constrain(transform, back(transform, value))
    # |ln v| is at most 25 here, and each costs that many roundings of x.
    size = float(jnp.abs(value).max()) if name in ("ordered", "bounded", "bounded_each") else 0.0
    np.testing.assert_allclose(again, value, rtol=60 * eps(dtype), atol=30 * eps(dtype) * size)


def test_back_and_there(name, dtype):
    transform, free = TRANSFORMS[name](), numbers(dtype, scale=1.5)
    again = back(transform, constrain(transform, free))
    if name == "simplex":
        free = free - free.mean(axis=-1, keepdims=True)
    # Roundings of v, which for x up to 5 or gaps of 0.01 beside 10 are 1000 times those of x.
    np.testing.assert_allclose(again, free, atol=4e3 * eps(dtype))


@pytest.mark.parametrize("value", [1e-30, 1e-12, 1e-3, 0.7, 1.0, 30.0, 1e6, 1e30])
def test_positive_keeps_relative_precision(value, dtype):
    value = jnp.asarray(value, dtype)
    back = Positive().constrain(Positive().free(value))
    # |ln v| roundings, and three of the functions themselves.
    assert abs(float(back / value) - 1.0) <= (3.0 + abs(np.log(float(value)))) * eps(dtype)


@pytest.mark.parametrize("distance", [1e-30, 1e-12, 1e-3, 0.4])
def test_bounded_keeps_the_distance_from_a_bound_at_zero(distance, dtype):
    transform, value = Bounded(0.0, 1.0), jnp.asarray(distance, dtype)
    back = transform.constrain(transform.free(value))
    assert abs(float(back / value) - 1.0) <= (3.0 + abs(np.log(distance))) * eps(dtype)


def extremes(dtype):
    """Every column takes every extreme while the others stand at another."""
    huge = [0.0, 1e-30, 1.0, 17.0, 50.0, 89.0, 104.0, 750.0, 1e4, 1e30]
    every = np.asarray([sign * size for size in huge for sign in (1.0, -1.0)])
    rows = [np.roll(np.resize(every, SIZE), by) for by in range(SIZE)]
    rows += [np.full(SIZE, one) for one in every]
    rows += [np.where(np.arange(SIZE) == place, one, 0.3) for one in every for place in (0, 2, 4)]
    return jnp.asarray(np.asarray(rows), dtype)


def test_inside_and_differentiable_at_extremes(name, dtype):
    transform, free = TRANSFORMS[name](), extremes(dtype)
    value = constrain(transform, free)
    assert np.isfinite(value).all()
    for one in np.asarray(value):
        transform.check("x", one)
    assert np.isfinite(back(transform, value)).all()
    for found in jacobians(transform, free):
        assert np.isfinite(found).all()


def test_jacobian(name, x64):
    free = numbers(jnp.float64, rows=len(extremes(jnp.float64)))  # the same program
    found, forward = jacobians(TRANSFORMS[name](), free)
    np.testing.assert_allclose(found, forward, rtol=1e-13, atol=1e-15)  # other products
    nudge = 1e-5
    for column in range(SIZE):
        step = nudge * (np.arange(SIZE) == column)
        ends = [PLAIN[name](np.asarray(free) + sign * step) for sign in (1, -1)]
        # Third derivatives times 1e-10, and rounding of 1e-15 over 1e-5.
        np.testing.assert_allclose(
            found[:, :, column], (ends[0] - ends[1]) / (2 * nudge), atol=1e-8
        )


@pytest.mark.parametrize("name", ["positive", "bounded", "bounded_share"])
def test_derivative_where_the_branches_meet(name):
    transform = TRANSFORMS[name]()
    width = {"positive": 2.0, "bounded": 5.0, "bounded_share": 1.0}[name]
    assert float(jax.grad(transform.constrain)(0.0)) == pytest.approx(width / 4, rel=1e-6)


@pytest.mark.parametrize("name", ["positive", "bounded", "bounded_share"])
def test_increasing(name, dtype):
    """In exact numbers; to two roundings where one formula gives way to another."""
    free = jnp.sort(numbers(dtype, rows=400, scale=20.0).reshape(-1))
    value = np.asarray(constrain(TRANSFORMS[name](), free), np.float64)
    size = np.abs(value) if name == "positive" else 3.0
    assert (np.diff(value) >= -2 * eps(dtype) * (size[1:] if name == "positive" else size)).all()


def test_same_bits_in_every_batch(name):
    transform, free = TRANSFORMS[name](), numbers(jnp.float32)
    for function, argument in ((constrain, free), (back, constrain(transform, free))):
        whole = function(transform, argument)
        for rows in (1, 4):
            np.testing.assert_array_equal(function(transform, argument[:rows]), whole[:rows])


def test_a_single_number_and_an_array_with_axes(name):
    transform, free = TRANSFORMS[name](), numbers(jnp.float32)
    if name in ("positive", "bounded", "bounded_share"):
        assert transform.constrain(free[0, 0]).shape == ()
    found = constrain(transform, free.reshape(4, 10, SIZE))
    np.testing.assert_array_equal(found, constrain(transform, free).reshape(4, 10, SIZE))
    assert jax.eval_shape(transform.free, found).shape == found.shape


# What each promises beyond that


def test_shares(dtype):
    free = numbers(dtype)
    share = constrain(Simplex(), free)
    np.testing.assert_allclose(np.asarray(share, np.float64).sum(axis=-1), 1.0, rtol=4 * eps(dtype))
    order = np.random.default_rng(1).permutation(SIZE)
    np.testing.assert_allclose(  # another order of the sum
        constrain(Simplex(), free[:, order]), share[:, order], rtol=4 * eps(dtype)
    )
    # Five numbers of at most 20, each rounded.
    np.testing.assert_allclose(back(Simplex(), share).sum(axis=-1), 0.0, atol=100 * eps(dtype))


def test_a_common_shift_of_shares_has_no_derivative(dtype):
    weight = jnp.arange(SIZE, dtype=dtype)
    free = jnp.resize(numbers(dtype), extremes(dtype).shape)  # the same program as above
    gradient = jnp.einsum("rvf,v->rf", jacobians(Simplex(), free)[0], weight)
    assert np.abs(gradient.sum(axis=-1)).max() <= 20 * eps(dtype)


@pytest.mark.parametrize("size", [2, 7, 1000])
def test_shares_that_sum_to_one_within_rounding(size):
    weight = np.random.default_rng(2).uniform(0.1, 1.0, (3, size)).astype(np.float32)
    for shares in (
        weight / weight.sum(axis=-1, keepdims=True),
        np.full(size, 1 / size, np.float32),
    ):
        Simplex().check("shares", jnp.asarray(shares))
        with pytest.raises(ValueError, match=r"the sum of shares.*expected 1, to.*divide by the"):
            Simplex().check("shares", jnp.asarray(shares * np.float32(1.001)))


@pytest.mark.parametrize("first", [-1e6, -1.0, 0.0, 1e-3, 1e6])
def test_order_is_strict(first, dtype):
    """Also where the gaps are far below a rounding of the values, or below the smallest number."""
    for gaps in (-200.0, -20.0, 0.0):
        value = constrain(Ordered(), jnp.asarray([first] + 40 * [gaps], dtype))
        assert (np.diff(np.asarray(value)) > 0).all()
        Ordered().check("x", value)


def test_gaps_add_up(x64):
    value = jnp.asarray([-3.0, -2.999, 0.0, 0.5, 40.0])
    again = constrain(Ordered(), back(Ordered(), value))
    np.testing.assert_allclose(again, value, atol=5 * 40 * eps(jnp.float64))  # a rounding a step


# Messages

CASES = {
    "zero": (Positive, [1.0, 0.0], r"k\[1\] = 0.0; expected finite numbers > 0. Fix: start from a"),
    "negative": (Positive, -1.0, "k = -1.0; expected finite numbers > 0"),
    "denormal": (Positive, 1e-42, "expected finite numbers > 0"),
    "infinite": (Positive, np.inf, "k = inf; expected finite numbers > 0"),
    "at_a_bound": (
        lambda: Bounded(0.0, 1.0),
        [[0.5, 1.0]],
        r"k\[0, 1\] = 1.0; expected numbers strictly between 0.0 and 1.0. Fix: start from a value",
    ),
    "beyond": (lambda: Bounded(0, [1, 2]), [0.5, 3.0], r"k\[1\] = 3.0.*strictly between their"),
    "nan": (lambda: Bounded(0.0, 1.0), np.nan, "k = nan"),
    "bounds_of_another_shape": (
        lambda: Bounded([0.0, 0.0], 1.0),
        [0.5, 0.5, 0.5],
        r"bounds of shape \(2,\) for k of shape \(3,\); expected one bound, or one per element",
    ),
    "bounds_of_more": (
        lambda: Bounded([0.0, 0.0], 1.0),
        0.5,
        r"bounds of shape \(2,\) for k of shape \(\); expected one bound.*Fix: give bounds that",
    ),
    "no_share": (Simplex, [1.0, 0.0], r"k\[1\] = 0.0; .*such as 1e-3, then divide by the sum"),
    "other_sum": (Simplex, [[0.5, 0.5], [0.5, 0.6]], r"the sum of k\[1\] = 1.1.*divide by the sum"),
    "one_share": (Simplex, 1.0, r"k, a single number; expected an array of shares.*Positive\(\)"),
    "out_of_order": (Ordered, [0.0, 2.0, 1.0], r"the gaps of k\[1\] = -1.0; .*Fix: sort the val"),
    "equal": (Ordered, [0.0, 1.0, 1.0], r"the gaps of k\[1\] = 0.0; .*set equal ones apart"),
    "unbounded": (Ordered, [0.0, np.inf], r"k\[1\] = inf; expected finite numbers"),
    "alone": (Ordered, 1.0, "k, a single number; expected an array of values in order"),
}


@pytest.mark.parametrize("case", CASES)
def test_values_outside(case):
    make, value, message = CASES[case]
    with pytest.raises(ValueError, match=message) as raised:
        make().check("k", jnp.asarray(np.asarray(value, np.float32)))
    assert str(raised.value).startswith("got ") and ". Fix: " in str(raised.value)


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        (1.0, 1.0, "Bounded from 1.0 to 1.0; expected lower < upper. Fix: give the smaller"),
        ([0.0, 2.0], 1.0, "Bounded from 2.0 to 1.0"),
        (0.0, np.inf, "Bounded.upper = inf; expected finite numbers"),
        ([0.0, 1.0], [1.0, 2.0, 3.0], r"bounds of shapes \(2,\) and \(3,\)"),
    ],
)
def test_bounds(lower, upper, message):
    with pytest.raises(ValueError, match=message):
        Bounded(lower, upper)
