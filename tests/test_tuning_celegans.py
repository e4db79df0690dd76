"""The tuning script of the worm runs, with few steps; what it reached is recorded beside it."""

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
def celegans():
    return runpy.run_path(str(SCRIPTS / "celegans.py"))


@pytest.fixture(scope="module")
def recorded():
    return json.loads((SCRIPTS / "celegans.json").read_text())


def test_the_recorded_outcome_is_of_the_script(celegans, recorded):
    settings = celegans["Settings"]()
    assert recorded["settings"] == json.loads(json.dumps(asdict(settings)))
    assert recorded["seconds"] < 600
    assert (SCRIPTS / "celegans.png").exists()
    target = celegans["target_of"](settings)
    np.testing.assert_allclose(recorded["target"], target, rtol=1e-3)  # four digits
    for name in celegans["MODELS"]:
        study = recorded[name]
        assert len(study["draws"]) == settings.draws
        for one in study["draws"]:
            found = np.asarray(one["held_out"]["course"])
            rms = np.sqrt(np.mean((found - target) ** 2))
            assert one["held_out"]["rms"] == pytest.approx(rms, rel=1e-2)  # four digits
            assert len(one["frequencies"]) == 280


def test_the_recorded_outcome_keeps_what_it_promises(recorded):
    """Only a strength that changes comes near the target, in members that no fit has seen."""
    baseline = recorded["strength"]["rms"]
    assert recorded["both"]["rms"] < 0.25 * baseline
    assert recorded["schedule"]["rms"] < 0.25 * baseline
    assert recorded["frequencies"]["rms"] > 0.5 * baseline
    # What the truncated gradient says is the same for other members; that of the whole run is not.
    halves = {
        name: found["agreement_of_halves_for_the_strength"]
        for name, found in recorded["determined"].items()
    }
    assert halves["truncated"] > 0.9 > halves["whole_run"]


def test_the_target_rises_and_falls(celegans):
    settings = celegans["Settings"]()
    target = celegans["target_of"](settings)
    assert len(target) == settings.length // settings.every
    assert target[0] == pytest.approx(settings.floor)
    assert target.max() == pytest.approx(settings.peak)
    np.testing.assert_allclose(target[1:], target[:0:-1])  # symmetric about the middle


def test_the_schedule_reaches_every_level(celegans):
    """As a run of one strength as long as all levels are equal, to rounding."""
    settings = celegans["Settings"](length=24, held_out=2)
    plain = celegans["courses"](celegans["system"](settings, 0, False), settings, 1)
    model = celegans["system"](settings, 0, True)
    np.testing.assert_allclose(celegans["courses"](model, settings, 1), plain, atol=1e-5)
    np.testing.assert_allclose(model["strength"].times, np.arange(12) * 0.2, rtol=1e-6)


def test_errors_of_courses(celegans):
    """Members that scatter about the target: the error of the mean is their spread over √M."""
    random = np.random.default_rng(0)
    target = np.linspace(0.1, 0.7, 20)
    common = random.normal(0.0, 0.1, (64, 1))
    found = celegans["compared"](target + 0.3 + common, target)
    assert found["rms"] == pytest.approx(abs(0.3 + common.mean()))
    # The distance of one common shift is linear in it, for which the jackknife is exact.
    assert found["standard_error"] == pytest.approx(common.std(ddof=1) / 8, rel=1e-6)


def test_a_fit_runs_and_descends(celegans):
    settings = celegans["Settings"](length=30, levels=3, steps=12, members=4, held_out=4, draws=1)
    study = celegans["of_model"]("both", settings)
    losses = np.asarray(study["draws"][0]["losses"])
    assert losses.shape == (12,)
    assert np.isfinite(losses).all()
    # Four members scatter, by less than what is gained.
    assert losses[-4:].mean() < losses[:4].mean()


def test_what_is_determined(celegans):
    settings = celegans["Settings"](length=40, held_out=4)
    drawn = [celegans["system"](settings, draw, False).frequency.tolist() for draw in (0, 1)]
    changed = [(np.asarray(values) + 0.1 * np.arange(280) % 3).tolist() for values in drawn]
    study = {"draws": [{"strength": 2.0, "frequencies": values} for values in changed]}
    agreement = celegans["in_common"](study, settings)
    assert agreement["correlation_of_changes"] == pytest.approx(1.0, abs=1e-3)  # float32
    found = celegans["determined"](study, settings, tx.Segments())
    assert found["records"] == 2
    assert np.isfinite(found["singular_values"]).all()
    # Seen from a turning frame nothing changes.
    assert found["common_frequency_over_strength"] < 1e-3


def test_the_baseline_is_the_best_of_the_scan(celegans):
    """It is no worse on its own members than any strength of the grid."""
    settings = celegans["Settings"](length=60, levels=3, held_out=4, scanned=(0.5, 4.5, 5))
    best = celegans["scanned"](settings, 0)
    target = celegans["target_of"](settings)
    many = tx.vary(best, {"strength": (lambda m: m.coupling.strength, np.linspace(0.5, 4.5, 5))})
    # As in the script: each strength has members of its own.
    found = celegans["courses"](many, settings, 2_000).mean(axis=1)
    errors = ((found - target) ** 2).mean(axis=1)
    assert float(best.coupling.strength) == pytest.approx(0.5 + errors.argmin())


def test_new_members_are_not_those_of_the_fit(celegans):
    settings = celegans["Settings"](length=10, held_out=2)
    model = celegans["system"](settings, 0, False)
    one, other = (celegans["courses"](model, settings, seed) for seed in (1_000, 1_001))
    assert (one != other).all()
    assert tx.networks.celegans().size == model.size
    assert jax.numpy.isfinite(one).all()
