"""Where and with what figures were taken."""

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from tauax import doctor, record
from tauax._compiled import cpu_flags

_VECTORS = ("avx", "fma", "sse4_2", "asimd", "sve")


def context(packages: Iterable[str] = ()) -> dict[str, Any]:
    """The machine, its devices, and the versions of tauax and of `packages`."""
    devices = jax.devices()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"system": platform.platform(), "cores": doctor.cores(), "cpu": _cpu()},
        "device": {
            "kind": devices[0].device_kind,
            "platform": devices[0].platform,
            "count": len(devices),
        },
        "versions": doctor.versions() | _versions(packages),
        "revision": record.git_revision(),
    }


def machine(context: dict[str, Any]) -> str:
    """What has to be equal for two results to be comparable."""
    cpu, device = context["machine"]["cpu"], context["device"]
    flags = " ".join(sorted(cpu.get("flags", "").split()))
    return (
        f"{cpu['model']}, {context['machine']['cores']} cores, {flags}, "
        f"{device['count']} × {device['kind']}"
    )


def _cpu() -> dict[str, str]:
    """The model and the vector extensions of the processor, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {"model": platform.processor()}
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    vectors = sorted(flag for flag in cpu_flags() if flag.startswith(_VECTORS))
    return {"model": fields.get("model name", platform.processor()), "flags": " ".join(vectors)}


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
