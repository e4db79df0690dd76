"""A drive given as a function."""

from collections.abc import Callable, Hashable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from tauax._checks import check_shape, fault
from tauax._types import Phase, Torque, numeric
from tauax.clock import Moment
from tauax.drives.base import AbstractDrive


class TorqueFunction(AbstractDrive):
    """F = function(time, phase, parameters): any torque, in rad/s.

    **Arguments:** `function`, a pure function of the time in seconds, the wrapped phases
    `[oscillator]` and the parameters, that returns the torque, one number or `[oscillator]`;
    `parameters`, any pytree of numbers and arrays, which are swept and differentiated like all
    others. Define the function once, at module level: a new function object compiles anew.

    In float32 the time resolves 8 ms at 10⁵ s: for periodic drives prefer `Tone` or `Sine`.

    **Raises:** `TypeError` for a function that cannot be called or hashed; `ValueError` for a
    torque of the wrong shape.
    """

    function: Callable = eqx.field(static=True)
    parameters: Any = eqx.field(converter=lambda tree: jax.tree.map(numeric, tree), default=())

    def __check_init__(self) -> None:
        if not callable(self.function) or not isinstance(self.function, Hashable):
            raise fault(
                f"function={self.function!r}",
                "a function of (time, phase, parameters) that can be hashed",
                "define it with def, and pass arrays it needs as parameters",
                TypeError,
            )

    def __call__(self, phase: Phase, moment: Moment) -> Torque:
        phase = jax.lax.optimization_barrier(phase)  # read by `batch.doubled`: not our products
        torque = self.function(moment.time, phase, self.parameters)
        return jnp.broadcast_to(jnp.asarray(torque, phase.dtype), phase.shape)

    def check(self, size: int) -> None:
        time, phase = jnp.zeros(()), jnp.zeros((size,))
        torque = jax.eval_shape(lambda: jnp.asarray(self.function(time, phase, self.parameters)))
        fix = "return one number for all oscillators or one each"
        check_shape("the torque of the function", torque, [(), (size,)], fix)
