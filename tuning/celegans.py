"""Learn what makes the worm's network rise to synchrony and fall again at given times.

    python tuning/celegans.py            # writes celegans.json and celegans.png beside this file

The 280 neurons of *C. elegans* with their contacts, as phase oscillators: r(t) = |⟨e^{iθ}⟩| is to
rise from incoherence to 0.7 and fall back, along a triangle. There are five models, and all but the
first are fitted by `tx.fit` with `tx.losses.OrderParameterCourse`:

- `strength`: one coupling strength, frequencies as drawn, the best of a scan: the baseline;
- `frequencies`: one coupling strength and the 280 frequencies;
- `one_beginning`: the same, always from the same initial phases, which can be learned by heart;
- `schedule`: a strength that changes at given times, frequencies as drawn;
- `both`: that and the 280 frequencies.

All are held against other members, with initial phases and noise that no fit has seen. What of the
numbers is determined at all: how much of the frequencies two fits from other draws have in common,
and how many directions of the 281 numbers move the course, by its derivative.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import tauax as tx

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Settings:
    """What the fits are run with."""

    peak: float = 0.7  # of r(t), in the middle
    floor: float = 0.1  # at both ends; 280 random phases have 0.05
    width: float = 1.0  # standard deviation of the frequencies as drawn, rad/s
    noise: float = 0.01  # D, rad²/s
    strength: float = 2.0  # rad/s, at the start
    dt: float = 0.1  # seconds
    length: int = 240  # steps of a run, 24 s
    every: int = 5  # steps from one record of r to the next
    levels: int = 12  # of a scheduled strength, each as long
    members: int = 8
    held_out: int = 64  # members that the models are held against
    scanned: tuple[float, float, int] = (0.5, 5.0, 37)  # strengths of the baseline
    # Seconds that a gradient reaches back. Near the onset of synchrony neighbouring phases part
    # exponentially, so that of a whole run is mostly chance: two halves of members disagree.
    memory: float = 3.0
    steps: int = 120
    rate: float = 0.1  # of Adam, falling along a cosine
    last_rate: float = 0.05  # as a part of the first
    draws: int = 2  # of the frequencies, each a fit of its own
    seed: int = 0

    @property
    def seconds(self) -> float:
        return self.dt * self.length


def target_of(settings: Settings) -> np.ndarray:
    """r of every record: up and down along straight lines."""
    place = np.arange(0, settings.length, settings.every) / settings.length
    return settings.floor + (settings.peak - settings.floor) * (1.0 - np.abs(2.0 * place - 1.0))


def system(settings: Settings, draw: int, scheduled: bool):
    """The worm's network with frequencies as drawn, and one strength or one per level."""
    frequency = np.random.default_rng((settings.seed, draw)).normal(0.0, settings.width, 280)
    weights = tx.networks.celegans().weights
    coupling = tx.Sparse.from_dense(weights, strength=settings.strength, norm="in_degree")
    noise = tx.WhiteNoise(settings.noise)
    model = tx.PhaseOscillators(frequency.astype(np.float32), coupling, noise)
    if not scheduled:
        return model
    times = np.arange(settings.levels) * settings.seconds / settings.levels
    strengths = np.full(settings.levels, settings.strength, np.float32)
    change = tx.Change(lambda m: m.coupling.strength, times, strengths)
    return tx.scheduled(model, {"strength": change})


def one_beginning(settings: Settings) -> np.ndarray:
    """Initial phases that are the same in every run, `[oscillator]`."""
    return np.random.default_rng((settings.seed, 1_000)).uniform(-np.pi, np.pi, 280)


def _strength(model):
    return model.coupling.strength


def _strength_and_frequencies(model):
    return model.coupling.strength, model.frequency


def _schedule(model):
    return model["strength"].values


def _schedule_and_frequencies(model):
    return model["strength"].values, model.system.frequency


POSITIVE = tx.Positive()
# Of each model: whether its strength changes, what is fitted, and in which domain.
MODELS = {
    "strength": (False, _strength, POSITIVE),  # scanned instead
    "frequencies": (False, _strength_and_frequencies, (POSITIVE, None)),
    "one_beginning": (False, _strength_and_frequencies, (POSITIVE, None)),
    "schedule": (True, _schedule, POSITIVE),
    "both": (True, _schedule_and_frequencies, (POSITIVE, None)),
}


def loss_of(name: str, settings: Settings) -> tx.losses.Simulated:
    """The distance of the mean course from the target, of random members but for one model."""
    by_heart = name == "one_beginning"
    return tx.losses.simulated(
        tx.losses.OrderParameterCourse(target_of(settings), every=settings.every),
        dt=settings.dt,
        steps=settings.length,
        members=settings.members,
        phase=one_beginning(settings) if by_heart else None,
        adjoint=None if by_heart else truncated(settings),  # None: of the whole run
    )


def truncated(settings: Settings) -> tx.Truncated:
    """Gradients that reach back for a while."""
    return tx.Truncated(round(settings.memory / settings.dt))


def fitted(name: str, loss: tx.losses.Simulated, settings: Settings, draw: int) -> tx.Fit:
    """One model of `MODELS`, from frequencies as drawn."""
    scheduled, where, transform = MODELS[name]

    def report(done: int, total: int, fit: tx.Fit) -> None:
        print(f"{name}, draw {draw}: {done}/{total}, loss {fit.losses[-1]:.4g}", flush=True)

    schedule = optax.cosine_decay_schedule(settings.rate, settings.steps, settings.last_rate)
    return tx.fit(
        loss,
        system(settings, draw, scheduled),
        where=where,
        transform=transform,
        optimizer=optax.adam(schedule),
        steps=settings.steps,
        key=jax.random.key(settings.seed),
        chunk=40,
        report=report,
    )


def scanned(settings: Settings, draw: int):
    """The model with the best single strength, by the mean course of members of its own."""
    strengths = np.linspace(*settings.scanned, dtype=np.float32)
    model = system(settings, draw, False)
    many = tx.vary(model, {"strength": (_strength, strengths)})
    found = courses(many, settings, 2_000 + draw).mean(axis=1)
    best = np.argmin(((found - target_of(settings)) ** 2).mean(axis=1))
    return eqx.tree_at(_strength, model, jnp.asarray(strengths[best]))


def courses(model, settings: Settings, seed: int, phase=None) -> np.ndarray:
    """r(t) of members with a key that no fit has, `[*batch, record]`."""
    state = tx.init(model, key=jax.random.key(seed), members=settings.held_out, phase=phase)
    monitors = {"r": tx.Trace(tx.coherence, every=settings.every)}
    run = tx.simulate(model, state, dt=settings.dt, steps=settings.length, monitors=monitors)
    return np.asarray(run.monitors["r"].value)


def compared(found: np.ndarray, target: np.ndarray) -> dict:
    """How far the mean course is from the target, and single ones; errors by the jackknife."""

    def root(members: np.ndarray) -> float:
        return float(np.sqrt(np.mean((members.mean(axis=0) - target) ** 2)))

    count = len(found)
    without = [root(np.delete(found, member, axis=0)) for member in range(count)]
    return {
        "rms": root(found),
        "standard_error": float(np.sqrt((count - 1) * np.var(without))),
        "rms_of_single_members": float(np.sqrt(np.mean((found - target) ** 2))),
        "largest_mean": float(found.mean(axis=0).max()),
        "course": _short(found.mean(axis=0)),
    }


def of_model(name: str, settings: Settings) -> dict:
    """One model of `MODELS`, for each draw of the frequencies."""
    target, draws, begin = target_of(settings), [], time.perf_counter()
    loss = loss_of(name, settings)
    for draw in range(settings.draws):
        drawn = np.asarray(system(settings, draw, False).frequency)
        if name == "strength":
            model, losses = scanned(settings, draw), []
            values = [np.asarray(_strength(model)), drawn]
        else:
            fit = fitted(name, loss, settings, draw)
            model, losses = fit.model, fit.losses
            values = [*map(np.asarray, fit.values), drawn][:2]
        outcome = {
            "held_out": compared(courses(model, settings, 1_000 + draw), target),
            "strength": values[0].tolist(),
            "width": float(values[1].std()),
            "frequencies": _short(values[1]),
            "losses": _short(losses),
        }
        if name == "one_beginning":
            phase = one_beginning(settings)
            again = courses(model, settings, 1_000 + draw, phase)
            outcome["its_own_beginning"] = compared(again, target)
        draws.append(outcome)
    rms = [outcome["held_out"]["rms"] for outcome in draws]
    return {"rms": float(np.mean(rms)), "draws": draws, "seconds": time.perf_counter() - begin}


def in_common(study: dict, settings: Settings) -> dict:
    """What fits from different draws of the frequencies agree on."""
    found = np.array([one["frequencies"] for one in study["draws"]])
    drawn = np.array(
        [np.asarray(system(settings, draw, False).frequency) for draw in range(len(found))]
    )
    return {
        # Of 280 independent pairs it is 0 ± 0.06.
        "correlation_of_frequencies": float(np.corrcoef(found)[0, 1]),
        "correlation_of_changes": float(np.corrcoef(found - drawn)[0, 1]),
        "correlation_with_drawn": [
            float(np.corrcoef(a, b)[0, 1]) for a, b in zip(found, drawn, strict=True)
        ],
    }


def determined(study: dict, settings: Settings, adjoint: tx.Segments | tx.Truncated) -> dict:
    """How the mean course depends on the strength and the 280 frequencies of a fit.

    From two halves of members with other keys: what is not the same in both is chance.
    """
    found = study["draws"][0]
    model = system(settings, 0, False)
    every = 4 * settings.every
    monitors = {"r": tx.Trace(tx.coherence, every=every)}

    def course(values, key):
        # Of the model with one strength, the leaves that were fitted.
        changed = eqx.tree_at(_strength_and_frequencies, model, (values[0], values[1:]))
        state = tx.init(changed, key=key, members=settings.held_out // 2)
        time = {"dt": settings.dt, "steps": settings.length}
        run = tx.simulate(changed, state, monitors=monitors, adjoint=adjoint, **time)
        return run.monitors["r"].value.mean(axis=0)

    values = jnp.asarray([found["strength"], *found["frequencies"]], jnp.float32)
    derivative = jax.jit(jax.jacrev(course))
    halves = [np.asarray(derivative(values, jax.random.key(seed))) for seed in (2_000, 2_001)]
    strength = [half[:, 0] for half in halves]
    frequency = [half[:, 1:] for half in halves]
    wide = np.asarray(values[1:] - values[1:].mean())
    return {
        "records": len(halves[0]),
        "singular_values": _short(np.linalg.svd(sum(halves) / 2, compute_uv=False)),
        # 1 if the halves agree, 0 if there is nothing but chance.
        "agreement_of_halves_for_the_strength": _cosine(*strength),
        "agreement_of_halves_for_the_frequencies": _cosine(*frequency),
        "agreement_of_halves_for_the_width": _cosine(*(half @ wide for half in frequency)),
        # The course does not change if all frequencies do: it is seen from a turning frame.
        "common_frequency_over_strength": _size(frequency[0].sum(axis=1)) / _size(strength[0]),
    }


def _size(array: np.ndarray) -> float:
    return float(np.sqrt(np.sum(array**2)))


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sum(one * other)) / (_size(one) * _size(other))


def _short(values) -> list:
    """Numbers to four digits: they are there to be drawn."""
    return [float(f"{value:.4g}") for value in np.asarray(values)]


def studied(settings: Settings) -> dict:
    """The whole outcome."""
    outcome = {
        "settings": asdict(settings),
        "versions": {"jax": jax.__version__, "tauax": tx.__version__},
        "target": _short(target_of(settings)),
    }
    outcome |= {name: of_model(name, settings) for name in MODELS}
    outcome["in_common"] = {
        name: in_common(outcome[name], settings) for name in ("frequencies", "both")
    }
    outcome["determined"] = {
        name: determined(outcome["frequencies"], settings, adjoint)
        for name, adjoint in (("whole_run", tx.Segments()), ("truncated", truncated(settings)))
    }
    return outcome


def draw(outcome: dict, path: Path) -> None:
    """The courses of all models, the strengths of the schedules, and the fitted frequencies."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    settings = Settings(**outcome["settings"])
    seconds = np.arange(0, settings.length, settings.every) * settings.dt
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for place, name in enumerate(MODELS):
        label, colour = f"{name.replace('_', ' ')}: {outcome[name]['rms']:.3f}", f"C{place}"
        for one in outcome[name]["draws"]:
            left.plot(seconds, one["held_out"]["course"], color=colour, label=label)
            label = None
    own = [one["its_own_beginning"] for one in outcome["one_beginning"]["draws"]]
    label = f"… its own: {np.mean([one['rms'] for one in own]):.3f}"
    for one in own:
        left.plot(seconds, one["course"], ":", color="C2", label=label)
        label = None
    left.plot(seconds, outcome["target"], "--", color="black", label="target")
    left.set(xlabel="time, s", ylabel="mean r", ylim=(0, 1.25), title="new phases and noise; rms")
    left.legend(frameon=False, fontsize=7, ncols=2, loc="upper left")
    edges = np.linspace(0.0, settings.seconds, settings.levels + 1)
    for name, colour in (("schedule", "C3"), ("both", "C4")):
        for one in outcome[name]["draws"]:
            middle.stairs(one["strength"], edges, color=colour)
    for name, colour in (("strength", "C0"), ("frequencies", "C1"), ("one_beginning", "C2")):
        for one in outcome[name]["draws"]:
            middle.axhline(one["strength"], color=colour, linewidth=1)
    middle.set(xlabel="time, s", ylabel="coupling strength, rad/s", title="strengths found")
    for draw, one in enumerate(outcome["both"]["draws"]):
        drawn = np.asarray(system(settings, draw, False).frequency)
        right.plot(drawn, one["frequencies"], ".", markersize=4, label=f"draw {draw + 1}")
    right.axline((0, 0), slope=1, color="0.7", linewidth=0.8)
    right.set(xlabel="frequency as drawn, rad/s", ylabel="as fitted", title="frequencies of “both”")
    right.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> int:
    """Run the fits, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the JSON and the figure")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    options = parser.parse_args()
    begin = time.perf_counter()
    outcome = studied(Settings(seed=options.seed))
    outcome["seconds"] = time.perf_counter() - begin
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "celegans.json").write_text(json.dumps(outcome, indent=1) + "\n")
    draw(outcome, options.out / "celegans.png")
    for name in MODELS:
        found = [one["held_out"] for one in outcome[name]["draws"]]
        errors = ", ".join(f"{one['rms']:.3f} ± {one['standard_error']:.3f}" for one in found)
        print(f"{name}: rms from the target {errors}")
    for name, agreement in outcome["in_common"].items():
        found = agreement["correlation_of_frequencies"]
        print(f"{name}: correlation of the frequencies of two fits {found:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
