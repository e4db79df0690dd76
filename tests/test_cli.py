"""The command line: what it prints, what it writes, how it fails."""

import csv
import json
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


@pytest.mark.parametrize("command", ["demo", "doctor"])
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
