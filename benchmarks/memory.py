"""Growth of a process' memory, each run in a process of its own.

Growth is the rise of the high-water mark of the process.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

MEGABYTE = 2**20


def measure() -> dict:
    """Megabytes by workload."""
    results = {}
    for steps in (10_000, 100_000, 1_000_000):
        results[f"moments-16x256-{steps}"] = _in_process(f"moments({steps})")
    results["dense-2000x64-beyond-weights"] = _in_process("dense()")
    return results


def _in_process(call: str) -> float:
    program = f"from benchmarks import memory; memory.report(memory.{call})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    growth = json.loads(done.stdout.splitlines()[-1])
    print(f"{call}: {growth:.1f} MB", flush=True)
    return growth


def report(growth: float) -> None:
    """Print a figure for the parent process."""
    print(json.dumps(growth))


def peak() -> float:
    """High-water mark of this process in megabytes.

    Linux hands the mark of `getrusage` down to child processes; that of its own memory map is new.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE


def moments(steps: int) -> float:
    """So many noisy steps of 256 members with `Moments`, over a compiled run of ten steps."""
    import jax

    import tauax as tx

    model = tx.PhaseOscillators(
        tx.frequencies.gaussian(16, 0.0, 1.0), tx.MeanField(2.0), tx.WhiteNoise(0.05)
    )
    state = tx.init(model, key=jax.random.key(0), members=256)
    monitors = {"r": tx.Moments(tx.coherence)}
    tx.simulate(model, state, dt=0.01, steps=10, monitors=monitors)
    before = peak()
    tx.simulate(model, state, dt=0.01, steps=steps, monitors=monitors)
    return peak() - before


def dense() -> float:
    """2,000 oscillators, 64 members, a full weight matrix: the first run, compilation included."""
    import jax
    import jax.numpy as jnp

    import tauax as tx

    size = 2_000
    weights = jax.random.uniform(jax.random.key(1), (size, size)) / size
    jnp.sin(weights[0]).block_until_ready()
    before = peak()
    model = tx.PhaseOscillators(jnp.zeros(size), tx.Dense(weights), tx.WhiteNoise(0.05))
    state = tx.init(model, key=jax.random.key(0), members=64)
    tx.simulate(model, state, dt=0.01, steps=10)
    return peak() - before
