"""What a part of a run costs: steppers against Euler, monitors against the run without them."""

import jax
import jax.numpy as jnp
import numpy as np

import tauax as tx
from benchmarks.studies.children import in_process
from benchmarks.studies.memory import peak
from benchmarks.studies.verdict import verdict
from tauax.bench.timing import interleaved

ROUNDS, PROCESSES = 7, 3
SRA1_TARGET, LOCKING_TARGET, BOLD_TARGET, BOLD_MEMORY = 2.5, 1.3, 1.5, 10.0


def measure() -> dict:
    """Ratios of times, and megabytes."""
    results = {
        "sra1_over_euler": _ratio("sra1_over_euler()", SRA1_TARGET),
        "phase_locking_over_bare": _ratio("locking_over_bare()", LOCKING_TARGET),
        "bold_over_bare": _ratio("bold_over_bare()", BOLD_TARGET),
    }
    growth = _bold_growth()
    print(f"bold_growth: {growth:.1f} MB{verdict(growth, BOLD_MEMORY, at_most=True)}", flush=True)
    return {**results, "bold_growth_mb": growth}


def _ratio(call: str, target: float) -> float:
    ratio = in_process(f"parts.{call}")
    print(f"{call[:-2]}: {ratio:.2f}{verdict(ratio, target, at_most=True)}", flush=True)
    return ratio


def sra1_over_euler() -> float:
    """Time per step, 256 oscillators, 1,024 members, mean field, Gaussian noise."""
    model = tx.PhaseOscillators(
        tx.frequencies.gaussian(256, 0.0, 1.0), tx.MeanField(2.0), tx.WhiteNoise(0.05)
    )
    state = tx.init(model, key=jax.random.key(0), members=1024)
    return _slower(
        lambda steps: tx.simulate(model, state, dt=0.01, steps=steps, stepper=tx.SRA1()),
        lambda steps: tx.simulate(model, state, dt=0.01, steps=steps),
    )


def locking_over_bare() -> float:
    """`PhaseLocking` at every tenth step, 100 oscillators, 64 members, mean field, noise."""
    model = tx.PhaseOscillators(
        tx.frequencies.gaussian(100, 0.0, 1.0), tx.MeanField(2.0), tx.WhiteNoise(0.05)
    )
    state = tx.init(model, key=jax.random.key(0), members=64)
    monitors = {"locking": tx.PhaseLocking(every=10)}
    return _slower(
        lambda steps: tx.simulate(model, state, dt=0.01, steps=steps, monitors=monitors),
        lambda steps: tx.simulate(model, state, dt=0.01, steps=steps),
    )


def bold_over_bare() -> float:
    """`Bold` with its functional connectivity, 84 regions in a full network, one system."""
    model, state, monitors = _brain()
    return _slower(
        lambda steps: tx.simulate(model, state, dt=1e-3, steps=steps, monitors=monitors),
        lambda steps: tx.simulate(model, state, dt=1e-3, steps=steps),
    )


def _bold_growth() -> float:
    """Megabytes that 120,000 steps with `Bold` take beyond 24,000, by medians of processes."""
    peaks = [
        [in_process(f"parts.bold_peak({steps})") for _ in range(PROCESSES)]
        for steps in (24_000, 120_000)
    ]
    short, long = (float(np.median(found)) for found in peaks)
    return long - short


def bold_peak(steps: int) -> float:
    """The peak of this process, in megabytes, with such a run."""
    model, state, monitors = _brain()
    solution = tx.simulate(model, state, dt=1e-3, steps=steps, monitors=monitors)
    assert np.isfinite(np.asarray(solution.monitors["bold"].connectivity)).all()
    return peak()


@tx.readout
def activity(model, state):
    """What drives the blood flow of a region."""
    return jnp.cos(state.phase)


def _brain():
    random = np.random.default_rng(0)
    weights = random.exponential(size=(84, 84)) * (random.random((84, 84)) < 0.5)
    model = tx.PhaseOscillators(
        random.normal(60.0, 6.0, 84).astype(np.float32),
        tx.Dense(weights.astype(np.float32), 5.0, norm="in_degree"),
        tx.WhiteNoise(1.0),
    )
    return (
        model,
        tx.init(model, key=jax.random.key(0)),
        {"bold": tx.Bold(activity, repetition=2_000)},
    )


def _slower(one, other) -> float:
    """The time of one over that of the other, by medians."""

    def program(run):
        return lambda steps: np.asarray(jax.block_until_ready(run(steps)).state.phase)

    runs = {"one": program(one), "other": program(other)}
    found = interleaved(runs, rounds=ROUNDS, seconds=0.4, steps=None, report=lambda *_: None)
    per_step = {name: timing.median / timing.steps for name, timing in found.items()}
    return per_step["one"] / per_step["other"]
