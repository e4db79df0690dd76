"""Growth of a process' memory, each run in a process of its own.

Growth is the rise of the high-water mark of the process.
"""

import gc
import resource
import time
from pathlib import Path

from benchmarks.studies.children import in_process

MEGABYTE = 2**20


def measure() -> dict:
    """Megabytes by workload."""
    results = {}
    for steps in (10_000, 100_000, 1_000_000):
        results[f"moments-16x256-{steps}"] = _measured(f"moments({steps})")
    results["dense-2000x64-beyond-weights"] = _measured("dense()")
    results["gradient-100000-steps"] = _measured("gradient()")
    for kind in ("trace", "moments", "dense"):
        results[f"plan-{kind}"] = _planned(kind)
    return results


def _measured(call: str) -> float:
    growth = in_process(f"memory.{call}")
    print(f"{call}: {growth:.1f} MB", flush=True)
    return growth


def _planned(kind: str) -> dict[str, float]:
    """What `tx.plan` says of a run against what the run then takes."""
    found = in_process(f"memory.planned({kind!r})")
    error = found["planned_mb"] / found["taken_mb"] - 1.0
    print(
        f"plan of {kind}: {found['planned_mb']:.0f} MB, taken {found['taken_mb']:.0f} MB, error "
        f"{error:+.0%}; {found['planned_s']:.1f} s, taken {found['taken_s']:.1f} s",
        flush=True,
    )
    return {**found, "error": error}


def peak() -> float:
    """High-water mark of this process in megabytes.

    Linux hands the mark of `getrusage` down to child processes; that of its own memory map is new.
    """
    if Path("/proc/self/status").exists():
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE


def _status(name: str) -> float:
    """A line of /proc/self/status, in megabytes; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def _settled() -> float:
    """The megabytes of this process once no thread gives any back."""
    gc.collect()
    sizes = [0.0, _status("VmRSS")]
    while sizes[-1] != sizes[-2]:
        time.sleep(0.2)
        sizes.append(_status("VmRSS"))
    return sizes[-1]


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


def gradient(steps: int = 100_000) -> float:
    """The gradient through a long noisy run, 256 oscillators and 64 members, compiled before."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import tauax as tx

    def loss(strength, steps: int):
        model = tx.PhaseOscillators(
            tx.frequencies.gaussian(256, 0.0, 1.0), tx.MeanField(strength), tx.WhiteNoise(0.05)
        )
        state = tx.init(model, key=jax.random.key(0), members=64)
        monitors = {"r": tx.Moments(tx.coherence)}
        run = tx.simulate(model, state, dt=0.01, steps=steps, monitors=monitors, throw=False)
        return run.monitors["r"].mean.mean()

    program = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    strength = jnp.float32(2.0)
    jax.block_until_ready(program(strength, 100))
    compiled = program.lower(strength, steps).compile()
    before = peak()
    value, slope = jax.block_until_ready(compiled(strength))
    assert np.isfinite(value) and np.isfinite(slope)
    return peak() - before


def planned(kind: str) -> dict[str, float]:
    """Plan of a large run, and what it adds to the process with its compilation; Linux only."""
    import jax

    import tauax as tx

    size, members, steps, monitors = {
        "trace": (256, 2_048, 500, {"phase": tx.Trace(tx.phase, every=10)}),
        "moments": (256, 40_000, 20, {"phase": tx.Moments(tx.phase)}),
        "dense": (2_000, 4_000, 4, {}),
    }[kind]
    weights = jax.random.uniform(jax.random.key(1), (size, size)) / size
    coupling = tx.Dense(weights) if kind == "dense" else tx.MeanField(2.0)
    model = tx.PhaseOscillators(jax.numpy.zeros(size), coupling, tx.WhiteNoise(0.05))
    state = tx.init(model, key=jax.random.key(0), members=members)
    run = {"dt": 0.01, "steps": steps, "monitors": monitors}
    plan = tx.plan(model, state, **run)
    before = _settled()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    start = time.perf_counter()
    jax.block_until_ready(tx.simulate(model, state, **run))
    seconds = time.perf_counter() - start
    given = sum(leaf.nbytes for leaf in jax.tree.leaves((model, state)))
    return {
        "planned_mb": plan.bytes / 1e6,
        "taken_mb": (peak() - before) * MEGABYTE / 1e6 + given / 1e6,
        "planned_s": plan.seconds,
        "taken_s": seconds,
    }
