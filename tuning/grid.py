"""Learn the lines of a power grid from phases: the 46 couplings of the New England grid, IEEE 39.

    python tuning/grid.py                # writes grid.json and grid.png beside this file

Synthetic phases of the true grid at rest, under random injections and with noise of measurement,
are all that is known besides the injections and which buses have a line. `tx.fit` starts from equal
lines and goes through the dynamics: every pattern of injections runs to rest, where
`tx.losses.EndState` compares it with the measured phases up to a common angle.

Beside it stand two linear regressions on the same numbers, of P on Δθ (DC power flow) and on
sin Δθ, and the smallest standard error that any unbiased estimate can have (Cramér and Rao), by the
derivative of the phases at rest. The phases of other patterns of injections are held out.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import tauax as tx

HERE = Path(__file__).parent
UNIT = 1000.0  # of coupling strength, per unit: weights far below 1 are moved by their logarithm

REST = 4_000  # steps after which phases are at rest: of the slowest mode e^−32 is left
ESTIMATES = {
    "descent": "descent through the dynamics",
    "linear": "regression on Δθ",
    "linear_in_sines": "regression on sin Δθ",
}


@dataclass(frozen=True)
class Settings:
    """What the fits are run with."""

    buses: int = 39
    patterns: int = 32  # of injections, whose phases are measured
    held_out: int = 64  # others, whose phases are to be predicted
    injection: float = 4.0  # standard deviation at a bus, per unit of 100 MW
    # Radians. A synchrophasor of the class of 1 % total vector error may be off by 0.01.
    noises: tuple[float, ...] = (0.001, 0.01)
    realisations: int = 2  # of patterns and noise, each fitted by itself
    start: float = 70.0  # of all lines, per unit
    # The fastest mode decays at 1039 per second, so Euler's limit is 1.9 ms; the slowest at 5.4,
    # so a run of 0.6 s leaves 4 % of what it began with. It begins at the measured phases.
    dt: float = 0.0015
    length: int = 400
    steps: int = 150
    rate: float = 0.1  # of Adam, falling along a cosine
    last_rate: float = 0.01  # as a part of the first
    # Short, as the gradients fall by orders of magnitude on the way.
    second_moment: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Lines:
    """Which buses have a line: the ends of each, and what follows from them."""

    first: np.ndarray
    second: np.ndarray
    size: int

    @classmethod
    def of(cls, grid: tx.networks.Grid) -> "Lines":
        return cls(*np.nonzero(np.triu(grid.weights)), grid.size)

    @property
    def incidence(self) -> np.ndarray:
        """+1 at the first end of a line and −1 at the second, `[line, bus]`."""
        rows = np.eye(self.size)
        return rows[self.first] - rows[self.second]

    def matrix(self, values: np.ndarray) -> np.ndarray:
        """Values of lines as a symmetric matrix, `[bus, bus]`."""
        half = np.zeros((self.size, self.size))
        half[self.first, self.second] = values
        return half + half.T

    def of_matrix(self, matrix) -> np.ndarray:
        return np.asarray(matrix)[self.first, self.second]


def system(lines: Lines, strengths: np.ndarray, power: np.ndarray) -> tx.PhaseOscillators:
    """dθ_i/dt = P_i + Σ_j K_ij sin(θ_j − θ_i): at rest where the lines carry the injections."""
    return tx.PhaseOscillators(power, tx.Dense(lines.matrix(strengths / UNIT), strength=UNIT))


def at_rest(lines: Lines, strengths: np.ndarray, power: np.ndarray, settings: Settings):
    """Phases at rest of every pattern, mean 0, `[pattern, bus]`; NaN where there is no rest."""
    model = system(lines, strengths, power[0])
    many = tx.vary(model, {"pattern": (lambda m: m.frequency, power)})
    state = tx.init(many, phase=np.zeros(lines.size))
    phase = tx.simulate(many, state, dt=settings.dt, steps=REST, throw=False).state.phase
    phase = np.asarray(phase)
    phase = phase - phase.mean(axis=-1, keepdims=True)
    flow = strengths * np.sin(phase @ lines.incidence.T)
    left = np.abs(power - flow @ lines.incidence).max(axis=-1)
    return np.where(left[:, None] < 1e-3 * settings.injection, phase, np.nan)


def injections(settings: Settings, count: int, seed) -> np.ndarray:
    """Random injections that sum to 0, `[pattern, bus]`."""
    power = np.random.default_rng(seed).normal(0.0, settings.injection, (count, settings.buses))
    return power - power.mean(axis=1, keepdims=True)


def misfit(
    model: tx.PhaseOscillators, key, batch: dict, *, noise: float, dt: float, length: int
) -> jax.Array:
    """How far phases at rest are from the measured ones: 1 where only the noise is left.

    (2/σ²) ⟨1 − |⟨e^{i(θ_i − φ_i)}⟩|⟩ over patterns, the loss of `tx.losses.EndState` with
    `rotation` for a target φ of every pattern.
    """
    many = tx.vary(model, {"pattern": (lambda m: m.frequency, batch["power"])})
    state = tx.init(many, phase=batch["phase"])
    phase = tx.simulate(many, state, dt=dt, steps=length, throw=False).state.phase
    apart = phase - batch["phase"]
    likeness = jnp.hypot(jnp.sin(apart).mean(axis=-1), jnp.cos(apart).mean(axis=-1))
    return 2.0 / noise**2 * (1.0 - likeness).mean()


def descended(
    lines: Lines, power, phase, noise: float, settings: Settings, name: str
) -> tuple[np.ndarray, list]:
    """The lines by gradient descent through the dynamics, and the losses on the way."""
    start = system(lines, np.full(len(lines.first), settings.start), power[0])
    known = lines.matrix(np.ones(len(lines.first))) > 0

    def report(done: int, total: int, fit: tx.Fit) -> None:
        print(f"{name} {done}/{total}, loss {fit.losses[-1]:.4g}", flush=True)

    schedule = optax.cosine_decay_schedule(settings.rate, settings.steps, settings.last_rate)
    fit = tx.fit(
        partial(misfit, noise=noise, dt=settings.dt, length=settings.length),
        start,
        where=lambda m: m.coupling.weights,
        transform=tx.Symmetric(tx.Masked(known, inner=tx.Positive())),
        optimizer=optax.adam(schedule, b2=settings.second_moment),
        steps=settings.steps,
        key=jax.random.key(settings.seed),
        data={"power": power, "phase": phase},
        chunk=50,
        report=report,
    )
    return UNIT * lines.of_matrix(fit.model.coupling.weights), _short(fit.losses)


def regressed(lines: Lines, power, phase, bend: Callable) -> np.ndarray:
    """The lines by least squares of P_i = Σ_j K_ij bend(θ_i − θ_j), which is linear in them."""
    across = bend(phase @ lines.incidence.T)  # [pattern, line]
    rows = across[:, None, :] * lines.incidence.T[None]
    return np.linalg.lstsq(rows.reshape(-1, across.shape[1]), power.reshape(-1), rcond=None)[0]


def response(lines: Lines, strengths: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """dθ/dK at rest, `[bus, line]`: at Bᵀ(K sin Bθ) = P it is −(Bᵀ(K cos Bθ)B)⁺ Bᵀ sin Bθ."""
    incidence, across = lines.incidence, lines.incidence @ phase
    stiffness = (incidence.T * (strengths * np.cos(across))) @ incidence
    return -np.linalg.pinv(stiffness, hermitian=True) @ (incidence.T * np.sin(across))


def smallest_errors(lines: Lines, true, phase, noise: float) -> np.ndarray:
    """The relative standard error of each line that no unbiased estimate undercuts.

    Phases are known up to a common angle, with independent noise of one variance.
    """
    derivatives = np.concatenate([response(lines, true, one) for one in phase])
    information = derivatives.T @ derivatives / noise**2
    return np.sqrt(np.diag(np.linalg.inv(information))) / true


def compared(lines: Lines, true, strengths, held_out: tuple, settings: Settings) -> dict:
    """Errors of the lines, and of the phases they predict under other injections."""
    power, phase = held_out
    relative = np.abs(strengths / true - 1.0)
    usable = np.maximum(strengths, 0.01 * true.min())  # a negative line has no stable rest
    off = at_rest(lines, usable, power, settings) - phase
    none = np.isnan(off).any(axis=1)
    return {
        "median_relative_error": float(np.median(relative)),
        "worst_relative_error": float(relative.max()),
        "negative_lines": int((strengths <= 0).sum()),
        # Of those that are at rest; None if there is none.
        "held_out_phase_error": None if none.all() else float(np.sqrt(np.nanmean(off**2))),
        "held_out_without_rest": int(none.sum()),
    }


def recover(settings: Settings, noise: float) -> dict:
    """All estimates of the lines at one noise of measurement."""
    grid = tx.networks.ieee(settings.buses)
    lines = Lines.of(grid)
    true = lines.of_matrix(grid.weights)
    power = injections(settings, settings.held_out, (settings.seed, 0))
    held_out = power, at_rest(lines, true, power, settings)
    equal = np.full(true.shape, settings.start)
    outcome = {"noise": noise, "equal_lines": compared(lines, true, equal, held_out, settings)}
    runs, losses, found, begin = [], [], [], time.perf_counter()
    for realisation in range(settings.realisations):
        power = injections(settings, settings.patterns, (settings.seed, 1, realisation))
        exact = at_rest(lines, true, power, settings)
        random = np.random.default_rng((settings.seed, 2, realisation))
        phase = exact + noise * random.normal(size=exact.shape)
        name = f"noise {noise:g}, realisation {realisation + 1}/{settings.realisations}:"
        fitted, course = descended(lines, power, phase, noise, settings, name)
        estimates = {
            "descent": fitted,
            "linear": regressed(lines, power, phase, lambda across: across),
            "linear_in_sines": regressed(lines, power, phase, np.sin),
        }
        least = smallest_errors(lines, true, exact, noise)
        runs.append(
            {key: compared(lines, true, k, held_out, settings) for key, k in estimates.items()}
            | {
                "largest_angle_across_a_line": float(np.abs(exact @ lines.incidence.T).max()),
                # |x| of a normal number has the median 0.6745 standard deviations.
                "least_median_relative_error": float(0.6745 * np.median(least)),
                "least_worst_standard_error": float(least.max()),
                "squared_error_over_least": float(np.mean(((fitted / true - 1) / least) ** 2)),
            }
        )
        losses.append(course)
        found.append({key: k.tolist() for key, k in estimates.items()})
    seconds = time.perf_counter() - begin
    return outcome | {
        "true": true.tolist(),
        "runs": runs,
        "found": found,
        "losses": losses,
        "seconds": seconds,
    }


def _short(losses) -> list:
    """Losses to four digits: they are there to be drawn."""
    return [float(f"{loss:.4g}") for loss in np.asarray(losses)]


def studied(settings: Settings) -> dict:
    """The whole outcome."""
    # In 64 bits, as 1 − cos of a milliradian is eight roundings of 32.
    with jax.enable_x64(True):
        studies = [recover(settings, noise) for noise in settings.noises]
    return {
        "settings": asdict(settings),
        "versions": {"jax": jax.__version__, "tauax": tx.__version__},
        "recover": studies,
    }


def draw(outcome: dict, path: Path) -> None:
    """Estimates beside the true lines, errors of the lines, and the descents."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    study = outcome["recover"][-1]
    for place, (name, label) in enumerate(ESTIMATES.items()):
        known = study["found"][0][name]
        left.loglog(study["true"], np.clip(known, 1.0, None), "o", color=f"C{place}", markersize=4)
        for number, one in enumerate(outcome["recover"]):
            errors = [run[name]["median_relative_error"] for run in one["runs"]]
            where = np.full(len(errors), number) + 0.15 * (place - 1)
            middle.semilogy(where, errors, "o", color=f"C{place}", label=None if number else label)
    left.axline((100, 100), (200, 200), color="0.7", linewidth=0.8)
    left.set(xlabel="true coupling, per unit", ylabel="estimate")
    for axis in (left.xaxis, left.yaxis):
        axis.set_ticks([20, 50, 100, 200, 400], ["20", "50", "100", "200", "400"])
        axis.set_ticks([], minor=True)
    left.set_title(f"noise {study['noise']:g} rad")
    for number, one in enumerate(outcome["recover"]):
        least = np.mean([run["least_median_relative_error"] for run in one["runs"]])
        label = None if number else "least possible"
        middle.hlines(least, number - 0.3, number + 0.3, color="black", label=label)
        for course in one["losses"]:
            right.semilogy(course, color=f"C{number + 3}", linewidth=1)
    names = [f"{one['noise']:g} rad" for one in outcome["recover"]]
    middle.set_xticks(range(len(names)), names)
    middle.set(xlim=(-0.5, len(names) - 0.5), ylabel="median relative error", title="46 lines")
    middle.legend(frameon=False, fontsize=8)
    right.axhline(1.0, color="0.7", linewidth=0.8)
    right.set(xlabel="optimiser step", ylabel="loss, 1 is noise", title="descents")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    """Run the fits, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the JSON and the figure")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    options = parser.parse_args()
    begin = time.perf_counter()
    outcome = studied(Settings(seed=options.seed))
    outcome["seconds"] = time.perf_counter() - begin
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "grid.json").write_text(json.dumps(outcome, indent=1) + "\n")
    draw(outcome, options.out / "grid.png")
    for study in outcome["recover"]:
        print(f"noise {study['noise']:g} rad")
        for name, label in ESTIMATES.items():
            median, worst, phase = (
                np.mean([run[name][key] for run in study["runs"]])
                for key in ("median_relative_error", "worst_relative_error", "held_out_phase_error")
            )
            print(f"  {label}: median {median:.2%}, worst {worst:.1%}, held out {phase:.2g} rad")
    return 0


if __name__ == "__main__":
    sys.exit(main())
