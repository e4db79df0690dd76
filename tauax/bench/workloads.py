"""The table of workloads."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from tauax import networks
from tauax._checks import fault
from tauax.bench import checks
from tauax.bench.crystals import crystals
from tauax.bench.gradients import gradients
from tauax.bench.problem import Problem, Side
from tauax.bench.rivals import Rival, tauax
from tauax.bench.streaming import grid, streaming
from tauax.bench.workload import Task, Workload


def chosen(names: Sequence[str], quick: bool) -> tuple[Workload, ...]:
    """The workloads of these names, or else all, or those of the quick suite.

    **Raises:** `ValueError` for a name that is not in the table.
    """
    for name in names:
        if name not in TABLE:
            near = difflib.get_close_matches(name, TABLE, n=1)
            raise fault(
                f"a workload named {name!r}",
                f"one of {', '.join(TABLE)}",
                f"did you mean {near[0]!r}? See tauax bench --list"
                if near
                else "see tauax bench --list",
            )
    if names:
        return tuple(TABLE[name] for name in dict.fromkeys(names))
    return tuple(one for one in TABLE.values() if one.quick or not quick)


def rate(make: Callable[[], Problem], rivals: Sequence[Rival]) -> Task:
    """Oscillator-steps of one problem, by ours and by every rival that can do it."""
    problem = make()
    sides = _sides(problem, rivals)
    faint = sides
    if problem.noise:
        faint = _sides(replace(problem, intensity=checks.FAINT), rivals)
    check = partial(checks.checked, problem, sides, faint)
    return Task(sides, problem.updates, check, problem.definition)


def _sides(problem: Problem, rivals: Sequence[Rival]) -> dict[str, Side]:
    """Ours, and every rival that can do the problem."""
    found = {rival.name: rival.make(problem) for rival in rivals if rival.missing is None}
    return tauax(problem) | {name: side for name, side in found.items() if side is not None}


def dense_problem() -> Problem:
    weights = np.random.default_rng(3).uniform(size=(1_000, 1_000)).astype(np.float32) / 1_000
    return Problem(1_000, 64, weights=weights)


def _grid585() -> Problem:
    """A connected random graph as sparse as a transmission grid: a tree and short-cuts."""
    nodes, edges, random = 585, 948, np.random.default_rng(2)
    weights = np.zeros((nodes, nodes), np.float32)
    pairs = [(node, int(random.integers(max(0, node - 20), node))) for node in range(1, nodes)]
    while len(pairs) < edges:
        a, b = (int(end) for end in random.integers(0, nodes, 2))
        if a != b and (a, b) not in pairs and (b, a) not in pairs:
            pairs.append((a, b))
    for a, b in pairs:
        weights[a, b] = weights[b, a] = 1.0
    return Problem(nodes, 256, weights=weights)


def _celegans() -> Problem:
    weights = np.asarray(networks.celegans().weights, np.float32)
    return Problem(280, 1_024, weights=weights / weights.sum(axis=1).max(), strength=4.0)


def _row(name: str, title: str, make: Callable[[], Problem], **options) -> Workload:
    return Workload(name, title, partial(rate, make), **options)


TABLE = {
    one.name: one
    for one in (
        _row(
            "mean-field",
            "mean field, 256 oscillators × 1,024 members",
            partial(Problem, 256, 1_024),
            quick=True,
            targets={"numpy": 7, "obvious_jax": 20, "diffrax": 25, "numba": 8, "cpp": 0.45},
        ),
        _row(
            "mean-field-gaussian",
            "mean field with Gaussian noise, 256 × 1,024",
            partial(Problem, 256, 1_024, "normal"),
            quick=True,
            targets={"numpy": 10, "obvious_jax": 13, "diffrax": 15, "numba": 20, "cpp": 0.5},
        ),
        _row(
            "mean-field-two-point",
            "mean field with two-point noise, 256 × 1,024",
            partial(Problem, 256, 1_024, "two_point"),
        ),
        _row(
            "small-rows",
            "mean field, 16 oscillators × 65,536 members",
            partial(Problem, 16, 65_536),
            targets={"numpy": 1},
        ),
        _row(
            "one-large",
            "mean field, 1,000,000 oscillators, one member",
            partial(Problem, 1_000_000, 1),
            targets={"numpy": 1},
        ),
        _row(
            "one-small",
            "mean field, 64 oscillators, one member",
            partial(Problem, 64, 1),
            quick=True,
            targets={"numpy": 10},
        ),
        _row(
            "dense",
            "full weights, 1,000 oscillators × 64 members",
            dense_problem,
            targets={"numpy": 1},
        ),
        _row("grid", "585 nodes, 948 lines × 256 members", _grid585, targets={"numpy": 1}),
        _row(
            "celegans",
            "C. elegans, 280 neurons × 1,024 members",
            _celegans,
            quick=True,
            targets={"numpy": 1},
        ),
        _row(
            "heun",
            "Heun, mean field with Gaussian noise, 256 × 1,024",
            partial(Problem, 256, 1_024, "normal", "heun"),
        ),
        _row(
            "sra1",
            "SRA1, mean field with Gaussian noise, 256 × 1,024",
            partial(Problem, 256, 1_024, "normal", "sra1"),
        ),
        Workload(
            "crystals",
            "tau crystals, 4 × 10,000 members, occupancies",
            partial(crystals, 10_000, False),
            quick=True,
            targets={"numpy": 2, "loop": 300},
            unit="crystal-steps",
        ),
        Workload(
            "crystals-noisy",
            "tau crystals with noise, 4 × 10,000 members",
            partial(crystals, 10_000, True),
            targets={"numpy": 2},
            unit="crystal-steps",
        ),
        Workload(
            "gradients",
            "gradient through 1,024 noisy steps, 256 × 64",
            gradients,
            targets={"obvious_jax": 7},
        ),
        Workload(
            "streaming",
            "order parameter over 100,000 steps, 16 × 256",
            streaming,
            targets={"numpy": 1},
        ),
        Workload(
            "sweep",
            "order parameters, 16 × 8 points × 16 of 64",
            grid,
            targets={"numpy": 1},
        ),
    )
}
