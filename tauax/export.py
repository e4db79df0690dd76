"""What was monitored as named axes, as tables and as files that others read.

A run's arrays become a `Labelled`, and everything else is made from that.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tauax import __version__
from tauax._checks import fault
from tauax._replacing import replacing
from tauax.monitors.base import AbstractResult
from tauax.monitors.trace import TraceResult

OSCILLATOR = "oscillator"
_NEEDED = {  # packages of each form of output, with the extra that brings them
    "xarray": {"xarray": "xarray"},
    "dataframe": {"pandas": "xarray"},
    "netcdf": {"xarray": "xarray", "h5netcdf": "data", "h5py": "data"},
    "zarr": {"xarray": "xarray", "zarr": "data"},
}
_ROWS = 4096  # rows of a CSV turned to text at a time


class Variable(NamedTuple):
    """An array, the names of its axes, and the monitor that it comes from, if any."""

    axes: tuple[str, ...]
    values: np.ndarray
    monitor: str | None = None


@dataclass(frozen=True)
class Labelled:
    """Arrays with named axes.

    **Attributes:** `batch`, the names of the axes that come first; `coordinates`, the values along
    axes; `variables`, named monitor_statistic, and `status`.
    """

    batch: tuple[str, ...]
    coordinates: dict[str, Variable]
    variables: dict[str, Variable]

    def size(self, axis: str) -> int:
        """The length of an axis."""
        every = (*self.variables.values(), *self.coordinates.values())
        return next(one.values.shape[one.axes.index(axis)] for one in every if axis in one.axes)


def label(
    batch: tuple[str, ...],
    oscillators: int,
    status,
    coordinates: Mapping[str, object],
    monitors: Mapping[str, AbstractResult],
) -> Labelled:
    """The results of a run with a name for every axis.

    **Arguments:** `batch`, the names of the batch axes; `oscillators`, their number; `status`,
    `[*batch]`; `coordinates`, the values along batch axes, by axis, or by "axis.name" where several
    move along one; `monitors`, the results by name.

    An axis of a statistic is named by its result, and a record axis `time`, both with the monitor's
    name in front. An axis of a readout has no name: it is `oscillator` if it is the only one and as
    long as there are oscillators, else the monitor's name and its position.
    """
    variables = {"status": Variable(batch, np.asarray(status))}
    named = {}
    for name, values in coordinates.items():
        axis, _, own = name.partition(".")
        named[f"{axis}_{own}" if own else axis] = Variable((axis,), np.asarray(values))
    for monitor, result in monitors.items():
        record: tuple[str, ...] = ()
        if isinstance(result, TraceResult):
            record = (f"{monitor}_time",)
            _check_axis(record[0], batch)
            named[record[0]] = Variable(record, np.asarray(result.time))
        for axis, values in result.coordinates().items():
            array = np.asarray(values)
            _check_axis(f"{monitor}_{axis}", batch)
            own = (*batch[: array.ndim - 1], f"{monitor}_{axis}")
            named[own[-1]] = Variable(own, array)
        last = result.axes()
        for statistic, values in result.statistics().items():
            array = np.asarray(values)
            own = tuple(f"{monitor}_{axis}" for axis in last.get(statistic, ()))
            known = len(batch) + len(record)
            middle = array.shape[known : array.ndim - len(own)]
            axes = (*batch, *record, *_readout_axes(monitor, middle, oscillators), *own)
            variables[f"{monitor}_{statistic}"] = Variable(axes, array, monitor)
    _check_names(named, variables)
    return Labelled(batch, named, variables)


def to_xarray(data: Labelled):
    """An `xarray.Dataset`: the axes as dimensions; needs `pip install "tauax[xarray]"`."""
    require("xarray")
    import xarray

    return xarray.Dataset(
        {name: (one.axes, one.values) for name, one in data.variables.items()},
        {name: (one.axes, one.values) for name, one in data.coordinates.items()},
        {"source": f"tauax {__version__}"},
    )


def of_sweep(ways: Sequence[Sequence], directions: Sequence[str], values):
    """Data sets of runs, `[direction][value]`, as one; times count from the beginning of each run.

    `values` are those of the axis `value`, or None.
    """
    require("xarray")
    import xarray

    for one in (one for way in ways for one in way):
        for time in [name for name in one.coords if str(name).endswith("_time")]:
            one[time] = one[time] - one[time][0]
    together = [xarray.concat(way, "value", join="override") for way in ways]
    both = xarray.concat(together, "direction", join="override")
    both = both.assign_coords(direction=list(directions))
    return both if values is None else both.assign_coords(value=np.asarray(values))


def to_dataframe(data: Labelled, monitor: str | None = None):
    """A long `pandas.DataFrame` of `columns`; needs `pip install "tauax[xarray]"`."""
    require("dataframe")
    import pandas

    return pandas.DataFrame(
        {name: values.reshape(-1) for name, values in columns(data, monitor).items()}
    )


def to_csv(data: Labelled, path, monitor: str | None = None) -> None:
    """Write `columns` as a CSV file with a header; replaces the file in one move.

    Every number has the digits that give it back exactly in its own precision.
    """
    table = columns(data, monitor)
    rows = next(iter(table.values())).size
    with replacing(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        for begin in range(0, rows, _ROWS):
            block = [values.flat[begin : begin + _ROWS].astype(str) for values in table.values()]
            writer.writerows(zip(*block, strict=True))


def to_npz(data: Labelled, path) -> None:
    """Write the arrays as a compressed `.npz`, coordinates included; replaces the file."""
    arrays = {name: one.values for name, one in (data.coordinates | data.variables).items()}
    axes = {f"axes_{name}": np.asarray(one.axes, str) for name, one in data.variables.items()}
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays, **axes)


def to_netcdf(data: Labelled, path) -> None:
    """Write the data set as NetCDF 4; replaces the file in one move.

    Complex numbers, which NetCDF lacks, become two variables. Needs
    `pip install "tauax[xarray,data]"`.
    """
    require("netcdf")
    dataset = to_xarray(_real(data))
    with replacing(path) as unfinished:
        dataset.to_netcdf(unfinished, engine="h5netcdf")


def to_zarr(data: Labelled, path) -> None:
    """Write the data set as a Zarr store of format 3, a folder; replaces another store.

    Needs `pip install "tauax[xarray,data]"`.

    **Raises:** `FileExistsError` if there is something other than a Zarr store.
    """
    require("zarr")
    dataset = to_xarray(_real(data))
    if Path(path).exists() and not (Path(path) / "zarr.json").exists():
        raise fault(
            f"{path}, which is there and is no Zarr store",
            "a free path, or a store to replace",
            "give another path",
            FileExistsError,
        )
    with replacing(path) as unfinished:
        dataset.to_zarr(unfinished, mode="w", zarr_format=3, consolidated=False)


def columns(data: Labelled, monitor: str | None = None) -> dict[str, np.ndarray]:
    """The columns of one long table: axes first, one row per point of them.

    Without `monitor` the points are those of the batch axes, and the columns the status and every
    statistic that has no axes of its own. With the name of a monitor they are those of its
    statistics, a shorter one repeated along the axes that it lacks; with that of one statistic,
    such as "phase_value", those of this one.

    **Returns:** views of one shape, to be read in C order.

    **Raises:** `ValueError` for an unknown name, or statistics whose axes do not fit one table.
    """
    chosen = _chosen(data, monitor)
    axes = max((one.axes for one in chosen.values()), key=len)
    for name, one in chosen.items():
        if not _fits(one.axes, axes):
            raise fault(
                f"statistics of {monitor!r} on the axes {axes} and {one.axes}",
                "axes that fit one table",
                f"ask for one statistic, such as {name!r}",
            )
    sizes = tuple(map(data.size, axes))
    table = {
        axis: Variable((axis,), np.arange(size)) for axis, size in zip(axes, sizes, strict=True)
    }
    table |= {name: one for name, one in data.coordinates.items() if _fits(one.axes, axes)}
    table |= _real_parts(chosen)
    return {name: _spread(one, axes, sizes) for name, one in table.items()}


def tables(data: Labelled) -> list[str | None]:
    """What to ask `columns` for, to have every statistic in a table: None is the first one."""
    monitored = {name: one for name, one in data.variables.items() if one.monitor is not None}
    names: list[str | None] = []
    if any(one.axes == data.batch for one in monitored.values()):
        names.append(None)
    for monitor in dict.fromkeys(one.monitor for one in monitored.values()):
        own = {name: one.axes for name, one in monitored.items() if one.monitor == monitor}
        longest = max(own.values(), key=len)
        if not all(_fits(axes, longest) for axes in own.values()):
            names += [name for name, axes in own.items() if axes != data.batch]
        elif longest != data.batch:
            names.append(monitor)
    return names


def require(form: str) -> None:
    """Raise `ImportError` with the remedy unless what a form of output needs is installed."""
    needed = _NEEDED[form]
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        extras = ",".join(dict.fromkeys(needed.values()))
        raise ImportError(f'to_{form} needs {" and ".join(missing)}: pip install "tauax[{extras}]"')


def _readout_axes(monitor: str, shape: Sequence[int], oscillators: int) -> tuple[str, ...]:
    if tuple(shape) == (oscillators,):
        return (OSCILLATOR,)
    return tuple(f"{monitor}_{position}" for position in range(len(shape)))


def _check_axis(name: str, batch: Sequence[str]) -> None:
    if name in batch:
        raise fault(
            f"{name!r} as the name of an axis of the grid and of a monitor",
            "different names",
            "rename the axis or the monitor",
        )


def _check_names(coordinates: Mapping, variables: Mapping) -> None:
    taken = sorted(set(coordinates) & set(variables))
    if taken:
        raise fault(
            f"{taken[0]!r} as the name of an axis and of a statistic",
            "different names",
            "rename the axis or the monitor",
        )


def _chosen(data: Labelled, monitor: str | None) -> dict[str, Variable]:
    """The variables of one table."""
    variables = data.variables
    if monitor is None:
        scalar = {name: one for name, one in variables.items() if one.axes == data.batch}
        if len(scalar) == 1 < len(variables):
            names = sorted({one.monitor for one in variables.values() if one.monitor})
            raise fault(
                "no statistic without axes of its own",
                f"the name of a monitor, one of {', '.join(names)}",
                f"ask for one, such as {names[0]!r}",
            )
        return scalar
    found = {name: one for name, one in variables.items() if one.monitor == monitor}
    found = found or {name: variables[name] for name in variables if name == monitor}
    if not found:
        names = {one.monitor for one in variables.values() if one.monitor}
        raise fault(
            f"{monitor!r}",
            f"the name of a monitor or of a statistic: {', '.join(sorted(names | set(variables)))}",
            "choose one of them",
        )
    return found


def _fits(axes: Sequence[str], into: Sequence[str]) -> bool:
    """Whether the axes are among the others, in the same order."""
    return list(axes) == [axis for axis in into if axis in axes]


def _spread(one: Variable, axes: tuple[str, ...], sizes: tuple[int, ...]) -> np.ndarray:
    """The values repeated along the axes that they lack, without copying them."""
    shape = [size if axis in one.axes else 1 for axis, size in zip(axes, sizes, strict=True)]
    return np.broadcast_to(one.values.reshape(shape), sizes)


def _real_parts(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """Complex variables as two; the others as they are."""
    parts = {}
    for name, one in variables.items():
        if np.iscomplexobj(one.values):
            parts[f"{name}_real"] = one._replace(values=np.real(one.values))
            parts[f"{name}_imaginary"] = one._replace(values=np.imag(one.values))
        else:
            parts[name] = one
    return parts


def _real(data: Labelled) -> Labelled:
    return Labelled(data.batch, data.coordinates, _real_parts(data.variables))
