"""Tau crystals over time: their scales, their field and its anchors."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from tauax._checks import fault
from tauax.batch import pick
from tauax.hints import ANCHORS
from tauax.monitors.trace import Trace
from tauax.plots.base import MANY, bands, blank, evenly, shades
from tauax.readouts import Readout, anchor, as_crystals, harmonic, phase, readout
from tauax.solution import Solution
from tauax.systems.crystals import TauCrystals
from tauax.thresholds import FixedCuts

_BINS = 600  # of time, where more would not be seen
_LINE = 150  # turns of a line, beyond which they cannot be told apart
_BAND = 40  # turns of the field, beyond which a band stands for a whole turn


@readout
def cuts(model, state):
    """The cuts that the present field of tau crystals meets, `[*batch, ..., cut]`."""
    return as_crystals(model.at(state.now)).thresholds.cuts_at(state.buffers.anchors)


def crystals(model, solution: Solution, *, member: int = 0, entity: int = 0):
    """Tau crystals: a panel per scale, and the field with its cuts and its anchors as bands.

    On the left the whole run; on the right its end, three turns of each scale and, for the field,
    of the second fastest. What turns too often for a line is drawn as its range. In a long run a
    band stands for a whole turn, and has the mean of the colours in it.

    **Arguments:** `model`; `solution`, of a run with `tx.Trace` of `tx.phase`, `tx.harmonic` and
    `tx.anchor` at the same steps, and of `plots.cuts` to see cuts that move; `member`, its position
    in the whole batch; `entity`.

    **Returns:** a figure of matplotlib; `.savefig(path)` writes it.

    **Raises:** `ValueError` for a run without those traces; `ImportError` without matplotlib.
    """
    run = _one_entity(model, solution, member, entity)
    scales, second = len(run.names), sorted(run.hertz)[-2:][0]
    figure = blank(width=11.0, height=1.1 * scales + 3.2)
    ratios = {"height_ratios": [1.0] * scales + [2.2], "width_ratios": [3.2, 1.0]}
    rows = figure.subplots(scales + 1, 2, squeeze=False, gridspec_kw=ratios)
    for scale, colour in enumerate(shades(scales)):
        _draw_scale(rows[scale], run, scale, colour)
    for panel, near in zip(rows[-1], (run.last(0.0), run.last(second)), strict=True):
        _draw_field(panel, run, near, second)
        panel.set_xlabel("time (s)")
    rows[-1, 0].set_ylabel("field $h$")
    rows[0, 0].set_title("the whole run", fontsize=10)
    rows[0, 1].set_title("the last three turns", fontsize=10)
    names = ANCHORS[:3] if run.levels == 3 else [f"{code:+g}" for code in run.codes]
    patches = [rows[-1, 0].bar(0, 0, color=colour) for colour in bands(run.levels)]
    figure.legend(patches, names, loc="outside lower center", ncols=run.levels, frameon=False)
    return figure


class _Entity(NamedTuple):
    """A run of one entity: `taus`, `[record, crystal]` of each scale; `cuts`, `[record, cut]`."""

    time: np.ndarray
    names: tuple[str, ...]
    hertz: Sequence[float]
    taus: Sequence[np.ndarray]
    field: np.ndarray
    anchor: np.ndarray
    cuts: np.ndarray

    @property
    def levels(self) -> int:
        return self.cuts.shape[1] + 1

    @property
    def codes(self) -> np.ndarray:
        return np.arange(self.levels) - (self.levels - 1) / 2

    def last(self, hertz: float) -> np.ndarray:
        """Which records belong to the last three turns; all of them at 0 Hz."""
        return (self.time[-1] - self.time) * abs(hertz) <= 3.001


def _one_entity(model, solution: Solution, member: int, entity: int) -> _Entity:
    """What is drawn of a run."""
    index = tuple(int(i) for i in np.unravel_index(member, solution.status.shape))
    one, state = pick(model, solution.state, index)
    system = as_crystals(one.at(state.now))
    found = [_record(solution, wanted, index) for wanted in (phase, harmonic, anchor)]
    lengths = [len(time) for time, _ in found]
    if len(set(lengths)) > 1 or min(lengths) < 2:
        raise fault(
            f"{lengths[0]} records of phase, {lengths[1]} of harmonic, {lengths[2]} of anchor",
            "as many of each, at the same steps, and two at least",
            "give the three traces the same every and after, and run longer",
        )
    (time, phases), *others = found
    field, codes = (values if values.ndim == 1 else values[:, entity] for _, values in others)
    layout, lead = system.layout, float(system.lead)
    taus = layout.spread(system.gain) * jnp.sin(phases + lead)
    hertz = layout.blocks(layout.spread(system.hertz))
    return _Entity(
        time,
        system.scales,
        [float(block[entity].mean()) for block in hertz],
        [np.asarray(block[:, entity]) for block in layout.blocks(taus)],
        field,
        codes,
        _cuts(system, solution, index, entity),
    )


def _record(solution: Solution, wanted: Readout, index) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of a readout in one system."""
    for name, monitor in solution.specification.items():
        if isinstance(monitor, Trace) and monitor.readout is wanted:
            result = solution.monitors[name]
            return np.asarray(result.time), np.asarray(result.value)[index]
    name = wanted.function.__name__
    raise fault(
        f"a run without a trace of tx.{name}",
        "traces of tx.phase, tx.harmonic and tx.anchor",
        f'add "{name}": tx.Trace(tx.{name}) to the monitors of tx.simulate',
    )


def _cuts(system: TauCrystals, solution: Solution, index, entity: int) -> np.ndarray:
    """The cuts of each record, or of all of them in one row; NaN for cuts that move unrecorded."""
    traces = (one for one in solution.specification.values() if isinstance(one, Trace))
    if any(trace.readout is cuts for trace in traces):
        _, found = _record(solution, cuts, index)
        return found if found.ndim == 2 else found[:, entity]
    bank = system.thresholds
    first = np.asarray(bank.cuts_at(bank.init(shape=(), dtype=system.dtype)))
    return (first if isinstance(bank.cuts, FixedCuts) else np.full_like(first, np.nan))[None]


def _draw_scale(row, run: _Entity, scale: int, colour) -> None:
    """The mean over the crystals along the run, and some of the crystals at its end."""
    tau, hertz = run.taus[scale], run.hertz[scale]
    near, some = run.last(hertz), evenly(tau.shape[1], MANY)
    _draw_signal(row[0], run.time, tau.mean(axis=1), hertz, colour)
    row[1].plot(run.time[near], tau[near][:, some], color=colour, linewidth=1.0)
    row[0].set_ylabel(f"τ {run.names[scale]}\n{hertz:.3g} Hz", fontsize=9)
    row[0].tick_params(labelbottom=False)
    row[0].set_xlim(run.time[0], run.time[-1])
    reach = 1.1 * max(float(np.nanmax(np.abs(tau))), 1e-3)
    for panel in row:
        panel.set_ylim(-reach, reach)
        panel.tick_params(labelsize=8)


def _draw_signal(panel, time: np.ndarray, value: np.ndarray, hertz: float, colour) -> None:
    """A line, or where that turns too often its range over a turn and more."""
    turns = int(abs(hertz) * (time[-1] - time[0]))
    if turns <= _LINE:
        panel.plot(time, value, color=colour, linewidth=0.9 if turns <= _BAND else 0.5)
        return
    starts = _starts(len(value), min(turns, _BINS))
    low, high = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
    low, high = np.append(low, low[-1]), np.append(high, high[-1])
    edges = np.append(time[starts], time[-1])
    panel.fill_between(edges, low, high, color=colour, alpha=0.4, linewidth=0, step="post")
    panel.text(0.5, 0.5, f"{turns} turns: their range", transform=panel.transAxes, ha="center")


def _draw_field(panel, run: _Entity, near: np.ndarray, hertz: float) -> None:
    """The field of some records and its cuts, on bands in the colours of the anchors."""
    time, field, code = run.time[near], run.field[near], run.anchor[near]
    cuts = np.broadcast_to(run.cuts, (len(run.time), run.cuts.shape[1]))[near]
    _draw_signal(panel, time, field, hertz, "0.15")
    panel.plot(time, cuts, color="0.3", linewidth=1.0, linestyle="--")
    low, high = panel.get_ylim()
    shares = np.clip(1.0 - np.abs(code[:, None] - run.codes), 0.0, None)
    turns = int(abs(hertz) * (time[-1] - time[0]))
    starts = _starts(len(code), _BINS if turns <= _BAND else min(turns, _BINS))
    shares = np.add.reduceat(shares, starts) / np.diff(starts, append=len(code))[:, None]
    edges = np.append(time[starts], time[-1])
    panel.pcolormesh(edges, (low, high), (shares @ bands(run.levels))[None], zorder=0)
    panel.set(xlim=(time[0], time[-1]), ylim=(low, high))
    panel.tick_params(labelsize=8)


def _starts(records: int, most: int) -> np.ndarray:
    """Where each of at most so many bins of about the same length begins."""
    return np.unique(np.linspace(0, records, max(min(records, most), 1), False).astype(int))
