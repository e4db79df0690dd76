"""Benchmarks: what is checked before it is timed, what is refused, and the gate that must close."""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tauax import baselines
from tauax.bench import checks, comparison, report, suite
from tauax.bench import rivals as programs
from tauax.bench.crystals import crystals
from tauax.bench.problem import Problem, Side
from tauax.bench.rivals import CORE, Rival
from tauax.bench.streaming import Sweep, _task
from tauax.bench.workload import Task, Workload
from tauax.bench.workloads import TABLE, chosen, rate
from tauax.cli import bench

EFFORT = suite.Effort(rounds=1, seconds=0.001)
# Enough samples for the variance of the noise to be within 8 % at 6 standard errors.
NOISY = Problem(64, 256, "normal")


def quiet(*_):
    """Neither progress nor results are told."""


def weights(size: int) -> np.ndarray:
    random = np.random.default_rng(4)
    return (random.random((size, size)) * (random.random((size, size)) < 0.2)).astype(np.float32)


PROBLEMS = {
    "mean_field": Problem(24, 5),
    "one": Problem(24, 1),
    "heun": Problem(24, 5, method="heun"),
    "sra1": Problem(24, 5, method="sra1"),
    "network": Problem(24, 5, weights=weights(24), strength=0.5),
    "gaussian": NOISY,
    "two_point": replace(NOISY, noise="two_point"),
    "gaussian_heun": replace(NOISY, method="heun"),
    "gaussian_sra1": replace(NOISY, method="sra1"),
}


def measured(workload: Workload, rivals=CORE):
    return suite.measure([workload], rivals, EFFORT, quiet, quiet)


def tiny(problem: Problem, **options) -> Workload:
    return Workload("tiny", "a test", partial(rate, lambda: problem), **options)


@pytest.mark.parametrize("name", PROBLEMS)
def test_programs_compute_the_same(name):
    problem = PROBLEMS[name]
    task = rate(lambda: problem, CORE)
    sides, errors = task.sides, task.check()
    assert set(errors) == set(sides)
    assert "numpy" in sides and ("obvious_jax" in sides) == (problem.method != "sra1")
    before = problem.phase.copy()
    for side in sides.values():
        np.testing.assert_array_equal(side.run(3), side.run(3), "a second run starts elsewhere")
    np.testing.assert_array_equal(problem.phase, before, "the start was overwritten")


def spoiled(problem: Problem, more: float = 1.0, **change) -> Side:
    """Ours, of a problem that it was not asked for, or with so many times the noise."""
    other = replace(problem, intensity=more * problem.intensity, **change)
    return programs.tauax(other)["tauax"]


FAR = "rad from the reference"
WRONG = {
    "another strength": (PROBLEMS["mean_field"], {"strength": 3.0}, FAR),
    "another step": (PROBLEMS["mean_field"], {"dt": 0.011}, FAR),
    "frozen coupling": (PROBLEMS["heun"], {"method": "euler"}, FAR),
    "no coupling under noise": (NOISY, {"strength": 0.0}, FAR),
    "another method under noise": (PROBLEMS["gaussian_sra1"], {"method": "euler"}, FAR),
    "no noise": (NOISY, {"noise": None}, "0.00 of the noise"),
    "more noise": (NOISY, {"more": 1.2}, "of the noise"),
    "another law": (replace(NOISY, noise="two_point"), {"noise": "normal"}, "kurtosis"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_computes_something_else_is_invalid(case):
    problem, change, reason = WRONG[case]
    rival = Rival("wrong", lambda problem: spoiled(problem, **change))
    result = measured(tiny(problem), [rival])
    assert not result["workloads"]["tiny"]["valid"]
    assert "sides" not in result["workloads"]["tiny"]
    assert reason in suite.invalid(result)[0] and "wrong" in suite.invalid(result)[0]
    assert "INVALID" in "\n".join(report.table("tiny", result["workloads"]["tiny"]))


@pytest.mark.parametrize("sharers", ["members", "oscillators"])
def test_noise_that_is_shared_is_invalid(sharers):
    def make(problem: Problem) -> Side:
        shape = (1, problem.size) if sharers == "members" else (problem.members, 1)

        def run(steps: int) -> np.ndarray:
            kicks = np.random.default_rng(0).normal(size=(steps, *shape)).sum(axis=0)
            return checks.reference(problem, steps) + problem.kick * kicks

        return Side(run, 1)

    # Enough numbers of their own for variance and kurtosis: only the means tell.
    size, members = (16_384, 8) if sharers == "members" else (8, 16_384)
    result = measured(tiny(Problem(size, members, "normal")), [Rival("shared", make)])
    assert f"gives {sharers} the same noise" in suite.invalid(result)[0]


def test_phases_that_are_not_finite_are_invalid():
    broken = Rival("broken", lambda p: Side(lambda steps: np.full_like(p.phase, np.nan), 1))
    assert suite.invalid(measured(tiny(PROBLEMS["mean_field"]), [broken]))


def test_results_say_what_they_are_made_of(tmp_path):
    absent = Rival("absent", lambda _: None, ("no_such_module",))
    unable = Rival("unable", lambda _: None)
    result = measured(tiny(PROBLEMS["mean_field"], targets={"numpy": 1e9}), [*CORE, absent, unable])
    assert result["skipped"] == {"absent": "not installed: pip install no_such_module"}
    one = result["workloads"]["tiny"]
    assert one["valid"] and "unable" not in one["sides"]
    assert one["definition"]["size"] == 24 and one["definition"]["members"] == 5
    for name, side in one["sides"].items():
        low, high = side["spread"]
        assert low <= side["rate"] <= high
        assert side["rate_per_core"] * side["cores"] == pytest.approx(side["rate"])
        assert side["nanoseconds"] * side["rate"] == pytest.approx(1e9)
        if name != "tauax":
            assert one["ratios"][name] == one["sides"]["tauax"]["rate"] / side["rate"]
    assert "numpy, asked 1e+09" in suite.missed(result)[0]
    context = result["context"]
    assert context["machine"]["cores"] >= 1 and context["versions"]["jax"]
    lines = [*report.heading(context), *report.table("tiny", one)]
    assert any("NOT reached" in line for line in lines)
    suite.save(result, tmp_path / "new" / "result.json")
    assert suite.load(tmp_path / "new" / "result.json")["workloads"].keys() == {"tiny"}


def slowed(delay: float) -> Workload:
    """Ours a stub that takes so many seconds a call, beside one that takes none."""

    def make(rivals) -> Task:
        def late(steps: int) -> np.ndarray:
            time.sleep(delay)
            return np.zeros(1)

        sides = {"tauax": Side(late, 1), "numpy": Side(lambda steps: np.zeros(1), 1)}
        return Task(sides, 1.0, lambda: {}, {}, steps=20)

    return Workload("tiny", "a stub", make)


def test_the_gate_closes_on_a_slowed_program():
    # The stub without delay is as fast as the other, to far better than a thousand times.
    bounds = {"tiny": {"numpy": 1e-3}}
    assert comparison.failures(measured(slowed(0.0)), bounds) == []
    (line,) = comparison.failures(measured(slowed(0.2)), bounds)
    assert line.startswith("tiny: 0.00 × numpy, at least")
    assert comparison.failures(measured(slowed(0.0)), {"other": {"numpy": 1.0}}) == [
        "other: not measured"
    ]
    (line,) = comparison.failures(measured(slowed(0.0)), {"tiny": {"absent": 1.0}})
    assert "0.00 × absent" in line


def test_the_gate_closes_on_a_wrong_program():
    wrong = Rival("wrong", lambda problem: spoiled(problem, strength=3.0))
    result = measured(tiny(PROBLEMS["mean_field"]), [wrong])
    assert comparison.failures(result, {"tiny": {"wrong": 1e-9}}) == suite.invalid(result)


def test_bounds_are_of_the_quick_suite():
    for name, bounds in comparison.BOUNDS.items():
        assert TABLE[name].quick
        assert set(bounds) <= {"numpy", "obvious_jax", "loop"}


@pytest.fixture(scope="module")
def result():
    return json.loads(json.dumps(measured(tiny(PROBLEMS["mean_field"])), default=suite._plain))


def test_compared_results(result):
    faster = json.loads(json.dumps(result))
    side = faster["workloads"]["tiny"]["sides"]["numpy"]
    side["rate"] *= 10
    side["spread"] = [10 * rate for rate in side["spread"]]
    found = {one.side: one for one in comparison.compare(result, faster)}
    assert found["numpy"].ratio == pytest.approx(10) and found["numpy"].apart
    assert found["tauax"].ratio == 1 and not found["tauax"].apart
    lines = list(report.changes(found.values()))
    assert [line.endswith("faster") for line in lines[1:]].count(True) == 1
    assert any(
        line.endswith("SLOWER") for line in report.changes(comparison.compare(faster, result))
    )


def changed(result, *path, value):
    other = json.loads(json.dumps(result))
    place = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return other


def test_the_order_of_what_a_processor_can_is_no_difference(result):
    one, other = (
        changed(result, "context", "machine", "cpu", "flags", value=flags)
        for flags in ("fma avx", "avx fma")
    )
    assert comparison.compare(one, other)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("context", "machine", "cores"), 99, "one machine"),
        (("context", "device", "count"), 99, "one machine"),
        (("workloads", "tiny", "definition", "members"), 6, "two different workloads"),
        (("workloads", "more"), {"valid": False}, "only one of them has: more"),
    ],
)
def test_what_cannot_be_compared(result, path, value, reason):
    other = changed(result, *path, value=value)
    with pytest.raises(ValueError, match=reason):
        comparison.compare(result, other)
    assert comparison.compare(result, other, force=True)


def test_nothing_in_common(result):
    other = changed(result, "workloads", value={})
    with pytest.raises(ValueError, match="in common"):
        comparison.compare(result, other, force=True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 0}', '{"format": 1}'])
def test_files_of_something_else(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="measure again"):
        suite.load(path)


def test_unknown_workloads():
    with pytest.raises(ValueError, match="did you mean 'crystals'"):
        chosen(["crystal"], quick=True)
    with pytest.raises(ValueError, match="--list"):
        chosen(["zzz"], quick=True)
    assert {one.name for one in chosen([], quick=True)} < {one.name for one in chosen([], False)}
    assert [one.name for one in chosen(["sra1", "dense", "sra1"], True)] == ["sra1", "dense"]
    assert len(list(report.listed(TABLE.values()))) == len(TABLE)


@pytest.mark.parametrize("noisy", [False, True])
def test_crystals(noisy):
    task = crystals(400, noisy, ())
    assert ("loop" in task.sides) == (not noisy)
    errors = task.check()
    assert {"tauax", "numpy"} <= set(errors)
    if not noisy:
        assert task.sides["loop"].share < 0.01
        np.testing.assert_allclose(task.sides["loop"].run(5).sum(axis=1), 1.0)


SWEEPS = {
    "streaming": Sweep(16, 8, np.asarray([2.0], np.float32), None),
    "grid": Sweep(16, 64, np.linspace(0.0, 4.0, 8), np.linspace(0.01, 0.3, 4)),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps(name):
    task = _task(SWEEPS[name], None)
    assert set(task.check()) == set(task.sides)
    assert task.updates == SWEEPS[name].size * SWEEPS[name].rows


def test_signs_are_fair_and_fill_the_array():
    signs, out = programs._Signs(np.random.default_rng(0)), np.zeros((100, 1_001), np.float32)
    signs.standard_normal(out, np.float32)
    np.testing.assert_array_equal(np.unique(out), [-1, 1])
    assert abs(out.mean()) < 4.5 / np.sqrt(out.size)


def test_the_order_parameter_is_seen_by_the_way():
    phase = np.random.default_rng(0).uniform(-3, 3, (4, 9)).astype(np.float32)
    seen, start = np.zeros((4, 1), np.float32), phase.copy()
    torque = baselines.mean_field(np.ones((4, 1)), seen=seen)
    baselines.integrate(phase, np.zeros(9, np.float32), torque, dt=0.1, steps=1)
    np.testing.assert_allclose(seen.ravel(), baselines.coherence(start), rtol=1e-6)  # float32


def command(*arguments: str, folder, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tauax", "bench", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
    )


def test_the_command_measures_writes_and_compares(tmp_path):
    quick = ("--rounds", "1", "--seconds", "0.01", "--devices", "2")
    done = command("one-small", "--out", "one.json", *quick, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 × cpu" in done.stdout and "obvious_jax" in done.stdout
    assert json.loads((tmp_path / "one.json").read_text())["context"]["device"]["count"] == 2
    again = command("--compare", "one.json", "one.json", folder=tmp_path)
    assert again.returncode == 0 and "1.00" in again.stdout


@pytest.mark.parametrize(("ratios", "code"), [((9.0,), 0), ((1.0, 9.0), 0), ((1.0, 2.0), 1)])
def test_what_is_below_its_bound_is_measured_once_more(tmp_path, monkeypatch, capsys, ratios, code):
    given, taken = iter(ratios), []

    def measure(workloads, *_):
        taken.append([one.name for one in workloads])
        found = {"valid": True, "targets": {}, "ratios": {"numpy": next(given)}}
        return {"workloads": dict.fromkeys(taken[-1], found), "studies": {}, "took": 0.0}

    monkeypatch.setattr(suite, "measure", measure)
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")  # which the command sets
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    options = parser.parse_args(["--gate", "one-small", "--out", str(tmp_path / "gate.json")])
    assert bench.run_with(options, [], tmp_path) == code
    assert taken == [["one-small"]] * len(ratios)
    assert ("measured once more" in capsys.readouterr().out) == (len(ratios) == 2)
    kept = json.loads((tmp_path / "gate.json").read_text()) if len(ratios) == 2 else None
    assert kept is None or kept["workloads"]["one-small"]["ratios"]["numpy"] == ratios[-1]


REFUSED = {
    "workload": (("crystal",), "did you mean 'crystals'"),
    "platform": (("--platform", "nothing", "one-small"), "leave --platform out"),
    "devices": (("--devices", "0"), "expected 1 or more"),
    "rounds": (("--rounds", "0", "one-small"), "expected 1 or more"),
    "seconds": (("--seconds", "-1", "one-small"), "expected more than 0"),
    "gate": (("--gate", "sra1"), "leave --gate out"),
    "folder": (("--out", ".", "one-small"), "Is a directory"),
    "file": (("--compare", "absent.json", "absent.json"), "absent.json"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_command_refuses(tmp_path, case):
    arguments, reason = REFUSED[case]
    done = command(*arguments, folder=tmp_path)
    assert done.returncode == 1 and reason in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
