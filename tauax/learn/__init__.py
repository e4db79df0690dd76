"""Learning: what a model's numbers have to be for a loss to be small."""

from tauax.learn.fit import Fit, FitError, fit
from tauax.learn.least_squares import LeastSquaresError, LeastSquaresFit, fit_least_squares
from tauax.learn.matrices import LowRank, Masked, Symmetric
from tauax.learn.transforms import AbstractTransform, Bounded, Ordered, Positive, Simplex
from tauax.learn.validation import Validation

__all__ = [
    "AbstractTransform",
    "Bounded",
    "Fit",
    "FitError",
    "LeastSquaresError",
    "LeastSquaresFit",
    "LowRank",
    "Masked",
    "Ordered",
    "Positive",
    "Simplex",
    "Symmetric",
    "Validation",
    "fit",
    "fit_least_squares",
]
