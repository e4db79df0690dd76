"""Seconds to import and to compile, from the persistent cache too; microseconds of one step."""

import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.studies.children import in_process
from benchmarks.studies.verdict import verdict

COMPILE, CACHED, PROCESSES = 3.0, 0.3, 3
# The documented switch: keep every program, however quickly it compiled.
CACHE = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def measure() -> dict:
    """Medians of some processes, in seconds; the step in microseconds."""
    results = {
        "import_seconds": _median([in_process("costs.imported()") for _ in range(PROCESSES)])
    }
    with tempfile.TemporaryDirectory() as folder:
        environment = {**CACHE, "JAX_COMPILATION_CACHE_DIR": folder}
        in_process("costs.begun()", environment=environment)
        if not any(Path(folder).iterdir()):
            raise AssertionError("nothing was written to the compilation cache")
        for name, where in (("", None), ("cached_", environment)):
            found = [in_process("costs.begun()", environment=where) for _ in range(PROCESSES)]
            for part in found[0]:
                results[f"{name}{part}_seconds"] = _median([one[part] for one in found])
    results |= in_process("costs.step()")
    targets = {"compile_seconds": COMPILE, "cached_compile_seconds": CACHED}
    for name, value in results.items():
        asked = verdict(value, targets.get(name), at_most=True)
        print(f"{name}: {value:.3g}{asked}", flush=True)
    return results


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def imported() -> float:
    """`import tauax` with the names of a run, jax included."""
    start = time.perf_counter()
    import tauax as tx

    assert tx.simulate and tx.PhaseOscillators
    return time.perf_counter() - start


def begun() -> dict[str, float]:
    """The documented example for the first time: all of it, and its parts.

    `init` makes the state, `trace` builds the program in Python, `compile` is XLA's part or, with a
    cache, reading it; `first_run` is what the first run takes longer than the second, `init`
    included. Refuses a second compilation for other numbers.
    """
    import jax
    import jax.numpy as jnp

    import tauax as tx
    from tauax import _programs

    jnp.zeros(3).block_until_ready()
    monitors = {"r": tx.Moments(tx.coherence), "phase": tx.Trace(tx.phase, every=10)}

    def parts(strength: float, intensity: float):
        model = tx.PhaseOscillators(
            frequency=tx.frequencies.lorentzian(256, centre=0.0, width=0.5),
            coupling=tx.MeanField(strength=strength, lag=0.0),
            noise=tx.WhiteNoise(intensity=intensity),
        )
        return model, jax.block_until_ready(tx.init(model, key=jax.random.key(0), members=256))

    def run(model, state, dt: float) -> None:
        stepper = tx.Heun()
        found = tx.simulate(model, state, dt=dt, steps=100, stepper=stepper, monitors=monitors)
        found.state.phase.block_until_ready()

    times = [time.perf_counter()]
    model, state = parts(2.0, 0.05)
    times.append(time.perf_counter())
    arguments = (model, state, jnp.float32(0.01), 100, tx.Heun(), monitors, tx.Segments())
    lowered = _programs.simulate.lower(*arguments)
    times.append(time.perf_counter())
    lowered.compile()
    times.append(time.perf_counter())
    run(model, state, 0.01)
    for strength, intensity, dt in ((1.0, 0.1, 0.02), (3, 0, 0.005)):
        run(*parts(strength, intensity), dt)
    if (programs := _programs.simulate.outer._cache_size()) != 1:
        raise AssertionError(f"{programs} programs for one model with other numbers")
    init, trace, compile = (b - a for a, b in pairwise(times))
    return {"init": init, "trace": trace, "compile": compile, "first_run": times[-1] - times[0]}


def step(calls: int = 200) -> dict[str, float]:
    """Microseconds a call in a loop of `jax.jit(tx.step)` and of `tx.step`, 16 oscillators."""
    import jax
    import numpy as np

    import tauax as tx

    model = tx.PhaseOscillators(
        tx.frequencies.gaussian(16, 0.0, 1.0), tx.MeanField(2.0), tx.WhiteNoise(0.05)
    )
    results = {}
    plain = partial(tx.step, dt=0.01)
    for name, one in (("jitted_step_us", jax.jit(plain)), ("plain_step_us", plain)):
        state = one(model, tx.init(model, key=jax.random.key(0)))
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(calls):
                state = one(model, state)
            state.phase.block_until_ready()
            seconds.append((time.perf_counter() - start) / calls)
        results[name] = float(np.median(seconds)) * 1e6
    return results
