"""Couplings of any 2π-periodic function of the phase difference, given by its Fourier series."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import (
    check_count,
    check_instance,
    check_numbers,
    check_per_oscillator,
    check_shape,
    fault,
)
from tauax._types import FINITE, SeedKey, Torque, numeric
from tauax.couplings.base import AbstractCoupling, AbstractNetwork, turn_back
from tauax.functions import check_parameters, perceptron, series, split_function
from tauax.numerics.fusion import cross, product
from tauax.numerics.reduce import mean, total, total_of


def _optional(value: Any) -> Array | None:
    return None if value is None else numeric(value)


class FourierCoupling(AbstractCoupling):
    """C_i = (K/N) Σ_j Γ(θ_j − θ_i), with Γ(φ) = a₀ + Σ_k (a_k cos kφ + b_k sin kφ), k = 1, 2, …

    Γ is the coupling function, or phase interaction function, of the oscillators (Daido 1992,
    Prog. Theor. Phys. 88:1213; Kuramoto 1984). The self-term Γ(0) is included. With a network
    C_i = K (K'/n_i) Σ_j w_ij Γ(θ_j − θ_i − α), where weights, divisor n_i, lag α and strength K'
    are those of the network.

    All to all it costs O(N) per harmonic, over a network what the network costs, per harmonic.
    sin kθ and cos kθ come from sin θ and cos θ by the addition theorem, with an error of k
    roundings.

    **Arguments:** `sines` b_k, `[harmonic]`; `cosines` a_k, `[harmonic]`, or None for an odd Γ;
    `network`, a `Dense` or `Sparse`, or None for all to all; `strength` K in rad/s, one number or
    one per receiving oscillator; `constant` a₀, or None for 0, which turns all oscillators alike.

    **Raises:** `ValueError` for coefficients that are not finite or of two lengths, or a shape that
    does not fit the system; `TypeError` for a network that is none.
    """

    sines: Array = eqx.field(converter=numeric, metadata=FINITE)
    cosines: Array | None = eqx.field(converter=_optional, metadata=FINITE, default=None)
    network: AbstractNetwork | None = None
    strength: Array = eqx.field(converter=numeric, metadata=FINITE, default=1.0)
    constant: Array | None = eqx.field(converter=_optional, metadata=FINITE, default=None)

    def __check_init__(self) -> None:
        check_numbers(self)
        if self.sines.ndim != 1 or self.sines.size == 0:
            raise fault(
                f"FourierCoupling.sines of shape {self.sines.shape}",
                "shape (harmonics,), one or more",
                "start at the first harmonic: sin φ + 0.3 sin 2φ is [1.0, 0.3]",
            )
        if self.cosines is not None:
            fix = "fill the shorter one up with zeros, and start at the first harmonic"
            check_shape("FourierCoupling.cosines", self.cosines, [self.sines.shape], fix)
        if self.constant is not None:
            check_shape("FourierCoupling.constant", self.constant, [()], "give one number")
        check_network(self.network)

    def __call__(self, sin: Array, cos: Array) -> Torque:
        count = self.sines.shape[-1]
        sines, cosines = multiples(sin, cos, count)
        along, across = self._weighed(*self._fields(sines, cosines))
        terms = cross(along, cosines, across, sines)
        torque = total_of([terms[..., k, :] for k in range(count)])
        if self.constant is not None:
            torque = torque + product(self._input(sin), self.constant)
        return self._scale() * torque

    @eqx.filter_jit
    def function_at(self, difference) -> Array:
        """Γ at phase differences in radians, of any shape."""
        difference = numeric(difference)
        angles = difference[..., None] * jnp.arange(1, self.sines.size + 1, dtype=difference.dtype)
        value = total(self.sines * jnp.sin(angles))
        if self.cosines is not None:
            value = value + total(self.cosines * jnp.cos(angles))
        return value if self.constant is None else value + self.constant

    def neighbours(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        return neighbours(self.network, sin, cos)

    def check(self, size: int) -> None:
        check_per_oscillator("FourierCoupling.strength", self.strength, size)
        if self.network is not None:
            self.network.check(size)

    def _fields(self, sines: Array, cosines: Array) -> tuple[Array, Array]:
        """(Σ_j w_ij sin k(θ_j − α), Σ_j w_ij cos k(θ_j − α)) of every harmonic."""
        if self.network is None:
            return mean(sines)[..., None], mean(cosines)[..., None]
        lag = self.network.lag
        lags = jnp.arange(1, self.sines.shape[-1] + 1, dtype=lag.dtype)[:, None] * lag
        return turn_back(*self.network.weighted(sines, cosines), lags)

    def _weighed(self, field_sin: Array, field_cos: Array) -> tuple[Array, Array]:
        """What multiplies cos kθ_i, and −sin kθ_i: the fields, turned and scaled by b_k + i a_k."""
        sines = self.sines[:, None]
        if self.cosines is None:
            return sines * field_sin, sines * field_cos
        cosines = self.cosines[:, None]
        return (
            cross(sines, field_sin, -cosines, field_cos),
            cross(sines, field_cos, cosines, field_sin),
        )

    def _input(self, sin: Array) -> Array:
        """Σ_j w_ij, `[target]`, or 1 all to all."""
        if self.network is None:
            return jnp.ones((), sin.dtype)
        ones = jnp.ones(sin.shape[-1:], sin.dtype)
        return self.network.weighted(ones, ones)[0]

    def _scale(self) -> Array:
        if self.network is None:
            return self.strength
        return self.strength * (self.network.strength / self.network.divisor())


class NeuralCoupling(AbstractCoupling):
    """C_i = (K/N) Σ_j Γ(θ_j − θ_i), with Γ(φ) = function([sin φ, cos φ]): one to learn.

    Γ is periodic, so it is evaluated at equidistant φ and taken for its Fourier series
    (`FourierCoupling`): nothing is evaluated per pair, oscillator or member. For smooth activations
    such as tanh or softplus the harmonics left out are exponentially small in their number; those
    of relu fall like 1/k² only. `coupling.truncation()` is the error made.

    The coefficients are found once per stage of a step. They do not depend on the phases, so a run
    of many steps is faster with `coupling.fourier()`, also where it is differentiated.

    **Arguments:** `function`, an equinox module such as `eqx.nn.MLP(2, "scalar", 16, 2, jnp.tanh,
    key=key)` or any function of an array of two numbers that returns one; its arrays are leaves of
    `coupling.parameters`, in its own structure; `harmonics`, how many are kept; `network`, a
    `Dense` or `Sparse` as for `FourierCoupling`, or None for all to all; `strength` K in rad/s, one
    number or one per receiving oscillator. `NeuralCoupling.perceptron` makes the function as well.

    **Raises:** `TypeError` for a function that cannot be called so or hashed, and for a network
    that is none; `ValueError` for numbers that are not finite, a function that does not return one
    number, or shapes that do not fit the system.
    """

    parameters: Any
    code: Any = eqx.field(static=True)
    network: AbstractNetwork | None
    strength: Array = eqx.field(metadata=FINITE)
    harmonics: int = eqx.field(static=True)

    def __init__(
        self,
        function: Callable,
        harmonics: int = 8,
        network: AbstractNetwork | None = None,
        strength: Any = 1.0,
    ):
        self.parameters, self.code = split_function(function, ("sin φ", "cos φ"))
        self.harmonics = check_count("harmonics", harmonics, 1)
        self.network, self.strength = network, numeric(strength)
        check_numbers(self)
        check_network(network)

    @classmethod
    def perceptron(
        cls,
        width: int = 16,
        depth: int = 2,
        activation: Callable = jnp.tanh,
        harmonics: int = 8,
        network: AbstractNetwork | None = None,
        strength: Any = 1.0,
        *,
        key: SeedKey,
    ) -> "NeuralCoupling":
        """With a multilayer perceptron: `depth` hidden layers of `width`, random numbers in all."""
        function = perceptron(2, width, depth, activation, key)
        return cls(function, harmonics, network, strength)

    def __call__(self, sin: Array, cos: Array) -> Torque:
        return self._series(sin.dtype)(sin, cos)

    @eqx.filter_jit
    def function_at(self, difference) -> Array:
        """Γ at phase differences in radians, of any shape; all of its harmonics."""
        difference = numeric(difference)
        points = jnp.stack([jnp.sin(difference), jnp.cos(difference)], axis=-1)
        function = eqx.combine(self.parameters, self.code)
        values = jax.vmap(function)(points.reshape(-1, 2))
        return jnp.asarray(values, difference.dtype).reshape(difference.shape)

    @eqx.filter_jit
    def fourier(self) -> FourierCoupling:
        """The coupling as it acts: its Fourier series, of as many harmonics as are kept."""
        return self._series(self.strength.dtype)

    def truncation(self) -> Array:
        """The largest |Γ(φ) − its Fourier series| among 64 φ per harmonic."""
        size = 64 * self.harmonics
        angles = jnp.asarray(2.0 * math.pi * np.arange(size) / size, self.strength.dtype)
        return jnp.abs(self.function_at(angles) - self.fourier().function_at(angles)).max()

    def neighbours(self, sin: Array, cos: Array) -> tuple[Array, Array]:
        return neighbours(self.network, sin, cos)

    def check(self, size: int) -> None:
        check_per_oscillator("NeuralCoupling.strength", self.strength, size)
        if self.network is not None:
            self.network.check(size)

    def check_values(self) -> None:
        """Raise for a number of the function that is not finite."""
        check_parameters("NeuralCoupling.parameters", self.parameters)

    def _series(self, dtype) -> FourierCoupling:
        function = eqx.combine(self.parameters, self.code)
        constant, cosines, sines = series(function, self.harmonics, jnp.zeros((0,), dtype))
        return FourierCoupling(sines, cosines, self.network, self.strength, constant)


def check_network(network: Any) -> None:
    """Raise unless a coupling was given a network, or none."""
    if network is not None:
        fix = "pass tx.Dense(weights) or tx.Sparse(...), or leave it out for all to all"
        check_instance("network", network, AbstractNetwork, fix)


def neighbours(network: AbstractNetwork | None, sin: Array, cos: Array) -> tuple[Array, Array]:
    """What `AbstractCoupling.neighbours` gives, over a network or all to all."""
    if network is not None:
        return network.neighbours(sin, cos)
    shape = sin.shape
    field_sin, field_cos = mean(sin)[..., None], mean(cos)[..., None]
    return jnp.broadcast_to(field_sin, shape), jnp.broadcast_to(field_cos, shape)


def multiples(sin: Array, cos: Array, count: int) -> tuple[Array, Array]:
    """(sin kθ, cos kθ) for k = 1 … count, `[..., harmonic, oscillator]`.

    From kθ = ⌊k/2⌋θ + ⌈k/2⌉θ: an error of k roundings. The recurrence that takes 2 cos θ times the
    last less the one before amplifies them near multiples of π.
    """
    sines, cosines = [sin], [cos]
    for k in range(2, count + 1):
        one, other = k // 2 - 1, k - k // 2 - 1
        sines.append(cross(sines[one], cosines[other], -cosines[one], sines[other]))
        cosines.append(cross(cosines[one], cosines[other], sines[one], sines[other]))
    return jnp.stack(sines, axis=-2), jnp.stack(cosines, axis=-2)
