"""The practical limit of the CPU: C++ with vector extensions by hand, on all cores.

`limit.cpp` is compiled on the spot for this machine. It does one problem only, the mean field by
Euler without noise or with Gaussian or two-point noise, and nothing else can be asked of it.
"""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from tauax import doctor
from tauax.bench.problem import Problem, Side

NAME = "cpp"
NEEDS = ()
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-shared", "-fPIC", "-pthread")
LAWS = {None: 0, "normal": 1, "two_point": 2}
ACROSS_BELOW = 64  # oscillators: so few leave too much of the rows of vectors empty


def make(problem: Problem) -> Side | None:
    """None for any problem but the mean field by Euler."""
    if problem.weights is not None or problem.method != "euler" or problem.noise not in LAWS:
        return None
    library, cores = ctypes.CDLL(str(_built())), doctor.cores()
    across = problem.size < ACROSS_BELOW

    def run(steps: int) -> np.ndarray:
        phase = problem.phase.copy()
        library.run(
            _pointer(phase),
            _pointer(problem.frequency),
            *(ctypes.c_int(n) for n in (problem.members, problem.size, steps, cores, across)),
            *(ctypes.c_float(x) for x in (problem.strength, problem.dt, problem.kick)),
            ctypes.c_int(LAWS[problem.noise]),
            ctypes.c_uint32(0),
        )
        return phase

    layout = "members" if across else "oscillators"
    return Side(
        run, min(cores, problem.members), detail=f"{_version()}, vectors of {layout}, threads"
    )


def missing() -> str | None:
    """What has to be installed or mended first."""
    if compiler() is None:
        return "neither g++ nor clang++ is on the path; install one"
    try:
        _built()
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd)} failed: {error.stderr.decode()[-300:]}"
    return None


@cache
def compiler() -> str | None:
    """The first C++ compiler on the path."""
    return next(filter(None, map(shutil.which, ("g++", "clang++"))), None)


@cache
def _version() -> str:
    done = subprocess.run([compiler(), "-dumpversion"], check=True, capture_output=True, text=True)
    return f"{Path(compiler()).name} {done.stdout.strip()}"


@cache
def _folder() -> tempfile.TemporaryDirectory:
    """Goes with the process."""
    return tempfile.TemporaryDirectory(prefix="limit-")


@cache
def _built() -> Path:
    """The shared library, compiled once for this process."""
    target = Path(_folder().name) / "limit.so"
    source = Path(__file__).with_name("limit.cpp")
    subprocess.run(
        [compiler(), *FLAGS, str(source), "-o", str(target)], check=True, capture_output=True
    )
    return target


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
