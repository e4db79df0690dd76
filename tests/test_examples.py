"""The examples do what their first lines say, and run from the command line."""

import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax.hints import ANCHORS, PRIORITIES

EXAMPLES = Path(__file__).parents[1] / "examples"
HERTZ = jnp.asarray([10.0, 1.0, 0.1, 0.01])
INTERVAL = 0.1  # seconds


@pytest.fixture(scope="module")
def agent():
    path = EXAMPLES / "agent.py"
    specification = importlib.util.spec_from_file_location("agent_example", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules[specification.name]


def hints(anchor, scale) -> tx.Context:
    """Hard hints: positions of an anchor and a scale, of any shape."""
    return tx.Context(jax.nn.one_hot(anchor, 4), jax.nn.one_hot(scale, 3), tx.TauCrystals().scales)


def test_settings_are_those_of_the_table(agent):
    """Every anchor at every scale, against the table in words of the example."""
    anchor, scale = np.indices((4, 3))
    found = agent.settings(agent.Policy(), hints(anchor, scale), HERTZ, INTERVAL)
    turns, temperatures = {}, {}
    for line in agent.__doc__.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in ANCHORS:
            turns[cells[0]], temperatures[cells[0]] = float(cells[2]), float(cells[3])
            assert PRIORITIES[ANCHORS.index(cells[0])] == float(cells[4])
    for a, name in enumerate(ANCHORS):
        for s, period in enumerate((0.1, 1.0, 10.0)):
            share = 1 - (1 - PRIORITIES[a]) ** (INTERVAL / period)
            expected = turns[name] * period, temperatures[name], share
            np.testing.assert_allclose([one[a, s] for one in found], expected, rtol=2e-6)  # float32


def test_a_turn_of_decisions_writes_with_the_priority(agent):
    write = agent.settings(agent.Policy(), hints(2, 1), HERTZ, INTERVAL).write
    np.testing.assert_allclose(1 - (1 - write) ** 10, 0.8, rtol=1e-5)  # ten powers in float32
    rarely = agent.settings(agent.Policy(), hints(2, 0), HERTZ, 5.0).write
    np.testing.assert_allclose(rarely, 0.8, rtol=1e-6)  # fewer than one decision a turn


def test_settings_are_the_same_in_any_batch(agent):
    anchor, scale = np.indices((4, 3))
    policy, all_hints = agent.Policy(), hints(anchor, scale)

    def one(anchors, attentions):
        told = tx.Context(anchors, attentions, all_hints.scales)
        return agent.settings(policy, told, HERTZ, INTERVAL)

    whole = agent.settings(policy, all_hints, HERTZ, INTERVAL)
    mapped = jax.jit(jax.vmap(jax.vmap(one)))(all_hints.anchors, all_hints.attentions)
    for a, b in zip(whole, mapped, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # compiled in another order
    own = jnp.broadcast_to(HERTZ, (4, 3, 4)) * jnp.asarray([1.0, 2.0, 4.0])[:, None]
    faster = agent.settings(policy, all_hints, own, INTERVAL)
    expected = whole.horizon / jnp.asarray([1.0, 2.0, 4.0])
    np.testing.assert_allclose(faster.horizon, expected, rtol=1e-6)  # the same


def test_soft_hints_give_derivatives(agent):
    """From the field, through soft thresholds, to each of the settings."""
    bank = tx.Thresholds((-0.3, 0.3), decision=tx.Soft(0.1))
    model = tx.TauCrystals(thresholds=bank)
    state = tx.step(model, tx.init(model, phase=[0.3, 0.2, 0.5, 0.1]), dt=0.01)

    @jax.jit
    def settings(gain):
        louder = tx.TauCrystals(thresholds=bank, gain=gain * model.gain)
        return agent.settings(agent.Policy(), tx.context(louder, state), HERTZ, INTERVAL)

    slopes = jax.jacfwd(settings)(jnp.asarray(1.0))
    step = 1e-2
    low, high = settings(1.0 - step), settings(1.0 + step)
    for slope, before, after in zip(slopes, low, high, strict=True):
        # The third derivative over step² and float32 over step: both below 1 %.
        np.testing.assert_allclose(slope, (after - before) / (2 * step), rtol=0.02)
        assert abs(slope) > 1e-4


def test_plans_end_are_held_and_are_cut(agent):
    worth = jnp.asarray([[1.0, 2.0, 3.0, 4.0]] * 3)
    agents = agent.Agents(worth, worth, jnp.asarray([0, 0, 0]), jnp.asarray([0.0, 1.0, 9.0]))
    now = agent.Settings(jnp.full(3, 2.0), jnp.full(3, 1e-3), jnp.asarray([0.0, 0.0, 1.0]))
    after, (deliberated, wrote, reward) = agent.decide(agents, now, INTERVAL, jax.random.key(0))
    assert deliberated.tolist() == [True, False, False]
    assert after.chosen.tolist() == [3, 0, 0]  # cold: the best of what is believed
    np.testing.assert_allclose(after.plan, [1.9, 0.9, 1.9], rtol=1e-6)
    assert reward.tolist() == [4.0, 1.0, 1.0]
    assert wrote.tolist() == [False, False, True]
    changed = np.asarray(after.believe != agents.believe)
    assert changed.tolist() == [[False] * 4, [False] * 4, [True, False, False, False]]


@pytest.mark.parametrize("soft", ["0", "0.05"], ids=["hard", "soft"])
def test_agent_runs(agent, capsys, soft):
    agent.main(["--members", "24", "--seconds", "6", "--soft", soft])
    first, head, *rows = capsys.readouterr().out.splitlines()
    assert first == "24 agents, 60 decisions each, one every 0.1 s"
    columns = {name: number for number, name in enumerate(head.split())}
    assert "temperature" in columns
    found = {row.split()[0]: row.split() for row in rows}
    assert list(found) == list(ANCHORS)
    assert abs(sum(float(row[2].rstrip("%")) for row in found.values()) - 100) < 0.3  # rounded
    assert float(found["FLOW+"][3]) > float(found["SYNC"][3]) > float(found["FLOW−"][3])
    assert float(found["FLOW−"][5]) > float(found["FLOW+"][5])
    assert all(np.isfinite([float(value) for value in row[3:]]).all() for row in found.values())
