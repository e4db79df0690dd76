"""A layer of oscillators: its equation, every batch, derivatives, use in a larger network."""

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_parts import double

import tauax as tx
from tauax.layer import OscillatorLayer

KEY, DATA = jax.random.split(jax.random.key(3))
SIZE, INPUTS = 7, 3
DT, STEPS = 0.1, 4
POINTS = np.random.default_rng(1).normal(size=(9, INPUTS))


def layer(features="relative", noise=None, **options):
    made = OscillatorLayer.random(
        INPUTS, SIZE, noise, key=KEY, dt=DT, steps=STEPS, features=features, **options
    )
    frequency = jnp.linspace(-1.0, 1.0, SIZE)
    return eqx.tree_at(lambda m: m.system.frequency, made, frequency)


@eqx.filter_jit
def outcome(layer, points, key=None):
    return layer(points, key=key)


def by_hand(layer, point: np.ndarray) -> np.ndarray:
    """The phases after Euler steps, in float64."""
    phase = np.asarray(layer.phase, np.float64)
    weights = np.asarray(layer.system.coupling.weights, np.float64)
    frequency = np.asarray(layer.system.frequency) + np.asarray(layer.weights) @ point
    p, q = np.zeros((2, SIZE)) if layer.pull is None else np.asarray(layer.pull) @ point
    drive = layer.system.drive
    for step in range(STEPS):
        torque = (weights * np.sin(phase[None, :] - phase[:, None])).sum(axis=1)
        velocity = frequency + torque + p * np.cos(phase) - q * np.sin(phase)
        if drive is not None:
            velocity = velocity + drive.amplitude * np.sin(drive.frequency * step * DT - phase)
        phase = phase + DT * velocity
    return phase


def expected(features: str, phase: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(SIZE, 1)
    vector, field = np.exp(1j * phase), np.exp(1j * phase).mean()
    complexes = {
        "relative": vector * np.conj(field),
        "vectors": vector,
        "pairs": vector[i] * np.conj(vector[j]),
    }
    if features == "phase":
        return (phase + np.pi) % (2 * np.pi) - np.pi
    return np.concatenate([complexes[features].real, complexes[features].imag])


@pytest.mark.parametrize("features", ["relative", "vectors", "pairs", "phase"])
def test_equation_and_features(x64, features):
    made = double(layer(features, stepper=tx.Euler()))
    found = outcome(made, jnp.asarray(POINTS))
    assert found.shape == (len(POINTS), made.outputs)
    for point, values in zip(POINTS, found, strict=True):
        # A few dozen float64 operations.
        wanted = expected(features, by_hand(made, point))
        np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pull", [True, False])
def test_beside_another_drive(x64, pull):
    made = double(layer("phase", stepper=tx.Euler()))
    driven = replace(made.system, drive=tx.Tone(0.7, 2.0))
    made = eqx.tree_at(lambda m: m.system, made, driven)
    if not pull:
        made = eqx.tree_at(lambda m: m.pull, made, None)
    wanted = expected("phase", by_hand(made, POINTS[0]))
    np.testing.assert_allclose(outcome(made, POINTS[0]), wanted, rtol=0, atol=1e-12)  # as above


@pytest.mark.parametrize("features", ["relative", "pairs"])
def test_turning_all_phases_changes_no_feature(x64, features):
    made = eqx.tree_at(lambda m: m.pull, double(layer(features)), None)
    turned = eqx.tree_at(lambda m: m.phase, made, made.phase + 1.1)
    before, after = outcome(made, POINTS), outcome(turned, POINTS)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-13)  # roundings of float64


@pytest.mark.parametrize("features", ["relative", pytest.param("pairs", marks=pytest.mark.slow)])
def test_many_are_one_at_a_time(features):
    made = layer(features, tx.WhiteNoise(0.05))
    points = jnp.asarray(POINTS, jnp.float32)
    whole = outcome(made, points, KEY)
    for count in (1, 2):
        np.testing.assert_array_equal(outcome(made, points[:count], KEY), whole[:count])
    # One alone has the noise of member 0.
    np.testing.assert_array_equal(outcome(made, points[0], KEY), whole[0])
    quiet = eqx.tree_at(lambda m: m.system, made, replace(made.system, noise=None))
    whole = outcome(quiet, points)
    for point, values in zip(points, whole, strict=True):
        np.testing.assert_array_equal(outcome(quiet, point), values)
    # Two rows for each in one batch: the same kernels, though nothing promises it.
    np.testing.assert_allclose(jax.jit(jax.vmap(quiet))(points), whole, rtol=0, atol=1e-6)


def test_derivatives_are_finite_differences(x64):
    made = double(layer("relative", tx.WhiteNoise(0.05)))
    leaves, structure = jax.tree.flatten((made, jnp.asarray(POINTS[:2])))
    rng = np.random.default_rng(6)
    weight = jnp.asarray(rng.normal(size=made.outputs))

    @jax.jit
    def loss(leaves):
        layer, points = structure.unflatten(leaves)
        return (layer(points, key=KEY) * weight).sum()

    slopes = jax.jit(jax.grad(loss))(leaves)
    step = 1e-5
    for index, leaf in enumerate(leaves):
        way = rng.normal(size=leaf.shape)
        ends = [[*leaves[:index], leaf + s * way, *leaves[index + 1 :]] for s in (step, -step)]
        difference = (loss(ends[0]) - loss(ends[1])) / (2 * step)
        # Central differences: 1e-10 from truncation, 1e-16 / 1e-5 from rounding, times tens.
        np.testing.assert_allclose((slopes[index] * way).sum(), difference, rtol=1e-7, atol=2e-8)
        assert np.abs(slopes[index]).max() > 0


def test_derivatives_are_finite_where_the_mean_field_vanishes():
    made = layer()
    phase = jnp.asarray([0.0, math.pi, 1.0, 1.0 - math.pi, 2.0, 2.0 - math.pi, 0.0])
    still = OscillatorLayer(tx.PhaseOscillators(jnp.zeros(6)), jnp.zeros((6, 3)), phase[:6], dt=DT,
                            steps=1)  # fmt: skip
    for one in (made, still):
        slopes = eqx.filter_grad(lambda layer: outcome(layer, POINTS[0]).sum())(one)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


class Network(eqx.Module):
    """Linear, oscillators, linear."""

    before: eqx.nn.Linear
    layer: OscillatorLayer
    after: eqx.nn.Linear

    def __call__(self, points, key):
        inside = self.layer(jax.vmap(self.before)(points), key=key)
        return jax.vmap(self.after)(inside)


def test_inside_of_a_larger_network():
    keys = jax.random.split(DATA, 2)
    made = layer("vectors", tx.WhiteNoise(0.01))
    before = eqx.nn.Linear(5, INPUTS, key=keys[0])
    network = Network(before, made, eqx.nn.Linear(made.outputs, 2, key=keys[1]))
    points = jnp.ones((6, 5))

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(network, key):
        return (network(points, key) ** 2).mean()

    value, slopes = loss(network, KEY)
    assert jnp.isfinite(value)
    gradients = jax.tree.leaves(slopes)
    assert len(gradients) == len(jax.tree.leaves(eqx.filter(network, eqx.is_inexact_array)))
    assert all(np.isfinite(one).all() and np.abs(one).max() > 0 for one in gradients)
    assert loss(network, DATA)[0] != value


SYSTEM = tx.PhaseOscillators(np.zeros(2))
GIVEN = {"dt": 0.1, "steps": 2}
BAD = {
    "system": (lambda: OscillatorLayer(tx.TauCrystals(), 0, 0, **GIVEN), "system=TauCrystals"),
    "weights": (lambda: OscillatorLayer(SYSTEM, np.ones((3, 2)), [0.0, 0.0], **GIVEN), "weights"),
    "no inputs": (lambda: OscillatorLayer(SYSTEM, np.ones((2, 0)), [0.0, 0.0], **GIVEN), "weights"),
    "phase": (lambda: OscillatorLayer(SYSTEM, np.ones((2, 1)), [0.0], **GIVEN), "phase of shape"),
    "pull": (
        lambda: OscillatorLayer(SYSTEM, np.ones((2, 1)), [0.0, 0.0], np.ones((2, 1)), **GIVEN),
        r"pull of shape \(2, 1\)",
    ),
    "nan": (lambda: OscillatorLayer(SYSTEM, [[0.0], [np.nan]], [0.0, 0.0], **GIVEN), "= nan"),
    "dt": (lambda: OscillatorLayer(SYSTEM, np.ones((2, 1)), [0, 0], dt=-1.0, steps=2), "dt=-1.0"),
    "steps": (lambda: OscillatorLayer(SYSTEM, np.ones((2, 1)), [0, 0], dt=0.1, steps=0), "steps=0"),
    "stepper": (
        lambda: OscillatorLayer(SYSTEM, np.ones((2, 1)), [0, 0], stepper=tx.Euler, **GIVEN),
        "stepper=the class Euler",
    ),
    "features": (
        lambda: OscillatorLayer(SYSTEM, np.ones((2, 1)), [0, 0], features="angles", **GIVEN),
        "features='angles'",
    ),
    "random inputs": (lambda: OscillatorLayer.random(0, 2, key=KEY, **GIVEN), "inputs=0"),
    "random size": (lambda: OscillatorLayer.random(1, 0, key=KEY, **GIVEN), "oscillators=0"),
    "inputs": (lambda: layer()(np.ones(2)), r"inputs of shape \(2,\)"),
    "axes": (lambda: layer()(np.ones((2, 2, 3))), r"inputs of shape \(2, 2, 3\)"),
    "no key": (lambda: layer(noise=tx.WhiteNoise(0.1))(POINTS), "no key"),
    "key": (lambda: OscillatorLayer.random(1, 2, key=3, **GIVEN), "key=3"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message) as error:
        make()
    assert "expected" in str(error.value) or "Fix:" in str(error.value)


@pytest.mark.slow  # half a minute of training on two cores
def test_example(capsys, tmp_path):
    path = Path(__file__).parents[1] / "examples" / "classify.py"
    specification = importlib.util.spec_from_file_location("classify_example", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    pytest.importorskip("matplotlib")
    module.main(["--points", "128", "--rounds", "100", "--figure", str(tmp_path / "map.png")])
    first, *rows = capsys.readouterr().out.splitlines()
    assert first == "128 points to learn from, 1000 held out"
    rates = {row.split(":")[0].strip(): float(row.split()[-1].rstrip("%")) for row in rows}
    # Binomial deviation 1 %; a line between these moons misses one in six.
    assert rates["linear"] < 90 < rates["oscillators"]
    assert (tmp_path / "map.png").stat().st_size > 1_000
    del sys.modules[specification.name]
