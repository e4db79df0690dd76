"""Standard test cases of power-flow analysis."""

from tauax.networks.base import Grid, load

ARCHIVE = "ieee_power_flow.npz"
ORIGIN = {
    9: "Chow JH (1982) Time-Scale Modeling of Dynamic Networks, p. 70",
    14: "IEEE 14-bus case (1962), Power Systems Test Case Archive, University of Washington",
    30: "Alsac O, Stott B (1974) IEEE Trans Power Appar Syst 93:745-751",
    39: "New England system: Bills GW et al. (1970) EEI report RP90-1; Pai MA (1989)",
    57: "IEEE 57-bus case (1961), Power Systems Test Case Archive, University of Washington",
}
LICENCE = "BSD-3-Clause"
FIELDS = {
    "weights": "K",
    "power": "P_balanced",
    "angle": "theta_lossless",
    "angle_ac": "theta_ac",
    "power_ac": "P_lossless",
}


def ieee(buses: int) -> Grid:
    """Power-flow test case of 9, 14, 30, 39 or 57 buses as a lossless oscillator grid.

    ``P_i = sum_j K_ij sin(theta_i - theta_j)`` with ``K_ij = |V_i V_j B_ij|``: voltage magnitudes
    ``V`` from the solved AC power flow, ``B`` the imaginary part of the bus admittance matrix.

    Args:
        buses: number of buses.

    Returns:
        Grid of ``buses`` buses; ``weights`` ``[bus, bus]`` and the powers ``[bus]`` per unit of
        100 MW, the angles ``[bus]`` in radian.

    Raises:
        ValueError: if there is no case of that size.

    Source:
        Cases of PYPOWER 5.1.21; ``Grid.source`` names the origin of each.
    """
    if buses not in ORIGIN:
        raise ValueError(f"no case of {buses!r} buses; choose one of {sorted(ORIGIN)}")
    case = f"case{int(buses)}"
    keys = tuple(f"{case}/{key}" for key in (*FIELDS.values(), "bus_id"))
    *arrays, bus = load(ARCHIVE, keys)
    labels, source = tuple(map(str, bus.tolist())), f"{ORIGIN[buses]}; PYPOWER 5.1.21 {case}"
    record = dict(zip(FIELDS, arrays, strict=True))
    return Grid(case, labels=labels, source=source, licence=LICENCE, **record)
