"""Readouts: numbers read off a model and its state.

A readout is a function of one system that `@readout` maps over the batch axes. Define your own
once, at module level: a new function object compiles anew.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from jaxtyping import Array

from tauax._checks import check_instance, fault
from tauax.batch import over_batch
from tauax.couplings.base import AbstractCoupling
from tauax.numerics import circular
from tauax.numerics.reduce import mean
from tauax.numerics.trig import sincos_wrapped
from tauax.state import State


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


def _mean_vector(state: State) -> tuple[Array, Array]:
    """(⟨sin θ⟩, ⟨cos θ⟩); written as the mean-field coupling has it, so a run shares the work."""
    sin, cos = sincos_wrapped(state.phase)
    return mean(sin), mean(cos)
