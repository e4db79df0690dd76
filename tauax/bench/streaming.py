"""Long runs with statistics taken on the way, and grids of parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from tauax import baselines, frequencies
from tauax.batch import vary
from tauax.bench.checks import agreed
from tauax.bench.problem import Side, checksum
from tauax.bench.rivals import Rival, cpu_cores, on_devices
from tauax.bench.timing import fastest
from tauax.bench.workload import Task
from tauax.couplings import MeanField
from tauax.ensemble import init, simulate
from tauax.monitors import Moments
from tauax.noise import WhiteNoise
from tauax.readouts import coherence
from tauax.systems import PhaseOscillators

DT, CHECKED, LONG = 0.01, 400, 100_000
# Float32 programs without noise differ by their roundings; with it, means over 2,048 rows of an
# order parameter that scatters by 0.3, common initial phases aside.
NEAR, NEAR_WITH_NOISE = 1e-3, 0.03


@dataclass(frozen=True, eq=False)
class Sweep:
    """Members at every pair of a strength and an intensity of noise; rows are all of them.

    Of one pair without noise, `intensities` is None.
    """

    size: int
    members: int
    strengths: np.ndarray
    intensities: np.ndarray | None

    @property
    def rows(self) -> int:
        """Independent systems."""
        points = 1 if self.intensities is None else len(self.intensities)
        return len(self.strengths) * points * self.members

    @cached_property
    def frequency(self) -> np.ndarray:
        """ω, rad/s."""
        return np.asarray(frequencies.gaussian(self.size, 0.0, 1.0), np.float32)

    @cached_property
    def phase(self) -> np.ndarray:
        """θ at the start, `[row, oscillator]`."""
        shape = (self.rows, self.size)
        return np.random.default_rng(0).uniform(-np.pi, np.pi, shape).astype(np.float32)

    @cached_property
    def columns(self) -> tuple[np.ndarray, np.ndarray | None]:
        """K and D of each row, `[row, 1]`."""
        if self.intensities is None:
            return np.repeat(self.strengths, self.members)[:, None], None
        pairs = np.meshgrid(self.strengths, self.intensities, indexing="ij")
        strength, intensity = (np.repeat(x.ravel(), self.members)[:, None] for x in pairs)
        return strength.astype(np.float32), intensity.astype(np.float32)


def streaming(rivals: Sequence[Rival]) -> Task:
    """The mean order parameter of each member over 100,000 steps: 16 oscillators, 256 members."""
    return _task(Sweep(16, 256, np.asarray([2.0], np.float32), None), LONG)


def grid(rivals: Sequence[Rival]) -> Task:
    """16 strengths × 8 noise intensities × 16 members, and the mean order parameter of each."""
    return _task(Sweep(64, 16, np.linspace(0.0, 4.0, 16), np.linspace(0.01, 0.3, 8)), None)


def _task(sweep: Sweep, steps: int | None) -> Task:
    sides = on_devices(partial(_ours, sweep), sweep.members)
    sides["numpy"] = _numpy(sweep)
    sides["obvious_jax"] = _obvious(sweep)
    columns = {"strength": sweep.columns[0], "intensity": sweep.columns[1]}
    definition = {
        "size": sweep.size,
        "rows": sweep.rows,
        "dt": DT,
        "start": checksum(sweep.phase),
        **{name: None if one is None else checksum(one) for name, one in columns.items()},
    }
    check = partial(_check, sweep, sides)
    return Task(sides, sweep.size * sweep.rows, check, definition, steps=steps)


def _ours(sweep: Sweep, mesh: Mesh | None) -> Side:
    noise = None if sweep.intensities is None else WhiteNoise(1.0)
    model = PhaseOscillators(sweep.frequency, MeanField(2.0), noise)
    if sweep.intensities is not None:
        axes = {
            "strength": (lambda m: m.coupling.strength, sweep.strengths),
            "intensity": (lambda m: m.noise.intensity, sweep.intensities),
        }
        model = vary(model, axes)
    state = init(
        model, key=jax.random.key(0), members=sweep.members, phase=_shaped(sweep), mesh=mesh
    )

    def run(steps: int) -> np.ndarray:
        found = simulate(model, state, dt=DT, steps=steps, monitors={"r": Moments(coherence)})
        return np.asarray(found.monitors["r"].mean).ravel()

    return Side(run, cpu_cores())


def _shaped(sweep: Sweep) -> np.ndarray:
    points = () if sweep.intensities is None else (len(sweep.strengths), len(sweep.intensities))
    return sweep.phase.reshape(*points, sweep.members, sweep.size)


def _numpy(sweep: Sweep) -> Side:
    """The faster of the layouts, all rows at once."""
    ways = {
        f"oscillators {name}": partial(_numpy_run, sweep, axis)
        for name, axis in (("last", -1), ("first", 0))
    }
    best = fastest(ways, 100)
    return Side(ways[best], 1, detail=best)


def _numpy_run(sweep: Sweep, axis: int, steps: int) -> np.ndarray:
    """The order parameter comes from the means that the coupling needs anyway."""

    def laid(rows: np.ndarray) -> np.ndarray:
        return np.array(rows if axis else rows.T, order="C")  # a copy in any case

    strength, intensity = sweep.columns
    seen = laid(np.zeros((sweep.rows, 1), np.float32))
    baselines.integrate(
        laid(sweep.phase),
        laid(sweep.frequency[None]),
        baselines.mean_field(laid(strength), axis, seen),
        dt=DT,
        steps=steps,
        intensity=None if intensity is None else laid(intensity),
        generator=None if intensity is None else np.random.default_rng(1),
    )
    return seen.ravel() / steps


def _obvious(sweep: Sweep) -> Side:
    (strength, intensity), frequency = sweep.columns, sweep.frequency

    @partial(jax.jit, static_argnames="steps")
    def run(phase, key, steps):
        def body(carry, _):
            phase, key, total = carry
            sin, cos = jnp.sin(phase), jnp.cos(phase)
            mean_sin, mean_cos = (x.mean(axis=-1, keepdims=True) for x in (sin, cos))
            total = total + jnp.sqrt(mean_sin**2 + mean_cos**2)
            drift = frequency + strength * (mean_sin * cos - mean_cos * sin)
            phase = phase + DT * drift
            if intensity is not None:
                key, now = jax.random.split(key)
                phase = phase + jnp.sqrt(2 * intensity * DT) * jax.random.normal(now, phase.shape)
            return (phase, key, total), None

        total = jnp.zeros((sweep.rows, 1))
        return jax.lax.scan(body, (phase, key, total), None, length=steps)[0][2] / steps

    start = jnp.asarray(sweep.phase)
    return Side(lambda steps: np.asarray(run(start, jax.random.key(0), steps)).ravel(), cpu_cores())


def _check(sweep: Sweep, sides) -> dict[str, float]:
    """Mean order parameters row by row; with noise, which differs, their mean over all rows."""
    ends = {name: side.run(CHECKED) for name, side in sides.items()}
    if sweep.intensities is None:
        return agreed(ends, "numpy", NEAR)
    means = {name: end.mean(keepdims=True) for name, end in ends.items()}
    return agreed(means, "numpy", NEAR_WITH_NOISE)
