"""`python -m benchmarks.readme`: the table and the figure of README from the newest full result."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tauax.bench import suite
from tauax.plots import bench as figures

RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "rates.png"
SIDES = {
    "tauax": "tauax",
    "numpy": "numpy",
    "obvious_jax": "obvious JAX",
    "diffrax": "diffrax",
    "numba": "numba",
    "numba_by_hand": "numba by hand",
    "cpp": "C++",
}
ROWS = {
    "mean-field": "256 × 1,024, mean field",
    "mean-field-gaussian": "the same, Gaussian noise",
    "mean-field-two-point": "the same, two-point noise",
    "small-rows": "16 × 65,536",
    "one-large": "1,000,000 oscillators, one member",
    "one-small": "64 oscillators, one member",
    "dense": "full weights, 1,000 × 64",
    "grid": "585 nodes, 948 lines × 256",
    "celegans": "*C. elegans*, 280 × 1,024",
    "heun": "Heun, 256 × 1,024, Gaussian noise",
    "crystals": "tau crystals, 4 × 10,000 (crystal-steps)",
    "crystals-noisy": "the same, with noise",
}


def newest() -> dict[str, Any]:
    """The newest result of a CPU; names begin with the time."""
    return suite.load(max(RESULTS.glob("*-cpu.json")))


def table(results: Mapping[str, Any]) -> Iterator[str]:
    """Rates in millions a second, and in brackets ours over them."""
    yield f"| workload | {' | '.join(SIDES.values())} |"
    yield "|---" * (1 + len(SIDES)) + "|"
    for name, title in ROWS.items():
        cells = (_cell(results["workloads"][name], side) for side in SIDES)
        yield f"| {title} | {' | '.join(cells)} |"


def _cell(workload: Mapping[str, Any], side: str) -> str:
    if side not in workload["sides"]:
        return "–"
    rate = _digits(workload["sides"][side]["rate"] / 1e6)
    return rate if side == "tauax" else f"{rate} ({_digits(workload['ratios'][side])} ×)"


def _digits(number: float) -> str:
    """Two digits, and all of those before the point."""
    places = 2 if number < 1 else 1 if number < 10 else 0
    return f"{number:,.{places}f}"


def main() -> None:
    """Print the table, draw the figure."""
    results = newest()
    print(*table(results), sep="\n")
    figures.rates(results, FIGURE, workloads=["mean-field", "mean-field-gaussian"])


if __name__ == "__main__":
    main()
