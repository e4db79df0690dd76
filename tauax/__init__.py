"""tauax: a differentiable simulator for ensembles of coupled, noisy oscillators.

Names are resolved when first used, so that `tauax --help` does not import jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tauax import frequencies, networks, numerics, theory
    from tauax.adiabatic import AdiabaticSweep, sweep_adiabatic
    from tauax.batch import Varied, per_member, vary, zipped
    from tauax.coupling_choice import coupling_from
    from tauax.couplings import AbstractCoupling, AbstractNetwork, Dense, MeanField, Sparse
    from tauax.devices import device_mesh
    from tauax.drives import (
        AbstractDrive,
        AbstractSignal,
        Forcing,
        Kicks,
        PulseTrain,
        Sampled,
        Sine,
        Tone,
        TorqueFunction,
    )
    from tauax.ensemble import init, iterate, simulate, step
    from tauax.events import Change, Scheduled, scheduled
    from tauax.memory import Plan, plan
    from tauax.monitors import (
        AbstractMonitor,
        Autocorrelation,
        BandPower,
        Bold,
        Covariance,
        Extremes,
        FirstPassage,
        Histogram,
        Metastability,
        Moments,
        PhaseLocking,
        Rotations,
        Trace,
    )
    from tauax.noise import AbstractNoise, GivenNoise, WhiteNoise
    from tauax.readouts import coherence, local_coherence, mean_phase, phase, readout
    from tauax.responses import AbstractResponse, PhaseResponse
    from tauax.solution import Solution
    from tauax.state import State
    from tauax.steppers import RK4, SRA1, AbstractStepper, Euler, Heun
    from tauax.systems import AbstractSystem, PhaseOscillators

_MODULES = {"frequencies", "networks", "numerics", "theory"}
_HOMES = {
    "tauax.batch": ("Varied", "per_member", "vary", "zipped"),
    "tauax.adiabatic": ("AdiabaticSweep", "sweep_adiabatic"),
    "tauax.coupling_choice": ("coupling_from",),
    "tauax.couplings": ("AbstractCoupling", "AbstractNetwork", "Dense", "MeanField", "Sparse"),
    "tauax.devices": ("device_mesh",),
    "tauax.drives": (
        "AbstractDrive",
        "AbstractSignal",
        "Forcing",
        "Kicks",
        "PulseTrain",
        "Sampled",
        "Sine",
        "Tone",
        "TorqueFunction",
    ),
    "tauax.events": ("Change", "Scheduled", "scheduled"),
    "tauax.memory": ("Plan", "plan"),
    "tauax.ensemble": ("init", "iterate", "simulate", "step"),
    "tauax.monitors": (
        "AbstractMonitor",
        "Autocorrelation",
        "BandPower",
        "Bold",
        "Covariance",
        "Extremes",
        "FirstPassage",
        "Histogram",
        "Metastability",
        "Moments",
        "PhaseLocking",
        "Rotations",
        "Trace",
    ),
    "tauax.noise": ("AbstractNoise", "GivenNoise", "WhiteNoise"),
    "tauax.readouts": ("coherence", "local_coherence", "mean_phase", "phase", "readout"),
    "tauax.responses": ("AbstractResponse", "PhaseResponse"),
    "tauax.solution": ("Solution",),
    "tauax.state": ("State",),
    "tauax.steppers": ("RK4", "SRA1", "AbstractStepper", "Euler", "Heun"),
    "tauax.systems": ("AbstractSystem", "PhaseOscillators"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "RK4",
    "SRA1",
    "AbstractCoupling",
    "AbstractDrive",
    "AbstractMonitor",
    "AbstractNetwork",
    "AbstractNoise",
    "AbstractResponse",
    "AbstractSignal",
    "AbstractStepper",
    "AbstractSystem",
    "AdiabaticSweep",
    "Autocorrelation",
    "BandPower",
    "Bold",
    "Change",
    "Covariance",
    "Dense",
    "Euler",
    "Extremes",
    "FirstPassage",
    "Forcing",
    "GivenNoise",
    "Heun",
    "Histogram",
    "Kicks",
    "MeanField",
    "Metastability",
    "Moments",
    "PhaseLocking",
    "PhaseOscillators",
    "PhaseResponse",
    "Plan",
    "PulseTrain",
    "Rotations",
    "Sampled",
    "Scheduled",
    "Sine",
    "Solution",
    "Sparse",
    "State",
    "Tone",
    "TorqueFunction",
    "Trace",
    "Varied",
    "WhiteNoise",
    "coherence",
    "coupling_from",
    "device_mesh",
    "frequencies",
    "init",
    "iterate",
    "local_coherence",
    "mean_phase",
    "networks",
    "numerics",
    "per_member",
    "phase",
    "plan",
    "readout",
    "scheduled",
    "simulate",
    "step",
    "sweep_adiabatic",
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
