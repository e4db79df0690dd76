"""Monitors: statistics accumulated along a run."""

from tauax.monitors.autocorrelation import Autocorrelation
from tauax.monitors.band_power import BandPower
from tauax.monitors.base import AbstractMonitor
from tauax.monitors.bold import Bold
from tauax.monitors.covariance import Covariance
from tauax.monitors.dwells import Dwells
from tauax.monitors.extremes import Extremes
from tauax.monitors.first_passage import FirstPassage
from tauax.monitors.histogram import Histogram
from tauax.monitors.locking import PhaseLocking
from tauax.monitors.metastability import Metastability
from tauax.monitors.moments import Moments
from tauax.monitors.occupancy import Occupancy
from tauax.monitors.rotations import Rotations
from tauax.monitors.trace import Trace
from tauax.monitors.transitions import Transitions
from tauax.monitors.windows import Windows

__all__ = [
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
]
