"""The figure of a run that was described in a file."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from tauax.plots.base import MANY, blank, evenly, shades

if TYPE_CHECKING:
    from tauax.export import Labelled

_TELLING = ("_frequency", "_density", "_correlation", "_power")  # of several statistics
_FEW = 4  # components, or lines that cross


def save_run(data: "Labelled", path: Path, title: str = "", statistics: Sequence[str] = ()) -> None:
    """A panel for each statistic: against the first axis of the grid, time, or its own axis.

    **Arguments:** `statistics`, names such as "r_mean", or of monitors; one per monitor if empty.
    """
    names = _drawn(data, statistics)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = blank(width=5.0 * columns, height=3.6 * rows + 0.4 * bool(title))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw_statistic(panel, data, name)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    if title:
        figure.suptitle("\n".join(wrap(title, 62 * columns)), fontsize=10)
    figure.savefig(path, dpi=150)


def _drawn(data: "Labelled", statistics: Sequence[str]) -> list[str]:
    """The names of what is drawn: as asked for, or the most telling one of each monitor."""
    by_monitor: dict[str, list[str]] = {}
    for name, one in data.variables.items():
        if one.monitor is not None:
            by_monitor.setdefault(one.monitor, []).append(name)
    main = {
        monitor: next((n for n in names if n.endswith(_TELLING)), names[0])
        for monitor, names in by_monitor.items()
    }
    unknown = [name for name in statistics if name not in main and name not in data.variables]
    if unknown:
        raise ValueError(
            f"got {unknown[0]!r} to draw; expected one of {', '.join((*main, *data.variables))}. "
            "Fix: name a monitor or a statistic."
        )
    return [main.get(name, name) for name in statistics] or list(main.values())


def _draw_statistic(panel, data: "Labelled", name: str) -> None:
    """One statistic, with the axes of the grid from the third on at their first value."""
    one = data.variables[name]
    own = one.axes[len(data.batch) :]
    grid = tuple(axis for axis in data.batch if axis != "member")
    values = one.values if grid != data.batch else np.expand_dims(one.values, len(grid))
    values = values[(slice(None),) * min(2, len(grid)) + (0,) * len(grid[2:])]
    grid = grid[:2]
    panel.set_title(name, fontsize=10)
    timed = bool(own) and own[0].endswith("_time")
    if not own:
        _draw_grid(panel, data, grid, values) if grid else _draw_members(panel, values)
    elif own == ("oscillator",) and grid:
        _draw_tree(panel, data, grid, values)
    elif len(own) == 1:
        _draw_lines(panel, data, grid, own[0], values)
    elif timed and values.shape[-1] <= _FEW:
        _draw_components(panel, data, own, values.reshape(-1, *values.shape[-2:]))
    elif len(own) == 2:
        _draw_image(panel, data, own, values.reshape(-1, *values.shape[-2:])[0])
    else:
        panel.text(0.5, 0.5, f"axes {', '.join(own)}: not drawn", ha="center", va="center")


def _draw_grid(panel, data: "Labelled", grid: tuple[str, ...], values: np.ndarray) -> None:
    """Against the first axis: every member, or a line and 10-90 % for values of the second."""
    x = _along(data, grid[0])
    if len(grid) == 1:
        some = values[:, evenly(values.shape[-1], 32)]
        panel.plot(x, np.nanmean(values, axis=-1), color="0.6", linewidth=1.0, label="mean")
        panel.plot(x, some, "o", color="C0", markersize=3, alpha=0.7, label=_one("member", some.T))
    else:
        chosen = evenly(values.shape[1], MANY)
        for line, colour in zip(chosen, shades(len(chosen)), strict=True):
            low, middle, high = np.nanquantile(values[:, line], [0.1, 0.5, 0.9], axis=-1)
            label = f"{grid[1]} = {_along(data, grid[1])[line]:.3g}"
            panel.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
            panel.plot(x, middle, "o-", color=colour, markersize=3.5, label=label)
    panel.legend(fontsize=8, loc="best", frameon=False)
    _scale(panel, x)
    panel.set_xlabel(grid[0])


def _draw_members(panel, values: np.ndarray) -> None:
    panel.plot(values, "o", color="C0", markersize=3.5)
    panel.axhline(float(np.nanmean(values)), color="0.6", linewidth=1.0)
    panel.set_xlabel("member (line: mean)")
    panel.xaxis.get_major_locator().set_params(integer=True)


def _draw_tree(panel, data: "Labelled", grid: tuple[str, ...], values: np.ndarray) -> None:
    """Every oscillator of the first member against the first axis."""
    x = _along(data, grid[0])
    values = values[:, 0] if len(grid) == 2 else values
    panel.plot(x, values[:, 0], color="C0", linewidth=0.6, alpha=0.6)
    _scale(panel, x)
    panel.set_xlabel(f"{grid[0]} (a line per oscillator, member 0)")


def _draw_lines(
    panel, data: "Labelled", grid: tuple[str, ...], axis: str, values: np.ndarray
) -> None:
    """Against the statistic's own axis: the mean over members, for some values of the grid.

    Without a grid, members are shown against time, and the first few against the oscillators.
    """
    x, timed = _along(data, axis), axis.endswith("_time")
    values = values[:, 0] if len(grid) == 2 else values
    if grid:
        chosen = evenly(values.shape[0], _FEW)
        names = [f"{grid[0]} = {_along(data, grid[0])[point]:.3g}" for point in chosen]
        lines = values[chosen].mean(axis=1)
    elif axis == "oscillator":
        lines = values[:_FEW]
        names = [f"member {member}" for member in range(len(lines))]
    else:
        lines, names = values.mean(axis=0)[None], ["mean over members"]
    if timed and not grid and len(values) > 1:
        panel.plot(x, values[evenly(len(values), 32)].T, color="0.75", linewidth=0.6)
    style = "-" if timed else "." if axis == "oscillator" else ".-"
    for line, name, colour in zip(lines, names, shades(len(lines)), strict=True):
        panel.plot(x, line, style, color=colour, linewidth=1.0, label=name)
    panel.legend(fontsize=8, loc="best", frameon=False)
    panel.set_xlabel("time (s)" if timed else axis)


def _draw_components(panel, data: "Labelled", own: tuple[str, ...], values: np.ndarray) -> None:
    """Few components against time, for some of the systems."""
    x, some = _along(data, own[0]), values[evenly(values.shape[0], 8)]
    for component, colour in enumerate(shades(values.shape[-1])):
        lines = some[..., component]
        label = _one(f"component {component}", lines)
        panel.plot(x, lines.T, color=colour, linewidth=0.8, label=label)
    panel.legend(fontsize=8, loc="best", frameon=False)
    panel.set_xlabel("time (s)")


def _draw_image(panel, data: "Labelled", own: tuple[str, ...], values: np.ndarray) -> None:
    """Time to the right and oscillators upward, of the first system."""
    x, y = _along(data, own[0]), np.arange(values.shape[1])
    angle = np.nanmin(values) < 0 and np.nanmax(np.abs(values)) <= np.pi + 1e-3
    look = {"cmap": "twilight", "vmin": -np.pi, "vmax": np.pi} if angle else {"cmap": "viridis"}
    image = panel.pcolormesh(x, y, values.T, shading="nearest", rasterized=True, **look)
    panel.figure.colorbar(image, ax=panel)
    panel.set_xlabel("time (s)" if own[0].endswith("_time") else own[0])
    panel.set_ylabel(f"{own[1]} (first system)")


def _one(label: str, lines: np.ndarray) -> list[str]:
    """A label for the first of several lines; matplotlib leaves out those with an underscore."""
    return [label, *["_"] * (len(lines) - 1)]


def _along(data: "Labelled", axis: str) -> np.ndarray:
    """The values along an axis, or the positions."""
    if axis in data.coordinates and data.coordinates[axis].values.ndim == 1:
        return data.coordinates[axis].values
    return np.arange(data.size(axis))


def _scale(panel, x: np.ndarray) -> None:
    """A logarithmic axis for values in even ratios."""
    if len(x) > 2 and x.min() > 0:
        ratios = x[1:] / x[:-1]
        if np.allclose(ratios, ratios[0], rtol=1e-3) and not np.allclose(np.diff(x), x[1] - x[0]):
            panel.set_xscale("log")
