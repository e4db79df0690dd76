"""Weight matrices that a file can name: row i holds what oscillator i receives."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tauax import networks
from tauax.runs import parts


def weights(given: parts.Weights, folder: Path) -> np.ndarray:
    """`[target, source]`, float64.

    **Raises:** `OSError` or `ValueError` for a file that cannot be read or holds no numbers.
    """
    if isinstance(given, parts.WeightsFile):
        return numbers_in(folder / given.file)
    return _MATRICES[given.kind](given)


def numbers_in(path: Path) -> np.ndarray:
    """The numbers in a `.npy` file, or in text with one row per line."""
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    with path.open(encoding="utf-8") as file:
        delimiter = "," if "," in file.readline() else None
    return np.loadtxt(path, delimiter=delimiter, dtype=np.float64)


def _ring(given: parts.Ring) -> np.ndarray:
    if 2 * given.neighbours >= given.size:
        raise ValueError(
            f"got neighbours = {given.neighbours} on each side of {given.size} oscillators; "
            f"expected at most {(given.size - 1) // 2}. Fix: take fewer, or a mean field."
        )
    place = np.arange(given.size)
    distance = np.abs(place[:, None] - place)
    distance = np.minimum(distance, given.size - distance)
    return ((distance > 0) & (distance <= given.neighbours)).astype(np.float64)


def _star(given: parts.Star) -> np.ndarray:
    matrix = np.zeros((given.leaves + 1, given.leaves + 1))
    matrix[0, 1:] = matrix[1:, 0] = 1.0
    return matrix


def _populations(given: parts.Populations) -> np.ndarray:
    strength = np.asarray([[given.within, given.between], [given.between, given.within]])
    return np.kron(strength, np.ones((given.size, given.size))) / given.size


def _random(given: parts.RandomGraph) -> np.ndarray:
    generator = np.random.default_rng(given.key)
    linked = generator.random((given.size, given.size)) < given.degree / (given.size - 1)
    upper = np.triu(linked, 1)
    return (upper | upper.T).astype(np.float64)


_MATRICES: Mapping[str, Callable] = {
    "celegans": lambda given: networks.celegans(given.gap_junctions, given.chemical).weights,
    "ieee": lambda given: networks.ieee(given.buses).weights,
    "populations": _populations,
    "random": _random,
    "ring": _ring,
    "star": _star,
    "values": lambda given: np.asarray(given.values, np.float64),
}
