"""What the description of a model may hold: one frozen dataclass per table, one field per key.

A part of a new kind is one class here, in the union of its table, and one line in `build`.
"""

# ruff: noqa: RUF009 (`entry` makes a field)

from dataclasses import MISSING, dataclass, field
from typing import Any, ClassVar, Literal

Numbers = tuple[float, ...]
Norm = Literal["none", "size", "in_degree"]
Increments = Literal["normal", "two_point", "three_point"]
Draw = Literal["quantiles", "once", "per_member"]


def entry(
    help: str, default: Any = MISSING, *, least: float | None = None, above: float | None = None
) -> Any:
    """A key of a table: what it means, its default if any, and the range of its numbers."""
    return field(default=default, metadata={"help": help, "least": least, "above": above})


# Frequencies ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Law:
    size: int | None = entry("oscillators; as many as weights if left out", None, least=1)
    centre: float = entry("centre ω₀ of the law, rad/s", 0.0)
    width: float = entry("half width γ, or σ of a Gaussian, rad/s", 1.0, least=0)
    draw: Draw = entry("midpoint quantiles, a random set, or one for each member", "quantiles")


@dataclass(frozen=True, kw_only=True)
class Lorentzian(_Law):
    """g(ω) = (γ/π) / ((ω − ω₀)² + γ²)."""

    kind: ClassVar[str] = "lorentzian"


@dataclass(frozen=True, kw_only=True)
class Gaussian(_Law):
    """g(ω) = exp(−(ω − ω₀)²/2σ²) / √(2πσ²)."""

    kind: ClassVar[str] = "gaussian"


@dataclass(frozen=True, kw_only=True)
class Uniform(_Law):
    """Constant on [ω₀ − γ, ω₀ + γ]."""

    kind: ClassVar[str] = "uniform"


@dataclass(frozen=True, kw_only=True)
class BimodalLorentzian(_Law):
    """Two Lorentzians of half width γ, round −ω₀ and +ω₀."""

    kind: ClassVar[str] = "bimodal_lorentzian"


@dataclass(frozen=True, kw_only=True)
class Identical:
    """The same frequency for all."""

    kind: ClassVar[str] = "identical"
    size: int | None = entry("oscillators; as many as weights if left out", None, least=1)
    value: float = entry("ω, rad/s", 0.0)


@dataclass(frozen=True, kw_only=True)
class GivenFrequencies:
    """One frequency per oscillator."""

    kind: ClassVar[str] = "values"
    values: Numbers = entry("ω of each oscillator, rad/s")


@dataclass(frozen=True, kw_only=True)
class FrequencyFile:
    """One frequency per oscillator, from a file."""

    kind: ClassVar[str] = "file"
    file: str = entry("a .npy file, or text with one number per line; relative to this file")


@dataclass(frozen=True, kw_only=True)
class Degree:
    """ω_i = a·k_i: in proportion to Σ_j |w_ij|, what each oscillator receives."""

    kind: ClassVar[str] = "degree"
    factor: float = entry("a, rad/s per unit of weight", 1.0)


@dataclass(frozen=True, kw_only=True)
class Power:
    """The injections of a power grid: the coupling's weights must be of kind "ieee"."""

    kind: ClassVar[str] = "power"


Frequency = (
    Lorentzian
    | Gaussian
    | Uniform
    | BimodalLorentzian
    | Identical
    | GivenFrequencies
    | FrequencyFile
    | Degree
    | Power
)

# Weights ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Connectome:
    """The neurons of C. elegans (Varshney et al. 2011), weights in contacts."""

    kind: ClassVar[str] = "celegans"
    gap_junctions: bool = entry("whether to count gap junctions", True)
    chemical: bool = entry("whether to count chemical synapses", True)


@dataclass(frozen=True, kw_only=True)
class PowerGrid:
    """A power-flow test case as a lossless grid, weights per unit."""

    kind: ClassVar[str] = "ieee"
    buses: Literal[9, 14, 30, 39, 57] = entry("number of buses")


@dataclass(frozen=True, kw_only=True)
class Ring:
    """Each oscillator receives from its nearest neighbours on both sides, weight 1 each."""

    kind: ClassVar[str] = "ring"
    size: int = entry("number of oscillators", least=3)
    neighbours: int = entry("how many on each side", 1, least=1)


@dataclass(frozen=True, kw_only=True)
class Star:
    """Oscillator 0 is the hub; it and each leaf receive from each other, weight 1."""

    kind: ClassVar[str] = "star"
    leaves: int = entry("number of leaves", least=1)


@dataclass(frozen=True, kw_only=True)
class Populations:
    """Two populations: w_ij is the strength between the two of i and j over their size."""

    kind: ClassVar[str] = "populations"
    size: int = entry("oscillators in each population", least=1)
    within: float = entry("strength in a population")
    between: float = entry("strength between the two")


@dataclass(frozen=True, kw_only=True)
class RandomGraph:
    """An undirected Erdős–Rényi graph with weights 1."""

    kind: ClassVar[str] = "random"
    size: int = entry("number of oscillators", least=2)
    degree: float = entry("mean number of neighbours", least=0)
    key: int = entry("number of the random graph", 0, least=0)


@dataclass(frozen=True, kw_only=True)
class GivenWeights:
    """A matrix: row i holds what oscillator i receives."""

    kind: ClassVar[str] = "values"
    values: tuple[Numbers, ...] = entry("the rows")


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """A matrix from a file: row i holds what oscillator i receives."""

    kind: ClassVar[str] = "file"
    file: str = entry("a .npy file, or text with one row per line; relative to this file")


Weights = (
    Connectome | PowerGrid | Ring | Star | Populations | RandomGraph | GivenWeights | WeightsFile
)

# Coupling, noise, drive --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class MeanField:
    """(K/N) Σ_j sin(θ_j − θ_i − α)."""

    kind: ClassVar[str] = "mean_field"
    strength: float | Numbers = entry("K, one number or one per receiving oscillator, rad/s")
    lag: float = entry("α, rad", 0.0)


@dataclass(frozen=True, kw_only=True)
class Dense:
    """(K/n_i) Σ_j w_ij sin(θ_j − θ_i − α)."""

    kind: ClassVar[str] = "dense"
    weights: Weights = entry("w, where row i receives from column j")
    strength: float | Numbers = entry("K, one number or one per receiving oscillator, rad/s", 1.0)
    lag: float = entry("α, rad", 0.0)
    norm: Norm = entry("the divisor n_i: 1, N, or Σ_j |w_ij|", "none")


Coupling = MeanField | Dense


@dataclass(frozen=True, kw_only=True)
class White:
    """√(2D) dW for each oscillator."""

    kind: ClassVar[str] = "white"
    intensity: float | Numbers = entry("D, one number or one per oscillator, rad²/s", least=0)
    increments: Increments = entry("the law of the increments", "normal")


Noise = White

Response = Literal["none", "type_one", "type_two"]


@dataclass(frozen=True, kw_only=True)
class Tone:
    """A sin(nΩt + φ − mθ): a periodic drive that entrains n turns to m of its cycles."""

    kind: ClassVar[str] = "tone"
    amplitude: float | Numbers = entry("A, one number or one per oscillator, rad/s")
    frequency: float | Numbers = entry("Ω, one number or one per oscillator, rad/s")
    phase: float | Numbers = entry("φ, one number or one per oscillator, rad", 0.0)
    turns: int = entry("n", 1, least=1)
    cycles: int = entry("m", 1, least=1)


@dataclass(frozen=True, kw_only=True)
class Forcing:
    """Z(θ)·A sin(Ωt + φ): a sine that acts through a phase response Z."""

    kind: ClassVar[str] = "forcing"
    amplitude: float | Numbers = entry("A, one number or one per oscillator, rad/s")
    frequency: float | Numbers = entry("Ω, one number or one per oscillator, rad/s")
    phase: float | Numbers = entry("φ, one number or one per oscillator, rad", 0.0)
    response: Response = entry("Z: 1, 1 − cos θ or −sin θ", "none")


@dataclass(frozen=True, kw_only=True)
class PulseTrain:
    """Kicks θ → θ + ε·Z(θ) at the times start + k·period."""

    kind: ClassVar[str] = "pulses"
    strength: float | Numbers = entry("ε, one number or one per oscillator, rad")
    period: float = entry("from one kick to the next, s", above=0)
    start: float = entry("time of the first kick, s", 0.0, least=0)
    response: Response = entry("Z: 1, 1 − cos θ or −sin θ", "none")


@dataclass(frozen=True, kw_only=True)
class Kicks:
    """Kicks θ → θ + size at given times."""

    kind: ClassVar[str] = "kicks"
    times: Numbers = entry("when, in order, s", least=0)
    sizes: Numbers = entry("how far, one for each time, rad")


Drive = Tone | Forcing | PulseTrain | Kicks

# Initial phases ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class UniformPhase:
    """Uniform on the circle, independent for every oscillator."""

    kind: ClassVar[str] = "uniform"


@dataclass(frozen=True, kw_only=True)
class Arc:
    """Uniform on an arc round 0: a width of 0 is a synchronised start, of 2π a uniform one."""

    kind: ClassVar[str] = "arc"
    width: float = entry("width of the arc for the first member, rad", least=0)
    last: float | None = entry("width for the last member; the same if left out", None, least=0)


@dataclass(frozen=True, kw_only=True)
class HalfSynchronised:
    """The first half of the oscillators at 0, the others uniform on an arc."""

    kind: ClassVar[str] = "half"
    centre: float = entry("middle of the arc of the others, rad", 0.0)
    width: float = entry("width of the arc of the others, rad", 6.283185307179586, least=0)


@dataclass(frozen=True, kw_only=True)
class Twisted:
    """θ_j = 2π·q·j/N, and a random part."""

    kind: ClassVar[str] = "twisted"
    winding: int = entry("q, how often the phase turns along the oscillators")
    width: float = entry("width of the arc of the random part, rad", 0.0, least=0)


@dataclass(frozen=True, kw_only=True)
class GivenPhase:
    """The same phases for all members."""

    kind: ClassVar[str] = "values"
    values: Numbers = entry("θ of each oscillator, rad")


Initial = UniformPhase | Arc | HalfSynchronised | Twisted | GivenPhase
