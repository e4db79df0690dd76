"""`girsanov`: the gradient of an expectation from how likely paths are, not from the paths."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tauax._arguments import check_run
from tauax._checks import check_count, fault, is_concrete
from tauax._scan import step_once
from tauax.batch import over_batch, system_of
from tauax.ensemble import simulate
from tauax.events import Scheduled
from tauax.learn.estimates import GradientEstimate
from tauax.learn.members import (
    Shared,
    check_model,
    check_statistic,
    checked_members,
    checked_shared,
    statistic_of,
    without,
)
from tauax.monitors.base import AbstractMonitor, AbstractResult
from tauax.noise import WhiteNoise
from tauax.solution import Solution
from tauax.state import State
from tauax.steppers import Euler
from tauax.systems.base import AbstractSystem

_NO_MONITORS: Mapping[str, AbstractMonitor] = MappingProxyType({})
_SCORE = "(score)"  # no identifier, so no name that a user would give
_INSTEAD = (
    "use tx.finite_differences, or while tx.gradient_health trusts it jax.grad of the simulation"
)


def girsanov(
    statistic: Callable[[Solution], Array],
    model,
    state: State,
    *,
    where: Callable,
    dt,
    steps: int,
    monitors: Mapping[str, AbstractMonitor] = _NO_MONITORS,
) -> GradientEstimate:
    """The gradient of the mean of a statistic by the likelihood ratio, not through the paths.

        state = tx.init(model, key=key, members=4096)
        estimate = tx.girsanov(lambda sol: sol.monitors["r"].mean, model, state,
                               where=lambda m: m.coupling.strength, dt=0.01, steps=500,
                               monitors={"r": tx.Moments(tx.coherence)})
        estimate.gradient, estimate.standard_error

    A path of Euler–Maruyama has normal increments of variance 2D·dt around f(θ)·dt, so its
    likelihood depends on a parameter p of the drift f through

        S = ∂ ln P/∂p = Σ_n Σ_i (∂f_i/∂p)(θ_n, t_n)·ΔB_i/(2 D_i),   ∂E F/∂p = E[(F − E F)·S],

    which holds for the discrete path as it is, for any dt. The mean is over M members, with that of
    the others in the place of E F, so the estimate has no bias. Nothing is differentiated along the
    path: it works where paths are chaotic, and for an F that has no derivative, such as the number
    of transitions. Its price is noise: the variance of S is the sum over the steps of
    E[(∂f_i/∂p)²]·dt/(2 D_i), so that of the estimate grows linearly with the length of the run, and
    with 1/D. Memory: one number per parameter and member, and no tape.

    **Arguments:** `statistic(solution)`, one real number per member, `[member]`; `model`, a system
    or one with values per member; `state`, of `tx.init` with `members` or the end of a run: the
    gradient is that of the run from there on; `where` picks the leaf of the drift, or a tuple of
    them: frequencies, coupling, lag, weights, a drive; `dt`, `steps` and `monitors` as in
    `tx.simulate`. The run is one of `tx.Euler()`: other steppers have no such increments.

    A parameter that the statistic also reads by itself, through a readout such as `tx.harmonic`,
    contributes nothing by that: only what it does to the phases counts.

    **Returns:** a `GradientEstimate`, with `.value` the mean of the statistic.

    **Raises:** `ValueError` or `TypeError` for noise that is not normal on every oscillator,
    parameters of the noise, fewer than two members, or a statistic that is not one real number per
    member; `FloatingPointError` where the statistic or the score is not finite.

    Glynn 1990, Commun. ACM 33:75; Yang & Kushner 1991, SIAM J. Control Optim. 29:1216.
    """
    check_statistic(statistic)
    check_model(model)
    steps = check_count("steps", steps, 1)
    monitors = check_run(model, state, dt, Euler(), monitors)
    members = checked_members(model, state)
    if members < 2:
        raise fault(f"{members} member", "at least 2 members", "pass members=1000 to tx.init")
    shared = checked_shared(model, where)
    _check_noise(model, shared)
    score = _Score(shared)
    solution = simulate(model, state, dt=dt, steps=steps, monitors={**monitors, _SCORE: score})
    scores = solution.monitors[_SCORE].scores
    values = statistic_of(statistic, without(solution, _SCORE), members)
    _check_finite(values, "a statistic")
    for one in scores:
        _check_finite(one, "a score")
    gradients, errors = zip(*(_covariance(values, one) for one in scores), strict=True)
    return GradientEstimate(
        shared.arranged(gradients), shared.arranged(errors), values.mean(), members
    )


def _covariance(values: Array, scores: Array) -> tuple[Array, Array]:
    """E[(F − E F)·S] and its standard error; the mean of F is that of the other members."""
    members = values.shape[0]
    above = (values - values.mean()) * (members / (members - 1))
    each = above.reshape(-1, *(1,) * (scores.ndim - 1)).astype(scores.dtype) * scores
    return each.mean(axis=0), each.std(axis=0, ddof=1) / members**0.5


class _Scores(AbstractResult):
    """∂ ln P/∂p of every member's path, `[member, *leaf.shape]` for each leaf."""

    scores: tuple[Float[Array, "member ..."], ...]

    def statistics(self) -> dict[str, Array]:
        return {}


class _Score(AbstractMonitor):
    """Accumulates the score along the run: what it needs of a step is known before it."""

    shared: Shared
    every: int = eqx.field(static=True, default=1)
    after: int = eqx.field(static=True, default=0)

    def init(self, model, state: State, records: int) -> _Scores:
        return _Scores(jax.tree.map(jnp.zeros_like, self._each(model, state)))

    def update(self, accumulator: _Scores, model, state: State, record: Array) -> _Scores:
        def after(values: tuple[Array, ...]) -> Array:
            return step_once(self.shared.with_each(model, values), state, Euler()).phase

        # Noise that is added is no function of the drift: this is the derivative of the mean.
        _, pull = jax.vjp(after, self._each(model, state))
        (score,) = pull(over_batch(_surprise, model, state))
        return _Scores(jax.tree.map(jnp.add, accumulator.scores, score))

    def result(self, accumulator: _Scores, state: State) -> _Scores:
        return accumulator

    def merge(self, earlier: _Scores, later: _Scores) -> _Scores:
        return jax.tree.map(jnp.add, earlier, later)

    def _each(self, model, state: State) -> tuple[Array, ...]:
        """The parameters of each member; on several devices, of those on this one."""
        return self.shared.each(model, state.phase.shape[0])


def _surprise(system: AbstractSystem, state: State) -> Array:
    """ΔB/(2D·dt): the derivative of the log-likelihood of a step by the mean of its end."""
    noise, dt = system.at(state.now).noise, state.clock.dt
    assert isinstance(noise, WhiteNoise)
    intensity = noise.intensity.astype(dt.dtype)
    noise = eqx.tree_at(lambda one: one.intensity, noise, intensity)
    return noise.increment(state.key, state.step, dt, system.size) / (2.0 * intensity * dt)


def _check_noise(model, shared: Shared) -> None:
    """Raise unless every oscillator has normal noise, and no parameter is one of it."""
    noise = model.noise
    if not isinstance(noise, WhiteNoise):
        got = "no noise" if noise is None else type(noise).__name__
        raise fault(
            f"a model with {got}", "tx.WhiteNoise, whose paths have a known likelihood", _INSTEAD
        )
    if noise.increments != "normal":
        raise fault(f"increments={noise.increments!r}", "normal ones", 'use increments="normal"')
    if is_concrete(noise.intensity):
        quiet = np.asarray(noise.intensity) == 0
        if quiet.any():
            first = list(map(int, np.argwhere(quiet)[0]))
            where = f" at {first}" if first else ""
            raise fault(
                f"a noise intensity of 0{where}",
                "D > 0 for every oscillator: without noise a path has no likelihood",
                _INSTEAD,
            )
    if _leaves_of_noise(system_of(model)) & set(shared.leaves):
        raise fault(
            "a where that selects a parameter of the noise",
            "parameters of the drift: paths of another intensity have a likelihood of their own "
            "only at one dt, and a variance that grows with the number of steps",
            _INSTEAD,
        )


def _leaves_of_noise(system: AbstractSystem) -> set[int]:
    """The positions of the leaves that the noise depends on, events that change them included."""
    leaves, structure = jax.tree.flatten(system)
    marks = structure.unflatten(range(len(leaves)))
    found = set(jax.tree.leaves(marks.noise))
    if isinstance(marks, Scheduled):
        events = [one for one in marks.changes if one.leaf in found]
        found |= set(jax.tree.leaves(events))
    return found


def _check_finite(values: Any, what: str) -> None:
    """Raise for the first member with a number that is not finite."""
    if is_concrete(values):
        bad = ~np.isfinite(np.asarray(values).reshape(values.shape[0], -1)).all(axis=1)
        if bad.any():
            raise fault(
                f"{what} that is not finite, of member {int(np.argmax(bad))}",
                "finite numbers",
                "lower dt, and keep noise on every oscillator through all events",
                FloatingPointError,
            )
