"""Measurements that need a process of their own: its memory, its imports, its CPU devices."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

# The process that asks holds three quarters of a GPU's memory: take of the rest what is needed.
_BESIDE = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def in_process(call: str, devices: int = 1, environment: Mapping[str, str] | None = None) -> Any:
    """What `benchmarks.studies.<module>.<function>(...)` returns in a new process, through JSON.

    `call` is such as "memory.dense()"; the process has so many CPU devices, and `environment`.
    """
    module = call.partition(".")[0]
    program = f"import json\nfrom benchmarks.studies import {module}\nprint(json.dumps({call}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **_BESIDE, "JAX_NUM_CPU_DEVICES": str(devices), **(environment or {})},
    )
    if done.returncode:
        raise RuntimeError(f"{call} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
