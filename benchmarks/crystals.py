"""Tau crystals: 10,000 members for 10,000 steps with their occupancies, and what else does that.

Each program computes the same: the four default scales from phases of each member's own, the field,
its last ten values, and how often each anchor occurs. numpy has the best of some numbers of members
at a time; the loop over objects runs few entities, and its seconds are extrapolated. Rates are in
10⁶ crystal-steps per second, of which a member has four per step.
"""

import time

import jax
import numpy as np

import tauax as tx
from benchmarks.children import in_process
from benchmarks.memory import peak
from benchmarks.timing import timed
from tauax import baselines

MEMBERS, STEPS, ROUNDS, DEVICES, DT = 10_000, 10_000, 5, 2, 0.01
LOOP_ENTITIES, LOOP_STEPS = 4, 10_000


def measure() -> dict:
    """Rates, ratios of medians over numpy, and megabytes."""
    call = f"crystals.compare({MEMBERS}, {STEPS}, {ROUNDS})"
    results = {f"{MEMBERS}x{STEPS}": in_process(call, DEVICES)}
    found = results[f"{MEMBERS}x{STEPS}"]
    print(f"{MEMBERS} members, {STEPS} steps", {k: round(v, 1) for k, v in found["rate"].items()})
    for name, ratio in found["ratio"].items():
        print(f"  {name}: {ratio:.3g} × numpy", flush=True)
    print(f"  the loop over objects would take {found['loop_hours']:.1f} hours")
    results["growth_mb"] = {}
    for steps in (10_000, 100_000):
        growth = in_process(f"crystals.growth({steps})")
        print(f"growth over {steps} steps: {growth:.1f} MB", flush=True)
        results["growth_mb"][steps] = growth
    return results


def compare(members: int, steps: int, rounds: int) -> dict:
    """The programs in interleaved rounds, on one device and on all that the process has."""
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (members, 4)).astype(np.float32)
    programs = {"tauax_1_device": _ours(phase, None), "numpy": _best_numpy(phase)}
    if len(jax.devices()) > 1:
        programs[f"tauax_{len(jax.devices())}_devices"] = _ours(phase, tx.device_mesh())
    _check(programs)
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for program in programs.values():
        program(steps)
    for _ in range(rounds):
        for name, program in programs.items():
            seconds[name].append(timed(program, steps))
    updates = 4 * members * steps / 1e6
    rates = {name: updates / float(np.median(taken)) for name, taken in seconds.items()}
    spread = {name: [updates / max(taken), updates / min(taken)] for name, taken in seconds.items()}
    rates["loop"] = _loop()
    return {
        "rate": rates,
        "spread": spread,
        "ratio": {name: rate / rates["numpy"] for name, rate in rates.items() if name != "numpy"},
        "loop_hours": updates / rates["loop"] / 3600,
        "rounds": rounds,
    }


def _ours(phase: np.ndarray, mesh):
    """Occupancies after so many steps, `[member, anchor]`."""
    model = tx.TauCrystals()
    state = tx.init(model, phase=phase, members=len(phase), mesh=mesh)
    monitors = {"anchor": tx.Occupancy(tx.anchor)}

    def run(steps: int) -> np.ndarray:
        found = tx.simulate(model, state, dt=DT, steps=steps, monitors=monitors)
        return np.asarray(found.monitors["anchor"].fraction)

    return run


def _best_numpy(phase: np.ndarray):
    """The fastest of some numbers of members at a time."""

    def program(block: int):
        def run(steps: int) -> np.ndarray:
            counts = [
                baselines.crystals(np.ascontiguousarray(rows.T), dt=DT, steps=steps).counts
                for rows in np.split(phase, range(block, len(phase), block))
            ]
            return np.concatenate(counts, axis=1).T / steps

        return run

    programs = [program(block) for block in (1_000, 4_000, 10_000)]
    return min(programs, key=lambda one: min(timed(one, 20, warm=True) for _ in range(3)))


def _check(programs) -> None:
    """Refuse to time programs that do not compute the same thing."""
    steps = 200
    found = {name: program(steps) for name, program in programs.items()}
    for name, shares in found.items():
        # A phase in float32 may put one record in a thousand on the other side of a cut.
        if np.abs(shares - found["numpy"]).mean() > 1e-3:
            raise AssertionError(f"{name} has other occupancies than numpy")


def _loop() -> float:
    """The rate of the loop over objects, by the median of its entities."""
    seconds = []
    for phase in np.random.default_rng(1).uniform(-np.pi, np.pi, (LOOP_ENTITIES, 4)).tolist():
        entity, counts = baselines.CrystalLoop(phase), dict.fromkeys(("FLOW−", "SYNC", "FLOW+"), 0)
        start = time.perf_counter()
        for _ in range(LOOP_STEPS):
            entity.step(DT)
            counts[entity.anchor] += 1
        seconds.append(time.perf_counter() - start)
    return 4 * LOOP_STEPS / float(np.median(seconds)) / 1e6


def growth(steps: int) -> float:
    """Megabytes that so many steps of 1,000 members take over a compiled run of ten."""
    model = tx.TauCrystals()
    state = tx.init(model, members=1_000)
    monitors = {"anchor": tx.Occupancy(tx.anchor), "jumps": tx.Transitions(tx.anchor)}

    def run(count: int) -> None:
        jax.block_until_ready(tx.simulate(model, state, dt=DT, steps=count, monitors=monitors))

    run(10)
    before = peak()
    run(steps)
    return peak() - before
