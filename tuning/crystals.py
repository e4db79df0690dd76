"""Learn tau crystals: recover a model from its anchors, and cuts for wanted occupancies.

    python tuning/crystals.py            # writes crystals.json and crystals.png beside this file

Three fits with `tx.fit`, in which only anchors are known:

- `recover`: the weights and cuts of another model, from 2,000 of its anchors;
- `occupancy`: cuts at which FLOW−, SYNC and FLOW+ have given shares of the time;
- `adapt`: the time constant of cuts that follow the mean and scale of the field.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import tauax as tx

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Settings:
    """What the fits are run with."""

    weights: tuple[float, ...] = (0.28, 0.36, 0.22, 0.14)  # of the model to be recovered
    cuts: tuple[float, float] = (-0.22, 0.35)
    shares: tuple[float, float, float] = (0.25, 0.45, 0.30)  # FLOW−, SYNC, FLOW+
    time_constant: float = 2.0  # seconds, of the cuts to be recovered
    offsets: tuple[float, float] = (-0.8, 0.8)  # in standard deviations
    temperature: float = 0.1  # at the start
    dt: float = 0.01
    length: int = 2_000  # anchors that are known
    occupancy_length: int = 10_000
    starts: int = 10
    steps: int = 300
    rate: float = 0.1  # of Adam, falling along a cosine
    last_rate: float = 0.03  # as a part of the first
    # Short, as gradients grow while the learned temperature falls: 0.999 leaves 2 % of error.
    second_moment: float = 0.9
    spread: float = 0.5
    seed: int = 0


@tx.readout
def shares(model, state):
    """How far the present field belongs to FLOW−, SYNC and FLOW+."""
    return model.thresholds.memberships(state.buffers.anchors, model.field(state))


MONITORS = {"shares": tx.Trace(shares)}
OCCUPANCY = {"anchor": tx.Occupancy(tx.anchor)}


def anchors_of(model: tx.TauCrystals, settings: Settings, length: int) -> jax.Array:
    """The anchors of a model, −1, 0 or 1, `[length]`."""
    monitors = {"anchor": tx.Trace(tx.anchor)}
    run = tx.simulate(model, tx.init(model), dt=settings.dt, steps=length, monitors=monitors)
    return run.monitors["anchor"].value


def cross_entropy(model: tx.TauCrystals, key, *, codes: jax.Array, dt: float) -> jax.Array:
    """−⟨ln p(code)⟩ of known anchors under soft thresholds."""
    run = tx.simulate(model, tx.init(model), dt=dt, steps=len(codes), monitors=MONITORS)
    found = run.monitors["shares"].value
    known = jnp.take_along_axis(found, (codes + 1).astype(int)[:, None], axis=-1)
    return -jnp.log(jnp.maximum(known, 1e-6)).mean()


def occupancy_error(model: tx.TauCrystals, key, *, wanted, dt: float, steps: int) -> jax.Array:
    """Σ (share − wanted)² over the anchors."""
    run = tx.simulate(model, tx.init(model), dt=dt, steps=steps, monitors=OCCUPANCY)
    return ((run.monitors["anchor"].fraction - jnp.asarray(wanted)) ** 2).sum()


def recover(settings: Settings) -> dict:
    """Weights and cuts from anchors alone, from several starts."""
    true = tx.TauCrystals(weights=settings.weights, thresholds=tx.Thresholds(settings.cuts))
    codes = anchors_of(true, settings, settings.length)
    decision = tx.Soft(settings.temperature)
    start = tx.TauCrystals(
        weights=(0.25,) * 4, thresholds=tx.Thresholds((-0.3, 0.3), decision=decision)
    )
    begin = time.perf_counter()
    fit = tx.fit(
        partial(cross_entropy, codes=codes, dt=settings.dt),
        start,
        where=lambda m: (m.weights, m.thresholds.cuts.values, m.thresholds.decision.temperature),
        transform=(tx.Simplex(), tx.Ordered(), tx.Positive()),
        **_descent(settings, "recover"),
    )
    seconds = time.perf_counter() - begin
    weights, cuts, temperature = map(np.asarray, fit.values)
    off_weights = np.abs(weights / np.asarray(settings.weights) - 1).max(axis=1)
    off_cuts = np.abs(cuts - np.asarray(settings.cuts)).max(axis=1)
    found = replace(fit.model, thresholds=tx.Thresholds(cuts[fit.best]))  # hard again
    wrong = np.mean(np.asarray(anchors_of(found, settings, settings.length)) != np.asarray(codes))
    return {
        "true_weights": settings.weights,
        "true_cuts": settings.cuts,
        "weights": weights.tolist(),
        "cuts": cuts.tolist(),
        "temperature": temperature.tolist(),
        "relative_error_of_weights": off_weights.tolist(),
        "error_of_cuts": off_cuts.tolist(),
        "median_relative_error_of_weights": float(np.median(off_weights)),
        "median_error_of_cuts": float(np.median(off_cuts)),
        "wrong_anchors_of_best": float(wrong),
        "losses": _short(fit.losses),
        "seconds": seconds,
    }


def occupancy(settings: Settings) -> dict:
    """Cuts for wanted shares, checked with hard thresholds and against quantiles."""
    steps = settings.occupancy_length
    decision = tx.StraightThrough(settings.temperature)
    start = tx.TauCrystals(thresholds=tx.Thresholds((-0.3, 0.3), decision=decision))
    begin = time.perf_counter()
    fit = tx.fit(
        partial(occupancy_error, wanted=settings.shares, dt=settings.dt, steps=steps),
        start,
        where=lambda m: m.thresholds.cuts.values,
        transform=tx.Ordered(),
        **_descent(settings, "occupancy", starts=1, steps=100),
    )
    seconds = time.perf_counter() - begin
    cuts = np.asarray(fit.values[0])
    hard = replace(fit.model, thresholds=tx.Thresholds(cuts))
    codes = np.asarray(anchors_of(hard, settings, steps))
    quantiles = tx.calibrated(
        tx.TauCrystals(), dt=settings.dt, steps=steps, anchors=settings.shares
    )
    return {
        "wanted": settings.shares,
        "found": [float(np.mean(codes == code)) for code in (-1, 0, 1)],
        "cuts": cuts.tolist(),
        "quantiles": np.asarray(quantiles.thresholds.cuts.values).tolist(),
        "losses": _short(fit.losses),
        "seconds": seconds,
    }


def adapt(settings: Settings) -> dict:
    """The time constant of moving cuts, from anchors alone."""

    def crystals(seconds: float, decision) -> tx.TauCrystals:
        cuts = tx.EmaCuts(settings.offsets, time=seconds, scale=0.4)
        return tx.TauCrystals(thresholds=tx.Thresholds(cuts, decision=decision))

    codes = anchors_of(crystals(settings.time_constant, tx.Hard()), settings, settings.length)
    begin = time.perf_counter()
    fit = tx.fit(
        partial(cross_entropy, codes=codes, dt=settings.dt),
        crystals(4 * settings.time_constant, tx.Soft(settings.temperature)),
        where=lambda m: (m.thresholds.cuts.time, m.thresholds.decision.temperature),
        transform=tx.Positive(),
        **_descent(settings, "adapt", starts=1),
    )
    seconds = time.perf_counter() - begin
    return {
        "true_time_constant": settings.time_constant,
        "start": 4 * settings.time_constant,
        "time_constant": float(fit.values[0]),
        "relative_error": abs(float(fit.values[0]) / settings.time_constant - 1),
        "losses": _short(fit.losses),
        "seconds": seconds,
    }


def _short(losses) -> list:
    """Losses to four digits: they are there to be drawn."""
    return np.vectorize(lambda loss: float(f"{loss:.4g}"))(np.asarray(losses)).tolist()


def _descent(
    settings: Settings, name: str, starts: int | None = None, steps: int | None = None
) -> dict:
    """The arguments that all fits have in common."""
    steps = steps or settings.steps

    def report(done: int, total: int, fit: tx.Fit) -> None:
        loss = np.median(fit.losses[..., -1])
        print(f"{name} {done}/{total}, median loss {loss:.4g}", flush=True)

    return {
        "optimizer": optax.adam(
            optax.cosine_decay_schedule(settings.rate, steps, settings.last_rate),
            b2=settings.second_moment,
        ),
        "steps": steps,
        "key": jax.random.key(settings.seed),
        "starts": starts or settings.starts,
        "spread": settings.spread,
        "chunk": 50,
        "report": report,
    }


def draw(outcome: dict, path: Path) -> None:
    """Losses of all starts, and the recovered numbers beside the true ones."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    found = outcome["recover"]
    for losses in found["losses"]:
        left.semilogy(losses, color="tab:blue", alpha=0.5, linewidth=1)
    left.set(xlabel="optimiser step", ylabel="cross-entropy, nats", title="ten starts")
    names = ["micro", "meso", "macro", "ultra", "lower cut", "upper cut"]
    true = [*found["true_weights"], *found["true_cuts"]]
    values = np.column_stack([found["weights"], found["cuts"]])
    for start, row in enumerate(values):
        label = "found, each start" if start == 0 else None
        middle.plot(row, "o", color="tab:blue", alpha=0.5, markersize=5, label=label)
    middle.plot(true, "_", color="black", markersize=18, label="true")
    middle.axhline(0, color="0.8", linewidth=0.8)
    middle.set_xticks(range(6), names, rotation=30)
    middle.set(ylabel="weight, or field at the cut", title="recovered from 2,000 anchors")
    middle.legend(frameon=False)
    shares = outcome["occupancy"]
    place = np.arange(3)
    right.bar(place - 0.2, shares["wanted"], 0.4, color="0.75", label="wanted")
    right.bar(place + 0.2, shares["found"], 0.4, color="tab:blue", label="learned cuts")
    right.set_xticks(place, ["FLOW−", "SYNC", "FLOW+"])
    right.set(ylabel="share of the time", title="occupancies", ylim=(0, 0.65))
    right.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    """Run the fits, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the JSON and the figure")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    options = parser.parse_args()
    settings = Settings(seed=options.seed)
    outcome = {"settings": asdict(settings), "versions": {"jax": jax.__version__}}
    for study in (recover, occupancy, adapt):
        outcome[study.__name__] = study(settings)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "crystals.json").write_text(json.dumps(outcome, indent=1) + "\n")
    draw(outcome, options.out / "crystals.png")
    found = outcome["recover"]
    print(f"weights: median error {found['median_relative_error_of_weights']:.2%}")
    print(f"cuts: median error {found['median_error_of_cuts']:.4f}")
    print(f"occupancies: {outcome['occupancy']['found']}, wanted {settings.shares}")
    print(f"time constant: {outcome['adapt']['time_constant']:.3f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
