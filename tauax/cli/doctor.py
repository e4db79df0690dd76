"""`tauax doctor`."""

import argparse

from tauax import doctor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run(options: argparse.Namespace) -> int:
    """Print the report; 1 if a core package is missing, else 0."""
    report = doctor.examine()
    for section, lines in report.sections.items():
        print(section)
        for name, value in lines.items():
            print(f"  {name:<18} {value}")
    for advice in report.advice:
        print(f"- {advice}")
    return 1 if report.broken else 0
