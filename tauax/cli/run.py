"""`tauax run`."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to run, what to change in it, and where the results go."""
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="a TOML file, or the name of a preset (see --list)"
    )
    parser.add_argument("--list", action="store_true", help="list the presets and exit")
    parser.add_argument("--schema", action="store_true", help="list every key of a file and exit")
    parser.add_argument("--show", action="store_true", help="print the run as one file and exit")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run and exit")
    parser.add_argument("--out", type=Path, help="folder for the results (default: runs)")
    parser.add_argument("--members", help="members at every point of the grid")
    parser.add_argument("--steps", help="number of steps")
    parser.add_argument("--key", help="number of the random key")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="change one key, such as coupling.strength=2.0; may be repeated",
    )


def run(options: argparse.Namespace) -> int:
    """List, describe, or run and say where the results are."""
    if options.list or options.schema:
        _print_list() if options.list else _print_schema()
        return 0
    if options.run is None:
        print(
            "tauax run: got no RUN; expected a TOML file or the name of a preset. "
            "Fix: choose one of tauax run --list.",
            file=sys.stderr,
        )
        return 2
    from tauax.runs import describe, reader, source

    given = source.load(options.run, _settings(options))
    description = reader.read(given)
    if options.show:
        print(describe.toml(description), end="")
        return 0
    return _run(options, given, description)


def _run(options: argparse.Namespace, given, description) -> int:
    from tauax.cli.progress import Progress
    from tauax.runs import run

    if options.dry_run:
        for name, text in run.summary(given, description):
            print(f"{name:<12} {text}")
        return 0
    print(f"{given.name}: {description.title}" if description.title else given.name, flush=True)
    folder = options.out or Path(description.output.folder)
    progress = Progress()
    try:
        written, notes = run.run(
            given, description, folder, lambda done, steps: progress(given.name, done, steps)
        )
    except run.Interrupted as error:
        raise KeyboardInterrupt(f"{error}\nto go on: {options.line}") from error
    finally:
        progress.close()
    for note in notes:
        print(note)
    print(f"results in {written}/")
    return 0


def _settings(options: argparse.Namespace) -> list[str]:
    """The short options as settings, before those given by --set."""
    short = {"members": options.members, "steps": options.steps, "key": options.key}
    return [*(f"{k}={v}" for k, v in short.items() if v is not None), *options.set]


def _print_list() -> None:
    import tomllib

    from tauax.runs import source

    for name, text in source.presets().items():
        print(f"{name:<20} {tomllib.loads(text).get('title', '')}")


def _print_schema() -> None:
    from tauax.runs import describe

    print(describe.schema())
