"""`python -m benchmarks [NAME ...]`: run the named parts, or all, and write one JSON."""

import argparse
import json
import platform
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import jax

from tauax import doctor

PARTS = (
    "speed",
    "networks",
    "crystals",
    "gradients",
    "devices",
    "parts",
    "memory",
    "latency",
)
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="NAME", help=f"among {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="the JSON file (default: benchmarks/results/...)")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(unknown)}: choose among {', '.join(PARTS)}")
    platform_name = jax.devices()[0].platform
    path = options.out or RESULTS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{platform_name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {"context": context()}
    for part in options.parts or PARTS:
        print(f"== {part}", flush=True)
        results[part] = import_module(f"benchmarks.{part}").measure()
        path.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written to {path}")


def context() -> dict:
    """Where and with what the figures were taken."""
    device = jax.devices()[0]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "cores": doctor.cores(), "cpu": _cpu()},
        "device": {"kind": device.device_kind, "platform": device.platform},
        "versions": doctor.versions(),
    }


def _cpu() -> dict[str, str]:
    """The model and the vector extensions of the processor, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {"model": platform.processor()}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    flags = [flag for flag in fields.get("flags", "").split() if flag.startswith(("avx", "fma"))]
    return {"model": fields.get("model name", ""), "flags": " ".join(flags)}


if __name__ == "__main__":
    main()
