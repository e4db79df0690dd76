"""Readouts that a file can name, beside those of `tauax.readouts`."""

import math

import jax.numpy as jnp
from jaxtyping import Array

from tauax.numerics import circular
from tauax.numerics.reduce import mean
from tauax.numerics.trig import sincos_wrapped
from tauax.readouts import coherence, local_coherence, mean_phase, phase, readout
from tauax.state import State


@readout
def activity(model, state: State) -> Array:
    """1 + sin θ of every oscillator, between 0 and 2: a rate of firing that waxes and wanes."""
    sin, _ = sincos_wrapped(state.phase)
    return 1.0 + sin


@readout
def halves(model, state: State) -> Array:
    """The order parameters of the first and of the second half of the oscillators, `[2]`."""
    size = state.phase.shape[-1] // 2
    return jnp.stack([circular.resultant(part) for part in jnp.split(state.phase, [size])])


@readout
def winding(model, state: State) -> Array:
    """The number of turns of the phase along the oscillators taken as a ring, one number."""
    steps = circular.difference(jnp.roll(state.phase, -1, axis=-1), state.phase)
    return jnp.round(mean(steps) * (state.phase.shape[-1] / (2.0 * math.pi)))


READOUTS = {
    "activity": activity,
    "coherence": coherence,
    "halves": halves,
    "local_coherence": local_coherence,
    "mean_phase": mean_phase,
    "phase": phase,
    "winding": winding,
}
