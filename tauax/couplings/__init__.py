"""Couplings: the torque of the others."""

from tauax.couplings.base import AbstractCoupling, AbstractNetwork, Scaled, Sum
from tauax.couplings.dense import Dense
from tauax.couplings.mean_field import MeanField
from tauax.couplings.sparse import Sparse

__all__ = [
    "AbstractCoupling",
    "AbstractNetwork",
    "Dense",
    "MeanField",
    "Scaled",
    "Sparse",
    "Sum",
]
