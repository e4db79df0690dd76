"""The tuning scripts run, with few steps; what they reach is recorded beside them."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "tuning"


@pytest.fixture(scope="module")
def crystals():
    return runpy.run_path(str(SCRIPTS / "crystals.py"))


def test_the_recorded_outcome_keeps_what_it_promises():
    """Weights to 1 %, cuts to 0.01, in at most 300 steps and 60 s, as the median of ten starts."""
    outcome = json.loads((SCRIPTS / "crystals.json").read_text())
    found, settings = outcome["recover"], outcome["settings"]
    weights = np.abs(np.divide(found["weights"], settings["weights"]) - 1).max(axis=1)
    cuts = np.abs(np.subtract(found["cuts"], settings["cuts"])).max(axis=1)
    assert len(weights) == 10 and settings["steps"] <= 300
    assert np.median(weights) < 0.01 and np.median(cuts) < 0.01
    assert found["seconds"] < 60
    np.testing.assert_allclose(outcome["occupancy"]["found"], settings["shares"], atol=1e-3)
    assert outcome["adapt"]["relative_error"] < 0.01
    assert (SCRIPTS / "crystals.png").exists()


def test_recover_runs_and_descends(crystals):
    settings = crystals["Settings"](length=200, starts=2, steps=15)
    found = crystals["recover"](settings)
    losses = np.asarray(found["losses"])
    assert losses.shape == (2, 15)
    assert (losses[:, -1] < losses[:, 0]).all()
    weights = np.asarray(found["weights"])
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    assert (np.diff(found["cuts"], axis=1) > 0).all()
