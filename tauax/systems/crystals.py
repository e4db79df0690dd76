"""Tau crystals: oscillators on several time scales, read out as one weighted field."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import (
    check_count,
    check_instance,
    check_numbers,
    check_shape,
    fault,
    is_concrete,
)
from tauax._types import FINITE, NONNEGATIVE, MemberKey, Phase, Torque, numeric
from tauax.clock import Moment
from tauax.couplings.base import AbstractCoupling
from tauax.drives.base import AbstractDrive
from tauax.noise import AbstractNoise
from tauax.numerics import random
from tauax.numerics.cycles import Words, nominal
from tauax.numerics.fusion import product
from tauax.numerics.reduce import total_of
from tauax.numerics.trig import sincos, sincos_once
from tauax.scales import NAMES, Layout, ScaleLink, layout
from tauax.state import State
from tauax.systems.base import AbstractSystem
from tauax.thresholds import Thresholds

Couplings = AbstractCoupling | tuple[AbstractCoupling | None, ...] | None


class Kind(NamedTuple):
    """So many entities of one kind in a population; what is None is as the model has it."""

    count: int
    hertz: Any = None
    weights: Any = None
    gain: Any = None


class Recollection(eqx.Module):
    """What tau crystals remember: the last values of the field, and what the cuts need.

    **Attributes:** `field`, `[*batch, window − 1, ...]`: the value of step n in row n mod
    (window − 1); `anchors`, the memory of the thresholds.
    """

    field: Array
    anchors: Any


_CUTS = {"thresholds": (-0.3, 0.3), "attention": (0.1, 0.5)}


def _or_fixed(name: str) -> Callable[[Any], Any]:
    """A converter that puts fixed cuts where nothing is given; no array is made on import."""
    return lambda value: Thresholds(_CUTS[name]) if value is None else value


def _plain(value: Any) -> Any:
    """Lists as tuples and integers of numpy as Python's: what tells one program from another."""
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value))
    return int(value) if isinstance(value, np.integer) else value


def _or_none(value: Any) -> Array | None:
    return None if value is None else numeric(value)


class TauCrystals(AbstractSystem):
    """dθ_i = [2πf_i + C_i(θ) + F_i(t, θ)] dt + √(2 D_i) dW_i, read out as h = Σ_s w_s ⟨τ_i⟩_s.

    τ_i = g_s·sin(θ_i + δ) is the read-out of a crystal, and the mean is over the crystals of scale
    s. Thresholds turn the field h into anchors: FLOW+ above, SYNC between, FLOW− below. Without
    arguments it is the original system: four scales with one crystal each, uncoupled and from phase
    0. The phases turn by 2πf as integers, so they stay exact over 10⁷ steps.

    **Arguments:** `hertz` f, cycles per second; `weights` w and `gain` g: one number per scale,
    `[scale]`, or per entity and scale, `[entity, scale]`; frequencies also `[oscillator]`. `lead` δ
    in radians. `within`, the coupling of the crystals of one scale of one entity; `among`, that of
    the entities on one scale, each crystal with those of its place in the others; each one coupling
    for all scales, or a tuple with one or None for each. `between`, a tuple of `tx.ScaleLink`.
    `noise` D and `drive` F as in `PhaseOscillators`. `deviation` σ ≥ 0, the standard deviation of
    what every reading of the field adds at random. `thresholds`, of the field; `attention`, of its
    variance in the last `window` values, the present one included. `scales`, their names;
    `crystals`, how many there are on each scale, one number or one per scale; `entities`, their
    number, or None for one system without that axis; `kinds`, the name and number of each kind of
    them, which `with_kinds` sets.

    Oscillators come in the order scale, entity, crystal. Coupled crystals start at random, others
    at phase 0, unless `tx.init(..., phase=...)` says otherwise.

    **Raises:** `ValueError` for values that are not finite, shapes and parts that do not fit.
    """

    hertz: Array = eqx.field(converter=numeric, metadata=FINITE, default=(10.0, 1.0, 0.1, 0.01))
    weights: Array = eqx.field(converter=numeric, metadata=FINITE, default=(0.1, 0.4, 0.3, 0.2))
    gain: Array = eqx.field(converter=numeric, metadata=FINITE, default=(0.995, 0.99, 0.985, 0.98))
    lead: Array = eqx.field(converter=numeric, metadata=FINITE, default=0.1)
    thresholds: Thresholds = eqx.field(converter=_or_fixed("thresholds"), default=None)
    attention: Thresholds = eqx.field(converter=_or_fixed("attention"), default=None)
    within: Couplings = None
    between: tuple[ScaleLink, ...] = ()
    among: Couplings = None
    noise: AbstractNoise | None = None
    drive: AbstractDrive | None = None
    deviation: Array | None = eqx.field(converter=_or_none, metadata=NONNEGATIVE, default=None)
    scales: tuple[str, ...] = eqx.field(static=True, converter=tuple, default=NAMES)
    crystals: int | tuple[int, ...] = eqx.field(static=True, converter=_plain, default=1)
    entities: int | None = eqx.field(static=True, converter=_plain, default=None)
    window: int = eqx.field(static=True, converter=_plain, default=10)
    kinds: tuple[tuple[str, int], ...] = eqx.field(static=True, default=())

    def __check_init__(self) -> None:
        check_numbers(self)
        check_count("window", self.window, 2)
        if self.kinds:
            _check_counts(self.kinds, self.entities)
        where = self.layout
        where.check("hertz", self.hertz, each=True)
        if self.dtype not in (jnp.float32, jnp.float64):
            fix = "convert it: a phase in fewer bits loses slow oscillators"
            raise fault(f"hertz of dtype {self.dtype}", "float32 or float64", fix)
        where.check("weights", self.weights)
        where.check("gain", self.gain)
        check_shape("lead", self.lead, [()], "give one angle for all crystals")
        if self.deviation is not None:
            check_shape("deviation", self.deviation, [()], "give one number for all readings")
        for name in ("thresholds", "attention"):
            fix = f"pass {name}=tx.Thresholds({_CUTS[name]})"
            check_instance(name, getattr(self, name), Thresholds, fix)
        check_instance("between", self.between, tuple, "pass a tuple of tx.ScaleLink(...)")
        for link in self.between:
            check_instance("between", link, ScaleLink, "pass a tuple of tx.ScaleLink(...)")
            link.check(where)
        for one, count in zip(self._couplings("within"), where.crystals, strict=True):
            if one is not None:
                one.check(count)
        for one in self._couplings("among"):
            if one is not None:
                if self.entities is None:
                    raise fault(
                        "a coupling among the entities of a model without them",
                        "entities to couple",
                        "pass entities= as well, or couple crystals by within=",
                    )
                one.check(self.entities)
        for name, kind in _PARTS.items():
            part = getattr(self, name)
            if part is not None:
                check_instance(name, part, kind, f"pass {name}={_EXAMPLE[name]}")
                part.check(self.size)

    def with_kinds(self, kinds: Mapping[str, Kind]) -> "TauCrystals":
        """The population with entities of several kinds, in the order given.

            model = tx.TauCrystals(entities=360, among=tx.MeanField(0.5)).with_kinds({
                "gate": tx.Kind(40, hertz=(15.0, 1.0, 0.1, 0.01)),
                "lens": tx.Kind(320, weights=(0.2, 0.4, 0.3, 0.2)),
            })

        **Raises:** `ValueError` if their numbers do not add up to `entities`.
        """
        check_instance("kinds", kinds, Mapping, 'pass {"gate": tx.Kind(40), ...}')
        for name, kind in kinds.items():
            check_instance(f"kinds[{name!r}]", kind, Kind, "pass tx.Kind(40, hertz=...)")
            check_count(f"kinds[{name!r}].count", kind.count, 1)
        counts = tuple((name, kind.count) for name, kind in kinds.items())
        _check_counts(counts, self.entities)
        changed = {name: self._of_kinds(name, kinds) for name in ("hertz", "weights", "gain")}
        return replace(self, kinds=counts, **changed)

    def entities_of(self, kind: str) -> slice:
        """Where the entities of a kind are on the entity axis."""
        start = 0
        for name, count in self.kinds:
            if name == kind:
                return slice(start, start + count)
            start += count
        known = ", ".join(name for name, _ in self.kinds) or "none"
        raise fault(f"a kind named {kind!r}", f"one of {known}", "name one given to with_kinds")

    @property
    def layout(self) -> Layout:
        """Which oscillator belongs to which scale and entity."""
        return layout(self.scales, self.crystals, self.entities)

    @property
    def size(self) -> int:
        return self.layout.size

    @property
    def dtype(self):
        return self.hertz.dtype

    @property
    def frequency(self) -> Array:
        """ω = 2πf, `[oscillator]`, rad/s."""
        return 2.0 * math.pi * self.layout.spread(self.hertz)

    @property
    def rotation(self) -> Words:
        return nominal(self.layout.spread(self.hertz))

    @property
    def needs_key(self) -> bool:
        return self.deviation is not None or super().needs_key

    @property
    def random_phase(self) -> bool:
        coupled = self._couplings("within") + self._couplings("among")
        return bool(self.between) or any(one is not None for one in coupled)

    @property
    def turns_only(self) -> bool:
        return self.drive is None and self.noise is None and not self.random_phase

    def initial_phase(self, key: MemberKey | None) -> Phase:
        if key is None or not self.random_phase:
            return jnp.zeros((self.size,), self.dtype)
        return random.angles(key, self.size, self.dtype)

    def drift(self, phase: Phase, moment: Moment) -> Torque:
        torque = jnp.zeros_like(phase)
        if self.random_phase:
            torque = torque + self._torque(phase, moment)
        if self.drive is not None:
            torque = torque + self.drive(phase, moment)
        return torque

    def jump(self, phase: Phase, moment: Moment) -> Phase:
        return phase if self.drive is None else self.drive.jump(phase, moment)

    def shared(self, state: State) -> Array:
        return self._read(state)

    def first_buffers(self, phase: Phase) -> Recollection:
        each = self.layout.per_entity
        field = jnp.zeros((self.window - 1, *each), phase.dtype)
        return Recollection(field, self.thresholds.init(shape=each, dtype=phase.dtype))

    def advance(self, buffers: Recollection, state: State) -> Recollection:
        field = self.field(state)
        row = state.step % (self.window - 1)
        kept = jax.lax.dynamic_update_index_in_dim(buffers.field, field, row, 0)
        anchors = self.thresholds.advance(buffers.anchors, field, state.clock.dt)
        return Recollection(kept, anchors)

    def field(self, state: State) -> Array:
        """h as it is read at a state, `[]` or `[entity]`.

        **Raises:** `ValueError` for a state of another model.
        """
        if state.phase.shape != (self.size,):
            raise fault(
                f"a state of {state.phase.shape[-1]} oscillators for {self.size} crystals",
                "a state of this model",
                "make it with tx.init from this model",
            )
        return self._read(state) if state.shared is None else state.shared

    def _read(self, state: State) -> Array:
        kind = state.phase.dtype
        sin, _ = sincos(state.phase + self.lead.astype(kind))
        share = (self.weights * self.gain).astype(kind).T  # scale first
        terms = [product(x, share[s]) for s, x in enumerate(self.layout.means(sin))]
        field = total_of(terms)
        if self.deviation is None:
            return field
        if state.key is None:
            raise fault(
                "a state without a key for a field that is read with noise",
                "a key",
                "make the state from this model: tx.init(model, key=jax.random.key(0))",
            )
        count = self._number_of_entities()
        drawn = random.normal(state.key, state.step, count, field.dtype, random.MEASURED)
        return field + product(drawn.reshape(field.shape), self.deviation)

    def anchor(self, state: State) -> Array:
        """The code of the present field, `[]` or `[entity]`: 1 FLOW+, 0 SYNC, −1 FLOW−."""
        return self.thresholds(state.buffers.anchors, self.field(state))

    def recent(self, state: State) -> tuple[Array, Array]:
        """The last values of the field, `[..., window]`, the present one last, and their number.

        Before there are as many, the number tells how many of them, at the end, there have been.
        """
        past = jnp.roll(state.buffers.field, -(state.step % (self.window - 1)), axis=0)
        values = jnp.concatenate([past, self.field(state)[None]])
        return jnp.moveaxis(values, 0, -1), jnp.minimum(state.step + 1, self.window)

    def check_dt(self, dt: Any) -> None:
        if is_concrete(dt) and is_concrete(self.hertz):
            fastest = float(np.abs(np.asarray(self.hertz)).max())
            if float(dt) * fastest >= 0.5:
                raise fault(
                    f"dt={float(dt):g} for a scale of {fastest:g} Hz",
                    f"less than half a turn per step, dt < {0.5 / fastest:g}",
                    "take a shorter dt, or leave out the scale that it does not resolve",
                )

    def _torque(self, phase: Phase, moment: Moment) -> Torque:
        """What the crystals exert on each other, `[oscillator]`, rad/s."""
        where = self.layout
        phases = where.blocks(phase)
        waves = [sincos_once(block, moment.step) for block in phases]
        torques = [jnp.zeros_like(block) for block in phases]
        for s, (sin, cos) in enumerate(waves):
            inner, outer = self._couplings("within")[s], self._couplings("among")[s]
            if inner is not None:
                torques[s] = torques[s] + jax.vmap(inner)(sin, cos)
            if outer is not None:
                torques[s] = torques[s] + jax.vmap(outer, 1, 1)(sin, cos)
        for link in self.between:
            target, source = where.position(link.target), where.position(link.source)
            torques[target] = torques[target] + link(phases[target], phases[source])
        return where.joined(torques)

    def _couplings(self, name: str) -> tuple[AbstractCoupling | None, ...]:
        """One coupling or None per scale."""
        given, scales = getattr(self, name), self.scales
        found = given if isinstance(given, tuple) else (given,) * len(scales)
        if len(found) != len(scales):
            raise fault(
                f"{len(found)} couplings {name} the scales {', '.join(scales)}",
                f"{len(scales)}, or one for all",
                "pass one for each scale, None where there is none",
            )
        for one in found:
            if one is not None:
                check_instance(name, one, AbstractCoupling, "pass tx.MeanField(strength=1.0)")
        return found

    def _number_of_entities(self) -> int:
        return 1 if self.entities is None else self.entities

    def _of_kinds(self, name: str, kinds: Mapping[str, Kind]) -> Array:
        """A number of each entity and scale, `[entity, scale]`."""
        common, rows = getattr(self, name), []
        for kind, one in kinds.items():
            given = getattr(one, name)
            value = common if given is None else numeric(given).astype(common.dtype)
            if value.shape != (len(self.scales),):
                raise fault(
                    f"{name} of shape {value.shape} for the kind {kind!r}",
                    f"shape ({len(self.scales)},)",
                    f"give one value for each of the scales {', '.join(self.scales)}",
                )
            rows.append(jnp.broadcast_to(value, (one.count, len(self.scales))))
        return jnp.concatenate(rows)


def _check_counts(kinds: tuple[tuple[str, int], ...], entities: int | None) -> None:
    """Raise unless the kinds have as many entities as the model."""
    total = sum(count for _, count in kinds)
    if total != entities:
        raise fault(
            f"kinds of {total} entities in all",
            f"{'no' if entities is None else entities} entities, as the model has",
            f"build the model with entities={total}",
        )


_PARTS = {"noise": AbstractNoise, "drive": AbstractDrive}
_EXAMPLE = {"noise": "tx.WhiteNoise(intensity=0.1)", "drive": "tx.Tone(amplitude=1.0, frequency=6)"}
