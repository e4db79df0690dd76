"""The plain programs that ours is measured against, each as its users would write it well.

In place, float32, all members at once: `mean_field`, `dense`, `sparse` and `crystals`. They compute
the same model as `tauax`, with the noise of numpy's default generator. `CrystalLoop` is the other
way to write crystals: an object for each, one number at a time.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

Torque = Callable[[np.ndarray, np.ndarray], np.ndarray]

TURN = 2.0 * math.pi
HERTZ = (10.0, 1.0, 0.1, 0.01)
GAIN = (0.995, 0.99, 0.985, 0.98)
WEIGHTS = (0.1, 0.4, 0.3, 0.2)
LEAD = 0.1
CUTS = (-0.3, 0.3)
SCALES = ("micro", "meso", "macro", "ultra")


def mean_field(
    strength: np.ndarray | float, axis: int = -1, seen: np.ndarray | None = None
) -> Torque:
    """(K/N) Σ_j sin(θ_j − θ_i) from the mean sine and cosine over the `axis` of oscillators.

    `strength` broadcasts over members; the order parameter is added to `seen`, if it is given.
    """
    factor = np.asarray(strength, np.float32)

    def torque(sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
        mean_sin = sin.mean(axis=axis, keepdims=True)
        mean_cos = cos.mean(axis=axis, keepdims=True)
        if seen is not None:
            seen[...] += np.hypot(mean_sin, mean_cos)
        np.multiply(cos, factor * mean_sin, out=cos)
        np.multiply(sin, factor * mean_cos, out=sin)
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


def integrate(
    phase: np.ndarray,
    frequency: np.ndarray,
    torque: Torque,
    *,
    dt: float,
    steps: int,
    method: str = "euler",
    intensity: np.ndarray | float | None = None,
    generator: np.random.Generator | None = None,
) -> np.ndarray:
    """`steps` steps in place on `phase`, float32, in the layout of the torque; not wrapped.

    `method` is one of `METHODS`. Noise is added if a `generator` is given: √(2D·dt)·z with
    D = `intensity`.
    """
    drift = partial(_drift, phase, frequency, torque)
    kick = partial(_kick, phase, dt, intensity, generator)
    step = METHODS[method](phase, drift, kick, dt)
    for _ in range(steps):
        step(phase)
    return phase


def _euler(phase: np.ndarray, drift, kick, dt: float):
    """Euler–Maruyama, θ + f(θ)·dt + ΔB."""
    drift, kick = drift(), kick()

    def step(phase: np.ndarray) -> None:
        change = drift(phase)
        change *= np.float32(dt)
        phase += change
        if kick is not None:
            phase += kick()

    return step


def _heun(phase: np.ndarray, drift, kick, dt: float):
    """Heun, θ + ½[f(θ) + f(θ*)]·dt + ΔB with θ* = θ + f(θ)·dt + ΔB."""
    (begin, end), kick, stage = (drift(), drift()), kick(), np.empty_like(phase)

    def step(phase: np.ndarray) -> None:
        first = begin(phase)
        first *= np.float32(dt)
        np.add(phase, first, out=stage)
        if kick is not None:
            noise = kick()
            np.add(stage, noise, out=stage)
            phase += noise
        second = end(stage)
        second *= np.float32(dt)
        second += first
        second *= np.float32(0.5)
        phase += second

    return step


def _sra1(phase: np.ndarray, drift, kick, dt: float):
    """Rößler's SRA1, θ + ⅓[f(θ) + 2 f(θ*)]·dt + ΔB with θ* = θ + ¾ f(θ)·dt + (3/2)·A.

    A = ½ ΔB + √(1/12)·√(2D·dt)·ζ is the average of the noise over the step, ζ a second normal.
    """
    (begin, end), (kick, other) = (drift(), drift()), (kick(), kick())
    stage = np.empty_like(phase)

    def step(phase: np.ndarray) -> None:
        first = begin(phase)
        first *= np.float32(0.75 * dt)
        np.add(phase, first, out=stage)
        if kick is not None and other is not None:
            noise, average = kick(), other()
            average *= np.float32(1.5 / math.sqrt(12.0))
            np.add(stage, average, out=stage)
            phase += noise
            noise *= np.float32(0.75)
            np.add(stage, noise, out=stage)
        second = end(stage)
        second *= np.float32(2.0 * dt / 3.0)
        phase += second
        first *= np.float32(1.0 / (3.0 * 0.75))
        phase += first

    return step


METHODS = {"euler": _euler, "heun": _heun, "sra1": _sra1}


def _drift(phase: np.ndarray, frequency: np.ndarray, torque: Torque):
    """f(θ) = ω + torque, in arrays of its own."""
    sin, cos = np.empty_like(phase), np.empty_like(phase)

    def drift(phase: np.ndarray) -> np.ndarray:
        np.sin(phase, out=sin)
        np.cos(phase, out=cos)
        found = torque(sin, cos)
        found += frequency
        return found

    return drift


def _kick(phase: np.ndarray, dt: float, intensity, generator: np.random.Generator | None):
    """√(2D·dt)·z in an array of its own; None without noise."""
    if generator is None or intensity is None:
        return None
    size = np.sqrt(2 * np.asarray(intensity, np.float32) * np.float32(dt))
    normal = np.empty_like(phase)

    def kick() -> np.ndarray:
        generator.standard_normal(out=normal, dtype=np.float32)
        np.multiply(normal, size, out=normal)
        return normal

    return kick


def coherence(phase: np.ndarray) -> np.ndarray:
    """|⟨e^{iθ}⟩| over the last axis, in float64."""
    return np.abs(np.exp(1j * phase.astype(np.float64)).mean(axis=-1))


class CrystalRecord(NamedTuple):
    """What `crystals` leaves beside the phases.

    **Attributes:** `counts`, `[anchor, member]`: how many steps were FLOW−, SYNC and FLOW+;
    `recent`, `[window, member]`: the last values of the field, the last one last.
    """

    counts: np.ndarray
    recent: np.ndarray


def crystals(
    phase: np.ndarray,
    *,
    dt: float,
    steps: int,
    window: int = 10,
    intensity: float | None = None,
    generator: np.random.Generator | None = None,
) -> CrystalRecord:
    """Uncoupled tau crystals in place on `phase`, `[scale, member]`, in its dtype.

    Every step reads h = Σ_s w_s g_s sin(θ_s + δ), compares it with the cuts, and turns the phases,
    with noise (float32 only) if a `generator` is given.
    """
    kick = _kick(phase, dt, intensity, generator)
    members, kind = phase.shape[1], phase.dtype.type
    turn = (TURN * dt * np.asarray(HERTZ))[:, None].astype(kind)
    share = (np.asarray(WEIGHTS) * np.asarray(GAIN)).astype(kind)
    low, high, whole = kind(CUTS[0]), kind(CUTS[1]), kind(TURN)
    wave, ring = np.empty_like(phase), np.empty((window, members), kind)
    beyond, counts = np.empty(members, bool), np.zeros((3, members), np.int32)
    phase += kind(LEAD)
    for step in range(steps):
        np.sin(phase, out=wave)
        field = np.matmul(share, wave, out=ring[step % window])
        np.less(field, low, out=beyond)
        counts[0] += beyond
        np.greater(field, high, out=beyond)
        counts[2] += beyond
        phase += turn
        if kick is not None:
            phase += kick()
        if step % 10 == 9:  # often enough for float32
            phase -= whole * np.rint(phase / whole)
    phase -= kind(LEAD)
    counts[1] = steps - counts[0] - counts[2]
    return CrystalRecord(counts, np.roll(ring, -(steps % window), axis=0)[-steps:])


class Crystal:
    """One crystal, which reads its τ and turns by a step."""

    def __init__(self, hertz: float, gain: float, phase: float = 0.0):
        self.hertz, self.gain, self.phase = hertz, gain, phase

    def step(self, dt: float) -> float:
        """τ = g·(sin φ + [sin(φ + δ) − sin φ]), read before φ moves on."""
        now = math.sin(self.phase)
        ahead = math.sin(self.phase + LEAD)
        self.phase += TURN * self.hertz * dt
        return self.gain * (now + (ahead - now))


class CrystalLoop:
    """The crystals of one entity as objects: their field, its anchor, and what an agent is told."""

    def __init__(self, phase: Sequence[float] = (0.0, 0.0, 0.0, 0.0), window: int = 10):
        self.crystals = [Crystal(*one) for one in zip(HERTZ, GAIN, phase, strict=True)]
        self.anchor = "INIT"
        self.recent: deque[float] = deque(maxlen=window)

    def step(self, dt: float) -> float:
        """The field h = Σ w·τ of this step."""
        taus = [crystal.step(dt) for crystal in self.crystals]
        field = sum(weight * tau for weight, tau in zip(WEIGHTS, taus, strict=True))
        self.recent.append(field)
        self.anchor = "FLOW+" if field > CUTS[1] else "FLOW−" if field < CUTS[0] else "SYNC"
        return field

    def context(self) -> dict[str, str | float]:
        """The hints after the last step."""
        mode, priority = {
            "FLOW+": ("predictive", 0.8),
            "FLOW−": ("reflective", 0.9),
            "SYNC": ("present", 0.6),
            "INIT": ("exploratory", 0.4),
        }[self.anchor]
        variance = float(np.var(self.recent)) if self.recent else 0.0
        scale = 0 if variance > 0.5 else 1 if variance > 0.1 else 2
        return {
            "anchor": self.anchor,
            "mode": mode,
            "priority": priority,
            "attention": SCALES[scale],
        }


def phase_error(field: np.ndarray, window: int = 100) -> np.ndarray:
    """|h − h̄| with h̄ the mean of `window` values around each, of one record."""
    return np.abs(field - np.convolve(field, np.full(window, 1.0 / window), mode="same"))
