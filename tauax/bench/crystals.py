"""Tau crystals: four oscillators a member, their field, and how often each anchor occurs."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from jax.sharding import Mesh

from tauax import baselines
from tauax.bench.checks import Wrong, agreed
from tauax.bench.problem import Run, Side
from tauax.bench.rivals import Rival, cpu_cores, on_devices
from tauax.bench.timing import fastest
from tauax.bench.workload import Task
from tauax.ensemble import init, simulate
from tauax.hints import ANCHORS
from tauax.monitors import Occupancy
from tauax.noise import WhiteNoise
from tauax.readouts import anchor
from tauax.systems import TauCrystals

DT, INTENSITY = 0.01, 0.05
BLOCKS = (1_000, 4_000, 10_000)
CHECKED, LOOP_ENTITIES = 200, 2
# A phase in float32 may put one record in a thousand on the other side of a cut.
NEAR = 1e-3


def crystals(members: int, noisy: bool, rivals: Sequence[Rival]) -> Task:
    """The four default scales, from phases of each member's own."""
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (members, 4)).astype(np.float32)
    sides = on_devices(partial(_ours, phase, noisy), members)
    sides["numpy"] = _numpy(phase, noisy)
    if not noisy:
        sides["loop"] = Side(
            partial(_loop, phase[:LOOP_ENTITIES].tolist()),
            1,
            precision="float64",
            detail="an object per crystal",
            share=LOOP_ENTITIES / members,
        )
    definition = {"members": members, "noisy": noisy, "dt": DT, "intensity": INTENSITY}
    return Task(sides, 4 * members, partial(_check, phase, noisy, sides), definition)


def _ours(phase: np.ndarray, noisy: bool, mesh: Mesh | None) -> Side:
    model = TauCrystals(noise=WhiteNoise(INTENSITY) if noisy else None)
    state = init(model, phase=phase, key=jax.random.key(0), members=len(phase), mesh=mesh)
    monitors = {"anchor": Occupancy(anchor)}

    def run(steps: int) -> np.ndarray:
        found = simulate(model, state, dt=DT, steps=steps, monitors=monitors)
        return np.asarray(found.monitors["anchor"].fraction)

    return Side(run, cpu_cores())


def _numpy(phase: np.ndarray, noisy: bool) -> Side:
    """The fastest of some numbers of members at a time, members last."""
    programs: dict[str, Run] = {
        f"members last, {block} at once": partial(_numpy_run, phase, noisy, block)
        for block in sorted({min(block, len(phase)) for block in BLOCKS})
    }
    best = fastest(programs, 40)
    return Side(programs[best], 1, detail=best)


def _numpy_run(phase: np.ndarray, noisy: bool, block: int, steps: int) -> np.ndarray:
    generator = np.random.default_rng(1) if noisy else None
    counts = [
        baselines.crystals(
            np.array(rows.T, order="C"),
            dt=DT,
            steps=steps,
            intensity=INTENSITY,
            generator=generator,
        ).counts
        for rows in np.split(phase, range(block, len(phase), block))
    ]
    return np.concatenate(counts, axis=1).T / steps


def _check(phase: np.ndarray, noisy: bool, sides) -> dict[str, float]:
    """Occupancies member by member; with noise, which differs, their means over the members."""
    ends = {name: side.run(CHECKED) for name, side in sides.items()}
    if noisy:
        # Two means over all members of shares whose deviation is at most ½, and 5 of their errors.
        near = 5 * 0.5 * np.sqrt(2.0 / len(phase))
        return agreed({name: end.mean(axis=0) for name, end in ends.items()}, "numpy", near)
    few = phase[:LOOP_ENTITIES].astype(np.float64)  # as the loop has them
    wanted = dict.fromkeys(ends, ends["numpy"])
    wanted["loop"] = _numpy_run(few, False, LOOP_ENTITIES, CHECKED)
    apart = {name: float(np.abs(end - wanted[name]).mean()) for name, end in ends.items()}
    for name, error in apart.items():
        if not error <= NEAR:
            raise Wrong(f"{name} has other occupancies than numpy")
    return apart


def _loop(phases: list[list[float]], steps: int) -> np.ndarray:
    """Some entities as objects, and the share of their steps at each anchor."""
    fractions = []
    for phase in phases:
        entity, counts = baselines.CrystalLoop(phase), Counter[str]()
        for _ in range(steps):
            entity.step(DT)
            counts[entity.anchor] += 1
        fractions.append([counts[name] / steps for name in ANCHORS[:3]])
    return np.asarray(fractions)
