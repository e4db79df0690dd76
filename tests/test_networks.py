"""Shipped networks: orientation, published counts, exact fixed points, licences."""

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from tauax.networks import Grid, Network, celegans, ieee

BUSES = (9, 14, 30, 39, 57)
DATA = files("tauax.networks") / "data"

# W06: [largest |theta_i - theta_j| over the edges, ||B^T L^+ P||_inf]
EDGE_ANGLE = {
    9: (0.149797, 0.149311),
    14: (0.167925, 0.167423),
    30: (0.055912, 0.055892),
    39: (0.181352, 0.180360),
    57: (0.161485, 0.160977),
}


def laplacian(weights):
    return np.diag(weights.sum(axis=1)) - weights


def largest_edge_difference(weights, node):
    return np.abs(node[:, None] - node)[weights > 0].max()


def flow(weights, angle):
    return (weights * np.sin(angle[:, None] - angle)).sum(axis=1)


def component(weights, start):
    """Nodes reachable from ``start``: a mask, grown until it stops growing."""
    reached = np.arange(len(weights)) == start
    while (grown := reached | (weights[reached] > 0).any(axis=0)).sum() > reached.sum():
        reached = grown
    return reached


@pytest.fixture(scope="module")
def gap():
    return celegans(chemical=False)


@pytest.fixture(scope="module")
def chemical():
    return celegans(gap_junctions=False)


def test_celegans_shapes(gap, chemical):
    for network in (gap, chemical, celegans()):
        assert isinstance(network, Network)
        assert network.weights.shape == (network.size, network.size) == (280, 280)
        assert network.weights.dtype == np.float64
        assert len(set(network.labels)) == 280


def test_celegans_kinds_of_contact_add_up(gap, chemical):
    # exact: small integers in float64
    np.testing.assert_array_equal(celegans().weights, gap.weights + chemical.weights)


def test_chemical_synapse_counts(chemical):
    # 2194 directed connections, as published (Varshney et al. 2011)
    assert np.count_nonzero(chemical.weights) == 2194


def test_rows_receive(chemical):
    # Without the transpose the rows would be the 27 neurons that send nothing.
    receives, sends = chemical.weights.any(axis=1), chemical.weights.any(axis=0)
    assert (~receives).sum() == 12
    assert (~sends).sum() == 27


def test_row_of_aiyl_receives_from_column_of_afdl(chemical):
    # the thermosensor AFD sends to the interneuron AIY, and AIY nothing back
    sensor, interneuron = map(chemical.labels.index, ("AFDL", "AIYL"))
    assert chemical.weights[interneuron, sensor] == 7
    assert chemical.weights[sensor, interneuron] == 0


def test_gap_junction_counts(gap):
    # 514 coupled pairs and 890 gap junctions in all, as published; three are of a neuron with
    # itself, on the diagonal
    own = np.diag(gap.weights)
    pairs = np.triu(gap.weights, 1)
    np.testing.assert_array_equal(gap.weights, gap.weights.T)
    assert {gap.labels[i] for i in np.flatnonzero(own)} == {"RIBL", "RIBR", "VA8"}
    assert np.count_nonzero(pairs) == 514
    assert pairs.sum() + own.sum() == 890


def test_giant_gap_junction_component(gap):
    # 0.115 is that of the weighted Laplacian (0.1147); the binary graph has 0.098.
    giant = component(gap.weights, gap.labels.index("AVAL"))
    weights = gap.weights[np.ix_(giant, giant)]
    assert giant.sum() == 248
    # the reference is given to three decimals
    assert np.linalg.eigvalsh(laplacian(weights))[1] == pytest.approx(0.115, abs=5e-4)


def test_celegans_without_contacts():
    with pytest.raises(ValueError, match="set gap_junctions=True or chemical=True"):
        celegans(gap_junctions=False, chemical=False)


@pytest.mark.parametrize("buses", BUSES)
def test_grid_shapes(buses):
    grid = ieee(buses)
    assert isinstance(grid, Grid)
    assert grid.size == len(set(grid.labels)) == buses
    assert grid.weights.shape == (buses, buses)
    for array in (grid.power, grid.angle, grid.power_ac, grid.angle_ac):
        assert array.shape == (buses,)
        assert array.dtype == np.float64


@pytest.mark.parametrize("buses", BUSES)
def test_grid_is_symmetric_and_balanced(buses):
    grid = ieee(buses)
    np.testing.assert_array_equal(grid.weights, grid.weights.T)
    assert not np.diag(grid.weights).any()
    # sums of at most 57 powers below 12: rounding is under 57 * 12 * 2.2e-16 = 2e-13
    assert abs(grid.power.sum()) < 1e-12
    assert abs(grid.power_ac.sum()) < 1e-12


@pytest.mark.parametrize("buses", BUSES)
def test_grid_fixed_point(buses):
    grid = ieee(buses)
    # the angles come from a Newton solver: its residual is up to 4e-13
    assert np.abs(flow(grid.weights, grid.angle) - grid.power).max() < 1e-9


@pytest.mark.parametrize("buses", BUSES)
def test_w07_ac_angles_are_a_fixed_point(buses):
    grid = ieee(buses)
    # power_ac was evaluated from these angles, so only the order of summation differs (1e-13)
    assert np.abs(flow(grid.weights, grid.angle_ac) - grid.power_ac).max() < 1e-9


@pytest.mark.parametrize("buses", BUSES)
def test_the_fixed_points_are_not_interchangeable(buses):
    grid = ieee(buses)
    # losses shift the powers by 0.07 to 0.6 per unit, far above both tolerances
    assert np.abs(flow(grid.weights, grid.angle_ac) - grid.power).max() > 1e-2


@pytest.mark.parametrize("buses", BUSES)
def test_w06_largest_angle_difference(buses):
    grid = ieee(buses)
    linear = np.linalg.pinv(laplacian(grid.weights), hermitian=True) @ grid.power
    found = [largest_edge_difference(grid.weights, node) for node in (grid.angle, linear)]
    # the reference is given to six decimals
    np.testing.assert_allclose(found, EDGE_ANGLE[buses], rtol=0, atol=1e-5)


@pytest.mark.parametrize("buses", [0, 118, 9.5, "9", None])
def test_unknown_grid(buses):
    with pytest.raises(ValueError, match=r"choose one of \[9, 14, 30, 39, 57\]"):
        ieee(buses)


def test_records_check_their_shapes():
    with pytest.raises(ValueError, match=r"weights has shape \(280, 280\) for 279 labels"):
        replace(celegans(), labels=celegans().labels[:-1])
    with pytest.raises(ValueError, match=r"power has shape \(8,\) for 9 labels"):
        replace(ieee(9), power=ieee(9).power[:-1])


def test_arrays_are_read_only_copies():
    grid, weights = ieee(9), np.zeros((1, 1))
    network = Network("one", weights, ("a",), "none", "none")
    weights[0, 0] = 1.0
    assert network.weights[0, 0] == 0.0
    records = (grid.weights, grid.power, grid.angle, grid.angle_ac, grid.power_ac)
    for array in (*records, network.weights, celegans().weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


@pytest.mark.parametrize(
    ("archive", "citation", "licence"),
    [
        ("celegans_varshney2011", "e1001066", "CC BY 4.0"),
        ("ieee_power_flow", "PYPOWER 5.1.21", "BSD-3-Clause"),
    ],
)
def test_licence_lies_beside_the_data(archive, citation, licence):
    text = (DATA / f"{archive}.LICENSE.md").read_text(encoding="utf-8")
    assert (DATA / f"{archive}.npz").is_file()
    assert citation in text
    assert licence in text


def test_every_archive_has_a_licence():
    names = {entry.name for entry in DATA.iterdir()}
    archives = {name.removesuffix(".npz") for name in names if name.endswith(".npz")}
    assert archives
    assert {f"{archive}.LICENSE.md" for archive in archives} <= names


def test_records_name_source_and_licence():
    assert "e1001066" in celegans().source
    assert celegans().licence == "CC BY 4.0"
    for buses in BUSES:
        assert f"PYPOWER 5.1.21 case{buses}" in ieee(buses).source
        assert ieee(buses).licence == "BSD-3-Clause"
