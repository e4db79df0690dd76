"""Results as named axes, tables and files: every number arrives, under the right name."""

import csv
import itertools
from functools import cache

import jax
import numpy as np
import pytest

import tauax as tx
from tauax import _replacing, export
from tauax.monitors.base import AbstractResult
from tauax.monitors.histogram import Histogram

SIZE = 5
STRENGTHS = np.float32([0.0, 0.7, 2.0])


@cache
def solution() -> tx.Solution:
    """A grid of 3 points and 2 members; as many bins as oscillators, so no size tells an axis."""
    system = tx.PhaseOscillators(np.linspace(-1, 1, SIZE), tx.MeanField(1.0), tx.WhiteNoise(0.1))
    grid = tx.vary(system, {"K": (lambda m: m.coupling.strength, STRENGTHS)})
    state = tx.init(grid, key=jax.random.key(3), members=2)
    monitors = {
        "r": tx.Moments(tx.coherence),
        "phase": tx.Trace(tx.phase, every=4),
        "turns": tx.Rotations(),
        "h": Histogram(tx.phase, -1.0, 1.0, bins=SIZE),
    }
    return tx.simulate(grid, state, dt=0.1, steps=12, monitors=monitors)


@cache
def single() -> tx.Solution:
    """One system without batch axes, and only a trace."""
    system = tx.PhaseOscillators(np.linspace(-1, 1, SIZE))
    state = tx.init(system, phase=np.zeros(SIZE))
    return tx.simulate(system, state, dt=0.1, steps=3, monitors={"phase": tx.Trace(tx.phase)})


class Given(AbstractResult):
    """A result of any arrays and names."""

    values: dict
    names: dict
    along: dict

    def statistics(self):
        return self.values

    def axes(self):
        return self.names

    def coordinates(self):
        return self.along


def labelled(values, names=None, along=None, batch=("member",)) -> export.Labelled:
    """The results of one monitor, `m`, of two members of five oscillators."""
    given = Given(values, names or {}, along or {})
    return export.label(batch, SIZE, np.zeros(2, np.int8), {}, {"m": given})


# Names ----------------------------------------------------------------------------------------


def test_axes_are_named_by_the_results():
    dataset = solution().to_xarray()
    axes = {name: dataset[name].dims for name in dataset.data_vars}
    batch = ("K", "member")
    assert axes == {
        "status": batch,
        "r_mean": batch,
        "r_variance": batch,
        "phase_value": (*batch, "phase_time", "oscillator"),
        "turns_displacement": (*batch, "oscillator"),
        "turns_frequency": (*batch, "oscillator"),
        "h_count": (*batch, "oscillator", "h_bin"),
        "h_density": (*batch, "oscillator", "h_bin"),
        "h_below": (*batch, "oscillator"),
        "h_above": (*batch, "oscillator"),
    }
    np.testing.assert_array_equal(dataset["K"], STRENGTHS)
    np.testing.assert_array_equal(dataset["phase_time"], solution().monitors["phase"].time)
    np.testing.assert_array_equal(dataset["h_bin"], solution().monitors["h"].centres)


def test_an_axis_of_a_readout_is_guessed_only_where_it_is_alone():
    data = labelled(
        {"one": np.ones((2, SIZE)), "two": np.ones((2, SIZE, SIZE)), "short": np.ones((2, 3))}
    )
    assert data.variables["m_one"].axes == ("member", "oscillator")
    assert data.variables["m_two"].axes == ("member", "m_0", "m_1")
    assert data.variables["m_short"].axes == ("member", "m_0")


def test_several_values_along_one_axis_are_coordinates_of_it():
    coordinates = {"point.strength": np.arange(2.0), "point.intensity": np.arange(2.0) / 10}
    data = export.label(("point",), SIZE, np.zeros(2), coordinates, {})
    assert data.coordinates["point_strength"].axes == ("point",)
    assert list(export.columns(data)) == ["point", "point_strength", "point_intensity", "status"]
    assert export.to_xarray(data)["point_intensity"].dims == ("point",)


def test_an_axis_and_a_statistic_of_one_name_are_refused():
    with pytest.raises(ValueError, match="'m_a' as the name of an axis and of a statistic"):
        labelled({"a": np.ones(2)}, along={"a": np.ones(2)})


# Tables ---------------------------------------------------------------------------------------


def test_the_first_table_has_a_row_per_system():
    frame = solution().to_dataframe()
    assert list(frame.columns) == ["K", "member", "status", "r_mean", "r_variance"]
    rows = list(itertools.product(STRENGTHS, range(2)))
    assert list(zip(frame["K"], frame["member"], strict=True)) == rows
    np.testing.assert_array_equal(frame["r_mean"], solution().monitors["r"].mean.ravel())


def test_the_table_of_a_monitor_has_its_axes():
    frame, record = solution().to_dataframe("phase"), solution().monitors["phase"]
    assert list(frame.columns) == ["K", "member", "phase_time", "oscillator", "phase_value"]
    assert len(frame) == record.value.size
    for point, member, time, oscillator in np.ndindex(record.value.shape):
        chosen = frame[
            (frame["K"] == STRENGTHS[point])
            & (frame["member"] == member)
            & (frame["phase_time"] == record.time[time])
            & (frame["oscillator"] == oscillator)
        ]
        assert chosen["phase_value"].tolist() == [record.value[point, member, time, oscillator]]


def test_a_shorter_statistic_is_repeated_along_the_axes_that_it_lacks():
    frame, histogram = solution().to_dataframe("h"), solution().monitors["h"]
    repeated = np.broadcast_to(histogram.below[..., None], histogram.count.shape)
    np.testing.assert_array_equal(frame["h_below"], repeated.ravel())
    np.testing.assert_array_equal(frame["h_count"], histogram.count.ravel())


def test_one_statistic_can_be_asked_for():
    assert list(solution().to_dataframe("h_above").columns) == [
        "K",
        "member",
        "oscillator",
        "h_above",
    ]


def test_one_system_is_one_row():
    data = export.label((), SIZE, np.int8(0), {}, {"m": Given({"a": np.float32(2.0)}, {}, {})})
    assert export.to_dataframe(data).to_dict("list") == {"status": [0], "m_a": [2.0]}


def test_a_column_per_part_of_complex_numbers():
    data = labelled({"z": np.asarray([1 + 2j, 3 - 1j])})
    frame = export.to_dataframe(data)
    assert frame["m_z_real"].tolist() == [1.0, 3.0]
    assert frame["m_z_imaginary"].tolist() == [2.0, -1.0]


def test_every_statistic_is_in_a_table():
    assert export.tables(solution()._labelled()) == [None, "h", "phase", "turns"]
    values = {"a": np.ones((2, 3)), "b": np.ones((2, 4)), "c": np.ones(2)}
    data = labelled(values, {"a": ("row",), "b": ("column",)})
    assert export.tables(data) == [None, "m_a", "m_b"]


BAD_TABLES = [
    (lambda: single().to_dataframe(), "no statistic without axes of its own; expected .* phase"),
    (lambda: solution().to_dataframe("q"), "'q'; expected the name of a monitor or of a statistic"),
    (
        lambda: export.columns(
            labelled(
                {"a": np.ones((2, 3)), "b": np.ones((2, 4))}, {"a": ("row",), "b": ("column",)}
            ),
            "m",
        ),
        "expected axes that fit one table. Fix: ask for one statistic, such as 'm_b'",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD_TABLES)
def test_tables_that_cannot_be_made(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Files ----------------------------------------------------------------------------------------


def read_csv(path) -> dict[str, list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


@pytest.mark.parametrize("monitor", [None, "phase", "turns", "h"])
def test_csv_gives_back_every_bit(tmp_path, monitor):
    solution().to_csv(tmp_path / "a.csv", monitor)
    table, frame = read_csv(tmp_path / "a.csv"), solution().to_dataframe(monitor)
    assert list(table) == list(frame.columns)
    for name, texts in table.items():
        dtype = frame[name].dtype
        # astype, as numpy parses the shortest text of a float32 to the very same float32.
        np.testing.assert_array_equal(np.asarray(texts).astype(dtype), frame[name], name)


def test_csv_needs_no_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    solution().to_csv(tmp_path / "a.csv")
    assert len(read_csv(tmp_path / "a.csv")["r_mean"]) == 6


def test_csv_of_more_rows_than_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_ROWS", 7)
    solution().to_csv(tmp_path / "a.csv", "phase")
    values = np.asarray(read_csv(tmp_path / "a.csv")["phase_value"]).astype(np.float32)
    np.testing.assert_array_equal(values, solution().monitors["phase"].value.ravel())


def test_netcdf_and_zarr_hold_the_data_set(tmp_path):
    import xarray

    solution().to_netcdf(tmp_path / "a.nc")
    for _ in range(2):  # the second replaces the first
        solution().to_zarr(tmp_path / "a.zarr")
    wanted = solution().to_xarray()
    with xarray.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as found:
        assert wanted.identical(found.load())
    with xarray.open_zarr(tmp_path / "a.zarr", consolidated=False) as found:
        assert wanted.identical(found.load())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nc", "a.zarr"]


def test_npz_holds_arrays_and_axes(tmp_path):
    export.to_npz(solution()._labelled(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["phase_value"], solution().monitors["phase"].value)
        np.testing.assert_array_equal(found["K"], STRENGTHS)
        assert found["axes_turns_frequency"].tolist() == ["K", "member", "oscillator"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), _replacing.replacing(path) as unfinished:
        unfinished.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written_to(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"a folder that is not there.*mkdir -p"):
        solution().to_csv(tmp_path / "no" / "a.csv")
    with pytest.raises(IsADirectoryError, match="which is a folder; expected the name of a file"):
        solution().to_csv(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(FileExistsError, match="is no Zarr store"):
        solution().to_zarr(tmp_path / "other")
    # root may write anywhere
    monkeypatch.setattr(_replacing.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="a folder that cannot be written to"):
        solution().to_csv(tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("to_xarray", r'xarray: pip install "tauax\[xarray\]"'),
        ("to_dataframe", r'pandas: pip install "tauax\[xarray\]"'),
        ("to_netcdf", r'h5netcdf and h5py: pip install "tauax\[xarray,data\]"'),
        ("to_zarr", r'zarr: pip install "tauax\[xarray,data\]"'),
    ],
)
def test_a_missing_extra_is_named(method, message, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    arguments = () if method in ("to_xarray", "to_dataframe") else (tmp_path / "a",)
    with pytest.raises(ImportError, match=message):
        getattr(solution(), method)(*arguments)
