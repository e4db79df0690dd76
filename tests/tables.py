"""One table per kind of part, name → constructor: every law is tested on all of it."""

import jax
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


def _hub(size: int) -> np.ndarray:
    """Like the other weights, and one oscillator that hears all: with 33 others, on two levels."""
    weights = _weights(size)
    weights[1] = np.linspace(0.2, 0.9, size) * 8.0 / size
    return weights


def _response() -> tx.PhaseResponse:
    return tx.PhaseResponse(0.3, [-1.0, 0.4, 0.1], [0.2, 0.0, -0.3])


def _pull(time, phase, parameters):
    """A torque towards a phase that turns."""
    return parameters["strength"] * jnp.sin(parameters["rate"] * time - phase)


COUPLINGS = {
    "none": lambda n: None,
    "mean_field": lambda n: tx.MeanField(1.7),
    "mean_field_lag": lambda n: tx.MeanField(1.7, 0.4),
    "mean_field_strengths": lambda n: tx.MeanField(np.linspace(-1.0, 2.0, n)),
    "dense": lambda n: tx.Dense(_weights(n), 0.8),
    "dense_lag": lambda n: tx.Dense(_weights(n), 0.8, 0.3),
    "dense_size": lambda n: tx.Dense(_weights(n), 3.0, norm="size"),
    "dense_in_degree": lambda n: tx.Dense(_weights(n), 2.0, norm="in_degree"),
    "sparse": lambda n: tx.Sparse.from_dense(_weights(n), 0.8),
    "sparse_lag_in_degree": lambda n: tx.Sparse.from_dense(_weights(n), 2.0, 0.3, "in_degree"),
    "sparse_hub": lambda n: tx.Sparse.from_dense(_hub(n), np.linspace(0.5, 1.0, n), norm="size"),
    "fourier": lambda n: tx.FourierCoupling([1.0, -0.4, 0.2], [0.3, 0.0, 0.1], constant=0.2),
    "fourier_dense": lambda n: tx.FourierCoupling(
        [1.0, 0.4], [0.3, -0.2], tx.Dense(_weights(n), 0.8, 0.3, "in_degree"), np.linspace(0, 1, n)
    ),
    "neural": lambda n: tx.NeuralCoupling.perceptron(5, 1, harmonics=3, key=jax.random.key(1)),
    "sum": lambda n: tx.MeanField(1.0) + tx.Dense(_weights(n), 0.5, 0.2),
    "scaled": lambda n: 2.0 * tx.MeanField(0.7) + np.linspace(0, 1, n) * tx.Dense(_weights(n)),
}

DRIVES = {
    "none": lambda n: None,
    "tone": lambda n: tx.Tone(1.3, 2.0, 0.4),
    "tone_ratio": lambda n: tx.Tone(np.linspace(0.5, 2.0, n), 3.0, turns=2, cycles=3),
    "additive": lambda n: tx.Forcing(tx.Sine(0.8, np.linspace(1.0, 4.0, n), 0.3)),
    "response": lambda n: tx.Forcing(tx.Sine(1.1, 5.0), _response()),
    "sampled": lambda n: tx.Forcing(
        tx.Sampled(np.cos(np.arange(5 * n).reshape(5, n)), 0.17, beyond="repeat"), _response()
    ),
    "sampled_hold": lambda n: tx.Forcing(tx.Sampled([0.5, -1.0], 0.3, interpolation="hold")),
    "pulses": lambda n: tx.PulseTrain(np.linspace(-1.0, 1.0, n), 0.33, _response(), 0.1),
    "kicks": lambda n: tx.Kicks([0.2, 0.2, 0.7], np.linspace(-2.0, 2.0, 3 * n).reshape(3, n)),
    "function": lambda n: tx.TorqueFunction(_pull, {"strength": 0.7, "rate": np.linspace(1, 2, n)}),
    "neural": lambda n: tx.NeuralDrive.perceptron(3.0, 5, 1, harmonics=3, key=jax.random.key(2)),
    "sum": lambda n: tx.Tone(1.0, 2.0) + tx.Forcing(tx.Sine(0.5, 3.0)) + tx.Kicks([0.5], [1.0]),
    "scaled": lambda n: np.linspace(0, 1, n) * (tx.Tone(1.0, 2.0) + tx.PulseTrain(0.5, 0.25)),
}

NOISES = {
    "none": lambda n: None,
    "normal": lambda n: tx.WhiteNoise(0.1),
    "normal_each": lambda n: tx.WhiteNoise(np.linspace(0.0, 0.3, n)),
    "two_point": lambda n: tx.WhiteNoise(0.1, "two_point"),
    "three_point": lambda n: tx.WhiteNoise(0.1, "three_point"),
    "given": lambda n: tx.GivenNoise(np.random.default_rng(3).normal(size=(64, n)) * 0.05),
}

STEPPERS = {"euler": tx.Euler, "heun": tx.Heun, "rk4": tx.RK4, "sra1": tx.SRA1}

MONITORS = {
    "moments": lambda: tx.Moments(tx.coherence),
    "moments_thin": lambda: tx.Moments(tx.phase, every=4),
    "moments_late": lambda: tx.Moments(tx.mean_phase, every=2, after=8),
    "trace": lambda: tx.Trace(tx.phase),
    "trace_thin": lambda: tx.Trace(tx.coherence, every=8),
    "rotations": tx.Rotations,
    "histogram": lambda: tx.Histogram(tx.phase, -np.pi, np.pi, 5),
    "histogram_smooth": lambda: tx.Histogram(tx.coherence, 0.1, 0.7, 4, smooth=True),
    "extremes": lambda: tx.Extremes(tx.coherence),
    "passage": lambda: tx.FirstPassage(tx.coherence, 0.35),
    "metastability": lambda: tx.Metastability(np.arange(SIZE) % 3),
    "autocorrelation": lambda: tx.Autocorrelation(tx.phase, (0, 1, 3, 7)),
    "band_power": lambda: tx.BandPower(tx.phase, [(0.0, 11.0)], 8),
    "locking": lambda: tx.PhaseLocking(block=5),
    "locking_2_1": lambda: tx.PhaseLocking(n=2, m=1),
    "covariance": lambda: tx.Covariance(tx.phase, block=5),
    "occupancy": lambda: tx.Occupancy(tx.coherence, (0.0, 0.5, 1.0)),
    "transitions": lambda: tx.Transitions(tx.coherence, (0.1, 0.3, 0.5)),
    "dwells": lambda: tx.Dwells(tx.coherence, (0.0, 0.02, 0.1, 1.0), (0.1, 0.3, 0.5)),
    "windows": lambda: tx.Windows(tx.coherence, 8),
    "bold": lambda: tx.Bold(tx.phase, repetition=3, every=1, discard=1),
}


def model(
    coupling: str = "mean_field", noise: str = "normal", size: int = SIZE, dtype=None, drive="none"
):
    """Phase oscillators with the named parts."""
    frequency = jnp.asarray(np.linspace(-1.5, 2.0, size), dtype or jnp.float32)
    return tx.PhaseOscillators(
        frequency, COUPLINGS[coupling](size), NOISES[noise](size), DRIVES[drive](size)
    )
