"""What one CPU device per core brings over one device, each in a process of its own."""

import jax
import numpy as np

import tauax as tx
from benchmarks.children import in_process
from benchmarks.timing import interleaved, verdict

SIZE, MEMBERS, DT, ROUNDS, DEVICES, TARGET = 256, 1024, 0.01, 5, 2, 1.4
REPETITIONS = 3


def measure() -> dict:
    """Rates in 10⁶ oscillator-steps per second and their ratio, without and with noise."""
    results = {}
    for noisy in (False, True):
        rates = {count: _median_rate(noisy, count) for count in (1, DEVICES)}
        ratio = rates[DEVICES] / rates[1]
        name = f"{SIZE}x{MEMBERS}-{'gaussian' if noisy else 'noiseless'}"
        print(name, {count: round(rate) for count, rate in rates.items()})
        print(f"  {ratio:.2f} × one device{verdict(ratio, TARGET)}", flush=True)
        results[name] = {"rate": rates, "ratio": ratio}
    return results


def _median_rate(noisy: bool, devices: int) -> float:
    runs = [in_process(f"devices.rate({noisy})", devices) for _ in range(REPETITIONS)]
    return float(np.median(runs))


def rate(noisy: bool) -> float:
    """The speed on all devices of this process."""
    noise = tx.WhiteNoise(0.05) if noisy else None
    model = tx.PhaseOscillators(tx.frequencies.gaussian(SIZE, 0.0, 1.0), tx.MeanField(2.0), noise)
    mesh = tx.device_mesh() if len(jax.devices()) > 1 else None
    state = tx.init(model, key=jax.random.key(0), members=MEMBERS, mesh=mesh)

    def run(steps: int) -> np.ndarray:
        return np.asarray(tx.simulate(model, state, dt=DT, steps=steps).state.phase)

    seconds = interleaved({"tauax": run}, ROUNDS)["tauax"]
    return SIZE * MEMBERS / 1e6 / float(np.median(seconds))
