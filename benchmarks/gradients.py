"""Derivatives of a noisy run against those of the obvious JAX program: time and memory.

256 oscillators, 64 members, 1,024 steps, float32, Gaussian noise; the derivative of the mean order
parameter by the coupling strength and all frequencies. Values and derivatives are checked against
each other before anything is timed.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

import tauax as tx
from benchmarks.children import in_process
from benchmarks.memory import peak
from benchmarks.timing import verdict

SIZE, MEMBERS, STEPS, DT = 256, 64, 1_024, 0.01
STRENGTH, INTENSITY = 2.0, 0.05
ROUNDS = 9
LONG = 100_000
ADJOINTS = {"segments": tx.Segments(), "sweep": tx.Sweep(), "full_tape": tx.FullTape()}
FASTER, SMALLER, GROWTH = 7.0, 20.0, 1_000.0
OVER_FORWARD = {"segments": 3.0, "sweep": 2.0}


def measure() -> dict:
    """Seconds, ratios of medians, temporary megabytes, and the growth over a long run."""
    programs = {"forward": _compiled(_ours(None)), "obvious": _compiled(_with_gradient(_obvious))}
    for name, adjoint in ADJOINTS.items():
        programs[name] = _compiled(_with_gradient(_ours(adjoint)))
    _check(programs)
    seconds = {name: float(np.median(found)) for name, found in _timed(programs).items()}
    temporary = {
        name: program.memory_analysis().temp_size_in_bytes / 1e6
        for name, program in programs.items()
    }
    results: dict = {"seconds": seconds, "temporary_mb": temporary, "over_forward": {}}
    faster = seconds["obvious"] / seconds["segments"]
    smaller = temporary["obvious"] / temporary["segments"]
    print(f"segments: {faster:.1f} × the obvious gradient{verdict(faster, FASTER)}")
    print(f"  in 1/{smaller:.0f} of its memory{verdict(smaller, SMALLER)}")
    for name in ADJOINTS:
        ratio = seconds[name] / seconds["forward"]
        results["over_forward"][name] = ratio
        asked = verdict(ratio, OVER_FORWARD.get(name), at_most=True)
        print(f"{name}: {ratio:.2f} × the run itself{asked}", flush=True)
    growth = in_process("gradients.long()")
    print(f"{LONG} steps: {growth:.0f} MB{verdict(growth, GROWTH, at_most=True)}", flush=True)
    return {**results, "faster": faster, "smaller": smaller, "long_growth_mb": growth}


def long() -> float:
    """Megabytes by which this process grows for the gradient of a long run, compiled before."""
    gradient = _with_gradient(_ours(None, LONG))
    short = _with_gradient(_ours(None, 100))
    jax.block_until_ready(jax.jit(short)(_numbers()))
    program = jax.jit(gradient).lower(_numbers()).compile()
    before = peak()
    value, slopes = jax.block_until_ready(program(_numbers()))
    assert np.isfinite(value) and all(np.isfinite(slope).all() for slope in slopes)
    return peak() - before


def _numbers() -> tuple[jax.Array, jax.Array]:
    return jnp.float32(STRENGTH), jnp.asarray(tx.frequencies.gaussian(SIZE, 0.0, 1.0))


def _phases() -> np.ndarray:
    random = np.random.default_rng(0)
    return random.uniform(-np.pi, np.pi, (MEMBERS, SIZE)).astype(np.float32)


def _ours(adjoint: tx.AbstractAdjoint | None, steps: int = STEPS):
    phases, key = _phases(), jax.random.key(0)

    def loss(numbers) -> jax.Array:
        strength, frequency = numbers
        noise = tx.WhiteNoise(INTENSITY)
        model = tx.PhaseOscillators(frequency, tx.MeanField(strength), noise)
        state = tx.init(model, key=key, members=MEMBERS, phase=phases)
        monitors = {"r": tx.Moments(tx.coherence)}
        run = tx.simulate(
            model, state, dt=DT, steps=steps, monitors=monitors, adjoint=adjoint, throw=False
        )
        return run.monitors["r"].mean.mean()

    return loss


def _obvious(numbers) -> jax.Array:
    """lax.scan, jnp.sin and jnp.cos, jax.random.normal with a key split at every step."""
    strength, frequency = numbers

    def body(carry, _):
        phase, key = carry
        sin, cos = jnp.sin(phase), jnp.cos(phase)
        mean_sin, mean_cos = (x.mean(axis=-1, keepdims=True) for x in (sin, cos))
        coherence = jnp.sqrt(mean_sin**2 + mean_cos**2).mean()
        drift = frequency + strength * (mean_sin * cos - mean_cos * sin)
        key, now = jax.random.split(key)
        kick = jax.random.normal(now, phase.shape)
        return (phase + DT * drift + jnp.sqrt(2 * INTENSITY * DT) * kick, key), coherence

    start = jnp.asarray(_phases()), jax.random.key(0)
    return jax.lax.scan(body, start, None, length=STEPS)[1].mean()


def _with_gradient(loss):
    return jax.value_and_grad(loss)


def _compiled(function):
    return jax.jit(function).lower(_numbers()).compile()


def _check(programs) -> None:
    """Refuse to time programs that do not compute the same thing."""
    found = {name: program(_numbers()) for name, program in programs.items() if name != "forward"}
    value, slopes = found["full_tape"]
    for name, (other, others) in found.items():
        # The obvious program has other noise: 64 members have their means to some hundredths.
        close = 0.3 if name == "obvious" else 1e-3
        apart = max(abs(float(other - value)), abs(float(others[0] - slopes[0])))
        if not apart < close:
            raise AssertionError(f"{name} is {apart:.1e} from the full tape")


def _timed(programs) -> dict[str, list[float]]:
    """Seconds of a call, in interleaved rounds."""
    numbers, taken = _numbers(), {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            start = time.perf_counter()
            jax.block_until_ready(program(numbers))
            taken[name].append(time.perf_counter() - start)
    return taken
