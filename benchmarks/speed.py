"""Oscillator-steps per second of the mean field against numpy and the obvious JAX program.

Each program computes the same model: Euler(-Maruyama), float32, K = 2, Gaussian frequencies. All
are warmed up first, then timed in interleaved rounds; a ratio is that of the medians. Accuracy is
checked before anything is timed: same noiseless end state to 1e-3, same spread of the noise.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import tauax as tx
from benchmarks.timing import Program, interleaved, timed, verdict
from tauax import baselines

DT, STRENGTH, INTENSITY = 0.01, 2.0, 0.05
ROUNDS = 7


@dataclass(frozen=True)
class Workload:
    """So many oscillators and members; what ours must reach against each rival."""

    size: int
    members: int
    noisy: bool
    targets: dict[str, float]

    @property
    def name(self) -> str:
        """Such as 256x1024-gaussian."""
        return f"{self.size}x{self.members}-{'gaussian' if self.noisy else 'noiseless'}"


WORKLOADS = (
    Workload(256, 1024, False, {"numpy": 4.0, "obvious_jax": 11.0}),
    Workload(256, 1024, True, {"numpy": 6.0, "obvious_jax": 8.0}),
    Workload(4, 10_000, False, {"numpy": 1.5}),
    Workload(16, 4_096, False, {"numpy": 1.5}),
)


def measure() -> dict:
    """Rates in 10⁶ oscillator-steps per second and the ratios ours/rival, by workload."""
    return {workload.name: _measure(workload) for workload in WORKLOADS}


def _measure(workload: Workload) -> dict:
    programs = {"tauax": _ours(workload), "obvious_jax": _obvious(workload)}
    programs["numpy"] = _best_numpy(workload)
    _check(workload, programs)
    seconds = interleaved(programs, ROUNDS)
    updates = workload.size * workload.members / 1e6
    rates = {name: updates / float(np.median(s)) for name, s in seconds.items()}
    spread = {name: [updates / max(s), updates / min(s)] for name, s in seconds.items()}
    ratios = {rival: rates["tauax"] / rates[rival] for rival in rates if rival != "tauax"}
    print(workload.name, {name: round(rate) for name, rate in rates.items()})
    for rival, ratio in ratios.items():
        print(f"  {ratio:.2f} × {rival}{verdict(ratio, workload.targets.get(rival))}", flush=True)
    return {
        "rate": rates,
        "spread": spread,
        "ratio": ratios,
        "target": workload.targets,
        "rounds": ROUNDS,
    }


def _frequency(workload: Workload) -> np.ndarray:
    return np.asarray(tx.frequencies.gaussian(workload.size, 0.0, 1.0))


def _initial(workload: Workload) -> np.ndarray:
    shape = (workload.members, workload.size)
    return np.random.default_rng(0).uniform(-np.pi, np.pi, shape).astype(np.float32)


def _ours(workload: Workload) -> Program:
    noise = tx.WhiteNoise(INTENSITY) if workload.noisy else None
    model = tx.PhaseOscillators(_frequency(workload), tx.MeanField(STRENGTH), noise)
    members = workload.members
    state = tx.init(model, key=jax.random.key(0), members=members, phase=_initial(workload))
    return lambda steps: np.asarray(tx.simulate(model, state, dt=DT, steps=steps).state.phase)


def _obvious(workload: Workload) -> Program:
    """lax.scan, jnp.sin and jnp.cos, jax.random.normal with a key split at every step."""

    @jax.jit(static_argnames="steps")
    def run(phase, frequency, key, steps):
        def body(carry, _):
            phase, key = carry
            sin, cos = jnp.sin(phase), jnp.cos(phase)
            mean_sin = sin.mean(axis=-1, keepdims=True)
            mean_cos = cos.mean(axis=-1, keepdims=True)
            drift = frequency + STRENGTH * (mean_sin * cos - mean_cos * sin)
            phase = phase + DT * drift
            if workload.noisy:
                key, now = jax.random.split(key)
                kick = jax.random.normal(now, phase.shape)
                phase = phase + jnp.sqrt(2 * INTENSITY * DT) * kick
            return (phase, key), None

        return jax.lax.scan(body, (phase, key), None, length=steps)[0][0]

    arguments = jnp.asarray(_initial(workload)), jnp.asarray(_frequency(workload))
    return lambda steps: np.asarray(run(*arguments, jax.random.key(0), steps))


def _best_numpy(workload: Workload) -> Program:
    """The fastest of the layouts: oscillators last or first, members in blocks or at once."""
    blocks = {max(1, 16_384 // workload.size), max(1, 65_536 // workload.size), workload.members}
    candidates = [
        _numpy(workload, axis, block)
        for axis in (-1, 0)
        for block in sorted(blocks)
        if block <= workload.members
    ]
    return min(candidates, key=lambda program: min(timed(program, 4) for _ in range(3)))


def _numpy(workload: Workload, axis: int, block: int) -> Program:
    initial, frequency = _initial(workload), _frequency(workload)
    shaped = frequency if axis == -1 else frequency[:, None]

    def run(steps: int) -> np.ndarray:
        generator = np.random.default_rng(1) if workload.noisy else None
        ends = []
        for begin in range(0, workload.members, block):
            rows = initial[begin : begin + block]
            phase = rows.copy() if axis == -1 else np.ascontiguousarray(rows.T)
            baselines.euler(
                phase,
                shaped,
                baselines.mean_field(STRENGTH, axis),
                dt=DT,
                steps=steps,
                intensity=INTENSITY,
                generator=generator,
            )
            ends.append(phase if axis == -1 else phase.T)
        return np.concatenate(ends)

    return run


def _check(workload: Workload, programs: dict[str, Program]) -> None:
    """Refuse to time programs that do not compute the same thing."""
    steps = 20
    ends = {name: program(steps) for name, program in programs.items()}
    if not workload.noisy:
        for name, end in ends.items():
            apart = np.abs(np.exp(1j * end) - np.exp(1j * ends["tauax"])).max()
            if apart > 1e-3:
                raise AssertionError(f"{name} ends {apart:.1e} from tauax")
        return
    # Σ of 20 increments has variance 2·D·20·dt; 10⁵ samples estimate it to 0.5 %.
    quiet = _ours(Workload(workload.size, workload.members, False, {}))(steps)
    for name, end in ends.items():
        variance = np.angle(np.exp(1j * (end - quiet))).var() / (2 * INTENSITY * steps * DT)
        if not 0.8 < variance < 1.2:
            raise AssertionError(f"{name} has {variance:.2f} of the noise that was asked for")
