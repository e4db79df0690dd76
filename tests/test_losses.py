"""Losses: each term against plain numpy, gradients against differences, what members bias."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx
from tauax import losses

KEY = jax.random.key(31)
SIZE, STEPS, MEMBERS, DT = 5, 48, 3, 0.05
RNG = np.random.default_rng(12)


def symmetric(low: float, high: float, size: int = SIZE) -> np.ndarray:
    found = RNG.uniform(low, high, (size, size))
    found = (found + found.T) / 2
    np.fill_diagonal(found, 1.0)
    return found


WEIGHTS = RNG.uniform(0.0, 1.0, (SIZE, SIZE))
FREQUENCY = np.linspace(-2.0, 6.0, SIZE)
FC, LOCKED = symmetric(-0.9, 0.9), symmetric(0.0, 1.0)
HELD = np.asarray([False, True, False, False, False])
PAIRS = ~(HELD[:, None] | HELD[None, :])
COURSE = RNG.uniform(0.2, 0.9, STEPS // 4)
VALUES = RNG.uniform(-0.5, 0.9, 7)
END = RNG.uniform(-np.pi, np.pi, SIZE)
POWERS = RNG.uniform(0.01, 0.3, (SIZE, 2))
BANDS = {"slow": (0.5, 2.0), "fast": (2.0, 6.0)}
WINDOW = 16


@tx.readout
def waves(model, state):
    return jnp.sin(state.phase)


@tx.readout
def wave(model, state):
    return 1.2 * jnp.sin(state.phase[0])


@tx.readout
def side(model, state):
    return jnp.sign(jnp.sin(state.phase[0]))


@tx.readout
def whole(model, state):
    return jnp.where(state.phase[0] > 0, 1, -1)


def system(noise: float = 0.2):
    coupling = tx.Dense(WEIGHTS, strength=0.8)
    return tx.PhaseOscillators(FREQUENCY, coupling, tx.WhiteNoise(noise))


def soft_crystals(**options):
    bank = tx.Thresholds((-0.3, 0.3), decision=tx.Soft(0.08))
    options = {"thresholds": bank, "noise": tx.WhiteNoise(0.3), **options}
    return tx.TauCrystals(hertz=np.asarray([5.0, 1.0, 0.1, 0.01]), **options)


# Plain numpy: from phases [member, step, oscillator] to what each member has.


def r_of(phase):
    return np.abs(np.exp(1j * phase).mean(-1))


def ways_of(phase):
    x = 1.2 * np.sin(phase[..., 0])
    return np.clip(np.stack([x + 1.0, x], axis=-1), 0.0, 1.0)


def shares_of(phase):
    ways = ways_of(phase)
    return np.stack([1.0 - ways[..., 0], ways[..., 0] - ways[..., 1], ways[..., 1]], axis=-1)


def per_second(changes, every=1):
    return np.abs(np.diff(changes, axis=1)).sum(1) / ((changes.shape[1] - 1) * DT * every)


def dwells_of(target):
    def apart(phase):
        shares = shares_of(phase)
        return shares.mean(1) - target * per_second(shares) / 2

    return apart


def correlations(x):
    return np.stack([np.corrcoef(one.T) for one in x])


def pairs_of(matrix):
    return matrix[(..., *np.triu_indices(matrix.shape[-1], 1))]


def locking_of(phase):
    z = np.exp(1j * phase)
    return pairs_of(np.abs(np.einsum("mrj,mrk->mjk", z, z.conj()) / phase.shape[1]))


def rhythm_of(phase, every=1):
    time = DT * every * np.arange(phase.shape[1])
    angle = 2 * phase - 3 * (1.3 * time)[None, :, None]
    return np.abs(np.exp(1j * angle).mean(1))


def powers_of(phase):
    """The mean over all full windows of the power of bins 1 … W/2."""
    x = np.sin(phase)
    found = []
    for start in range(x.shape[1] - WINDOW + 1):
        z = np.fft.rfft(x[:, start : start + WINDOW], axis=1)[:, 1:]
        power = 2 * np.abs(z) ** 2 / WINDOW**2
        power[:, -1] /= 2
        found.append(power)
    return np.moveaxis(np.mean(found, axis=0), 1, -1)


def bands_of(phase):
    power = powers_of(phase)
    hertz = np.arange(1, WINDOW // 2 + 1) / (WINDOW * DT)
    return np.stack(
        [power[..., (hertz >= low) & (hertz < high)].sum(-1) for low, high in BANDS.values()], -1
    )


def dynamics_of(phase):
    x = np.sin(phase)
    found = []
    for one in x:
        windows = [one[k : k + 12] for k in range(0, STEPS - 12 + 1, 6)]
        rows = np.stack([pairs_of(np.corrcoef(window.T)) for window in windows])
        found.append(np.sort(pairs_of(np.corrcoef(rows))))
    return np.stack(found)


def quantiles(values, count):
    middle = (np.arange(values.size) + 0.5) / values.size
    return np.interp((np.arange(count) + 0.5) / count, middle, np.sort(values))


def thin(function, every):
    return lambda phase: function(phase[:, ::every])


SHARES, DWELLS, RATES = np.asarray([0.2, 0.5, 0.3]), np.asarray([0.4, 0.1, 0.7]), [1.5, 0.4]
BAND_POWER = tx.BandPower(waves, BANDS, window=WINDOW)
COUNT = 7 * 6 // 2  # pairs of the 7 windows
# A term, what each member has, and what it is compared with.
SQUARES = {
    "order": (lambda: losses.OrderParameter(0.7), lambda p: r_of(p).mean(1), 0.7),
    "order_thin": (
        lambda: losses.OrderParameter(0.7, every=5),
        thin(lambda p: r_of(p).mean(1), 5),
        0.7,
    ),
    "course": (lambda: losses.OrderParameterCourse(COURSE, every=4), thin(r_of, 4), COURSE),
    "occupancy": (
        lambda: losses.Occupancy(SHARES, wave),
        lambda p: shares_of(p).mean(1),
        SHARES,
    ),
    "rate": (
        lambda: losses.TransitionRate(RATES, wave),
        lambda p: per_second(ways_of(p)),
        np.asarray(RATES),
    ),
    "rate_all": (
        lambda: losses.TransitionRate(2.0, wave, every=2),
        thin(lambda p: per_second(ways_of(p), 2).sum(-1), 2),
        2.0,
    ),
    "dwells": (lambda: losses.DwellTimes(DWELLS, wave), dwells_of(DWELLS), np.zeros(3)),
    "connectivity": (
        lambda: losses.Connectivity(FC, waves),
        lambda p: pairs_of(correlations(np.sin(p))),
        pairs_of(FC),
    ),
    "connectivity_held": (
        lambda: losses.Connectivity(FC, tx.Covariance(waves, every=3), pairs=PAIRS),
        thin(lambda p: pairs_of(correlations(np.sin(p[..., ~HELD]))), 3),
        pairs_of(FC[np.ix_(~HELD, ~HELD)]),
    ),
    "dynamics": (
        lambda: losses.ConnectivityDynamics(VALUES, waves, window=12, shift=6),
        dynamics_of,
        quantiles(VALUES, COUNT),
    ),
    "spectrum": (lambda: losses.Spectrum(POWERS, BAND_POWER), bands_of, POWERS),
    "spectrum_bins": (
        lambda: losses.Spectrum(np.full(WINDOW // 2, 0.1), BAND_POWER, parts="bins"),
        powers_of,
        0.1,
    ),
    "locking": (lambda: losses.PhaseLockingMatrix(LOCKED), locking_of, pairs_of(LOCKED)),
    "entrainment": (
        lambda: losses.Entrainment(0.6, 1.3, turns=3, cycles=2),
        rhythm_of,
        0.6,
    ),
    "entrainment_each": (
        lambda: losses.Entrainment(np.linspace(0, 1, SIZE), 1.3, 3, 2, every=2),
        thin(partial(rhythm_of, every=2), 2),
        np.linspace(0, 1, SIZE),
    ),
}


def plain_square(found, target):
    return np.mean((found.mean(0) - target) ** 2)


def paired_square(found, target):
    """The definition: the mean over pairs of different members."""
    apart = found - target
    products = [
        np.mean(apart[m] * apart[n]) for m in range(len(apart)) for n in range(len(apart)) if m != n
    ]
    return np.mean(products)


def jackknife(function):
    """A function of what each member has, and its bias taken off by leaving out each in turn."""

    def loss(phase, paired):
        count = len(phase)
        if not paired:
            return function(phase)
        left = [function(np.delete(phase, m, axis=0)) for m in range(count)]
        return count * function(phase) - (count - 1) * np.mean(left)

    return loss


@jackknife
def likeness_of(phase):
    """1 − Pearson of the mean correlations with the target."""
    found = pairs_of(correlations(np.sin(phase))).mean(0)
    return 1.0 - np.corrcoef(found, pairs_of(FC))[0, 1]


@jackknife
def log_spectrum_of(phase):
    return np.mean((np.log(bands_of(phase).mean(0)) - np.log(POWERS)) ** 2)


def end_of(phase, paired):
    return 1.0 - np.cos(phase[:, -1] - END).mean()


def end_turned_of(phase, paired):
    return 1.0 - np.abs(np.exp(1j * (phase[:, -1] - END)).mean(-1)).mean()


OTHERS = {
    "connectivity_likeness": (
        lambda: losses.Connectivity(FC, waves, distance="correlation"),
        likeness_of,
    ),
    "log_spectrum": (
        lambda: losses.Spectrum(POWERS, BAND_POWER, logarithmic=True),
        log_spectrum_of,
    ),
    "end": (lambda: losses.EndState(END), end_of),
    "end_turned": (lambda: losses.EndState(END, rotation=True), end_turned_of),
}
ALL = {name: case[0] for name, case in {**SQUARES, **OTHERS}.items()}


@cache
def run():
    """All terms at once, in float64, and the phases of every step with those after the last."""
    with jax.enable_x64(True):
        model = system()
        state = tx.init(model, key=KEY, members=MEMBERS)
        monitors = {"phase": tx.Trace(tx.phase)}
        for name, term in ALL.items():
            monitors |= {f"{name}.{key}": one for key, one in term().monitors().items()}
        solution = tx.simulate(model, state, dt=DT, steps=STEPS, monitors=monitors)
        phase = np.asarray(solution.monitors["phase"].value)
        return solution, phase, np.asarray(solution.state.phase)


def of(name: str, term):
    """The solution with the monitors of one term, by its own names."""
    solution, *_ = run()
    own = {key: solution.monitors[f"{name}.{key}"] for key in term.monitors()}
    return eqx.tree_at(lambda s: s.monitors, solution, own)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("name", SQUARES)
def test_squares_against_numpy(name, paired, x64):
    term, statistic, target = SQUARES[name]
    found = term()(of(name, term()), paired)
    expected = (paired_square if paired else plain_square)(statistic(run()[1]), target)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)  # float64, some cancelled


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_others_against_numpy(name, paired, x64):
    term, loss = OTHERS[name]
    phase = run()[1]
    if name.startswith("end"):
        phase = run()[2][:, None]
    found = term()(of(name, term()), paired)
    np.testing.assert_allclose(found, loss(phase, paired), rtol=1e-9, atol=1e-12)  # float64


def along(model, h):
    """The model moved in all that shapes its phases."""
    return eqx.tree_at(
        lambda m: (m.coupling.strength, m.frequency, m.noise.intensity),
        model,
        (
            model.coupling.strength + h,
            model.frequency + h * jnp.linspace(1.0, -1.0, SIZE),
            model.noise.intensity + 0.1 * h,
        ),
    )


class Every(losses.AbstractLoss):
    """All terms of one run, each for itself."""

    terms: dict

    def monitors(self):
        return {
            f"{name}/{key}": one
            for name, term in self.terms.items()
            for key, one in term.monitors().items()
        }

    def __call__(self, solution, paired):
        found = []
        for name, term in self.terms.items():
            own = {key: solution.monitors[f"{name}/{key}"] for key in term.monitors()}
            found.append(term(eqx.tree_at(lambda s: s.monitors, solution, own), paired))
        return jnp.stack(found)


REPEATED = ("order_thin", "rate_all", "connectivity_held", "spectrum_bins", "entrainment_each")


def test_gradients_against_differences(x64):
    """Common noise; all parameters at once. Losses are differentiated backwards by their members'
    test."""
    terms = {name: term() for name, term in ALL.items() if name not in REPEATED}
    loss = losses.simulated(Every(terms), dt=DT, steps=STEPS, members=MEMBERS)

    @jax.jit
    @jax.vmap
    def found(h):
        return jax.jvp(lambda h: loss(along(system(), h), KEY), (h,), (1.0,))

    h = 1e-6  # error h² and 1e-16/h
    (low, _, high), (_, slopes, _) = found(jnp.asarray([-h, 0.0, h]))
    for name, slope, difference in zip(terms, slopes, (high - low) / (2 * h), strict=True):
        assert abs(difference) > 1e-4, name  # a gradient, not nothing
        np.testing.assert_allclose(slope, difference, rtol=2e-6, atol=2e-9, err_msg=name)
