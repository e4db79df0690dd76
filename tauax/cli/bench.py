"""`tauax bench`."""

import argparse
import os
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

FOLDER = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, how long and where; or what to compare."""
    parser.add_argument("names", nargs="*", metavar="WORKLOAD", help="see --list")
    parser.add_argument("--full", action="store_true", help="all workloads, and longer")
    parser.add_argument("--rounds", type=int, help="how often each program is timed")
    parser.add_argument("--seconds", type=float, help="what a call takes, about")
    parser.add_argument("--devices", type=int, help="CPU devices for tauax (default: one per core)")
    parser.add_argument("--platform", help="cpu, gpu or tpu (default: what jax chooses)")
    parser.add_argument("--out", type=Path, help="the JSON file to write (default: a new one)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--list", action="store_true", help="name the workloads and stop")
    instead.add_argument(
        "--gate", action="store_true", help="exit with 1 where a ratio is below its bound"
    )
    instead.add_argument(
        "--compare", nargs=2, type=Path, metavar=("OLD", "NEW"), help="two results side by side"
    )
    parser.add_argument(
        "--force", action="store_true", help="compare other machines or workloads as well"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; 1 for a result that is wrong or does not pass the gate."""
    return run_with(options, (), FOLDER)


def run_with(
    options: argparse.Namespace, modules: Sequence[str], folder: Path, studies: Sequence[str] = ()
) -> int:
    """The command, with the rivals of these modules too; results go to `folder`, or to --out.

    `studies` are modules with a `measure()` each, whose results are written beside those of the
    workloads; without names of workloads, only studies are run where there are any but not the full
    suite. All of them are imported once jax has its devices.
    """
    begin = time.perf_counter()
    _start_jax(options)
    from tauax.bench import comparison, context, report, rivals, suite
    from tauax.bench.workloads import TABLE, chosen
    from tauax.cli.progress import Progress

    if options.list:
        print(*report.listed(TABLE.values()), sep="\n")
        return 0
    if options.compare:
        old, new = (suite.load(path) for path in options.compare)
        print(*report.changes(comparison.compare(old, new, options.force)), sep="\n")
        return 0
    only_studies = studies and not options.names and not options.full
    workloads = () if only_studies else chosen(options.names, quick=not options.full)
    usual = suite.FULL if options.full else suite.QUICK
    effort = suite.effort(options.rounds, options.seconds, usual)
    bounds = comparison.bounds_of(options.names) if options.gate else {}
    found = context.context()
    path = options.out or suite.default_path(folder, found)
    suite.check_path(path)
    competing = (*rivals.CORE, *rivals.of(modules))
    print(*report.heading(found), *report.without(rivals.skipped(competing)), sep="\n")
    progress = Progress()

    def save(results) -> None:
        results["took"] = time.perf_counter() - begin
        suite.save(results, path)

    def shown(results, name) -> None:
        progress.close()
        print(*report.table(name, results["workloads"][name]), sep="\n", flush=True)

    def told(results, name) -> None:
        shown(results, name)
        save(results)

    results = suite.measure(workloads, competing, effort, progress, told)
    if again := comparison.below(results, bounds):
        print(f"below its bound, so measured once more: {', '.join(again)}")
        repeated = [TABLE[name] for name in again]
        second = suite.measure(repeated, competing, effort, progress, shown)
        results["workloads"] |= second["workloads"]
        save(results)
    for study in map(import_module, studies):
        name = study.__name__.rpartition(".")[2]
        print(f"{name}: {(study.__doc__ or '').partition(chr(10))[0]}", flush=True)
        results["studies"][name] = study.measure()
        save(results)
    print(f"written to {path}, after {results['took']:.0f} s")
    print(*(f"below what was asked: {line}" for line in suite.missed(results)), sep="\n")
    if options.gate:
        print(*report.bounds(bounds), sep="\n")
        wrong = comparison.failures(results, bounds)
    else:
        wrong = suite.invalid(results)
    for line in wrong:
        print(f"failed: {line}")
    return 1 if wrong else 0


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
    except (RuntimeError, AssertionError) as error:  # the latter: a platform of the environment
        raise ValueError(
            f"got the platform {os.environ.get('JAX_PLATFORMS')}, which jax does not have here "
            f"({error}); expected cpu, or an accelerator that `tauax doctor` lists. Fix: leave "
            "--platform out, or unset JAX_PLATFORMS."
        ) from None
    if options.devices and len(devices) != options.devices:
        raise ValueError(
            f"got --devices {options.devices} where jax has {len(devices)}; expected its number. "
            "Fix: leave it out, or unset JAX_NUM_CPU_DEVICES."
        )
