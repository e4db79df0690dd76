"""Learn the couplings of brain regions from functional connectivity, and test them on others.

    python tuning/brain.py --data brain.npz   # writes brain.json and brain.png beside this file

84 regions of the human brain are noisy phase oscillators of one frequency,

    dθ_i = [ω + Σ_j w_ij sin(θ_j − θ_i)] dt + √(2D) dW_i,

and what is to be matched is the correlation of sin θ_i and sin θ_j over a run, with the measured
functional connectivity (FC). 17 regions are held out: no pair with one of them is in the loss.
Everything is known of the structural connectivity (SC, streamlines) and the length of their tracts.

- `few`: four numbers make all couplings of SC and length, w = 1 / (1/c + 1/(K s^b e^{−d·length}));
- `free`: each of the 3,486 couplings and 84 frequencies for itself, from what `few` found;
- beside them SC itself, the length, and linear models, the correlations of (I + L)⁻¹, with L the
  Laplacian of g·SC, of g·SC^power, or of weights that are free as well, found on the same pairs.

The data are not part of this package: the average connectome of tvboptim (EUPL-1.2), read from a
file with the arrays `sc`, `length_mm` and `fc`, or from an installed tvboptim.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

import tauax as tx

HERE = Path(__file__).parent
VARIABLE = "TAUAX_BRAIN"  # the path of the data, where no option gives it
PAIRS = ("train-train", "train-held", "held-held")


@dataclass(frozen=True)
class Settings:
    """What the fits are run with."""

    held: int = 17  # regions, a fifth
    split: int = 0  # the seed that chooses them
    other_splits: tuple[int, ...] = (1, 2)  # one fit each, for the spread
    seeds: tuple[int, ...] = (0, 1, 2)  # of the noise
    # K and c in rad/s, power b, decay d in 1/dm: of seven tried, one that does well on train-train
    # pairs although its couplings are weak.
    start: tuple[float, float, float, float] = (0.1, 1.5, 6.0, 1.0)
    intensity: float = 1.0  # D in rad²/s, which sets the unit of time
    hertz: float = 2.0  # runs are of whole cycles, so that the common phase averages out
    dt: float = 0.01
    steps: int = 1_200
    after: int = 200  # of these, while the phases come together
    every: int = 5
    members: int = 16
    few_steps: int = 80  # of Adam
    free_steps: int = 100
    linear_steps: int = 100
    rate: float = 0.1  # falling along a cosine
    last_rate: float = 0.1  # as a part of the first
    second_moment: float = 0.95
    # Where noise makes phases slip, the gradient has heavy tails: right on average, but of 24 at
    # the start one was fifty times the median, and Adam goes astray for many steps.
    largest_gradient: float = 0.1  # of all free numbers, as a norm
    test_steps: int = 2_200
    test_members: int = 64
    gains: tuple[float, float, int] = (-2.0, 5.0, 57)  # decades of g, and how many values
    powers: tuple[float, float, int] = (0.5, 4.0, 15)


# For tests: the same with few steps.
QUICK = {
    "held": 3,
    "other_splits": (1,),
    "seeds": (0, 1),
    "start": (0.2, 0.5, 6.0, 0.0),  # so weak that few steps improve it
    "steps": 300,
    "after": 100,
    "members": 32,
    "few_steps": 10,
    "free_steps": 20,
    "linear_steps": 10,
    "test_steps": 600,
    "test_members": 256,
    "gains": (-2.0, 3.0, 6),
    "powers": (1.0, 2.0, 2),
}


@dataclass(frozen=True)
class Connectome:
    """Weights of tracts, their lengths in mm, and functional connectivity, `[region, region]`."""

    structure: np.ndarray
    length: np.ndarray
    function: np.ndarray

    @property
    def size(self) -> int:
        return len(self.structure)

    def shuffled(self, seed: int) -> "Connectome":
        """The same structure, of other regions: what is left is chance."""
        order = np.random.default_rng(seed).permutation(self.size)
        rows = np.ix_(order, order)
        return replace(self, structure=self.structure[rows], length=self.length[rows])


@tx.readout
def activity(model, state):
    """sin θ of every region."""
    return jnp.sin(state.phase)


class Few(eqx.Module):
    """Couplings made of structure by four numbers: w = 1 / (1/c + 1/(K s^b e^{−d·length})).

    `structure` is ln s, with s the streamlines (plus one) by those of a connection that is stronger
    than nine in ten, so K is the coupling of such a one, unless its length or c lowers it.
    """

    strength: Array
    power: Array
    ceiling: Array
    decay: Array
    structure: Array
    length: Array
    frequency: Array
    intensity: Array
    target: Array
    pairs: Array

    def system(self) -> tx.PhaseOscillators:
        whole = self.strength * jnp.exp(self.power * self.structure - self.decay * self.length)
        weights = whole / (1.0 + whole / self.ceiling)
        weights = jnp.where(jnp.eye(len(weights), dtype=bool), 0.0, weights)
        noise = tx.WhiteNoise(self.intensity)
        return tx.PhaseOscillators(self.frequency, tx.Dense(weights), noise)


class Linear(eqx.Module):
    """The linear model with weights of its own: dx_i = [−x_i + Σ_j w_ij (x_j − x_i)] dt + dW_i."""

    logarithm: Array  # of w
    target: Array
    pairs: Array

    def connectivity(self) -> Array:
        size = len(self.logarithm)
        weights = jnp.where(jnp.eye(size, dtype=bool), 0.0, jnp.exp(self.logarithm))
        covariance = jnp.linalg.inv(jnp.eye(size) + jnp.diag(weights.sum(axis=1)) - weights)
        scale = jax.lax.rsqrt(jnp.diag(covariance))
        return covariance * scale[:, None] * scale[None, :]


class Free(eqx.Module):
    """Oscillators of which any number may be fitted."""

    oscillators: tx.PhaseOscillators
    target: Array
    pairs: Array

    def system(self) -> tx.PhaseOscillators:
        return self.oscillators


def unlikeness(model: Few | Free, key, *, settings: Settings) -> Array:
    """1 − the correlation of simulated and measured FC over the pairs that count."""
    source = tx.Covariance(activity, every=settings.every)
    target = tx.losses.Connectivity(model.target, source, "correlation", model.pairs)
    loss = tx.losses.simulated(
        target,
        dt=settings.dt,
        steps=settings.steps,
        members=settings.members,
        after=settings.after,
    )
    return loss(model.system(), key)


def few(data: Connectome, held: np.ndarray, settings: Settings) -> Few:
    """The model as the fit starts from it."""
    between = ~np.eye(data.size, dtype=bool)
    structure = np.log1p(data.structure)
    structure = np.where(between, structure - np.quantile(structure[between], 0.9), 0.0)
    numbers = [*settings.start, structure, data.length / 100.0]
    frequency = np.full(data.size, 2 * np.pi * settings.hertz)
    pairs = ~(held[:, None] | held[None, :])
    numbers += [frequency, settings.intensity, data.function, pairs]
    return Few(*(jnp.asarray(one, jnp.float32) for one in numbers))


def fitted_few(loss, start: Few, settings: Settings, seed: int, name: str) -> tx.Fit:
    """The four numbers."""
    return tx.fit(
        loss,
        start,
        where=lambda m: (m.strength, m.power, m.ceiling, m.decay),
        transform=(tx.Positive(), tx.Positive(), tx.Positive(), None),
        **_descent(settings, settings.few_steps, seed, name),
    )


def fitted_free(loss, found: Few, settings: Settings, seed: int, name: str) -> tx.Fit:
    """Every coupling and frequency, from those of four numbers."""
    between = ~np.eye(len(found.target), dtype=bool)
    inner = tx.learn.Masked(between, inner=tx.Positive())
    return tx.fit(
        loss,
        Free(found.system(), found.target, found.pairs),
        where=lambda m: (m.oscillators.coupling.weights, m.oscillators.frequency),
        transform=(tx.learn.Symmetric(inner), None),
        **_descent(settings, settings.free_steps, seed, name),
    )


def _descent(settings: Settings, steps: int, seed: int, name: str) -> dict:
    """The arguments that all fits have in common."""

    def report(done: int, total: int, fit: tx.Fit) -> None:
        print(f"{name} {done}/{total}, loss {np.mean(fit.losses[-20:]):.4f}", flush=True)

    return {
        "optimizer": _optimizer(settings, steps),
        "steps": steps,
        "key": jax.random.key(seed),
        "chunk": 20,
        "report": report,
    }


def linear_unlikeness(model: Linear, key) -> Array:
    """1 − Pearson's correlation over the pairs that count, without a simulation."""
    counted = model.pairs * (1.0 - jnp.eye(len(model.pairs)))
    centred = [
        x - (x * counted).sum() / counted.sum() for x in (model.connectivity(), model.target)
    ]
    products = [(counted * x * y).sum() for x in centred for y in centred]
    return 1.0 - products[1] * jax.lax.rsqrt(products[0] * products[3])


def fitted_linear(
    data: Connectome, held: np.ndarray, start: dict, settings: Settings
) -> dict[str, object]:
    """What the linear model with free weights reaches, from the best power of SC, and on the way.

    It fits closer at every step, and generalises worse: compare where both fit as closely.
    """
    between = ~np.eye(data.size, dtype=bool)
    share = np.where(between, data.structure / data.structure.max(), 1.0)
    logarithm = np.log(start["gain"]) + start["power"] * np.log(np.maximum(share, 1e-6))
    pairs = ~(held[:, None] | held[None, :])
    parts = [np.where(between, logarithm, 0.0), data.function, pairs]
    way = {}

    def report(done: int, total: int, fit: tx.Fit) -> None:
        found = np.asarray(fit.model.connectivity(), np.float64)
        way[str(done)] = scores(found, data, held)

    options = _descent(settings, settings.linear_steps, 0, "linear, free")
    tx.fit(
        linear_unlikeness,
        Linear(*(jnp.asarray(part, jnp.float32) for part in parts)),
        where=lambda m: m.logarithm,
        transform=tx.learn.Symmetric(tx.learn.Masked(between)),
        **(options | {"report": report, "chunk": 10}),
    )
    return way[str(settings.linear_steps)] | {"way": way}


@cache
def _optimizer(settings: Settings, steps: int) -> optax.GradientTransformation:
    """One object for all fits of as many steps: a new one would be compiled anew."""
    schedule = optax.cosine_decay_schedule(settings.rate, steps, settings.last_rate)
    adam = optax.adam(schedule, b2=settings.second_moment)
    return optax.chain(optax.clip_by_global_norm(settings.largest_gradient), adam)


def simulated(system: tx.PhaseOscillators, settings: Settings, seed: int) -> np.ndarray:
    """Functional connectivity in long runs of new noise, of two halves of the members."""
    monitor = tx.Covariance(activity, every=settings.every, after=settings.after)
    # No fit has this key.
    key = jax.random.fold_in(jax.random.key(seed), settings.few_steps + settings.free_steps + 1)
    state = tx.init(system, key=key, members=settings.test_members)
    monitors = {"fc": monitor}
    sol = tx.simulate(system, state, dt=settings.dt, steps=settings.test_steps, monitors=monitors)
    found = np.asarray(sol.monitors["fc"].correlation, np.float64)
    return np.stack([half.mean(axis=0) for half in np.array_split(found, 2)])


def split(size: int, held: int, seed: int) -> np.ndarray:
    """Which regions are held out, `[region]`."""
    return np.isin(np.arange(size), np.random.default_rng(seed).permutation(size)[:held])


def masks(held: np.ndarray) -> dict[str, np.ndarray]:
    """The pairs j < k by how many of the two are held out, and all of them."""
    upper = np.triu(np.ones((held.size, held.size), bool), 1)
    number = held[:, None].astype(int) + held[None, :]
    return {name: upper & (number == k) for k, name in enumerate(PAIRS)} | {"all": upper}


def scores(found: np.ndarray, data: Connectome, held: np.ndarray) -> dict[str, float]:
    """Pearson's r of a matrix with the measured FC, over each kind of pairs."""
    return {
        name: float(np.corrcoef(found[mask], data.function[mask])[0, 1])
        for name, mask in masks(held).items()
    }


def linear_models(data: Connectome, settings: Settings) -> dict[float, dict[float, np.ndarray]]:
    """Correlations of (I + g L)⁻¹ by power of SC and by g, L the Laplacian of (SC / max)^power."""
    low, high, count = settings.gains
    powers = sorted({1.0, *np.linspace(*settings.powers)})
    models = {}
    for power in powers:
        weights = (data.structure / data.structure.max()) ** power
        laplacian = np.diag(weights.sum(axis=1)) - weights
        models[float(power)] = {
            float(gain): _correlation(np.linalg.inv(np.eye(data.size) + gain * laplacian))
            for gain in np.logspace(low, high, count)
        }
    return models


def _correlation(covariance: np.ndarray) -> np.ndarray:
    deviation = np.sqrt(np.diag(covariance))
    return covariance / deviation / deviation[:, None]


def spin_waves(system: tx.PhaseOscillators) -> np.ndarray:
    """⟨cos(θ_i − θ_j)⟩ = e^{−D R_ij / 2} for small differences, R the resistance of the network."""
    weights = np.asarray(system.coupling.weights, np.float64)
    inverse = np.linalg.pinv(np.diag(weights.sum(axis=1)) - weights)
    own = np.diag(inverse)
    resistance = own[:, None] + own[None, :] - 2 * inverse
    return np.exp(-float(system.noise.intensity) * resistance / 2)


def baselines(data: Connectome, held: np.ndarray, models: dict, settings: Settings) -> dict:
    """What needs no oscillators, chosen on the pairs of the fit."""
    train = masks(held)["train-train"]

    def best(powers) -> tuple[float, float]:
        tried = [(power, gain) for power in powers for gain in models[power]]
        return max(
            tried,
            key=lambda pair: np.corrcoef(_at(models, pair)[train], data.function[train])[0, 1],
        )

    found = {
        "SC": scores(data.structure, data, held),
        "log SC": scores(np.log1p(data.structure), data, held),
        "−length": scores(-data.length, data, held),
    }
    for name, powers in {"linear": (1.0,), "linear, power": tuple(models)}.items():
        power, gain = best(powers)
        found[name] = scores(models[power][gain], data, held) | {"power": power, "gain": gain}
    start = found["linear, power"]
    return found | {"linear, free": fitted_linear(data, held, start, settings)}


def _at(models: dict, pair: tuple[float, float]) -> np.ndarray:
    return models[pair[0]][pair[1]]


def judged(fit: tx.Fit, data: Connectome, held: np.ndarray, settings: Settings, seed: int) -> dict:
    """What a fitted model reaches, in long runs of new noise."""
    system = fit.model.system()
    halves = simulated(system, settings, seed)
    found, upper = halves.mean(axis=0), masks(held)["all"]
    received = np.asarray(system.coupling.received())
    return scores(found, data, held) | {
        "losses": [float(f"{loss:.4g}") for loss in np.asarray(fit.losses)],
        "mean_fc": float(found[upper].mean()),
        "r_of_halves": float(np.corrcoef(halves[0][upper], halves[1][upper])[0, 1]),
        "r_with_spin_waves": float(np.corrcoef(spin_waves(system)[upper], found[upper])[0, 1]),
        "largest_received": float(received.max()),
        "mean_received": float(received.mean()),
        "course": _course(found[upper], data.function[upper]),
    }


def _course(found: np.ndarray, measured: np.ndarray, bins: int = 10) -> list[list[float]]:
    """Mean of simulated FC, mean and deviation of measured FC, in bins of as many pairs."""
    parts = np.array_split(np.argsort(found), bins)
    return [
        [float(found[k].mean()), float(measured[k].mean()), float(measured[k].std())] for k in parts
    ]


def study(data: Connectome, settings: Settings) -> dict:
    """All fits and baselines."""
    loss = partial(unlikeness, settings=settings)
    models = linear_models(data, settings)
    held = split(data.size, settings.held, settings.split)
    outcome: dict = {"baselines": baselines(data, held, models, settings), "few": [], "free": []}
    for seed in settings.seeds:
        fit = fitted_few(loss, few(data, held, settings), settings, seed, f"few, seed {seed},")
        values = dict(zip(("strength", "power", "ceiling", "decay"), fit.values, strict=True))
        numbers = {name: float(value) for name, value in values.items()}
        outcome["few"].append(judged(fit, data, held, settings, seed) | {"numbers": numbers})
        fit = fitted_free(loss, fit.model, settings, seed, f"free, seed {seed},")
        outcome["free"].append(judged(fit, data, held, settings, seed))
    outcome["splits"] = []
    for other in settings.other_splits:
        held = split(data.size, settings.held, other)
        fit = fitted_few(loss, few(data, held, settings), settings, 0, f"few, split {other},")
        rows = baselines(data, held, models, settings)
        outcome["splits"].append(rows | {"few": judged(fit, data, held, settings, 0)})
    chance, held = data.shuffled(0), split(data.size, settings.held, settings.split)
    fit = fitted_few(loss, few(chance, held, settings), settings, 0, "few, shuffled SC,")
    outcome["few, shuffled SC"] = judged(fit, chance, held, settings, 0)
    return outcome


def summary(outcome: dict) -> dict:
    """Mean and standard deviation of r over the seeds, and over all splits with seed 0."""
    seeds = {
        model: {name: _spread([run[name] for run in outcome[model]]) for name in (*PAIRS, "all")}
        for model in ("few", "free")
    }
    first = outcome["baselines"] | {"few": outcome["few"][0]}
    splits = {
        model: {
            name: _spread([rows[model][name] for rows in (first, *outcome["splits"])])
            for name in (*PAIRS, "all")
        }
        for model in first
    }
    return {"over_seeds": seeds, "over_splits": splits}


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}


def draw(outcome: dict, path: Path) -> None:
    """r of every model and kind of pairs, the losses, and measured by simulated FC."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(14, 4), layout="constrained", width_ratios=(2, 1, 1)
    )
    found = outcome["summary"]["over_seeds"]
    rows = outcome["baselines"] | {"few, shuffled SC": outcome["few, shuffled SC"]}
    for model in found:
        rows[model] = {name: found[model][name]["mean"] for name in PAIRS}
    place = np.arange(len(rows))
    for k, name in enumerate(PAIRS):
        error = [found[row][name]["sd"] if row in found else 0.0 for row in rows]
        height = [row[name] for row in rows.values()]
        colour = ("0.75", "tab:blue", "tab:orange")[k]
        left.bar(place + 0.27 * (k - 1), height, 0.27, yerr=error, color=colour, label=name)
    left.axhline(0, color="black", linewidth=0.8)
    left.set_xticks(place, [name.replace(" ", "\n") for name in rows])
    left.set(ylabel="r with measured FC", title="SC, linear models and oscillators, one split")
    left.legend(frameon=False)
    for model, colour in (("few", "tab:blue"), ("free", "tab:red")):
        for k, run in enumerate(outcome[model]):
            label = model if k == 0 else None
            middle.plot(run["losses"], color=colour, alpha=0.5, linewidth=1, label=label)
        low, mean, deviation = np.transpose(outcome[model][0]["course"])
        right.errorbar(low, mean, deviation, color=colour, fmt="o-", markersize=4, label=model)
    middle.set(xlabel="optimiser step", ylabel="1 − r, noisy", title="loss on train-train pairs")
    middle.legend(frameon=False)
    right.set(xlabel="simulated FC", ylabel="measured FC", title="all pairs, in ten bins")
    right.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def load(path: Path | None) -> Connectome:
    """The data from a file, or from an installed tvboptim, of which no code is run.

    **Raises:** `FileNotFoundError` where there is neither.
    """
    path = path or (Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None)
    if path is not None:
        if not path.exists():
            raise FileNotFoundError(f"no file {path}: give that of the data, --data PATH")
        with np.load(path, allow_pickle=False) as arrays:
            return Connectome(arrays["sc"], arrays["length_mm"], arrays["fc"])
    package = find_spec("tvboptim")
    if package is None or not package.submodule_search_locations:
        raise FileNotFoundError(
            "the human connectome is not part of this package: give a file with sc, length_mm and "
            f"fc by --data PATH or {VARIABLE}=PATH, or pip install tvboptim"
        )
    folder = Path(package.submodule_search_locations[0]) / "data"
    with np.load(folder / "connectivity/dk_average/data.npz", allow_pickle=False) as arrays:
        structure, length = arrays["weights"], arrays["lengths"]
    with np.load(folder / "functional/dk_average/data.npz", allow_pickle=False) as arrays:
        return Connectome(structure, length, arrays["fc"])


def main() -> int:
    """Run the fits, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help=f"file of the data, else {VARIABLE} or tvboptim")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the JSON and the figure")
    options = parser.parse_args()
    try:
        data = load(options.data)
    except FileNotFoundError as error:
        parser.error(str(error))
    settings, begin = Settings(), time.perf_counter()
    outcome = {"settings": asdict(settings), "versions": {"jax": jax.__version__}}
    outcome |= study(data, settings)
    outcome["summary"] = summary(outcome)
    outcome["seconds"] = time.perf_counter() - begin
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "brain.json").write_text(json.dumps(outcome, indent=1) + "\n")
    draw(outcome, options.out / "brain.png")
    for model, found in outcome["summary"]["over_splits"].items():
        row = ", ".join(
            f"{name} {found[name]['mean']:.3f} ± {found[name]['sd']:.3f}" for name in PAIRS
        )
        print(f"{model}, over splits: {row}")
    for model, found in outcome["summary"]["over_seeds"].items():
        row = ", ".join(
            f"{name} {found[name]['mean']:.3f} ± {found[name]['sd']:.3f}" for name in PAIRS
        )
        print(f"{model}, over seeds: {row}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
