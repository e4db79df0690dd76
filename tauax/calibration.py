"""Cuts from what a model does: quantiles of its own field and of the variance of that."""

from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from tauax._checks import check_count, check_instance, fault
from tauax._types import numeric
from tauax.ensemble import init, simulate
from tauax.monitors.trace import Trace
from tauax.readouts import field_variance, harmonic
from tauax.systems.crystals import TauCrystals
from tauax.thresholds import FixedCuts


def calibrated(
    model: TauCrystals,
    *,
    dt,
    steps: int,
    anchors: Sequence[float] | None = None,
    attention: Sequence[float] | None = None,
    key=None,
    members: int | None = None,
    every: int = 1,
) -> TauCrystals:
    """The crystals with cuts at quantiles of their own distribution, so that each level occurs.

    A run of the model is recorded from where its window is full, and the cuts are put where the
    given shares of the records, over all members and entities, fall on each side. What the original
    cuts of attention, 0.1 and 0.5, leave out of reach, `attention=(1/3, 1/3, 1/3)` spreads over
    three scales.

    **Arguments:** `model`, with fixed cuts; `dt` and `steps` of the run, which should span many
    turns of the slowest scale; `anchors`, the shares of the levels of the field from the lowest to
    the highest: FLOW−, SYNC, FLOW+; `attention`, the shares of the scales, fastest first; `key` and
    `members` as for `tx.init`; `every`, the distance of two records.

    **Returns:** a model with other cuts; decision, hysteresis and dwell stay. Hysteresis, dwell and
    soft decisions are not accounted for.

    **Raises:** `ValueError` for shares that are not positive with sum 1, or a run shorter than the
    window; else as `tx.init` and `tx.simulate`.
    """
    check_instance("model", model, TauCrystals, "pass tx.TauCrystals(...)")
    check_count("steps", steps, model.window)
    for name in ("thresholds", "attention"):
        fix = "moving cuts follow the field by themselves"
        check_instance(f"{name}.cuts", getattr(model, name).cuts, FixedCuts, fix)
    if attention is not None and len(attention) > len(model.scales):
        raise fault(
            f"{len(attention)} shares of attention for {len(model.scales)} scales",
            "at most one per scale",
            "leave some out",
        )
    if anchors is None and attention is None:
        raise fault(
            "neither anchors nor attention", "shares of one of them", "pass anchors=(0.2, 0.6, 0.2)"
        )
    given = {"thresholds": anchors, "attention": attention}
    shares = {name: _checked(one) for name, one in given.items() if one is not None}
    if "attention" in shares:  # which goes to the fastest scale at the highest level
        shares["attention"] = shares["attention"][::-1]
    readouts = {"thresholds": harmonic, "attention": field_variance}
    monitors = {name: Trace(readouts[name], every=every, after=model.window - 1) for name in shares}
    state = init(model, key=key, members=members)
    found = simulate(model, state, dt=dt, steps=steps, monitors=monitors).monitors
    banks = {
        name: replace(getattr(model, name), cuts=_cuts(name, found[name].value, shares[name]))
        for name in shares
    }
    return replace(model, **banks)


def _checked(shares: Sequence[float]) -> np.ndarray:
    """The shares as an array, before anything runs."""
    wanted = np.asarray(shares, float)
    if wanted.ndim != 1 or wanted.size < 2 or not (wanted > 0).all():
        raise fault(f"shares {shares!r}", "two or more, each > 0", "pass (0.2, 0.6, 0.2)")
    if abs(wanted.sum() - 1) > 1e-6:
        raise fault(f"shares of sum {wanted.sum():g}", "sum 1", "divide them by their sum")
    return wanted


def _cuts(name: str, values, shares: np.ndarray) -> FixedCuts:
    """The quantiles between the shares."""
    quantiles = np.quantile(np.asarray(values, float), np.cumsum(shares)[:-1])
    if (np.diff(quantiles) <= 0).any():
        raise fault(
            f"a run in which the cuts of {name} fall together at {quantiles[0]:g}",
            "a distribution with values on both sides of each cut",
            "run longer, or ask for fewer levels",
        )
    return FixedCuts(numeric(jnp.asarray(quantiles, values.dtype)))
