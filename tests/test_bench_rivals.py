"""Every rival that is installed computes the problem that it is timed on."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import readme, rivals
from benchmarks.__main__ import STUDIES
from benchmarks.rivals import cpp
from tauax.bench.problem import Problem
from tauax.plots import bench as figures

# jitcsde leaves its folder to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
RIVALS = [importlib.import_module(name) for name in rivals.RIVALS]
ROOT = Path(__file__).parents[1]
STEPS, MEMBERS = 20, 6
CLOSE = 1e-3  # rad: float32 over 20 steps
# Libraries that choose their own steps have the end of the flow, which Euler misses by some dt/2.
ADAPTIVE = {"jitcsde": 1e-2, "kuramoto": 1e-2}


def weights(size: int) -> np.ndarray:
    """Directed and signed, with empty rows."""
    found = np.random.default_rng(3).normal(size=(size, size)) / size
    found[np.random.default_rng(4).random((size, size)) < 0.7] = 0.0
    found[5] = 0.0
    return found


NETWORKS = {"mean_field": lambda size: None, "network": weights}


@pytest.fixture(params=RIVALS, ids=lambda rival: rival.NAME)
def rival(request):
    missing = [name for name in request.param.NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    if request.param is cpp and cpp.compiler() is None:
        pytest.skip("there is no C++ compiler")
    return request.param


def side(rival, problem: Problem):
    found = rival.make(problem)
    if found is None:
        pytest.skip(f"{rival.NAME} does not do this problem")
    assert found.cores >= 1
    assert found.detail
    return found


def drift(problem: Problem, phase: np.ndarray) -> np.ndarray:
    wave = np.exp(1j * phase)
    if problem.weights is None:
        field = wave.mean(axis=-1, keepdims=True)
    else:
        field = wave @ problem.weights.T
    return problem.frequency + problem.strength * (field * wave.conj()).imag


def reference(problem: Problem, steps: int) -> np.ndarray:
    """The noiseless run in float64; SRA1 without noise is Ralston's method."""
    phase, dt = problem.phase.astype(np.float64), problem.dt
    for _ in range(steps):
        first = drift(problem, phase)
        if problem.method == "euler":
            phase = phase + dt * first
        elif problem.method == "heun":
            phase = phase + dt / 2 * (first + drift(problem, phase + dt * first))
        else:
            phase = phase + dt / 3 * (first + 2 * drift(problem, phase + 0.75 * dt * first))
    return phase


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.angle(np.exp(1j * (one.astype(np.float64) - other.astype(np.float64))))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [48, 33])
@pytest.mark.parametrize("method", ["euler", "heun", "sra1"])
def test_noiseless_end(rival, method, size, network):
    problem = Problem(size, MEMBERS, method=method, weights=NETWORKS[network](size))
    before = problem.phase.copy()
    run = side(rival, problem).run
    end = run(STEPS)
    assert end.shape == problem.phase.shape
    assert end.dtype == np.float32
    off = np.abs(apart(end, reference(problem, STEPS))).max()
    assert off < ADAPTIVE.get(rival.NAME, CLOSE)
    # Each run is from the start, which it leaves alone, and has as many steps as it is told.
    np.testing.assert_array_equal(problem.phase, before)
    for steps in (1, 2, 3):
        assert np.abs(apart(run(steps), reference(problem, steps))).max() < CLOSE
    assert np.abs(apart(run(STEPS), end)).max() < 1e-5


def test_the_limit_keeps_its_digits():
    if cpp.compiler() is None:
        pytest.skip("there is no C++ compiler")
    for size in (48, 256):
        problem = Problem(size, 19)
        off = apart(cpp.make(problem).run(100), reference(problem, 100))
        assert np.abs(off).max() < 1e-4


@pytest.mark.parametrize("method", ["euler", "heun", "sra1"])
@pytest.mark.parametrize("law", ["normal", "two_point"])
def test_noise(rival, law, method):
    """Without a coupling the phases are ω·t and the sum of the increments."""
    problem = Problem(80, 50, noise=law, method=method, strength=0.0, intensity=0.5)
    run = side(rival, problem).run
    drifted = problem.phase + problem.frequency * np.float32(problem.dt)
    one = apart(run(1), drifted) / problem.kick
    if law == "two_point":
        np.testing.assert_allclose(np.abs(one), 1.0, atol=1e-4)
    check_law(one, fourth=1.0 if law == "two_point" else 3.0)
    drifted = problem.phase + problem.frequency * np.float32(8 * problem.dt)
    eight = apart(run(8), drifted) / problem.kick / np.sqrt(8.0)
    check_law(eight, fourth=3.0 - 2.0 / 8.0 if law == "two_point" else 3.0)


def check_law(z: np.ndarray, fourth: float) -> None:
    """Means, variance and fourth moment, and no correlation of neighbours or members."""
    n = z.size
    assert abs(z.mean()) < 5.0 / np.sqrt(n)
    # Standard errors: √((μ4 − 1)/n) of the variance, at most √(96/n) of the fourth moment.
    assert abs(z.var() - 1.0) < 5.0 * np.sqrt(max(fourth - 1.0, 0.05) / n)
    assert abs((z**4).mean() - fourth) < 5.0 * np.sqrt(96.0 / n)
    flat, turned = z.ravel(), z.T.ravel()
    size = z.shape[1]
    for lag in (1, 2, size // 2, size):
        for row in (flat, turned):
            assert abs(np.mean(row[lag:] * row[:-lag])) < 5.0 / np.sqrt(n - lag)
    between = z @ z.T / size
    np.fill_diagonal(between, 0.0)
    assert np.abs(between).max() < 6.0 / np.sqrt(size)


def test_names_are_their_own():
    names = [rival.NAME for rival in RIVALS]
    assert len(set(names)) == len(names)


def test_readme_is_the_newest_result():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in readme.table(readme.newest()):
        assert line in text


def test_figures_of_the_newest_result(tmp_path):
    pytest.importorskip("matplotlib")
    results = readme.newest()
    figures.rates(results, tmp_path / "rates.png")
    figures.scaling(results["studies"]["scaling"], tmp_path / "scaling.png")
    figures.roofline(results, tmp_path / "roofline.png")
    assert all(path.stat().st_size > 20_000 for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match="tauax bench"):
        figures.rates({"workloads": {}})


def test_the_command_knows_every_rival_and_study():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    folder = ROOT / "benchmarks" / "studies"
    studies = {path.stem for path in folder.glob("*.py") if "def measure()" in path.read_text()}
    assert studies == set(STUDIES)
    assert all(name in done.stdout for name in studies)
    modules = {path.stem for path in (ROOT / "benchmarks" / "rivals").glob("*.py")}
    helpers = {"__init__", "numba_kernels", "numba_by_hand_kernels"}
    assert {name.rpartition(".")[2] for name in rivals.RIVALS} == modules - helpers
