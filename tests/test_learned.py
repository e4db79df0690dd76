"""Coupling functions and drives that are learned: their formulas, gradients, files and messages."""

import math
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_parts import double, largest, shapes

import tauax as tx
from tauax.clock import Clock, Moment
from tauax.couplings.fourier import FourierCoupling, NeuralCoupling, multiples
from tauax.drives.neural import NeuralDrive

SIZE, HARMONICS = 12, 5
KEY = jax.random.key(8)
PHASE = np.random.default_rng(1).uniform(-math.pi, math.pi, SIZE)
SINES, COSINES = np.random.default_rng(2).normal(size=(2, HARMONICS))
CONSTANT = 0.37


def weights() -> np.ndarray:
    """Directed and signed, with an empty row and a self-loop."""
    found = np.random.default_rng(7).normal(size=(SIZE, SIZE))
    found[np.abs(found) < 0.6] = 0.0
    found[3] = 0.0
    return found


def dense():
    return tx.Dense(weights(), np.linspace(0.5, 2.0, SIZE), 0.3, "in_degree")


def sparse():
    return tx.Sparse.from_dense(weights(), 0.8, -0.4, "size")


NETWORKS = {"all": lambda: None, "dense": dense, "sparse": sparse}


@jax.jit
def torque(coupling, phase) -> jax.Array:
    return coupling(jnp.sin(phase), jnp.cos(phase))


def summed(function, network, strength, phase: np.ndarray) -> np.ndarray:
    """K/n_i Σ_j w_ij Γ(θ_j − θ_i − α) by the plain double sum, in float64."""
    size = len(phase)
    if network is None:
        matrix, lag = np.full((size, size), 1.0 / size), 0.0
    else:
        matrix, lag = weights(), float(network.lag)
        strength = strength * np.asarray(network.strength, np.float64)
        received = np.abs(matrix).sum(axis=1)
        received[received == 0] = 1.0
        matrix = matrix / {"size": size, "in_degree": received[:, None]}[network.norm]
    difference = phase[None, :] - phase[:, None] - lag
    return strength * (matrix * function(difference)).sum(axis=1)


def series(difference: np.ndarray) -> np.ndarray:
    """The random Γ of the tests."""
    angles = difference[..., None] * np.arange(1, HARMONICS + 1)
    return CONSTANT + np.sin(angles) @ SINES + np.cos(angles) @ COSINES


def plain_perceptron(module, points: np.ndarray) -> np.ndarray:
    """What an MLP with tanh gives, by numpy in float64."""
    values = points
    for layer in module.layers[:-1]:
        values = np.tanh(values @ np.float64(layer.weight).T + np.float64(layer.bias))
    last = module.layers[-1]
    return (values @ np.float64(last.weight).T + np.float64(last.bias))[..., 0]


# Fourier series


@pytest.mark.parametrize("lag", [0.0, 0.7])
def test_one_sine_is_what_it_was(x64, lag):
    strength = np.linspace(-1.0, 2.0, SIZE)
    networks = (
        tx.Dense(weights(), strength, lag, "in_degree"),
        tx.Sparse.from_dense(weights(), strength, lag, "size"),
    )
    # Roundings of a float64 sum of a dozen terms.
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-14)
    for network in networks:
        close(torque(FourierCoupling([1.0], network=network), PHASE), torque(network, PHASE))
    # b sin φ + a cos φ is a lag: sin(φ − α) = cos α sin φ − sin α cos φ.
    turned = FourierCoupling([math.cos(lag)], [-math.sin(lag)], strength=strength)
    close(torque(turned, PHASE), torque(tx.MeanField(strength, lag), PHASE))


@pytest.mark.parametrize("network", NETWORKS)
def test_random_series_is_the_double_sum(x64, network):
    network = NETWORKS[network]()
    strength = np.linspace(0.3, 1.5, SIZE)
    coupling = FourierCoupling(SINES, COSINES, network, strength, CONSTANT)
    # Float64 sums of a dozen terms of order 1 in five harmonics.
    close = partial(np.testing.assert_allclose, rtol=0, atol=1e-13)
    plain = summed(series, network, strength, PHASE)
    close(torque(coupling, PHASE), plain)
    close(torque(coupling, PHASE + 2.345), plain)
    odd = FourierCoupling(SINES, network=network)
    zeros = FourierCoupling(SINES, np.zeros(HARMONICS), network, 1.0, 0.0)
    close(torque(odd, PHASE), torque(zeros, PHASE))
    phi = np.linspace(-7.0, 7.0, 30).reshape(3, 10)
    close(coupling.function_at(phi), series(phi))
    close(odd.function_at(phi), np.sin(phi[..., None] * np.arange(1, HARMONICS + 1)) @ SINES)


def test_relabelling_permutes_the_torque(x64):
    order = np.random.default_rng(4).permutation(SIZE)
    network, moved = (tx.Dense(w, 1.0, 0.3) for w in (weights(), weights()[np.ix_(order, order)]))
    for one, other in ((None, None), (network, moved)):
        before = torque(FourierCoupling(SINES, COSINES, one), PHASE)
        after = torque(FourierCoupling(SINES, COSINES, other), PHASE[order])
        np.testing.assert_allclose(after, before[order], rtol=0, atol=1e-13)  # as above


def test_high_harmonics_in_float32():
    count = 40
    phase = np.concatenate([PHASE, [0.0, 1e-3, math.pi - 1e-3]]).astype(np.float32)
    sin, cos = np.sin(phase), np.cos(phase)
    found = multiples(jnp.asarray(sin), jnp.asarray(cos), count)
    exact = np.arctan2(np.float64(sin), np.float64(cos)) * np.arange(1, count + 1)[:, None]
    for values, wanted in zip(found, (np.sin(exact), np.cos(exact)), strict=True):
        # k roundings of 6e-8 each in angle and in length, times two for the pairs of products.
        np.testing.assert_allclose(values, wanted, rtol=0, atol=count * 2.4e-7)


def test_nothing_of_the_size_of_pairs_is_made():
    system = tx.PhaseOscillators(np.zeros(50), FourierCoupling(SINES, COSINES))
    state = tx.init(system, key=KEY, members=3)
    gradient = jax.grad(lambda system: tx.step(system, state, dt=0.1).phase.sum())
    assert largest(gradient, system) <= 3 * 50 * 2 * HARMONICS
    assert largest(gradient, system) < 3 * 50 * 50


def test_neighbours_are_those_of_the_network():
    sin, cos = jnp.sin(jnp.asarray(PHASE)), jnp.cos(jnp.asarray(PHASE))
    network = tx.Dense(weights())
    cases = ((None, tx.MeanField(1.0)), (network, network))
    for network, wanted in cases:
        coupling = FourierCoupling(SINES, network=network)
        neural = NeuralCoupling.perceptron(4, 1, network=network, key=KEY)
        for one in (coupling, neural):
            found = one.neighbours(sin, cos), wanted.neighbours(sin, cos)
            for part, other in zip(*found, strict=True):
                np.testing.assert_array_equal(part, other)


# Coupling functions by a network of neurons


@pytest.mark.parametrize("network", ["all", "dense"])
def test_projected_is_evaluated_in_every_pair(x64, network):
    network = NETWORKS[network]()
    neural = double(NeuralCoupling.perceptron(16, 2, network=network, strength=1.3, key=KEY))

    def function(difference):
        points = np.stack([np.sin(difference), np.cos(difference)], axis=-1)
        return plain_perceptron(neural.parameters, points)

    truncation = float(neural.truncation())
    assert 1e-12 < truncation < 1e-5
    plain = summed(function, network, 1.3, PHASE)
    most = 1.3 if network is None else 1.3 * float(np.abs(network.strength).max())
    difference = np.abs(torque(neural, PHASE) - plain).max()
    # A mean over pairs of what is off by the truncation at most; a little more between its points.
    assert difference < 1.1 * most * truncation
    phi = np.linspace(-5.0, 5.0, 40).reshape(8, 5)
    np.testing.assert_allclose(neural.function_at(phi), function(phi), rtol=0, atol=1e-13)
    projected = neural.fourier()
    assert np.abs(projected.function_at(phi) - function(phi)).max() < 1.1 * truncation
    np.testing.assert_allclose(torque(projected, PHASE), torque(neural, PHASE), rtol=0, atol=1e-13)


def test_truncation_falls_with_smoothness(x64):
    def errors(activation, *harmonics):
        make = partial(NeuralCoupling.perceptron, 16, 2, activation, key=KEY)
        return [float(make(count).truncation()) for count in harmonics]

    for activation in (jnp.tanh, jax.nn.softplus):
        four, eight, sixteen = errors(activation, 4, 8, 16)
        # Exponentially: each doubling squares the error, up to a factor.
        assert eight < 30 * four**1.5
        assert sixteen < 30 * eight**1.5
        assert sixteen < 1e-7
    few, many = errors(jax.nn.relu, 8, 32)
    assert 1e-4 < many < few < 0.1


def sharp(point):
    """sin φ + 0.3 sin 2φ − 0.2 cos φ + 0.1, as a function of (sin φ, cos φ)."""
    sin, cos = point
    return sin + 0.6 * sin * cos - 0.2 * cos + 0.1


def test_plain_functions_are_coupling_functions_too(x64):
    neural = NeuralCoupling(sharp, harmonics=3)
    found = neural.fourier()
    # Roundings of float64.
    np.testing.assert_allclose(found.sines, [1.0, 0.3, 0.0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.cosines, [-0.2, 0.0, 0.0], rtol=0, atol=1e-15)
    assert float(found.constant) == pytest.approx(0.1, abs=1e-15)
    assert neural.truncation() < 1e-14
    tx.step(model(neural), tx.init(model(neural), phase=PHASE), dt=0.1)


def test_coefficients_are_shared_by_all_members():
    width, members = 13, 7
    neural = NeuralCoupling.perceptron(width, 2, key=KEY)
    drive = NeuralDrive.perceptron(2.0, width, 2, key=KEY)
    system = tx.PhaseOscillators(np.zeros(SIZE), neural, None, drive)
    state = tx.init(system, key=KEY, members=members)
    found = list(shapes(jax.make_jaxpr(partial(tx.step, dt=0.1))(system, state).jaxpr))
    assert any(width in shape for shape in found)
    assert not any(width in shape and members in shape for shape in found)


# Drives


def tone_like(point):
    """sin(Ωt − θ) as a function of (sin θ, cos θ, sin Ωt, cos Ωt)."""
    sin, cos, drive_sin, drive_cos = point
    return drive_sin * cos - drive_cos * sin


@pytest.mark.parametrize("step", [0, 1234, 10**9])
def test_a_drive_like_a_tone(step):
    clock = Clock.start(jnp.float32).with_dt(jnp.float32(0.01), jnp.int32(0))
    moment = Moment(clock, jnp.int32(step), 0.5)
    amplitude = np.linspace(0.5, 2.0, SIZE)
    phase = jnp.asarray(PHASE, jnp.float32)
    tone = tx.Tone(amplitude, 33.3)(phase, moment)
    neural = NeuralDrive(tone_like, 33.3, 3, amplitude)(phase, moment)
    # The same angle of the drive; float32 sines and products of order 2.
    np.testing.assert_allclose(neural, tone, rtol=0, atol=3e-6)


def test_drive_is_its_function(x64):
    drive = double(NeuralDrive.perceptron(2.0, 16, 2, amplitude=1.7, key=KEY))
    clock = Clock.start(jnp.float64).with_dt(jnp.float64(0.01), jnp.int32(0))
    torque = drive(jnp.asarray(PHASE), Moment(clock, jnp.int32(77), 0.5))
    angle = 2.0 * 0.775
    both = np.broadcast_arrays(PHASE, angle)
    points = np.stack([part for one in both for part in (np.sin(one), np.cos(one))], axis=-1)
    plain = plain_perceptron(drive.parameters, points)
    np.testing.assert_allclose(drive.function_at(PHASE, angle), plain, rtol=0, atol=1e-13)  # sums
    truncation = float(drive.truncation())
    assert truncation < 1e-5
    # A little more than on the grid.
    assert np.abs(torque - 1.7 * plain).max() < 1.2 * 1.7 * truncation


# In a system


def model(coupling=None, drive=None, noise=None, dtype=jnp.float32):
    frequency = jnp.linspace(-1.0, 1.5, SIZE, dtype=dtype)
    return tx.PhaseOscillators(frequency, coupling, noise, drive)


def learned(dtype=jnp.float32):
    """Every learned part at once."""
    coupling = FourierCoupling(SINES[:3], COSINES[:3], None, 0.5, CONSTANT)
    coupling = coupling + NeuralCoupling.perceptron(6, 1, harmonics=3, network=dense(), key=KEY)
    drive = NeuralDrive.perceptron(3.0, 6, 1, harmonics=3, key=KEY) + tx.Forcing(tx.Sine(0.5, 2.0))
    return model(coupling, 0.7 * drive, tx.WhiteNoise(0.1), dtype)


def test_the_same_bits_in_every_batch():
    system = learned()

    def run(members):
        state = tx.init(system, key=KEY, members=members)
        return tx.simulate(system, state, dt=0.05, steps=8, stepper=tx.Euler()).state.phase

    whole = run(5)
    np.testing.assert_array_equal(run(2), whole[:2], "2 members")
    np.testing.assert_array_equal(run(None), whole[0], "no members")


@pytest.mark.slow  # the whole step backwards; each coupling by itself is under the laws of all
def test_gradients_are_finite_differences(x64):
    system = double(learned(jnp.float64))
    moving, fixed = eqx.partition((system, jnp.asarray(PHASE)), eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(moving)
    rng = np.random.default_rng(6)
    weight = jnp.asarray(rng.normal(size=SIZE))

    @jax.jit
    def loss(leaves):
        system, phase = eqx.combine(structure.unflatten(leaves), fixed)
        state = tx.init(system, key=KEY, phase=phase)
        run = tx.simulate(system, state, dt=0.05, steps=3, throw=False)
        return (weight * jnp.sin(run.state.phase)).sum()

    slopes = jax.jit(jax.grad(loss))(leaves)
    step = 1e-5
    for index, leaf in enumerate(leaves):
        # A weight that is zero stays zero: |w| of the in-degree has a corner there.
        way = rng.normal(size=leaf.shape) * ((leaf != 0) | (leaf.ndim < 2))
        ends = [[*leaves[:index], leaf + s * way, *leaves[index + 1 :]] for s in (step, -step)]
        difference = (loss(ends[0]) - loss(ends[1])) / (2 * step)
        # Central differences: 1e-10 from truncation, 1e-16 / 1e-5 from rounding, times tens.
        np.testing.assert_allclose((slopes[index] * way).sum(), difference, rtol=1e-7, atol=2e-8)


def test_grids_and_members_of_what_is_learned():
    sines = np.random.default_rng(3).normal(size=(3, 2)).astype(np.float32)
    neural = NeuralCoupling.perceptron(4, 1, harmonics=2, key=KEY)
    weight = jnp.stack([neural.parameters.layers[0].weight * s for s in (1.0, -0.5)])
    system = model(FourierCoupling([0.0, 0.0]) + neural)
    grid = tx.vary(system, {"sines": (lambda m: m.coupling.parts[0].sines, sines)})
    grid = tx.per_member(grid, lambda m: m.coupling.parts[1].parameters.layers[0].weight, weight)
    state = tx.init(grid, phase=PHASE, members=2)
    found = tx.simulate(grid, state, dt=0.1, steps=5).state.phase
    where = (
        lambda m: m.coupling.parts[0].sines,
        lambda m: m.coupling.parts[1].parameters.layers[0].weight,
    )
    for place, member in np.ndindex(3, 2):
        one = eqx.tree_at(where[0], system, jnp.asarray(sines[place]))
        one = eqx.tree_at(where[1], one, weight[member])
        alone = tx.simulate(one, tx.init(one, phase=PHASE), dt=0.1, steps=5).state.phase
        # Products in another order, once the weights have a member axis.
        np.testing.assert_allclose(found[place, member], alone, rtol=0, atol=3e-6)
    with pytest.raises(ValueError, match=r"parameters\.layers\[0\]\.bias\[1, 0\] = nan"):
        bias = jnp.zeros((2, 4)).at[1, 0].set(jnp.nan)
        tx.per_member(system, lambda m: m.coupling.parts[1].parameters.layers[0].bias, bias)


def test_runs_go_on_from_a_file(tmp_path):
    system, monitors = learned(), {"r": tx.Moments(tx.coherence)}
    state = tx.init(system, key=KEY, members=2)
    arguments = {"dt": 0.05, "steps": 6, "chunk": 3, "monitors": monitors}
    *_, whole = tx.iterate(system, state, **arguments)
    path = tmp_path / "run.npz"
    next(iter(tx.iterate(system, state, path=path, **arguments)))
    *_, resumed = tx.iterate(system, state, path=path, **arguments)
    np.testing.assert_array_equal(resumed.state.phase, whole.state.phase)
    whole.save(tmp_path / "solution.npz")
    loaded = tx.Solution.load(tmp_path / "solution.npz", system, monitors)
    np.testing.assert_array_equal(loaded.state.phase, whole.state.phase)


def seen() -> tuple[jax.Array, jax.Array]:
    """Phases at random, and the velocities that Γ = sin φ + 0.3 sin 2φ gives."""
    phase = np.random.default_rng(5).uniform(-math.pi, math.pi, (40, 6))
    difference = phase[:, None, :] - phase[:, :, None]
    velocity = (np.sin(difference) + 0.3 * np.sin(2 * difference)).mean(axis=-1)
    return jnp.asarray(phase, jnp.float32), jnp.asarray(velocity, jnp.float32)


def misfit(model, key):
    phase, velocity = seen()
    coupling = model.coupling.fourier() if hasattr(model.coupling, "fourier") else model.coupling
    return ((coupling(jnp.sin(phase), jnp.cos(phase)) - velocity) ** 2).mean()


def test_a_coupling_function_is_learned(tmp_path):
    phi = np.linspace(-math.pi, math.pi, 100)
    wanted = np.sin(phi) + 0.3 * np.sin(2 * phi)
    start = tx.PhaseOscillators(np.zeros(6), NeuralCoupling.perceptron(16, 2, key=KEY))
    assert np.abs(start.coupling.function_at(phi) - wanted).max() > 0.5
    schedule = optax.cosine_decay_schedule(1e-2, 600)
    fit = tx.fit(
        misfit,
        start,
        where=lambda m: tuple(jax.tree.leaves(m.coupling.parameters)),
        optimizer=optax.adam(schedule),
        steps=600,
        chunk=300,
        key=KEY,
        path=tmp_path / "fit.npz",
    )
    # The self-term and the constant are learned as well: Γ itself, not up to a shift.
    assert np.abs(fit.model.coupling.function_at(phi) - wanted).max() < 0.02


def test_coefficients_are_learned():
    start = tx.PhaseOscillators(np.zeros(6), FourierCoupling(np.zeros(4), np.zeros(4)))
    fit = tx.fit(
        misfit,
        start,
        where=lambda m: (m.coupling.sines, m.coupling.cosines),
        optimizer=optax.adam(optax.cosine_decay_schedule(5e-2, 300)),
        steps=300,
        chunk=150,
        key=KEY,
    )
    found = fit.model.coupling
    # Linear least squares without noise: what the optimiser leaves, some 1e-4.
    np.testing.assert_allclose(found.sines, [1.0, 0.3, 0.0, 0.0], rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.cosines, np.zeros(4), rtol=0, atol=2e-3)


def test_algebra():
    phase = jnp.asarray(PHASE, jnp.float32)
    one, two = FourierCoupling(SINES), NeuralCoupling(sharp)
    both = 2.0 * one + two
    wanted = 2.0 * torque(one, phase) + torque(two, phase)
    np.testing.assert_allclose(torque(both, phase), wanted, rtol=0, atol=1e-5)  # float32, order 10
    assert isinstance(both, tx.AbstractCoupling)
    assert isinstance(0.5 * NeuralDrive(tone_like, 1.0) + tx.Tone(1.0, 2.0), tx.AbstractDrive)


# Bad input


class Listed(eqx.Module):
    """A function that cannot be hashed."""

    numbers: list = eqx.field(static=True)

    def __call__(self, point):
        return point[0]


def two_numbers(point):
    return point


def whole_number(point):
    return 1


def three(point):
    a, b, c = point
    return a + b + c


def broken():
    module = eqx.nn.MLP(2, "scalar", 3, 1, key=KEY)
    return eqx.tree_at(lambda m: m.layers[0].bias, module, jnp.asarray([0.0, jnp.inf, 0.0]))


BAD = {
    "sines of two axes": (lambda: FourierCoupling(np.ones((2, 2))), r"sines of shape \(2, 2\)"),
    "no sines": (lambda: FourierCoupling([]), r"sines of shape \(0,\)"),
    "lengths": (lambda: FourierCoupling([1.0], [1.0, 2.0]), r"cosines of shape \(2,\)"),
    "constant": (lambda: FourierCoupling([1.0], constant=[1.0]), r"constant of shape \(1,\)"),
    "nan": (lambda: FourierCoupling([1.0, np.nan]), r"FourierCoupling.sines\[1\] = nan"),
    "network": (lambda: FourierCoupling([1.0], network=tx.MeanField(1.0)), "network=MeanField"),
    "other size": (lambda: model(FourierCoupling([1.0], network=tx.Dense(np.eye(3)))), "Dense of"),
    "strength": (lambda: model(FourierCoupling([1.0], strength=[1.0, 2.0])), "strength of shape"),
    "neural strength": (lambda: model(NeuralCoupling(sharp, strength=[1.0])), "strength of shape"),
    "neural size": (lambda: model(NeuralCoupling(sharp, network=tx.Dense(np.eye(3)))), "Dense of"),
    "neural network": (lambda: NeuralCoupling(sharp, network=tx.Dense), "network=the class Dense"),
    "no function": (lambda: NeuralCoupling(3.0), "function=3.0"),
    "unhashable": (lambda: NeuralCoupling(Listed([1])), "cannot be hashed"),
    "vector": (lambda: NeuralCoupling(two_numbers), r"returns shape \(2,\)"),
    "integer": (lambda: NeuralCoupling(whole_number), "returns shape .* and dtype int32"),
    "inputs": (lambda: NeuralCoupling(three), "a function that fails: not enough values"),
    "MLP inputs": (lambda: NeuralCoupling(eqx.nn.MLP(3, "scalar", 4, 1, key=KEY)), "that fails"),
    "not finite": (lambda: NeuralCoupling(broken()), r"parameters\.layers\[0\]\.bias\[1\] = inf"),
    "harmonics": (lambda: NeuralCoupling(sharp, harmonics=0), "harmonics=0"),
    "width": (lambda: NeuralCoupling.perceptron(0, key=KEY), "width=0"),
    "no key": (lambda: NeuralCoupling.perceptron(key=0), "key=0"),
    "drive's function": (lambda: NeuralDrive(two_numbers, 1.0), r"returns shape \(4,\)"),
    "frequency": (lambda: model(None, NeuralDrive(tone_like, np.ones(SIZE))), "frequency of shape"),
    "drive frequency": (lambda: NeuralDrive(tone_like, np.inf), "NeuralDrive.frequency = inf"),
    "amplitude": (lambda: model(None, NeuralDrive(tone_like, 1.0, 2, [1.0])), "amplitude of shape"),
    "drive harmonics": (lambda: NeuralDrive(tone_like, 1.0, 1.5), "harmonics=1.5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message) as error:
        make()
    assert "expected" in str(error.value)
    assert "Fix:" in str(error.value)
