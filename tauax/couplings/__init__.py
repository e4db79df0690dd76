"""Couplings: the torque of the others."""

from tauax.couplings.base import AbstractCoupling, Scaled, Sum
from tauax.couplings.dense import Dense
from tauax.couplings.mean_field import MeanField

__all__ = ["AbstractCoupling", "Dense", "MeanField", "Scaled", "Sum"]
