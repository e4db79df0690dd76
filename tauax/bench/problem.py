"""What the programs of a benchmark compute, and what a program is."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tauax import frequencies
from tauax.noise import Law

Run = Callable[[int], np.ndarray]
Method = Literal["euler", "heun", "sra1"]


@dataclass(frozen=True)
class Side:
    """One program of a workload.

    **Attributes:** `run(steps)` makes so many steps from the workload's start and returns what is
    checked, for a problem the phases `[member, oscillator]`, once all of it is computed; `cores` it
    may use; `devices` of JAX; `detail`, such as the layout of its arrays; `share` of the work that
    it does, where all of it would take hours.
    """

    run: Run
    cores: int
    devices: int = 1
    precision: str = "float32"
    detail: str = ""
    share: float = 1.0


def checksum(array: np.ndarray) -> str:
    """Sixteen digits that tell one array from another."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Problem:
    """dθ_i = [ω_i + K Σ_j w_ij sin(θ_j − θ_i)] dt + √(2D) dW_i for independent members.

    **Attributes:** `size` N, `members`; `weights` w, or None for 1/N, the mean field; `strength` K;
    `noise`, the law of its increments or None; `intensity` D; `method`; `dt`.
    """

    size: int
    members: int
    noise: Law | None = None
    method: Method = "euler"
    weights: np.ndarray | None = None
    strength: float = 2.0
    intensity: float = 0.05
    dt: float = 0.01

    @property
    def updates(self) -> int:
        """Oscillator-steps in one step."""
        return self.size * self.members

    @property
    def definition(self) -> dict[str, Any]:
        """What must be equal for two results to be comparable."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        weights = None if self.weights is None else checksum(self.weights)
        return plain | {"weights": weights, "start": checksum(self.phase)}

    @cached_property
    def frequency(self) -> np.ndarray:
        """ω, normal quantiles, rad/s."""
        return np.asarray(frequencies.gaussian(self.size, 0.0, 1.0), np.float32)

    @cached_property
    def phase(self) -> np.ndarray:
        """θ at the start, `[member, oscillator]`, uniform."""
        shape = (self.members, self.size)
        return np.random.default_rng(0).uniform(-np.pi, np.pi, shape).astype(np.float32)

    @property
    def kick(self) -> float:
        """The deviation of one increment of the noise, √(2D·dt)."""
        return float(np.sqrt(2.0 * self.intensity * self.dt)) if self.noise else 0.0
