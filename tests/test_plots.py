"""The figures of tau crystals show the numbers of the run, at any length and for any entity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax import plots
from tauax.monitors.transitions import Transitions
from tauax.plots import base

pytest.importorskip("matplotlib")

TRACES = {
    "phase": tx.Trace(tx.phase),
    "field": tx.Trace(tx.harmonic),
    "anchor": tx.Trace(tx.anchor),
}


@pytest.fixture(scope="module")
def original():
    model = tx.TauCrystals()
    return model, tx.simulate(model, tx.init(model), dt=0.01, steps=900, monitors=TRACES)


@pytest.fixture(scope="module")
def population():
    """Two entities with cuts that move, of three members, in soft anchors."""
    bank = tx.Thresholds(tx.EmaCuts((-0.8, 0.8), time=5.0), tx.Soft(0.05))
    model = tx.TauCrystals(
        hertz=(8.0, 0.5),
        weights=(0.4, 0.6),
        gain=((0.9, 0.8), (0.7, 1.5)),
        scales=("fast", "slow"),
        attention=tx.Thresholds((0.1,)),
        crystals=(3, 9),
        entities=2,
        thresholds=bank,
        within=tx.MeanField(0.5),
    )
    state = tx.init(model, key=jax.random.key(0), members=3)
    monitors = {**TRACES, "cuts": tx.Trace(plots.cuts)}
    return model, tx.simulate(model, state, dt=0.02, steps=120, monitors=monitors)


def left(figure):
    return figure.axes[::2]


def right(figure):
    return figure.axes[1::2]


def test_lines_are_the_records(original):
    model, sol = original
    figure = plots.crystals(model, sol)
    assert len(figure.axes) == 2 * (4 + 1)
    tau = model.gain * jnp.sin(sol.monitors["phase"].value + model.lead)
    for scale, panel in enumerate(left(figure)[:4]):
        time, drawn = panel.lines[0].get_data()
        np.testing.assert_array_equal(time, sol.monitors["phase"].time)
        np.testing.assert_allclose(drawn, tau[:, scale], atol=1e-6)  # roundings of float32
    field, low, high = left(figure)[4].lines
    np.testing.assert_array_equal(field.get_ydata(), sol.monitors["field"].value)
    np.testing.assert_allclose([low.get_ydata()[0], high.get_ydata()[-1]], [-0.3, 0.3], atol=1e-7)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["FLOW−", "SYNC", "FLOW+"]


def test_bands_are_the_anchors(original):
    model, sol = original
    codes = np.asarray(sol.monitors["anchor"].value)[-301:]
    (mesh,) = right(plots.crystals(model, sol))[4].collections
    colours = np.asarray(mesh.get_array())[0]
    np.testing.assert_allclose(colours, base.bands(3)[codes.astype(int) + 1], atol=1e-12)
    edges = mesh.get_coordinates()[0, :, 0]
    np.testing.assert_array_equal(edges[:-1], sol.monitors["anchor"].time[-301:])


def test_the_right_side_is_three_turns(original):
    model, sol = original
    for panel, hertz in zip(right(plots.crystals(model, sol)), (10, 1, 0.1, 0.01), strict=False):
        time = panel.lines[0].get_xdata()
        assert len(time) == min(900, round(300 / hertz) + 1)  # 0.01 s a record
        assert time[-1] == sol.monitors["phase"].time[-1]


def test_long_runs_show_ranges():
    """1,000 turns of the fastest scale, 100 of the next: more than lines or bands can show."""
    model = tx.TauCrystals(hertz=(50.0, 5.0, 0.5, 0.05))
    sol = tx.simulate(model, tx.init(model), dt=0.005, steps=4_000, monitors=TRACES)
    figure = plots.crystals(model, sol)
    fastest, second, *_, field = left(figure)
    assert not fastest.lines
    assert "999 turns" in fastest.texts[0].get_text()
    # Four records a turn, 90° apart and a lead of 0.1: cos 0.1 is the largest.
    (reach,) = fastest.collections
    bounds = reach.get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([bounds.min(), bounds.max()], [-0.99, 0.99], atol=0.002)
    assert len(second.lines[0].get_xdata()) == 4_000
    mesh = next(one for one in field.collections if hasattr(one, "get_coordinates"))
    colours = np.asarray(mesh.get_array())[0]
    assert len(colours) == 99  # a band per turn of the second fastest
    codes = np.asarray(sol.monitors["anchor"].value)
    expected = base.bands(3)[codes.astype(int) + 1]
    starts = np.linspace(0, 4_000, 99, False).astype(int)
    means = np.stack([part.mean(axis=0) for part in np.split(expected, starts[1:])])
    np.testing.assert_allclose(colours, means, atol=1e-12)


@pytest.mark.parametrize(("member", "entity"), [(0, 0), (2, 1)])
def test_members_and_entities(population, member, entity):
    model, sol = population
    figure = plots.crystals(model, sol, member=member, entity=entity)
    blocks = model.layout.blocks(sol.monitors["phase"].value[member])
    for scale, panel in enumerate(left(figure)[:2]):
        tau = model.gain[entity, scale] * jnp.sin(blocks[scale][:, entity] + model.lead)
        np.testing.assert_allclose(panel.lines[0].get_ydata(), tau.mean(axis=1), atol=1e-6)  # same
        reach = panel.get_ylim()[1]
        assert abs(reach - 1.1 * np.abs(tau).max()) < 1e-5
    assert [len(panel.lines) for panel in right(figure)[:2]] == [3, base.MANY]
    field, *moving = left(figure)[2].lines
    np.testing.assert_array_equal(field.get_ydata(), sol.monitors["field"].value[member, :, entity])
    cuts = sol.monitors["cuts"].value[member, :, entity]
    np.testing.assert_array_equal(np.stack([line.get_ydata() for line in moving], 1), cuts)


def test_soft_anchors_lie_between_the_colours(population):
    model, sol = population
    (mesh,) = left(plots.crystals(model, sol, member=1))[2].collections
    code = np.asarray(sol.monitors["anchor"].value[1, :, 0])
    assert ((code % 1) != 0).any()
    bands = base.bands(3)
    expected = [np.interp(code, (-1, 0, 1), channel) for channel in bands.T]
    np.testing.assert_allclose(np.asarray(mesh.get_array())[0], np.stack(expected, 1), atol=1e-6)


def test_cuts_that_move_unseen_are_left_out(population):
    model, sol = population
    some = {name: sol.specification[name] for name in TRACES}
    bare = type(sol)(sol.state, sol.monitors, sol.status, some, sol.coordinates, sol.begin)
    _, *lines = left(plots.crystals(model, bare))[2].lines
    assert np.isnan(np.stack([line.get_ydata() for line in lines])).all()


def test_grids_and_other_levels():
    model = tx.TauCrystals(thresholds=tx.Thresholds((-0.5, 0.0, 0.5)))
    grid = tx.vary(model, {"gain": (lambda m: m.gain, np.outer([0.5, 0.9], np.ones(4)))})
    sol = tx.simulate(grid, tx.init(grid, members=2), dt=0.01, steps=20, monitors=TRACES)
    figure = plots.crystals(grid, sol, member=2)  # the first member of the second point
    expected = 0.9 * np.sin(sol.monitors["phase"].value[1, 0, :, 1] + 0.1)
    np.testing.assert_allclose(left(figure)[1].lines[0].get_ydata(), expected, atol=1e-6)  # float32
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["-1.5", "-0.5", "+0.5", "+1.5"]


def test_written(original, tmp_path):
    model, sol = original
    plots.crystals(model, sol).savefig(tmp_path / "crystals.png")
    assert (tmp_path / "crystals.png").stat().st_size > 20_000


def test_notebooks_show_it(original):
    """IPython asks an object for its picture by this method."""
    picture = plots.crystals(*original)._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_what_is_missing_is_named(original):
    model, sol = original
    bare = tx.simulate(model, tx.init(model), dt=0.01, steps=10)
    with pytest.raises(ValueError, match=r'without a trace of tx\.phase.* Fix: add "phase"'):
        plots.crystals(model, bare)
    uneven = {**TRACES, "phase": tx.Trace(tx.phase, every=2)}
    sol = tx.simulate(model, tx.init(model), dt=0.01, steps=10, monitors=uneven)
    with pytest.raises(ValueError, match=r"5 records of phase, 10 of harmonic.* Fix: give the"):
        plots.crystals(model, sol)
    phases = tx.PhaseOscillators([1.0, 2.0])
    sol = tx.simulate(phases, tx.init(phases, phase=[0.0, 1.0]), dt=0.01, steps=10)
    with pytest.raises(TypeError, match="no scales"):
        plots.crystals(phases, sol)


@pytest.fixture(scope="module")
def jumps():
    """The transitions between the anchors of a noisy reading."""
    model = tx.TauCrystals(deviation=0.3)
    state = tx.init(model, key=jax.random.key(1), members=4)
    monitors = {"jumps": Transitions(tx.anchor)}
    return tx.simulate(model, state, dt=0.01, steps=400, monitors=monitors).monitors["jumps"]


def test_numbers_of_the_graph_are_those_of_all_members(jumps):
    (panel,) = plots.anchors(jumps).axes
    found = {text.get_text() for text in panel.texts}
    counts = np.asarray(jumps.counts).sum(axis=0)
    chances = counts / counts.sum(axis=1, keepdims=True)
    assert (counts > 0).all()
    for a, name in enumerate(("FLOW−", "SYNC", "FLOW+")):
        share = counts[a].sum() / counts.sum()
        assert f"{name}\n{share:.1%}\nstays {chances[a, a]:.1%}" in found
        assert {f"{chances[a, b]:.2%}" for b in range(3) if b != a} <= found


def test_no_arrow_without_a_transition():
    model = tx.TauCrystals()
    monitors = {"jumps": Transitions(tx.anchor)}
    sol = tx.simulate(model, tx.init(model), dt=0.01, steps=2_000, monitors=monitors)
    (panel,) = plots.anchors(sol.monitors["jumps"]).axes
    assert sum("%" in one.get_text() and "\n" not in one.get_text() for one in panel.texts) == 4


def test_graph_refuses(jumps):
    with pytest.raises(ValueError, match=r"2 names.*3, one per code"):
        plots.anchors(jumps, names=("low", "high"))
    with pytest.raises(TypeError, match=r"TransitionsResult.* Fix: pass solution"):
        plots.anchors(jumps.counts)
