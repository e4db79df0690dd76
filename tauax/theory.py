"""Closed forms of the Kuramoto model and its relatives: what a simulation has to reproduce.

Convention: dθ_i = [ω_i + (K/N) Σ_j sin(θ_j - θ_i - α)] dt + sqrt(2D) dW_i, self term included.
strength: K, rad/s; lag: α, rad; intensity: D, rad²/s; width, rad/s: half width at half maximum
(Lorentzian), standard deviation (Gaussian), half width (uniform). Arguments broadcast."""

import numpy as np

_COUNT = (lambda x: (x >= 1) & (x % 1 == 0), "whole numbers >= 1; round it")
_DOMAIN = {
    "width": (lambda x: x >= 0, "a finite width >= 0 in rad/s; drop its sign"),
    "intensity": (lambda x: x >= 0, "a finite D >= 0 in rad^2/s; pass D of the noise sqrt(2D) dW"),
    "time": (lambda x: x >= 0, "a finite time >= 0 in s; count it from the initial state"),
    "initial": (lambda x: (x > 0) & (x <= 1), "a coherence in (0, 1]; pass |<e^(i phase)>|"),
    "concentration": (lambda x: (x >= 0) & (x <= 1), "one in [0, 1]; pass |<e^(i phase)>|"),
    "density_at_centre": (lambda x: x > 0, "a finite density > 0 in s/rad; pass the peak of g"),
    "frequencies": (lambda x: np.ndim(x) == 1 and x.size > 0, "(N,) finite values; pass one set"),
    "size": _COUNT,
    "leaves": _COUNT,
    "n": (lambda x: np.ndim(x) == 0 and x >= 1 and x % 1 == 0, "one whole number >= 1; round it"),
}


def _real(name, value, domain=None):
    """value as float64, a scalar where it is one; ValueError outside the domain of that name."""
    valid, expected = _DOMAIN.get(domain or name, (np.isfinite, "finite reals; remove nan, inf"))
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.asarray(np.nan)
    if not (np.isfinite(array).all() and np.all(valid(array))):
        raise ValueError(f"{name} = {value!r:.80}: expected {expected}.")
    return array[()]


def _surplus(strength, critical):
    """1 - K_c/K above the threshold K_c >= 0, else 0."""
    return np.maximum(strength - critical, 0.0) / np.where(strength > 0, strength, 1.0)


def _solve(rising, target, low, high):
    """x in [low, high] with rising(x) = target, elementwise, by bisection to the last bit."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        if np.all((middle == low) | (middle == high)):
            break
        above = rising(middle) > target
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return middle


def _bessel_nodes(x):
    """Midpoints s of (0, π/2), cut where exp(-2x sin² s) < 1e-20, and that exponent: all digits."""
    end = np.arcsin(np.sqrt(24.0 / np.maximum(x, 24.0)))
    angle = np.expand_dims(end, -1) * (np.arange(32) + 0.5) / 32
    return angle, -2 * np.expand_dims(x, -1) * np.sin(angle) ** 2


def _locking_curve(frequency):
    """Largest offset, cosines of all locked phases given the outermost one's, its least value."""
    offset = frequency - frequency[0]
    offset = offset - offset.mean()
    largest = np.abs(offset).max()
    share = offset / (largest if largest > 0 else 1.0)

    def cosines(outermost):
        return np.sqrt((1 - share) * (1 + share) + (share * np.expand_dims(outermost, -1)) ** 2)

    edge = _solve(lambda c: (2 * cosines(c) - 1 / cosines(c)).sum(-1), 0.0, 0.0, np.sqrt(0.5))
    return largest, cosines, edge


def critical_coupling(density_at_centre):
    """Critical coupling of an even unimodal density of frequencies: K_c = 2/(π g(0)).

    density_at_centre: g(0), s/rad. Returns rad/s. ValueError if <= 0. Kuramoto 1975."""
    return 2 / (np.pi * _real("density_at_centre", density_at_centre))


def critical_coupling_lorentzian(width, intensity=0.0):
    """Critical coupling of noisy oscillators with Lorentzian frequencies: K_c = 2 (γ + D).

    width: γ, rad/s; intensity: D, rad²/s. Returns rad/s. ValueError if < 0. Sakaguchi 1988."""
    return 2 * (_real("width", width) + _real("intensity", intensity))


def critical_coupling_gaussian(width):
    """Critical coupling of Gaussian frequencies: K_c = σ sqrt(8/π).

    width: σ, rad/s. Returns rad/s. Raises ValueError if < 0. Source: Kuramoto 1984."""
    return _real("width", width) * np.sqrt(8 / np.pi)


def critical_coupling_uniform(width):
    """Critical coupling of uniform frequencies: K_c = 4γ/π.

    width: γ, rad/s. Returns rad/s. Raises ValueError if < 0. Source: Pazó 2005."""
    return 4 * _real("width", width) / np.pi


def critical_coupling_identical(intensity):
    """Critical coupling of identical noisy oscillators: K_c = 2D.

    intensity: D, rad²/s. Returns rad/s. ValueError if < 0. Strogatz & Mirollo 1991."""
    return 2 * _real("intensity", intensity)


def coherence_lorentzian(strength, width, lag=0.0):
    """Stationary coherence, Lorentzian frequencies: r = sqrt(1 - 2γ/(K cos α)), 0 below threshold.

    strength: K, width: γ, rad/s; lag: α, rad. Returns r. ValueError. Sakaguchi & Kuramoto 1986."""
    effective = _real("strength", strength) * np.cos(_real("lag", lag))
    return np.sqrt(_surplus(effective, critical_coupling_lorentzian(width)))


def collective_frequency_lorentzian(strength, width, lag, centre=0.0):
    """Frequency of the mean field, Lorentzian frequencies: Ω = ω_0 - (K/2) (1 + r²) sin α.

    strength: K, width: γ, centre: ω_0, rad/s; lag: α, rad. Returns rad/s; below threshold that
    of the linear mode, r = 0. Raises ValueError on width < 0. Sakaguchi & Kuramoto 1986."""
    drive = (1 + coherence_lorentzian(strength, width, lag) ** 2) * np.sin(_real("lag", lag))
    return _real("centre", centre) - _real("strength", strength) / 2 * drive


def coherence_gaussian(strength, width):
    """Stationary coherence, Gaussian frequencies: 1 = sqrt(π/8) (K/σ) e^{-a} [I0(a) + I1(a)].

    a = (K r/2σ)². strength: K, width: σ, rad/s. Returns r, 0 up to K_c = σ sqrt(8/π).
    Raises ValueError on width < 0. Source: Kuramoto 1984; Strogatz 2000."""
    surplus = _surplus(_real("strength", strength), critical_coupling_gaussian(width))

    def integrals(a):  # h = e^{-a} [I0 + I1] and 1 - h, this one exact also near a = 0
        angle, exponent = _bessel_nodes(a)
        weight = 8 / np.pi * angle[..., :1] * np.cos(angle) ** 2
        kept = (weight * np.exp(exponent)).sum(axis=-1)
        return kept, np.where(a < 24, -(weight * np.expm1(exponent)).sum(axis=-1), 1 - kept)

    a = _solve(lambda a: integrals(a)[1], surplus, 0.0, 1e17)
    return (surplus > 0) * np.sqrt(np.pi / 2 * a) * integrals(a)[0]


def coherence_uniform(strength, width):
    """Coherence of the locked state, uniform frequencies: r = [sqrt(1-x²) + asin(x)/x]/2, x = γ/Kr.

    strength: K, width: γ, rad/s. Returns r: upper branch, π/4 at K_c = 4γ/π, 0 below.
    Raises ValueError on width < 0. Source: Pazó 2005, PRE 72 046211."""
    strength, critical = _real("strength", strength), critical_coupling_uniform(width)
    powers = 3.0 ** np.arange(1, 20)  # d - sin d = Σ (4/3) 3^k sin³(d/3^k), all terms positive

    def minus_sine(d):  # with x = cos(d/2), x r = γ/K turns into d - sin d = π (1 - K_c/K)
        return 4 / 3 * (powers * np.sin(np.expand_dims(d, -1) / powers) ** 3).sum(axis=-1)

    d = _solve(minus_sine, np.pi * _surplus(strength, critical), 0.0, np.pi)
    locked = (strength >= critical) & (strength > 0)
    return locked * (np.sin(d / 2) + 1 / np.sinc(0.5 - d / (2 * np.pi))) / 2


def coherence_identical(strength, intensity):
    """Stationary coherence of identical noisy oscillators: r = I1(K r/D)/I0(K r/D).

    strength: K, rad/s; intensity: D, rad²/s. Returns r, 0 up to K_c = 2D, 1 for D = 0 < K.
    Raises ValueError on intensity < 0. Source: Sakaguchi 1988; Strogatz & Mirollo 1991."""
    surplus = _surplus(_real("strength", strength), critical_coupling_identical(intensity))

    def ratio(x, order):  # r = I1/I0 or I2/I0 = 1 - 2 I1/(x I0) = 1 - K_c/K, all terms positive
        angle, exponent = _bessel_nodes(x)
        power = (np.expand_dims(x, -1) * np.sin(2 * angle) ** 2) ** order / (2 * order - 1)
        return (power * np.exp(exponent)).sum(axis=-1) / np.exp(exponent).sum(axis=-1)

    x = _solve(lambda x: ratio(x, 2), surplus, 0.0, 1e17)
    return (surplus > 0) * np.minimum(ratio(x, 1), 1.0)


def ott_antonsen_transient(time, initial, strength, width):
    """Transient coherence, Lorentzian: r = r_0/sqrt(e^{-λt} + r_0² K (1 - e^{-λt})/λ), λ = K - 2γ.

    Solves dr/dt = (K/2 - γ) r - (K/2) r³ above, at and below threshold. time: t >= 0, s; initial:
    r_0 in (0, 1]; strength: K, width: γ, rad/s. Returns r(t). ValueError. Ott & Antonsen 2008."""
    time, initial = _real("time", time), _real("initial", initial)
    strength, width = _real("strength", strength), _real("width", width)
    elapsed = np.abs(strength - 2 * width) * time
    mean_decay = np.where(elapsed > 0, -np.expm1(-elapsed) / np.where(elapsed > 0, elapsed, 1), 1)
    gain = initial**2 * strength * time * mean_decay
    decay = np.maximum(np.exp(-elapsed), np.finfo(float).tiny)
    growing = initial / np.sqrt(np.maximum(decay + gain, decay))
    falling = initial * np.exp(-elapsed / 2) / np.sqrt(np.maximum(1 + gain, decay))
    return np.where(strength >= 2 * width, growing, falling)[()]


def free_decay_lorentzian(time, initial, width):
    """Coherence without coupling, Lorentzian frequencies: r = r_0 e^{-γt}.

    time: t, s; initial: r_0; width: γ, rad/s. Returns r(t). ValueError. Ott & Antonsen 2008."""
    return _real("initial", initial) * np.exp(-_real("width", width) * _real("time", time))


def free_decay_gaussian(time, initial, width):
    """Coherence without coupling, Gaussian frequencies: r = r_0 e^{-σ²t²/2}.

    time: t, s; initial: r_0; width: σ, rad/s. Returns r(t). Raises ValueError. Strogatz 2000."""
    exponent = -((_real("width", width) * _real("time", time)) ** 2) / 2
    return _real("initial", initial) * np.exp(exponent)


def incoherent_fluctuation(strength, intensity):
    """Fluctuation of N identical noisy oscillators below threshold: N<r²> = 1/(1 - K/(2D)).

    strength: K, rad/s; intensity: D, rad²/s. Returns N<r²>, inf from K = 2D on. Raises
    ValueError on intensity < 0. Source: Daido 1990."""
    strength, critical = _real("strength", strength), critical_coupling_identical(intensity)
    below = strength < critical
    return np.where(below, critical / np.where(below, critical - strength, 1.0), np.inf)[()]


def mean_coherence_independent(size):
    """Mean coherence of many independent uniform phases: <r> = sqrt(π/(4N)), for large N.

    size: N. Returns <r>. Raises ValueError unless a whole number >= 1. Source: Daido 1990."""
    return np.sqrt(np.pi / (4 * _real("size", size)))


def locking_threshold(frequency):
    """Least coupling that locks N oscillators: K_L = N u/Σ c_i, c_i = sqrt(1 - (Ω_i/u)²).

    Ω_i = ω_i - <ω> and u solves 2 Σ c_i = Σ 1/c_i. frequency: ω_i, rad/s, shape (N,). Returns
    rad/s. Raises ValueError on another shape. Mirollo & Strogatz 2005; Verwoerd & Mason 2008."""
    largest, cosines, edge = _locking_curve(_real("frequency", frequency, "frequencies"))
    return largest / (np.sqrt(1 - edge * edge) * cosines(edge).mean())


def locked_coherence(frequency, strength):
    """Coherence of the stable locked state of N oscillators: r = <sqrt(1 - (Ω_i/(K r))²)>.

    frequency: ω_i, rad/s, shape (N,), Ω_i = ω_i - <ω>; strength: K, rad/s. Returns r, nan where
    K is below the threshold or <= 0. Raises ValueError on another shape. Verwoerd & Mason 2008."""
    largest, cosines, edge = _locking_curve(_real("frequency", frequency, "frequencies"))
    strength = _real("strength", strength)
    locked = (strength >= locking_threshold(frequency)) & (strength > 0)
    target = -largest / np.where(locked, strength, np.inf)
    outermost = _solve(lambda c: -np.sqrt(1 - c * c) * cosines(c).mean(-1), target, edge, 1.0)
    return np.where(locked, cosines(outermost).mean(axis=-1), np.nan)[()]


def adler_phase(detuning, strength):
    """Stable phase difference (rad) of dφ/dt = Δ - K sin φ: asin(Δ/K); for K < 0 π minus that.

    detuning: Δ, strength: K, rad/s. nan if |Δ| > |K| or K = 0. Raises ValueError. Adler 1946."""
    detuning, strength = _real("detuning", detuning), _real("strength", strength)
    locked = (np.abs(detuning) <= np.abs(strength)) & (strength != 0)
    sine = np.where(locked, detuning / np.where(locked, strength, 1.0), np.nan)
    return np.arctan2(sine, np.sign(strength) * np.sqrt((1 - sine) * (1 + sine)))


def adler_beat_frequency(detuning, strength):
    """Mean drift of dφ/dt = Δ - K sin φ: sign(Δ) sqrt(Δ² - K²), 0 for |Δ| <= |K|.

    detuning: Δ, strength: K, rad/s. Returns rad/s. ValueError if not finite. Adler 1946."""
    detuning, limit = _real("detuning", detuning), np.abs(_real("strength", strength))
    square = np.maximum(np.abs(detuning) - limit, 0.0) * (np.abs(detuning) + limit)
    return np.sign(detuning) * np.sqrt(square)


def star_locking_threshold(leaves):
    """Least coupling per edge that locks a star, ω = k at the hub and 1 at k leaves: (k-1)/(k+1).

    leaves: k. Returns rad/s. ValueError unless a whole number >= 1. Gómez-Gardeñes 2011."""
    return 1 - 2 / (_real("leaves", leaves) + 1)


def star_frequency(leaves):
    """Common frequency of a locked star, ω = k at the hub and 1 at k leaves: Ω = 2k/(k+1).

    leaves: k. Returns rad/s. ValueError unless a whole number >= 1. Gómez-Gardeñes 2011."""
    return 2 - 2 / (_real("leaves", leaves) + 1)


def star_coherence_at_threshold(leaves):
    """Coherence of that star at its threshold, hub π/2 ahead: r = sqrt(k² + 1)/(k + 1).

    leaves: k. Returns r. ValueError unless a whole number >= 1. Gómez-Gardeñes 2011."""
    leaves = _real("leaves", leaves)
    return np.hypot(leaves, 1) / (leaves + 1)


def synchronised_frequency(strength, lag, frequency=0.0):
    """Frequency (rad/s) of identical synchronised oscillators, self term included: Ω = ω - K sin α.

    strength: K, frequency: ω, rad/s; lag: α, rad. Raises ValueError. Sakaguchi & Kuramoto 1986."""
    return _real("frequency", frequency) - _real("strength", strength) * np.sin(_real("lag", lag))


def wrapped_cauchy_phases(n, concentration, centre=0.0):
    """Quantiles of the wrapped Cauchy density: θ = μ + 2 atan((1-ρ)/(1+ρ) tan(π(q - 1/2))).

    n: number of q = (i + 1/2)/n; concentration: ρ = |<e^{iθ}>|; centre: μ, rad. Returns (n,), rad.
    Raises ValueError unless n >= 1 is whole and 0 <= ρ <= 1. Source: Ott & Antonsen 2008."""
    n, concentration = _real("n", n), _real("concentration", concentration)
    quantile = (np.arange(int(n)) + 0.5) / n
    narrowing = (1 - concentration) / (1 + concentration)
    return _real("centre", centre) + 2 * np.arctan(narrowing * np.tan(np.pi * (quantile - 0.5)))
