"""Thresholds: ordered levels of a signal."""

from tauax.thresholds.bank import Memory, Thresholds
from tauax.thresholds.base import AbstractCuts, AbstractDecision, FixedCuts, Hard
from tauax.thresholds.cuts import EmaCuts, QuantileCuts
from tauax.thresholds.decisions import Soft, StraightThrough

__all__ = [
    "AbstractCuts",
    "AbstractDecision",
    "EmaCuts",
    "FixedCuts",
    "Hard",
    "Memory",
    "QuantileCuts",
    "Soft",
    "StraightThrough",
    "Thresholds",
]
