"""The state of a run: everything that is needed to carry it on exactly."""

from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
from jax.sharding import Mesh
from jaxtyping import Array, Int

from tauax._types import MemberKey, Phase, Step
from tauax.clock import Clock, Moment


class Own(NamedTuple):
    """What every member has of its own: the arrays of a state that have the batch axes first."""

    key: MemberKey | None
    phase: Phase
    low: Int[Array, "*batch oscillator"] | None = None
    buffers: Any = None
    shared: Any = None


class State(eqx.Module):
    """Where a run stands; made by `tx.init`, advanced by `tx.step` and `tx.simulate`.

    **Attributes:** `step`, the number of steps made, one for all members; `clock`, from which
    `time` follows; `key`, `[*batch, 2]`, the two words that address a member's noise (None if
    nothing is random); `phase`, `[*batch, oscillator]`, radians in [−π, π); `low`, what rounding
    left of the phase, in 2⁻⁵⁰ turns, in systems that turn exactly, None in others; `buffers`, what
    a system remembers beside its phases, batch axes first; `shared`, inside a run what its readouts
    have in common, None outside; `axes`, the names of the batch axes; `mesh`, the devices that
    share the members, if there are several.
    """

    step: Step
    clock: Clock
    key: MemberKey | None
    phase: Phase
    low: Int[Array, "*batch oscillator"] | None = None
    buffers: Any = None
    shared: Any = None
    axes: tuple[str, ...] = eqx.field(static=True, default=())
    mesh: Mesh | None = eqx.field(static=True, default=None)

    @property
    def own(self) -> Own:
        """What every member has of its own."""
        return Own(self.key, self.phase, self.low, self.buffers, self.shared)

    def with_own(self, own: Own) -> "State":
        """The state with other members."""
        return replace(self, **own._asdict())

    @property
    def time(self) -> Array:
        """Seconds since the start, through all changes of dt."""
        return self.clock.time(self.step)

    @property
    def now(self) -> Moment:
        """The moment at which the next step begins."""
        return Moment(self.clock, self.step)
