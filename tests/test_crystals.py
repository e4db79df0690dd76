"""Tau crystals: the original in numpy, what each parameter does, locking, torques, and the laws."""

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax import _programs
from tauax.clock import Clock, Moment
from tauax.hints import context
from tauax.numerics import random
from tauax.numerics.circular import wrap

KEY = jax.random.key(12)
DT = 0.01
SCALES = ("micro", "meso", "macro", "ultra")


def assert_same(one, other):
    """Every array equal bit for bit; NaN equals NaN."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    for left, right in pairs:
        assert (left.shape, left.dtype) == (right.shape, right.dtype)
        np.testing.assert_array_equal(left, right)


# The original -----------------------------------------------------------------------------------


class Original:
    """Four oscillators read out as one number, in plain Python, with the hints it gives."""

    hertz = np.array([10.0, 1.0, 0.1, 0.01])
    gain = np.array([0.995, 0.99, 0.985, 0.98])
    weights = np.array([0.1, 0.4, 0.3, 0.2])
    modes = ("reflective", "present", "predictive")

    def __init__(self):
        self.phase = np.zeros(4)
        self.history = []

    def step(self):
        """(h, code, attention, variance) of this step."""
        tau = np.sin(self.phase)
        tau = self.gain * (tau + (np.sin(self.phase + 0.1) - np.sin(self.phase)))
        field = float((self.weights * tau).sum())
        self.phase = self.phase + 2 * np.pi * self.hertz / 100
        self.history = [*self.history[-9:], field]
        code = 1 if field > 0.3 else -1 if field < -0.3 else 0
        variance = float(np.var(self.history))
        attention = "micro" if variance > 0.5 else "meso" if variance > 0.1 else "macro"
        return field, code, attention, variance


@cache
def original(steps=10_000):
    one = Original()
    rows = [one.step() for _ in range(steps)]
    field, code, attention, variance = zip(*rows, strict=True)
    return np.array(field), np.array(code), np.array(attention), np.array(variance)


@tx.readout
def told(model, state):
    """Anchor, attention and priority as numbers."""
    hints = context(model, state)
    kind = state.phase.dtype
    return jnp.stack([hints.anchor.astype(kind), hints.attention.astype(kind), hints.priority])


GOLDEN = {"h": tx.harmonic, "code": tx.anchor, "variance": tx.field_variance, "told": told}


def golden():
    model = tx.TauCrystals()
    monitors = {name: tx.Trace(readout) for name, readout in GOLDEN.items()}
    sol = tx.simulate(model, tx.init(model), dt=DT, steps=10_000, monitors=monitors)
    return {name: np.asarray(sol.monitors[name].value) for name in GOLDEN}


def assert_golden(found, tolerance):
    """The anchors are those of the original wherever rounding does not decide; how many else."""
    field, code, attention, variance = original()
    np.testing.assert_allclose(found["h"], field, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found["variance"], variance, rtol=0, atol=2 * tolerance)
    near = np.minimum(np.abs(field - 0.3), np.abs(field + 0.3)) < tolerance
    np.testing.assert_array_equal(found["code"][~near], code[~near])
    place, scale, priority = found["told"].T
    assert place[0] == 3
    assert priority[0] == pytest.approx(0.4)
    np.testing.assert_array_equal(place[1:], 1 + found["code"][1:])
    wanted = np.array([0.9, 0.6, 0.8])[1 + found["code"][1:].astype(int)]
    np.testing.assert_allclose(priority[1:], wanted, rtol=1e-6)
    assert {("micro", "meso", "macro")[int(one)] for one in scale} == set(attention) == {"macro"}
    return int(near.sum())


def test_the_original_in_float32():
    # Four sines of float32, each 2.5e-7 off at phases to 5e-7, in a weighted sum.
    assert assert_golden(golden(), 1e-6) <= 2


def test_the_original_in_float64(x64):
    found = golden()
    # The plain loop adds 10⁴ times to phases up to 6283: 4.5e-13 each, half of it in its sum.
    assert assert_golden(found, 1e-9) == 0
    shares = [np.mean(found["code"] == code) for code in (-1, 0, 1)]
    assert [round(100 * share, 1) for share in shares] == [23.4, 53.2, 23.4]
    assert (round(found["h"].min(), 3), round(found["h"].max(), 3)) == (-0.957, 0.982)
    assert round(found["h"].std(), 3) == 0.382
    assert round(found["variance"].max(), 3) == 0.019


def test_the_original_in_words():
    """What an agent is told, at some steps of a loop by hand."""
    model, plain = tx.TauCrystals(), Original()
    state = tx.init(model)
    mode = {1: "predictive", 0: "present", -1: "reflective"}
    name = {1: "FLOW+", 0: "SYNC", -1: "FLOW−"}
    priority = {1: 0.8, 0: 0.6, -1: 0.9}
    read = jax.jit(context)
    for step in range(60):
        _, code, attention, _ = plain.step()
        expected = {
            "anchor": name[code],
            "mode": mode[code],
            "priority": priority[code],
            "attention": attention,
        }
        if step == 0:
            expected |= {"anchor": "INIT", "mode": "exploratory", "priority": 0.4}
        assert read(model, state).words() == expected
        state = tx.step(model, state, dt=DT)


# Responds to its parameters ---------------------------------------------------------------------

KINDS = {
    "gate": tx.Kind(40, hertz=(9.0, 0.9, 0.09, 0.009)),
    "lens": tx.Kind(65, hertz=(9.5, 0.95, 0.095, 0.0095), gain=(1.0, 1.0, 1.0, 1.0)),
    "path": tx.Kind(105),
    "node": tx.Kind(149, hertz=(10.5, 1.05, 0.105, 0.0105), weights=(0.4, 0.3, 0.2, 0.1)),
    "hub": tx.Kind(1, hertz=(11.0, 1.1, 0.11, 0.011)),
}


def test_kinds_are_rows_in_their_order():
    model = tx.TauCrystals(entities=360, among=tx.MeanField(1.0)).with_kinds(KINDS)
    assert model.size == 1440
    assert model.kinds == (("gate", 40), ("lens", 65), ("path", 105), ("node", 149), ("hub", 1))
    begin = 0
    for name, kind in KINDS.items():
        rows = model.entities_of(name)
        assert (rows.start, rows.stop) == (begin, begin + kind.count)
        begin = rows.stop
        for part in ("hertz", "weights", "gain"):
            given = getattr(kind, part)
            wanted = getattr(tx.TauCrystals(), part) if given is None else given
            wanted = np.broadcast_to(np.asarray(wanted, np.float32), (kind.count, 4))
            np.testing.assert_array_equal(getattr(model, part)[rows], wanted)
    # By oscillator, in the order scale, entity, crystal.
    wanted = 2 * math.pi * np.asarray(model.hertz, float).T.ravel()
    np.testing.assert_allclose(model.frequency, wanted, rtol=3e-7)  # two roundings


def test_coherence_rises_with_the_coupling_among_entities():
    """The coherence of the original is 1 by construction: one crystal per scale."""
    read, alone = jax.jit(tx.scale_coherence), tx.TauCrystals()
    np.testing.assert_array_equal(read(alone, tx.init(alone)), 1.0)
    model = tx.TauCrystals(entities=360, among=tx.MeanField(1.0)).with_kinds(KINDS)
    strengths = [0.0, 1.5, 12.0]
    grid = tx.vary(model, {"among": (lambda m: m.among.strength, strengths)})
    state = tx.init(grid, key=KEY, common_noise=True)
    state = tx.simulate(grid, state, dt=DT, steps=300).state
    found = np.asarray(read(grid, state))
    assert found.shape == (3, 4)
    # Uncoupled, |⟨e^{iθ}⟩| of 360 random phases is 0.05; above 0.2 has odds e^{−14}.
    assert (found[0] < 0.2).all()
    assert (np.diff(found, axis=0) > 0).all()
    # Micro frequencies spread over ±6 rad/s: 1.5 rad/s does not hold them, 12 do; those of the
    # slower scales do not tell them apart in 3 s.
    assert found[1, 0] < 0.5
    assert (found[2] > 0.9).all()


def test_attention_takes_every_scale_with_calibrated_cuts():
    """In the original it never moves: its largest variance is 0.019, and the lowest cut 0.1."""
    third = (1 / 3, 1 / 3, 1 / 3)
    model = tx.calibrated(tx.TauCrystals(), dt=DT, steps=3000, attention=third)
    sol = tx.simulate(model, tx.init(model), dt=DT, steps=3000, monitors={"x": tx.Trace(told)})
    count = np.bincount(np.asarray(sol.monitors["x"].value)[9:, 1].astype(int), minlength=3)
    np.testing.assert_allclose(count / 2991, third, rtol=0, atol=0.002)  # six records


READ = jax.jit(lambda model, state: (tx.harmonic(model, state), tx.anchor(model, state)))


def field_of(model, phase):
    """h from a double loop in float64, `[entity]`."""
    where, fields = model.layout, []
    lead = float(model.lead)
    blocks = where.blocks(np.asarray(phase, float))
    entities = where.entities or 1
    weights, gain = (
        np.broadcast_to(np.asarray(x, float), (entities, len(where.names)))
        for x in (model.weights, model.gain)
    )
    for entity in range(entities):
        total = 0.0
        for scale, block in enumerate(blocks):
            tau = [gain[entity, scale] * math.sin(x + lead) for x in block[entity]]
            total += weights[entity, scale] * sum(tau) / len(tau)
        fields.append(total)
    return np.asarray(fields if where.entities else fields[0])


RAGGED = (3, 2, 1, 4)
DRAWN = np.random.default_rng(1)
READINGS = {
    "original": {},
    "weights": {"weights": (0.5, -0.4, 0.3, 2.0)},
    "gain": {"gain": (0.1, 0.2, 0.3, 0.4)},
    "lead": {"lead": -1.3},
    "five scales": {
        "scales": "abcde",
        "hertz": np.ones(5),
        "weights": np.linspace(-1, 1, 5),
        "gain": np.linspace(1, 2, 5),
    },
    "one scale": {"scales": ("a",), "hertz": (1.0,), "weights": (2.0,), "gain": (0.5,)},
    "ragged": {"crystals": RAGGED},
    "entities": {"entities": 5, "weights": DRAWN.normal(size=(5, 4))},
    "ragged entities": {"crystals": RAGGED, "entities": 5, "gain": DRAWN.normal(size=(5, 4))},
    "one entity": {"crystals": 2, "entities": 1},
}


@pytest.mark.parametrize("case", READINGS)
def test_the_field_is_a_double_sum(case):
    model = tx.TauCrystals(**READINGS[case], thresholds=tx.Thresholds((-0.2, 0.1)))
    phase = np.random.default_rng(2).uniform(-3, 3, model.size).astype(np.float32)
    field, code = READ(model, tx.init(model, phase=phase))
    wanted = field_of(model, phase)
    assert field.shape == model.layout.per_entity == wanted.shape
    # Sines to 2.5e-7, phases moved by the lead in float32, and a sum of up to five of them.
    np.testing.assert_allclose(field, wanted, rtol=0, atol=3e-6)
    np.testing.assert_array_equal(code, np.digitize(wanted, [-0.2, 0.1]) - 1)


def test_oscillators_come_by_scale_entity_and_crystal():
    model = tx.TauCrystals(crystals=RAGGED, entities=2)
    where, numbers = model.layout, np.arange(20)
    blocks = where.blocks(numbers)
    begin = 0
    for block, count in zip(blocks, RAGGED, strict=True):
        np.testing.assert_array_equal(block, begin + np.arange(2 * count).reshape(2, count))
        begin += 2 * count
    np.testing.assert_array_equal(where.joined(blocks), numbers)
    several = where.blocks(np.stack([numbers, 2 * numbers]))
    assert [one.shape for one in several] == [(2, 2, count) for count in RAGGED]
    given = np.asarray(DRAWN.normal(size=(2, 4)), np.float32)
    for block, scale in zip(where.blocks(where.spread(jnp.asarray(given))), range(4), strict=True):
        np.testing.assert_array_equal(block, np.broadcast_to(given[:, [scale]], block.shape))


SPREAD, LONG = (0.005, 0.02, 0.08), 200


def test_noise_broadens_and_readings_add_their_variance():
    """Both in one run each; the readings change nothing of the process."""
    members, sigma = 300, 0.25

    def run(**options):
        model = tx.TauCrystals(noise=tx.WhiteNoise(0.01), **options)
        grid = tx.vary(model, {"noise": (lambda m: m.noise.intensity, SPREAD)})
        state = tx.init(grid, key=KEY, members=members)
        monitors = {"h": tx.Trace(tx.harmonic, every=4)}
        return state, tx.simulate(grid, state, dt=DT, steps=LONG, monitors=monitors)

    start, plain = run()
    _, read = run(deviation=sigma)
    free = 2 * math.pi * np.asarray(Original.hertz) * LONG * DT
    apart = np.asarray(wrap(plain.state.phase - free.astype(np.float32)))
    for intensity, moved in zip(SPREAD, apart, strict=True):
        # Var θ = 2Dt; of 1200 values the variance is known to √(2/1200) = 0.041, five of them.
        assert moved.var() == pytest.approx(2 * intensity * LONG * DT, rel=0.21)
    h = np.asarray(plain.monitors["h"].value)
    assert (np.diff(h[..., -1].std(axis=1)) > 0).all()
    # The process is the same to the last bit.
    np.testing.assert_array_equal(read.state.phase, plain.state.phase)
    drawn = (np.asarray(read.monitors["h"].value) - h) / sigma
    # 45 000 values, five standard errors of mean, variance, and correlation with the process.
    assert abs(drawn.mean()) < 5 / math.sqrt(drawn.size)
    assert drawn.var() == pytest.approx(1.0, abs=5 * math.sqrt(2 / drawn.size))
    total = np.asarray(read.monitors["h"].value).var(axis=1) - h.var(axis=1)
    assert total.mean() == pytest.approx(sigma**2, rel=0.1)
    moves = np.diff(h, axis=-1)
    assert abs(np.corrcoef(drawn[..., 1:].ravel(), moves.ravel())[0, 1]) < 5 / math.sqrt(drawn.size)
    # Addressed: by the member's own key, the step, and counters that no oscillator has.
    draw = jax.jit(lambda key, step: random.normal(key, step, 1, h.dtype, random.MEASURED))
    keys = np.asarray(start.key)
    for point, member, record in ((0, 0, 0), (1, 7, 3), (2, 299, 49)):
        wanted = float(draw(keys[point, member], np.uint32(4 * record))[0])
        # Differences of numbers near 1, divided by 0.25.
        assert drawn[point, member, record] == pytest.approx(wanted, abs=3e-6)


# Entrainment ------------------------------------------------------------------------------------

# Detunings and pulls whose beat √(Δ² − A²) is a whole number: after 2π seconds all is as before.
DETUNED = [(5.0, 3.0, 4), (-5.0, 4.0, -3), (13.0, 12.0, 5), (3.0, 5.0, 0), (-4.0, 5.0, 0)]
DETUNING, PULL, BEATS = map(np.asarray, zip(*DETUNED, strict=True))
CIRCLE, STEPS = 2 * math.pi, 4000


def displacements(model, phase=None):
    """How far each oscillator goes in 2π seconds, after as many to forget the start."""
    state = tx.init(model, key=KEY, phase=phase)
    options = {"dt": CIRCLE / STEPS, "steps": STEPS, "stepper": tx.Heun()}
    monitors = {"turns": tx.Rotations()}
    for _ in range(2):
        sol = tx.simulate(model, state, monitors=monitors, **options)
        state, last = sol.state, sol.monitors["turns"].last
    # The monitor ends one step before the run does.
    rest = np.asarray(wrap(state.phase - last), float)
    return np.asarray(sol.monitors["turns"].displacement, float) + rest


# Heun over 2π s: (Δt)²·A³/12 per second is below 1e-3 in all; phases of 600 rad are known to 1e-4.
CLOSE = 3e-3


def test_a_tone_entrains_one_scale_inside_the_adler_range():
    amplitude = np.zeros((len(DETUNED), 4))
    amplitude[:, 1] = PULL
    omega = 2 * math.pi * 1.0
    model = tx.TauCrystals(drive=tx.Tone(amplitude[0], 1.0))
    grid = tx.vary(
        model,
        {
            "point": tx.zipped(
                {
                    "amplitude": (lambda m: m.drive.amplitude, amplitude),
                    "frequency": (lambda m: m.drive.frequency, omega - DETUNING),
                }
            )
        },
    )
    moved = displacements(grid, phase=[0.3, 0.4, -2.0, 1.0])
    # θ̇ = Ω inside, and Ω ± √(Δ² − A²) outside (Adler 1946).
    wanted = (omega - DETUNING) * CIRCLE + 2 * math.pi * BEATS
    np.testing.assert_allclose(moved[:, 1], wanted, rtol=0, atol=CLOSE)
    for scale in (0, 2, 3):  # nobody drives them
        free = 2 * math.pi * Original.hertz[scale] * CIRCLE
        np.testing.assert_allclose(moved[:, scale], free, rtol=0, atol=3e-4)


@pytest.mark.parametrize(("turns", "cycles"), [(10, 1), (2, 3)])
def test_a_link_locks_n_turns_to_m(turns, cycles):
    """ψ = mθ_a − nθ_b + α: ψ̇ = Δ − mK sin ψ, and locked if |Δ| < mK."""
    slow = 2 * math.pi * 1.0
    fast = (turns * slow + DETUNING) / cycles
    hertz = np.stack([fast, np.full(len(DETUNED), slow)], axis=1) / (2 * math.pi)
    link = tx.ScaleLink("fast", "slow", 1.0, 0.4, turns=turns, cycles=cycles)
    ones = (1.0, 1.0)
    model = tx.TauCrystals(
        hertz=ones, weights=ones, gain=ones, scales=("fast", "slow"), between=(link,)
    )
    grid = tx.vary(
        model,
        {
            "point": tx.zipped(
                {
                    "hertz": (lambda m: m.hertz, hertz),
                    "strength": (lambda m: m.between[0].strength, PULL / cycles),
                }
            )
        },
    )
    moved = displacements(grid)
    np.testing.assert_allclose(moved[:, 1], slow * CIRCLE, rtol=0, atol=3e-4)  # not acted on
    wanted = (turns * slow * CIRCLE + 2 * math.pi * BEATS) / cycles
    np.testing.assert_allclose(moved[:, 0], wanted, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("where", ["within", "among"])
def test_crystals_of_one_scale_lock(where):
    """Two of them: ψ = θ₁ − θ₂ obeys ψ̇ = Δ − K sin ψ, and their sum turns on."""
    hertz = (np.stack([DETUNING / 2, -DETUNING / 2], axis=1) + 7.0) / (2 * math.pi)
    options = {"within": {"crystals": 2}, "among": {"entities": 2}}[where]
    model = tx.TauCrystals(
        hertz=hertz[0],
        weights=(1.0,),
        gain=(1.0,),
        scales=("only",),
        **options,
        **{where: tx.MeanField(1.0)},
    )
    grid = tx.vary(
        model,
        {
            "point": tx.zipped(
                {
                    "hertz": (lambda m: m.hertz, hertz),
                    "strength": (lambda m: getattr(m, where).strength, PULL),
                }
            )
        },
    )
    moved = displacements(grid)
    difference, total = moved[:, 0] - moved[:, 1], moved.sum(axis=1)
    np.testing.assert_allclose(difference, 2 * math.pi * BEATS, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(total, 14.0 * CIRCLE, rtol=0, atol=3e-4)


# Torques ----------------------------------------------------------------------------------------

RING = np.random.default_rng(8).normal(size=(5, 5))
RING[np.abs(RING) < 0.5] = 0.0
LINKS = (
    tx.ScaleLink("micro", "ultra", 1.3, 0.2, turns=10),
    tx.ScaleLink("micro", "meso", -0.7),
    tx.ScaleLink("ultra", "micro", 0.5, -0.4, turns=2, cycles=3),
)
COUPLED = {
    "one system": {"within": tx.MeanField(1.7, 0.3), "between": LINKS},
    "by scale": {
        "within": (
            tx.Dense(RING[:3, :3], 0.8, 0.2),
            tx.MeanField(1.1),
            None,
            tx.MeanField(np.linspace(-1, 1, 4)),
        ),
    },
    "entities": {
        "entities": 5,
        "within": tx.MeanField(1.7, 0.3),
        "among": tx.Dense(RING, 0.8, 0.2, norm="in_degree"),
        "between": LINKS,
    },
    "entities by scale": {
        "entities": 5,
        "within": (None, tx.MeanField(1.0), None, tx.Sparse.from_dense(RING[:4, :4], 0.9)),
        "among": (tx.MeanField(-1.2, 0.1), None, tx.Sparse.from_dense(RING, 0.9, 0.3), None),
    },
    # As many crystals as entities, where one axis could pass for the other.
    "square": {
        "entities": 4,
        "crystals": (1, 4, 4, 2),
        "within": 0.5 * tx.MeanField(2.0, 0.3) + tx.MeanField(0.2),
        "among": tx.MeanField(np.linspace(0.5, 2, 4), -0.2),
    },
}


def pull_of(coupling, phases):
    """The torque of a coupling on a list of phases, as double sums."""
    if coupling is None:
        return np.zeros(len(phases))
    if isinstance(coupling, tx.couplings.base.Sum):
        return sum(pull_of(part, phases) for part in coupling.parts)
    if isinstance(coupling, tx.couplings.base.Scaled):
        return np.asarray(coupling.factor, float) * pull_of(coupling.part, phases)
    count = len(phases)
    if isinstance(coupling, tx.MeanField):
        weights = np.full((count, count), 1 / count)
    else:
        weights = np.zeros((count, count))
        if isinstance(coupling, tx.Sparse):
            weights[coupling.target, coupling.source] = coupling.weights
        else:
            weights[:] = coupling.weights
        if coupling.norm == "in_degree":
            weights /= np.where(received := np.abs(weights).sum(axis=1), received, 1.0)[:, None]
    strength = np.broadcast_to(np.asarray(coupling.strength, float), (count,))
    lag = float(coupling.lag)
    found = np.zeros(count)
    for i in range(count):
        for j in range(count):
            found[i] += strength[i] * weights[i, j] * math.sin(phases[j] - phases[i] - lag)
    return found


def each(given):
    return given if isinstance(given, tuple) else (given,) * 4


def torques_of(model, phase):
    """What the crystals exert on each other, in plain loops."""
    crystals = model.layout.crystals
    entities = model.entities or 1
    blocks = model.layout.blocks(np.asarray(phase, float))
    found = [np.zeros_like(block) for block in blocks]
    for scale in range(4):
        for entity in range(entities):
            found[scale][entity] += pull_of(each(model.within)[scale], blocks[scale][entity])
        for crystal in range(crystals[scale]):
            column = blocks[scale][:, crystal]
            found[scale][:, crystal] += pull_of(each(model.among)[scale], column)
    for link in model.between:
        target, source = SCALES.index(link.target), SCALES.index(link.source)
        for entity in range(entities):
            for crystal, own in enumerate(blocks[target][entity]):
                pulls = [
                    math.sin(link.turns * other - link.cycles * own - float(link.lag))
                    for other in blocks[source][entity]
                ]
                found[target][entity, crystal] += float(link.strength) * np.mean(pulls)
    return np.concatenate([block.ravel() for block in found])


@eqx.filter_jit
def drift(model, phase):
    return model.drift(phase, Moment(Clock.start(phase.dtype), jnp.int32(0)))


@pytest.mark.parametrize("case", COUPLED)
def test_torques_are_double_sums(case):
    model = tx.TauCrystals(**{"crystals": RAGGED, **COUPLED[case]})
    phase = np.random.default_rng(9).uniform(-3.1, 3.1, model.size).astype(np.float32)
    wanted = torques_of(model, phase)
    # Sines to 2.5e-7, of a tenfold phase to 3e-6, times strengths of up to 2.
    np.testing.assert_allclose(drift(model, jnp.asarray(phase)), wanted, rtol=0, atol=1e-5)
    assert np.abs(wanted).max() > 0.5


def test_coupled_crystals_are_phase_oscillators(x64):
    """With n = m = 1 and one lag all couplings are one matrix, and an Euler step is the same."""
    lag, entities = 0.3, 3
    matrix = np.abs(RING[:3, :3])
    model = tx.TauCrystals(
        crystals=(2, 1, 1, 3),
        entities=entities,
        within=tx.MeanField(1.7, lag),
        among=tx.Dense(matrix, 0.8, lag),
        between=(
            tx.ScaleLink("micro", "ultra", 1.3, lag),
            tx.ScaleLink("meso", "micro", 0.9, lag),
        ),
    )
    where = model.layout
    numbers = where.blocks(np.arange(model.size))
    weights = np.zeros((model.size, model.size))
    for block in numbers:
        for row in block:
            weights[np.ix_(row, row)] += 1.7 / len(row)
        for column in block.T:
            weights[np.ix_(column, column)] += 0.8 * matrix
    for target, source, strength in ((0, 3, 1.3), (1, 0, 0.9)):
        for a, b in zip(numbers[target], numbers[source], strict=True):
            weights[np.ix_(a, b)] += strength / len(b)
    other = tx.PhaseOscillators(model.frequency, tx.Dense(weights, lag=lag))
    phase = np.random.default_rng(3).uniform(-3, 3, model.size)
    ends = [
        tx.simulate(one, tx.init(one, phase=phase), dt=DT, steps=200).state.phase
        for one in (model, other)
    ]
    # 200 steps of a few roundings each, which the coupling may stretch tenfold.
    np.testing.assert_allclose(wrap(ends[0] - ends[1]), 0.0, rtol=0, atol=1e-11)


# Laws: what changes no bit ------------------------------------------------------------------------

ADAPTIVE = tx.Thresholds(tx.EmaCuts((-0.8, 0.8), 0.3), hysteresis=0.1, dwell=0.05)
MODELS = {
    "original": tx.TauCrystals,
    "noisy": lambda: tx.TauCrystals(noise=tx.WhiteNoise(np.linspace(0, 0.4, 4)), deviation=0.2),
    "adaptive": lambda: tx.TauCrystals(
        crystals=RAGGED, noise=tx.WhiteNoise(0.2), thresholds=ADAPTIVE, window=4
    ),
    "population": lambda: tx.TauCrystals(crystals=RAGGED, **COUPLED["entities"]),
    "everything": lambda: tx.TauCrystals(
        hertz=(10.0, 1.0),
        weights=(0.3, 0.7),
        gain=(0.9, 1.0),
        scales=("micro", "meso"),
        crystals=(1, 2),
        entities=3,
        within=(None, tx.MeanField(1.7, 0.3)),
        among=(tx.MeanField(0.8), None),
        between=(tx.ScaleLink("micro", "meso", 1.3, 0.2, turns=10),),
        noise=tx.WhiteNoise(0.2),
        drive=tx.Tone(1.0, 6.0),
        deviation=0.2,
        thresholds=ADAPTIVE,
    ),
}
STEPPER = {
    "original": tx.Euler(),
    "noisy": tx.SRA1(),
    "adaptive": tx.Euler(),
    "population": tx.Euler(),
    "everything": tx.Heun(),
}
WATCHED = {
    "h": tx.Trace(tx.harmonic),
    "code": tx.Moments(tx.anchor),
    "variance": tx.Trace(tx.field_variance, every=4),
}
MEMBERS, COUNT, CHUNK = 5, 24, 8
# Each of them is three programs or more.
NAMES = [
    name if name == "everything" else pytest.param(name, marks=pytest.mark.slow) for name in MODELS
]


def began(name, members, **options):
    model = MODELS[name]()
    # Phases of their own, also where they would start at 0.
    phase = np.random.default_rng(6).uniform(-3, 3, (8, model.size)).astype(np.float32)
    chosen = phase[0] if members is None else phase[:members]
    return model, tx.init(model, key=KEY, members=members, phase=chosen, **options)


def run(name, members, monitors=None, start=None, steps=COUNT, **options):
    model, state = began(name, members)
    given = {"dt": DT, "steps": steps, "stepper": STEPPER[name], "monitors": monitors or {}}
    return tx.simulate(model, state if start is None else start, **{**given, **options})


@cache
def whole(name):
    """The run that the others are compared with: five members, monitored."""
    return run(name, MEMBERS, WATCHED)


def assert_member(state, name, member=slice(None)):
    """Phases, what rounding left of them, and what is remembered."""
    own = jax.device_get(whole(name).state.own)
    assert_same(state.own, jax.tree.map(lambda leaf: leaf[member], own))


@pytest.mark.parametrize("name", NAMES)
def test_batches_and_monitors(name):
    """Two members that nobody watches, and one system stepped by hand."""
    assert_member(run(name, 2).state, name, slice(2))
    model, state = began(name, None)
    for _ in range(COUNT):
        state = tx.step(model, state, dt=DT, stepper=STEPPER[name])
    assert_member(state, name, 0)


@pytest.mark.slow  # two programs more
def test_more_batches(name="everything"):
    wanted = jax.device_get((whole(name).state.own, whole(name).monitors["h"].value))
    for members in (1, 8):
        count, sol = min(members, MEMBERS), run(name, members, WATCHED)
        found = jax.device_get((sol.state.own, sol.monitors["h"].value))
        assert_same(*(jax.tree.map(lambda x, n=count: x[:n], both) for both in (found, wanted)))


def test_splits_and_files(tmp_path, name="everything"):
    """In chunks, interrupted, and resumed from a file."""
    model, state = began(name, MEMBERS)
    options = {"dt": DT, "steps": COUNT, "stepper": STEPPER[name], "monitors": WATCHED}
    options |= {"chunk": CHUNK, "path": tmp_path / "run.npz"}
    first = next(tx.iterate(model, state, **options))
    assert int(first.state.step) == CHUNK
    *_, last = tx.iterate(model, state, **options)
    assert_same(last, whole(name))


@pytest.mark.parametrize("name", NAMES)
def test_solutions_models_and_states_are_stored(name, tmp_path):
    path = tmp_path / "sol.npz"
    whole(name).save(path)
    model, state = began(name, MEMBERS)
    loaded = tx.Solution.load(path, model, WATCHED)
    assert jax.tree.structure(loaded.state) == jax.tree.structure(whole(name).state)
    assert_same(loaded, whole(name))
    for one in (model, state, whole(name).state):
        for clone in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
            assert jax.tree.structure(clone) == jax.tree.structure(one)
            assert_same(clone, one)


@pytest.mark.slow  # plans compile as well
def test_parts_of_the_members(name="everything"):
    model, state = began(name, MEMBERS)
    options = {"dt": DT, "steps": COUNT, "stepper": STEPPER[name], "monitors": WATCHED}
    needed = tx.plan(model, state, **options).bytes
    assert tx.plan(model, state, memory=int(0.7 * needed), **options).parts > 1
    assert_same(tx.simulate(model, state, memory=int(0.7 * needed), **options), whole(name))


SHARED = ("original", "everything")


@pytest.mark.slow  # a process with several devices, which compiles on its own
def test_several_devices():
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "3"}
    found = subprocess.run(
        [sys.executable, Path(__file__)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[-1]) == dict.fromkeys(SHARED, "same")


def divided():
    """Five members on three devices, against one: what the process above runs."""
    outcome = {}
    for name in SHARED:
        ends = []
        for mesh in (None, tx.device_mesh()):
            model, state = began(name, 5, mesh=mesh)
            options = {"dt": DT, "steps": COUNT, "stepper": STEPPER[name], "monitors": WATCHED}
            sol = tx.simulate(model, state, **options)
            ends.append(jax.device_get((sol.state.own, sol.monitors)))
        assert len(sol.state.buffers.field.sharding.device_set) == 3
        assert_same(*ends)
        outcome[name] = "same"
    return outcome


# Grids and changes --------------------------------------------------------------------------------


def test_grids_and_members_are_single_models():
    """Weights and strengths on a grid, frequencies and cuts per member."""
    base = tx.TauCrystals(entities=3, among=tx.MeanField(1.0))
    weights = np.asarray(np.random.default_rng(2).normal(size=(2, 4)), np.float32)
    strengths = np.asarray([0.5, 4.0], np.float32)
    hertz = np.asarray([[10, 1, 0.1, 0.01], [7.3, 2, 0.3, 0.5], [1, 2, 3, 4]], np.float32)
    cuts = np.asarray([[-0.3, 0.3], [-0.1, 0.1], [0.1, 0.5]], np.float32)
    grid = tx.vary(
        base,
        {
            "weights": (lambda m: m.weights, weights),
            "among": (lambda m: m.among.strength, strengths),
        },
    )
    grid = tx.per_member(grid, lambda m: m.hertz, hertz)
    grid = tx.per_member(grid, lambda m: m.thresholds.cuts.values, cuts)
    phase = np.random.default_rng(5).uniform(-3, 3, 12).astype(np.float32)
    options = {"dt": DT, "steps": 30, "monitors": {"code": tx.Trace(tx.anchor)}}
    sol = tx.simulate(grid, tx.init(grid, phase=phase, members=3), **options)
    assert sol.state.axes == ("weights", "among", "member")
    own, code = jax.device_get((sol.state.own, sol.monitors["code"].value))
    seen = set()
    for index in np.ndindex(2, 2, 3):
        one = tx.TauCrystals(
            entities=3,
            weights=weights[index[0]],
            among=tx.MeanField(strengths[index[1]]),
            hertz=hertz[index[2]],
            thresholds=tx.Thresholds(cuts[index[2]]),
        )
        alone = tx.simulate(one, tx.init(one, phase=phase), **options)
        assert_same(alone.state.own, jax.tree.map(lambda leaf, index=index: leaf[index], own))
        np.testing.assert_array_equal(alone.monitors["code"].value, code[index])
        seen.add(code[index].tobytes())
    assert len(seen) > 10  # they differ


def test_other_numbers_compile_nothing():
    name = "everything"
    model, state = began(name, MEMBERS)
    whole(name)
    before = _programs.simulate.outer._cache_size()
    other = jax.tree.map(lambda leaf: leaf * 1.01, model)
    sol = tx.simulate(other, state, dt=0.011, steps=COUNT, stepper=STEPPER[name], monitors=WATCHED)
    assert _programs.simulate.outer._cache_size() == before
    assert np.ptp(np.asarray(sol.state.phase - whole(name).state.phase)) > 0


def test_scheduled_frequencies_are_continuous_and_exact():
    change = tx.Change(lambda m: m.hertz, [0.5, 1.1], [[5, 3, 0.7, 0.1], [0.1, 0, -2, 7]])
    model = tx.scheduled(tx.TauCrystals(), {"hertz": change})
    sol = tx.simulate(model, tx.init(model), dt=DT, steps=150, monitors={"x": tx.Trace(tx.phase)})
    phase = np.asarray(sol.monitors["x"].value)
    rates = np.repeat([[10, 1, 0.1, 0.01], [5, 3, 0.7, 0.1], [0.1, 0, -2, 7]], [50, 60, 40], axis=0)
    turns = np.cumsum(rates, axis=0) * DT
    wanted = 2 * math.pi * np.vstack([np.zeros(4), turns[:-1]])
    # A phase of float32, and what rounding it leaves.
    np.testing.assert_allclose((phase - wanted + 3) % (2 * math.pi), 3, rtol=0, atol=1e-6)
    gap = (np.asarray(sol.state.phase) - 2 * math.pi * turns[-1] + 3) % (2 * math.pi)
    np.testing.assert_allclose(gap, 3, rtol=0, atol=1e-6)


# Derivatives --------------------------------------------------------------------------------------


def smooth(noise=True):
    """Every leaf there is, none of which decides hard."""
    return tx.TauCrystals(
        hertz=(10.0, 1.0),
        weights=(0.3, 0.7),
        gain=(0.9, 1.0),
        scales=("micro", "meso"),
        crystals=2,
        within=tx.MeanField(1.7, 0.3),
        between=(tx.ScaleLink("micro", "meso", 1.3, 0.2, turns=10),),
        noise=tx.WhiteNoise(0.2) if noise else None,
        deviation=0.2,
        thresholds=tx.Thresholds(
            tx.EmaCuts((-0.8, 0.8), 0.1, 0.05, 0.4), tx.Soft(0.15), hysteresis=0.1
        ),
        attention=tx.Thresholds((0.02,), tx.Soft(0.02)),
    )


def outcome(point, stepper):
    """A number that every leaf and every initial phase moves."""
    model, phase = point
    state = tx.init(model, key=KEY, phase=phase)
    dt = jnp.asarray(DT, phase.dtype)
    state = tx.simulate(model, state, dt=dt, steps=12, stepper=stepper).state
    hints = context(model, state)
    weight = jnp.cos(jnp.arange(phase.size)).astype(phase.dtype)
    read = 3.0 * tx.anchor(model, state) + hints.priority
    read = read + hints.attentions[0] - 2.0 * hints.attentions[1]
    return read + (weight * jnp.sin(state.phase)).sum()


value = eqx.filter_jit(outcome)
slope = eqx.filter_jit(eqx.filter_grad(outcome))


@eqx.filter_jit
def along(point, way, stepper):
    """The derivative in one direction."""
    return jax.jvp(lambda point: outcome(point, stepper), (point,), (way,))[1]


@pytest.mark.slow  # derivatives of a whole run to compile for each
@pytest.mark.parametrize(
    ("stepper", "noise"),
    [(tx.Heun(), True), (tx.Euler(), True), (tx.SRA1(), True), (tx.RK4(), False)],
    ids=["heun", "euler", "sra1", "rk4"],
)
def test_derivatives_are_finite_differences(x64, stepper, noise):
    model = jax.tree.map(lambda leaf: leaf.astype(float), smooth(noise))
    phase = jnp.asarray(np.random.default_rng(4).uniform(-3, 3, model.size))
    leaves, structure = jax.tree.flatten((model, phase))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(model)]
    # Backwards with one stepper, which takes twice as long to compile.
    backwards = isinstance(stepper, tx.Heun)
    found = jax.tree.leaves(slope((model, phase), stepper)) if backwards else leaves
    drawn = np.random.default_rng(5)
    for place, name in enumerate([*paths, "phase"]):
        tangents = [np.zeros(leaf.shape) for leaf in leaves]
        tangents[place] = drawn.normal(size=leaves[place].shape)
        way = structure.unflatten([jnp.asarray(one) for one in tangents])
        ends = []
        for by in (1e-6, -1e-6):
            moved = [leaf + by * one for leaf, one in zip(leaves, tangents, strict=True)]
            ends.append(float(value(structure.unflatten(moved), stepper)))
        difference = (ends[0] - ends[1]) / 2e-6
        if backwards:
            analytic = float((found[place] * tangents[place]).sum())
        else:
            analytic = float(along((model, phase), way, stepper))
        # Curvature times 1e-12, and rounding of a few 1e-15 over 1e-6.
        assert analytic == pytest.approx(difference, rel=2e-7, abs=3e-8), name
        assert abs(analytic) > 1e-6, name  # every leaf moves it


@pytest.mark.slow  # a gradient to compile for each
@pytest.mark.parametrize("make", [smooth, MODELS["adaptive"]], ids=["soft", "hard"])
def test_derivatives_are_finite_in_float32(make):
    model = make()
    for phase in (jnp.zeros(model.size), jnp.linspace(-3, 3, model.size)):
        for leaf in jax.tree.leaves(slope((model, phase), tx.Euler())):
            assert np.isfinite(leaf).all()
            assert leaf.dtype == jnp.float32


# Orders -------------------------------------------------------------------------------------------


@jax.jit
def advance(model, state, dt, steps, stepper):
    """As many steps as asked for, in one program for every number of them."""
    return jax.lax.fori_loop(
        0, steps, lambda _, state: tx.step(model, state, dt=dt, stepper=stepper), state
    )


@pytest.mark.parametrize(
    ("stepper", "counts", "order"),
    [
        (tx.Heun(), (40, 80, 160, 320), 2),
        pytest.param(tx.SRA1(), (40, 80, 160, 320), 2, marks=pytest.mark.slow),
        pytest.param(tx.Euler(), (160, 320, 640, 1280), 1, marks=pytest.mark.slow),
        pytest.param(tx.RK4(), (24, 48, 96, 192), 4, marks=pytest.mark.slow),
    ],
    ids=["heun", "sra1", "euler", "rk4"],
)
def test_orders_in_the_turning_frame(x64, stepper, counts, order):
    """Strongly coupled, and driven: a stage at the wrong angle or time would be of order 1."""
    model = tx.TauCrystals(
        hertz=(1.3, 0.7),
        weights=(1.0, 1.0),
        gain=(1.0, 1.0),
        scales=("micro", "meso"),
        crystals=2,
        within=tx.MeanField(3.0, 0.3),
        between=(
            tx.ScaleLink("micro", "meso", 4.0, 0.2, turns=2),
            tx.ScaleLink("meso", "micro", 3.0, cycles=2),
        ),
        drive=tx.Tone(2.0, 5.0),
    )
    phase = np.random.default_rng(4).uniform(-3, 3, model.size)

    def end(steps, stepper):
        state = tx.init(model, phase=phase)
        return advance(model, state, jnp.asarray(1.0 / steps), steps, stepper).phase

    reference = end(3000, tx.RK4())
    errors = [float(jnp.sqrt((wrap(end(n, stepper) - reference) ** 2).mean())) for n in counts]
    # 0.15: the next term of the expansion at the coarsest dt.
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.15), errors


# Bad input ----------------------------------------------------------------------------------------

FOUR = "give one value for each of the scales micro, meso, macro, ultra"
COUNTED = "expected an integer ≥ 1"


def crystals(**options):
    return lambda: tx.TauCrystals(**options)


def kinds(given, **options):
    return lambda: tx.TauCrystals(**options).with_kinds(given)


def link(*arguments, **options):
    return lambda: tx.TauCrystals(between=(tx.ScaleLink(*arguments, **options),))


def initial(**options):
    return lambda: tx.init(tx.TauCrystals(**options))


REFUSED = {
    "weight": (crystals(weights=(0.1, math.nan, 1, 1)), r"got TauCrystals.weights\[1\] = nan"),
    "hertz": (crystals(hertz=(1, 2, 3, math.inf)), r"got TauCrystals.hertz\[3\] = inf"),
    "3 weights": (
        crystals(weights=(1, 2, 3)),
        rf"got weights of shape \(3,\); expected shape \(4,\). Fix: {FOUR}",
    ),
    "5 hertz": (crystals(hertz=np.ones(5)), r"got hertz of shape \(5,\); expected shape \(4,\)"),
    "hertz of oscillators": (
        crystals(hertz=np.ones(5), entities=2, crystals=2),
        r"got hertz of shape \(5,\); expected shape \(4,\) or \(2, 4\) or \(16,\)",
    ),
    "gain of entities": (
        crystals(gain=np.ones((3, 4)), entities=2),
        r"got gain of shape \(3, 4\); expected shape \(4,\) or \(2, 4\)",
    ),
    "weights without entities": (
        crystals(weights=np.ones((1, 4))),
        r"got weights of shape \(1, 4\); expected shape \(4,\)",
    ),
    "half precision": (
        crystals(hertz=np.ones(4, np.float16)),
        "got hertz of dtype float16; expected float32 or float64",
    ),
    "leads": (crystals(lead=(0.1, 0.2)), r"got lead of shape \(2,\); expected shape \(\)"),
    "deviations": (crystals(deviation=(0.1, 0.2)), r"got deviation of shape \(2,\)"),
    "negative deviation": (
        crystals(deviation=-0.1),
        "got TauCrystals.deviation = -0.1.*; expected finite numbers ≥ 0",
    ),
    "cuts": (
        lambda: tx.TauCrystals(thresholds=tx.Thresholds((0.3, -0.3))),
        "got FixedCuts.values out of order: 0.3.* is followed by -0.3",
    ),
    "bare cuts": (
        crystals(thresholds=(-0.3, 0.3)),
        r"got thresholds=\(-0.3, 0.3\); expected an instance of Thresholds.*tx\.Thresholds\(\(",
    ),
    "bare attention": (crystals(attention=0.1), "got attention=0.1; expected an instance of Thr"),
    "no scales": (crystals(scales=()), r"got scales=\(\); expected names that differ, at least"),
    "equal scales": (crystals(scales=("a", "a", "b", "c")), "expected names that differ"),
    "numbered scales": (crystals(scales=(1, 2, 3, 4)), "expected names that differ"),
    "3 scales": (crystals(scales=("a", "b", "c")), r"got hertz of shape \(4,\); .*scales a, b, c"),
    "no crystals": (crystals(crystals=0), f"got crystals=0; {COUNTED}"),
    "no crystals on one": (crystals(crystals=(1, 1, 0, 1)), f"got crystals=0; {COUNTED}"),
    "3 crystals": (
        crystals(crystals=(1, 2, 3)),
        r"got crystals=\(1, 2, 3\) for the scales micro, .*; expected one number or 4 of them",
    ),
    "crystals of float": (crystals(crystals=2.0), rf"got crystals=2.0 \(float\); {COUNTED}"),
    "no entities": (crystals(entities=0), f"got entities=0; {COUNTED}"),
    "entities of float": (crystals(entities=2.0), rf"got entities=2.0 \(float\); {COUNTED}"),
    "window 1": (crystals(window=1), "got window=1; expected an integer ≥ 2"),
    "window 0": (crystals(window=0), "got window=0; expected an integer ≥ 2"),
    "window of float": (crystals(window=4.0), r"got window=4.0 \(float\)"),
    "kinds in all": (
        kinds({"a": tx.Kind(2), "b": tx.Kind(2)}, entities=3),
        "got kinds of 4 entities in all; expected 3 entities, as the model has.*entities=4",
    ),
    "kinds without entities": (
        kinds({"a": tx.Kind(2)}),
        "got kinds of 2 entities in all; expected no entities.*build the model with entities=2",
    ),
    "kinds by hand": (
        crystals(entities=3, kinds=(("a", 2),)),
        "got kinds of 2 entities in all; expected 3 entities",
    ),
    "kind of none": (
        kinds({"a": tx.Kind(2), "b": tx.Kind(0)}, entities=2),
        r"got kinds\['b'\].count=0; expected an integer ≥ 1",
    ),
    "kind of 3 weights": (
        kinds({"a": tx.Kind(2, weights=(1, 2, 3))}, entities=2),
        rf"got weights of shape \(3,\) for the kind 'a'; expected shape \(4,\). Fix: {FOUR}",
    ),
    "kind of nan": (
        kinds({"a": tx.Kind(2, gain=(1, 2, math.nan, 4))}, entities=2),
        r"got TauCrystals.gain\[0, 2\] = nan",
    ),
    "kind of numbers": (kinds({"a": (2,)}, entities=2), r"got kinds\['a'\]=\(2,\); expected an"),
    "list of kinds": (kinds([tx.Kind(2)], entities=2), "got kinds=.*; expected an instance of Map"),
    "unknown kind": (
        lambda: kinds({"a": tx.Kind(2)}, entities=2)().entities_of("b"),
        "got a kind named 'b'; expected one of a. Fix: name one given to with_kinds",
    ),
    "link to itself": (
        link("micro", "micro", 1.0),
        "got a link from 'micro' to itself; expected two scales. Fix: couple the crystals of one",
    ),
    "link to an unknown scale": (
        link("micro", "mega", 1.0),
        "got a scale named 'mega'; expected one of micro, meso, macro, ultra",
    ),
    "link of 0 turns": (link("micro", "meso", 1.0, turns=0), f"got turns=0; {COUNTED}"),
    "link of 1.5 cycles": (link("micro", "meso", 1.0, cycles=1.5), r"got cycles=1.5 \(float\)"),
    "link of nan": (link("micro", "meso", math.nan), "got ScaleLink.strength = nan"),
    "link of two": (
        link("micro", "meso", (1.0, 2.0)),
        r"got ScaleLink.strength of shape \(2,\); expected shape \(\). Fix: give one number",
    ),
    "bare link": (
        crystals(between=tx.ScaleLink("micro", "meso", 1.0)),
        r"got between=ScaleLink; expected an instance of tuple. Fix: pass a tuple of tx\.ScaleL",
    ),
    "no link": (crystals(between=(1.0,)), "got between=1.0; expected an instance of ScaleLink"),
    "3 within": (
        crystals(within=(None, tx.MeanField(1.0), None)),
        "got 3 couplings within the scales micro, .*; expected 4, or one for all",
    ),
    "5 among": (crystals(among=(None,) * 5), "got 5 couplings among the scales micro"),
    "bare within": (crystals(within=1.0), "got within=1.0; expected an instance of AbstractCoup"),
    "matrix within": (
        crystals(crystals=(3, 3, 2, 3), within=tx.Dense(np.ones((3, 3)))),
        "got Dense of 3 oscillators; expected 2",
    ),
    "matrix among": (
        crystals(entities=4, among=tx.Dense(np.ones((3, 3)))),
        "got Dense of 3 oscillators; expected 4",
    ),
    "among nobody": (
        crystals(among=tx.MeanField(1.0)),
        "got a coupling among the entities of a model without them.*couple crystals by within=",
    ),
    "strengths among": (
        crystals(entities=4, among=tx.MeanField((1.0, 2.0))),
        r"got MeanField.strength of shape \(2,\); expected shape \(\) or \(4,\)",
    ),
    "bare noise": (crystals(noise=0.1), r"got noise=0.1; expected.*Fix: pass noise=tx\.WhiteNoise"),
    "noise of 2": (crystals(noise=tx.WhiteNoise((0.1, 0.2))), r"got WhiteNoise.intensity of shape"),
    "bare drive": (crystals(drive=0.1), r"got drive=0.1; expected.*Fix: pass drive=tx\.Tone"),
    "drive of 2": (crystals(drive=tx.Tone((0.1, 0.2), 1.0)), r"got Tone.amplitude of shape \(2,\)"),
    "key for noise": (initial(noise=tx.WhiteNoise(0.1)), "got no key, though the model has noise"),
    "key for readings": (initial(deviation=0.1), "got no key, though the model has noise"),
    "key within": (
        initial(within=tx.MeanField(1.0)),
        r"got no key, though the initial phases are drawn at random.*jax\.random\.key\(0\)",
    ),
    "key among": (
        initial(among=(tx.MeanField(1.0), None, None, None), entities=2),
        "got no key, though the initial phases are drawn",
    ),
    "key between": (initial(between=LINKS), "got no key, though the initial phases are drawn"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    make, message = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize("dt", [0.05, 0.1, jnp.float32(0.07)])
def test_steps_that_are_too_long(dt):
    model = tx.TauCrystals(hertz=(-10.0, 1.0, 0.1, 0.01))
    faster = tx.vary(tx.TauCrystals(), {"f": (lambda m: m.hertz, [[10.0, 1, 1, 1]] * 2)})
    for one in (model, faster):
        with pytest.raises(
            ValueError,
            match=r"for a scale of 10 Hz; expected less than half a turn per step, dt < 0.05. Fix",
        ):
            tx.simulate(one, tx.init(one), dt=dt, steps=1)
        with pytest.raises(ValueError, match="less than half a turn per step"):
            tx.step(one, tx.init(one), dt=dt)


# (model, the model of the state): each of the same number of oscillators.
STRANGERS = {
    "phase oscillators": (tx.TauCrystals(), tx.PhaseOscillators(np.ones(4))),
    "crystals": (tx.PhaseOscillators(np.ones(4)), tx.TauCrystals()),
    "a longer window": (tx.TauCrystals(window=5), tx.TauCrystals()),
    "a shorter window": (tx.TauCrystals(), tx.TauCrystals(window=5)),
    "no memory": (tx.TauCrystals(thresholds=ADAPTIVE), tx.TauCrystals()),
    "a memory": (tx.TauCrystals(), tx.TauCrystals(thresholds=ADAPTIVE)),
    "entities": (tx.TauCrystals(crystals=2), tx.TauCrystals(entities=2)),
    "no entities": (tx.TauCrystals(entities=2), tx.TauCrystals(crystals=2)),
}


@pytest.mark.parametrize("case", STRANGERS)
def test_states_of_another_model(case):
    model, other = STRANGERS[case]
    state = tx.init(other, phase=np.zeros(other.size), members=2)
    message = "got a state of another model, .*; expected a state of this model. Fix: make the st"
    with pytest.raises(ValueError, match=message):
        tx.simulate(model, state, dt=DT, steps=2)
    with pytest.raises(ValueError, match=message):
        tx.step(model, state, dt=DT)
    with pytest.raises(ValueError, match=message):
        tx.iterate(model, state, dt=DT, steps=2, chunk=1)


def test_couplings_of_none_couple_nothing():
    """Neither a key nor random phases for them."""
    none = (None,) * 4
    model = tx.TauCrystals(within=none, among=none, entities=2)
    np.testing.assert_array_equal(tx.init(model).phase, 0.0)


def test_what_else_a_state_may_lack():
    model = tx.TauCrystals(deviation=0.1)
    with pytest.raises(ValueError, match="got a state without a key for a field that is read with"):
        tx.harmonic(model, tx.init(tx.TauCrystals()))
    with pytest.raises(ValueError, match="got a state of 4 oscillators for 8 crystals"):
        tx.harmonic(tx.TauCrystals(crystals=2), tx.init(tx.TauCrystals()))
    with pytest.raises(ValueError, match="got no key, though the model has noise and the state"):
        tx.simulate(model, tx.init(tx.TauCrystals()), dt=DT, steps=1)
    with pytest.raises(ValueError, match="got a state of 4 oscillators in float32; expected 8 osc"):
        tx.simulate(tx.TauCrystals(crystals=2), tx.init(tx.TauCrystals()), dt=DT, steps=1)


def test_lists_and_integers_of_numpy_are_taken():
    """And make the same program as a tuple."""
    model = tx.TauCrystals(crystals=[1, np.int64(2), 1, 1], scales=list(SCALES))
    same = tx.TauCrystals(crystals=(1, 2, 1, 1))
    assert jax.tree.structure(model) == jax.tree.structure(same)
    assert hash(jax.tree.structure(model)) == hash(jax.tree.structure(same))
    assert tx.TauCrystals(crystals=np.int64(2), entities=np.int32(3)).size == 24


if __name__ == "__main__":
    print(json.dumps(divided()))
