"""From a checked description to a model, its first state and its monitors."""

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tauax import drives, frequencies, monitors, networks, steppers
from tauax.batch import per_member, vary
from tauax.couplings import AbstractCoupling, Dense, MeanField
from tauax.ensemble import init
from tauax.monitors import AbstractMonitor
from tauax.noise import WhiteNoise
from tauax.responses import PhaseResponse
from tauax.runs import parts, schema
from tauax.runs.axes import Values, grid_values
from tauax.runs.places import KeyPath
from tauax.runs.reader import total_steps
from tauax.runs.readouts import READOUTS
from tauax.runs.source import ConfigError, Source
from tauax.runs.weights import numbers_in, weights
from tauax.state import State
from tauax.steppers import AbstractStepper
from tauax.systems import PhaseOscillators

_STEPPERS = {
    "euler": steppers.Euler,
    "heun": steppers.Heun,
    "rk4": steppers.RK4,
    "sra1": steppers.SRA1,
}
_CHUNKS = 20


@dataclass(frozen=True)
class Setup:
    """What `iterate` is called with, and the values along the axes of the grid."""

    model: Any
    state: State
    dt: float
    steps: int
    chunk: int
    stepper: AbstractStepper
    monitors: dict[str, AbstractMonitor]
    coordinates: dict[str, np.ndarray]


def setup(source: Source, run: schema.Run) -> Setup:
    """Everything that a run needs, made of parts.

    **Raises:** `ConfigError` for parts that do not fit each other, with the place of the table.
    """
    key = jax.random.key(run.key)
    phase_key, frequency_key = jax.random.split(key)
    system = partial(_system, source, key=frequency_key)
    model, coordinates = _grid(source, run, system)
    if getattr(run.frequency, "draw", "") == "per_member":
        with _at(source, ("frequency", "draw")):
            sets = _frequency(source, run, None, model.size, frequency_key, run.members)
            model = per_member(model, lambda m: m.frequency, sets)
    steps, state = total_steps(run), _state(source, run, model, phase_key)
    return Setup(
        model=model,
        state=state,
        dt=run.dt,
        steps=steps,
        chunk=run.chunk or _chunk(steps),
        stepper=_STEPPERS[run.stepper](),
        monitors=_monitors(source, run, model, state, steps),
        coordinates=coordinates,
    )


def _chunk(steps: int) -> int:
    """About a twentieth of the steps, a divisor if there is one: a shorter rest compiles anew."""
    for count in range(_CHUNKS, _CHUNKS // 2, -1):
        if steps % count == 0:
            return steps // count
    return -(-steps // _CHUNKS)


@contextmanager
def _at(source: Source, path: KeyPath):
    """Puts the place of a table in front of what its part complains about."""
    try:
        yield
    except ConfigError:
        raise
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(f"{source.place(path)}: {error}") from error


# The model --------------------------------------------------------------------------------------


def _system(source: Source, run: schema.Run, *, key) -> PhaseOscillators:
    """One system: its drawn frequencies are set 0 of those of its members."""
    coupling = _coupling(source, run)
    size = coupling.weights.shape[0] if isinstance(coupling, Dense) else None
    frequency = _frequency(source, run, coupling, size, key, None)
    made = {"coupling": coupling, "noise": _noise(source, run), "drive": _drive(source, run)}
    for name, part in made.items():
        with _at(source, (name,)):
            if part is not None:
                part.check(len(frequency))
    with _at(source, ("frequency",)):
        return PhaseOscillators(frequency, **made)


def _coupling(source: Source, run: schema.Run) -> AbstractCoupling | None:
    match run.coupling:
        case parts.MeanField(strength=strength, lag=lag):
            with _at(source, ("coupling",)):
                return MeanField(_array(strength), lag)
        case parts.Dense(weights=given, strength=strength, lag=lag, norm=norm):
            with _at(source, ("coupling", "weights")):
                matrix = weights(given, source.folder)
            with _at(source, ("coupling",)):
                return Dense(np.asarray(matrix, np.float32), _array(strength), lag, norm)
    return None


def _noise(source: Source, run: schema.Run) -> WhiteNoise | None:
    if run.noise is None:
        return None
    with _at(source, ("noise",)):
        return WhiteNoise(_array(run.noise.intensity), run.noise.increments)


def _drive(source: Source, run: schema.Run) -> drives.AbstractDrive | None:
    if run.drive is None:
        return None
    with _at(source, ("drive",)):
        return _DRIVES[run.drive.kind](run.drive)


def _sine(given: parts.Forcing) -> drives.Forcing:
    amplitude, frequency, phase = map(_array, (given.amplitude, given.frequency, given.phase))
    return drives.Forcing(drives.Sine(amplitude, frequency, phase), _RESPONSES[given.response]())


def _tone(given: parts.Tone) -> drives.Tone:
    amplitude, frequency, phase = map(_array, (given.amplitude, given.frequency, given.phase))
    return drives.Tone(amplitude, frequency, phase, given.turns, given.cycles)


def _pulses(given: parts.PulseTrain) -> drives.PulseTrain:
    response = _RESPONSES[given.response]()
    return drives.PulseTrain(_array(given.strength), given.period, response, given.start)


def _kicks(given: parts.Kicks) -> drives.Kicks:
    return drives.Kicks(_array(given.times), _array(given.sizes))


_DRIVES: Mapping[str, Callable] = {
    "forcing": _sine,
    "kicks": _kicks,
    "pulses": _pulses,
    "tone": _tone,
}
_RESPONSES: Mapping[str, Callable] = {
    "none": lambda: None,
    "type_one": PhaseResponse.type_one,
    "type_two": PhaseResponse.type_two,
}


def _frequency(source: Source, run: schema.Run, coupling, size: int | None, key, members):
    """`[oscillator]`, or with members `[member, oscillator]`."""
    given, path = run.frequency, ("frequency",)
    own = getattr(given, "size", None)
    if own is not None and size is not None and own != size:
        got = f"frequency.size = {own} with weights of {size} oscillators"
        raise source.fault((*path, "size"), got, "as many", "leave out frequency.size")
    size = own or size
    with _at(source, path):
        match given:
            case parts.GivenFrequencies(values=values):
                return np.asarray(values, np.float32)
            case parts.FrequencyFile(file=file):
                return numbers_in(source.folder / file).astype(np.float32)
            case parts.Degree(factor=factor):
                _needs(source, coupling, Dense, 'coupling of kind "dense"')
                return factor * jnp.abs(coupling.weights).sum(axis=-1)
            case parts.Power():
                grid = getattr(run.coupling, "weights", None)
                _needs(source, grid, parts.PowerGrid, 'coupling with weights of kind "ieee"')
                return _power(grid)
    if size is None:
        got, expected = "[frequency] without size", "the number of oscillators"
        raise source.fault(path, got, expected, "add size = 256, or a coupling with weights")
    if isinstance(given, parts.Identical):
        return np.full(size, given.value, np.float32)
    law = getattr(frequencies, given.kind)
    drawn = key if given.draw != "quantiles" else None
    with _at(source, path):
        return law(size, given.centre, given.width, key=drawn, members=members)


def _power(grid) -> np.ndarray:
    return networks.ieee(grid.buses).power.astype(np.float32)


def _needs(source: Source, found: Any, kind: type, expected: str) -> None:
    if not isinstance(found, kind):
        given = source.table["frequency"]["kind"]
        got = f'frequency of kind "{given}" without a {expected}'
        raise source.fault(("frequency", "kind"), got, f"a {expected}", "add one, or another kind")


def _array(value: float | tuple[float, ...]):
    return np.asarray(value, np.float32) if isinstance(value, tuple) else value


# The grid ---------------------------------------------------------------------------------------


def _grid(source: Source, run: schema.Run, system: Callable):
    """The model with the axes of the run, and the values along them.

    An axis moves the numbers of the model that differ when its path has other values.
    """
    base = system(run)
    if not run.vary:
        return base, {}
    entries, coordinates = {}, {}
    for name in run.vary:
        found = grid_values(source, run, name)
        entries[name] = _moved(source, base, found, system)
        coordinates[name] = np.asarray(found.values)
    with _at(source, ("vary",)):
        return vary(base, entries), coordinates


def _moved(source: Source, base: PhaseOscillators, found: Values, system: Callable):
    """The leaves that differ along an axis, as an entry of `vary`."""
    made = [jax.tree.leaves(system(one)) for one in (*found.runs, *found.probe)]
    shapes = {tuple(leaf.shape for leaf in leaves) for leaves in (jax.tree.leaves(base), *made)}
    if len(shapes) > 1:
        got = f"{found.path!r}, which changes the shape of the model"
        raise source.fault(found.place, got, "a number in it", "run once for each value")
    stacked = [np.stack(leaves) for leaves in zip(*made, strict=True)]
    moving = [at for at, values in enumerate(stacked) if (values != values[:1]).any()]
    if not moving:
        got = f"{found.path!r}, which changes nothing in the model"
        raise source.fault(found.place, got, "a number that the model has", "vary another")

    def where(model):
        leaves = jax.tree.leaves(model)
        return tuple(leaves[at] for at in moving)

    return where, tuple(stacked[at][: len(found.runs)] for at in moving)


# The start and the monitors -----------------------------------------------------------------------


def _state(source: Source, run: schema.Run, model, key) -> State:
    begin = partial(init, model, key=key, members=run.members, common_noise=run.common_noise)
    with _at(source, ("initial",)):
        match run.initial:
            case parts.UniformPhase():
                return begin()
            case parts.GivenPhase(values=values):
                return begin(phase=np.asarray(values, np.float32))
        spread = np.asarray(begin().phase) / (2.0 * np.pi)
        return begin(phase=_PHASES[type(run.initial)](run.initial, spread))


def _arc(given: parts.Arc, spread: np.ndarray) -> np.ndarray:
    last = given.width if given.last is None else given.last
    return spread * np.linspace(given.width, last, spread.shape[-2])[:, None]


def _half(given: parts.HalfSynchronised, spread: np.ndarray) -> np.ndarray:
    size = spread.shape[-1]
    return np.where(np.arange(size) < size // 2, 0.0, given.centre + given.width * spread)


def _twisted(given: parts.Twisted, spread: np.ndarray) -> np.ndarray:
    size = spread.shape[-1]
    return 2.0 * np.pi * given.winding * np.arange(size) / size + given.width * spread


_PHASES: Mapping[type, Callable] = {
    parts.Arc: _arc,
    parts.HalfSynchronised: _half,
    parts.Twisted: _twisted,
}


def _monitors(source: Source, run: schema.Run, model, state: State, steps: int):
    """The monitors by name, each found to suit the model."""
    made = {}
    for name, given in run.monitors.items():
        with _at(source, ("monitors", name)):
            monitor = made[name] = _MONITORS[given.kind](given)
            records = monitor.records(steps)
            jax.eval_shape(partial(_begun, monitor, records), model, state)
    return made


def _begun(monitor: AbstractMonitor, records: int, model, state: State) -> Any:
    return monitor.init(model, state, records)


def _reading(kind: Callable, *names: str) -> Callable:
    """A monitor of a readout, whose own arguments have the names of the keys."""

    def make(given):
        own = {name: getattr(given, name) for name in names}
        return kind(READOUTS[given.readout], every=given.every, after=given.after, **own)

    return make


def _metastability(given: schema.Metastability) -> AbstractMonitor:
    sizes = given.communities
    groups = np.repeat(np.arange(len(sizes)), sizes) if sizes else None
    return monitors.Metastability(groups, every=given.every, after=given.after)


_MONITORS: Mapping[str, Callable] = {
    "autocorrelation": _reading(monitors.Autocorrelation, "lags"),
    "bold": _reading(monitors.Bold, "repetition", "discard"),
    "covariance": _reading(monitors.Covariance),
    "phase_locking": lambda given: monitors.PhaseLocking(
        every=given.every, after=given.after, n=given.n, m=given.m
    ),
    "band_power": _reading(monitors.BandPower, "bands", "window", "taper"),
    "extremes": _reading(monitors.Extremes),
    "first_passage": _reading(monitors.FirstPassage, "level", "direction"),
    "histogram": _reading(monitors.Histogram, "low", "high", "bins", "periodic"),
    "metastability": _metastability,
    "moments": _reading(monitors.Moments),
    "rotations": lambda given: monitors.Rotations(every=given.every, after=given.after),
    "trace": _reading(monitors.Trace),
}
