"""The alpha rhythm is followed: the script runs on a made-up rhythm, and keeps its record."""

import json
import runpy
from dataclasses import asdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "tuning"
RATE = 125.0
QUICK = {
    "segments": 6,
    "batch": 6,
    "length": 3.0,
    "members": 4,
    "starts": 2,
    "spread": 0.5,
    "steps": 10,
    "strength_steps": 10,
    "horizons": (0.0, 0.1, 0.5),
    "forecasts": 8,
    "block": 1.0,
    "surrogates": 2,
}


@pytest.fixture(scope="module")
def rhythm():
    return runpy.run_path(str(SCRIPTS / "rhythm.py"))


def recording(seconds: float) -> np.ndarray:
    """A rhythm near 9.75 Hz whose phase diffuses, on a drift and a little noise."""
    draws = np.random.default_rng(0)
    steps = 2 * np.pi * 9.75 / RATE + np.sqrt(2 * 0.5 / RATE) * draws.normal(
        size=int(seconds * RATE)
    )
    slow = 3.0 * np.sin(np.arange(len(steps)) / RATE)
    return np.cos(np.cumsum(steps)) + slow + 0.3 * draws.normal(size=len(steps))


def test_the_recorded_outcome_keeps_what_it_promises(rhythm):
    outcome = json.loads((SCRIPTS / "rhythm.json").read_text())
    assert outcome["settings"] == json.loads(json.dumps(asdict(rhythm["Settings"]())))
    free = outcome["baselines"]["best_constant_frequency_in_hindsight"]
    for name in rhythm["DRIVES"]:
        found = outcome[name]["held_out"]
        # Far above what loses the phase, and above a drive that has nothing to do with it.
        assert found["learned"]["locking"] > 2 * free
        apart = found["learned"]["cos"] - found["drive_of_another_time"]["cos"]
        assert apart > 3 * found["learned"]["cos_error"]
        # The steps of the fit are short enough: a quarter of them changes less than the error.
        finer = found["finer_steps"]["cos"]
        assert abs(found["learned"]["cos"] - finer) < found["learned"]["cos_error"]
    assert (SCRIPTS / "rhythm.png").exists()


def test_a_made_up_rhythm_is_followed(rhythm, capsys):
    settings = rhythm["Settings"](**QUICK)
    known, held_out = rhythm["parts_of"](recording(30.0), RATE, settings)
    loss = rhythm["loss_of"](RATE, settings)
    found = rhythm["follow"]("causal", loss, known, held_out, RATE, settings)
    baselines = rhythm["baselines"](known, held_out, RATE, settings)
    assert "causal, all 10/10" in capsys.readouterr().out
    assert "NaN" not in json.dumps([found, baselines])
    losses = np.asarray(found["losses"])
    assert losses.shape == (2, 10)
    assert (losses[:, -3:].mean(1) < losses[:, :3].mean(1)).all()
    # A rhythm of diffusion 0.5 rad²/s lasts for seconds, so anything that locks is near 1.
    assert found["held_out"]["learned"]["cos"] > 0.8
    assert found["ahead"]["learned"]["resultant"][1] > 0.7
    assert baselines["linear"]["cos"] > 0.8


def test_the_causal_filter_knows_the_past_only(rhythm):
    settings, eeg = rhythm["Settings"](), recording(8.0)
    changed = eeg.copy()
    changed[500:] += 5.0
    one, other = (rhythm["resonance"](signal, RATE, settings) for signal in (eeg, changed))
    np.testing.assert_array_equal(one[:500], other[:500])
    assert (one[500:] != other[500:]).any()
    # Gain 1 and no lag at the centre, once it has swung in.
    pure = np.cos(2 * np.pi * settings.centre * np.arange(1000) / RATE)
    np.testing.assert_allclose(
        rhythm["resonance"](pure, RATE, settings)[500:], pure[500:], atol=1e-9
    )


def test_the_energy_score_is_the_double_sum(rhythm):
    """Against the definition in plain numpy, over all pairs of different members."""
    phase = np.random.default_rng(1).uniform(-np.pi, np.pi, (5, 7, 3))
    target = np.random.default_rng(2).uniform(-np.pi, np.pi, (7, 3))
    trace = type("Trace", (), {"value": jnp.asarray(phase)})
    solution = type("Solution", (), {"monitors": {"phase": trace}})
    found = rhythm["EnergyScore"](jnp.asarray(target))(solution, True)
    points, goal = np.exp(1j * phase), np.exp(1j * target)
    pairs = [abs(points[m] - points[n]).mean() for m in range(5) for n in range(5) if m != n]
    wanted = abs(points - goal).mean() - 0.5 * np.mean(pairs)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)  # float32, and sums of a hundred
    assert np.isfinite(jax.grad(rhythm["chord"])(0.0))


def test_surrogates_keep_the_spectrum_alone(rhythm):
    eeg = recording(8.0)
    found = rhythm["surrogates"](eeg, 3, 0)
    for one in found:
        np.testing.assert_allclose(
            abs(np.fft.rfft(one)), abs(np.fft.rfft(eeg)), atol=1e-8 * len(eeg)
        )
    assert abs(np.corrcoef(found[0], found[1])[0, 1]) < 0.99


@pytest.mark.parametrize(
    ("given", "said"), [(None, "pass --data"), (Path("nowhere.npz"), "which is no file")]
)
def test_without_the_recording_it_says_so(rhythm, given, said):
    with pytest.raises(SystemExit, match=said):
        rhythm["read"](given)
