"""The command line: what it prints, what it writes, how it fails."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tauax import cli, demo, networks, record


def test_help_does_not_import_jax():
    program = (
        "import sys; from tauax import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass"
    )
    program += "\nassert 'jax' not in sys.modules and 'numpy' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout
    assert "doctor" in done.stdout
    assert "run" in done.stdout


@pytest.mark.parametrize("command", ["demo", "run", "doctor"])
def test_help_of_a_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: tauax {command}" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("tauax 0.")


def test_no_command_is_an_error(capsys):
    assert cli.main([]) == 2
    assert "usage" in capsys.readouterr().out


def test_doctor_names_versions_devices_and_settings(capsys):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in ("jax", "numpy", "equinox", "devices", "cores", "64-bit mode", "cache"):
        assert word in out


def test_doctor_says_how_to_install_what_is_missing(capsys, monkeypatch):
    from tauax import doctor

    present = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda n: None if n == "tqdm" else present(n))
    assert cli.main(["doctor"]) == 0
    assert 'pip install "tauax[cli]"' in capsys.readouterr().out


@pytest.fixture
def short(monkeypatch):
    """The demo on the same networks, for a few steps."""
    full = demo.studies

    def studies(members):
        return tuple(
            replace(study, transient=demo.CHUNKS, steps=demo.CHUNKS) for study in full(members)
        )

    monkeypatch.setattr(demo, "studies", studies)
    curve = demo.mean_field_curve
    monkeypatch.setattr(demo, "mean_field_curve", lambda: curve(size=16, steps=20))


def test_demo_writes_figure_table_and_manifest(short, tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path), "--members", "1", "--key", "5"]) == 0
    (folder,) = tmp_path.iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "figure.png",
        "manifest.json",
        "results.csv",
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["parameters"]["key"] == 5
    assert manifest["versions"]["jax"]
    assert manifest["device"]["platform"] == "cpu"
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    assert {row["model"] for row in rows} == {"celegans", "ieee57", "mean_field"}
    assert len(rows) == 2 * 32 + 25
    assert all(0 <= float(row["coherence"]) <= 1 for row in rows)
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "numpy" in capsys.readouterr().out


def test_the_full_demo_has_a_thousand_noisy_members():
    studies = demo.studies()
    assert sum(study.noisy_members for study in studies) >= 1_000
    assert all((study.intensities > 0).all() for study in studies)


def test_the_connectome_receives_along_rows():
    """The twelve neurons without chemical input are empty rows of the chemical weights."""
    (study, _) = demo.studies()
    np.testing.assert_array_equal(study.coupling.weights, networks.celegans().weights)
    chemical = networks.celegans(gap_junctions=False).weights
    assert (chemical.sum(axis=1) == 0).sum() == 12


def test_demo_reports_a_bad_option_and_writes_nothing(tmp_path, capsys):
    assert cli.main(["demo", "--out", str(tmp_path), "--members", "0"]) == 1
    assert "members" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_failing_figure_leaves_nothing(tmp_path):
    def fail(path):
        raise ValueError("no figure")

    with pytest.raises(ValueError, match="no figure"):
        record.write(tmp_path, "demo", {}, [{"a": 1}], fail)
    assert list(tmp_path.iterdir()) == []


def test_two_runs_in_one_second_get_two_folders(tmp_path):
    def draw(path):
        path.write_bytes(b"")

    folders = {record.write(tmp_path, "demo", {}, [{"a": 1}], draw) for _ in range(3)}
    assert len(folders) == 3


# tauax run --------------------------------------------------------------------------------------

SMALL = """
title = "two turning"
dt = 0.1
steps = 4
chunk = 2
[frequency]
kind = "uniform"
size = 2
[monitors.r]
kind = "moments"
[output]
formats = ["csv"]
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A file of a run of four steps, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SMALL)
    return tmp_path


@pytest.mark.parametrize("arguments", ["--help", "--list", "--schema", "small.toml --show"])
def test_describing_runs_does_not_import_jax(arguments, small):
    program = f"import sys; from tauax import cli\ntry: cli.main({['run', *arguments.split()]!r})"
    program += "\nexcept SystemExit: pass\nassert 'jax' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_run_list_names_every_preset(capsys):
    from tauax.runs import source

    assert cli.main(["run", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(source.presets())
    assert len(lines) >= 8
    assert all(len(line.split()) > 3 for line in lines)


def test_run_writes_a_folder(small, capsys):
    assert cli.main(["run", "small.toml", "--members", "3", "--set", "frequency.size=5"]) == 0
    (folder,) = (small / "runs").iterdir()
    assert str(folder.relative_to(small)) in capsys.readouterr().out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["parameters"]["members"] == 3
    assert manifest["parameters"]["frequency"]["size"] == 5
    rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
    assert [row["member"] for row in rows] == ["0", "1", "2"]
    again = ["run", str(folder / "config.toml"), "--out", "again"]
    assert cli.main(again) == 0
    (second,) = (small / "again").iterdir()
    assert (second / "results.csv").read_text() == (folder / "results.csv").read_text()


def test_run_says_what_it_would_do(small, capsys):
    assert cli.main(["run", "small.toml", "--dry-run", "--members", "3"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"oscillators +2\n", out)
    assert re.search(r"members +3 at", out)
    assert re.search(r"length +4 steps of 0.1 s", out)
    assert [path.name for path in small.iterdir()] == ["small.toml"]


def test_a_dry_run_finds_what_does_not_fit(small, capsys):
    wrong = '\n[monitors.c]\nkind = "covariance"\nreadout = "coherence"\n'
    (small / "small.toml").write_text(SMALL + wrong)
    assert cli.main(["run", "small.toml", "--dry-run"]) == 1
    assert re.search(r"small\.toml:\d+: got a readout of shape \(\)", capsys.readouterr().err)


def test_run_shows_the_whole_description(small, capsys):
    assert cli.main(["run", "small.toml", "--show", "--key", "9"]) == 0
    assert "\nkey = 9\n" in capsys.readouterr().out


def test_run_reports_a_fault_with_its_place(small, capsys):
    (small / "small.toml").write_text(SMALL.replace("uniform", "unifrom"))
    assert cli.main(["run", "small.toml"]) == 1
    assert "tauax run: small.toml:7: got frequency.kind" in capsys.readouterr().err
    assert [path.name for path in small.iterdir()] == ["small.toml"]


def test_run_without_a_name_is_an_error(capsys):
    assert cli.main(["run"]) == 2
    assert "expected a TOML file or the name of a preset" in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_go_on(small, capsys, monkeypatch):
    from tauax.cli import progress

    def stop(self, title, done, total):
        raise KeyboardInterrupt

    command = ["run", "small.toml", "--out", "a folder"]
    with monkeypatch.context() as patch:
        patch.setattr(progress.Progress, "__call__", stop)
        assert cli.main(command) == 130
    told = capsys.readouterr().err
    assert "interrupted: 2 of 4 steps are kept in a folder/small-" in told
    assert "to go on: tauax run small.toml --out 'a folder'" in told
    assert cli.main(command) == 0
    (folder,) = (small / "a folder").iterdir()
    assert json.loads((folder / "manifest.json").read_text())["results"]["resumed"]


def test_an_interrupt_that_left_nothing_says_so(capsys, monkeypatch):
    from tauax.cli import doctor

    def stop(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "run", stop)
    assert cli.main(["doctor"]) == 130
    assert "interrupted: nothing was written" in capsys.readouterr().err
