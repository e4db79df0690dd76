"""Law 6: derivatives through a run equal finite differences, and are finite in delicate places."""

from itertools import cycle

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import COUPLINGS, SIZE, STEPPERS, model

import tauax as tx

KEY = jax.random.key(2)
DT, STEPS = 0.05, 12
PHASE = np.linspace(-2.5, 2.8, SIZE)
WEIGHT = np.cos(np.arange(SIZE))
MONITORS = {"r": tx.Moments(tx.coherence)}
NUDGE = 1e-5


def outcome(point, stepper):
    """A number that every leaf and every initial phase moves."""
    system, phase = point
    state = tx.init(system, key=KEY, phase=phase)
    sol = tx.simulate(
        system, state, dt=jnp.asarray(DT), steps=STEPS, stepper=stepper, monitors=MONITORS
    )
    weight = jnp.asarray(WEIGHT, sol.state.phase.dtype)
    return sol.monitors["r"].mean + (weight * jnp.sin(sol.state.phase)).sum()


# The edges of a network are integers, of which there is no derivative: None in their place.
value = eqx.filter_jit(outcome)
reverse = eqx.filter_jit(eqx.filter_grad(outcome))


@eqx.filter_jit
def forward(point, stepper, tangent):
    return eqx.filter_jvp(lambda point: outcome(point, stepper), (point,), (tangent,))[1]


def double(tree):
    def one(leaf):
        return jnp.asarray(leaf, jnp.float64) if eqx.is_inexact_array_like(leaf) else leaf

    return jax.tree.map(one, tree)


def directions(point, kinked):
    """For each leaf a direction of length 1 that moves it alone; no weight leaves 0 if `kinked`."""
    leaves, structure = jax.tree.flatten(eqx.filter(point, eqx.is_inexact_array))
    random = np.random.default_rng(5)
    for moved in range(len(leaves)):
        tangent = [jnp.zeros_like(leaf) for leaf in leaves]
        one = random.normal(size=leaves[moved].shape)
        if kinked and one.ndim == 2:  # Σ|w| has no derivative there
            one = one * (np.asarray(leaves[moved]) != 0)
        tangent[moved] = jnp.asarray(one / np.linalg.norm(one))
        yield structure.unflatten(tangent)


def shifted(point, tangent, by):
    return eqx.apply_updates(point, jax.tree.map(lambda direction: by * direction, tangent))


def along(gradient, tangent):
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(tangent), strict=True)
    return sum(float((one * other).sum()) for one, other in pairs)


QUICK = ("none", "mean_field_lag", "dense_in_degree")
WAYS = [("normal_each", "heun"), ("none", "rk4"), ("normal", "euler")]
CASES = [
    ("mean_field", "given", "heun"),
    pytest.param("mean_field_lag", "normal_each", "sra1", marks=pytest.mark.slow),
    *((coupling, *way) for coupling in QUICK for way in WAYS),
    *(
        pytest.param(coupling, *way, marks=pytest.mark.slow)
        for coupling, way in zip(COUPLINGS, cycle(WAYS), strict=False)
        if coupling not in QUICK
    ),
]


@pytest.mark.parametrize(("coupling", "noise", "stepper"), CASES)
def test_derivatives_agree(x64, coupling, noise, stepper):
    stepper = STEPPERS[stepper]()
    system = model(coupling, noise, dtype=jnp.float64)
    if noise == "normal_each":  # away from D = 0, where the derivative is infinite
        system = tx.PhaseOscillators(
            system.frequency, system.coupling, tx.WhiteNoise(np.linspace(0.1, 0.3, SIZE))
        )
    point = double((system, PHASE))
    gradient = reverse(point, stepper)
    for tangent in directions(point, coupling in ("dense_in_degree", "fourier_dense")):
        analytic = along(gradient, tangent)
        ends = [value(shifted(point, tangent, by), stepper) for by in (NUDGE, -NUDGE)]
        difference = float(ends[0] - ends[1]) / (2 * NUDGE)
        # 1e-8: curvature times 1e-10, and rounding of 1e-15 over 1e-5.
        assert analytic == pytest.approx(difference, rel=1e-7, abs=1e-8), tangent
        # 1e-12: the same products in another order.
        assert float(forward(point, stepper, tangent)) == pytest.approx(
            analytic, rel=1e-11, abs=1e-12
        )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_finite_where_the_mean_vector_vanishes(x64, dtype):
    # In pairs of opposite phases the order parameter is 0, at the start and, by symmetry, later.
    phase = jnp.asarray([0.0, -np.pi] * (SIZE // 2), dtype)
    system = tx.PhaseOscillators(jnp.zeros(SIZE, dtype), tx.MeanField(2.0))
    state = tx.init(system, phase=phase)
    assert float(tx.coherence(system, state)) < 1e-6
    for readout in (tx.coherence, tx.mean_phase):

        def read(system, phase, readout=readout):
            state = tx.init(system, phase=phase)
            return readout(system, tx.simulate(system, state, dt=DT, steps=3).state)

        for leaf in jax.tree.leaves(jax.grad(read, argnums=(0, 1))(system, phase)):
            assert np.isfinite(leaf).all()


def test_zero_derivative_where_the_mean_vector_vanishes_exactly():
    opposite = tx.numerics.circular

    def both(sin, cos):
        return opposite.length(sin, cos) + opposite.direction(sin, cos)

    assert jax.grad(both, argnums=(0, 1))(0.0, 0.0) == (0.0, 0.0)


@pytest.mark.parametrize("coupling", ["mean_field", "dense_in_degree"])
@pytest.mark.parametrize("intensity", [1e-6, 0.1, 10.0])
def test_finite_with_noise_in_float32(coupling, intensity):
    parts = model(coupling, "none")
    system = tx.PhaseOscillators(parts.frequency, parts.coupling, tx.WhiteNoise(intensity))
    gradients = reverse((system, jnp.asarray(PHASE, jnp.float32)), tx.Heun())
    for leaf in jax.tree.leaves(gradients):
        assert np.isfinite(leaf).all()
        assert leaf.dtype == jnp.float32


def test_through_a_grid_with_members(x64):
    system = double(model("mean_field", "normal", dtype=jnp.float64))
    grid = tx.vary(
        system, {"strength": (lambda m: m.coupling.strength, jnp.asarray([0.5, 1.5, 2.5]))}
    )

    def each(grid):
        state = tx.init(grid, key=KEY, members=4)
        sol = tx.simulate(grid, state, dt=jnp.asarray(DT), steps=STEPS, monitors=MONITORS)
        return sol.monitors["r"].mean

    strengths = jax.grad(lambda grid: each(grid).sum())(grid).system.coupling.strength
    for point in range(3):
        ends = []
        for by in (NUDGE, -NUDGE):
            moved = jnp.asarray([0.5, 1.5, 2.5]).at[point].add(by)
            ends.append(
                each(tx.vary(system, {"strength": (lambda m: m.coupling.strength, moved)})).sum()
            )
        # 1e-8: as above.
        assert strengths[point] == pytest.approx(float(ends[0] - ends[1]) / (2 * NUDGE), abs=1e-8)
