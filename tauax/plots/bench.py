"""Figures of benchmarks: who is how fast, how time grows, and how near the machine's limits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tauax._checks import fault
from tauax.plots.base import blank, shades

_OURS = ("tauax",)
_LAWS = {"noiseless": "no noise", "gaussian": "Gaussian noise"}
_AXES = {"size": "oscillators, same work", "members": "members", "steps": "steps"}
# Operations, as instructions on one lane, and bytes of the state per oscillator-step. The products
# of a dense network are 4·N operations, N = 1,000, and count as sgemm's do.
LOAD = {"mean-field": (25.0, 8.0), "mean-field-gaussian": (100.0, 8.0), "dense": (4_000.0, 8.0)}


def rates(results: Mapping[str, Any], path: Path | None = None, workloads=None):
    """Oscillator-steps per second of every program, a panel for each workload, logarithmic.

    A point is the median, the line goes from the slowest round to the fastest.

    **Raises:** `ValueError` where no workload was measured.
    """
    names = workloads or [name for name, one in results["workloads"].items() if one["valid"]]
    if not names:
        raise fault("a result without workloads", "one of some", "measure some: tauax bench")
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    most = max(len(results["workloads"][name]["sides"]) for name in names)
    figure = blank(width=4.2 * columns, height=(0.9 + 0.26 * most) * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw_rates(panel, results["workloads"][name])
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    return _finished(figure, path)


def _draw_rates(panel, workload: Mapping[str, Any]) -> None:
    from matplotlib.ticker import NullFormatter

    sides = sorted(workload["sides"].items(), key=lambda one: one[1]["rate"])
    place = np.arange(len(sides))
    rate = np.asarray([side["rate"] for _, side in sides])
    low, high = np.transpose([side["spread"] for _, side in sides])
    for y, (name, _) in enumerate(sides):
        colour = "#1f6f8b" if name.startswith(_OURS) else "0.45"
        panel.hlines(y, low[y], high[y], color=colour, lw=1.2)
        panel.plot(rate[y], y, "o", color=colour, ms=5)
    panel.set_xscale("log")
    panel.grid(axis="y", color="0.92")
    panel.set_yticks(place, [name.replace("_", " ") for name, _ in sides], fontsize=8)
    panel.set_xlabel(f"{workload['unit']} per second", fontsize=8)
    panel.set_title(workload["title"], fontsize=8)
    panel.set_xlim(left=0.5 * low.min(), right=high.max() * (high.max() / low.min()) ** 0.3)
    panel.xaxis.set_minor_formatter(NullFormatter())
    for y, x in zip(place, rate, strict=True):
        panel.annotate(
            f"{x / 1e6:.{0 if x > 1e8 else 1 if x > 1e7 else 2}f} M",
            (high[y], y),
            (5, 0),
            va="center",
            fontsize=7,
            textcoords="offset points",
        )


def scaling(study: Mapping[str, Any], path: Path | None = None):
    """Nanoseconds per oscillator-step along oscillators, members, steps and devices."""
    figure = blank(width=13.0, height=3.4)
    panels = figure.subplots(1, 4, sharey=True)
    colours = shades(2)
    for panel, (axis, label) in zip(panels, _AXES.items(), strict=False):
        for colour, law in zip(colours, _LAWS, strict=True):
            found = study[axis][law]
            counts = np.asarray([float(count) for count in found])
            panel.plot(counts, list(found.values()), "o-", color=colour, label=_LAWS[law])
        panel.set_xscale("log")
        panel.set_xlabel(label)
    for colour, law in zip(colours, _LAWS, strict=True):
        found = study["devices"][law]
        counts = np.asarray([int(count) for count in found])
        times = np.asarray(list(found.values()))
        panels[3].plot(counts, times, "o-", color=colour)
    panels[3].set_xticks(counts)
    panels[3].set_xlabel("CPU devices, on the same cores")
    panels[0].set_yscale("log")
    panels[0].set_ylabel("ns per oscillator-step")
    panels[0].legend(fontsize=8)
    panels[3].margins(x=0.2)
    return _finished(figure, path)


def roofline(results: Mapping[str, Any], path: Path | None = None):
    """Operations per second against operations per byte, under the machine's two limits."""
    limits = results["studies"]["limits"]
    peak, memory = limits["sgemm_gflops"], limits["triad_gbytes"]
    figure = blank(width=6.0, height=4.2)
    panel = figure.subplots()
    intensity = np.geomspace(0.5, 2_000, 200)
    panel.plot(intensity, np.minimum(peak, memory * intensity), "k-", lw=1)
    names = (f"sgemm, {peak:.0f} GFLOP/s", f"memory, {memory:.0f} GB/s")
    panel.annotate(names[0], (60, peak), (0, 4), textcoords="offset points", fontsize=8)
    panel.annotate(names[1], (1.2, 0.8 * memory), fontsize=8)
    rates = {name: one["sides"]["tauax"]["rate"] for name, one in results["workloads"].items()}
    for colour, (name, (done, moved)) in zip(shades(len(LOAD)), LOAD.items(), strict=True):
        x, y = done / moved, done * rates[name] / 1e9
        panel.plot(x, y, "o", color=colour)
        panel.annotate(name, (x, y), (6, -10), textcoords="offset points", fontsize=8)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(top=2 * peak)
    panel.set_xlabel("operations per byte of the state, once a step")
    panel.set_ylabel("10⁹ operations per second")
    return _finished(figure, path)


def _finished(figure, path: Path | None):
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
