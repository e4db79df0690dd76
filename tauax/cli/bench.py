"""`tauax bench`."""

import argparse
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, how long and where; or what to compare."""
    parser.add_argument("names", nargs="*", metavar="WORKLOAD", help="see --list")
    parser.add_argument("--list", action="store_true", help="name the workloads and stop")
    parser.add_argument(
        "--full", action="store_true", help="all workloads, longer (default: a minute's worth)"
    )
    parser.add_argument("--rounds", type=int, help="how often each program is timed")
    parser.add_argument("--seconds", type=float, help="what a call takes, about")
    parser.add_argument("--devices", type=int, help="CPU devices for tauax (default: one per core)")
    parser.add_argument("--platform", help="cpu, gpu or tpu (default: what jax chooses)")
    parser.add_argument(
        "--out", type=Path, help="the JSON file to write (default: a new one in runs/)"
    )
    parser.add_argument(
        "--gate", action="store_true", help="exit with 1 where a ratio is below its bound"
    )
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("OLD", "NEW"), help="two results side by side"
    )
    parser.add_argument(
        "--force", action="store_true", help="compare other machines or workloads as well"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; 1 for a result that is wrong or does not pass the gate."""
    return run_with(options, (), folder=Path("runs"))


def run_with(
    options: argparse.Namespace, modules: Sequence[str], folder: Path, studies: Sequence[str] = ()
) -> int:
    """The command, with the rivals of these modules too; results go to `folder`, or to --out.

    `studies` are modules with a `measure()` each, whose results are written beside those of the
    workloads; without names of workloads, only studies are run where there are any but not the full
    suite. All of them are imported once jax has its devices.
    """
    _start_jax(options)
    from tauax.bench import comparison, report, rivals, suite
    from tauax.bench.workloads import TABLE, chosen

    if options.list:
        print(*report.listed(TABLE.values()), sep="\n")
        return 0
    if options.compare:
        old, new = (suite.load(path) for path in options.compare)
        print(*report.changes(comparison.compare(old, new, options.force)), sep="\n")
        return 0
    only_studies = studies and not options.names and not options.full
    workloads = () if only_studies else chosen(options.names, quick=not options.full)
    results = _measured(options, workloads, (*rivals.CORE, *rivals.of(modules)))
    path = options.out or suite.default_path(folder, results)
    suite.save(results, path)
    for study in map(import_module, studies):
        name = study.__name__.rpartition(".")[2]
        print(f"{name}: {(study.__doc__ or '').partition(chr(10))[0]}", flush=True)
        results["studies"][name] = study.measure()
        suite.save(results, path)
    print(f"written to {path}")
    wrong = comparison.failures(results) if options.gate else suite.invalid(results)
    for line in wrong:
        print(f"failed: {line}")
    return 1 if wrong else 0


def _measured(options: argparse.Namespace, workloads, rivals) -> dict:
    from tauax.bench import context, report, suite
    from tauax.bench.rivals import skipped
    from tauax.cli.progress import Progress

    effort = suite.FULL if options.full else suite.QUICK
    effort = suite.Effort(options.rounds or effort.rounds, options.seconds or effort.seconds)
    print(*report.heading(context.context()), sep="\n")
    for name, reason in skipped(rivals).items():
        print(f"without {name}: {reason}")
    progress = Progress()

    def told(name, result) -> None:
        progress.close()
        print(*report.table(name, result), sep="\n", flush=True)

    return suite.measure(workloads, rivals, effort, progress, told)


def _start_jax(options: argparse.Namespace) -> None:
    """Choose devices before jax starts; refuse those it does not have."""
    if options.devices is not None and options.devices < 1:
        raise ValueError(f"got --devices {options.devices}; expected 1 or more. Fix: leave it out.")
    if options.platform:
        os.environ["JAX_PLATFORMS"] = options.platform
    from tauax import doctor

    wanted = options.devices or doctor.cores()
    os.environ["JAX_NUM_CPU_DEVICES"] = str(wanted)
    import jax

    try:
        devices = jax.devices()
    except RuntimeError as error:
        raise ValueError(
            f"got --platform {options.platform}, which jax does not have here ({error}); expected "
            "cpu, or an accelerator that `tauax doctor` lists. Fix: leave --platform out."
        ) from None
    if options.devices and len(devices) != options.devices:
        raise ValueError(
            f"got --devices {options.devices} where jax has {len(devices)}; expected its number. "
            "Fix: leave it out, or unset JAX_NUM_CPU_DEVICES."
        )
