"""Figures; they need matplotlib, `pip install "tauax[plot]"`."""

from tauax.plots.base import require
from tauax.plots.demo import save_demo
from tauax.plots.graph import anchors
from tauax.plots.run import save_run
from tauax.plots.timeline import crystals, cuts

__all__ = ["anchors", "crystals", "cuts", "require", "save_demo", "save_run"]
