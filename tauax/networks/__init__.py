"""Real coupling networks, shipped with their origin and licence."""

from tauax.networks.base import Grid, Network
from tauax.networks.celegans import celegans
from tauax.networks.ieee import ieee

__all__ = ["Grid", "Network", "celegans", "ieee"]
