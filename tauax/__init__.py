"""tauax: a differentiable simulator for ensembles of coupled, noisy oscillators.

Names are resolved when first used, so that `tauax --help` does not import jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tauax import frequencies, networks, numerics, theory
    from tauax.batch import Varied, per_member, vary, zipped
    from tauax.couplings import AbstractCoupling, Dense, MeanField
    from tauax.ensemble import init, iterate, simulate, step
    from tauax.monitors import AbstractMonitor, Moments, Rotations, Trace
    from tauax.noise import AbstractNoise, GivenNoise, WhiteNoise
    from tauax.readouts import coherence, mean_phase, phase, readout
    from tauax.solution import Solution
    from tauax.state import State
    from tauax.steppers import RK4, AbstractStepper, Euler, Heun
    from tauax.systems import AbstractSystem, PhaseOscillators

_MODULES = {"frequencies", "networks", "numerics", "theory"}
_HOMES = {
    "tauax.batch": ("Varied", "per_member", "vary", "zipped"),
    "tauax.couplings": ("AbstractCoupling", "Dense", "MeanField"),
    "tauax.ensemble": ("init", "iterate", "simulate", "step"),
    "tauax.monitors": ("AbstractMonitor", "Moments", "Rotations", "Trace"),
    "tauax.noise": ("AbstractNoise", "GivenNoise", "WhiteNoise"),
    "tauax.readouts": ("coherence", "mean_phase", "phase", "readout"),
    "tauax.solution": ("Solution",),
    "tauax.state": ("State",),
    "tauax.steppers": ("RK4", "AbstractStepper", "Euler", "Heun"),
    "tauax.systems": ("AbstractSystem", "PhaseOscillators"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "RK4",
    "AbstractCoupling",
    "AbstractMonitor",
    "AbstractNoise",
    "AbstractStepper",
    "AbstractSystem",
    "Dense",
    "Euler",
    "GivenNoise",
    "Heun",
    "MeanField",
    "Moments",
    "PhaseOscillators",
    "Rotations",
    "Solution",
    "State",
    "Trace",
    "Varied",
    "WhiteNoise",
    "coherence",
    "frequencies",
    "init",
    "iterate",
    "mean_phase",
    "networks",
    "numerics",
    "per_member",
    "phase",
    "readout",
    "simulate",
    "step",
    "theory",
    "vary",
    "zipped",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"tauax.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'tauax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
