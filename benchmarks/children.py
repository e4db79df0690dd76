"""Measurements that need a process of their own: its memory, or its number of CPU devices."""

import json
import os
import subprocess
import sys
from typing import Any


def in_process(call: str, devices: int = 1) -> Any:
    """What `benchmarks.<module>.<function>(...)` returns in a new process, through JSON.

    `call` is such as "memory.dense()"; the process has so many CPU devices.
    """
    module = call.partition(".")[0]
    program = f"import json\nfrom benchmarks import {module}\nprint(json.dumps({call}))"
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise RuntimeError(f"{call} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
