"""What noise does to losses: with fresh noise paired ones are right on average, plain ones not."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_losses import Every

import tauax as tx
from tauax import losses

SIZE, STEPS, DT = 4, 24, 0.1
FREQUENCY = np.asarray([-1.0, 0.3, 0.8, 2.0], np.float32)
INTENSITY = np.float32(0.1)
START = np.asarray([0.5, -0.5, 1.0, 0.0], np.float32)
FC = np.asarray(
    [[1.0, -0.2, 0.4, -0.6], [-0.2, 1.0, 0.7, 0.1], [0.4, 0.7, 1.0, 0.3], [-0.6, 0.1, 0.3, 1.0]]
)
# Close to what the model itself has, where noise can only make it less alike.
OWN = np.asarray(
    [[1.0, -0.7, -0.0, 0.2], [-0.7, 1.0, 0.1, -0.2], [-0.0, 0.1, 1.0, 0.3], [0.2, -0.2, 0.3, 1.0]]
)


@tx.readout
def waves(model, state):
    return jnp.sin(state.phase)


@tx.readout
def wave(model, state):
    return 1.5 * jnp.sin(state.phase[0])


BANDS = [(0.1, 1.0), (1.0, 4.0)]
LINEAR = {
    "order": lambda: losses.OrderParameter(0.6),
    "connectivity": lambda: losses.Connectivity(FC, waves),
    "dwells": lambda: losses.DwellTimes([0.5, 0.2, 0.5], wave),
}
OTHERS = {
    "likeness": lambda: losses.Connectivity(OWN, waves, distance="correlation"),
    "log_spectrum": lambda: losses.Spectrum(
        [0.1, 0.02], tx.BandPower(waves, BANDS, window=16), logarithmic=True
    ),
}


class BothWays(losses.AbstractLoss):
    """All terms of one run, plain and paired, `[2, term]`."""

    terms: tuple

    def monitors(self):
        return Every(dict(enumerate(self.terms))).monitors()

    def __call__(self, solution, paired):
        every = Every(dict(enumerate(self.terms)))
        return jnp.stack([every(solution, False), every(solution, True)])


def model_of(intensity):
    model = tx.PhaseOscillators(FREQUENCY, tx.MeanField(1.0), tx.WhiteNoise(INTENSITY))
    return eqx.tree_at(lambda m: m.noise.intensity, model, intensity)


@partial(jax.jit, static_argnums=(1, 2))
def runs(target, members: int, keys: int, seed):
    """The losses for many keys, `[value/slope, key, 2, loss]`, the slope by the noise intensity."""
    loss = losses.simulated(target, dt=DT, steps=STEPS, members=members, phase=START)

    def single(key):
        def of_noise(intensity):
            return loss(model_of(intensity), key)

        return jax.jvp(of_noise, (INTENSITY,), (np.float32(1.0),))

    return jax.vmap(single)(jax.random.split(jax.random.key(seed), keys))


@cache
def averages(linear: bool, members: int, keys: int, seed: int):
    """Mean over keys and its standard error: value and slope, plain and paired, of every loss."""
    terms = LINEAR if linear else OTHERS
    found = np.asarray(runs(BothWays(tuple(x() for x in terms.values())), members, keys, seed))
    found = found.astype(np.float64)
    return found.mean(axis=1), found.std(axis=1, ddof=1) / np.sqrt(keys)


def apart(name: str, paired: bool):
    """How far the mean over keys is from the value for many members, and the error of that."""
    linear, way = name in LINEAR, int(paired)
    true, true_error = averages(linear, 256, 64, 1)
    found, error = averages(linear, *((4, 4096) if linear else (8, 2048)), 2)
    k = list(LINEAR if linear else OTHERS).index(name)
    off = found[:, way, k] - true[:, 1, k]
    return off, np.hypot(error[:, way, k], true_error[:, 1, k])


@pytest.mark.parametrize("name", LINEAR)
def test_paired_losses_are_right_on_average(name):
    off, error = apart(name, True)
    plain, plain_error = apart(name, False)
    # Value and gradient; one in 16,000 fails by chance, at fixed seeds.
    assert (np.abs(off) < 4 * error).all(), (off, error)
    # A quarter of the variance of one member, and a gradient that lowers it.
    assert (plain > [10, 5] * plain_error).all(), (plain, plain_error)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_linear_loses_most_of_its_bias(name):
    off, error = apart(name, True)
    plain, plain_error = apart(name, False)
    assert plain[0] > 4 * plain_error[0]
    assert (np.abs(off) < 0.25 * np.abs(plain) + 4 * error).all()


def test_backwards_as_forwards():
    """The gradient that a fit takes."""
    target = 0.3 * LINEAR["order"]() + LINEAR["connectivity"]() + LINEAR["dwells"]()
    loss = losses.simulated(target, dt=DT, steps=STEPS, members=3)

    @jax.jit
    def both(intensity):
        def of_noise(intensity):
            return loss(model_of(intensity), jax.random.key(0))

        return jax.grad(of_noise)(intensity), jax.jvp(of_noise, (intensity,), (jnp.ones(()),))[1]

    backward, forward = both(INTENSITY)
    assert abs(forward) > 1e-3
    np.testing.assert_allclose(backward, forward, rtol=1e-4)  # float32, another order of sums
