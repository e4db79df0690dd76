"""What a system is: the vector field that a stepper advances."""

from abc import abstractmethod
from typing import Any

import equinox as eqx

from tauax._types import MemberKey, Phase, Torque
from tauax.clock import Moment
from tauax.noise import AbstractNoise
from tauax.numerics.cycles import Words
from tauax.state import State


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

    @property
    def needs_key(self) -> bool:
        """Whether a run draws random numbers."""
        return self.noise is not None and self.noise.needs_key

    @property
    def random_phase(self) -> bool:
        """Whether `initial_phase` draws, and needs a key."""
        return True

    def check_dt(self, dt: Any) -> None:
        """Raise if steps of dt are known to be too long to make sense of."""

    @abstractmethod
    def initial_phase(self, key: MemberKey | None) -> Phase:
        """Where the phases start when the user does not say, `[oscillator]`, radians."""

    @abstractmethod
    def drift(self, phase: Phase, moment: Moment) -> Torque:
        """dθ/dt without noise and `rotation` at wrapped phases, `[oscillator]`, rad/s."""

    @property
    def rotation(self) -> Words | None:
        """f in two words, `[oscillator]`, Hz, at which the phases turn exactly beside `drift`.

        None where the drift is all. The stepper works in the frame that turns with f, and the state
        carries what rounding leaves of the phase.
        """
        return None

    @property
    def turns_only(self) -> bool:
        """Whether nothing but `rotation` ever moves the phases: no drift, jump or noise."""
        return False

    def shared(self, state: State) -> Any:
        """What readouts and buffers have in common, worked out once per step; None for nothing."""
        return None

    def first_buffers(self, phase: Phase) -> Any:
        """What the system remembers beside its phases, before its first step; None for nothing."""
        return None

    def advance(self, buffers: Any, state: State) -> Any:
        """The buffers after the step that begins at `state`."""
        return buffers

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        """The phases after the kicks that are due in the step that begins now, not wrapped yet."""
        return phase

    def at(self, moment: Moment) -> "AbstractSystem":
        """The system with the parameters that hold during the step that begins now."""
        return self
