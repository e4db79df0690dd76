"""Learning: what a model's numbers have to be for a loss to be small."""

from tauax.learn.fit import Fit, FitError, fit
from tauax.learn.transforms import AbstractTransform, Bounded, Ordered, Positive, Simplex

__all__ = [
    "AbstractTransform",
    "Bounded",
    "Fit",
    "FitError",
    "Ordered",
    "Positive",
    "Simplex",
    "fit",
]
