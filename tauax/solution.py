"""What a run returns."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from tauax import _archive, export
from tauax._checks import fault, is_concrete
from tauax._digest import digest
from tauax._scan import prepared
from tauax._types import Step
from tauax.clock import Clock
from tauax.devices import gathered
from tauax.monitors.base import AbstractMonitor
from tauax.state import State

OK, NOT_FINITE = 0, 1
_KIND = "solution"


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
        if not _same(self.specification, later.specification):
            raise fault(
                f"a later run with the monitors {_text(later.specification)}",
                f"those of this one, {_text(self.specification)}",
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
        # What ran in parts is on the host.
        ours, theirs = (jax.tree.map(jnp.asarray, one.monitors) for one in (self, later))
        monitors = {
            name: monitor.merge(ours[name], theirs[name])
            for name, monitor in self.specification.items()
        }
        status = jnp.maximum(self.status, later.status)
        return Solution(
            later.state, monitors, status, self.specification, self.coordinates, self.begin
        )

    def save(self, path: str | Path) -> None:
        """Write the solution to a file, whole or not at all: `.npz` with a JSON header, no pickle.

        **Raises:** `OSError` if it cannot be written; an older file is then still there.
        """
        bare = replace(self, specification={})
        header = {
            "monitors": _digests(self.specification),
            "axes": list(self.state.axes),
            "shape": list(self.state.phase.shape),
            "dtype": self.state.phase.dtype.name,
            "keyed": self.state.key is not None,
            "coordinates": list(self.coordinates),
        }
        _archive.write(Path(path), _KIND, header, [gathered(x) for x in jax.tree.leaves(bare)])

    @staticmethod
    def load(path: str | Path, model, monitors: Mapping[str, Any] | None = None) -> "Solution":
        """The solution in a file; equal to the saved one bit for bit.

        **Arguments:** `path`; `model` and `monitors`, as the run had them: what is code is not in
        the file.

        **Raises:** `FileNotFoundError`; `ValueError` for a file that is damaged, of another
        version, of a model of another size, or of other monitors.
        """
        header, arrays = _archive.read(Path(path), _KIND)
        specification = dict(monitors or {})
        saved, given = header["monitors"], _digests(specification)
        if saved != given:
            same = [name for name in saved if saved[name] == given.get(name)]
            raise fault(
                f"{path} with the monitors {list(given)}, of which {same or 'none'} fit",
                f"the monitors of the run, {list(saved)}, with its numbers",
                "pass the same monitors= as the run had",
            )
        if header["dtype"] != jax.dtypes.canonicalize_dtype(header["dtype"]).name:
            raise fault(
                f"{path}, a solution in {header['dtype']}, while 64-bit mode is off",
                "64-bit mode",
                'call jax.config.update("jax_enable_x64", True) at program start',
            )
        size, dtype = header["shape"][-1], header["dtype"]
        if (size, dtype) != (model.size, model.dtype.name):
            raise fault(
                f"{path}, a solution of {size} oscillators in {dtype}",
                f"{model.size} oscillators in {model.dtype.name}",
                "pass the model of the run",
            )
        structure = jax.tree.structure(_outline(model, specification, header))
        loaded = structure.unflatten([jnp.asarray(array) for array in arrays])
        return replace(loaded, specification=specification)

    def to_xarray(self):
        """The monitors as an `xarray.Dataset` with named axes; needs `pip install "tauax[xarray]"`.

        Each variable is named monitor_statistic, such as `r_mean`. Its axes are those of the state,
        then `monitor_time` for a trace, `oscillator` where there is one, and those of the monitor,
        such as `monitor_bin`.
        """
        return export.to_xarray(self._labelled())

    def to_dataframe(self, monitor: str | None = None):
        """One long `pandas.DataFrame`; needs `pip install "tauax[xarray]"`.

        Without `monitor` it has a row per point of the batch axes, with the status and every
        statistic that has no axes of its own, such as `r_mean`. With the name of a monitor it has a
        row per point of that monitor's axes too: `to_dataframe("phase")` of a trace one per record
        and oscillator. The name of one statistic, such as "phase_value", picks this one.

        **Raises:** `ValueError` for an unknown name, or if no statistic fits.
        """
        return export.to_dataframe(self._labelled(), monitor)

    def to_csv(self, path, monitor: str | None = None) -> None:
        """Write the table of `to_dataframe` as CSV, without pandas; replaces the file in one move.

        **Raises:** as `to_dataframe`; `FileNotFoundError` or `PermissionError` for a folder that is
        not there or cannot be written to.
        """
        export.to_csv(self._labelled(), path, monitor)

    def to_netcdf(self, path) -> None:
        """Write the data set of `to_xarray` as NetCDF 4; `pip install "tauax[xarray,data]"`."""
        export.to_netcdf(self._labelled(), path)

    def to_zarr(self, path) -> None:
        """Write the data set of `to_xarray` as a Zarr store; `pip install "tauax[xarray,data]"`."""
        export.to_zarr(self._labelled(), path)

    def _labelled(self) -> export.Labelled:
        """The results with a name for every axis."""
        size = self.state.phase.shape[-1]
        return export.label(self.state.axes, size, self.status, self.coordinates, self.monitors)


def _digests(monitors: Mapping[str, Any]) -> dict[str, str]:
    return {name: digest(monitor) for name, monitor in monitors.items()}


def _text(monitors: Mapping[str, AbstractMonitor]) -> str:
    """The monitors with their numbers."""
    return eqx.tree_pformat(dict(monitors), width=10_000, short_arrays=False)


def _same(monitors: Mapping[str, AbstractMonitor], others: Mapping[str, AbstractMonitor]) -> bool:
    """Whether two sets of monitors are equal, as far as their numbers are known."""
    leaves, structure = jax.tree.flatten(monitors)
    other_leaves, other_structure = jax.tree.flatten(others)
    # Not jnp, whose answer inside a jit is not known.
    return structure == other_structure and all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in zip(leaves, other_leaves, strict=True)
        if is_concrete(a) and is_concrete(b)
    )


def _outline(model, monitors: Mapping[str, AbstractMonitor], header: Mapping[str, Any]) -> Solution:
    """A solution as the header describes it, without numbers and without its specification."""

    def made() -> Solution:
        shape, dtype = tuple(header["shape"]), header["dtype"]
        key = jnp.zeros((*shape[:-1], 2), jnp.uint32) if header["keyed"] else None
        step = jnp.zeros((), jnp.int32)
        phase = jnp.zeros(shape, dtype)
        state = State(step, Clock.start(dtype), key, phase, axes=tuple(header["axes"]))
        state = prepared(model, state)
        results = {
            name: monitor.result(monitor.init(model, state, 1), state)
            for name, monitor in monitors.items()
        }
        coordinates = dict.fromkeys(header["coordinates"], step)
        return Solution(state, results, step, {}, coordinates, step)

    return jax.eval_shape(made)
