"""Every way to differentiate a run gives the same derivatives, in the memory that it promises."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import COUPLINGS, MONITORS, SIZE, model

import tauax as tx
from tauax.adjoints import _divisor

KEY = jax.random.key(3)
DT, STEPS, MEMBERS = 0.05, 13, 3
ADJOINTS = {
    "full_tape": tx.FullTape,
    "sweep": tx.Sweep,
    "segments": tx.Segments,
    "segments_of_5": lambda: tx.Segments(5),
    "segments_in_memory": lambda: tx.Segments(memory=3 * SIZE * 8 * 8),
    "one_window": lambda: tx.Truncated(STEPS),
    "forward": lambda: tx.ForwardMode(400),
}
EXACT = [name for name in ADJOINTS if name != "full_tape"]
WAYS = [("normal", tx.Euler()), ("normal", tx.Heun()), ("normal", tx.SRA1()), ("none", tx.RK4())]


def numbers(found) -> jax.Array:
    """One number that every finite statistic of every monitor moves."""
    total = jnp.zeros(())
    for result in found.values():
        for value in result.statistics().values():
            if jnp.issubdtype(value.dtype, jnp.floating):
                known = jnp.where(jnp.isfinite(value), value, 0.0)
                total = total + jnp.sin(known + jnp.arange(known.size).reshape(known.shape)).sum()
    return total


def loss(system, adjoint, stepper, monitors):
    state = tx.init(system, key=KEY, members=MEMBERS)
    sol = tx.simulate(
        system, state, dt=DT, steps=STEPS, stepper=stepper, monitors=monitors, adjoint=adjoint
    )
    weight = jnp.cos(jnp.arange(SIZE))
    return numbers(sol.monitors) + (weight * jnp.sin(sol.state.phase)).sum()


gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))


def in_double(system):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, system)


def close(found, expected, scale):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        # Sums of some 10³ terms in float64, in another order.
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11 * scale)


def case(position, coupling):
    """A coupling with a stepper and two of the adjoints, so that all pairs of them occur."""
    some = [EXACT[(position + shift) % len(EXACT)] for shift in (0, 3)]
    slow = coupling not in ("mean_field_lag", "dense_in_degree", "sparse")
    marks = [pytest.mark.slow] if slow else []
    return pytest.param(coupling, *WAYS[(position + position // 4) % 4], some, marks=marks)


@pytest.mark.parametrize(
    ("coupling", "noise", "stepper", "adjoints"),
    [case(position, coupling) for position, coupling in enumerate(COUPLINGS)],
)
def test_adjoints_agree_for_every_coupling_and_stepper(x64, coupling, noise, stepper, adjoints):
    system = in_double(model(coupling, noise, dtype=jnp.float64))
    monitors = {"r": tx.Moments(tx.coherence), "phase": tx.Trace(tx.phase, every=4)}
    value, expected = gradient(system, tx.FullTape(), stepper, monitors)
    for name in adjoints:
        found = gradient(system, ADJOINTS[name](), stepper, monitors)
        assert float(found[0]) == float(value), name  # the run itself does not change by a bit
        close(found[1], expected, 1e3)


def groups():
    """The monitors, some at a time: each program takes long to compile."""
    names = list(MONITORS)
    for begin in range(0, len(names), 5):
        marks = [pytest.mark.slow] if begin else []
        yield pytest.param(names[begin : begin + 5], marks=marks, id=names[begin])


@pytest.mark.parametrize("names", [*groups()])
def test_adjoints_agree_for_every_monitor(x64, names):
    system = in_double(model("mean_field_lag", "normal", dtype=jnp.float64))
    monitors = {name: MONITORS[name]() for name in names}
    value, expected = gradient(system, tx.FullTape(), tx.Euler(), monitors)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(expected))
    for adjoint in (tx.Sweep(), tx.Segments(5), tx.ForwardMode()):
        found = gradient(system, adjoint, tx.Euler(), monitors)
        assert float(found[0]) == pytest.approx(float(value), rel=1e-13)
        close(found[1], expected, 1e4)


def test_segments_divide_the_steps_where_they_can():
    assert [_divisor(steps) for steps in (1024, 1000, 500, 100_000)] == [32, 25, 20, 250]
    assert _divisor(1009) == 31  # a prime: all but the last segment are of √steps


def test_truncated_is_a_chain_of_runs_that_forget(x64):
    system = in_double(model("mean_field", "normal", dtype=jnp.float64))
    steps, window = 13, 6  # one step, then two whole windows
    monitors = {"r": tx.Moments(tx.coherence)}

    def chained(system):
        phase = jnp.sin(system.frequency)  # followed to the end of the first window
        state, sums = tx.init(system, key=KEY, members=MEMBERS, phase=phase), 0.0
        for count in (1, window, window):
            sol = tx.simulate(system, state, dt=DT, steps=count, monitors=monitors)
            end, sums = sol.state, sums + count * sol.monitors["r"].mean.sum()
            state = end.with_own(jax.lax.stop_gradient(end.own))
        return sums / steps + jnp.sin(end.phase).sum()

    def truncated(system):
        phase = jnp.sin(system.frequency)
        state = tx.init(system, key=KEY, members=MEMBERS, phase=phase)
        sol = tx.simulate(
            system, state, dt=DT, steps=steps, monitors=monitors, adjoint=tx.Truncated(window)
        )
        return sol.monitors["r"].mean.sum() + jnp.sin(sol.state.phase).sum()

    # The chain adds up its parts in another order.
    one, other = (eqx.filter_jit(eqx.filter_grad(f))(system) for f in (truncated, chained))
    close(one, other, 1e3)


def coherent(system, steps, adjoint, monitors):
    """A loss whose gradient has the shape of a small fit."""
    state = tx.init(system, key=KEY, members=16)
    sol = tx.simulate(system, state, dt=0.01, steps=steps, monitors=monitors, adjoint=adjoint)
    return jnp.sin(sol.state.phase).mean() + sum(
        next(iter(found.statistics().values())).mean() for found in sol.monitors.values()
    )


def temporary_bytes(steps, adjoint, monitors):
    system = model("mean_field", "normal", size=128)
    program = partial(coherent, steps=steps, adjoint=adjoint, monitors=monitors)
    compiled = jax.jit(jax.grad(program)).lower(system).compile()
    return compiled.memory_analysis().temp_size_in_bytes


MOMENTS = {"r": tx.Moments(tx.coherence)}


@pytest.mark.parametrize("adjoint", [tx.Segments(), tx.Sweep(), tx.FullTape()])
def test_memory_of_the_gradient(adjoint):
    phases = 16 * 128 * 4
    expected = {tx.Segments: 2 * 24 + 16, tx.Sweep: 576 + 16, tx.FullTape: 7 * 576}
    # What a step itself needs, and what is kept of the order parameter, is below 16 phases.
    assert temporary_bytes(576, adjoint, MOMENTS) <= expected[type(adjoint)] * phases


def test_no_trace_is_kept_once_per_segment():
    phases = 16 * 128 * 4
    trace = {"phase": tx.Trace(tx.phase)}
    # The trace, its derivative, and a copy of each at most: never 24 of them.
    assert temporary_bytes(576, tx.Segments(), trace) <= (4 * 576 + 100) * phases


def is_program(value):
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def stored(jaxpr):
    """The shapes of what the loops of a program give, wherever they are."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield from (variable.aval.shape for variable in equation.outvars)
        for value in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda x: hasattr(x, "eqns") or hasattr(x, "jaxpr"),
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from stored(inner)


@pytest.mark.parametrize(("adjoint", "tapes"), [(tx.Segments(), 0), (tx.Sweep(), 1)])
def test_noise_is_never_stored(adjoint, tapes):
    steps = 576
    system = model("mean_field", "normal", size=128)
    program = partial(coherent, steps=steps, adjoint=adjoint, monitors=MOMENTS)
    found = list(stored(jax.make_jaxpr(jax.grad(program))(system).jaxpr))
    assert (16, 128) in found  # the walk got there
    assert found.count((steps, 16, 128)) <= tapes


def test_forward_mode_is_for_few_numbers():
    system = model("dense", "normal")
    with pytest.raises(ValueError, match=r"by 159 numbers .* at most 64. Fix: .*tx.Segments"):
        eqx.filter_grad(lambda m: coherent(m, 5, tx.ForwardMode(), MOMENTS))(system)


def test_under_vmap(x64):
    system = in_double(model("mean_field", "normal", dtype=jnp.float64))

    def slope(strength, adjoint):
        def of(strength):
            moved = eqx.tree_at(lambda m: m.coupling.strength, system, strength)
            return coherent(moved, 12, adjoint, MOMENTS)

        return jax.grad(of)(strength)

    strengths = jnp.asarray([0.5, 1.5])
    each = [float(jax.jit(slope)(one, tx.Sweep())) for one in strengths]
    for adjoint in (tx.Segments(4), tx.ForwardMode(1)):
        found = jax.jit(jax.vmap(lambda one, a=adjoint: slope(one, a)))(strengths)
        # The same sums in programs of other shapes.
        np.testing.assert_allclose(found, each, rtol=1e-11)


def test_the_default_can_be_differentiated_forward_and_twice(x64):
    system = in_double(model("mean_field", "normal", dtype=jnp.float64))

    def of(strength):
        moved = eqx.tree_at(lambda m: m.coupling.strength, system, strength)
        return coherent(moved, 12, tx.Segments(4), {})

    at, nudge, slope = jnp.asarray(1.3), 1e-4, jax.jit(jax.grad(of))
    forward = jax.jit(lambda at: jax.jvp(of, (at,), (jnp.ones_like(at),))[1])(at)
    assert float(forward) == pytest.approx(float(slope(at)), rel=1e-10)
    difference = float(slope(at + nudge) - slope(at - nudge)) / (2 * nudge)
    # The third derivative times 1e-8.
    assert float(jax.jit(jax.hessian(of))(at)) == pytest.approx(difference, rel=1e-6)


BAD = {
    "class": (lambda: tx.Segments, "adjoint=the class Segments; .* adjoint=tx.Segments"),
    "number": (lambda: 3, "adjoint=3; .* adjoint=tx.Segments"),
    "length": (lambda: tx.Segments(0), "length=0; expected .* 1"),
    "memory": (lambda: tx.Segments(memory=10), "memory=10 .* at least 1152 bytes"),
    "both": (lambda: tx.Segments(3, 10), "length=3 and memory=10; expected one of them"),
    "window": (lambda: tx.Truncated(0), "window=0; expected .* 1"),
    "numbers": (lambda: tx.ForwardMode(-1), "numbers=-1; expected .* 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    make, message = BAD[case]
    with pytest.raises((TypeError, ValueError), match=message):
        eqx.filter_eval_shape(loss, model("mean_field", "normal"), make(), tx.Euler(), {})
