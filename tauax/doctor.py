"""What an installation has, and what it lacks."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_EXTRAS = {
    "matplotlib": "plot",
    "tqdm": "cli",
    "xarray": "xarray",
    "pandas": "xarray",
    "zarr": "data",
    "h5netcdf": "data",
}
_CORE = ("jax", "jaxlib", "numpy", "equinox", "optax")


@dataclass(frozen=True)
class Report:
    """Sections of name → value, advice line by line, and whether a core package is missing."""

    sections: dict[str, dict[str, str]]
    advice: list[str]
    broken: bool


def examine() -> Report:
    """Look at the installation: versions, devices, threads, 64-bit mode, cache, extras."""
    core = {name: _version(name) for name in _CORE}
    extras = {name: _version(name) for name in _EXTRAS}
    missing = [name for name, found in core.items() if found is None]
    advice = [f"{name} is missing: pip install tauax" for name in missing]
    advice += [
        f'{name} is missing: pip install "tauax[{_EXTRAS[name]}]"'
        for name, found in extras.items()
        if found is None
    ]
    sections = {
        "versions": {
            "tauax": _version("tauax") or "not installed",
            "python": platform.python_version(),
            **{name: found or "missing" for name, found in {**core, **extras}.items()},
        },
        "machine": {"system": platform.platform(), "cores": str(cores())},
    }
    if "jax" not in missing and "jaxlib" not in missing:
        sections["jax"], hints = _jax_settings()
        advice += hints
    return Report(sections, advice, broken=bool(missing))


def cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """The installed versions that a result depends on."""
    names = ("tauax", *_CORE)
    return {"python": platform.python_version(), **{name: _version(name) or "" for name in names}}


def _jax_settings() -> tuple[dict[str, str], list[str]]:
    import jax

    devices = jax.devices()
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    settings = {
        "devices": ", ".join(f"{device.device_kind} ({device.platform})" for device in devices),
        "64-bit mode": "on" if jax.config.jax_enable_x64 else "off",  # pyright: ignore[reportAttributeAccessIssue]
        "compilation cache": str(cache) if cache else "off",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "not set"),
    }
    advice = []
    if devices[0].platform == "cpu" and _accelerator_present():
        advice.append('a GPU is here but jax does not see it: pip install "tauax[cuda13]"')
    if not cache:
        advice.append(
            "to keep compiled programs: "
            "export JAX_COMPILATION_CACHE_DIR=~/.cache/tauax "
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0"
        )
    return settings, advice


def _accelerator_present() -> bool:
    return Path("/dev/nvidia0").exists()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
