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
    from tauax.calibration import calibrated
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
    from tauax.hints import Context, context, phase_error
    from tauax.learn import (
        AbstractTransform,
        Bounded,
        Fit,
        FitError,
        Ordered,
        Positive,
        Simplex,
        fit,
    )
    from tauax.memory import Plan, plan
    from tauax.monitors import (
        AbstractMonitor,
        Autocorrelation,
        BandPower,
        Bold,
        Covariance,
        Dwells,
        Extremes,
        FirstPassage,
        Histogram,
        Metastability,
        Moments,
        Occupancy,
        PhaseLocking,
        Rotations,
        Trace,
        Transitions,
        Windows,
    )
    from tauax.noise import AbstractNoise, GivenNoise, WhiteNoise
    from tauax.readouts import (
        anchor,
        coherence,
        field_crossings,
        field_kurtosis,
        field_skewness,
        field_variance,
        harmonic,
        local_coherence,
        mean_phase,
        phase,
        readout,
        scale_coherence,
    )
    from tauax.responses import AbstractResponse, PhaseResponse
    from tauax.scales import ScaleLink
    from tauax.solution import Solution
    from tauax.state import State
    from tauax.steppers import RK4, SRA1, AbstractStepper, Euler, Heun
    from tauax.systems import AbstractSystem, Kind, PhaseOscillators, TauCrystals
    from tauax.thresholds import (
        AbstractCuts,
        AbstractDecision,
        EmaCuts,
        FixedCuts,
        Hard,
        QuantileCuts,
        Soft,
        StraightThrough,
        Thresholds,
    )

_MODULES = {"frequencies", "networks", "numerics", "theory"}
_HOMES = {
    "tauax.batch": ("Varied", "per_member", "vary", "zipped"),
    "tauax.adiabatic": ("AdiabaticSweep", "sweep_adiabatic"),
    "tauax.calibration": ("calibrated",),
    "tauax.hints": ("Context", "context", "phase_error"),
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
        "Dwells",
        "Extremes",
        "FirstPassage",
        "Histogram",
        "Metastability",
        "Moments",
        "Occupancy",
        "PhaseLocking",
        "Rotations",
        "Trace",
        "Transitions",
        "Windows",
    ),
    "tauax.learn": (
        "Fit",
        "FitError",
        "fit",
        "AbstractTransform",
        "Bounded",
        "Ordered",
        "Positive",
        "Simplex",
    ),
    "tauax.noise": ("AbstractNoise", "GivenNoise", "WhiteNoise"),
    "tauax.readouts": (
        "anchor",
        "coherence",
        "field_crossings",
        "field_kurtosis",
        "field_skewness",
        "field_variance",
        "harmonic",
        "local_coherence",
        "mean_phase",
        "phase",
        "readout",
        "scale_coherence",
    ),
    "tauax.responses": ("AbstractResponse", "PhaseResponse"),
    "tauax.solution": ("Solution",),
    "tauax.state": ("State",),
    "tauax.steppers": ("RK4", "SRA1", "AbstractStepper", "Euler", "Heun"),
    "tauax.scales": ("ScaleLink",),
    "tauax.systems": ("AbstractSystem", "Kind", "PhaseOscillators", "TauCrystals"),
    "tauax.thresholds": (
        "AbstractCuts",
        "AbstractDecision",
        "EmaCuts",
        "FixedCuts",
        "Hard",
        "QuantileCuts",
        "Soft",
        "StraightThrough",
        "Thresholds",
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "RK4",
    "SRA1",
    "AbstractCoupling",
    "AbstractCuts",
    "AbstractDecision",
    "AbstractDrive",
    "AbstractMonitor",
    "AbstractNetwork",
    "AbstractNoise",
    "AbstractResponse",
    "AbstractSignal",
    "AbstractStepper",
    "AbstractSystem",
    "AbstractTransform",
    "AdiabaticSweep",
    "Autocorrelation",
    "BandPower",
    "Bold",
    "Bounded",
    "Change",
    "Context",
    "Covariance",
    "Dense",
    "Dwells",
    "EmaCuts",
    "Euler",
    "Extremes",
    "FirstPassage",
    "Fit",
    "FitError",
    "FixedCuts",
    "Forcing",
    "GivenNoise",
    "Hard",
    "Heun",
    "Histogram",
    "Kicks",
    "Kind",
    "MeanField",
    "Metastability",
    "Moments",
    "Occupancy",
    "Ordered",
    "PhaseLocking",
    "PhaseOscillators",
    "PhaseResponse",
    "Plan",
    "Positive",
    "PulseTrain",
    "QuantileCuts",
    "Rotations",
    "Sampled",
    "ScaleLink",
    "Scheduled",
    "Simplex",
    "Sine",
    "Soft",
    "Solution",
    "Sparse",
    "State",
    "StraightThrough",
    "TauCrystals",
    "Thresholds",
    "Tone",
    "TorqueFunction",
    "Trace",
    "Transitions",
    "Varied",
    "WhiteNoise",
    "Windows",
    "anchor",
    "calibrated",
    "coherence",
    "context",
    "coupling_from",
    "device_mesh",
    "field_crossings",
    "field_kurtosis",
    "field_skewness",
    "field_variance",
    "fit",
    "frequencies",
    "harmonic",
    "init",
    "iterate",
    "local_coherence",
    "mean_phase",
    "networks",
    "numerics",
    "per_member",
    "phase",
    "phase_error",
    "plan",
    "readout",
    "scale_coherence",
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
