"""Couplings, frequencies, noises and dtypes: each part against its documented formula."""

import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr
from scipy import stats
from tables import COUPLINGS, NOISES, SIZE, model

import tauax as tx
from tauax import couplings as kinds_of_coupling
from tauax.couplings import Scaled, Sum

KEY = jax.random.key(5)
COUPLED = [name for name, make in COUPLINGS.items() if make(SIZE) is not None]
PHASE = np.random.default_rng(1).uniform(-math.pi, math.pi, SIZE)


def loop(coupling, phase: np.ndarray) -> np.ndarray:
    """The torque by the documented formula, in float64."""
    return LOOPS[type(coupling)](coupling, phase)


def loop_pairs(weights, strength, lag, phase):
    size = len(phase)
    strength = np.broadcast_to(np.float64(strength), size)
    torque = np.zeros(size)
    for i in range(size):
        for j in range(size):
            torque[i] += strength[i] * weights[i][j] * math.sin(phase[j] - phase[i] - float(lag))
    return torque


def loop_mean_field(coupling, phase):
    size = len(phase)
    weights = np.full((size, size), 1 / size)
    return loop_pairs(weights, coupling.strength, coupling.lag, phase)


def loop_dense(coupling, phase):
    weights = np.asarray(coupling.weights, np.float64)
    received = [sum(map(abs, row)) for row in weights]
    divisors = {
        "none": [1.0] * len(phase),
        "size": [float(len(phase))] * len(phase),
        "in_degree": [one if one > 0 else 1.0 for one in received],
    }[coupling.norm]
    weights = [row / divisor for row, divisor in zip(weights, divisors, strict=True)]
    return loop_pairs(weights, coupling.strength, coupling.lag, phase)


def loop_sparse(coupling, phase):
    weights = np.zeros((coupling.size, coupling.size))
    for target, source, weight in zip(
        coupling.target, coupling.source, coupling.weights, strict=True
    ):
        weights[target, source] = weight
    return loop_dense(tx.Dense(weights, coupling.strength, coupling.lag, coupling.norm), phase)


def loop_fourier(coupling, phase):
    size, network = len(phase), coupling.network
    weights, lag, strength = np.full((size, size), 1 / size), 0.0, np.float64(coupling.strength)
    if network is not None:
        weights, lag = np.asarray(network.weights, np.float64), float(network.lag)
        received = np.abs(weights).sum(axis=1, keepdims=True)
        weights = weights / np.where(received == 0, 1.0, received)  # "in_degree"
        strength = strength * np.float64(network.strength)
    harmonics = np.arange(1, len(coupling.sines) + 1)
    angles = (phase[None, :] - phase[:, None] - lag)[..., None] * harmonics
    terms = np.sin(angles) @ np.float64(coupling.sines)
    terms = terms + np.cos(angles) @ np.float64(coupling.cosines)
    if coupling.constant is not None:
        terms = terms + np.float64(coupling.constant)
    return strength * (weights * terms).sum(axis=1)


LOOPS = {
    tx.MeanField: loop_mean_field,
    tx.Dense: loop_dense,
    tx.Sparse: loop_sparse,
    tx.FourierCoupling: loop_fourier,
    tx.NeuralCoupling: lambda coupling, phase: loop_fourier(coupling.fourier(), phase),
    Sum: lambda coupling, phase: sum(loop(part, phase) for part in coupling.parts),
    Scaled: lambda coupling, phase: np.float64(coupling.factor) * loop(coupling.part, phase),
}


@jax.jit  # an edge list is dozens of operations, each compiled by itself without
def torque(coupling, phase) -> jax.Array:
    return coupling(jnp.sin(phase), jnp.cos(phase))


def double(coupling):
    """The same numbers in float64; the edges of a network stay integers."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf, coupling
    )


def relabelled(coupling, order):
    """The coupling when the oscillator that was order[i] is called i."""

    def moved(part):
        if not isinstance(part, tx.Sparse):
            if any(length != len(order) for length in part.shape):
                return part  # harmonics and layers are not counted by oscillators
            return part[np.ix_(*[order] * part.ndim)]
        name = np.argsort(order)
        strength = part.strength[order] if part.strength.ndim else part.strength
        ends = name[part.target], name[part.source]
        return tx.Sparse(
            *ends, part.weights, size=part.size, strength=strength, lag=part.lag, norm=part.norm
        )

    return jax.tree.map(moved, coupling, is_leaf=lambda part: isinstance(part, tx.Sparse))


def test_sum_of_a_list():
    parts = [tx.MeanField(1.0), tx.MeanField(2.0), tx.MeanField(0.5)]
    assert float(abs(torque(sum(parts), PHASE) - torque(tx.MeanField(3.5), PHASE)).max()) < 1e-6
    with pytest.raises(TypeError):
        1 + parts[0]


@pytest.mark.parametrize("name", COUPLED)
def test_laws_of_every_coupling(x64, name):
    coupling = double(COUPLINGS[name](SIZE))
    plain = torque(coupling, PHASE)
    # Sums of a dozen terms of order 1 in float64.
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-13)
    close(plain, loop(coupling, PHASE))
    close(torque(coupling, PHASE + 1.234), plain)

    order = np.random.default_rng(4).permutation(SIZE)
    close(torque(relabelled(coupling, order), PHASE[order]), plain[order])


@pytest.mark.parametrize("name", COUPLED)
def test_couplings_in_float32(name):
    coupling = COUPLINGS[name](SIZE)
    phase = PHASE.astype(np.float32)
    exact = loop(coupling, phase.astype(np.float64))
    # A dozen terms of weight up to 2, each with a few roundings of 6e-8.
    np.testing.assert_allclose(torque(coupling, phase), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("lag", [0.0, 0.7])
def test_mean_field_is_dense_all_to_all(x64, lag):
    strength = jnp.linspace(-1.0, 2.0, SIZE)
    fast = torque(tx.MeanField(strength, lag), PHASE)
    ones = jnp.ones((SIZE, SIZE))
    for dense in (
        tx.Dense(ones / SIZE, strength, lag),
        tx.Dense(ones, strength, lag, norm="size"),
        tx.Dense(ones, strength, lag, norm="in_degree"),
    ):
        # Roundings of a float64 sum.
        np.testing.assert_allclose(torque(dense, PHASE), fast, rtol=0, atol=1e-14)


def test_symmetric_odd_couplings_sum_to_zero(x64):
    weights = np.random.default_rng(2).normal(size=(SIZE, SIZE))
    symmetric = jnp.asarray(weights + weights.T)
    couplings = (tx.MeanField(1.7), tx.Dense(symmetric), tx.Dense(symmetric, 2.0, norm="size"))
    for coupling in (*couplings, couplings[0] + 3.0 * couplings[1]):
        # Roundings of a sum of a few hundred terms of order 1 in float64.
        assert abs(torque(coupling, PHASE).sum()) < 1e-12
    # Neither holds for a lag or a directed matrix.
    for coupling in (tx.MeanField(1.7, 0.5), tx.Dense(jnp.asarray(weights))):
        assert abs(torque(coupling, PHASE).sum()) > 1e-3


def test_algebra():
    a, b = COUPLINGS["mean_field_lag"](SIZE), COUPLINGS["dense_in_degree"](SIZE)
    one, two = torque(a, PHASE), torque(b, PHASE)
    each = np.linspace(-1, 1, SIZE, dtype=np.float32)
    cases = [
        (a + b, one + two),
        (a + b + a, one + two + one),
        (2.0 * a, 2.0 * one),
        (np.float32(2.0) * a, 2.0 * one),
        (each * b, each * two),
        (jnp.asarray(each) * b, each * two),
        (3 * (a + 0.5 * b), 3.0 * (one + 0.5 * two)),
    ]
    for coupling, wanted in cases:
        assert isinstance(coupling, tx.AbstractCoupling)
        # A rounding or two of numbers of order 3 in float32.
        np.testing.assert_allclose(torque(coupling, PHASE), wanted, rtol=0, atol=1e-6)
        tx.PhaseOscillators(np.zeros(SIZE), coupling)
    with pytest.raises(TypeError):
        a + 1.0
    with pytest.raises(ValueError, match="factor of shape"):
        tx.PhaseOscillators(np.zeros(SIZE), np.ones(SIZE - 1) * a)


def test_a_row_without_input_feels_nothing():
    weights = np.ones((SIZE, SIZE))
    weights[3] = 0.0
    for norm in ("none", "size", "in_degree"):
        felt = np.asarray(torque(tx.Dense(weights, 2.0, norm=norm), PHASE))
        assert felt[3] == 0
        assert np.isfinite(felt).all()
        assert (np.delete(felt, 3) != 0).all()


@pytest.mark.parametrize("name", COUPLED)
def test_gradient_in_every_leaf_is_a_finite_difference(x64, name):
    coupling = double(COUPLINGS[name](SIZE))
    rng = np.random.default_rng(6)
    weights = rng.normal(size=SIZE)
    point = (coupling, jnp.asarray(PHASE))
    moving, fixed = eqx.partition(point, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(moving)

    @jax.jit
    def loss(leaves):
        coupling, phase = eqx.combine(structure.unflatten(leaves), fixed)
        return weights @ torque(coupling, phase)

    slopes = jax.jit(jax.grad(loss))(leaves)
    step = 1e-5
    for index, leaf in enumerate(leaves):
        # A weight that is zero stays zero: |w| of the in-degree has a corner there.
        way = rng.normal(size=leaf.shape) * ((leaf != 0) | (leaf.ndim < 2))
        ends = [[*leaves[:index], leaf + s * way, *leaves[index + 1 :]] for s in (step, -step)]
        difference = (loss(ends[0]) - loss(ends[1])) / (2 * step)
        # Central differences: 1e-10 from truncation, 1e-16 / 1e-5 from rounding, times tens.
        np.testing.assert_allclose((slopes[index] * way).sum(), difference, rtol=1e-8, atol=2e-8)


def shapes(jaxpr: Jaxpr):
    """The shapes of all results in a program, inner programs included."""
    for equation in jaxpr.eqns:
        yield from (getattr(variable.aval, "shape", ()) for variable in equation.outvars)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if isinstance(inner, ClosedJaxpr):
                    yield from shapes(inner.jaxpr)
                elif isinstance(inner, Jaxpr):
                    yield from shapes(inner)


def largest(function, *arguments) -> int:
    return max(map(math.prod, shapes(jax.make_jaxpr(function)(*arguments).jaxpr)))


def test_dense_makes_nothing_of_members_times_pairs():
    members = 7
    system = model("dense_lag", "normal")
    state = tx.init(system, key=KEY, members=members)
    assert largest(partial(tx.step, dt=0.1), system, state) <= 2 * SIZE * SIZE
    gradient = jax.grad(lambda system: tx.step(system, state, dt=0.1).phase.sum())
    assert largest(gradient, system) < members * SIZE * SIZE

    @jax.jit
    def naive(phase):
        return jnp.sin(phase[:, None, :] - phase[:, :, None]).sum(axis=-1)

    assert largest(naive, state.phase) == members * SIZE * SIZE


LAWS = {
    "lorentzian": (tx.frequencies.lorentzian, stats.cauchy(0.5, 0.3)),
    "gaussian": (tx.frequencies.gaussian, stats.norm(0.5, 0.3)),
    "uniform": (tx.frequencies.uniform, stats.uniform(0.2, 0.6)),
}


@pytest.mark.parametrize("name", LAWS)
def test_frequencies(name):
    law, reference = LAWS[name]
    for size in (1, 2, 9, 64):
        quantiles = law(size, 0.5, 0.3)
        wanted = reference.ppf((np.arange(size) + 0.5) / size)
        # float32 roundings, relative for the tails of the Lorentzian.
        np.testing.assert_allclose(quantiles, wanted, rtol=3e-7, atol=1e-7)
    drawn = law(20_000, 0.5, 0.3, key=KEY)
    assert stats.kstest(np.asarray(drawn, np.float64), reference.cdf).pvalue > 1e-4
    assert drawn.dtype == jnp.float32

    sets = law(400, 0.5, 0.3, key=KEY, members=50)
    assert sets.shape == (50, 400)
    assert stats.kstest(np.asarray(sets, np.float64).ravel(), reference.cdf).pvalue > 1e-4
    # The law of one oscillator over the sets, too: sets are not copies of each other.
    assert stats.kstest(np.asarray(sets[:, 0], np.float64), reference.cdf).pvalue > 1e-4
    np.testing.assert_array_equal(law(400, 0.5, 0.3, key=KEY), sets[0])
    np.testing.assert_array_equal(law(400, 0.5, 0.3, key=KEY, members=3), sets[:3])


@pytest.mark.parametrize("name", [*LAWS, "bimodal_lorentzian"])
@pytest.mark.parametrize("key", [None, KEY], ids=["quantiles", "draws"])
def test_frequencies_are_differentiable(name, key):
    law = getattr(tx.frequencies, name)
    options = {} if key is None else {"key": key, "members": 2}
    slope = jax.jacfwd(lambda place: law(6, place[0], place[1], **options))
    centre, width = np.moveaxis(np.asarray(slope(jnp.asarray([0.5, 0.3]))), -1, 0)
    standard = law(6, 0.0, 1.0, **options)
    signs = np.where(np.arange(6) < 3, -1.0, 1.0) if name.startswith("bimodal") else np.ones(6)
    np.testing.assert_array_equal(centre, np.broadcast_to(signs, centre.shape))
    np.testing.assert_array_equal(width, standard)


@pytest.mark.parametrize("size", [2, 7, 10])
def test_bimodal_halves(size):
    both = tx.frequencies.bimodal_lorentzian(size, 1.5, 0.2)
    low, high = size // 2, size - size // 2
    np.testing.assert_array_equal(both[:low], tx.frequencies.lorentzian(low, -1.5, 0.2))
    np.testing.assert_array_equal(both[low:], tx.frequencies.lorentzian(high, 1.5, 0.2))


def test_bimodal_draws():
    drawn = tx.frequencies.bimodal_lorentzian(10_001, 1.5, 0.2, key=KEY)
    drawn = np.asarray(drawn, np.float64)
    for half, centre in ((drawn[:5000], -1.5), (drawn[5000:], 1.5)):
        assert stats.kstest(half, stats.cauchy(centre, 0.2).cdf).pvalue > 1e-4
    # The halves are two draws: not one draw shifted.
    correlation = stats.spearmanr(drawn[:5000], drawn[5000:10_000]).pvalue
    assert correlation > 1e-4
    sets = tx.frequencies.bimodal_lorentzian(11, 1.5, 0.2, key=KEY, members=4)
    assert sets.shape == (4, 11)
    np.testing.assert_array_equal(tx.frequencies.bimodal_lorentzian(11, 1.5, 0.2, key=KEY), sets[0])


def increments(noise, dt: float, members: int = 2000) -> np.ndarray:
    """`[member, oscillator]` over the first step."""
    state = tx.init(tx.PhaseOscillators(np.zeros(SIZE), noise=noise), key=KEY, members=members)
    step, dt = jnp.int32(0), jnp.float32(dt)
    return np.asarray(jax.vmap(lambda key: noise.increment(key, step, dt, SIZE))(state.key))


def test_white_noise_scales():
    intensity = np.linspace(0.0, 0.3, SIZE)
    noise = tx.WhiteNoise(intensity)
    kicks = increments(noise, 0.01)
    # A sample variance of 2000 normals has relative deviation √(2/2000) = 0.032; 4.9 of them
    # for each of 12.
    np.testing.assert_allclose(kicks.var(axis=0), 2 * intensity * 0.01, rtol=0.155, atol=0)
    # The same numbers, scaled: √dt is exact for a factor of 4, else to roundings.
    np.testing.assert_allclose(increments(noise, 0.04), 2 * kicks, rtol=1e-6, atol=0)
    quadrupled = tx.WhiteNoise(4 * intensity)
    np.testing.assert_allclose(increments(quadrupled, 0.01), 2 * kicks, rtol=1e-6, atol=0)


def test_from_deviation():
    deviation = np.asarray([0.0, 0.4, 1.5], np.float32)
    noise = tx.WhiteNoise.from_deviation(deviation, increments="two_point")
    # A square and a half of it: a rounding.
    np.testing.assert_allclose(noise.intensity, deviation.astype(float) ** 2 / 2, rtol=2e-7)
    assert noise.increments == "two_point"
    kicks = increments(tx.WhiteNoise.from_deviation(0.8, increments="two_point"), 0.25, 4)
    # σ√dt = 0.4, to roundings.
    np.testing.assert_allclose(np.abs(kicks), 0.4, rtol=1e-6)
    assert tx.WhiteNoise.from_deviation(2.0).intensity == 2.0


@pytest.mark.parametrize("stepper", [tx.Euler(), tx.Heun()])
def test_given_noise_drives_exactly(stepper):
    path = np.asarray(NOISES["given"](SIZE).increments)[:10]
    system = tx.PhaseOscillators(np.zeros(SIZE), noise=tx.GivenNoise(path))
    state = tx.init(system, phase=np.zeros(SIZE))
    sol = tx.simulate(
        system, state, dt=0.1, steps=10, stepper=stepper, monitors={"phase": tx.Trace(tx.phase)}
    )
    walk = np.cumsum(np.concatenate([np.zeros((1, SIZE), np.float32), path]), axis=0)
    np.testing.assert_array_equal(sol.monitors["phase"].value, walk[:-1])
    np.testing.assert_array_equal(sol.state.phase, walk[-1])


def test_given_noise_past_its_end():
    system = model("none", "given")
    rows = system.noise.increments.shape[0]
    state = tx.init(system, phase=np.zeros(SIZE), members=2)
    with pytest.raises(ValueError, match="increments for 64 steps"):
        tx.simulate(system, state, dt=0.1, steps=rows + 1)
    run = jax.jit(
        lambda state, steps: tx.simulate(system, state, dt=0.1, steps=steps), static_argnums=1
    )
    inside, outside = run(state, rows), run(state, rows + 1)
    assert np.isfinite(np.asarray(inside.state.phase)).all()
    assert not np.asarray(inside.status).any()
    assert np.isnan(np.asarray(outside.state.phase)).all()
    assert np.asarray(outside.status).all()


def floats(tree) -> list[jax.Array]:
    leaves = jax.tree.leaves(tree)
    return [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_frequency_sets_the_dtype(x64, dtype):
    """Whatever the other parts are made of."""
    part = {"float32": jnp.float64, "float64": jnp.float32}[dtype]
    coupling = tx.MeanField(jnp.asarray(1.5, part)) + tx.Dense(jnp.ones((SIZE, SIZE), part))
    noise = tx.WhiteNoise(jnp.asarray(0.1, part))
    system = tx.PhaseOscillators(jnp.linspace(-1, 1, SIZE, dtype=dtype), coupling, noise)
    state = tx.init(system, key=KEY, members=2, phase=jnp.zeros(SIZE, part))
    monitors = {"r": tx.Moments(tx.coherence), "phase": tx.Trace(tx.phase), "turn": tx.Rotations()}
    sol = tx.simulate(system, state, dt=0.1, steps=3, monitors=monitors, stepper=tx.Heun())
    assert system.dtype == dtype
    every = (state, sol.state, tx.step(system, state, dt=0.1), sol.monitors)
    assert {str(leaf.dtype) for leaf in floats(every)} == {dtype}
    assert sol.monitors["r"].variance.dtype == dtype
    assert sol.monitors["turn"].frequency.dtype == dtype


def test_a_python_dt_keeps_the_precision_of_the_phase(x64):
    system = tx.PhaseOscillators(np.asarray([0.3]))
    sol = tx.simulate(system, tx.init(system, phase=[0.0]), dt=0.1, steps=7)
    # Roundings of float64 numbers below 1: not those of float32(0.1), 1.5e-9.
    np.testing.assert_allclose(sol.state.time, 0.7, rtol=0, atol=1e-15)
    np.testing.assert_allclose(sol.state.phase, [0.21], rtol=0, atol=1e-15)


@pytest.mark.parametrize("name", COUPLINGS)
def test_no_weak_types(name):
    system = model(name, "normal")
    state = tx.init(system, key=KEY)
    leaves = jax.tree.leaves((system, state, tx.step(system, state, dt=0.1)))
    assert not [leaf for leaf in leaves if getattr(leaf, "weak_type", False)]


def test_numbers_of_any_kind_become_float32_arrays():
    kinds = (2, 2.0, np.int64(2), np.float32(2), jnp.int32(2), jnp.asarray(2.0), np.asarray(2))
    for value in kinds:
        coupling = tx.MeanField(strength=value)
        assert coupling.strength.dtype == jnp.float32
        assert coupling.strength == 2
        assert not coupling.strength.weak_type
    listed = tx.PhaseOscillators(
        [1, 2, 3],
        tx.Dense([[0, 1, 0], [1, 0, 1], [0, 1, 0]], [1, 2, 3]),
        tx.WhiteNoise([0, 0.1, 0.2]),
    )
    for leaf in jax.tree.leaves(listed):
        assert leaf.dtype == jnp.float32
    state = tx.init(listed, key=KEY, phase=[0, 1, 2])
    assert tx.step(listed, state, dt=1).phase.dtype == jnp.float32


def test_tables_are_complete():
    """A coupling of the package without a formula here, or not in the table, escapes the laws."""
    couplings = [make(SIZE) for make in COUPLINGS.values()]
    parts = [part for one in couplings if isinstance(one, Sum) for part in one.parts]
    kinds = {type(one) for one in (*couplings, *parts)} - {type(None)}
    public = {kind for kind in vars(kinds_of_coupling).values() if isinstance(kind, type)}
    assert kinds == set(LOOPS) == public - {tx.AbstractCoupling, tx.AbstractNetwork}
