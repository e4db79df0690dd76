"""The state of a run: everything that is needed to carry it on exactly."""

import equinox as eqx
from jax.sharding import Mesh
from jaxtyping import Array

from tauax._types import MemberKey, Phase, Step
from tauax.clock import Clock, Moment


class State(eqx.Module):
    """Where a run stands; made by `tx.init`, advanced by `tx.step` and `tx.simulate`.

    **Attributes:** `step`, the number of steps made, one for all members; `clock`, from which
    `time` follows; `key`, `[*batch, 2]`, the two words that address a member's noise (None if
    nothing is random); `phase`, `[*batch, oscillator]`, radians in [−π, π); `axes`, the names of
    the batch axes; `mesh`, the devices that share the members, if there are several.
    """

    step: Step
    clock: Clock
    key: MemberKey | None
    phase: Phase
    axes: tuple[str, ...] = eqx.field(static=True, default=())
    mesh: Mesh | None = eqx.field(static=True, default=None)

    @property
    def time(self) -> Array:
        """Seconds since the start, through all changes of dt."""
        return self.clock.time(self.step)

    @property
    def now(self) -> Moment:
        """The moment at which the next step begins."""
        return Moment(self.clock, self.step)
