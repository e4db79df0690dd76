"""`fit_least_squares`: numbers of a model from residuals, by a method that knows the Jacobian.

It needs optimistix, `pip install "tauax[fit]"`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from tauax._checks import check_count, fault
from tauax._compiled import outermost
from tauax._types import Scalar, SeedKey
from tauax.learn.arguments import check_arguments, checked_problem
from tauax.learn.fit import warn_of_domain
from tauax.learn.problem import Free, Problem, arrays_of, with_values
from tauax.learn.transforms import AbstractTransform


class LeastSquaresFit(eqx.Module):
    """What `fit_least_squares` found.

    **Attributes:** `values` of the fitted leaves, in the order of `where`; `loss`, ½ Σ r² there;
    `steps`, how many were tried; `reason`, why the method did not converge, empty if it did;
    `residuals`, their number; `rank`, how many directions of the free numbers they determine;
    `roots`, for each leaf the root of the covariance, `[*leaf.shape, free number]`; `given`, the
    model that was fitted.
    """

    given: Any
    values: tuple[Array, ...]
    loss: Float[Array, ""]
    steps: int = eqx.field(static=True)
    reason: str = eqx.field(static=True)
    residuals: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)
    roots: tuple[np.ndarray, ...]
    leaves: tuple[int, ...] = eqx.field(static=True)

    @property
    def converged(self) -> bool:
        """Whether the method came to an end by itself."""
        return not self.reason

    @property
    def model(self) -> Any:
        """The model with the values found."""
        return with_values(self.given, self.leaves, self.values)

    @property
    def covariance(self) -> np.ndarray:
        """The covariance of all values, `[value, value]`, the leaves one after the other.

        σ² G (JᵀJ)⁻¹ Gᵀ, with J the derivative of the residuals and G that of the values, both with
        respect to the free numbers, and σ² = Σ r² / (residuals − rank): for residuals that are
        independent and of one variance, and values far from the ends of their domains. NaN for
        values that the residuals do not determine, and all NaN if there are not more residuals than
        directions. Its size is the square of the number of values.
        """
        root = np.concatenate([root.reshape(-1, root.shape[-1]) for root in self.roots])
        return root @ root.T

    @property
    def deviations(self) -> tuple[np.ndarray, ...]:
        """The standard error of each value, in the shapes of the leaves; NaN as `covariance`."""
        return tuple(np.sqrt((root**2).sum(axis=-1)) for root in self.roots)


class LeastSquaresError(FloatingPointError):
    """Residuals, or their derivatives, are not finite where the method stands."""


class _Residuals(eqx.Module):
    """The residuals as a function of the free numbers."""

    function: Callable
    problem: Problem
    key: SeedKey
    data: tuple[Any, ...]

    def __call__(self, free: Free) -> Any:
        found = self.function(self.problem.model_of(free), self.key, *self.data)
        _check_residuals(found)
        return found


def fit_least_squares(
    residuals: Callable,
    model,
    *,
    where: Callable,
    transform: AbstractTransform | tuple[AbstractTransform | None, ...] | None = None,
    key,
    steps: int,
    data: Any = None,
    solver: Any = None,
) -> LeastSquaresFit:
    """Minimise ½ Σ r² of residuals r over numbers of a model, by Levenberg–Marquardt.

        def residuals(model, key, data):
            phase, velocity = data
            return model.frequency + model.coupling(jnp.sin(phase), jnp.cos(phase)) - velocity

        found = tx.fit_least_squares(residuals, model, where=lambda m: m.frequency,
                                     key=jax.random.key(0), steps=50, data=(phase, velocity))
        found.model, found.deviations

    Near a minimum with small residuals it converges much faster than a descent, at the price of
    the full Jacobian, `[residual, free number]`, in every step. The key is the same in all steps.
    Residuals that become infinite or NaN on the way shorten the step.

    **Arguments:** `residuals(model, key)`, or with `data` `residuals(model, key, data)`, a pytree
    of arrays of real numbers; `model`, `where`, `transform` and `key` as of `tx.fit`; `steps`, at
    most so many, those included that were tried and not taken; `data`, a pytree of arrays, given as
    a whole; `solver`, one of optimistix, by default its `LevenbergMarquardt`, which ends when a
    step changes free numbers and residuals by less than ε^(2/3) of them or of 1, with ε the
    rounding of their dtype. It sees the residuals in units in which the largest column of their
    Jacobian is of size 10 at the start.

    **Returns:** a `LeastSquaresFit`; where the method did not converge, its `reason` says why.

    **Raises:** `ValueError` or `TypeError` for a selection that is not of real numbers, a model
    outside of the domain of its transform, residuals that are not arrays of real numbers, or traced
    arguments; `LeastSquaresError`, with the place, for residuals that are not finite at the start,
    or derivatives that are not where it ends; `ImportError` without optimistix. Warns if the model
    found has numbers that it may not have.

    Source: Levenberg (1944); Marquardt (1963); Nocedal & Wright (2006), chapter 10.
    """
    optimistix = _optimistix()
    steps = check_count("steps", steps, 1)
    names = ("model", "key") if data is None else ("model", "key", "data")
    check_arguments("residuals", residuals, names)
    problem, places, key = checked_problem(model, where, transform, key)
    given = () if data is None else (arrays_of("data", data),)
    task = _Residuals(residuals, problem, key, given)
    start = problem.free()
    if solver is None:
        tolerance = float(jnp.finfo(jnp.result_type(*start)).eps) ** (2 / 3)
        solver = optimistix.LevenbergMarquardt(rtol=tolerance, atol=tolerance)
    _check_solver(optimistix, solver)
    found, *_ = _at(task, start)
    _check_finite(found, "at the start")
    jacobian, _ = _derivatives(task, start)
    _check_jacobian(jacobian, places, "at the start")
    scale = jnp.asarray(_scale(jacobian), jnp.result_type(*start))
    solution = _solve(optimistix.least_squares, task, solver, start, steps, scale)
    found, loss, values = _at(task, solution.value)
    _check_finite(found, "at the end")
    jacobian, slopes = _derivatives(task, solution.value)
    _check_jacobian(jacobian, places, "at the end")
    rank, roots = _roots(jacobian, slopes, float(loss), jnp.result_type(*start), values)
    made = LeastSquaresFit(
        given=model,
        values=values,
        loss=loss,
        steps=int(solution.stats["num_steps"]),
        reason=_reason(optimistix, solution.result, steps),
        residuals=jacobian[0].shape[0],
        rank=rank,
        roots=roots,
        leaves=problem.leaves,
    )
    warn_of_domain(made.model)
    return made


def _scale(jacobian: list[Array]) -> float:
    """What the residuals are divided by, so that the largest column is of size 10.

    The damping of optimistix begins at 1, which then is a hundredth of JᵀJ, whatever the units.
    """
    size = max(float(np.linalg.norm(part, axis=0).max(initial=0.0)) for part in jacobian)
    return size / 10.0 if size > 0 else 1.0


@outermost
def _solve(
    least_squares: Callable, task: _Residuals, solver: Any, free: Free, steps: int, scale: Array
) -> Any:
    """The solution, of residuals divided by a scale."""

    def scaled(free: Free, _: Any) -> Any:
        return jax.tree.map(lambda part: part / scale.astype(part.dtype), task(free))

    return least_squares(scaled, solver, free, max_steps=steps, throw=False)


@outermost
def _at(task: _Residuals, free: Free) -> tuple[Any, Scalar, tuple[Array, ...]]:
    """The residuals, the loss and the values at free numbers."""
    found = task(free)
    loss = sum(0.5 * (part**2).sum() for part in jax.tree.leaves(found))
    return found, jnp.asarray(loss), task.problem.values(free)


@outermost
def _derivatives(task: _Residuals, free: Free) -> tuple[list[Array], Array]:
    """Those of all residuals, for each leaf `[residual, free number]`, and of the values by all."""
    flat, restored = ravel_pytree(free)

    def residuals_of(*free: Array) -> Array:
        return ravel_pytree(task(free))[0]

    def values_of(flat: Array) -> Array:
        return ravel_pytree(task.problem.values(restored(flat)))[0]

    by_leaf = jax.jacfwd(residuals_of, argnums=tuple(range(len(free))))(*free)
    parts = [part.reshape(part.shape[0], -1) for part in by_leaf]
    return parts, jax.jacfwd(values_of)(flat)


def _roots(
    jacobian: list[Array], slopes: Array, loss: float, dtype, values: tuple[Array, ...]
) -> tuple[int, tuple[np.ndarray, ...]]:
    """How many directions are determined, and the root of the covariance of each leaf."""
    full = np.concatenate([np.asarray(part, np.float64) for part in jacobian], axis=1)
    size = np.linalg.norm(full, axis=0)
    # In units in which every column is of size 1, so that units of parameters do not matter.
    unit = np.where(size > 0, size, 1.0)
    _, singular, right = np.linalg.svd(np.linalg.qr(full / unit, mode="r"))
    singular = np.pad(singular, (0, len(right) - len(singular)))
    noise = max(full.shape) * float(jnp.finfo(dtype).eps)
    there = singular > noise * singular.max(initial=0.0)
    rank = int(there.sum())
    turned = np.asarray(slopes, np.float64) / unit @ right.T
    more = full.shape[0] - rank
    deviation = np.sqrt(2.0 * loss / more) if more > 0 else np.nan
    root = deviation * np.where(there, turned / np.where(there, singular, 1.0), 0.0)
    lost = np.abs(np.where(there, 0.0, turned)).max(axis=1, initial=0.0)
    root[lost > np.sqrt(noise) * np.abs(turned).max(axis=1, initial=0.0)] = np.nan
    parts = np.split(root, np.cumsum([value.size for value in values])[:-1])
    shapes = [(*value.shape, root.shape[1]) for value in values]
    return rank, tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))


def _reason(optimistix: Any, result: Any, steps: int) -> str:
    """Why the method did not converge, with the remedy; empty if it did."""
    known = optimistix.RESULTS
    if result == known.successful:
        return ""
    if result == known.nonlinear_max_steps_reached:
        return (
            f"all {steps} steps were used up before a step became small: allow more steps, or if "
            "the loss no longer falls, pass a solver with larger tolerances"
        )
    return f"the solver stopped, {known[result]} start nearer, or pass another solver"


def _optimistix() -> Any:
    try:
        import optimistix
    except ImportError as error:
        message = 'fit_least_squares needs optimistix: pip install "tauax[fit]"'
        raise ImportError(message) from error
    return optimistix


def _check_solver(optimistix: Any, solver: Any) -> None:
    kinds = (optimistix.AbstractLeastSquaresSolver, optimistix.AbstractMinimiser)
    if not isinstance(solver, kinds):
        raise fault(
            f"solver={solver!r}",
            "a solver of optimistix for least squares, or a minimiser",
            "pass for example solver=optimistix.Dogleg(rtol=1e-6, atol=1e-6)",
            TypeError,
        )


def _check_residuals(found: Any) -> None:
    """Raise unless there are residuals, all of real numbers."""
    places = jax.tree_util.tree_leaves_with_path(found)
    if not sum(getattr(leaf, "size", 1) for _, leaf in places):
        raise fault("no residuals", "at least one number", "return differences of arrays")
    for place, leaf in places:
        dtype = getattr(leaf, "dtype", None)
        if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
            got = type(leaf).__name__ if dtype is None else f"dtype {dtype}"
            raise fault(
                f"residuals{jax.tree_util.keystr(place)} of {got}",
                "arrays of real numbers",
                "return differences, of complex numbers the real and the imaginary parts",
                TypeError,
            )


def _check_finite(found: Any, when: str) -> None:
    """Raise for the first residual that is not finite, with its place."""
    for place, leaf in jax.tree_util.tree_leaves_with_path(found):
        bad = ~np.isfinite(leaf)
        if bad.any():
            where = np.unravel_index(int(np.argmax(bad)), bad.shape)
            index = f"[{', '.join(map(str, where))}]" if where else ""
            name = f"residuals{jax.tree_util.keystr(place)}{index}"
            raise fault(
                f"{name} = {np.asarray(leaf)[where]} {when}",
                "finite numbers",
                "start from other values, keep them in their domain by transform=, or lower dt",
                LeastSquaresError,
            )


def _check_jacobian(jacobian: list[Array], names: tuple[str, ...], when: str) -> None:
    """Raise for the first leaf by which a derivative is not finite."""
    for part, name in zip(jacobian, names, strict=True):
        if not np.isfinite(part).all():
            raise fault(
                f"a derivative of the residuals with respect to {name} that is not finite {when}",
                "finite numbers",
                "start from other values, or keep them in their domain by transform=",
                LeastSquaresError,
            )
