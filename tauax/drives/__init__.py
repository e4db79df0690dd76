"""Drives: what acts on the oscillators from outside, as a function of time."""

from tauax.drives.base import AbstractDrive, Scaled, Sum
from tauax.drives.forcing import AbstractSignal, Forcing, Sampled, Sine
from tauax.drives.function import TorqueFunction
from tauax.drives.neural import NeuralDrive
from tauax.drives.pulses import Kicks, PulseTrain
from tauax.drives.tone import Tone

__all__ = [
    "AbstractDrive",
    "AbstractSignal",
    "Forcing",
    "Kicks",
    "NeuralDrive",
    "PulseTrain",
    "Sampled",
    "Scaled",
    "Sine",
    "Sum",
    "Tone",
    "TorqueFunction",
]
