"""Runs described by files: places of keys, merging, faults, and what is built from them."""

import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import tauax as tx
from tauax.runs import build, describe, parts, places, reader, run, source
from tauax.runs.readouts import halves, winding
from tauax.runs.source import ConfigError
from tauax.runs.weights import weights

SMALL = """\
dt = 0.1
steps = 8

[frequency]
kind = "uniform"
size = 6

[coupling]
kind = "mean_field"
strength = 1.5

[monitors.r]
kind = "moments"
"""
PRESETS = source.presets()


def load(tmp_path: Path, text: str, *settings: str):
    """The source and the checked run of a text in `run.toml`."""
    (tmp_path / "run.toml").write_text(text, encoding="utf-8")
    given = source.load(str(tmp_path / "run.toml"), settings)
    return given, reader.read(given)


def made(tmp_path: Path, text: str, *settings: str) -> build.Setup:
    return build.setup(*load(tmp_path, text, *settings))


# Places of keys -------------------------------------------------------------------------------

TRICKY = '''# a comment = 1
title = "a # b"  # "not = text
[coupling]
kind = 'dense'
weights = { kind = "ring", size = 5, x = [1,
 2, [3, 4]] }
text = """
[not] = 1
\\""" and ""\"""
"quo.ted".b = 3
[vary.x]
values = [ # first
  1.0,
  2.0, # last
]
[[many]]
a = 1
[[many]]
a = 2
[many.sub]
when = 1979-05-27 07:32:00
'''


def paths(value, path=()) -> set:
    """Every path of a parsed text."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = {path}
    for key, inner in items:
        nested = isinstance(inner, dict | list)
        found |= paths(inner, (*path, key)) if nested else {(*path, key)}
    return found


@pytest.mark.parametrize("text", [TRICKY, *PRESETS.values()])
def test_every_key_has_its_line(text):
    found = places.lines(text)
    assert set(found) == paths(tomllib.loads(text))
    rows = text.split("\n")
    for path, line in found.items():
        if path and isinstance(path[-1], str):
            assert path[-1] in rows[line - 1]


def test_lines_of_a_tricky_text():
    found = places.lines(TRICKY)
    assert found["coupling", "weights", "x", 1] == 6
    assert found["coupling", "text"] == 7
    assert found["coupling", "quo.ted", "b"] == 10
    assert found["vary", "x", "values", 1] == 14
    assert [found["many", at, "a"] for at in range(2)] == [17, 19]
    assert found["many", 1, "sub", "when"] == 21


# Faults -----------------------------------------------------------------------------------------


def changed(old: str, new: str) -> str:
    assert old in SMALL
    return SMALL.replace(old, new)


VARY = '\n[vary.K]\npath = "coupling.strength"\n'  # lines 14 to 16 behind SMALL

FAULTS = {
    "syntax": (changed("steps = 8", "steps = = 8"), ":2: not valid TOML: Invalid value"),
    "syntax_end": (SMALL + "x = [1,", ":14: not valid TOML"),
    "unknown_key": (
        changed("strength", "strenght"),
        ":10: got an unknown key 'strenght' in [coupling]; expected one of kind, strength, lag. "
        "Fix: did you mean 'strength'?",
    ),
    "unknown_table": (SMALL + "[monitor]\n", ":14: got an unknown key 'monitor' at the top level"),
    "unknown_kind": (
        changed("mean_field", "meanfield"),
        ':9: got coupling.kind = "meanfield"; expected one of mean_field, dense. '
        "Fix: did you mean 'mean_field'?",
    ),
    "no_kind": (changed('kind = "uniform"\n', ""), ":4: got [frequency] without kind; expected"),
    "missing_key": (
        changed("strength = 1.5\n", ""),
        ":8: got no 'strength' in [coupling]; expected strength, a number or a list, each a number",
    ),
    "missing_table": (changed("dt = 0.1\n", ""), "run.toml:1: got no 'dt' at the top level"),
    "type": (changed("1.5", '"strong"'), ':10: got coupling.strength = "strong"; expected a num'),
    "boolean": (changed("steps = 8", "steps = true"), ":2: got steps = true; expected a whole"),
    "fraction": (changed("size = 6", "size = 6.5"), ":6: got frequency.size = 6.5; expected a wh"),
    "infinite": (changed("1.5", "inf"), ":10: got coupling.strength = inf; expected a number"),
    "list_element": (
        changed("1.5", "[1.0,\n'x']"),
        ':11: got coupling.strength[1] = "x"; expected',
    ),
    "range": (changed("dt = 0.1", "dt = -0.1"), ":1: got dt = -0.1; expected a number > 0"),
    "range_of_kind": (
        SMALL + "[noise]\nintensity = -1\n",
        ":15: got noise.intensity = -1.0; expected a number ≥ 0. Fix: D, one number",
    ),
    "choice": (
        "stepper = 'huen'\n" + SMALL,
        ':1: got stepper = "huen"; expected one of "euler", "heun", "rk4", "sra1". '
        "Fix: did you mean 'heun'?",
    ),
    "steps_and_duration": ("duration = 1.0\n" + SMALL, ":1: got both steps and duration"),
    "no_length": (changed("steps = 8\n", ""), ":1: got neither steps nor duration; expected one"),
    "broken_duration": (
        changed("steps = 8", "duration = 0.25"),
        ":2: got duration = 0.25 with dt = 0.1; expected a whole number of steps. Fix: take dur",
    ),
    "stepper_and_noise": (
        "stepper = 'rk4'\n" + SMALL + "[noise]\nintensity = 1\n",
        ':1: got stepper = "rk4" with noise; expected a stepper for noise',
    ),
    "late_monitor": (
        SMALL + "after = 8\n",
        ":14: got monitors.r.after = 8 in a run of 8 steps; expected a step of the run",
    ),
    "monitor_name": (changed("[monitors.r]", "[monitors.'a b']"), ":12: got a monitor named 'a b'"),
    "no_monitor": (
        changed('[monitors.r]\nkind = "moments"\n', "[monitors]\n"),
        ":12: got no monitor; expected at least one",
    ),
    "axis_name": (SMALL + VARY.replace("K", "member"), ":15: got an axis named 'member'; expected"),
    "axis_empty": (SMALL + VARY, ":15: got [vary.K] with no values; expected one of values, lins"),
    "axis_count": (
        SMALL + VARY + "linspace = [0, 1]\n",
        ":17: got linspace = [0.0, 1.0]; exp",
    ),
    "axis_ratio": (
        SMALL + VARY + "geomspace = [0, 1, 3]\n",
        ":17: got geomspace = [0.0, 1.0, ",
    ),
    "axis_path": (
        SMALL + VARY.replace("strength", "strenght") + "values = [1.0]\n",
        ":16: got vary.K.path = 'coupling.strenght'; expected the path of a number of the model. "
        "Fix: did you mean 'coupling.strength'?",
    ),
    "axis_value": (
        SMALL
        + "[noise]\nintensity = 1.0\n"
        + VARY.replace("coupling.strength", "noise.intensity")
        + "values = [0.1,\n-1.0]\n",
        ":20: got noise.intensity = -1.0; expected a number ≥ 0",
    ),
    "axis_shape": (
        SMALL + VARY.replace("coupling.strength", "frequency.size") + "values = [6, 7]\n",
        ":16: got 'frequency.size', which changes the shape of the model; expected",
    ),
    "no_size": (changed("size = 6\n", ""), ":4: got [frequency] without size; expected the number"),
    "part": (changed("1.5", "[1.0, 2.0]"), ":8: got MeanField.strength of shape (2,)"),
    "no_grid": (
        changed('"uniform"\nsize = 6', '"power"'),
        ':5: got frequency of kind "power" without a coupling with weights of kind "ieee"',
    ),
    "monitor": (
        SMALL + '[monitors.h]\nkind = "histogram"\nlow = 1\nhigh = 0\nbins = 3\n',
        "run.toml:14: got ",
    ),
    "weights_file": (
        changed('"mean_field"\n', '"dense"\nweights = { kind = "file", file = "no.npy" }\n'),
        ":10: [Errno 2]",
    ),
    "extends_missing": (
        'extends = "preset:kuramoto"\n',
        ":1: got 'preset:kuramoto'; expected a T",
    ),
    "extends_itself": ('\nextends = "run.toml"\n', ":2: got the circle "),
    "without_unknown": (
        'extends = "preset:pazo2005"\nwithout = [\n"vary.K"]\n',
        ":3: got 'vary.K'; expected a path that the base has",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_name_file_line_and_remedy(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, message = FAULTS[case]
    with pytest.raises(ConfigError) as caught:
        build.setup(*load(tmp_path, text))
    told = str(caught.value)
    assert told.startswith("run.toml:")
    assert message in told


def test_a_name_that_is_neither_file_nor_preset():
    with pytest.raises(ConfigError, match=r"'kuramoto1957'; .* did you mean 'kuramoto1975'"):
        source.load("kuramoto1957")
    with pytest.raises(ConfigError, match=r"'no/such.toml'; .* correct the path"):
        source.load("no/such.toml")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps", "--set steps: got no path=value"),
        ("coupling.strenght=1", "--set coupling.strenght=1: got an unknown key 'strenght'"),
        ("dt=-1", "--set dt=-1: got dt = -1.0; expected a number > 0"),
        ("stepper=huen", '--set stepper=huen: got stepper = "huen"'),
    ],
)
def test_faults_of_settings_name_the_setting(setting, message, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, SMALL, setting)
    assert str(caught.value).startswith(message)


# Merging ----------------------------------------------------------------------------------------


def test_a_file_changes_what_it_extends(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a.toml").write_text(SMALL + VARY + "values = [1.0, 2.0]\n")
    (tmp_path / "b.toml").write_text('extends = "base/a.toml"\nduration = 2.0\nkey = 7\n')
    _, found = load(
        tmp_path,
        'extends = "b.toml"\nwithout = ["vary.K"]\n[coupling]\nlag = 0.5\n[monitors.x]\nkind = '
        '"rotations"\n',
        "coupling.strength=3",
        "stepper=rk4",
    )
    assert (found.dt, found.key, found.stepper) == (0.1, 7, "rk4")
    assert reader.total_steps(found) == 20  # the duration takes the place of the steps
    assert (found.coupling.strength, found.coupling.lag) == (3.0, 0.5)
    assert not found.vary
    assert [one.kind for one in found.monitors.values()] == ["moments", "rotations"]


def test_a_table_of_another_kind_replaces_the_one_of_the_base(tmp_path):
    (tmp_path / "a.toml").write_text(SMALL)
    text = 'extends = "a.toml"\n[frequency]\nkind = "identical"\nsize = 3\n'
    _, found = load(tmp_path, text)
    assert found.frequency == parts.Identical(size=3)


def test_a_fault_of_a_base_names_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text(changed("1.5", "'x'"))
    with pytest.raises(ConfigError, match=r"^a.toml:10: got coupling.strength"):
        load(tmp_path, 'extends = "a.toml"\n')


def test_a_circle_of_two_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text('extends = "run.toml"\n')
    with pytest.raises(
        ConfigError, match=r"^a.toml:1: got the circle run.toml → a.toml → run.toml"
    ):
        load(tmp_path, 'extends = "a.toml"\n')


@pytest.mark.parametrize("name", PRESETS)
def test_a_run_written_out_is_the_same_run(name, tmp_path):
    given = reader.read(source.load(name))
    _, again = load(tmp_path, describe.toml(given))
    assert again == given


def test_data_files_are_found_from_the_file_that_names_them(tmp_path):
    (tmp_path / "base").mkdir()
    matrix = np.random.default_rng(0).normal(size=(4, 4))
    np.save(tmp_path / "base" / "w.npy", matrix)
    np.savetxt(tmp_path / "base" / "w.csv", matrix, delimiter=",")
    (tmp_path / "base" / "f.txt").write_text("1\n2\n3\n4\n")
    base = changed('"uniform"\nsize = 6', '"file"\nfile = "f.txt"')
    for name in ("w.npy", "w.csv"):
        weighted = f'"dense"\nweights = {{ kind = "file", file = "{name}" }}\n'
        (tmp_path / "base" / "a.toml").write_text(base.replace('"mean_field"\n', weighted))
        model = made(tmp_path, 'extends = "base/a.toml"\n').model
        np.testing.assert_array_equal(model.coupling.weights, matrix.astype(np.float32))
        np.testing.assert_array_equal(model.frequency, [1, 2, 3, 4])


# What is built ----------------------------------------------------------------------------------


def weights_of(tmp_path, text: str) -> np.ndarray:
    weighted = changed('"mean_field"\n', f'"dense"\nweights = {{ {text} }}\n')
    given, found = load(tmp_path, weighted)
    return weights(found.coupling.weights, given.folder)


def test_weights(tmp_path):
    ring = weights_of(tmp_path, 'kind = "ring", size = 7, neighbours = 2')
    np.testing.assert_array_equal(np.flatnonzero(ring[0]), [1, 2, 5, 6])
    assert all((np.roll(ring[0], at) == ring[at]).all() for at in range(7))
    star = weights_of(tmp_path, 'kind = "star", leaves = 4')
    np.testing.assert_array_equal(star.sum(axis=1), [4, 1, 1, 1, 1])
    pair = weights_of(tmp_path, 'kind = "populations", size = 3, within = 0.6, between = 0.4')
    np.testing.assert_allclose(pair[0], np.repeat([0.2, 0.4 / 3], 3), rtol=1e-15)  # one division
    np.testing.assert_array_equal(pair[3:, 3:], pair[:3, :3])
    graph = weights_of(tmp_path, 'kind = "random", size = 200, degree = 20, key = 3')
    np.testing.assert_array_equal(graph, graph.T)
    assert graph.trace() == 0
    # 19 900 pairs, each linked with p = 0.1: five standard deviations of the mean degree are 2.1.
    assert abs(graph.sum(axis=1).mean() - 20) < 2.1
    assert weights_of(tmp_path, 'kind = "ieee", buses = 9').shape == (9, 9)
    chemical = weights_of(tmp_path, 'kind = "celegans", gap_junctions = false')
    np.testing.assert_array_equal(chemical, tx.networks.celegans(False).weights)


def test_frequencies(tmp_path):
    star = changed('"mean_field"\n', '"dense"\nweights = { kind = "star", leaves = 4 }\n')
    text = star.replace('"uniform"\nsize = 6', '"degree"\nfactor = 0.5')
    np.testing.assert_array_equal(made(tmp_path, text).model.frequency, [2, 0.5, 0.5, 0.5, 0.5])
    grid = changed('"mean_field"\n', '"dense"\nweights = { kind = "ieee", buses = 9 }\n')
    power = made(tmp_path, grid.replace('"uniform"\nsize = 6', '"power"')).model.frequency
    np.testing.assert_array_equal(power, tx.networks.ieee(9).power.astype(np.float32))
    quantiles = made(tmp_path, changed("size = 6", "size = 6\ncentre = 1\nwidth = 2"))
    np.testing.assert_array_equal(quantiles.model.frequency, tx.frequencies.uniform(6, 1.0, 2.0))
    each = made(tmp_path, "members = 3\n" + changed("size = 6", "size = 6\ndraw = 'per_member'"))
    assert each.model.system.frequency.shape == (3, 6)
    once = made(tmp_path, changed("size = 6", "size = 6\ndraw = 'once'"))
    np.testing.assert_array_equal(once.model.frequency, each.model.system.frequency[0])


def test_an_axis_moves_the_numbers_that_depend_on_its_path(tmp_path):
    centre = VARY.replace("coupling.strength", "frequency.centre") + "values = [0.0, 3.0]\n"
    second = '[vary.lag]\npath = "coupling.lag"\nlinspace = [0, 1, 3]\n'
    setup = made(tmp_path, SMALL + centre + second)
    assert setup.state.axes == ("K", "lag", "member")
    for at, value in enumerate((0.0, 3.0)):
        alone = made(tmp_path, SMALL, f"frequency.centre={value}").model.frequency
        np.testing.assert_array_equal(setup.model.system.frequency[at], alone)
    np.testing.assert_array_equal(setup.model.system.coupling.lag, [0, 0.5, 1])
    np.testing.assert_array_equal(setup.coordinates["K"], [0, 3])


def test_an_axis_of_one_value(tmp_path):
    setup = made(tmp_path, SMALL + VARY + "values = [1.5]\n")
    np.testing.assert_array_equal(setup.model.system.coupling.strength, [1.5])


def phases(tmp_path, text: str) -> np.ndarray:
    return np.asarray(made(tmp_path, f"members = 3\n{SMALL}[initial]\n{text}").state.phase)


def test_initial_phases(tmp_path):
    arc = phases(tmp_path, 'kind = "arc"\nwidth = 1.0\nlast = 0.0')
    assert (np.abs(arc) <= np.asarray([[0.5], [0.25], [0.0]])).all()
    assert np.ptp(arc[0]) > 0
    half = phases(tmp_path, 'kind = "half"\ncentre = 1.0\nwidth = 0.2')
    assert (half[:, :3] == 0).all()
    assert (np.abs(half[:, 3:] - 1.0) <= 0.1 + 1e-6).all()  # the rounding of the sum
    twisted = phases(tmp_path, 'kind = "twisted"\nwinding = 2')
    turned = np.angle(np.exp(1j * 2 * math.pi * 2 * np.arange(6) / 6))
    # Equal as angles, to a few roundings of 2π.
    np.testing.assert_allclose(np.cos(twisted - turned), 1.0, atol=2e-6)
    given = phases(tmp_path, 'kind = "values"\nvalues = [0, 1, 2, 3, -1, -2]')
    np.testing.assert_array_equal(given, np.tile(np.float32([0, 1, 2, 3, -1, -2]), (3, 1)))
    uniform = phases(tmp_path, 'kind = "uniform"')
    assert len(np.unique(uniform)) == uniform.size


def test_readouts_of_files():
    rng = np.random.default_rng(5)
    system = tx.PhaseOscillators(np.zeros(11))
    phase = 2 * np.pi * 3 * np.arange(11) / 11 + 0.4 * rng.uniform(-1, 1, (4, 11))
    state = tx.init(system, phase=phase, members=4)
    np.testing.assert_array_equal(winding(system, state), [3, 3, 3, 3])
    r = [np.abs(np.exp(1j * part).mean(axis=-1)) for part in (phase[:, :5], phase[:, 5:])]
    # A mean of at most 6 unit vectors in float32.
    np.testing.assert_allclose(halves(system, state), np.stack(r, axis=-1), atol=1e-6)


EVERYTHING = """
[monitors.phase]
kind = "trace"
readout = "phase"
[monitors.extremes]
kind = "extremes"
[monitors.turning]
kind = "rotations"
every = 2
[monitors.histogram]
kind = "histogram"
low = 0
high = 1
bins = 4
[monitors.lags]
kind = "autocorrelation"
lags = [0, 1, 2]
[monitors.power]
kind = "band_power"
window = 4
bands = { slow = [0.0, 3.0], fast = [3.0, 6.0] }
[monitors.passage]
kind = "first_passage"
level = 0.5
[monitors.groups]
kind = "metastability"
communities = [3, 3]
after = 2
[monitors.locking]
kind = "phase_locking"
[monitors.together]
kind = "covariance"
[monitors.scans]
kind = "bold"
every = 2
repetition = 4
discard = 0
"""
DRIVES = {
    "tone": 'kind = "tone"\namplitude = 1.0\nfrequency = 2.0',
    "forcing": 'kind = "forcing"\namplitude = 1.0\nfrequency = 2.0\nresponse = "type_two"',
    "pulses": 'kind = "pulses"\nstrength = 0.5\nperiod = 0.3\nresponse = "type_one"',
    "kicks": 'kind = "kicks"\ntimes = [0.1, 0.5]\nsizes = [1.0, -1.0]',
}


@pytest.mark.parametrize("drive", DRIVES)
def test_every_drive_is_built(drive, tmp_path):
    text = SMALL + f"[drive]\n{DRIVES[drive]}\n"
    assert type(made(tmp_path, text).model.drive).__name__.lower().startswith(drive[:4])


def test_every_monitor_runs_and_is_written(tmp_path):
    given, found = load(tmp_path, f"members = 2\n{SMALL}[drive]\n{DRIVES['tone']}{EVERYTHING}")
    steps = []
    written, notes = run.run(given, found, tmp_path / "out", lambda *done: steps.append(done))
    assert notes == []
    assert steps[-1] == (8, 8)
    names = {path.name for path in written.iterdir()}
    own = {"phase", "turning", "histogram", "lags", "power_power", "power_spectrum", "groups"}
    own |= {"locking", "together", "scans_value", "scans_mean", "scans_covariance"}
    own |= {"scans_connectivity"}
    assert names == {
        "config.toml",
        "figure.png",
        "manifest.json",
        "results.csv",
        *(f"{name}.csv" for name in own),
    }


@pytest.mark.parametrize("name", PRESETS)
def test_presets_run(name, tmp_path):
    """Every preset parses, builds and runs two steps, with every number finite."""
    given = source.load(name)
    table = given.table
    table.pop("duration", None)
    table |= {"steps": 2, "members": 2, "chunk": 2}
    for monitor in table["monitors"].values():
        monitor |= {"every": 1, "after": 0}
    for axis in table.get("vary", {}).values():
        ends = (axis.get("linspace") or axis.get("geomspace") or axis["values"])[:2]
        for way in ("linspace", "geomspace"):
            axis.pop(way, None)
        axis["values"] = ends
    setup = build.setup(given, reader.read(given))
    solution = run.execute(setup, None, lambda done, steps: None)
    assert int(solution.state.step) == 2
    assert np.isfinite(np.asarray(solution.state.phase)).all()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_cite_and_say_what_they_show(name):
    text = PRESETS[name]
    comment = text[: text.index("title")]
    assert comment.startswith("# ")
    assert re.search(r"\((19|20)\d\d[;)]", comment)
    assert tomllib.loads(text)["title"]


# Runs -------------------------------------------------------------------------------------------


def test_a_run_that_is_cut_off_goes_on_to_the_same_numbers(tmp_path):
    text = "chunk = 3\n" + SMALL + "[noise]\nintensity = 0.3\n[output]\nformats = ['npz', 'csv']\n"
    given, found = load(tmp_path, text)
    whole, _ = run.run(given, found, tmp_path / "whole", lambda done, steps: None)

    def cut(done, steps):
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(run.Interrupted, match="6 of 8 steps are kept in"):
        run.run(given, found, tmp_path / "cut", cut)
    kept = run.unfinished(given, found, tmp_path / "cut")
    assert list((tmp_path / "cut").iterdir()) == [kept]
    seen = []
    rest, _ = run.run(given, found, tmp_path / "cut", lambda done, steps: seen.append(done))
    assert seen == [8]
    assert not kept.exists()
    with np.load(whole / "results.npz") as one, np.load(rest / "results.npz") as other:
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_another_run_has_another_file(tmp_path):
    given, found = load(tmp_path, SMALL)
    file = run.unfinished(given, found, tmp_path)
    assert run.unfinished(given, replace(found, chunk=2, title="x"), tmp_path) == file
    assert run.unfinished(given, replace(found, key=1), tmp_path) != file


def test_a_statistic_to_draw_that_is_not_there_is_refused_before_the_run(tmp_path):
    given, found = load(tmp_path, SMALL + '[output]\nplot = ["q_mean"]\n')
    with pytest.raises(ConfigError, match=r"run.toml:15: got 'q_mean'; expected a statistic"):
        run.run(given, found, tmp_path / "out", lambda done, steps: None)
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named_before_the_run(tmp_path, monkeypatch):
    from tauax import export

    monkeypatch.setattr(export, "find_spec", lambda name: None)
    given, found = load(tmp_path, SMALL + '[output]\nformats = ["zarr"]\n')
    with pytest.raises(ImportError, match=r"tauax\[xarray,data\]"):
        run.run(given, found, tmp_path / "out", lambda done, steps: None)
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_too_long_is_left_out_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "LONGEST_TABLE", 3)
    text = SMALL + '[monitors.t]\nkind = "trace"\n[output]\nformats = ["csv"]\n'
    written, notes = run.run(*load(tmp_path, text), tmp_path / "out", lambda done, steps: None)
    assert notes == ["t.csv is left out: it would have 8 rows; add npz to the formats"]
    assert not (written / "t.csv").exists()


def test_the_schema_names_every_key():
    text = describe.schema()
    for name in ("strength", "neighbours", "linspace", "readout", "formats", "winding", "turns"):
        assert f"\n  {name} " in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_the_random_key_is_that_of_the_file(tmp_path):
    one, other = (made(tmp_path, f"key = {key}\n{SMALL}").state for key in (1, 2))
    assert not np.array_equal(one.phase, other.phase)
    assert jax.numpy.array_equal(one.phase, made(tmp_path, f"key = 1\n{SMALL}").state.phase)


# The documentation ------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs" / "runs.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"^```toml\n(.*?)^```$", PAGE, re.S | re.M))
def test_the_files_of_the_documentation_are_right(block, tmp_path):
    _, found = load(tmp_path, block)
    assert found.monitors


def test_the_documentation_names_every_preset():
    named = re.findall(r"^\| `(\w+)` \|", PAGE[PAGE.index("## Presets") :], re.M)
    assert sorted(named) == sorted(PRESETS)
