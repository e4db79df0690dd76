"""Monitors: statistics accumulated along a run."""

from tauax.monitors.base import AbstractMonitor
from tauax.monitors.moments import Moments
from tauax.monitors.rotations import Rotations
from tauax.monitors.trace import Trace

__all__ = ["AbstractMonitor", "Moments", "Rotations", "Trace"]
