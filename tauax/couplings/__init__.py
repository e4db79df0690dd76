"""Couplings: the torque of the others."""

from tauax.couplings.base import AbstractCoupling, AbstractNetwork, Scaled, Sum
from tauax.couplings.dense import Dense
from tauax.couplings.fourier import FourierCoupling, NeuralCoupling
from tauax.couplings.mean_field import MeanField
from tauax.couplings.sparse import Sparse

__all__ = [
    "AbstractCoupling",
    "AbstractNetwork",
    "Dense",
    "FourierCoupling",
    "MeanField",
    "NeuralCoupling",
    "Scaled",
    "Sparse",
    "Sum",
]
