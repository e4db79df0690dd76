"""The axes of a grid as runs: one description for each value."""

from copy import deepcopy
from dataclasses import fields, is_dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np

from tauax.runs.places import KeyPath
from tauax.runs.reader import VARIABLE, read
from tauax.runs.schema import Axis, Run
from tauax.runs.source import Source, suggestion


class Values(NamedTuple):
    """One axis: its `path` and where it was given, its values, and the run that each makes.

    `probe` holds a further run if all values are the same, so that what moves can be found.
    """

    path: str
    place: KeyPath
    values: tuple[float, ...]
    runs: tuple[Run, ...]
    probe: tuple[Run, ...]


def grid_values(source: Source, run: Run, name: str) -> Values:
    """The runs along an axis.

    **Raises:** `ConfigError` for a path that no number of the model has, or a value out of range.
    """
    axis = (run.vary or {})[name]
    place = ("vary", name, "path")
    known = sorted(_paths(run))
    if axis.path not in known:
        got = f"vary.{name}.path = {axis.path!r}"
        fix = suggestion(axis.path, known)
        raise source.fault(place, got, "the path of a number of the model", fix)
    values = numbers(axis)
    way = next(way for way in ("values", "linspace", "geomspace") if getattr(axis, way) is not None)
    runs = []
    for position, value in enumerate(values):
        here = ("vary", name, way, position) if way == "values" else ("vary", name, way)
        runs.append(_with(source, axis.path, value, here))
    same = len(set(values)) == 1
    probe = (_with(source, axis.path, values[0] + 1, place),) if same else ()
    return Values(axis.path, place, values, tuple(runs), probe)


def numbers(axis: Axis) -> tuple[float, ...]:
    """The values of an axis."""
    if axis.values is not None:
        return axis.values
    space, given = (np.linspace, axis.linspace) if axis.linspace else (np.geomspace, axis.geomspace)
    first, last, count = given or (0.0, 0.0, 0.0)
    return tuple(space(first, last, int(count)).tolist())


def grid_size(run: Run) -> int:
    """The number of points of the grid."""
    return prod(len(numbers(axis)) for axis in (run.vary or {}).values())


def _with(source: Source, path: str, value: float, place: KeyPath) -> Run:
    """The run with another value at a path; a fault of the value is that of the axis."""
    keys = tuple(path.split("."))
    table: Any = deepcopy(source.table)
    inner = table
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    origin = source.origin | {keys: source.place(place)}
    return read(Source(table, origin, source.name, source.folder))


def _paths(run: Run) -> set[str]:
    """The paths of all single numbers of the parts of the model."""
    return {path for part in VARIABLE for path in _numbers_of(getattr(run, part), part)}


def _numbers_of(value: Any, path: str) -> set[str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {path}
    if not is_dataclass(value):
        return set()
    return {
        found
        for one in fields(value)
        for found in _numbers_of(getattr(value, one.name), f"{path}.{one.name}")
    }
