"""One table per kind of part, name → constructor: every law is tested on all of it."""

import jax.numpy as jnp
import numpy as np

import tauax as tx

SIZE = 12


def _weights(size: int) -> np.ndarray:
    """Directed, signed, with an empty row and a self-loop: nothing a law may lean on."""
    weights = np.random.default_rng(7).normal(size=(size, size))
    weights[np.abs(weights) < 0.6] = 0.0
    weights[3] = 0.0
    return weights


COUPLINGS = {
    "none": lambda n: None,
    "mean_field": lambda n: tx.MeanField(1.7),
    "mean_field_lag": lambda n: tx.MeanField(1.7, 0.4),
    "mean_field_strengths": lambda n: tx.MeanField(np.linspace(-1.0, 2.0, n)),
    "dense": lambda n: tx.Dense(_weights(n), 0.8),
    "dense_lag": lambda n: tx.Dense(_weights(n), 0.8, 0.3),
    "dense_size": lambda n: tx.Dense(_weights(n), 3.0, norm="size"),
    "dense_in_degree": lambda n: tx.Dense(_weights(n), 2.0, norm="in_degree"),
    "sum": lambda n: tx.MeanField(1.0) + tx.Dense(_weights(n), 0.5, 0.2),
    "scaled": lambda n: 2.0 * tx.MeanField(0.7) + np.linspace(0, 1, n) * tx.Dense(_weights(n)),
}

NOISES = {
    "none": lambda n: None,
    "normal": lambda n: tx.WhiteNoise(0.1),
    "normal_each": lambda n: tx.WhiteNoise(np.linspace(0.0, 0.3, n)),
    "two_point": lambda n: tx.WhiteNoise(0.1, "two_point"),
    "three_point": lambda n: tx.WhiteNoise(0.1, "three_point"),
    "given": lambda n: tx.GivenNoise(np.random.default_rng(3).normal(size=(64, n)) * 0.05),
}

STEPPERS = {"euler": tx.Euler, "heun": tx.Heun, "rk4": tx.RK4}

MONITORS = {
    "moments": lambda: tx.Moments(tx.coherence),
    "moments_thin": lambda: tx.Moments(tx.phase, every=4),
    "moments_late": lambda: tx.Moments(tx.mean_phase, every=2, after=8),
    "trace": lambda: tx.Trace(tx.phase),
    "trace_thin": lambda: tx.Trace(tx.coherence, every=8),
    "rotations": tx.Rotations,
}


def model(coupling: str = "mean_field", noise: str = "normal", size: int = SIZE, dtype=None):
    """Phase oscillators with the named parts."""
    frequency = jnp.asarray(np.linspace(-1.5, 2.0, size), dtype or jnp.float32)
    return tx.PhaseOscillators(frequency, COUPLINGS[coupling](size), NOISES[noise](size))
