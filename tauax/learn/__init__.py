"""Learning: what a model's numbers have to be for a loss to be small."""

from tauax.learn.estimates import GradientEstimate
from tauax.learn.finite_differences import finite_differences
from tauax.learn.fit import Fit, FitError, fit
from tauax.learn.girsanov import girsanov
from tauax.learn.health import GradientHealth, Spread, gradient_health
from tauax.learn.least_squares import LeastSquaresError, LeastSquaresFit, fit_least_squares
from tauax.learn.matrices import LowRank, Masked, Symmetric
from tauax.learn.transforms import AbstractTransform, Bounded, Ordered, Positive, Simplex
from tauax.learn.validation import Validation

__all__ = [
    "AbstractTransform",
    "Bounded",
    "Fit",
    "FitError",
    "GradientEstimate",
    "GradientHealth",
    "LeastSquaresError",
    "LeastSquaresFit",
    "LowRank",
    "Masked",
    "Ordered",
    "Positive",
    "Simplex",
    "Spread",
    "Symmetric",
    "Validation",
    "finite_differences",
    "fit",
    "fit_least_squares",
    "girsanov",
    "gradient_health",
]
