"""Hysteresis: one parameter moved slowly up and down again, the state carried along."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax import export
from tauax._arguments import check_run
from tauax._checks import check_count, check_numbers, fault
from tauax._types import numeric
from tauax.batch import Varied, system_of
from tauax.ensemble import simulate
from tauax.monitors.base import AbstractMonitor, AbstractResult
from tauax.selection import select
from tauax.solution import Solution
from tauax.state import State
from tauax.steppers import AbstractStepper, Euler


class Stacked(eqx.Module):
    """The results of one monitor at all values: every attribute has the axis `value` first.

    What a result derives, such as a variance, is derived for each value and then stacked.
    """

    results: tuple[AbstractResult, ...]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        each = [getattr(one, name) for one in self.results]
        if callable(each[0]):
            return lambda *given, **named: _along_values([one(*given, **named) for one in each])
        return _along_values(each)


class AdiabaticSweep(eqx.Module):
    """What was monitored on the way up and on the way down; made by `sweep_adiabatic`.

    **Attributes:** `values`, `[value, ...]`, in the order of the way up; `solutions`, of the way up
    and of the way down, one per value in that same order: the state in each is the one that was
    carried on to the next value.
    """

    values: Array
    solutions: tuple[tuple[Solution, ...], tuple[Solution, ...]]

    @property
    def up(self) -> dict[str, Any]:
        """The result of each monitor on the way up, `[value, *batch, ...]`."""
        return _stacked(self.solutions[0])

    @property
    def down(self) -> dict[str, Any]:
        """The result of each monitor on the way down, `[value, *batch, ...]`, in the same order."""
        return _stacked(self.solutions[1])

    def to_xarray(self):
        """An `xarray.Dataset` with the axes `direction` and `value` before those of the runs.

        Times of traces count from the beginning of each value. Needs `pip install "tauax[xarray]"`.
        """
        ways = [[solution.to_xarray() for solution in way] for way in self.solutions]
        values = self.values if self.values.ndim == 1 else None
        return export.of_sweep(ways, ("up", "down"), values)


def sweep_adiabatic(
    model,
    where: Callable,
    values,
    *,
    state: State,
    dt,
    steps: int,
    settle: int = 0,
    stepper: AbstractStepper = Euler(),
    monitors: Mapping[str, AbstractMonitor] | None = None,
    throw: bool = True,
) -> AdiabaticSweep:
    """Follow a model while one of its numbers moves along `values` and back, to see hysteresis.

    At each value the state goes on from where the last value left it: `settle` steps unobserved,
    then `steps` with the monitors. Everything compiles once, and members and the axes of `vary` run
    side by side.

    **Arguments:** `model`, a system or a `Varied`; `where` picks the leaf that moves, one without
    an axis of its own; `values`, `[value, *leaf.shape]`, in the order of the way up; `state`, from
    `tx.init`; the others as for `simulate`.

    **Returns:** an `AdiabaticSweep` with `.up` and `.down`.

    **Raises:** as `simulate`; `ValueError` for fewer than two values or values of another shape.
    """
    steps, settle = check_count("steps", steps, 1), check_count("settle", settle, 0)
    monitors = check_run(model, state, dt, stepper, monitors or {})
    system = system_of(model)
    leaf = _one(select(system, where))
    values = _checked(model, leaf, values)

    def held(value: Array, state: State) -> Solution:
        there = _replaced(model, leaf, value)
        if settle:
            state = simulate(there, state, dt=dt, steps=settle, stepper=stepper, throw=throw).state
        return simulate(
            there, state, dt=dt, steps=steps, stepper=stepper, monitors=monitors, throw=throw
        )

    ways = []
    for order in (range(len(values)), reversed(range(len(values)))):
        found = {}
        for index in order:
            found[index] = held(values[index], state)
            state = found[index].state
        ways.append(tuple(found[index] for index in range(len(values))))
    return AdiabaticSweep(values, (ways[0], ways[1]))


def _one(leaf: int | tuple[int, ...]) -> int:
    if isinstance(leaf, tuple):
        raise fault("several leaves", "one leaf that moves", "pick one number of the model")
    return leaf


def _checked(model, leaf: int, values: Any) -> Array:
    """The values in the type of their leaf."""
    if isinstance(model, Varied) and any(leaf in axis.leaves for axis in model.axes):
        raise fault(
            "a leaf that has an axis of its own",
            "one that is the same for all members",
            "sweep another number, or build the model without this axis",
        )
    old = jax.tree.leaves(model)[leaf]
    array = numeric(values)
    if array.ndim == 0 or array.shape[1:] != old.shape or array.shape[0] < 2:
        expected = ", ".join(["V", *map(str, old.shape)])
        raise fault(
            f"values of shape {array.shape}",
            f"shape ({expected}) with V ≥ 2",
            "stack the values along a new first axis",
        )
    array = array.astype(old.dtype)
    for value in array:
        system = _replaced(model, leaf, value)
        check_numbers(system_of(system))
    return array


def _replaced(model, leaf: int, value: Array):
    """The model with another value in one leaf; the axes of a `Varied` do not count as leaves."""
    leaves, structure = jax.tree.flatten(model)
    leaves[leaf] = value
    return structure.unflatten(leaves)


def _stacked(solutions: tuple[Solution, ...]) -> dict[str, Any]:
    return {
        name: _along_values([one.monitors[name] for one in solutions])
        for name in solutions[0].monitors
    }


def _along_values(results: list[Any]) -> Any:
    if isinstance(results[0], AbstractResult):
        return Stacked(tuple(results))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)
