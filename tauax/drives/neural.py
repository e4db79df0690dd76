"""A periodic drive whose shape is learned."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from tauax._checks import check_count, check_numbers, check_per_oscillator, check_shape
from tauax._types import FINITE, Phase, SeedKey, Torque, numeric
from tauax.clock import Moment
from tauax.drives.base import AbstractDrive
from tauax.functions import check_parameters, perceptron, series, split_function
from tauax.numerics.fusion import product
from tauax.numerics.trig import sincos
from tauax.responses import PhaseResponse


class NeuralDrive(AbstractDrive):
    """F = A·f(θ, Ωt), with f = function([sin θ, cos θ, sin Ωt, cos Ωt]): a drive to learn.

    The angle Ωt is exact over 10⁹ steps. At one moment f is a periodic function of θ, shared by all
    oscillators: it is evaluated at equidistant θ and acts as its Fourier series, so its cost does
    not grow with the number of oscillators or members. For smooth activations such as tanh or
    softplus the harmonics left out are exponentially small in their number; those of relu fall like
    1/k² only. `drive.truncation()` is the error made.

    **Arguments:** `function`, an equinox module such as `eqx.nn.MLP(4, "scalar", 16, 2, jnp.tanh,
    key=key)` or any function of an array of four numbers that returns one; its arrays are leaves of
    `drive.parameters`, in its own structure; `frequency` Ω in rad/s, one number (drives of several
    frequencies add); `harmonics` of θ, how many are kept; `amplitude` A in rad/s, one number or one
    per oscillator. `NeuralDrive.perceptron` makes the function as well.

    **Raises:** `TypeError` for a function that cannot be called so or hashed; `ValueError` for
    numbers that are not finite, a function that does not return one number, or a shape that does
    not fit the system.
    """

    parameters: Any
    code: Any = eqx.field(static=True)
    frequency: Array = eqx.field(metadata=FINITE)
    amplitude: Array = eqx.field(metadata=FINITE)
    harmonics: int = eqx.field(static=True)

    def __init__(
        self, function: Callable, frequency: Any, harmonics: int = 8, amplitude: Any = 1.0
    ):
        inputs = ("sin θ", "cos θ", "sin Ωt", "cos Ωt")
        self.parameters, self.code = split_function(function, inputs)
        self.frequency, self.amplitude = numeric(frequency), numeric(amplitude)
        self.harmonics = check_count("harmonics", harmonics, 1)
        check_numbers(self)

    @classmethod
    def perceptron(
        cls,
        frequency: Any,
        width: int = 16,
        depth: int = 2,
        activation: Callable = jnp.tanh,
        harmonics: int = 8,
        amplitude: Any = 1.0,
        *,
        key: SeedKey,
    ) -> "NeuralDrive":
        """With a multilayer perceptron: `depth` hidden layers of `width`, random numbers in all."""
        return cls(perceptron(4, width, depth, activation, key), frequency, harmonics, amplitude)

    def __call__(self, phase: Phase, moment: Moment) -> Torque:
        return product(self.amplitude, self.response(moment.angle(self.frequency))(phase))

    def response(self, angle) -> PhaseResponse:
        """θ ↦ f(θ, ψ) as it acts, at the angle ψ of the drive in radians, one number."""
        angle = numeric(angle)
        others = jnp.stack(sincos(angle))
        return PhaseResponse(*series(self._function(), self.harmonics, others))

    @eqx.filter_jit
    def function_at(self, phase, angle) -> Array:
        """f(θ, ψ) at phases and angles of the drive in radians that broadcast; all harmonics."""
        angles = jnp.broadcast_arrays(numeric(phase), numeric(angle))
        parts = [part for one in angles for part in (jnp.sin(one), jnp.cos(one))]
        points = jnp.stack(parts, axis=-1)
        values = jax.vmap(self._function())(points.reshape(-1, 4))
        return jnp.asarray(values, points.dtype).reshape(angles[0].shape)

    def truncation(self) -> Array:
        """The largest |f(θ, ψ) − its Fourier series| on a grid of 64 θ per harmonic and 64 ψ."""
        phase = jnp.linspace(-jnp.pi, jnp.pi, 64 * self.harmonics, dtype=self.amplitude.dtype)
        angles = jnp.linspace(-jnp.pi, jnp.pi, 64, dtype=phase.dtype)
        acts = self._acting(phase, angles)
        return jnp.abs(self.function_at(phase, angles[:, None]) - acts).max()

    @eqx.filter_jit
    def _acting(self, phase: Array, angles: Array) -> Array:
        return jax.vmap(lambda angle: self.response(angle)(phase))(angles)

    def check(self, size: int) -> None:
        check_per_oscillator("NeuralDrive.amplitude", self.amplitude, size)
        fix = "give one number: drives of several frequencies add, `a + b`"
        check_shape("NeuralDrive.frequency", self.frequency, [()], fix)

    def check_values(self) -> None:
        """Raise for a number of the function that is not finite."""
        check_parameters("NeuralDrive.parameters", self.parameters)

    def _function(self) -> Callable:
        return eqx.combine(self.parameters, self.code)
