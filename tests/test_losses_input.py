"""Bad input of losses: every message says what was given, what was expected, and the remedy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_losses_levels import soft
from test_losses_use import FC, KEY, ORDER, STEPS, VARIED, simulated, system, wave, waves

import tauax as tx
from tauax import losses

ANGLES = np.zeros(4)
BANDS = tx.BandPower(waves, [(1.0, 2.0)], window=8)
BAD = {
    "r above 1": (lambda: losses.OrderParameter(70), r"target = 70; expected numbers in \[0, 1\]"),
    "r negative": (lambda: losses.OrderParameter(-0.1), "target = -0.1"),
    "r not finite": (lambda: losses.OrderParameter(np.nan), "target = nan"),
    "r of records": (lambda: losses.OrderParameter([0.1, 0.2]), r"shape \(2,\).*OrderParameterCou"),
    "course of one": (
        lambda: losses.OrderParameterCourse(0.5),
        r"\(\).*losses.OrderParameter\.",
    ),
    "course above": (lambda: losses.OrderParameterCourse([0.5, 2.0]), r"target\[1\] = 2"),
    "every": (lambda: losses.OrderParameter(0.5, every=0), "every=0"),
    "degrees": (lambda: losses.EndState([0.0, 90.0]), r"with 90; .*np.deg2rad.*np.angle"),
    "unwrapped": (lambda: losses.EndState([0.0, 7.0]), r"with 7; expected radians in \[−π, π\]"),
    "end not finite": (lambda: losses.EndState([0.0, np.inf]), "finite numbers"),
    "rotation": (lambda: losses.EndState([0.0], rotation=1), "rotation=1"),
    "correlation above": (lambda: losses.Connectivity(2 * FC, waves), r"target\[0, 0\] = 2"),
    "not symmetric": (
        lambda: losses.Connectivity(np.triu(FC), waves),
        r"target\[0, 1\] = 0.2 and .*target\[1, 0\] = 0; expected a symmetric matrix",
    ),
    "not square": (lambda: losses.Connectivity(FC[:2], waves), r"shape \(2, 4\); expected a squa"),
    "source": (lambda: losses.Connectivity(FC, jnp.sin), "source="),
    "distance": (lambda: losses.Connectivity(FC, waves, "cosine"), "distance='cosine'"),
    "same for all": (
        lambda: losses.Connectivity(FC, waves, "correlation"),
        "a target of 0.2 for each of 6 pairs",
    ),
    "pairs": (lambda: losses.Connectivity(FC, waves, pairs=np.triu(FC) > 0), "pairs of shape"),
    "pairs of others": (
        lambda: losses.Connectivity(FC, waves, pairs=np.ones((3, 3), bool)),
        r"pairs of shape \(3, 3\); expected shape \(4, 4\)",
    ),
    "no pairs": (lambda: losses.Connectivity(FC, waves, pairs=np.eye(4) > 0), "without a single"),
    "locking": (lambda: losses.PhaseLockingMatrix(-FC), r"target\[0, 0\] = -1"),
    "locking pairs": (
        lambda: losses.PhaseLockingMatrix(FC, np.ones((3, 3), bool)),
        r"pairs of shape \(3, 3\)",
    ),
    "entrainment": (lambda: losses.Entrainment(1.5, 1.0), "target = 1.5"),
    "turns": (lambda: losses.Entrainment(0.5, 1.0, turns=0), "turns=0"),
    "shares": (lambda: losses.Occupancy([0.5, 0.5, 0.5], wave), "sum 1.5; .*divide"),
    "two shares": (lambda: losses.Occupancy([0.5, 0.5], wave), r"shape \(2,\); .*shape \(3,\)"),
    "negative share": (lambda: losses.Occupancy([-0.5, 1.0, 0.5], wave), r"target\[0\] = -0.5"),
    "codes": (lambda: losses.Occupancy([0.5, 0.5], wave, codes=(1, 0)), r"codes=\(1, 0\)"),
    "readout": (lambda: losses.Occupancy([0.2, 0.5, 0.3], jnp.sin), "of readout="),
    "rate": (lambda: losses.TransitionRate(-1.0, wave), "finite numbers ≥ 0"),
    "rates": (lambda: losses.TransitionRate([1.0] * 3, wave), r"shape \(3,\); .*shape \(2,\)"),
    "dwell": (lambda: losses.DwellTimes([0.0, 1.0, 1.0], wave), "finite numbers > 0"),
    "dwells": (lambda: losses.DwellTimes([1.0], wave), r"shape \(1,\); .*shape \(3,\)"),
    "code": (lambda: losses.AnchorCrossEntropy([0, 2]), r"target\[1\] = 2; .*codes -1, 0, 1.*FLOW"),
    "code shape": (lambda: losses.AnchorCrossEntropy(1), r"shape \(\); expected codes of shape"),
    "power": (lambda: losses.Spectrum([-0.1], BANDS), "finite numbers ≥ 0"),
    "log of 0": (lambda: losses.Spectrum([0.0], BANDS, logarithmic=True), "finite numbers > 0"),
    "band power": (lambda: losses.Spectrum([0.1], waves), "source="),
    "parts": (lambda: losses.Spectrum([0.1], BANDS, parts="all"), "parts='all'"),
    "dynamics": (lambda: losses.ConnectivityDynamics([2.0], waves, 8, 4), r"target\[0\] = 2"),
    "dynamics matrix": (lambda: losses.ConnectivityDynamics(FC, waves, 8, 4), r"shape \(4, 4\)"),
    "dynamics source": (lambda: losses.ConnectivityDynamics([0.2], 3, 8, 4), "source=3"),
    "no scans": (
        lambda: losses.ConnectivityDynamics([0.2], tx.Bold(waves, 10, record=False), 8, 4),
        "record=False",
    ),
    "window": (lambda: losses.connectivity_dynamics(FC, 4, 2), "4 records of 4 comp"),
    "signals": (
        lambda: losses.connectivity_dynamics(np.zeros(5), 4, 2),
        r"signals of shape \(5,\)",
    ),
    "factor": (lambda: np.ones(2) * ORDER, r"factor of shape \(2,\)"),
    "no number": (lambda: "a" * ORDER, "a real number"),
    "target": (lambda: simulated(jnp.sin), "target="),
    "steps": (lambda: simulated(ORDER, steps=0), "steps=0"),
    "after": (lambda: simulated(ORDER, after=STEPS), "after=40 of steps=40"),
    "members": (lambda: simulated(ORDER, members=0), "members=0"),
    "dt": (lambda: simulated(ORDER, dt=-1.0), "dt=-1.0"),
    "stepper": (lambda: simulated(ORDER, stepper=tx.Euler), "the class Euler"),
    "noise": (lambda: simulated(ORDER, common_noise=1), "common_noise=1"),
    "phase": (lambda: simulated(ORDER, phase=[np.nan]), "finite numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message) as found:
        make()
    assert "; expected " in str(found.value) and ". Fix: " in str(found.value)


UNFIT = {
    "records": (
        lambda: losses.OrderParameterCourse([0.5] * 3),
        r"target of shape \(3,\); .*\(40,\)",
    ),
    "end": (lambda: losses.EndState([0.0] * 3), r"target of shape \(3,\); expected shape \(4,\)"),
    "connectivity": (lambda: losses.Connectivity(FC[:3, :3], waves), r"\(3, 3\); .*\(4, 4\)"),
    "likeness": (
        lambda: losses.Connectivity(VARIED[:3, :3], waves, "correlation"),
        r"\(3, 3\); .*\(4, 4\)",
    ),
    "locking": (lambda: losses.PhaseLockingMatrix(FC[:3, :3]), r"\(3, 3\); .*\(4, 4\)"),
    "entrainment": (lambda: losses.Entrainment([0.5] * 3, 1.0), r"\(3,\); expected shape \(\) or"),
    "rhythm": (lambda: losses.Entrainment(0.5, [1.0] * 3), r"frequency of shape \(3,\)"),
    "bands": (lambda: losses.Spectrum([0.1, 0.1], BANDS), r"target of shape \(2,\)"),
    "windows": (lambda: losses.ConnectivityDynamics([0.2], waves, 40, 4), "40 records of 4 comp"),
    "vector": (lambda: losses.Connectivity(FC, wave), "a vector"),
    "share": (lambda: losses.Occupancy([[0.2, 0.5, 0.3]] * 2, wave), r"target of shape \(2, 3\)"),
    "crystals": (lambda: losses.Occupancy([0.2, 0.5, 0.3]), "which has no scales"),
    "anchors": (lambda: losses.AnchorCrossEntropy([1] * 40), "which has no scales"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_terms_that_do_not_fit(case):
    make, message = UNFIT[case]
    with pytest.raises((ValueError, TypeError), match=message):
        jax.eval_shape(simulated(make()), system(), KEY)


def test_codes_that_do_not_fit_the_crystals():
    with pytest.raises(ValueError, match=r"target of shape \(3,\); expected shape \(40,\)"):
        jax.eval_shape(simulated(losses.AnchorCrossEntropy([1, 0, 1])), soft(), KEY)
    halves = losses.AnchorCrossEntropy([0.5] * 40, codes=(-0.5, 0.5))
    with pytest.raises(ValueError, match="thresholds with 3 levels; expected 2"):
        jax.eval_shape(simulated(halves), soft(), KEY)
