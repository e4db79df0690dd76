"""`gradient_health`: whether the gradient of a run can be trusted."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tauax import _programs
from tauax._arguments import check_last_step, check_run
from tauax._checks import check_count, fault, is_concrete
from tauax._compiled import compiled, outermost
from tauax.adjoints import Segments, Sweep
from tauax.ensemble import simulate
from tauax.learn.members import (
    Shared,
    check_model,
    check_statistic,
    checked_members,
    checked_shared,
    statistic_of,
)
from tauax.monitors.base import AbstractMonitor
from tauax.noise import WhiteNoise
from tauax.solution import Solution
from tauax.state import State
from tauax.steppers import AbstractStepper, Euler

_NO_MONITORS: Mapping[str, AbstractMonitor] = MappingProxyType({})
_TAIL, _HEAVY, _JUDGED = 0.05, 0.5, 20  # the largest twentieth, of 20 members or more


class Spread(eqx.Module):
    """How the gradients of single members are distributed, in the structure of `where`.

    **Attributes:** `mean`; `standard_error` of it; `median`; `deviation`, the standard deviation;
    `tail`, for each leaf the share of the variance that the largest twentieth of the members has:
    0.28 of a normal distribution, 0.42 of an exponential one, NaN of fewer than 20 members.
    """

    mean: Any
    standard_error: Any
    median: Any
    deviation: Any
    tail: Any


class GradientHealth(eqx.Module):
    """How derivatives grow along a run; `str()` says in words what follows.

    **Attributes:** `rate`, at which the adjoint grows, backwards in time, in 1/s, and `tangent`, at
    which small differences do, the largest Lyapunov exponent, each a mean over members, with
    `rate_error` and `tangent_error` (NaN for one member); `growth`, `[member]`, the logarithm of
    what the adjoint grows by over the whole run; `limit`, that of what the precision allows;
    `duration`, of the run in seconds, and `dt`; `spread` of the members' gradients, or None;
    `noisy`, whether `tx.girsanov` could be used; `reason`, why the gradient is not trusted, empty
    if it is.
    """

    rate: float
    rate_error: float
    tangent: float
    tangent_error: float
    growth: Float[np.ndarray, " member"]
    limit: float
    duration: float
    dt: float
    spread: Spread | None
    noisy: bool = eqx.field(static=True)
    reason: str = eqx.field(static=True)

    @property
    def trusted(self) -> bool:
        """Whether nothing was found against the gradient."""
        return not self.reason

    @property
    def window(self) -> int | None:
        """The steps in which the adjoint grows by e, for `tx.Truncated`; None if it does not."""
        return max(1, round(1.0 / (self.rate * self.dt))) if self.rate > 0 else None

    @property
    def longest(self) -> int | None:
        """The steps after which half of the digits are lost; None if the adjoint does not grow."""
        return int(self.limit / (self.rate * self.dt)) if self.rate > 0 else None

    def __str__(self) -> str:
        measured = (
            f"the adjoint grows by {self.rate:.3g} ± {self.rate_error:.1g} per second, small "
            f"differences by {self.tangent:.3g} ± {self.tangent_error:.1g}; over the "
            f"{self.duration:.4g} s of the run by up to 10^{self.growth.max() / math.log(10):.1f}"
        )
        if self.trusted:
            return f"nothing speaks against the gradient: {measured}"
        return f"the gradient cannot be trusted: {self.reason}. Measured: {measured}. {self._fix}"

    @property
    def _fix(self) -> str:
        """What to do instead."""
        ways = ["tx.finite_differences, with steps longer than the paths are sensitive to"]
        if self.noisy:
            ways.insert(0, "tx.girsanov, which follows no path")
        ways.append("noise or a drive that makes paths come together")
        if self.window is not None and self.longest is not None and self.growth.max() > 1:
            shorter = f"a run of fewer than {max(1, self.longest)} steps"
            ways = [shorter, f"adjoint=tx.Truncated({self.window}), with a bias", *ways]
        return f"Fix: {'; '.join(ways)}."


def gradient_health(
    model,
    state: State,
    *,
    dt,
    steps: int,
    stepper: AbstractStepper = Euler(),
    statistic: Callable[[Solution], Array] | None = None,
    where: Callable | None = None,
    monitors: Mapping[str, AbstractMonitor] = _NO_MONITORS,
) -> GradientHealth:
    """Whether the gradient of a run can be trusted, by how derivatives grow along it.

        health = tx.gradient_health(model, state, dt=0.01, steps=20_000)
        health.trusted, health.rate
        print(health)

    A derivative by the phases goes back through the run by v_n = J_nᵀ v_{n+1}, with J_n that of a
    step. In smooth chaos |v| grows like e^{λt}, λ the largest Lyapunov exponent: the gradient that
    comes out is the exact one of a path that nobody would find again, and its mean over members
    need not converge (Metz et al. 2021; Lea, Allen & Haine 2000). Here v is pulled back through
    windows of √steps and made of length 1 after each (Benettin et al. 1980, transposed); beside it
    u_{n+1} = J_n u_n is pushed forward, which grows at the same rate in a run that is long enough
    to tell. Both rates are those of the middle half of the run: the quarter before is for u to turn
    to the direction that grows, the one behind for v.

    The gradient is not trusted if the adjoint of any member grows by more than 1/√ε, which costs
    half of the digits, or if one twentieth of the members has over half of the variance of the
    gradients: a mean may be useless long before digits are lost, so give a statistic to see that.
    Without a drive, turning all phases together changes nothing: one exponent is 0, and the rate is
    not below it, however fast differences of phases vanish.

    **Arguments:** as `tx.simulate`, with `state` of members and no other axis; both or neither of
    `statistic(solution)`, with one real number per member, and `where`, which picks the leaf or
    leaves to differentiate it by: then the gradients of single members are looked at as well.

    **Returns:** a `GradientHealth`.

    **Raises:** as `tx.simulate`; `ValueError` or `TypeError` for a state with other axes, fewer
    than 4 steps, traced arguments, or a statistic that is not one real number per member.
    """
    check_model(model)
    steps = check_count("steps", steps, 4)
    monitors = check_run(model, state, dt, stepper, monitors)
    check_last_step(model, state, steps)
    checked_members(model, state)
    if not all(map(is_concrete, jax.tree.leaves((model, state, dt)))):
        raise fault("a run inside jit, grad or vmap", "a run that is known", "call it outside")
    if (statistic is None) != (where is None):
        given, missing = ("where", "statistic") if statistic is None else ("statistic", "where")
        raise fault(f"{given} without {missing}", "both or neither", f"pass {missing}= as well")
    spread = None
    seconds = _programs.seconds(dt, state)
    if statistic is not None and where is not None:
        check_statistic(statistic)
        shared = checked_shared(model, where)
        gradients = _gradients(statistic, shared, model, state, seconds, steps, stepper, monitors)
        spread = _spread(shared, gradients)
    length = math.isqrt(steps)
    found = _growths(model, state, seconds, length, steps // length, stepper)
    back, ahead = (np.asarray(one, np.float64) for one in found)
    return _judged(model, back, ahead, length, float(dt), steps, state.phase.dtype, spread)


def _judged(model, back, ahead, length: int, dt: float, steps: int, dtype, spread):
    """The health, from logarithms of growth by `[window, member]`."""
    windows = len(back)
    middle = slice(windows // 4, windows - windows // 4)
    (rate, error), (tangent, tangent_error) = (
        _mean(one[middle].mean(axis=0) / (length * dt)) for one in (back, ahead)
    )
    growth, limit = back.sum(axis=0), -0.5 * math.log(float(jnp.finfo(dtype).eps))
    reasons = []
    if not (np.isfinite(back).all() and np.isfinite(ahead).all()):
        reasons.append("a derivative is not finite")
    elif growth.max() > limit:
        reasons.append(
            f"the adjoint grows by 10^{growth.max() / math.log(10):.1f} over the run, and {dtype} "
            f"has {limit * 2 / math.log(10):.0f} digits"
        )
    reasons += [] if spread is None else _reasons(spread)
    noise = model.noise
    noisy = isinstance(noise, WhiteNoise) and bool(np.all(np.asarray(noise.intensity) > 0))
    return GradientHealth(
        rate=rate,
        rate_error=error,
        tangent=tangent,
        tangent_error=tangent_error,
        growth=growth,
        limit=limit,
        duration=steps * dt,
        dt=dt,
        spread=spread,
        noisy=noisy,
        reason="; ".join(reasons),
    )


def _mean(values: np.ndarray) -> tuple[float, float]:
    """The mean over members and its standard error, NaN for one."""
    count = len(values)
    error = values.std(ddof=1) / math.sqrt(count) if count > 1 else math.nan
    return float(values.mean()), float(error)


@compiled(static=("length", "windows"))
def _growths(model, state: State, dt: Array, length: int, windows: int, stepper):
    """ln of what the adjoint and a tangent grow by in each window, both `[window, member]`."""
    state = _programs.timed(state, dt)
    # No direction is special: a cosine of squares is spread evenly, and the same in every call.
    generic = np.cos(np.arange(1.0, state.phase.shape[-1] + 1.0) ** 2)
    start = jnp.broadcast_to(jnp.asarray(generic, state.phase.dtype), state.phase.shape)
    start, _ = _unit(start)

    def after(phase: Array, state: State) -> tuple[Array, State]:
        begun = replace(state, phase=phase)
        end = simulate(model, begun, dt=dt, steps=length, stepper=stepper, adjoint=Sweep()).state
        return end.phase, end

    def ahead(carry: tuple[State, Array], _: None):
        state, tangent = carry
        _, change, end = jax.jvp(
            lambda phase: after(phase, state), (state.phase,), (tangent,), has_aux=True
        )
        change, growth = _unit(change)
        return (end, change), (state, growth)

    def back(adjoint: Array, state: State) -> tuple[Array, Array]:
        _, pull, _ = jax.vjp(lambda phase: after(phase, state), state.phase, has_aux=True)
        return _unit(*pull(adjoint))

    _, (states, tangents) = jax.lax.scan(ahead, (state, start), None, length=windows)
    _, adjoints = jax.lax.scan(back, start, states, reverse=True)
    return adjoints, tangents


def _unit(vector: Array) -> tuple[Array, Array]:
    """A vector of every member at length 1, and the logarithm of its length before."""
    # By the largest element first: squares of what has grown would overflow. What has vanished
    # starts anew.
    tiny = jnp.finfo(vector.dtype).tiny
    vector = jnp.where((jnp.abs(vector) < tiny).all(axis=-1, keepdims=True), tiny, vector)
    largest = jnp.abs(vector).max(axis=-1, keepdims=True)
    scaled = vector / largest
    length = jnp.sqrt((scaled**2).sum(axis=-1, keepdims=True))
    return scaled / length, (jnp.log(largest) + jnp.log(length))[..., 0]


@outermost
def _gradients(
    statistic, shared: Shared, model, state: State, dt: Array, steps: int, stepper, monitors
) -> tuple[Array, ...]:
    """The derivative of each member's number by each leaf, `[member, *leaf.shape]`."""

    members = state.phase.shape[0]

    def total(values: tuple[Array, ...]) -> Array:
        own = shared.with_each(model, values)
        solution = simulate(
            own, state, dt=dt, steps=steps, stepper=stepper, monitors=monitors, adjoint=Segments()
        )
        return statistic_of(statistic, solution, members).sum()

    return jax.grad(total)(shared.each(model, members))


@np.errstate(invalid="ignore", over="ignore")
def _spread(shared: Shared, gradients: tuple[Array, ...]) -> Spread:
    """How the gradients of the members are distributed."""
    parts = [np.asarray(one, np.float64) for one in gradients]
    members = len(parts[0])
    few = members < 2
    deviations = [np.full(x.shape[1:], np.nan) if few else x.std(axis=0, ddof=1) for x in parts]
    return Spread(
        mean=shared.arranged(tuple(x.mean(axis=0) for x in parts)),
        standard_error=shared.arranged(tuple(x / math.sqrt(members) for x in deviations)),
        median=shared.arranged(tuple(np.median(x, axis=0) for x in parts)),
        deviation=shared.arranged(tuple(deviations)),
        tail=shared.arranged(tuple(map(_tail, parts))),
    )


def _tail(gradients: np.ndarray) -> float:
    """The share of the variance that the largest twentieth of the members has."""
    members = len(gradients)
    if members < _JUDGED or not np.isfinite(gradients).all():
        return math.nan
    apart = (gradients - gradients.mean(axis=0)).reshape(members, -1)
    size = np.abs(apart).max(initial=0.0)
    if size == 0:
        return 0.0
    squares = np.sort(((apart / size) ** 2).sum(axis=1))
    return float(squares[-max(1, round(_TAIL * members)) :].sum() / squares.sum())


def _reasons(spread: Spread) -> list[str]:
    """What there is against gradients with such a distribution."""
    if not all(np.isfinite(mean).all() for mean in jax.tree.leaves(spread.mean)):
        return ["the gradient of a member is not finite"]
    worst = max(np.nan_to_num(jax.tree.leaves(spread.tail)), default=0.0)
    if worst <= _HEAVY:
        return []
    return [
        f"a twentieth of the members has {worst:.0%} of the variance of their gradients (28% of "
        "normal ones), so their mean hardly converges"
    ]
