"""Readouts: numbers read off a model and its state.

A readout is a function of one system that `@readout` maps over the batch axes. Define your own
once, at module level: a new function object compiles anew.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_instance, fault
from tauax.batch import over_batch
from tauax.couplings.base import AbstractCoupling
from tauax.numerics import circular, windows
from tauax.numerics.reduce import mean
from tauax.numerics.trig import sincos_wrapped
from tauax.state import State
from tauax.systems.crystals import TauCrystals


class Readout:
    """A function of (model, state) of one system, callable on any batch of them."""

    def __init__(self, function: Callable[[Any, State], Array]):
        self.function = function
        update_wrapper(self, function)

    def __call__(self, model, state: State) -> Array:
        check_instance("state", state, State, "call a readout as readout(model, state)")
        return over_batch(self.function, model, state)

    def __repr__(self) -> str:
        return f"readout({getattr(self.function, '__qualname__', self.function)})"


def readout(function: Callable[[Any, State], Array]) -> Readout:
    """Decorate a function of (model, state) of one system, to be called on all members at once.

    @tx.readout
    def spread(model, state):
        return 1.0 - tx.coherence(model, state)

    """
    return Readout(function)


@readout
def phase(model, state: State) -> Array:
    """θ, `[*batch, oscillator]`, radians in [−π, π)."""
    return state.phase


@readout
def coherence(model, state: State) -> Array:
    """The order parameter r = |⟨e^{iθ}⟩| over oscillators, `[*batch]`, in [0, 1]."""
    return circular.length(*_mean_vector(state))


@readout
def mean_phase(model, state: State) -> Array:
    """ψ = arg ⟨e^{iθ}⟩ over oscillators, `[*batch]`, radians; 0 where the mean vector vanishes."""
    return circular.direction(*_mean_vector(state))


@readout
def local_coherence(model, state: State) -> Array:
    """The local order parameter of each oscillator, `[*batch, oscillator]`, in [0, 1].

    r_i = |Σ_j w_ij e^{iθ_j}| / Σ_j |w_ij| over all that oscillator i receives, and 0 without
    input; for a mean field that is the global one. Where neighbours agree but the whole
    does not, as in a travelling wave or a chimera, r_i is large and `coherence` small.

    **Raises:** `TypeError` for a model whose coupling has no neighbours, such as a sum of several.
    """
    coupling = getattr(model.at(state.now), "coupling", None)  # what holds at this moment
    if not isinstance(coupling, AbstractCoupling):
        raise fault(
            f"a model whose coupling is {type(coupling).__name__}",
            "one with a coupling that has neighbours",
            "read tx.coherence, or give it a tx.Dense with the weights you mean and strength 0",
            TypeError,
        )
    return circular.length(*coupling.neighbours(*sincos_wrapped(state.phase)))


@readout
def harmonic(model, state: State) -> Array:
    """The field h = Σ_s w_s ⟨g_s sin(θ + δ)⟩_s of tau crystals, `[*batch]` or `[*batch, entity]`.

    **Raises:** `TypeError` for a model without a field.
    """
    return as_crystals(model.at(state.now)).field(state)


@readout
def anchor(model, state: State) -> Array:
    """The code of the present field of tau crystals: 1 FLOW+, 0 SYNC, −1 FLOW−; as `harmonic`.

    In between where the thresholds are soft.

    **Raises:** `TypeError` for a model without a field.
    """
    return as_crystals(model.at(state.now)).anchor(state)


@readout
def scale_coherence(model, state: State) -> Array:
    """r_s = |⟨e^{iθ}⟩| over the crystals of each scale, of all entities, `[*batch, scale]`.

    1 for a scale with a single crystal.

    **Raises:** `TypeError` for a model without scales.
    """
    blocks = as_crystals(model.at(state.now)).layout.blocks(state.phase)
    return jnp.stack([circular.resultant(block.reshape(-1)) for block in blocks])


@readout
def field_variance(model, state: State) -> Array:
    """The population variance of the last `window` values of the field; as `harmonic`.

    Of as many as there have been, where these are fewer.
    """
    return windows.variance(*as_crystals(model.at(state.now)).recent(state))


@readout
def field_skewness(model, state: State) -> Array:
    """The skewness m₃/m₂^{3/2} of the last `window` values of the field; as `field_variance`."""
    return windows.skewness(*as_crystals(model.at(state.now)).recent(state))


@readout
def field_kurtosis(model, state: State) -> Array:
    """The excess m₄/m₂² − 3 of the last `window` values of the field; as `field_variance`."""
    return windows.kurtosis(*as_crystals(model.at(state.now)).recent(state))


@readout
def field_crossings(model, state: State) -> Array:
    """How often the last `window` values of the field pass 0, per step; as `field_variance`."""
    values, count = as_crystals(model.at(state.now)).recent(state)
    return windows.zero_crossing_rate(values, 0.0, count)


def as_crystals(system) -> TauCrystals:
    """The system itself, if it has scales and a field."""
    if not isinstance(system, TauCrystals):
        raise fault(
            f"a model of the kind {type(system).__name__}, which has no scales",
            "tau crystals",
            "build it as tx.TauCrystals(...), or read tx.phase or tx.coherence",
            TypeError,
        )
    return system


def _mean_vector(state: State) -> tuple[Array, Array]:
    """(⟨sin θ⟩, ⟨cos θ⟩); written as the mean-field coupling has it, so a run shares the work."""
    sin, cos = sincos_wrapped(state.phase)
    return mean(sin), mean(cos)
