"""Oscillator-steps per second on networks against numpy, with its own matrices and scipy's.

Each program computes the same model: Euler, float32, no noise. Everything may use the same cores:
tauax with one CPU device per core and, for comparison, with one device.
"""

import numpy as np

import tauax as tx
from benchmarks.children import in_process
from benchmarks.timing import Program, interleaved, timed, verdict
from tauax import baselines

DT, ROUNDS, DEVICES = 0.01, 7, 2
WORKLOADS = {"ieee57": 256, "585-nodes": 256, "celegans": 1024}
TARGET = 1.0


def measure() -> dict:
    """Rates in 10⁶ oscillator-steps per second and ratios, by network."""
    results = {}
    for name, members in WORKLOADS.items():
        found = in_process(f"networks.compare({name!r}, {members})", DEVICES)
        rates, ratio = found["rate"], found["ratio"]
        print(f"{name} x{members}", {key: round(rate) for key, rate in rates.items()})
        for key, value in ratio.items():
            asked = TARGET if key == f"tauax_{DEVICES}_devices" else None
            print(f"  {key}: {value:.2f} × numpy{verdict(value, asked)}", flush=True)
        results[f"{name}-{members}"] = found
    return results


def compare(name: str, members: int) -> dict:
    """One network: the chosen coupling on one and on all devices, and the other coupling."""
    weights = _weights(name)
    size = weights.shape[0]
    frequency = np.random.default_rng(0).normal(size=size).astype(np.float32)
    phase = np.random.default_rng(1).uniform(-np.pi, np.pi, (members, size)).astype(np.float32)
    chosen = tx.coupling_from(weights)
    other = tx.Sparse.from_dense if isinstance(chosen, tx.Dense) else tx.Dense
    programs = {
        f"tauax_{DEVICES}_devices": _ours(chosen, frequency, phase, tx.device_mesh()),
        "tauax_1_device": _ours(chosen, frequency, phase, None),
        "other_coupling": _ours(other(weights), frequency, phase, None),
        "numpy": _best_numpy(weights, frequency, phase),
    }
    ends = {key: program(20) for key, program in programs.items()}
    for key, end in ends.items():
        apart = np.abs(np.exp(1j * end) - np.exp(1j * ends["numpy"])).max()
        if apart > 1e-2:
            raise AssertionError(f"{key} ends {apart:.1e} from numpy")
    seconds = interleaved(programs, ROUNDS)
    updates = size * members / 1e6
    rates = {key: updates / float(np.median(taken)) for key, taken in seconds.items()}
    ratios = {key: rate / rates["numpy"] for key, rate in rates.items() if key != "numpy"}
    return {"coupling": type(chosen).__name__, "rate": rates, "ratio": ratios}


def _weights(name: str) -> np.ndarray:
    if name == "ieee57":
        return np.asarray(tx.networks.ieee(57).weights)
    if name == "celegans":
        return np.asarray(tx.networks.celegans().weights)
    return _grid(585, 948)


def _grid(nodes: int, edges: int) -> np.ndarray:
    """A connected random graph as sparse as a transmission grid: a tree and short-cuts."""
    random = np.random.default_rng(2)
    weights = np.zeros((nodes, nodes))
    pairs = [(node, int(random.integers(max(0, node - 20), node))) for node in range(1, nodes)]
    while len(pairs) < edges:
        a, b = (int(end) for end in random.integers(0, nodes, 2))
        if a != b and (a, b) not in pairs and (b, a) not in pairs:
            pairs.append((a, b))
    for a, b in pairs:
        weights[a, b] = weights[b, a] = 1.0
    return weights


def _ours(coupling, frequency, phase, mesh):
    model = tx.PhaseOscillators(frequency, coupling)
    state = tx.init(model, phase=phase, members=len(phase), mesh=mesh)

    def run(steps: int) -> np.ndarray:
        return np.asarray(tx.simulate(model, state, dt=DT, steps=steps).state.phase)

    return run


def _best_numpy(weights: np.ndarray, frequency: np.ndarray, phase: np.ndarray) -> Program:
    """The fastest of numpy's dense product and scipy's sparse one in both layouts."""
    import scipy.sparse

    matrix = scipy.sparse.csr_array(weights.astype(np.float32))

    def program(torque, axis: int) -> Program:
        shaped = frequency if axis == -1 else frequency[:, None]

        def run(steps: int) -> np.ndarray:
            now = phase.copy() if axis == -1 else np.ascontiguousarray(phase.T)
            baselines.euler(now, shaped, torque, dt=DT, steps=steps)
            return now if axis == -1 else now.T

        return run

    programs = (
        program(baselines.dense(weights, 1.0), -1),
        program(baselines.sparse(matrix, -1), -1),
        program(baselines.sparse(matrix, 0), 0),
    )
    return min(programs, key=lambda one: min(timed(one, 4) for _ in range(3)))
