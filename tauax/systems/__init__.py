"""Systems: the vector fields that are simulated."""

from tauax.systems.base import AbstractSystem
from tauax.systems.phase import PhaseOscillators

__all__ = ["AbstractSystem", "PhaseOscillators"]
