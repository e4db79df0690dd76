"""PyTorch on the CPU: all members at once, in place, without gradients.

Eager: its vector sine and cosine on all threads are faster here than a step through
`torch.compile`, which fuses them with the reduction over oscillators.
"""

import numpy as np

from tauax import doctor
from tauax.bench.problem import Problem, Side

NAME = "torch"
NEEDS = ("torch",)


def make(problem: Problem) -> Side | None:
    """Euler and Heun, mean field and networks, noise but of three points; None for the rest."""
    if problem.method not in ("euler", "heun") or problem.noise == "three_point":
        return None
    import torch

    cores = doctor.cores()
    torch.set_num_threads(cores)
    advance = _euler if problem.method == "euler" else _heun
    drift, kicks = _drift(problem), _kicks(problem)

    def run(steps: int) -> np.ndarray:
        with torch.inference_mode():
            phase = torch.from_numpy(problem.phase).clone()
            for _ in range(steps):
                advance(phase, drift, kicks(phase))
            return phase.numpy()

    return Side(run, cores, detail=f"torch {torch.__version__}, eager, in place")


def _euler(phase, drift, kick) -> None:
    phase += drift(phase)
    if kick is not None:
        phase += kick


def _heun(phase, drift, kick) -> None:
    first = drift(phase).clone()
    ahead = phase + first
    if kick is not None:
        ahead += kick
        phase += kick
    phase.add_(first.add_(drift(ahead)), alpha=0.5)


def _drift(problem: Problem):
    """dt·(ω + torque), in memory that is used again."""
    import torch

    turn = torch.from_numpy(problem.frequency * np.float32(problem.dt))
    pull = problem.strength * problem.dt
    shape = problem.phase.shape
    sin, cos = torch.empty(shape), torch.empty(shape)
    if problem.weights is not None:
        columns = torch.from_numpy(np.ascontiguousarray(problem.weights.T * pull, np.float32))
        field_sin, field_cos = torch.empty(shape), torch.empty(shape)

    def drift(phase):
        torch.sin(phase, out=sin)
        torch.cos(phase, out=cos)
        if problem.weights is None:
            from_sin, from_cos = (x.mean(-1, keepdim=True).mul_(pull) for x in (sin, cos))
        else:
            from_sin = torch.mm(sin, columns, out=field_sin)
            from_cos = torch.mm(cos, columns, out=field_cos)
        return cos.mul_(from_sin).sub_(sin.mul_(from_cos)).add_(turn)

    return drift


def _kicks(problem: Problem):
    """The increments of the noise of one step, in memory that is used again."""
    import torch

    generator = torch.Generator().manual_seed(0)
    kick = torch.empty(problem.phase.shape if problem.noise else 0)

    def draw(_phase):
        if problem.noise is None:
            return None
        if problem.noise == "normal":
            return kick.normal_(0.0, problem.kick, generator=generator)
        return kick.bernoulli_(0.5, generator=generator).sub_(0.5).mul_(2.0 * problem.kick)

    return draw
