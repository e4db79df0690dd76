"""What a step costs beside its arithmetic: 10² to 10⁶ oscillators, unrolled, loops as one.

The mean field of 100 oscillators, Euler, float32. On a GPU the kernels of every step are launched
one by one unless XLA puts them into a command buffer, a CUDA graph, which it can be told to do for
the loop as a whole, or never; on a CPU they are called one by one unless it is told to compile the
loop as one function, of one thread. The share of the memory's limit is the time that 8 bytes per
oscillator take at the rate of `a + b` of large arrays on the same device, over that of the step.
"""

import os
from functools import partial

import numpy as np

from benchmarks.studies.children import in_process
from tauax import doctor

OSCILLATORS, ROUNDS = 100, 7
SIZES = (10**2, 10**3, 10**4, 10**5, 10**6)
WORK = 2 * 10**8  # oscillator-steps of a run
_FLAG = "--xla_gpu_enable_command_buffer="
BUFFERS = {"default": None, "never": _FLAG, "loop": f"{_FLAG}+WHILE,+CONDITIONAL"}
UNROLLED = (1, 4, 16)
_EXTRA = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold"
FUNCTIONS = {"default": None, "one_function": f"{_EXTRA}={2**40}"}


def measure() -> dict:
    """Microseconds of a step by size, law and unrolling, and what that is of the memory's limit.

    Not unrolled on a CPU.
    """
    import jax

    gpu = jax.devices()[0].platform == "gpu"
    loops, unrolled = (BUFFERS, UNROLLED) if gpu else (FUNCTIONS, (1,))
    bandwidth = in_process("launches.triad()")
    results = {"triad_gbytes": bandwidth}
    for name, flag in loops.items():
        flags = " ".join(filter(None, (os.environ.get("XLA_FLAGS"), flag)))
        for size in SIZES:
            for law in ("noiseless", "gaussian"):
                call = f"launches.steps({size}, {law == 'gaussian'}, {unrolled})"
                found = in_process(call, doctor.cores(), {"XLA_FLAGS": flags})
                found["of_memory"] = 8e-3 * size / bandwidth / found["unroll_1_us"]
                for what, value in found.items():
                    key = f"{law}_{size}_{name}_{what}"
                    results[key] = value
                    print(f"{key}: {value:.3g}", flush=True)
    return results


def steps(size: int, noisy: bool, unrolled: tuple[int, ...]) -> dict[str, float]:
    """Microseconds of a step, for each unrolling."""
    return {f"unroll_{count}_us": step(size, noisy, count) for count in unrolled}


def step(size: int, noisy: bool, unroll: int) -> float:
    """Microseconds of a step in a scan of `tx.step`."""
    import jax

    import tauax as tx
    from tauax.bench.timing import timed

    frequency = tx.frequencies.gaussian(OSCILLATORS, 0.0, 1.0)
    noise = tx.WhiteNoise(0.05) if noisy else None
    model = tx.PhaseOscillators(frequency, tx.MeanField(2.0), noise)
    state = tx.init(model, key=jax.random.key(0), members=size // OSCILLATORS)
    steps = min(WORK // size, 20_000) // unroll * unroll

    @partial(jax.jit, compiler_options=tx.compiler_options())
    def run(state):
        def one(state, _):
            return tx.step(model, state, dt=0.01), None

        return jax.lax.scan(one, state, length=steps, unroll=unroll)[0].phase

    run(state).block_until_ready()
    seconds = [timed(lambda _: np.asarray(run(state)), steps) for _ in range(ROUNDS)]
    jax.clear_caches()
    return 1e6 * float(np.median(seconds)) / steps


def triad(length: int = 2**25) -> float:
    """10⁹ bytes per second of a + b, arrays beyond every cache, on the device."""
    import jax
    import jax.numpy as jnp

    from tauax.bench.timing import timed

    a, b = jnp.ones(length), jnp.ones(length)
    add = jax.jit(jnp.add)
    add(a, b).block_until_ready()
    return 12e-9 * length / min(timed(lambda _: add(a, b).block_until_ready(), 1) for _ in range(7))
