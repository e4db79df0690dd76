"""Systems: the vector fields that are simulated."""

from tauax.systems.base import AbstractSystem
from tauax.systems.crystals import Kind, TauCrystals
from tauax.systems.phase import PhaseOscillators

__all__ = ["AbstractSystem", "Kind", "PhaseOscillators", "TauCrystals"]
