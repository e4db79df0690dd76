"""`python -m benchmarks`: what `tauax bench` does, with more rivals, and with studies.

Without names it runs every workload and then every study. Results go to benchmarks/results.
"""

import argparse
import sys
from pathlib import Path

from tauax.cli import bench

STUDIES = ("costs", "scaling", "limits", "parts", "memory")
RIVALS = (
    "numba_",
    "numba_by_hand",
    "diffrax_",
    "torch_",
    "cpp",
    "brainmass_",
    "jaxkuramoto_",
    "jitcsde_",
    "kuramoto_",
    "xgi_",
)
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Parse, measure, print, write."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    bench.add_arguments(parser)
    parser.add_argument(
        "--study", action="append", default=[], choices=STUDIES, help="this study (repeatable)"
    )
    options = parser.parse_args()
    every = not (options.names or options.study)
    options.full = options.full or every
    rivals, studies = (
        [f"benchmarks.{folder}.{name}" for name in names]
        for folder, names in (("rivals", RIVALS), ("studies", STUDIES if every else options.study))
    )
    try:
        return bench.run_with(options, rivals, RESULTS, studies)
    except (OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
