"""Losses: what a run is to be, as terms that add and scale."""

from tauax.losses.anchors import AnchorCrossEntropy
from tauax.losses.base import AbstractLoss
from tauax.losses.connectivity import Connectivity
from tauax.losses.dynamics import ConnectivityDynamics, connectivity_dynamics
from tauax.losses.end import EndState
from tauax.losses.levels import DwellTimes, Occupancy, TransitionRate
from tauax.losses.locking import Entrainment, PhaseLockingMatrix
from tauax.losses.order import OrderParameter, OrderParameterCourse
from tauax.losses.simulated import Simulated, simulated
from tauax.losses.spectrum import Spectrum

__all__ = [
    "AbstractLoss",
    "AnchorCrossEntropy",
    "Connectivity",
    "ConnectivityDynamics",
    "DwellTimes",
    "EndState",
    "Entrainment",
    "Occupancy",
    "OrderParameter",
    "OrderParameterCourse",
    "PhaseLockingMatrix",
    "Simulated",
    "Spectrum",
    "TransitionRate",
    "connectivity_dynamics",
    "simulated",
]
