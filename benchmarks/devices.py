"""What one CPU device per core brings over one device, each in a process of its own."""

import jax
import numpy as np

import tauax as tx
from benchmarks.children import in_process
from benchmarks.timing import interleaved, verdict

DT, ROUNDS, DEVICES, TARGET = 0.01, 5, 2, 1.4
REPETITIONS = 3


def _mean_field(size: int, noise: tx.WhiteNoise | None) -> tx.PhaseOscillators:
    return tx.PhaseOscillators(tx.frequencies.gaussian(size, 0.0, 1.0), tx.MeanField(2.0), noise)


def _network(weights) -> tx.PhaseOscillators:
    frequency = tx.frequencies.gaussian(weights.shape[0], 0.0, 1.0)
    return tx.PhaseOscillators(frequency, tx.coupling_from(weights))


WORKLOADS = {
    "256x1024-noiseless": (1024, lambda: _mean_field(256, None)),
    "256x1024-gaussian": (1024, lambda: _mean_field(256, tx.WhiteNoise(0.05))),
    "ieee57x256": (256, lambda: _network(tx.networks.ieee(57).weights)),
    "celegansx1024": (1024, lambda: _network(tx.networks.celegans().weights)),
}


def measure() -> dict:
    """Rates in 10⁶ oscillator-steps per second and their ratio, by workload."""
    results = {}
    for name in WORKLOADS:
        rates = {count: _median_rate(name, count) for count in (1, DEVICES)}
        ratio = rates[DEVICES] / rates[1]
        print(name, {count: round(rate) for count, rate in rates.items()})
        print(f"  {ratio:.2f} × one device{verdict(ratio, TARGET)}", flush=True)
        results[name] = {"rate": rates, "ratio": ratio}
    return results


def _median_rate(name: str, devices: int) -> float:
    runs = [in_process(f"devices.rate({name!r})", devices) for _ in range(REPETITIONS)]
    return float(np.median(runs))


def rate(name: str) -> float:
    """The speed on all devices of this process."""
    members, make = WORKLOADS[name]
    model = make()
    mesh = tx.device_mesh() if len(jax.devices()) > 1 else None
    state = tx.init(model, key=jax.random.key(0), members=members, mesh=mesh)

    def run(steps: int) -> np.ndarray:
        return np.asarray(tx.simulate(model, state, dt=DT, steps=steps).state.phase)

    seconds = interleaved({"tauax": run}, ROUNDS)["tauax"]
    return model.size * members / 1e6 / float(np.median(seconds))
