"""Context: what an agent is told of tau crystals."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import check_count, check_instance, fault
from tauax._types import numeric
from tauax.batch import Varied, over_batch
from tauax.events import Scheduled
from tauax.numerics.reduce import total
from tauax.numerics.windows import variance
from tauax.readouts import as_crystals
from tauax.state import State
from tauax.systems.crystals import TauCrystals
from tauax.thresholds import Thresholds

ANCHORS = ("FLOW−", "SYNC", "FLOW+", "INIT")
MODES = ("reflective", "present", "predictive", "exploratory")
PRIORITIES = (0.9, 0.6, 0.8, 0.4)


class Context(eqx.Module):
    """The four hints to an agent, `[*batch]` each (`[*batch, entity]` in a population).

    **Attributes:** `anchors`, `[*batch, 4]`: the shares of FLOW−, SYNC, FLOW+ and, before the first
    step, INIT; one of them is 1 unless the thresholds are soft. `attentions`, `[*batch, level]`:
    the shares of the scales, fastest first. `scales`, their names.
    """

    anchors: Array
    attentions: Array
    scales: tuple[str, ...] = eqx.field(static=True)

    @property
    def anchor(self) -> Array:
        """The position in `tauax.hints.ANCHORS` of the anchor with the largest share."""
        return jnp.argmax(self.anchors, axis=-1)

    @property
    def mode(self) -> Array:
        """The position in `tauax.hints.MODES`; each anchor has one processing mode."""
        return self.anchor

    @property
    def priority(self) -> Array:
        """Memory priority in [0, 1]: 0.9 at FLOW−, 0.6 at SYNC, 0.8 at FLOW+, 0.4 at INIT."""
        return total(self.anchors * jnp.asarray(PRIORITIES, self.anchors.dtype))

    @property
    def attention(self) -> Array:
        """The position in `scales` of the scale to attend to."""
        return jnp.argmax(self.attentions, axis=-1)

    def words(self) -> Any:
        """The hints in words, a dict, or nested lists of one per member; not under `jit`."""
        parts = jax.tree.map(np.asarray, (self.anchor, self.priority, self.attention))
        return self._words(*parts)

    def _words(self, anchor, priority, attention) -> Any:
        if np.ndim(anchor):
            return [self._words(*one) for one in zip(anchor, priority, attention, strict=True)]
        return {
            "anchor": ANCHORS[anchor],
            "mode": MODES[anchor],
            "priority": round(float(priority), 6),
            "attention": self.scales[attention],
        }


def context(model, state: State) -> Context:
    """What tau crystals tell an agent: anchor, processing mode, memory priority, attention scale.

    | anchor | mode | memory priority |
    |---|---|---|
    | FLOW+ | predictive | 0.8 |
    | FLOW− | reflective | 0.9 |
    | SYNC | present | 0.6 |
    | INIT, before the first step | exploratory | 0.4 |

    The attention scale follows the variance of the last `window` values of the field: above the
    highest cut of `model.attention` the fastest scale, and so on down. All of it works under `jit`
    and on any batch; with soft thresholds the shares, and the priority, are differentiable.

    **Arguments:** `model`, tau crystals with two cuts; `state`.

    **Raises:** `TypeError` for another model; `ValueError` if there are fewer scales than levels of
    attention, other than three anchors, or thresholds of attention that remember.
    """
    check_instance("state", state, State, "call it as tx.context(model, state)")
    system = model
    while isinstance(system, Varied | Scheduled):
        system = system.system
    anchors, attentions = _all_shares(model, state)
    return Context(anchors, attentions, as_crystals(system).scales)


@jax.jit
def _all_shares(model, state: State) -> tuple[Array, Array]:
    return over_batch(_shares, model, state)


def _shares(model, state: State) -> tuple[Array, Array]:
    """The shares of the anchors and those of the scales, of one system."""
    system = as_crystals(model.at(state.now))
    _check(system)  # here, where leaves that vary have the shape of one system
    begun = state.step > 0
    anchors = system.thresholds.memberships(state.buffers.anchors, system.field(state))
    known = jnp.where(begun, anchors, 0.0)
    first = jnp.broadcast_to(jnp.where(begun, 0.0, 1.0), known[..., :1].shape)
    values, count = system.recent(state)
    levels = system.attention.memberships(None, variance(values, count))
    return jnp.concatenate([known, first.astype(known.dtype)], axis=-1), levels[..., ::-1]


def phase_error(field, window: int = 100) -> Array:
    """|h − h̄|, with h̄ the mean of `window` values round each, over the last axis of `field`.

    The window of value t is t − ⌊w/2⌋ … t + ⌊(w−1)/2⌋ and counts what is beyond either end as 0, as
    numpy's `convolve(..., "same")` does: the error of the first and last w/2 values is too large.
    """
    field = numeric(field)
    window = check_count("window", window, 1)
    length = field.shape[-1] if field.ndim else 0
    if length < window:
        raise fault(
            f"{length} values for a window of {window}",
            f"at least {window}",
            "record a longer trace, or take a shorter window",
        )
    share = jnp.full((window,), 1.0 / window, field.dtype)
    flat = field.reshape(-1, length)
    mean = jax.vmap(lambda row: jnp.convolve(row, share, mode="same", precision="highest"))(flat)
    return jnp.abs(field - mean.reshape(field.shape))


def _check(system: TauCrystals) -> None:
    """Raise unless the thresholds give the anchors and levels that a context has."""
    cuts, levels = (_number_of_cuts(bank) for bank in (system.thresholds, system.attention))
    if cuts != 2:
        raise fault(
            f"thresholds with {cuts} cuts",
            "2 cuts, between FLOW−, SYNC and FLOW+",
            "read tx.anchor, which takes any number of cuts",
        )
    if len(system.scales) < 2:
        raise fault(
            "crystals of a single scale", "two scales or more, to attend to", "read tx.anchor"
        )
    if levels >= len(system.scales):
        raise fault(
            f"{levels + 1} levels of attention for {len(system.scales)} scales",
            "at most as many levels as scales",
            f"give attention= at most {len(system.scales) - 1} cuts",
        )
    if system.attention.init(shape=(), dtype=system.dtype) is not None:
        raise fault(
            "thresholds of attention that remember",
            "fixed cuts without hysteresis and dwell",
            "pass attention=tx.Thresholds((0.1, 0.5)), with any decision",
        )


def _number_of_cuts(bank: Thresholds) -> int:
    found = jax.eval_shape(lambda: bank.cuts_at(bank.init(shape=(), dtype=jnp.float32)))
    return found.shape[-1]
