"""The programs that every installation has: tauax, numpy, and the JAX program one writes first."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from tauax import baselines, doctor
from tauax.bench.problem import Problem, Run, Side
from tauax.bench.timing import fastest
from tauax.coupling_choice import coupling_from
from tauax.couplings import Dense, MeanField
from tauax.devices import device_mesh
from tauax.ensemble import init, simulate
from tauax.noise import WhiteNoise
from tauax.steppers import SRA1, Euler, Heun
from tauax.systems import PhaseOscillators

STEPPERS = {"euler": Euler(), "heun": Heun(), "sra1": SRA1()}
OURS, OURS_ALONE, OURS_DIVIDED = "tauax", "tauax_1_device", "tauax_per_core"


@dataclass(frozen=True)
class Rival:
    """A program to compare with: `make(problem)` is None where it cannot do the problem.

    `needs` are the modules that have to be installed, and `lacks()` says what else is missing.
    """

    name: str
    make: Callable[[Problem], Side | None]
    needs: tuple[str, ...] = ()
    lacks: Callable[[], str | None] = lambda: None

    @property
    def missing(self) -> str | None:
        """What has to be installed first, or None."""
        absent = [name for name in self.needs if find_spec(name) is None]
        install = f"not installed: pip install {' '.join(absent)}"
        return install if absent else self.lacks()


def tauax(problem: Problem) -> dict[str, Side]:
    """Ours on every device, and on one: the way it is advised first.

    That is one device per core, but for full matrices, whose products use all cores by themselves.
    """
    sides = on_devices(partial(_ours, problem), problem.members)
    if OURS_ALONE in sides and isinstance(_system(problem).coupling, Dense):
        return {OURS: sides[OURS_ALONE], OURS_DIVIDED: sides[OURS]}
    return sides


def on_devices(make: Callable[[Mesh | None], Side], members: int) -> dict[str, Side]:
    """Ours as `make(mesh)` has it, with the members divided among all devices, and on one."""
    count = min(len(jax.devices()), members)
    if count == 1:
        return {OURS: make(None)}
    divided = replace(make(device_mesh(jax.devices()[:count])), devices=count)
    return {OURS: divided, OURS_ALONE: make(None)}


def _ours(problem: Problem, mesh: Mesh | None) -> Side:
    model, stepper, key = _system(problem), STEPPERS[problem.method], jax.random.key(0)
    state = init(model, key=key, members=problem.members, phase=problem.phase, mesh=mesh)

    def run(steps: int) -> np.ndarray:
        end = simulate(model, state, dt=problem.dt, steps=steps, stepper=stepper, throw=False)
        return np.asarray(end.state.phase)

    return Side(run, cpu_cores(), detail=type(model.coupling).__name__)


def _system(problem: Problem) -> PhaseOscillators:
    coupling = MeanField(problem.strength)
    if problem.weights is not None:
        coupling = coupling_from(problem.weights, problem.strength)
    noise = WhiteNoise(problem.intensity, problem.noise) if problem.noise else None
    return PhaseOscillators(problem.frequency, coupling, noise)


def numpy(problem: Problem) -> Side | None:
    """The fastest of numpy's ways, with scipy's sparse product where there is a network.

    Oscillators last or first, all members at once or so many that they stay in the cache.
    """
    ways = _network_ways(problem) if problem.weights is not None else _mean_field_ways(problem)
    best = fastest(ways, 8)
    return Side(ways[best], doctor.cores() if "product" in best else 1, detail=best)


def _mean_field_ways(problem: Problem) -> dict[str, Run]:
    blocks = {max(1, 16_384 // problem.size), max(1, 65_536 // problem.size), problem.members}
    return {
        f"oscillators {'last' if axis else 'first'}, {block} members at once": partial(
            _numpy_run, problem, baselines.mean_field(problem.strength, axis), axis, block
        )
        for axis in (-1, 0)
        for block in sorted(blocks)
        if block <= problem.members
    }


def _network_ways(problem: Problem) -> dict[str, Run]:
    assert problem.weights is not None
    weights = problem.weights * np.float32(problem.strength)
    dense = baselines.dense(problem.weights, problem.strength)
    ways = {"dense product": partial(_numpy_run, problem, dense, -1, problem.members)}
    if find_spec("scipy"):
        import scipy.sparse

        matrix = scipy.sparse.csr_array(weights.astype(np.float32))
        for axis in (-1, 0):
            torque = baselines.sparse(matrix, axis)
            name = f"CSR, oscillators {'last' if axis else 'first'}"
            ways[name] = partial(_numpy_run, problem, torque, axis, problem.members)
    return ways


def _numpy_run(
    problem: Problem, torque: baselines.Torque, axis: int, block: int, steps: int
) -> np.ndarray:
    generator: Any = np.random.default_rng(1) if problem.noise else None
    if problem.noise == "two_point":
        generator = _Signs(generator)
    frequency = problem.frequency if axis == -1 else problem.frequency[:, None]
    ends = []
    for begin in range(0, problem.members, block):
        rows = problem.phase[begin : begin + block]
        phase = np.array(rows if axis == -1 else rows.T, order="C")  # a copy in any case
        baselines.integrate(
            phase,
            frequency,
            torque,
            dt=problem.dt,
            steps=steps,
            method=problem.method,
            intensity=problem.intensity,
            generator=generator,
        )
        ends.append(phase if axis == -1 else phase.T)
    return np.concatenate(ends)


class _Signs:
    """±1 from the bits of a generator, drawn as its normals are."""

    def __init__(self, generator: np.random.Generator):
        self.generator = generator

    def standard_normal(self, out: np.ndarray, dtype) -> None:
        """One sign per number of `out`."""
        octets = np.frombuffer(self.generator.bytes(-(-out.size // 8)), np.uint8)
        out[...] = np.unpackbits(octets, count=out.size).reshape(out.shape)
        out *= dtype(-2)
        out += dtype(1)


def obvious_jax(problem: Problem) -> Side | None:
    """lax.scan, jnp.sin and jnp.cos, jax.random with a key split at every step; default device."""
    if problem.method == "sra1":
        return None
    step = partial(_obvious_step, problem)

    @partial(jax.jit, static_argnames="steps")
    def run(phase, key, steps):
        def body(carry, _):
            phase, key = carry
            key, now = jax.random.split(key)
            return (step(phase, now), key), None

        return jax.lax.scan(body, (phase, key), None, length=steps)[0][0]

    start = jnp.asarray(problem.phase)
    return Side(
        lambda steps: np.asarray(run(start, jax.random.key(0), steps)),
        cpu_cores(),
    )


def _obvious_step(problem: Problem, phase, key):
    weights = None if problem.weights is None else jnp.asarray(problem.weights, phase.dtype)

    def drift(phase):
        sin, cos = jnp.sin(phase), jnp.cos(phase)
        if weights is None:
            field_sin, field_cos = (x.mean(axis=-1, keepdims=True) for x in (sin, cos))
        else:
            field_sin, field_cos = sin @ weights.T, cos @ weights.T
        return problem.frequency + problem.strength * (field_sin * cos - field_cos * sin)

    kick = 0.0
    if problem.noise == "normal":
        kick = problem.kick * jax.random.normal(key, phase.shape)
    elif problem.noise:
        kick = problem.kick * jax.random.rademacher(key, phase.shape, phase.dtype)
    first = drift(phase)
    if problem.method == "euler":
        return phase + problem.dt * first + kick
    second = drift(phase + problem.dt * first + kick)
    return phase + 0.5 * problem.dt * (first + second) + kick


def cpu_cores() -> int:
    """The cores that a JAX program may use; 0 where it runs on an accelerator."""
    return doctor.cores() if jax.devices()[0].platform == "cpu" else 0


CORE = (Rival("numpy", numpy), Rival("obvious_jax", obvious_jax))


def of(modules: Iterable[str]) -> tuple[Rival, ...]:
    """The rivals of modules with a NAME, what it NEEDS, `make(problem)` and perhaps `missing()`."""
    found = (import_module(name) for name in modules)
    return tuple(
        Rival(one.NAME, one.make, one.NEEDS, getattr(one, "missing", lambda: None)) for one in found
    )


def skipped(rivals) -> Mapping[str, str]:
    """The rivals that cannot run here, and why."""
    return {rival.name: rival.missing for rival in rivals if rival.missing}
