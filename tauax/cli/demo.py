"""`tauax demo`."""

import argparse
import time
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write, the key, and the size of the ensemble."""
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="folder for the results (default: runs)"
    )
    parser.add_argument("--key", type=int, default=0, help="number of the random key (default: 0)")
    parser.add_argument(
        "--members",
        type=int,
        default=16,
        help="members at each of the 64 grid points (default: 16, which makes 1024)",
    )


def run(options: argparse.Namespace) -> int:
    """Sweep, print, write."""
    import jax

    from tauax import demo, plots, record
    from tauax.cli.progress import Progress

    plots.require()
    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    keys = jax.random.split(jax.random.key(options.key))
    progress = Progress()
    sweeps = []
    for study, key in zip(demo.studies(options.members), keys, strict=True):
        print(f"{study.title}: {study.noisy_members} noisy members", flush=True)
        sweeps.append(demo.sweep(study, key, progress))
        _print_speed(sweeps[-1])
    curve = demo.mean_field_curve()
    seconds = time.perf_counter() - begin
    results = {
        "seconds": seconds,
        **{
            result.study.name: {
                "oscillator_steps_per_second": result.rate,
                "numpy_oscillator_steps_per_second": result.numpy_rate,
                "compilation_seconds": result.compilation,
            }
            for result in sweeps
        },
    }
    parameters = {
        "key": options.key,
        **{
            result.study.name: {
                "strengths": result.study.strengths.tolist(),
                "intensities": result.study.intensities.tolist(),
                "members": result.study.members,
                "dt": result.study.dt,
                "transient": result.study.transient,
                "steps": result.study.steps,
            }
            for result in sweeps
        },
    }
    folder = record.write(
        options.out,
        "demo",
        record.manifest("demo", parameters, results),
        demo.table(tuple(sweeps), curve),
        lambda path: plots.save_demo(sweeps, curve, path),
    )
    print(f"{time.perf_counter() - begin:.0f} s in all; figure, table and manifest in {folder}/")
    return 0


def _print_speed(result) -> None:
    print(
        f"  tauax {result.rate / 1e6:.0f}, numpy {result.numpy_rate / 1e6:.0f} million "
        f"oscillator-steps per second: {result.rate / result.numpy_rate:.1f} ×; "
        f"compilation {result.compilation:.1f} s apart",
        flush=True,
    )
