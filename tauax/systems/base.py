"""What a system is: the vector field that a stepper advances."""

from abc import abstractmethod

import equinox as eqx

from tauax._types import MemberKey, Phase, Torque
from tauax.clock import Moment
from tauax.noise import AbstractNoise


class AbstractSystem(eqx.Module):
    """A system of oscillators, written for one member; `tauax.batch` maps it over members."""

    @property
    @abstractmethod
    def noise(self) -> AbstractNoise | None:
        """What is added at random, or None."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of oscillators."""

    @property
    @abstractmethod
    def dtype(self):
        """The dtype of the phase, to which every other number is cast inside the step."""

    @abstractmethod
    def initial_phase(self, key: MemberKey) -> Phase:
        """Where the phases start when the user does not say, `[oscillator]`, radians."""

    @abstractmethod
    def drift(self, phase: Phase, moment: Moment) -> Torque:
        """dθ/dt without noise at wrapped phases, `[oscillator]`, rad/s."""

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        """The phases after the kicks that are due in the step that begins now, not wrapped yet."""
        return phase

    def at(self, moment: Moment) -> "AbstractSystem":
        """The system with the parameters that hold during the step that begins now."""
        return self
