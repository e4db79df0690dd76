"""Addressed random numbers: the generator, the layout of addresses, and the laws of the draws."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from scipy import stats

import tauax as tx
from tauax.numerics import random

MASK = 2**32 - 1
KEY = jax.random.key(42)
SEED = (0, 42)
ALPHA = 1e-6  # of each p-value; with some thirty of them one in 3e4 fails by chance


def threefry(key: tuple[int, int], counter: tuple[int, int]) -> tuple[int, int]:
    """Threefry-2x32-20 in Python integers, from the paper of Salmon et al. (2011)."""
    schedule = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    rotations = (13, 15, 26, 6, 17, 29, 16, 24)
    x, y = (counter[0] + schedule[0]) & MASK, (counter[1] + schedule[1]) & MASK
    for turn in range(20):
        x = (x + y) & MASK
        bits = rotations[turn % 8]
        y = ((y << bits) | (y >> (32 - bits))) & MASK
        y ^= x
        if turn % 4 == 3:
            inject = turn // 4 + 1
            x = (x + schedule[inject % 3]) & MASK
            y = (y + schedule[(inject + 1) % 3] + inject) & MASK
    return x, y


def member_key(stream: int, point: int, member: int) -> tuple[int, int]:
    """The documented layout, down to one member."""
    return threefry(threefry(SEED, (stream, point)), (0, member))


def signed(word: int) -> int:
    return word - 2**32 if word >= 2**31 else word


def angle(words: tuple[int, int]) -> float:
    return signed(words[0]) * 2.0**-32 * 2 * math.pi


def gaussian(words: tuple[int, int], sine: bool = False) -> float:
    """Box–Muller of the leading 31 bits of the first word and the second as turns."""
    uniform = ((words[0] >> 1) + 0.5) * 2.0**-31
    wave = math.sin if sine else math.cos
    return math.sqrt(-2 * math.log(uniform)) * wave(2 * math.pi * signed(words[1]) * 2.0**-32)


def normal_of(key: tuple[int, int], step: int, oscillator: int, first: int = 0) -> float:
    """The documented place of one normal: two neighbours share a block."""
    counter, place = divmod(oscillator, 2)
    return gaussian(threefry(key, (step, first + counter)), sine=place == 1)


# Known answers of Random123, kat_vectors: threefry 2x32 with 20 rounds.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((MASK, MASK), (MASK, MASK), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("key", "counter", "words"), KNOWN)
def test_known_answers(key, counter, words):
    assert threefry(key, counter) == words
    ours = random.threefry2x32(*map(jnp.uint32, (*key, *counter)))
    assert tuple(map(int, ours)) == words


def test_equal_to_the_generator_of_jax():
    draw = np.random.default_rng(0).integers(0, 2**32, (50, 4), dtype=np.uint32)
    ours = np.stack(random.threefry2x32(*map(jnp.asarray, draw.T)), axis=-1)
    theirs = jax.vmap(threefry_2x32)(jnp.asarray(draw[:, :2]), jnp.asarray(draw[:, 2:]))
    np.testing.assert_array_equal(ours, theirs)


def free(size: int = 4, noise=None, dtype="float64"):
    """Oscillators that move by their noise alone."""
    return tx.PhaseOscillators(jnp.zeros(size, dtype), noise=noise)


def grid():
    """Two axes of 2 and 3 points, in that order."""
    model = free(noise=tx.WhiteNoise(jnp.asarray(0.5, jnp.float64)))
    values = jnp.asarray([0.5, 0.25], jnp.float64)
    return tx.vary(
        model,
        {
            "noise": (lambda m: m.noise.intensity, values),
            "frequency": (lambda m: m.frequency, jnp.zeros((3, 4), jnp.float64)),
        },
    )


@pytest.mark.parametrize("common", [False, True])
def test_layout_of_addresses(x64, common):
    model, dt, members = grid(), 2.0**-10, 2
    state = tx.init(model, key=KEY, members=members, common_noise=common)
    sol = tx.simulate(model, state, dt=dt, steps=3, monitors={"phase": tx.Trace(tx.phase)})
    keys, trace = np.asarray(state.key), sol.monitors["phase"].value
    moved = np.diff(np.concatenate([trace, sol.state.phase[..., None, :]], axis=-2), axis=-2)
    for row, column, member in itertools.product(range(2), range(3), range(members)):
        point = 0 if common else row * 3 + column
        at = (row, column, member)
        noise_key, phase_key = member_key(2, point, member), member_key(1, point, member)
        assert tuple(keys[at].tolist()) == noise_key
        first = [angle(threefry(phase_key, (0, oscillator))) for oscillator in range(4)]
        # Roundings of a float64 of order π.
        np.testing.assert_allclose(state.phase[at], first, rtol=0, atol=2e-15)
        scale = math.sqrt(2 * (0.5, 0.25)[row] * dt)
        for step in range(3):
            kick = [scale * normal_of(noise_key, step, i) for i in range(4)]
            # A difference of two phases of order π, each with a rounding.
            np.testing.assert_allclose(moved[(*at, step)], kick, rtol=0, atol=5e-15)


@pytest.mark.parametrize("law", ["two_point", "three_point"])
def test_layout_of_the_discrete_laws(law):
    model = free(noise=tx.WhiteNoise(0.5, law), dtype="float32")
    state = tx.init(model, key=KEY, members=2)
    for member, step in itertools.product(range(2), (0, 1, 7)):
        key = member_key(2, 0, member)
        words = [threefry(key, (step, oscillator))[0] for oscillator in range(4)]
        if law == "two_point":
            word = threefry(key, (step, 0))[0]
            wanted = [-1.0 if word >> oscillator & 1 else 1.0 for oscillator in range(4)]
        else:
            sixth = 2**32 // 6
            signs = [(word >= 2**32 - sixth) - (word < sixth) for word in words]
            wanted = np.asarray(signs) * np.float32(3) ** 0.5
        drawn = model.noise.increment(state.key[member], jnp.int32(step), jnp.float32(1.0), 4)
        # D = ½ and dt = 1: the scale is 1, to a rounding of √3.
        np.testing.assert_allclose(drawn, wanted, rtol=2e-7, atol=0)


@pytest.mark.parametrize("size", [1, 2, 7, 16, 17, 32, 40])
def test_layout_of_normals(x64, size):
    key, step = member_key(2, 0, 5), 7
    words, kind = jnp.asarray(key, jnp.uint32), jnp.dtype("float64")
    drawn = random.normal_pair(words, jnp.int32(step), size, kind)
    for found, first in zip(drawn, (0, 2**30), strict=True):
        wanted = [normal_of(key, step, oscillator, first) for oscillator in range(size)]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-15)  # roundings


def test_layout_of_two_points():
    key = member_key(2, 0, 5)
    drawn = random.two_point(jnp.asarray(key, jnp.uint32), jnp.int32(7), 70, jnp.dtype("float32"))
    words = [threefry(key, (7, counter))[0] for counter in range(3)]
    np.testing.assert_array_equal(
        drawn, [1 - 2 * (words[i // 32] >> i % 32 & 1) for i in range(70)]
    )


def test_state_without_members_is_member_zero():
    alone = tx.init(free(dtype="float32", noise=tx.WhiteNoise(1.0)), key=KEY)
    assert tuple(alone.key.tolist()) == member_key(2, 0, 0)


# Literal numbers of key 42, so that the layout cannot change in this file and the package alike.
GOLDEN_KEYS = [
    [[31795243, 498038180], [383622799, 726882851]],
    [[1046736243, 2948768000], [1679859098, 305796767]],
]
GOLDEN_PHASES = [-0.9505514765244213, -0.5380025685036126, -0.7415232094295056]
GOLDEN_INCREMENTS = [1.1102927288786035, 0.32466069448758306, 0.08573972192950348]


def test_golden_numbers():
    model = free(3, tx.WhiteNoise(0.5), "float32")
    varied = tx.vary(model, {"noise": (lambda m: m.noise.intensity, [0.5, 0.5])})
    state = tx.init(varied, key=KEY, members=2)
    np.testing.assert_array_equal(state.key, GOLDEN_KEYS)
    # float32 numbers of order π, to a rounding.
    np.testing.assert_allclose(state.phase[1, 1], GOLDEN_PHASES, rtol=0, atol=5e-7)
    drawn = model.noise.increment(state.key[1, 1], jnp.int32(5), jnp.float32(1.0), 3)
    # float32 numbers of order 1: the cosine is good to 4e-7, times the radius.
    np.testing.assert_allclose(drawn, GOLDEN_INCREMENTS, rtol=0, atol=2e-6)


AXES = ("stream", "point", "member", "step", "oscillator")
SHAPE = (2, 4, 16, 64, 64)


@pytest.fixture(scope="module")
def words() -> np.ndarray:
    """Half a million blocks: `[word, stream, point, member, step, oscillator]`."""

    @jax.jit  # the key is an argument, or the compiler would draw all of them itself
    def draw(keys):
        def one(key):
            steps = jnp.arange(SHAPE[3])
            counters = jnp.arange(SHAPE[4], dtype=jnp.uint32)
            return jax.vmap(lambda step: jnp.stack(random.block(key, step, counters)))(steps)

        return jax.vmap(one)(keys)

    points, members = jnp.arange(SHAPE[1])[:, None], jnp.arange(SHAPE[2])
    keys = jnp.stack([random.member_keys(KEY, stream, points, members) for stream in (1, 2)])
    blocks = np.asarray(draw(keys.reshape(-1, 2))).reshape(*SHAPE[:4], 2, SHAPE[4])
    return np.moveaxis(blocks, 4, 0)


@pytest.mark.parametrize("word", [0, 1])
def test_words_are_uniform(words, word):
    one = words[word].reshape(-1)
    assert stats.kstest((one + 0.5) * 2.0**-32, "uniform").pvalue > ALPHA
    for shift in (24, 0):
        counts = np.bincount((one >> shift) & 255, minlength=256)
        assert stats.chisquare(counts).pvalue > ALPHA
    ones = ((one[:, None] >> np.arange(32, dtype=np.uint32)) & 1).sum(axis=0)
    # Each bit is a fair coin.
    assert (np.abs(ones - one.size / 2) < 5 * math.sqrt(one.size) / 2).all()


def independent(a: np.ndarray, b: np.ndarray) -> None:
    """Assert that pairs of words are uncorrelated and fill the square evenly."""
    a, b = a.reshape(-1), b.reshape(-1)
    scaled = [(one + 0.5) * 2.0**-32 - 0.5 for one in (a, b)]
    correlation = 12 * np.mean(scaled[0] * scaled[1])
    # The product of two uniforms of variance 1/12 has that deviation.
    assert abs(correlation) < 4.5 / math.sqrt(a.size)
    pairs = (a >> 28) * 16 + (b >> 28)
    assert stats.chisquare(np.bincount(pairs, minlength=256)).pvalue > ALPHA


@pytest.mark.parametrize("axis", range(len(AXES)), ids=AXES)
@pytest.mark.parametrize("word", [0, 1])
def test_neighbours_along_each_axis_are_independent(words, axis, word):
    count = SHAPE[axis]
    one = words[word]
    independent(one.take(range(count - 1), axis), one.take(range(1, count), axis))


def test_the_two_words_of_a_block_are_independent(words):
    independent(words[0], words[1])


def test_no_address_is_used_twice(words):
    blocks = words[0].astype(np.uint64) << np.uint64(32) | words[1]
    # 5e5 blocks among 2⁶⁴: a coincidence has odds 1e-8.
    assert np.unique(blocks).size == blocks.size


def second_normal(key, step, size, dtype):
    return random.normal_pair(key, step, size, dtype)[1]


LAWS = {
    "normal": random.normal,
    "second": second_normal,
    "two_point": random.two_point,
    "three_point": random.three_point,
}


@pytest.fixture(scope="module")
def draws() -> dict[str, np.ndarray]:
    """2²⁰ draws of each law, in float32 and of the normal in float64."""

    def draw(law, dtype):
        keys = random.member_keys(KEY, 2, jnp.zeros(1024, jnp.int32), jnp.arange(1024))
        step = jnp.int32(3)
        return np.asarray(jax.jit(jax.vmap(lambda key: law(key, step, 1024, dtype)))(keys)).ravel()

    drawn = {name: draw(law, jnp.dtype("float32")) for name, law in LAWS.items()}
    with jax.enable_x64(True):
        drawn["double"] = draw(random.normal, jnp.dtype("float64"))
    return drawn


def assert_moments(sample: np.ndarray, last: int) -> None:
    """Assert the moments of a standard normal, up to `last`, within 4.5 standard errors."""
    x = sample.astype(np.float64)
    exact = [1, 0, 1, 0, 3, 0, 15, 0, 105, 0, 945]
    for order in range(1, last + 1):
        moment, deviation = (x**order).mean(), math.sqrt(exact[2 * order] - exact[order] ** 2)
        # Discrete laws have lower moments of high order, so this deviation bounds theirs as well.
        # Their even moments may be constant, exact but for the float32 rounding of √3.
        assert abs(moment - exact[order]) < 4.5 * deviation / math.sqrt(x.size) + 1e-6, order


@pytest.mark.parametrize(
    ("law", "last"),
    tuple({"normal": 4, "second": 4, "double": 4, "two_point": 3, "three_point": 5}.items()),
)
def test_moments(draws, law, last):
    assert_moments(draws[law], last)


def test_discrete_laws_differ_from_a_normal_where_they_must(draws):
    # Fourth moment 1 instead of 3; sixth 9 instead of 15 (standard errors 0 and 0.02).
    assert (draws["two_point"].astype(float) ** 4).mean() == 1.0
    assert abs((draws["three_point"].astype(float) ** 6).mean() - 9) < 0.1
    np.testing.assert_array_equal(np.unique(draws["two_point"]), [-1, 1])
    root = np.float32(3) ** np.float32(0.5)
    np.testing.assert_array_equal(np.unique(draws["three_point"]), [-root, 0, root])


def test_normals_of_one_block_are_independent(draws):
    """Sine and cosine of one angle, and the first and second normals of one oscillator."""
    one, other = draws["normal"].astype(np.float64).reshape(-1, 2).T
    pairs = [(one, other), (draws["normal"].astype(np.float64), draws["second"].astype(np.float64))]
    for a, b in pairs:
        for power in (1, 2):
            x, y = a.ravel() ** power, b.ravel() ** power
            assert abs(np.corrcoef(x, y)[0, 1]) < 4.5 / math.sqrt(x.size)
        split = [np.digitize(x.ravel(), stats.norm.ppf(np.arange(1, 16) / 16)) for x in (a, b)]
        assert stats.chisquare(np.bincount(split[0] * 16 + split[1], minlength=256)).pvalue > ALPHA


@pytest.mark.parametrize("law", ["normal", "second", "double"])
def test_normals_are_normal(draws, law):
    assert stats.kstest(draws[law].astype(np.float64), "norm").pvalue > ALPHA
    assert np.abs(draws[law]).max() <= 6.7
    # 2²⁰ draws of |z| > 4.5 are expected 7 times, so an empty tail has odds 1e-3; of |z| > 4, 66.
    assert 20 < (np.abs(draws[law]) > 4).sum() < 120


def test_both_precisions_follow_the_same_path(draws):
    single, double = draws["normal"].astype(np.float64), draws["double"]
    error = np.abs(single - double)
    # u rounds to 24 bits, so r² = −2 ln u is off by 1.2e-7 + 1e-7 r²: near u = 1, where r → 0, r is
    # off by at most √1.2e-7 = 3.5e-4.
    assert error.max() <= 3.5e-4
    # |z| ≤ r, so error·|z| ≤ |Δ(r²)|/2 + r·|Δ cos|, with r ≤ 6.7 and the bound of sincos, 4e-7.
    assert (error * np.abs(double)).max() <= 0.6e-7 + 0.5e-7 * 45 + 6.7**2 * 4e-7
    # A path in float32 is that of float64: all but the few with r < 0.1 agree to some roundings.
    assert np.quantile(error, 0.99) <= 2e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_words(x64, dtype, monkeypatch):
    corners = [0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]
    pairs = [*itertools.product(corners, corners), *[(0, 0)] * 12]  # 48, a whole number of lanes
    words = jnp.asarray(pairs, jnp.uint32)
    monkeypatch.setattr(
        random, "block", lambda key, step, counters: (words[counters, 0], words[counters, 1])
    )
    arguments = (jnp.zeros(2, jnp.uint32), jnp.int32(0))
    z = np.asarray(random.normal(*arguments, 2 * len(pairs), jnp.dtype(dtype)), np.float64)
    wanted = [gaussian(pair, sine) for pair in pairs for sine in (False, True)]
    assert np.abs(z).max() <= 6.7
    # u near 1: see above; for float64 the roundings of numbers of order 7.
    np.testing.assert_allclose(z, wanted, rtol=0, atol=3.5e-4 if dtype == "float32" else 1e-9)
    arguments = (arguments[0], len(pairs), jnp.dtype(dtype))
    angles = random.angles(*arguments)
    half = np.asarray(math.pi, dtype)
    # −π is reached; π, at the last words, only by rounding: `init` wraps.
    assert ((angles >= -half) & (angles <= half)).all()
