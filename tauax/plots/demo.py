"""The figure of `tauax demo`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tauax.plots.base import blank, shades

if TYPE_CHECKING:
    from tauax.demo import Curve, Sweep


def save_demo(sweeps: Sequence["Sweep"], curve: "Curve", path: Path) -> None:
    """r against coupling: a panel per network with its spread, and the mean field with theory."""
    figure = blank(width=4.2 * (len(sweeps) + 1), height=3.9)
    panels = figure.subplots(1, len(sweeps) + 1, sharey=True)
    for panel, result in zip(panels, sweeps, strict=False):
        _draw_sweep(panel, result)
    _draw_curve(panels[-1], curve)
    panels[0].set_ylabel("coherence $r$, mean in time")
    panels[0].set_ylim(0.0, 1.02)
    figure.savefig(path, dpi=150)


def _draw_sweep(panel, result: "Sweep") -> None:
    strengths = result.study.strengths
    colours = shades(len(result.study.intensities))
    for j, (intensity, colour) in enumerate(zip(result.study.intensities, colours, strict=True)):
        low, middle, high = np.quantile(result.mean[:, j], [0.1, 0.5, 0.9], axis=-1)
        panel.fill_between(strengths, low, high, color=colour, alpha=0.25, linewidth=0)
        label = f"$D$ = {intensity:g} rad²/s"
        panel.plot(strengths, middle, "o-", color=colour, markersize=3.5, label=label)
    ratios = strengths[1:] / np.maximum(strengths[:-1], 1e-12)
    if np.allclose(ratios, ratios[0]):
        panel.set_xscale("log")
    panel.set_title(result.study.title, fontsize=10)
    panel.set_xlabel(result.study.axis)
    panel.legend(fontsize=8, loc="best", frameon=False)


def _draw_curve(panel, curve: "Curve") -> None:
    fine = np.linspace(curve.strength[0], curve.strength[-1], 1000)
    panel.plot(fine, curve.theory(fine), "-", color="0.6", linewidth=2, label="theory, N → ∞")
    panel.plot(
        curve.strength, curve.measured, "o", color="C3", markersize=3.5, label="measured, N = 1000"
    )
    panel.set_title("Mean field, Lorentzian, no noise", fontsize=10)
    panel.set_xlabel("coupling $K$ (rad/s)")
    panel.legend(fontsize=8, loc="lower right", frameon=False)
