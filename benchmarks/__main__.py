"""`python -m benchmarks`: what `tauax bench` does, with more rivals, and with studies.

Without names it runs every workload and then every study, and the result goes to
benchmarks/results; parts of it go to runs/.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.rivals import RIVALS
from tauax.cli import bench

STUDIES = ("costs", "scaling", "limits", "launches", "parts", "memory")
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
    studies = [f"benchmarks.studies.{name}" for name in (STUDIES if every else options.study)]
    try:
        return bench.run_with(options, RIVALS, RESULTS if every else bench.FOLDER, studies)
    except (OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
