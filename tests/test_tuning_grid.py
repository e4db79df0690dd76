"""The tuning script of the grid runs, with few steps; what it reached is recorded beside it."""

import json
import runpy
from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np
import pytest

import tauax as tx

SCRIPTS = Path(__file__).parents[1] / "tuning"


@pytest.fixture(scope="module")
def grid():
    return runpy.run_path(str(SCRIPTS / "grid.py"))


@pytest.fixture(scope="module")
def recorded():
    return json.loads((SCRIPTS / "grid.json").read_text())


def test_the_recorded_outcome_is_of_the_script(grid, recorded):
    settings = json.loads(json.dumps(asdict(grid["Settings"]())))
    assert recorded["settings"] == settings
    assert recorded["seconds"] < 600
    assert (SCRIPTS / "grid.png").exists()
    true = np.asarray(recorded["recover"][0]["true"])
    weights = tx.networks.ieee(39).weights
    np.testing.assert_allclose(np.sort(true), np.sort(weights[np.triu(weights) > 0]))
    for study in recorded["recover"]:
        assert len(study["runs"]) == settings["realisations"]
        for run, found in zip(study["runs"], study["found"], strict=True):
            error = np.abs(np.divide(found["descent"], true) - 1)
            assert run["descent"]["median_relative_error"] == pytest.approx(np.median(error))
            assert run["descent"]["worst_relative_error"] == pytest.approx(error.max())


def test_the_recorded_outcome_keeps_what_it_promises(recorded):
    """Better than both regressions, on every line and held-out phase that is counted."""
    for study in recorded["recover"]:
        for run in study["runs"]:
            for other in ("linear", "linear_in_sines"):
                for figure in ("median_relative_error", "held_out_phase_error"):
                    assert run["descent"][figure] < 0.5 * run[other][figure]


def test_estimates_without_noise(grid):
    """Regression on sines is exact at rest, and the steps to rest are those of the equation."""
    settings = grid["Settings"]()
    with jax.enable_x64(True):
        network = tx.networks.ieee(39)
        lines = grid["Lines"].of(network)
        true = lines.of_matrix(network.weights)
        np.testing.assert_allclose(lines.matrix(true), network.weights)
        # The fixed point that the shipped case comes with: 6 s of the slowest mode, e^−32.
        phase = grid["at_rest"](lines, true, network.power[None], settings)
        np.testing.assert_allclose(phase[0], network.angle, atol=1e-8)
        power = grid["injections"](settings, 4, 0)
        np.testing.assert_allclose(power.sum(axis=1), 0.0, atol=1e-12)
        phase = grid["at_rest"](lines, true, power, settings)
        found = grid["regressed"](lines, power, phase, np.sin)
    np.testing.assert_allclose(found, true, rtol=1e-6)


def test_the_response_is_the_derivative_of_the_phases(grid):
    """Against phases at rest by Newton's method, for lines changed by a part of 1e-5."""
    network = tx.networks.ieee(9)
    lines = grid["Lines"].of(network)
    true = lines.of_matrix(network.weights)
    incidence = lines.incidence

    def rest(strengths):
        phase = np.zeros(9)
        for _ in range(20):
            across = incidence @ phase
            left = network.power - incidence.T @ (strengths * np.sin(across))
            stiffness = (incidence.T * (strengths * np.cos(across))) @ incidence
            phase = phase + np.linalg.pinv(stiffness, hermitian=True) @ left
        return phase

    changes = 1e-5 * np.diag(true)
    columns = [
        (rest(true + change) - rest(true - change)) / (2 * change.sum()) for change in changes
    ]
    found = grid["response"](lines, true, rest(true))
    # Central differences: 1e-16/1e-5 of rounding, (1e-5)² of curvature.
    np.testing.assert_allclose(found, np.stack(columns, axis=1), atol=1e-9)


def test_recover_runs_and_descends(grid):
    settings = grid["Settings"](
        noises=(0.01,), realisations=1, patterns=4, held_out=2, length=60, steps=12
    )
    with jax.enable_x64(True):
        found = grid["recover"](settings, 0.01)
    losses = np.asarray(found["losses"][0])
    assert losses.shape == (12,)
    assert losses[-1] < 0.5 * losses[0]
    assert np.isfinite(found["found"][0]["descent"]).all()
