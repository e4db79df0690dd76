"""The plain numpy programs that ours is measured against, each as its users would write it well.

In place, float32, all members at once. They compute the same model as `tauax`, with the noise of
numpy's default generator.
"""

from collections.abc import Callable

import numpy as np

Torque = Callable[[np.ndarray, np.ndarray], np.ndarray]


def mean_field(strength: float, axis: int = -1) -> Torque:
    """(K/N) Σ_j sin(θ_j − θ_i) from the mean sine and cosine over the `axis` of oscillators."""
    factor = np.float32(strength)

    def torque(sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
        mean_sin = factor * sin.mean(axis=axis, keepdims=True)
        mean_cos = factor * cos.mean(axis=axis, keepdims=True)
        np.multiply(cos, mean_sin, out=cos)
        np.multiply(sin, mean_cos, out=sin)
        return np.subtract(cos, sin, out=cos)

    return torque


def dense(weights: np.ndarray, strength: np.ndarray | float) -> Torque:
    """K Σ_j w_ij sin(θ_j − θ_i) by two matrix products; `strength` broadcasts over members."""
    columns = np.ascontiguousarray(weights.T, dtype=np.float32)
    factor = np.asarray(strength, np.float32)

    def torque(sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
        field_sin, field_cos = sin @ columns, cos @ columns
        np.multiply(cos, field_sin, out=cos)
        np.multiply(sin, field_cos, out=sin)
        np.subtract(cos, sin, out=cos)
        return np.multiply(cos, factor, out=cos)

    return torque


def sparse(matrix, axis: int = -1) -> Torque:
    """Σ_j w_ij sin(θ_j − θ_i) with a CSR matrix of scipy; `axis` is that of the oscillators."""
    turned = matrix.T.tocsr() if axis == -1 else matrix

    def field(values: np.ndarray) -> np.ndarray:
        return values @ turned if axis == -1 else turned @ values

    def torque(sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
        field_sin, field_cos = field(sin), field(cos)
        np.multiply(cos, field_sin, out=cos)
        np.multiply(sin, field_cos, out=sin)
        return np.subtract(cos, sin, out=cos)

    return torque


def euler(
    phase: np.ndarray,
    frequency: np.ndarray,
    torque: Torque,
    *,
    dt: float,
    steps: int,
    intensity: np.ndarray | float | None = None,
    generator: np.random.Generator | None = None,
) -> np.ndarray:
    """Euler–Maruyama in place on `phase`, float32, in the layout of the torque; not wrapped.

    Noise is added if a `generator` is given: √(2D·dt)·z with D = `intensity`.
    """
    sin, cos, kick = np.empty_like(phase), np.empty_like(phase), np.empty_like(phase)
    dt32 = np.float32(dt)
    size = None if intensity is None else np.sqrt(2 * np.asarray(intensity, np.float32) * dt32)
    for _ in range(steps):
        np.sin(phase, out=sin)
        np.cos(phase, out=cos)
        drift = torque(sin, cos)
        drift += frequency
        drift *= dt32
        phase += drift
        if generator is not None and size is not None:
            generator.standard_normal(out=kick, dtype=np.float32)
            kick *= size
            phase += kick
    return phase


def coherence(phase: np.ndarray) -> np.ndarray:
    """|⟨e^{iθ}⟩| over the last axis, in float64."""
    return np.abs(np.exp(1j * phase.astype(np.float64)).mean(axis=-1))
