"""xgi: its Kuramoto model on the complete graph, links only, a member at a time, in float64."""

import numpy as np

from tauax.bench.problem import Problem, Side

NAME = "xgi"
NEEDS = ("xgi",)
LARGEST = 5_000  # oscillators of all members: it sums over links, a member at a time


def make(problem: Problem) -> Side | None:
    """The noiseless mean field of few oscillators by Euler; None for the rest."""
    if problem.weights is not None or problem.noise or problem.method != "euler":
        return None
    if problem.updates > LARGEST:
        return None
    import xgi

    links = xgi.complete_hypergraph(problem.size, order=1)
    pull = problem.strength / problem.size

    def member(phase: np.ndarray, steps: int) -> np.ndarray:
        return xgi.simulate_kuramoto(
            links,
            pull,
            0.0,
            omega=problem.frequency.astype(np.float64),
            theta=phase.astype(np.float64),
            timesteps=steps + 1,  # records, of which the first is the start
            dt=problem.dt,
        )[0][-1]

    def run(steps: int) -> np.ndarray:
        return np.stack([member(phase, steps) for phase in problem.phase]).astype(np.float32)

    detail = f"xgi {xgi.__version__}, a member at a time"
    return Side(run, 1, precision="float64", detail=detail)
