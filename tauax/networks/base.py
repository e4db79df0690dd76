"""Records for coupling networks that carry data, and the reader of their archives."""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Network:
    """A measured coupling network.

    Oscillator ``i`` receives ``sum_j weights[i, j] f(phase_j - phase_i)``: **row i receives
    from column j**.

    Attributes:
        name: short name.
        weights: ``[oscillator, oscillator]`` float64, read-only, in the units of the source.
        labels: ``[oscillator]`` name of each oscillator, in the order of the rows.
        source: citation of the data.
        licence: licence of the data.

    Raises:
        ValueError: if ``weights`` is not square with one row per label.
    """

    name: str
    weights: NDArray[np.float64]
    labels: tuple[str, ...]
    source: str
    licence: str

    def __post_init__(self) -> None:
        _seal(self, self.size, weights=2)

    @property
    def size(self) -> int:
        """Number of oscillators."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Grid:
    """A power grid as a network of phase oscillators, with two exact fixed points.

    Both pairs, (``power``, ``angle``) and (``power_ac``, ``angle_ac``), obey the lossless flow
    ``P_i = sum_j K_ij sin(theta_i - theta_j)``, the fixed point of
    ``dtheta_i/dt = P_i + sum_j K_ij sin(theta_j - theta_i)``.

    Attributes:
        name: short name.
        weights: ``[bus, bus]`` float64, ``K_ij = |V_i V_j B_ij|`` per unit, symmetric.
        power: ``[bus]`` injections of the full AC power flow less their mean, per unit.
        angle: ``[bus]`` fixed point for ``power``, radian, mean zero.
        angle_ac: ``[bus]`` voltage angles of the full AC power flow, radian, slack bus at zero.
        power_ac: ``[bus]`` injections for which ``angle_ac`` is the fixed point, per unit.
        labels: ``[bus]`` bus numbers as text, in the order of the rows.
        source: citation of the data.
        licence: licence of the data.

    Every array is read-only; one per-unit power is 100 MW.

    Raises:
        ValueError: if an array does not have one row (and column) per label.
    """

    name: str
    weights: NDArray[np.float64]
    power: NDArray[np.float64]
    angle: NDArray[np.float64]
    angle_ac: NDArray[np.float64]
    power_ac: NDArray[np.float64]
    labels: tuple[str, ...]
    source: str
    licence: str

    def __post_init__(self) -> None:
        _seal(self, self.size, weights=2, power=1, angle=1, angle_ac=1, power_ac=1)

    @property
    def size(self) -> int:
        """Number of buses."""
        return len(self.labels)


def load(archive: str, keys: tuple[str, ...]) -> tuple[NDArray, ...]:
    """Arrays ``keys`` of an ``.npz`` archive shipped in ``tauax/networks/data``."""
    path = files("tauax.networks") / "data" / archive
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return tuple(arrays[key] for key in keys)


def _seal(record: Network | Grid, size: int, **axes: int) -> None:
    """Replace the named arrays by read-only float64 copies of ``axes`` axes of ``size`` entries."""
    for name, count in axes.items():
        array = np.array(getattr(record, name), dtype=np.float64)
        if array.shape != (size,) * count:
            raise ValueError(
                f"{name} has shape {array.shape} for {size} labels; pass shape {(size,) * count}"
            )
        array.setflags(write=False)
        object.__setattr__(record, name, array)
