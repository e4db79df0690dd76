"""The command line: parses, calls, prints. Commands are imported when they are used."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from importlib import import_module

from tauax import __version__

_COMMANDS = {
    "demo": "sweep two real networks over coupling and noise; figure, table and manifest",
    "run": "run a TOML file or a preset from the literature; goes on where it was cut off",
    "bench": "measure the speed beside numpy and a plain JAX program; compare two results",
    "doctor": "report versions, devices and settings, and what is missing",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(given).parse_args(given)
    if options.command is None:
        _parser(given).print_help()
        return 2
    options.line = shlex.join(["tauax", *given])
    try:
        return import_module(f"tauax.cli.{options.command}").run(options)
    except KeyboardInterrupt as error:
        print(f"\ninterrupted: {str(error) or 'nothing was written'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output has gone, as with `| head`
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return 1
    except (OSError, ValueError, TypeError, ImportError, FloatingPointError) as error:
        print(f"tauax {options.command}: {error}", file=sys.stderr)
        return 1


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the command that is asked for adds its options."""
    parser = argparse.ArgumentParser(
        prog="tauax", description="Simulate ensembles of coupled, noisy oscillators."
    )
    parser.add_argument("--version", action="version", version=f"tauax {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        if name in given:
            import_module(f"tauax.cli.{name}").add_arguments(command)
    return parser
