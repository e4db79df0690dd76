"""Follow a measured rhythm: a phase oscillator learned on the alpha rhythm of an EEG.

    python tuning/rhythm.py --data physio.npz   # writes rhythm.json and rhythm.png beside this file

The file (or that named by the variable TAUAX_PHYSIO) has `eeg_ec`, an EEG with eyes closed, and its
sampling rate `fs_eeg_ec` in Hz: the example of BioSPPy (BSD-3), as a numpy archive.

The target is the phase y of the band-passed EEG. One oscillator dθ = [ω + Z(θ) s(t)] dt + √(2D) dW
is to follow it, with ω, the response Z (Fourier) and D learned by `tx.fit` on the first part of the
recording, during which the drive is switched off at times, and judged on the rest. Two drives s:

- `centred`: the band-passed EEG, whose filter looks at the future too, and has the phase y itself:
  how well the oscillator locks, and no forecast;
- `causal`: the EEG through a filter that knows the past only: what a device would have.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

import tauax as tx

HERE = Path(__file__).parent
DRIVES = ("centred", "causal")


@dataclass(frozen=True)
class Settings:
    """What the fits are run with."""

    centre: float = 9.75  # Hz, the alpha peak
    half_width: float = 2.0  # Hz, at which the gain of the target's filter is a half
    quality: float = 1.5  # of the causal filter, a resonance at the centre
    learned_part: float = 0.65  # of the recording; the rest is held out
    edge: float = 1.5  # seconds of each part left out at either end, where a filter sees the edge
    segments: int = 48  # of the part that is learned from
    batch: int = 24  # of them, run side by side in a step of the fit
    length: float = 4.0  # seconds of each
    after: float = 0.5  # seconds until a run counts
    on: float = 1.5  # seconds with the drive, then
    off: float = 0.5  # seconds without, while it learns
    harmonics: int = 2  # of the response
    strength: float = 15.0  # rad/s per standard deviation of the drive, at the start
    intensity: float = 3.0  # rad²/s, at the start
    members: int = 8  # with noise of their own, while it learns
    starts: int = 4
    spread: float = 2.0  # of the starts, rad/s
    steps: int = 80
    strength_steps: int = 40  # of the fit of the strength alone
    rate: float = 0.3  # of Adam, falling along a cosine
    last_rate: float = 0.03  # as a part of the first
    horizons: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)  # seconds
    every: float = 0.25  # seconds between the moments at which the drive is switched off
    forecasts: int = 64  # members of a forecast
    lags: float = 1.0  # seconds of the past that the linear filter sees
    ridge: float = 0.01  # of its regression, as a part of the variance
    block: float = 5.0  # seconds, over which means are taken for their errors
    surrogates: int = 8
    seed: int = 0


Loss = Callable[..., Array]
Report = Callable[[int, int, tx.Fit], None]


class Part(NamedTuple):
    """A part of the recording.

    `raw`, the EEG; `rhythm`, the band-passed one with its analytic continuation, whose angle is the
    target; `drives` by name, `[sample]` each.
    """

    raw: np.ndarray
    rhythm: np.ndarray
    drives: dict[str, np.ndarray]

    @property
    def phase(self) -> np.ndarray:
        return np.angle(self.rhythm)


class EnergyScore(tx.losses.AbstractLoss):
    """⟨E|e^{iθ} − e^{iy}| − ½ E|e^{iθ} − e^{iθ'}|⟩ over records, θ' another member.

    A score that is least for the true distribution of the phase, so it teaches the noise as well
    (Gneiting and Raftery 2007, J. Am. Stat. Assoc. 102:359); 0 for a phase that is right and sure.

    **Arguments:** `target` y, `[record, oscillator]`, radians.
    """

    target: Array

    def monitors(self) -> dict[str, Any]:
        return {"phase": tx.Trace(tx.phase)}

    def __call__(self, solution: tx.Solution, paired: bool) -> Array:
        found = solution.monitors["phase"].value  # [member, record, oscillator]
        far, members = chord(found - self.target).mean(), found.shape[0]
        if members == 1:
            return far
        apart = sum(chord(found[k:] - found[:-k]).mean((1, 2)).sum() for k in range(1, members))
        return far - apart / (members * (members - 1))


def chord(angle: Array) -> Array:
    """|e^{iα} − 1|."""
    return 2.0 * jnp.abs(jnp.sin(0.5 * angle))


class Follower(eqx.Module):
    """What is learned: ω, the strength of the drive, Z, and the noise or None."""

    frequency: Array
    strength: Array
    response: tx.PhaseResponse
    noise: tx.WhiteNoise | None

    def oscillators(self, signal, interval: float, count: int) -> tx.PhaseOscillators:
        """The same oscillator `count` times, each with its column of the signal, or undriven."""
        drive = None
        if signal is not None:
            drive = self.strength * tx.Forcing(tx.Sampled(signal, interval), self.response)
        frequency = jnp.broadcast_to(self.frequency, (count,))
        return tx.PhaseOscillators(frequency, noise=self.noise, drive=drive)


# The recording


def read(path: Path | None) -> tuple[np.ndarray, float]:
    """The EEG, `[sample]`, and its sampling rate in Hz."""
    if path is None:
        sys.exit("got no recording; pass --data physio.npz, or set TAUAX_PHYSIO to its path")
    if not path.is_file():
        sys.exit(f"got {path}, which is no file; pass the archive with eeg_ec and fs_eeg_ec")
    with np.load(path) as archive:
        return archive["eeg_ec"].astype(float), float(archive["fs_eeg_ec"])


def parts_of(eeg: np.ndarray, rate: float, settings: Settings) -> tuple[Part, Part]:
    """What is learned from and what is held out, filtered apart so that neither sees the other."""
    cut = int(settings.learned_part * len(eeg))
    known, held_out = (filtered(part, rate, settings) for part in (eeg[:cut], eeg[cut:]))
    scales = {name: known.drives[name].std() for name in DRIVES}
    return scaled(known, scales), scaled(held_out, scales)


def filtered(eeg: np.ndarray, rate: float, settings: Settings) -> Part:
    """The target and both drives of a stretch of EEG, without its edges."""
    inner = slice(round(settings.edge * rate), -round(settings.edge * rate))
    rhythm = band_passed(eeg, rate, settings)[inner]
    causal = resonance(eeg, rate, settings)[inner]
    return Part(eeg[inner], rhythm, {"centred": rhythm.real, "causal": causal})


def scaled(part: Part, scales: dict[str, float]) -> Part:
    """The part with its drives in standard deviations."""
    return part._replace(drives={name: part.drives[name] / scales[name] for name in DRIVES})


def band_passed(eeg: np.ndarray, rate: float, settings: Settings) -> np.ndarray:
    """The analytic signal of the band around the centre, by a Gaussian gain without delay."""
    hertz = np.fft.fftfreq(len(eeg), 1.0 / rate)
    away = (hertz - settings.centre) / settings.half_width
    gain = np.where(hertz > 0, 2.0 * 0.5 ** (away**2), 0.0)
    return np.fft.ifft(np.fft.fft(eeg) * gain)


def resonance(eeg: np.ndarray, rate: float, settings: Settings) -> np.ndarray:
    """A band-pass of second order that knows the past only, with gain 1 and no lag at the centre.

    (R. Bristow-Johnson, Audio EQ Cookbook: the band-pass of constant peak gain.)
    """
    angle = 2.0 * np.pi * settings.centre / rate
    width = np.sin(angle) / (2.0 * settings.quality)
    gain, last, before = (
        width / (1 + width),
        2 * np.cos(angle) / (1 + width),
        (1 - width) / (1 + width),
    )
    out = np.zeros(len(eeg))
    for n in range(2, len(eeg)):
        out[n] = gain * (eeg[n] - eeg[n - 2]) + last * out[n - 1] - before * out[n - 2]
    return out


# Learning


def segments_of(part: Part, name: str, rate: float, settings: Settings) -> dict[str, np.ndarray]:
    """The drive with its pauses, and the target, `[segment, sample]`."""
    samples = np.arange(round(settings.length * rate))
    first = np.linspace(0, len(part.phase) - len(samples), settings.segments).astype(int)
    places = first[:, None] + samples
    period = settings.on + settings.off
    shift = np.arange(settings.segments) * period / settings.segments
    on = (samples / rate + shift[:, None]) % period < settings.on
    return {"signal": part.drives[name][places] * on, "phase": part.phase[places]}


def loss_of(rate: float, settings: Settings) -> Loss:
    """The loss of a follower over a batch of segments, one oscillator for each."""
    after = round(settings.after * rate)

    def loss(follower: Follower, key, batch: dict[str, Array]) -> Array:
        target = batch["phase"].T
        score = tx.losses.simulated(
            EnergyScore(target[after:]),
            dt=1.0 / rate,
            steps=len(target),
            members=1 if follower.noise is None else settings.members,
            stepper=tx.Heun(),
            after=after,
        )
        return score(follower.oscillators(batch["signal"].T, 1.0 / rate, target.shape[1]), key)

    return loss


def learn_strength(
    loss: Loss, start: Follower, data: dict, settings: Settings, report: Report
) -> tx.Fit:
    """Fit the strength of the drive alone, from one start."""
    return tx.fit(
        loss,
        start,
        where=lambda f: f.strength,
        optimizer=_adam(settings.strength_steps, settings),
        steps=settings.strength_steps,
        key=jax.random.key(settings.seed),
        data=data,
        batch=settings.batch,
        report=report,
    )


def learn_all(
    loss: Loss, start: Follower, data: dict, settings: Settings, report: Report
) -> tx.Fit:
    """Fit the frequency, the response and the noise, from several starts."""
    return tx.fit(
        loss,
        start,
        where=lambda f: (
            f.frequency,
            f.response.constant,
            f.response.cosines,
            f.response.sines,
            f.noise.intensity,
        ),
        transform=(None, None, None, None, tx.Positive()),
        optimizer=_adam(settings.steps, settings),
        steps=settings.steps,
        key=jax.random.key(settings.seed),
        data=data,
        batch=settings.batch,
        starts=settings.starts,
        spread=settings.spread,
        report=report,
    )


def _adam(steps: int, settings: Settings) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(settings.rate, steps, settings.last_rate))


def _report(name: str) -> Report:
    """Progress, at every chunk of a fit."""

    def report(done: int, total: int, fit: tx.Fit) -> None:
        loss = np.median(fit.losses[..., -10:])
        print(f"{name} {done}/{total}, median loss {loss:.4f}", flush=True)

    return report


def first_guess(part: Part, rate: float, settings: Settings) -> tuple[Follower, Follower]:
    """Adler's follower, Z = −2 sin θ, which pulls the phase to that of the drive; one to learn."""
    turns = np.unwrap(part.phase)
    frequency = (turns[-1] - turns[0]) * rate / (len(turns) - 1)
    none = np.zeros(settings.harmonics)
    pull = none.copy()
    pull[0] = -2.0
    adler = Follower(
        jnp.asarray(frequency),
        jnp.asarray(settings.strength),
        tx.PhaseResponse(0.0, none, pull),
        None,
    )
    whole = tx.PhaseResponse(0.0, none, settings.strength * pull)
    noise = tx.WhiteNoise(settings.intensity)
    return adler, replace(adler, strength=jnp.asarray(1.0), response=whole, noise=noise)


# Judging


def followed(
    follower: Follower, signal: np.ndarray, rate: float, first, *, members: int = 0, finer: int = 1
) -> np.ndarray:
    """Phases under a drive `[sample, column]`: `[sample, column]`, or members of it with noise."""
    if not members:
        follower = replace(follower, noise=None)
    model = follower.oscillators(jnp.asarray(signal), 1.0 / rate, signal.shape[1])
    start = {"members": members, "key": jax.random.key(1)} if members else {}
    state = tx.init(model, phase=jnp.asarray(first), **start)
    trace = {"phase": tx.Trace(tx.phase, every=finer)}
    run = tx.simulate(
        model,
        state,
        dt=1.0 / (finer * rate),
        steps=finer * len(signal),
        stepper=tx.Heun(),
        monitors=trace,
    )
    return np.asarray(run.monitors["phase"].value, float)


def agreement(error: np.ndarray, rate: float, settings: Settings) -> dict[str, float]:
    """Phase locking value |⟨e^{iε}⟩| and ⟨cos ε⟩ of a phase error, with errors from blocks."""
    error = error[round(settings.after * rate) :]
    block = round(settings.block * rate)
    blocks = np.cos(error[: len(error) // block * block]).reshape(-1, block).mean(1)
    return {
        "locking": float(abs(np.exp(1j * error).mean())),
        "cos": float(np.cos(error).mean()),
        "cos_error": float(blocks.std(ddof=1) / np.sqrt(len(blocks))),
    }


def switched_off(part: Part, rate: float, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """The samples at which the drive is switched off, and the horizons in samples."""
    ahead = np.round(np.asarray(settings.horizons) * rate).astype(int)
    first, last = round(settings.after * rate), len(part.phase) - ahead[-1]
    return np.arange(first, last, round(settings.every * rate)), ahead


def ahead_of(directions: np.ndarray, part: Part, rate: float, settings: Settings) -> dict:
    """|⟨e^{iε}⟩| and ⟨cos ε⟩ of forecasts `[moment, horizon]`, at each horizon."""
    moments, ahead = switched_off(part, rate, settings)
    error = directions - part.phase[moments[:, None] + ahead]
    return {
        "resultant": abs(np.exp(1j * error).mean(0)).tolist(),
        "cos": np.cos(error).mean(0).tolist(),
    }


def extrapolated(phase: np.ndarray, frequency: float, part: Part, rate: float, settings) -> dict:
    """Forecasts at a constant frequency from the phases `[sample]`."""
    moments, ahead = switched_off(part, rate, settings)
    return ahead_of(phase[moments][:, None] + frequency * ahead / rate, part, rate, settings)


def forecast(follower: Follower, name: str, part: Part, rate: float, settings: Settings) -> dict:
    """The ensemble after its drive is switched off, and how sure it is of itself."""
    members = settings.forecasts
    first = np.full((members, 1), part.phase[0])
    driven = followed(follower, part.drives[name][:, None], rate, first, members=members)
    moments, ahead = switched_off(part, rate, settings)
    silence = np.zeros((ahead[-1] + 1, len(moments)))
    free = followed(follower, silence, rate, driven[:, moments, 0], members=members)
    mean = np.exp(1j * free[:, ahead, :]).mean(0).T  # [moment, horizon]
    return {
        **ahead_of(np.angle(mean), part, rate, settings),
        "claimed": abs(mean).mean(0).tolist(),
    }


def linear(known: Part, held_out: Part, rate: float, settings: Settings) -> np.ndarray:
    """The phase at each horizon by regression on the past of the EEG, `[sample, horizon]`."""
    lags, ahead = round(settings.lags * rate), switched_off(held_out, rate, settings)[1]

    def past(part: Part) -> np.ndarray:
        raw = (part.raw - known.raw.mean()) / known.raw.std()
        padded = np.concatenate([np.zeros(lags - 1), raw])
        return np.lib.stride_tricks.sliding_window_view(padded, lags)

    count = len(known.raw) - ahead[-1]
    inputs = past(known)[:count]
    square = inputs.T @ inputs + settings.ridge * count * np.eye(lags)
    wanted = known.rhythm[np.arange(count)[:, None] + ahead]
    return np.angle(past(held_out) @ np.linalg.solve(square, inputs.T @ wanted))


def surrogates(eeg: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Recordings of the same spectrum with random phases, `[surrogate, sample]`.

    (Theiler et al. 1992, Physica D 58:77.)
    """
    size = len(eeg) // 2 + 1
    turns = np.random.default_rng(seed).uniform(0.0, 2.0 * np.pi, (count, size))
    turns[:, 0] = 0.0
    if len(eeg) % 2 == 0:
        turns[:, -1] = 0.0  # half the sampling rate has no phase
    return np.fft.irfft(abs(np.fft.rfft(eeg)) * np.exp(1j * turns), len(eeg))


# The study


def follow(
    name: str, loss: Loss, known: Part, held_out: Part, rate: float, settings: Settings
) -> dict:
    """Learn with one drive, and judge on what was held out."""
    adler, start = first_guess(known, rate, settings)
    data = segments_of(known, name, rate, settings)
    begin = time.perf_counter()
    simple = learn_strength(loss, adler, data, settings, _report(f"{name}, strength"))
    fit = learn_all(loss, start, data, settings, _report(f"{name}, all"))
    seconds = time.perf_counter() - begin
    learned, target = fit.model, held_out.phase
    signal = held_out.drives[name][:, None]

    def judged(follower: Follower, drive=signal, finer: int = 1) -> tuple[np.ndarray, dict]:
        phase = followed(follower, drive, rate, target[:1], finer=finer)[:, 0]
        return phase, agreement(phase - target, rate, settings)

    phase, found = judged(learned)
    phase_adler, found_adler = judged(simple.model)
    frequencies, constants, cosines, sines, intensities = map(np.asarray, fit.values)
    return {
        "strength_alone": float(simple.model.strength),
        "hertz": (frequencies / (2 * np.pi)).tolist(),
        "response": np.concatenate([constants[:, None], cosines, sines], 1).tolist(),
        "intensity": intensities.tolist(),
        "final_losses": _short(fit.final_losses),
        "losses": _short(fit.losses),
        "losses_of_strength_alone": _short(simple.losses),
        "best": fit.best,
        "held_out": {
            "learned": found,
            "each_start": [judged(fit.at(k))[1]["cos"] for k in range(settings.starts)],
            "strength_alone": found_adler,
            "gain_in_cos": _gain(phase - target, phase_adler - target, rate, settings),
            "drive_of_another_time": judged(learned, np.roll(signal, len(signal) // 2, 0))[1],
            "finer_steps": judged(learned, finer=4)[1],
        },
        "surrogates": on_surrogates(learned, name, held_out, rate, settings),
        "ahead": {
            "learned": forecast(learned, name, held_out, rate, settings),
            "strength_alone": extrapolated(
                phase_adler, float(adler.frequency), held_out, rate, settings
            ),
        },
        "seconds": seconds,
    }


def _gain(error: np.ndarray, other: np.ndarray, rate: float, settings: Settings) -> list[float]:
    """⟨cos ε⟩ − ⟨cos ε'⟩ and its error from the means over blocks, at the same times."""
    block, after = round(settings.block * rate), round(settings.after * rate)
    gain = (np.cos(error) - np.cos(other))[after:]
    blocks = gain[: len(gain) // block * block].reshape(-1, block).mean(1)
    return [float(gain.mean()), float(blocks.std(ddof=1) / np.sqrt(len(blocks)))]


def on_surrogates(
    follower: Follower, name: str, held_out: Part, rate: float, settings: Settings
) -> dict:
    """How well recordings are followed that share nothing but their spectrum with the real one."""
    raws = surrogates(held_out.raw, settings.surrogates, settings.seed)
    parts = [filtered(raw, rate, settings) for raw in raws]
    scale = held_out.drives[name].std()
    drives = np.stack([scale * p.drives[name] / p.drives[name].std() for p in parts], 1)
    target = np.stack([p.phase for p in parts], 1)
    phase = followed(follower, drives, rate, target[0])
    after = round(settings.after * rate)
    cos = np.cos(phase - target)[after:].mean(0)
    return {"cos": float(cos.mean()), "deviation": float(cos.std(ddof=1))}


def baselines(known: Part, held_out: Part, rate: float, settings: Settings) -> dict:
    """What needs no oscillator that is driven."""
    turns = np.unwrap(known.phase)
    frequency = (turns[-1] - turns[0]) * rate / (len(turns) - 1)
    seconds = np.arange(len(held_out.phase)) / rate
    drift = np.exp(1j * (held_out.phase - frequency * seconds))
    # All constant frequencies in the band, the best one known in hindsight.
    near = frequency + 2 * np.pi * np.arange(-2.0, 2.0, 0.1 / seconds[-1])
    every = [abs(np.exp(1j * (held_out.phase - f * seconds)).mean()) for f in near]
    estimates = linear(known, held_out, rate, settings)
    moments = switched_off(held_out, rate, settings)[0]
    white = np.random.default_rng(settings.seed).normal(size=len(held_out.raw))
    noise = filtered(white, rate, settings)
    return {
        "hertz": frequency / (2 * np.pi),
        "constant_frequency": float(abs(drift.mean())),
        "best_constant_frequency_in_hindsight": float(max(every)),
        "linear": agreement(estimates[:, 0] - held_out.phase, rate, settings),
        "ahead": {
            "horizons": settings.horizons,
            "moments": len(moments),
            "target_extrapolated": extrapolated(
                held_out.phase, frequency, held_out, rate, settings
            ),
            "linear": ahead_of(estimates[moments], held_out, rate, settings),
            "linear_extrapolated": extrapolated(
                estimates[:, 0], frequency, held_out, rate, settings
            ),
            "white_noise_extrapolated": extrapolated(
                noise.phase, 2 * np.pi * settings.centre, noise, rate, settings
            ),
        },
    }


def study(eeg: np.ndarray, rate: float, settings: Settings) -> dict:
    """All fits, and what they are compared with."""
    known, held_out = parts_of(eeg, rate, settings)
    outcome = {
        "recording": {"seconds": len(eeg) / rate, "held_out": len(held_out.phase) / rate},
        "baselines": baselines(known, held_out, rate, settings),
    }
    loss = loss_of(rate, settings)  # once, so that both drives share the compiled fits
    for name in DRIVES:
        outcome[name] = follow(name, loss, known, held_out, rate, settings)
    return outcome


def _short(numbers) -> list:
    """To five digits: they are there to be drawn."""
    return np.vectorize(lambda number: float(f"{number:.5g}"))(np.asarray(numbers)).tolist()


def draw(outcome: dict, path: Path) -> None:
    """Agreement on held-out time, the responses found, and how far ahead the phase is known."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    _draw_agreement(left, outcome)
    angle = np.linspace(-np.pi, np.pi, 200)
    for name, colour in zip(DRIVES, ("tab:blue", "tab:orange"), strict=True):
        found = outcome[name]
        for k, row in enumerate(found["response"]):
            count = len(row) // 2
            order = np.arange(1, count + 1)[:, None]
            curve = row[0] + row[1 : count + 1] @ np.cos(order * angle)
            curve = curve + row[count + 1 :] @ np.sin(order * angle)
            label = f"{name}, each start" if k == 0 else None
            middle.plot(angle, curve, color=colour, alpha=0.6, label=label)
        adler = -2 * found["strength_alone"] * np.sin(angle)
        middle.plot(angle, adler, "--", color=colour, linewidth=1, label="strength alone")
    middle.axhline(0, color="0.8", linewidth=0.8)
    middle.set(xlabel="phase θ, rad", ylabel="Z(θ), rad/s", title="phase response")
    middle.legend(frameon=False, fontsize=8)
    _draw_ahead(right, outcome)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_agreement(axes, outcome: dict) -> None:
    """⟨cos ε⟩ on held-out time, with errors."""
    bars = []
    for name in DRIVES:
        held_out = outcome[name]["held_out"]
        bars += [
            (f"{name}: learned", held_out["learned"]["cos"], held_out["learned"]["cos_error"]),
            (
                f"{name}: strength alone",
                held_out["strength_alone"]["cos"],
                held_out["strength_alone"]["cos_error"],
            ),
            (
                f"{name}: another time's drive",
                held_out["drive_of_another_time"]["cos"],
                held_out["drive_of_another_time"]["cos_error"],
            ),
        ]
    linear, best = outcome["baselines"]["linear"], "best_constant_frequency_in_hindsight"
    bars += [
        ("past only, linear", linear["cos"], linear["cos_error"]),
        ("constant frequency", outcome["baselines"][best], 0.0),
    ]
    names, values, errors = zip(*bars[::-1], strict=True)
    colours = ["0.6"] * 2 + ["tab:orange"] * 3 + ["tab:blue"] * 3
    axes.barh(range(len(bars)), values, xerr=errors, color=colours, alpha=0.8)
    axes.set_yticks(range(len(bars)), names)
    axes.set(xlabel="mean cosine of the phase error", title="held-out time", xlim=(-0.15, 1))


def _draw_ahead(axes, outcome: dict) -> None:
    """The mean resultant after the drive is switched off."""
    baselines = outcome["baselines"]["ahead"]
    lines = {
        "target itself, constant frequency": (baselines["target_extrapolated"], "k:"),
        "white noise, so extrapolated": (baselines["white_noise_extrapolated"], "0.7"),
        "past only, linear": (baselines["linear"], "0.4"),
    }
    for name, colour in zip(DRIVES, ("tab:blue", "tab:orange"), strict=True):
        lines[f"{name}: learned"] = (outcome[name]["ahead"]["learned"], colour)
    for label, (line, style) in lines.items():
        option = {"linestyle": ":", "color": "k"} if style == "k:" else {"color": style}
        axes.plot(
            baselines["horizons"],
            line["resultant"],
            ".-" if style != "k:" else ".",
            label=label,
            **option,
        )
    axes.axhline(1 / np.sqrt(baselines["moments"]), color="0.8", linewidth=0.8)
    axes.set(xlabel="time since the drive was switched off, s", ylabel="mean resultant")
    axes.set(title="how far ahead the phase is known", ylim=(0, 1.02), xlim=(0, 1))
    axes.legend(frameon=False, fontsize=8)


def main() -> int:
    """Run the fits, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given = os.environ.get("TAUAX_PHYSIO")
    parser.add_argument(
        "--data",
        type=Path,
        default=None if given is None else Path(given),
        help="archive with eeg_ec and fs_eeg_ec; by default what TAUAX_PHYSIO names",
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the JSON and the figure")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    options = parser.parse_args()
    settings = Settings(seed=options.seed)
    eeg, rate = read(options.data)
    versions = {"tauax": tx.__version__, "jax": jax.__version__, "numpy": np.__version__}
    outcome = {"settings": asdict(settings), "versions": versions, **study(eeg, rate, settings)}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "rhythm.json").write_text(json.dumps(outcome, indent=1) + "\n")
    draw(outcome, options.out / "rhythm.png")
    for name in DRIVES:
        found = outcome[name]["held_out"]
        one, other = found["learned"], found["strength_alone"]
        print(
            f"{name}: locking {one['locking']:.3f}, cos {one['cos']:.3f} ± {one['cos_error']:.3f}; "
            f"strength alone {other['locking']:.3f}, {other['cos']:.3f}"
        )
    rest = outcome["baselines"]
    print(f"past only, linear: cos {rest['linear']['cos']:.3f}")
    print(f"best constant frequency: {rest['best_constant_frequency_in_hindsight']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
