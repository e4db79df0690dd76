"""An ensemble of oscillators as a layer of a larger network: numbers in, features of phases out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from tauax._checks import (
    check_count,
    check_dt,
    check_instance,
    check_numbers,
    check_shape,
    fault,
    typed_key,
)
from tauax._types import FINITE, Phase, SeedKey, Torque, numeric
from tauax.batch import per_member
from tauax.couplings import Dense
from tauax.drives import Sum, TorqueFunction
from tauax.ensemble import init, simulate
from tauax.noise import AbstractNoise
from tauax.numerics.circular import mean_vector
from tauax.numerics.fusion import cross
from tauax.numerics.reduce import weighted_totals
from tauax.numerics.trig import sincos_wrapped
from tauax.steppers import AbstractStepper, Heun
from tauax.systems.phase import PhaseOscillators

Features = Literal["relative", "vectors", "pairs", "phase"]


class OscillatorLayer(eqx.Module):
    """Phases after `steps` steps of the system, with inputs x that set frequencies and pull phases.

    dθ_i = [ω_i + Σ_f W_if x_f + p_i cos θ_i − q_i sin θ_i + C_i(θ) + …] dt + √(2 D_i) dW_i, with
    p_i = Σ_f P_if x_f and q_i = Σ_f Q_if x_f: a pull towards the phase of q_i + i p_i. Every input
    is a member, and all start from the same phases.

    A layer is an equinox module, and all its floating arrays are leaves: those of the system, W,
    the pull and the initial phases, which `eqx.partition` holds fixed. Under `jit`, `vmap` and
    `grad`, members at once are faster than `jax.vmap` of the layer. The numbers of one input are
    the same, bit for bit on a CPU, in every batch.

    **Arguments:** `system`, `PhaseOscillators`; `weights` W in rad/s per unit of x,
    `[oscillator, feature]`; `phase`, the initial phases in radians, `[oscillator]`; `pull`, None or
    (P, Q) in rad/s per unit of x, `[2, oscillator, feature]`; `dt` in seconds; `steps`; `stepper`;
    `features`, what comes out:

    - `"relative"`: r cos(θ_i − ψ), then r sin(θ_i − ψ), with r e^{iψ} the mean field, where the
      factor r makes the features smooth at r = 0; they do not change if all phases turn;
    - `"vectors"`: cos θ_i, then sin θ_i;
    - `"pairs"`: cos(θ_i − θ_j), then sin(θ_i − θ_j), over i < j;
    - `"phase"`: θ_i in [−π, π).

    **Raises:** `ValueError` or `TypeError` for shapes that do not fit each other, numbers that are
    not finite, or unknown features.

    Source: Miyato, Löwe, Geiger & Welling (2025), Artificial Kuramoto oscillatory neurons, for
    layers of oscillators in general; the equation here is the plain one of phases.
    """

    system: PhaseOscillators
    weights: Array = eqx.field(converter=numeric, metadata=FINITE)
    phase: Array = eqx.field(converter=numeric, metadata=FINITE)
    pull: Array | None
    dt: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    stepper: AbstractStepper
    features: Features = eqx.field(static=True)

    def __init__(
        self,
        system: PhaseOscillators,
        weights: Any,
        phase: Any,
        pull: Any = None,
        *,
        dt: float,
        steps: int,
        stepper: AbstractStepper = Heun(),
        features: Features = "relative",
    ):
        check_instance("system", system, PhaseOscillators, "pass tx.PhaseOscillators(...)")
        check_instance("stepper", stepper, AbstractStepper, "pass tx.Heun() or tx.Euler()")
        check_dt(dt)
        self.system, self.stepper, self.features = system, stepper, features
        self.weights, self.phase = numeric(weights), numeric(phase)
        self.pull = None if pull is None else numeric(pull)
        self.dt, self.steps = float(dt), check_count("steps", steps, 1)
        self._check()

    @classmethod
    def random(
        cls,
        inputs: int,
        oscillators: int,
        noise: AbstractNoise | None = None,
        *,
        key: SeedKey,
        dt: float,
        steps: int,
        stepper: AbstractStepper = Heun(),
        features: Features = "relative",
    ) -> "OscillatorLayer":
        """With random numbers to learn from: for `inputs` numbers in, and so many oscillators.

        W, P, Q of variance 1/inputs and the weights of a `Dense` of variance 1/oscillators in
        normal numbers; ω_i = 0; initial phases uniform.
        """
        inputs, size = check_count("inputs", inputs, 1), check_count("oscillators", oscillators, 1)
        keys = jax.random.split(typed_key(key), 4)
        coupling = Dense(jax.random.normal(keys[0], (size, size)) / size**0.5)
        weights = jax.random.normal(keys[1], (size, inputs)) / inputs**0.5
        pull = jax.random.normal(keys[2], (2, size, inputs)) / inputs**0.5
        phase = jax.random.uniform(keys[3], (size,), minval=-jnp.pi, maxval=jnp.pi)
        system = PhaseOscillators(jnp.zeros(size), coupling, noise)
        options: dict[str, Any] = {"stepper": stepper, "features": features}
        return cls(system, weights, phase, pull, dt=dt, steps=steps, **options)

    @property
    def inputs(self) -> int:
        """How many numbers go in."""
        return self.weights.shape[-1]

    @property
    def outputs(self) -> int:
        """How many numbers come out."""
        size = self.system.size
        return {"pairs": size * (size - 1), "phase": size}.get(self.features, 2 * size)

    def __call__(self, inputs: Array, *, key: SeedKey | None = None) -> Array:
        """The features `[member, output]` of inputs `[member, input]`, or `[output]` of `[input]`.

        **Arguments:** `inputs`; `key`, needed where the system has noise.

        A phase that is not finite gives NaN, without an error.
        """
        return _FEATURES[self.features](self.run(inputs, key=key))

    def run(self, inputs: Array, *, key: SeedKey | None = None) -> Phase:
        """The phases after the last step, `[member, oscillator]` or `[oscillator]`."""
        inputs = self._checked(inputs)
        model, members = self._driven(inputs), inputs.shape[0] if inputs.ndim > 1 else None
        state = init(model, key=key, members=members, phase=self.phase)
        run = simulate(
            model, state, dt=self.dt, steps=self.steps, stepper=self.stepper, throw=False
        )
        return run.state.phase

    def _driven(self, inputs: Array):
        """The system of every input: a value per member of what the input sets."""
        model = self.system
        if self.pull is not None:
            none = jnp.zeros(model.size, model.dtype)
            pull = TorqueFunction(_pulled, (none, none))
            model = replace(model, drive=pull if model.drive is None else model.drive + pull)
            for part in range(2):
                model = _with(model, _pull_at(part), _linear(self.pull[part], inputs))
        frequency = self.system.frequency + _linear(self.weights, inputs)
        return _with(model, lambda m: m.frequency, frequency)

    def _checked(self, inputs: Any) -> Array:
        inputs = numeric(inputs)
        if inputs.ndim not in (1, 2) or inputs.shape[-1] != self.inputs or inputs.size == 0:
            raise fault(
                f"inputs of shape {inputs.shape}",
                f"shape ({self.inputs},) or (members, {self.inputs})",
                "put members first; for more axes map the layer by jax.vmap",
            )
        return inputs.astype(self.system.dtype)

    def _check(self) -> None:
        check_numbers(self)
        size = self.system.size
        if self.weights.ndim != 2 or self.weights.shape[0] != size or self.weights.size == 0:
            raise fault(
                f"weights of shape {self.weights.shape}",
                f"shape ({size}, inputs)",
                "give one row per oscillator of the system",
            )
        check_shape("phase", self.phase, [(size,)], "give one initial phase per oscillator")
        if self.pull is not None:
            shape = (2, *self.weights.shape)
            check_shape("pull", self.pull, [shape], "stack P and Q, each of the shape of weights")
        if self.features not in get_args(Features):
            raise fault(
                f"features={self.features!r}",
                f"one of {', '.join(get_args(Features))}",
                'leave it out for "relative"',
            )


def _linear(weights: Array, inputs: Array) -> Array:
    """Σ_f W_if x_f, for one input or many, in an order that does not depend on their number."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    several = jnp.concatenate([rows, -rows]) if len(rows) == 1 else rows
    found = weighted_totals(weights.astype(inputs.dtype), several)[: len(rows)]
    return found.reshape(*inputs.shape[:-1], len(weights))


def _with(model, where: Callable, value: Array):
    """The model with a value `[oscillator]`, or one per member, in the leaf picked."""
    if value.ndim > 1:
        return per_member(model, where, value)
    return eqx.tree_at(where, model, value)


def _pulled(time: Array, phase: Phase, parameters: tuple[Array, Array]) -> Torque:
    """p cos θ − q sin θ."""
    sin, cos = sincos_wrapped(phase)
    return cross(parameters[0], cos, parameters[1], sin)


def _pull_at(part: int) -> Callable:
    """Where a model with a pull has p or q: in its drive, or the last of several."""

    def where(model) -> Array:
        last: Any = model.drive
        if isinstance(last, Sum):
            last = last.parts[-1]
        return last.parameters[part]

    return where


def _relative(phase: Phase) -> Array:
    (sin, cos), mean = sincos_wrapped(phase), mean_vector(phase)
    mean_sin, mean_cos = (part[..., None] for part in mean)
    along, across = cross(cos, mean_cos, -sin, mean_sin), cross(sin, mean_cos, cos, mean_sin)
    return jnp.concatenate([along, across], axis=-1)


def _vectors(phase: Phase) -> Array:
    sin, cos = sincos_wrapped(phase)
    return jnp.concatenate([cos, sin], axis=-1)


def _pairs(phase: Phase) -> Array:
    sin, cos = sincos_wrapped(phase)
    i, j = np.triu_indices(phase.shape[-1], 1)
    along = cross(cos[..., i], cos[..., j], -sin[..., i], sin[..., j])
    across = cross(sin[..., i], cos[..., j], cos[..., i], sin[..., j])
    return jnp.concatenate([along, across], axis=-1)


def _phase(phase: Phase) -> Array:
    return phase


_FEATURES: dict[str, Callable[[Phase], Array]] = {
    "relative": _relative,
    "vectors": _vectors,
    "pairs": _pairs,
    "phase": _phase,
}
