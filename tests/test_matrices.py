"""Transforms of matrices: closed forms, there and back, what is free, what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

import tauax as tx
from tauax._types import numeric
from tauax.learn.fit import fit
from tauax.learn.matrices import LowRank, Masked, Symmetric
from tauax.learn.transforms import Bounded, Positive, Simplex

SIZE = 5
KEY = jax.random.key(8)
MASK = np.random.default_rng(0).uniform(size=(SIZE, SIZE)) < 0.5
EVEN = MASK | MASK.T  # symmetric
REST = np.random.default_rng(1).normal(size=(SIZE, SIZE))
ROWS, COLUMNS = np.triu_indices(SIZE)


def softplus(x):
    return np.logaddexp(0.0, x)


def filled(mask, values, rest=0.0):
    """Values in the order of rows where the mask is True, in plain numpy."""
    found = np.broadcast_to(rest, mask.shape).astype(values.dtype)
    found[mask] = values
    return found


def mirrored(upper):
    return np.triu(upper) + np.triu(upper, 1).T


def product_of(free):
    return free[:SIZE] @ free[SIZE:].T


UPPER = np.triu(np.ones((SIZE, SIZE), bool))
# The transform, its free numbers' shape, and the same in plain numpy.
TRANSFORMS = {
    "symmetric": (Symmetric, (15,), lambda x: mirrored(filled(UPPER, x))),
    "symmetric_positive": (
        lambda: Symmetric(Positive()),
        (15,),
        lambda x: mirrored(filled(UPPER, softplus(x))),
    ),
    "masked": (lambda: Masked(MASK), (MASK.sum(),), lambda x: filled(MASK, x)),
    "masked_rest": (
        lambda: Masked(MASK, rest=REST),
        (MASK.sum(),),
        lambda x: filled(MASK, x, REST),
    ),
    "masked_positive": (
        lambda: Masked(MASK, rest=-1.0, inner=Positive()),
        (MASK.sum(),),
        lambda x: filled(MASK, softplus(x), -1.0),
    ),
    "masked_shares": (
        lambda: Masked(MASK, inner=Simplex()),
        (MASK.sum(),),
        lambda x: filled(MASK, np.exp(x) / np.exp(x).sum()),
    ),
    "symmetric_masked": (
        lambda: Symmetric(Masked(EVEN)),
        (np.triu(EVEN).sum(),),
        lambda x: mirrored(filled(np.triu(EVEN), x)),
    ),
    "symmetric_masked_bounded": (
        lambda: Symmetric(Masked(EVEN, rest=mirrored(REST), inner=Bounded(-1.0, 1.0))),
        (np.triu(EVEN).sum(),),
        lambda x: mirrored(filled(np.triu(EVEN), np.tanh(x / 2), mirrored(REST))),
    ),
    "low_rank": (lambda: LowRank(2), (2 * SIZE, 2), product_of),
    "full_rank": (lambda: LowRank(SIZE), (2 * SIZE, SIZE), product_of),
}


@pytest.fixture(params=TRANSFORMS)
def name(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    if request.param == "float64":
        with jax.enable_x64(True):
            yield jnp.float64
    else:
        yield jnp.float32


def numbers(name, dtype, rows=8, scale=2.0):
    shape = (rows, *TRANSFORMS[name][1])
    return jnp.asarray(scale * np.random.default_rng(4).normal(size=shape), dtype)


@eqx.filter_jit
def constrain(transform, free):
    return transform.constrain(free)


@eqx.filter_jit
def back(transform, value):
    return transform.free(value)


@eqx.filter_jit
def jacobian(transform, free):
    return jax.vmap(jax.jacrev(transform.constrain))(free)


def eps(dtype) -> float:
    return float(jnp.finfo(dtype).eps)


# The laws of all transforms


def test_closed_form(name, dtype):
    make, _, plain = TRANSFORMS[name]
    free = numbers(name, dtype)
    found = constrain(make(), free)
    assert found.dtype == dtype and found.shape == (8, SIZE, SIZE)
    for one, row in zip(found, np.asarray(free, np.float64), strict=True):
        # A few roundings of numbers up to 6; of products of two of them.
        np.testing.assert_allclose(one, plain(row), rtol=20 * eps(dtype), atol=100 * eps(dtype))


def test_there_and_back(name, dtype):
    transform = TRANSFORMS[name][0]()
    value = constrain(transform, numbers(name, dtype))
    for one in value:
        transform.check("w", one)
    transform.check("w", value)
    free = back(transform, value)
    assert free.dtype == dtype and free.shape[1:] == TRANSFORMS[name][1]
    again = constrain(transform, free)
    # A decomposition of numbers up to some 50, with five terms.
    size = 50.0 * SIZE if "rank" in name else 1.0
    np.testing.assert_allclose(again, value, rtol=60 * eps(dtype), atol=20 * size * eps(dtype))


def test_back_and_there(name, dtype):
    if "rank" in name:
        pytest.skip("other free numbers have the same value")
    transform, free = TRANSFORMS[name][0](), numbers(name, dtype, scale=1.5)
    if name == "masked_shares":
        free = free - free.mean(axis=-1, keepdims=True)
    again = back(transform, constrain(transform, free))
    np.testing.assert_allclose(again, free, atol=4e3 * eps(dtype))  # as of the inner transforms


def test_jacobian(name, x64):
    make, shape, plain = TRANSFORMS[name]
    free = numbers(name, jnp.float64)
    slopes = jacobian(make(), free)
    nudge = 1e-5
    for place in np.ndindex(*shape):
        step = np.zeros(shape)
        step[place] = nudge
        for row, found in zip(np.asarray(free), np.asarray(slopes), strict=True):
            slope = (plain(row + step) - plain(row - step)) / (2 * nudge)
            # Third derivatives times 1e-10, and rounding of 4e-15 over 1e-5.
            np.testing.assert_allclose(found[(..., *place)], slope, atol=2e-9)


def test_finite_at_extremes(name, dtype):
    largest = 1e15 if "rank" in name else 1e30  # of which products are finite
    free = jnp.asarray([0.0, 1e-30, 17.0, -17.0, 104.0, -104.0, largest, -largest], dtype)
    rows = jnp.stack([jnp.resize(jnp.roll(free, by), TRANSFORMS[name][1]) for by in range(8)])
    transform = TRANSFORMS[name][0]()
    assert np.isfinite(constrain(transform, rows)).all()
    assert np.isfinite(jacobian(transform, rows)).all()


def test_same_bits_in_every_batch(name):
    transform, free = TRANSFORMS[name][0](), numbers(name, jnp.float32)
    for function, argument in ((constrain, free), (back, constrain(transform, free))):
        whole = function(transform, argument)
        for rows in (1, 3):
            found = function(transform, argument[:rows])
            np.testing.assert_array_equal(found, np.asarray(whole)[:rows])


def test_axes_before_the_matrix(name):
    transform, free = TRANSFORMS[name][0](), numbers(name, jnp.float32)
    value = constrain(transform, free)
    many = constrain(transform, free.reshape(2, 4, *free.shape[1:]))
    np.testing.assert_array_equal(many, value.reshape(2, 4, SIZE, SIZE))
    assert jax.eval_shape(transform.free, many).shape == (2, 4, *free.shape[1:])
    one = jax.eval_shape(transform.constrain, free[0])
    assert one.shape == (SIZE, SIZE)
    assert jax.eval_shape(transform.free, one).shape == free.shape[1:]


# What each promises beyond that


def test_masks_of_other_shapes():
    """Of a vector, of a number, and with all axes of the leaf."""
    vector = Masked([True, False, True], rest=[7.0, 8.0, 9.0])
    np.testing.assert_array_equal(vector.constrain(jnp.asarray([1.0, 2.0])), [1.0, 8.0, 2.0])
    every = Masked(np.stack([MASK, ~MASK]))
    value = every.constrain(jnp.arange(1.0, SIZE * SIZE + 1))
    np.testing.assert_array_equal(np.asarray(value) != 0.0, np.stack([MASK, ~MASK]))
    np.testing.assert_array_equal(every.free(value), np.arange(1, SIZE * SIZE + 1))
    many = Symmetric(Masked(np.stack([EVEN, ~EVEN])))
    value = many.constrain(jnp.arange(1.0, SIZE * (SIZE + 1) // 2 + 1))
    np.testing.assert_array_equal(value, jnp.swapaxes(value, 1, 2))
    np.testing.assert_array_equal(np.asarray(value) != 0.0, np.stack([EVEN, ~EVEN]))


def test_the_nearest_of_a_rank():
    """Against numpy: what is left are the other singular values."""
    dtype = jnp.float32
    matrix = np.random.default_rng(2).normal(size=(3, SIZE, SIZE))
    found = LowRank(2).nearest(jnp.asarray(matrix, dtype))
    size = np.linalg.svd(matrix, compute_uv=False)
    rest = np.linalg.norm(np.asarray(found, np.float64) - matrix, axis=(1, 2))
    np.testing.assert_allclose(rest, np.sqrt((size[:, 2:] ** 2).sum(axis=1)), rtol=50 * eps(dtype))
    LowRank(2).check("w", found)
    left, right = np.split(np.asarray(back(LowRank(2), found[0])), 2)
    np.testing.assert_allclose(left.T @ left, right.T @ right, atol=50 * eps(dtype))  # balanced
    np.testing.assert_allclose(LowRank(2).nearest(found), found, atol=50 * eps(dtype))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_start_of_lower_rank_can_rise(rank):
    """The value stays, and no direction of descent is blocked."""
    dtype = jnp.float32
    random = np.random.default_rng(3)
    start = random.normal(size=(SIZE, rank)) @ random.normal(size=(rank, SIZE))
    wanted = random.normal(size=(SIZE, 3)) @ random.normal(size=(3, SIZE))
    transform, start = LowRank(3), jnp.asarray(start, dtype)
    transform.check("w", start)
    free = back(transform, start)
    found = np.asarray(constrain(transform, free))
    np.testing.assert_allclose(found, start, atol=50 * eps(dtype))
    assert rank or not found.any()
    left, right = np.split(np.asarray(free), 2)
    assert (np.linalg.norm(left, axis=0) > 0.1).all()
    np.testing.assert_array_equal(right[:, rank:], 0.0)
    slopes = np.asarray(jacobian(transform, free[None])[0])
    gradient = np.einsum("ij,ijfr->fr", 2 * (found - wanted), slopes)[SIZE:]
    assert (np.linalg.norm(gradient, axis=0) > 0.1).all()


class Table(eqx.Module):
    table: Array = eqx.field(converter=numeric)


def test_a_fit_from_zero_finds_a_low_rank(x64):
    random = np.random.default_rng(5)
    wanted = random.normal(size=(6, 2)) @ random.normal(size=(2, 6))
    found = fit(
        lambda model, key: ((model.table - wanted) ** 2).sum(),
        Table(np.zeros((6, 6))),
        where=lambda m: m.table,
        transform=LowRank(2),
        optimizer=optax.adam(optax.cosine_decay_schedule(0.1, 400)),
        steps=400,
        key=KEY,
    )
    np.testing.assert_allclose(found.values[0], wanted, atol=1e-5)


def test_a_fit_of_a_network():
    """Known edges and positive weights, of a grid of two networks; only the edges move."""
    weights = np.where(EVEN, 0.5, 0.0)
    model = tx.PhaseOscillators(np.zeros(SIZE), tx.Dense(weights))
    grid = tx.vary(model, {"w": (lambda m: m.coupling.weights, np.stack([weights, 2 * weights]))})
    wanted = np.where(EVEN, mirrored(np.abs(REST)), 0.0)

    def loss(grid, key):
        return ((grid.system.coupling.weights - wanted) ** 2).sum()

    found = fit(
        loss,
        grid,
        where=lambda m: m.coupling.weights,
        transform=Symmetric(Masked(EVEN, inner=Positive())),
        optimizer=optax.adam(0.1),
        steps=300,
        key=KEY,
        starts=2,
        spread=0.1,
    )
    assert found.values[0].shape == (2, 2, SIZE, SIZE)
    np.testing.assert_allclose(found.model.system.coupling.weights, [wanted] * 2, atol=0.02)
    assert not np.asarray(found.values[0])[..., ~EVEN].any()


def test_another_mask_is_another_fit(tmp_path):
    """The same number of free ones, and one program for both."""
    options = {
        "where": lambda m: m.table,
        "optimizer": optax.sgd(0.1),
        "steps": 2,
        "key": KEY,
        "path": tmp_path / "fit.npz",
    }
    first, second = Masked([True, False]), Masked([False, True])
    fit(squares, Table(np.zeros(2)), transform=first, **options)
    with pytest.raises(ValueError, match="another fit: not the same transform;"):
        fit(squares, Table(np.zeros(2)), transform=second, **options)


def squares(model, key):
    return ((model.table - 1.0) ** 2).sum()


# Messages


def square(value=1.0):
    return np.full((SIZE, SIZE), value)


LOPSIDED = square() + np.eye(SIZE, k=2)

CASES = {
    "other_rest": (
        lambda: Masked(MASK),
        square(),
        r"w\[0, \d\] = 1.0; expected 0.0, the rest, where the mask is False. Fix: start from "
        r"jnp.where\(mask, w, rest\), or pass what is to stay as rest=",
    ),
    "shape_of_mask": (
        lambda: Masked([True, False]),
        np.zeros(3),
        r"a mask of shape \(2,\) for w of shape \(3,\); expected the shape of the leaf, or of its",
    ),
    "more_axes_than_the_leaf": (lambda: Masked(MASK), np.zeros(SIZE), "a mask of shape"),
    "infinite": (lambda: Masked([True, False]), [np.inf, 0.0], r"w\[0\] = inf; expected finite"),
    "inner": (
        lambda: Masked([False, True], inner=Positive()),
        [0.0, -1.0],
        r"w, its free entries in a row,\[0\] = -1.0; expected finite numbers > 0",
    ),
    "lopsided": (
        Symmetric,
        LOPSIDED,
        r"w\[0, 2\] = 2.0; expected 1.0, as on the other side of the diagonal. Fix: start from "
        r"\(w \+ w.T\) / 2",
    ),
    "not_square": (Symmetric, np.zeros((2, 3)), r"w of shape \(2, 3\); expected square matrices"),
    "vector": (lambda: LowRank(1), np.zeros(3), r"w of shape \(3,\); expected square matrices"),
    "nan": (Symmetric, square(np.nan), r"w\[0, 0\] = nan; expected finite numbers"),
    "inner_of_symmetric": (
        lambda: Symmetric(Positive()),
        square(-1.0),
        r"w, its upper triangle in a row,\[0\] = -1.0",
    ),
    "rest_of_symmetric": (lambda: Symmetric(Masked(EVEN)), square(), "the rest, where the mask"),
    "rank": (
        lambda: LowRank(2),
        np.diag([4.0, 3.0, 2.0]),
        r"singular value 3 of w, by the largest, = 0.5; expected 0, to rounding. "
        r"Fix: start from tx.LowRank\(2\).nearest",
    ),
    "rank_of_one": (lambda: LowRank(1), np.stack([np.eye(2)] * 2), r"largest,\[0\] = 1.0"),
    "rows": (lambda: LowRank(4), np.eye(3), r"LowRank\(4\) for w of 3 rows; expected a rank of at"),
    "infinite_rank": (lambda: LowRank(1), square(np.inf), r"w\[0, 0\] = inf"),
}


@pytest.mark.parametrize("case", CASES)
def test_values_outside(case):
    make, value, message = CASES[case]
    with pytest.raises(ValueError, match=message) as raised:
        make().check("w", jnp.asarray(np.asarray(value, np.float32)))
    assert str(raised.value).startswith("got ") and ". Fix: " in str(raised.value)


ARGUMENTS = {
    "mask_of_numbers": (lambda: Masked([1.0, 0.0]), TypeError, "a mask of dtype float64; expected"),
    "empty_mask": (lambda: Masked([False]), ValueError, "a mask without any True; expected at le"),
    "rest": (lambda: Masked(MASK, rest=[1.0, 2.0]), ValueError, r"rest of shape \(2,\) for a mask"),
    "rest_nan": (lambda: Masked(MASK, rest=np.nan), ValueError, "rest = nan; expected finite num"),
    "class": (
        lambda: Masked(MASK, inner=Positive),
        TypeError,
        "inner=the class Positive; expected",
    ),
    "order": (
        lambda: Masked(MASK, inner=Symmetric()),
        ValueError,
        r"Symmetric inside of Masked; .*Fix: a symmetric matrix with a mask is tx.Symmetric\(tx.M",
    ),
    "low_rank": (lambda: Symmetric(LowRank(2)), ValueError, "LowRank inside of Symmetric"),
    "twice": (lambda: Masked(MASK, inner=Masked(MASK)), ValueError, "Masked inside of Masked"),
    "lopsided_mask": (
        lambda: Symmetric(Masked(np.triu(np.ones((3, 3), bool)))),
        ValueError,
        r"the mask of Masked\[0, 1\] = True; expected False, as on the other side",
    ),
    "lopsided_rest": (
        lambda: Symmetric(Masked(EVEN, rest=REST)),
        ValueError,
        r"the rest of Masked\[0, 1\] = ",
    ),
    "mask_of_a_vector": (
        lambda: Symmetric(Masked([True, False])),
        ValueError,
        r"the mask of Masked of shape \(2,\); expected square matrices",
    ),
    "no_rank": (lambda: LowRank(0), ValueError, "rank=0; expected an integer ≥ 1"),
    "half_a_rank": (lambda: LowRank(1.5), TypeError, "rank=1.5"),
    "nearest": (lambda: LowRank(1).nearest([1.0]), ValueError, r"the matrix of shape \(1,\)"),
    "traced": (
        lambda: jax.jit(lambda mask: Masked(mask).entries)(MASK),
        ValueError,
        "a traced mask; expected a mask that is known",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments(case):
    make, kind, message = ARGUMENTS[case]
    with pytest.raises(kind, match=message) as raised:
        make()
    assert "got " in str(raised.value) and ". Fix: " in str(raised.value)
