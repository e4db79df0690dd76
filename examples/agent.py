"""Agents that plan, sample and remember as their tau crystals tell them.

    python examples/agent.py --members 64 --seconds 30

Every member of an ensemble of crystals is an agent, and every decision has three settings:

- **planning horizon**, seconds: how long a choice is held before the next deliberation. So many
  turns of the attended scale, by the processing mode; a plan that reaches beyond the present
  horizon is cut short;
- **sampling temperature**: how freely it chooses among options by what it believes them worth, by
  the processing mode;
- **write probability**: whether what it has just seen goes to memory. The memory priority p is the
  probability of a write within one turn of the attended scale, spread over the decisions in it:
  1 − (1 − p)^(interval/turn).

| anchor | mode | turns | temperature | priority |
|---|---|---|---|---|
| FLOW+ | predictive: commit to a long plan | 4 | 0.5 | 0.8 |
| FLOW− | reflective: short plans on what is known, and keep it | 0.5 | 0.3 | 0.9 |
| SYNC | present: turn by turn | 1 | 0.7 | 0.6 |
| INIT | exploratory: nothing is known yet | 0.1 | 1.5 | 0.4 |

The task is a restless bandit: options whose worth drifts, so that what is remembered grows old. The
table shows, for each anchor, what was set and what came of it.
"""

import argparse
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

import tauax as tx
from tauax.hints import ANCHORS, MODES

DT = 0.01  # seconds, of the crystals
OPTIONS, MEAN_REVERSION, SEEN_NOISE = 4, 0.05, 0.3  # of the task: number, 1/s, deviation


class Policy(eqx.Module):
    """What each anchor means to an agent, in the order of `tauax.hints.ANCHORS`.

    **Attributes:** `turns` of the attended scale in a plan; `temperature` of sampling.
    """

    turns: Array = eqx.field(converter=jnp.asarray, default=(0.5, 1.0, 4.0, 0.1))
    temperature: Array = eqx.field(converter=jnp.asarray, default=(0.3, 0.7, 0.5, 1.5))


class Settings(NamedTuple):
    """How an agent decides now: `[*batch]` each, as the hints they follow from.

    **Attributes:** `horizon`, seconds; `temperature`; `write`, a probability.
    """

    horizon: Array
    temperature: Array
    write: Array


def settings(policy: Policy, hints: tx.Context, hertz: Array, interval: float) -> Settings:
    """What an agent does with its hints; pure, for any batch, and under `jit`, `vmap` and `grad`.

    Where thresholds are soft the settings are means over the shares of anchors and scales, those of
    a period on a logarithmic axis, and differentiable.

    **Arguments:** `hertz`, `[..., scale]`, those of the crystals, fastest first; `interval`, the
    seconds from one decision to the next.
    """
    levels = hints.attentions.shape[-1]
    period = jnp.exp(-(hints.attentions * jnp.log(hertz[..., :levels])).sum(axis=-1))
    write = -jnp.expm1(jnp.minimum(interval / period, 1.0) * jnp.log1p(-hints.priority))
    horizon, temperature = hints.anchors @ policy.turns * period, hints.anchors @ policy.temperature
    return Settings(horizon, temperature, write)


class Agents(NamedTuple):
    """All agents and their task.

    **Attributes:** `worth` of the options and what agents `believe` of it, `[agent, option]`; the
    option each has `chosen`, and the seconds that its `plan` still lasts, `[agent]`.
    """

    worth: Array
    believe: Array
    chosen: Array
    plan: Array


class Decision(NamedTuple):
    """What a decision was and led to, `[agent]`."""

    anchor: Array
    settings: Settings
    deliberated: Array
    wrote: Array
    reward: Array


def newborn(key: Array, agents: int) -> Agents:
    """Agents that know nothing, in front of options that are worth 0 ± 1."""
    worth = jax.random.normal(key, (agents, OPTIONS))
    none = jnp.zeros((agents,))
    return Agents(worth, jnp.zeros_like(worth), none.astype(int), none)


def decide(agents: Agents, now: Settings, interval: float, key: Array):
    """One decision of every agent: deliberate if its plan is over, act, see, perhaps remember."""
    choice_key, seen_key, write_key, drift_key = jax.random.split(key, 4)
    deliberate = agents.plan < 0.5 * interval
    sampled = jax.random.categorical(choice_key, agents.believe / now.temperature[:, None])
    chosen = jnp.where(deliberate, sampled, agents.chosen)
    plan = jnp.where(deliberate, now.horizon, jnp.minimum(agents.plan, now.horizon)) - interval
    taken = jax.nn.one_hot(chosen, OPTIONS)
    reward = (agents.worth * taken).sum(axis=-1)
    seen = reward + SEEN_NOISE * jax.random.normal(seen_key, reward.shape)
    wrote = jax.random.uniform(write_key, now.write.shape) < now.write
    new = (taken * wrote[:, None]).astype(bool)
    believe = jnp.where(new, 0.5 * (agents.believe + seen[:, None]), agents.believe)
    kept = jnp.exp(-MEAN_REVERSION * interval)
    kicks = jax.random.normal(drift_key, agents.worth.shape)
    worth = kept * agents.worth + jnp.sqrt(1.0 - kept**2) * kicks
    return Agents(worth, believe, chosen, plan), (deliberate, wrote, reward)


def live(model, policy: Policy, key: Array, *, members: int, seconds: float, every: int):
    """The decisions of `members` agents, `[decision, agent]`, one every `every` steps."""
    crystals_key, agents_key, decisions_key = jax.random.split(key, 3)
    state = tx.init(model, key=crystals_key, members=members)
    interval = every * DT

    def turn(carry, number):
        state, agents = carry
        hints = tx.context(model, state)
        now = settings(policy, hints, model.hertz, interval)
        now_key = jax.random.fold_in(decisions_key, number)
        agents, outcome = decide(agents, now, interval, now_key)
        state = tx.simulate(model, state, dt=DT, steps=every, throw=False).state
        return (state, agents), Decision(hints.anchor, now, *outcome)

    begin = (state, newborn(agents_key, members))
    return jax.lax.scan(turn, begin, jnp.arange(max(1, round(seconds / interval))))[1]


def crystals(key: Array, temperature: float) -> tx.TauCrystals:
    """Noisy crystals whose cuts were put where every anchor and every scale occurs."""
    decision = tx.Soft(temperature) if temperature > 0 else tx.Hard()
    model = tx.TauCrystals(
        noise=tx.WhiteNoise(intensity=0.01),
        deviation=0.02,
        thresholds=tx.Thresholds((-0.3, 0.3), decision=decision),
    )
    shares = {"anchors": (0.25, 0.5, 0.25), "attention": (1 / 3, 1 / 3, 1 / 3)}
    return tx.calibrated(model, dt=DT, steps=2_000, key=key, members=16, every=5, **shares)


def table(decisions: Decision, interval: float) -> str:
    """What was set and what came of it, a line per anchor."""
    found = jax.tree.map(np.asarray, decisions)
    head = ("anchor", "mode", "share", "horizon s", "temperature", "write p", "plans/s", "writes/s")
    lines = ["".join(f"{name:>12}" for name in (*head, "reward"))]
    for position, (anchor, mode) in enumerate(zip(ANCHORS, MODES, strict=True)):
        at = found.anchor == position
        if not at.any():
            continue
        values = (
            *(one[at].mean() for one in found.settings),
            found.deliberated[at].mean() / interval,
            found.wrote[at].mean() / interval,
            found.reward[at].mean(),
        )
        numbers = "".join(f"{value:>12.3f}" for value in values)
        lines.append(f"{anchor:>12}{mode:>12}{at.mean():>12.1%}{numbers}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the agents and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shown = "(default: %(default)s)"
    parser.add_argument("--members", type=int, default=64, help=f"number of agents {shown}")
    parser.add_argument("--seconds", type=float, default=30.0, help=f"of their lives {shown}")
    parser.add_argument(
        "--every", type=int, default=10, help=f"steps of 0.01 s between decisions {shown}"
    )
    parser.add_argument(
        "--soft",
        type=float,
        default=0.0,
        metavar="TEMPERATURE",
        help="soft thresholds, with this temperature in units of the field (default: hard ones)",
    )
    parser.add_argument("--seed", type=int, default=0, help=f"of all that is random {shown}")
    options = parser.parse_args(arguments)
    model_key, key = jax.random.split(jax.random.key(options.seed))
    model = crystals(model_key, options.soft)
    decisions = live(
        model,
        Policy(),
        key,
        members=options.members,
        seconds=options.seconds,
        every=options.every,
    )
    count, agents = decisions.anchor.shape
    print(f"{agents} agents, {count} decisions each, one every {options.every * DT:g} s")
    print(table(decisions, options.every * DT))


if __name__ == "__main__":
    main()
