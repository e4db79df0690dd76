"""What the description of a run may hold: its model, its length, its monitors and its output.

The reader, `tauax run --schema` and the documentation are made from these classes. A monitor of a
new kind is one class here, in the union `Monitor`, and one line in `build`.
"""

# ruff: noqa: RUF009 (`entry` makes a field)

from dataclasses import dataclass
from typing import ClassVar, Literal

from tauax.runs.parts import (
    Coupling,
    Drive,
    Frequency,
    Initial,
    Noise,
    Numbers,
    UniformPhase,
    entry,
)

Stepper = Literal["euler", "heun", "rk4", "sra1"]
Readout = Literal[
    "coherence", "mean_phase", "phase", "activity", "local_coherence", "halves", "winding"
]
Format = Literal["csv", "npz", "netcdf", "zarr", "png"]

# Axes of the grid -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A named axis of the grid: `path` and one of `values`, `linspace` and `geomspace`."""

    path: str = entry('what is varied, such as "coupling.strength", or "frequency.centre"')
    values: Numbers | None = entry("the values", None)
    linspace: Numbers | None = entry("[first, last, count], evenly spaced", None)
    geomspace: Numbers | None = entry("[first, last, count], evenly spaced ratios", None)


# Monitors ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Monitor:
    every: int = entry("steps from one record to the next", 1, least=1)
    after: int = entry("step of the first record: the transient before it", 0, least=0)


@dataclass(frozen=True, kw_only=True)
class _Reading(_Monitor):
    readout: Readout = entry("what is read", "coherence")


@dataclass(frozen=True, kw_only=True)
class Moments(_Reading):
    """Mean and variance in time."""

    kind: ClassVar[str] = "moments"


@dataclass(frozen=True, kw_only=True)
class Trace(_Reading):
    """The records themselves: the one monitor that grows with the run."""

    kind: ClassVar[str] = "trace"


@dataclass(frozen=True, kw_only=True)
class Extremes(_Reading):
    """Minimum and maximum, and when they were reached."""

    kind: ClassVar[str] = "extremes"


@dataclass(frozen=True, kw_only=True)
class Rotations(_Monitor):
    """Displacement without wrapping and mean frequency of every oscillator."""

    kind: ClassVar[str] = "rotations"


@dataclass(frozen=True, kw_only=True)
class Histogram(_Reading):
    """How often each value occurs."""

    kind: ClassVar[str] = "histogram"
    low: float = entry("the lower end of the range")
    high: float = entry("the upper end of the range")
    bins: int = entry("number of bins", 50, least=1)
    periodic: bool = entry("whether both ends are the same, as for a phase", False)


@dataclass(frozen=True, kw_only=True)
class Autocorrelation(_Reading):
    """Autocovariance and autocorrelation in time."""

    kind: ClassVar[str] = "autocorrelation"
    lags: tuple[int, ...] = entry("lags in records", (0, 1, 2, 4, 8, 16, 32, 64), least=0)


@dataclass(frozen=True, kw_only=True)
class BandPower(_Reading):
    """Spectral power in bands of frequency."""

    kind: ClassVar[str] = "band_power"
    bands: dict[str, Numbers] = entry("[low, high] in Hz, by name")
    window: int = entry("records in a window", 256, least=4)
    taper: Literal["none", "hann"] = entry("the taper of a window", "none")


@dataclass(frozen=True, kw_only=True)
class FirstPassage(_Reading):
    """The first time at which a readout is at or beyond a level."""

    kind: ClassVar[str] = "first_passage"
    level: float = entry("the level, in units of the readout")
    direction: Literal["up", "down"] = entry("up for ≥ level, down for ≤ level", "up")


@dataclass(frozen=True, kw_only=True)
class Metastability(_Monitor):
    """Metastability and chimera index of communities of oscillators."""

    kind: ClassVar[str] = "metastability"
    communities: tuple[int, ...] = entry("size of each community; one of all if empty", (), least=1)


@dataclass(frozen=True, kw_only=True)
class PhaseLocking(_Monitor):
    """Phase locking of every oscillator to every other."""

    kind: ClassVar[str] = "phase_locking"
    n: int = entry("turns of the partner in one common period", 1, least=1)
    m: int = entry("turns of the oscillator in one common period", 1, least=1)


@dataclass(frozen=True, kw_only=True)
class Covariance(_Monitor):
    """Covariance and correlation of what is read of every oscillator."""

    kind: ClassVar[str] = "covariance"
    readout: Readout = entry("what is read of every oscillator", "activity")


@dataclass(frozen=True, kw_only=True)
class Bold(_Monitor):
    """The BOLD signal of what is read of every oscillator, and its functional connectivity."""

    kind: ClassVar[str] = "bold"
    readout: Readout = entry("the neural activity", "activity")
    repetition: int = entry("steps from one scan to the next, a multiple of every", least=1)
    every: int = entry("steps from one step of the haemodynamics to the next", 10, least=1)
    discard: int = entry("first scans left out of the moments", 10, least=0)


Monitor = (
    Moments
    | Trace
    | Extremes
    | Rotations
    | Histogram
    | Autocorrelation
    | BandPower
    | FirstPassage
    | Metastability
    | PhaseLocking
    | Covariance
    | Bold
)

# The run ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is written."""

    folder: str = entry("where the folder of results goes", "runs")
    formats: tuple[Format, ...] = entry("files beside the manifest", ("csv", "png"))
    plot: tuple[str, ...] = entry("what to draw, such as r_mean; one per monitor if empty", ())


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run: a model, for how long, and what is monitored."""

    title: str = entry("one line that says what is shown", "")
    dt: float = entry("length of a step, s", above=0)
    steps: int | None = entry("number of steps; this or duration", None, least=1)
    duration: float | None = entry("s, a whole number of steps; this or steps", None, above=0)
    stepper: Stepper = entry("how time advances; rk4 is for runs without noise", "heun")
    members: int = entry("independent realisations at every point of the grid", 1, least=1)
    key: int = entry("number of the random key", 0, least=0)
    common_noise: bool = entry("whether the points of a grid share phases and noise", False)
    chunk: int | None = entry("steps between saves; a twentieth if left out", None, least=1)
    frequency: Frequency = entry("the natural frequencies")
    coupling: Coupling | None = entry("the coupling; none if left out", None)
    noise: Noise | None = entry("the noise; none if left out", None)
    drive: Drive | None = entry("what acts from outside; nothing if left out", None)
    initial: Initial = entry("the initial phases; uniform if left out", UniformPhase())
    vary: dict[str, Axis] | None = entry("axes of a grid, by name: [vary.strength]", None)
    monitors: dict[str, Monitor] = entry("what is monitored, by name: [monitors.r]")
    output: Output = entry("what is written", Output())
