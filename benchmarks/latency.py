"""Seconds to compile, whether changed numbers compile again, microseconds of one jitted step."""

import time
from functools import partial

import jax
import numpy as np

import tauax as tx
from tauax import _programs


def measure() -> dict:
    """Compilation of the documented run, programs compiled in all, and the cost of `tx.step`."""
    results = {"compile_seconds": _compile(), **_step()}
    for name, value in results.items():
        print(f"{name}: {value:.3g}")
    return results


def _run(strength: float, intensity: float, dt: float):
    model = tx.PhaseOscillators(
        frequency=tx.frequencies.lorentzian(256, centre=0.0, width=0.5),
        coupling=tx.MeanField(strength=strength, lag=0.0),
        noise=tx.WhiteNoise(intensity=intensity),
    )
    state = tx.init(model, key=jax.random.key(0), members=256)
    return tx.simulate(
        model,
        state,
        dt=dt,
        steps=100,
        stepper=tx.Heun(),
        monitors={"r": tx.Moments(tx.coherence), "phase": tx.Trace(tx.phase, every=10)},
    )


def _compile() -> float:
    """First run minus second run of the documented example; refuses a second compilation."""
    seconds, earlier = [], _programs.simulate._cache_size()
    for strength, intensity, dt in ((2.0, 0.05, 0.01), (1.0, 0.1, 0.02), (3, 0, 0.005)):
        start = time.perf_counter()
        _run(strength, intensity, dt).state.phase.block_until_ready()
        seconds.append(time.perf_counter() - start)
    compiled = _programs.simulate._cache_size() - earlier
    if compiled != 1:
        raise AssertionError(f"{compiled} programs for one model with other numbers")
    return seconds[0] - seconds[1]


def _step(calls: int = 200) -> dict[str, float]:
    """Microseconds a call in a loop of `jax.jit(tx.step)` and of `tx.step`, 16 oscillators."""
    model = tx.PhaseOscillators(
        tx.frequencies.gaussian(16, 0.0, 1.0), tx.MeanField(2.0), tx.WhiteNoise(0.05)
    )
    results = {}
    plain = partial(tx.step, dt=0.01)
    for name, step in (("jitted_step_us", jax.jit(plain)), ("plain_step_us", plain)):
        state = step(model, tx.init(model, key=jax.random.key(0)))
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            for _ in range(calls):
                state = step(model, state)
            state.phase.block_until_ready()
            seconds.append((time.perf_counter() - start) / calls)
        results[name] = float(np.median(seconds)) * 1e6
    return results
