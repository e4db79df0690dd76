"""What a run returns."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from tauax._checks import fault, is_concrete
from tauax._types import Step
from tauax.monitors.base import AbstractMonitor
from tauax.monitors.trace import TraceResult
from tauax.state import State

OK, NOT_FINITE = 0, 1


class Solution(eqx.Module):
    """The end of a run and what was monitored on the way.

    **Attributes:** `state`, after the last step; `monitors`, the result of each by its name;
    `status`, `[*batch]`: 0 where the phases are finite, 1 where they are not; `specification`, the
    monitors that were asked for; `coordinates`, the values along the axes made by `vary`;
    `begin`, the step at which the run began.
    """

    state: State
    monitors: dict[str, Any]
    status: Int[Array, "*batch"]
    specification: dict[str, AbstractMonitor]
    coordinates: dict[str, Array]
    begin: Step

    def then(self, later: "Solution") -> "Solution":
        """This run and the one that carried on from it, as one.

        **Raises:** `ValueError` for other monitors, or a run that began elsewhere.
        """
        if jax.tree.structure(self.specification) != jax.tree.structure(later.specification):
            raise fault(
                f"a later run with monitors {later.specification}",
                f"the monitors of this one, {self.specification}",
                "pass the same monitors= to both runs",
            )
        if is_concrete(later.begin) and is_concrete(self.state.step):
            end, begin = int(self.state.step), int(later.begin)
            if begin != end:
                raise fault(
                    f"a later run that began at step {begin}",
                    f"one that began at step {end}, where this one ended",
                    "simulate it from this solution's state",
                )
        monitors = {
            name: monitor.merge(self.monitors[name], later.monitors[name])
            for name, monitor in self.specification.items()
        }
        status = jnp.maximum(self.status, later.status)
        return Solution(
            later.state, monitors, status, self.specification, self.coordinates, self.begin
        )

    def to_xarray(self):
        """The monitors as an `xarray.Dataset` with named axes; needs `pip install "tauax[xarray]"`.

        Each variable is named monitor_statistic, such as `r_mean`. Its axes are those of the state,
        then `monitor_time` for a trace, then `oscillator` where there is one.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError('to_xarray needs xarray: pip install "tauax[xarray]"') from error
        coordinates = {name: np.asarray(value) for name, value in self.coordinates.items()}
        variables: dict[str, Any] = {"status": (self.state.axes, np.asarray(self.status))}
        for name, result in self.monitors.items():
            if isinstance(result, TraceResult):
                coordinates[f"{name}_time"] = np.asarray(result.time)
            for statistic, value in result.statistics().items():
                variables[f"{name}_{statistic}"] = (self._axes(name, value), np.asarray(value))
        return xarray.Dataset(variables, coordinates)

    def _axes(self, name: str, value: Array) -> tuple[str, ...]:
        """The names of the axes of one statistic of one monitor."""
        axes = list(self.state.axes)
        if isinstance(self.monitors[name], TraceResult):
            axes.append(f"{name}_time")
        own = value.shape[len(axes) :]
        if own == self.state.phase.shape[-1:]:
            return (*axes, "oscillator")
        return (*axes, *(f"{name}_{position}" for position in range(len(own))))
