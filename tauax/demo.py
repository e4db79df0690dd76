"""The main job on real data: two networks over coupling and noise, beside numpy and theory."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np

from tauax import baselines, frequencies, networks, theory
from tauax.batch import Varied, vary
from tauax.couplings import Dense, MeanField
from tauax.ensemble import init, iterate, simulate
from tauax.monitors import Moments
from tauax.noise import WhiteNoise
from tauax.readouts import coherence
from tauax.solution import Solution
from tauax.state import State
from tauax.systems import PhaseOscillators

MONITORS = {"r": Moments(coherence)}
CHUNKS = 20


@dataclass(frozen=True)
class Study:
    """A model to sweep over coupling strength and noise intensity, and for how long."""

    name: str
    title: str
    axis: str
    frequency: np.ndarray
    coupling: Dense
    strengths: np.ndarray
    intensities: np.ndarray
    members: int
    dt: float
    transient: int
    steps: int

    @property
    def model(self) -> PhaseOscillators:
        """The model, whose strength and noise intensity the sweep replaces."""
        return PhaseOscillators(self.frequency, self.coupling, WhiteNoise(1.0))

    @property
    def noisy_members(self) -> int:
        """Independent noisy systems in the sweep."""
        return len(self.strengths) * len(self.intensities) * self.members

    def updates(self, steps: int) -> int:
        """Oscillator-steps in so many steps of the whole sweep."""
        return steps * self.noisy_members * len(self.frequency)


@dataclass(frozen=True)
class Sweep:
    """The outcome of a study: r in time mean and deviation `[strength, intensity, member]`.

    `rate` and `numpy_rate` are oscillator-steps per second, ours without the compilation, which
    took `compilation` seconds.
    """

    study: Study
    mean: np.ndarray
    deviation: np.ndarray
    compilation: float
    rate: float
    numpy_rate: float


@dataclass(frozen=True)
class Curve:
    """r of the noiseless mean field with Lorentzian frequencies, to be held against theory."""

    width: float
    strength: np.ndarray
    measured: np.ndarray

    def theory(self, strength: np.ndarray) -> np.ndarray:
        """√(1 − 2γ/K) above the threshold and 0 below, for N → ∞."""
        return theory.coherence_lorentzian(strength, self.width)


def studies(members: int = 16) -> tuple[Study, ...]:
    """The two networks; each has `members` members at each of its 8 × 4 grid points."""
    return _connectome(members), _grid(members)


def _connectome(members: int) -> Study:
    network = networks.celegans()
    rate = frequencies.gaussian(network.size, 0.0, 1.0, key=jax.random.key(2011))
    return Study(
        name="celegans",
        title="C. elegans connectome, 280 neurons",
        axis="coupling $K$ (rad/s)",
        frequency=np.asarray(rate),
        coupling=Dense(network.weights, norm="in_degree"),
        strengths=np.linspace(0.0, 7.0, 8),
        intensities=np.asarray([0.01, 0.1, 0.3, 1.0]),
        members=members,
        dt=0.02,
        transient=1_000,
        steps=2_000,
    )


def _grid(members: int) -> Study:
    grid = networks.ieee(57)
    return Study(
        name="ieee57",
        title="IEEE 57-bus grid, first order",
        axis="coupling $K$, in units of each line's own",
        frequency=grid.power,
        coupling=Dense(grid.weights),
        # The largest Laplacian eigenvalue is 1039 /s, so explicit steps stay below 2 ms.
        strengths=np.geomspace(0.01, 1.0, 8),
        intensities=np.asarray([0.001, 0.01, 0.03, 0.1]),
        members=members,
        dt=0.001,
        transient=10_000,
        steps=10_000,
    )


def sweep(study: Study, key, report: Callable[[str, int, int], None]) -> Sweep:
    """Run a study; `report(title, done, total)` is told after each chunk."""
    grid = vary(
        study.model,
        {
            "strength": (lambda m: m.coupling.strength, study.strengths),
            "intensity": (lambda m: m.noise.intensity, study.intensities),
        },
    )
    compilation = _compile(study, grid, key)
    begin = time.perf_counter()
    state = init(grid, key=key, members=study.members)
    for done, solution in enumerate(_transient(study, grid, state), 1):
        report(study.title, done, 2 * CHUNKS)
        state = solution.state
    for done, solution in enumerate(_monitored(study, grid, state), CHUNKS + 1):
        report(study.title, done, 2 * CHUNKS)
        moments = solution.monitors["r"]
    seconds = time.perf_counter() - begin
    return Sweep(
        study=study,
        mean=np.asarray(moments.mean),
        deviation=np.asarray(moments.std),
        compilation=compilation,
        rate=study.updates(study.transient + study.steps) / seconds,
        numpy_rate=_numpy_rate(study),
    )


def _transient(study: Study, grid: Varied, state: State) -> Iterator[Solution]:
    chunk = study.transient // CHUNKS
    return iterate(grid, state, dt=study.dt, steps=study.transient, chunk=chunk)


def _monitored(study: Study, grid: Varied, state: State) -> Iterator[Solution]:
    chunk = study.steps // CHUNKS
    return iterate(grid, state, dt=study.dt, steps=study.steps, chunk=chunk, monitors=MONITORS)


def _compile(study: Study, grid: Varied, key) -> float:
    """Compile the programs that the chunks use, by a chunk of each; seconds."""
    start = time.perf_counter()
    state = init(grid, key=key, members=study.members)
    for run in (_transient, _monitored):
        state = next(run(study, grid, state)).state
    return time.perf_counter() - start


def _numpy_rate(study: Study, rounds: int = 3, steps: int = 10) -> float:
    """Oscillator-steps per second of the numpy program on the same sweep, median of rounds."""
    generator = np.random.default_rng(0)
    shape = (study.noisy_members, len(study.frequency))
    phase = generator.uniform(-np.pi, np.pi, shape).astype(np.float32)
    strength, intensity = np.meshgrid(study.strengths, study.intensities, indexing="ij")
    spread = [np.repeat(values.ravel(), study.members)[:, None] for values in (strength, intensity)]
    weights = np.asarray(study.coupling.weights)
    weights = weights / np.asarray(study.coupling.divisor())[..., None]
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        baselines.integrate(
            phase,
            study.frequency.astype(np.float32),
            baselines.dense(weights, spread[0]),
            dt=study.dt,
            steps=steps,
            intensity=spread[1],
            generator=generator,
        )
        seconds.append(time.perf_counter() - start)
    return study.updates(steps) / float(np.median(seconds))


def mean_field_curve(size: int = 1_000, steps: int = 4_000) -> Curve:
    """r(K) of the noiseless mean field with Lorentzian quantiles, half width ½ rad/s."""
    width, strength = 0.5, np.linspace(0.0, 4.0, 25)
    model = PhaseOscillators(frequencies.lorentzian(size, 0.0, width), MeanField(1.0))
    grid = vary(model, {"strength": (lambda m: m.coupling.strength, strength)})
    state = init(grid, key=jax.random.key(1975), members=1)
    settled = simulate(grid, state, dt=0.02, steps=steps).state
    run = simulate(grid, settled, dt=0.02, steps=steps, monitors=MONITORS)
    measured = np.asarray(run.monitors["r"].mean)[:, 0]
    return Curve(width, strength, measured)


def table(sweeps: tuple[Sweep, ...], curve: Curve) -> list[dict[str, object]]:
    """The rows of the CSV: one per grid point, over its members."""
    rows: list[dict[str, object]] = []
    for result in sweeps:
        for i, strength in enumerate(result.study.strengths):
            for j, intensity in enumerate(result.study.intensities):
                rows.append(
                    {
                        "model": result.study.name,
                        "strength": float(strength),
                        "intensity": float(intensity),
                        "members": result.study.members,
                        "coherence": float(result.mean[i, j].mean()),
                        "spread_over_members": float(result.mean[i, j].std()),
                        "deviation_in_time": float(result.deviation[i, j].mean()),
                        "theory": "",
                    }
                )
    limits = curve.theory(curve.strength)
    for strength, measured, limit in zip(curve.strength, curve.measured, limits, strict=True):
        rows.append(
            {
                "model": "mean_field",
                "strength": float(strength),
                "intensity": 0.0,
                "members": 1,
                "coherence": float(measured),
                "spread_over_members": 0.0,
                "deviation_in_time": "",
                "theory": float(limit),
            }
        )
    return rows
