"""`tx.fit_least_squares`: closed forms of linear problems, recovered networks, bad input."""

import sys
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optimistix
import pytest
from jaxtyping import Array

import tauax as tx
from tauax._types import numeric
from tauax.learn.fit import fit
from tauax.learn.least_squares import LeastSquaresError, fit_least_squares
from tauax.learn.matrices import LowRank, Masked, Symmetric
from tauax.learn.transforms import Positive, Simplex

KEY = jax.random.key(3)
SIZE = 10


class Line(eqx.Module):
    """y = a x + b, with a number that nothing depends on."""

    slope: Array = eqx.field(converter=numeric)
    offset: Array = eqx.field(converter=numeric)
    idle: Array = eqx.field(converter=numeric)


def line(slope=0.0, offset=0.0, dtype=None):
    return Line(*(numeric(np.asarray(part, dtype)) for part in (slope, offset, 1.0)))


def both(model):
    return model.slope, model.offset


def misfit(model, key, data):
    x, y = data
    return {"y": model.slope * x + model.offset - y}


def points(count=40, deviation=0.3):
    random = np.random.default_rng(5)
    x = random.uniform(-2.0, 3.0, count)
    return x, 1.7 * x - 0.4 + deviation * random.normal(size=count)


def run(residuals=misfit, model=None, **options):
    """The line through the points, unless told otherwise."""
    defaults = {"where": both, "key": KEY, "steps": 50, "data": points()}
    model = line() if model is None else model
    return fit_least_squares(residuals, model, **{**defaults, **options})


def normal_equations(x, y):
    """The line, its loss and the covariance of slope and offset, in closed form."""
    design = np.stack([x, np.ones_like(x)], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    found = inverse @ design.T @ y
    rest = ((design @ found - y) ** 2).sum()
    return found, rest / 2, inverse * rest / (len(x) - 2)


def test_a_line(x64):
    found = run(model=line(dtype=np.float64))
    wanted, loss, covariance = normal_equations(*points())
    assert found.converged and found.reason == "" and 0 < found.steps < 20
    # A linear problem, but for damping that is gone when a step is below 4e-11.
    np.testing.assert_allclose([float(value) for value in found.values], wanted, atol=1e-11)
    assert float(found.loss) == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9)
    for deviation, variance in zip(found.deviations, np.diag(covariance), strict=True):
        assert deviation == pytest.approx(np.sqrt(variance), rel=1e-9)
    assert (found.residuals, found.rank) == (40, 2)
    assert float(found.model.slope) == float(found.values[0])
    assert float(found.model.idle) == 1.0


def test_float32():
    found = run()
    wanted, loss, covariance = normal_equations(*points())
    assert found.converged and found.loss.dtype == found.values[0].dtype == jnp.float32
    # Sums of 40 terms, and a step of 2.4e-5 at the end, of which damping leaves little.
    np.testing.assert_allclose([float(value) for value in found.values], wanted, atol=1e-5)
    assert float(found.loss) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-4)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_of_residuals_do_not_matter(unit, x64):
    def scaled(model, key, data):
        return jax.tree.map(lambda part: unit * part, misfit(model, key, data))

    found = run(scaled, line(dtype=np.float64))
    wanted, _, covariance = normal_equations(*points())
    np.testing.assert_allclose([float(value) for value in found.values], wanted, atol=1e-11)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9)


def test_errors_of_transformed_values(x64):
    """The covariance is that of the values, whatever the free numbers are."""
    options = {"model": line(1.0, -1.0, np.float64)}
    plain = run(**options)
    found = run(**options, transform=(Positive(), None))
    np.testing.assert_allclose(found.covariance, plain.covariance, rtol=1e-7)
    assert float(found.values[0]) == pytest.approx(float(plain.values[0]), abs=1e-9)


def test_deviations_are_those_of_repeated_fits(x64):
    found = []
    for seed in range(60):
        x, y = points(deviation=0.0)
        y = y + 0.3 * np.random.default_rng(seed).normal(size=len(y))
        found.append(run(model=line(dtype=np.float64), data=(x, y)))
    slopes = np.asarray([float(one.values[0]) for one in found])
    expected = np.mean([one.deviations[0] for one in found])
    # A deviation of 60 numbers is known to 9 %; four times that.
    assert slopes.std() == pytest.approx(expected, rel=0.37)


# What residuals do not determine


def test_what_nothing_depends_on():
    found = run(where=lambda m: (m.slope, m.offset, m.idle))
    assert found.rank == 2 and float(found.values[2]) == 1.0 and found.converged
    assert np.isfinite(found.deviations[0]) and np.isfinite(found.deviations[1])
    assert np.isnan(found.deviations[2])
    assert np.isnan(found.covariance[2]).all() and np.isfinite(found.covariance[:2, :2]).all()


def test_as_many_residuals_as_numbers():
    found = run(data=(np.asarray([0.0, 1.0]), np.asarray([1.0, 3.0])))
    assert float(found.values[0]) == pytest.approx(2.0, rel=1e-5)
    assert np.isnan(found.covariance).all()


class Table(eqx.Module):
    table: Array = eqx.field(converter=numeric)


def table(model):
    return model.table


def entries(model, key, data):
    return model.table - data


@pytest.mark.parametrize("transform", [LowRank(2), Simplex()], ids=["low_rank", "simplex"])
def test_free_numbers_that_have_the_same_values(transform, x64):
    """They are not determined, the values are: the deviations stay finite."""
    random = np.random.default_rng(0)
    wanted = np.asarray(LowRank(2).nearest(random.normal(size=(4, 4))))
    if isinstance(transform, Simplex):
        wanted = random.dirichlet(np.ones(4), size=4)
    noisy = wanted + 1e-3 * random.normal(size=(4, 4))
    begin = (
        LowRank(2).nearest(np.eye(4)) if isinstance(transform, LowRank) else np.full((4, 4), 0.25)
    )
    found = run(entries, Table(begin), where=table, transform=transform, data=noisy, steps=200)
    assert found.converged
    # Rank 2 in four rows: 2 · 2 · 4 numbers less 2² that change nothing; three shares of a row.
    assert found.rank == 12
    np.testing.assert_allclose(found.values[0], wanted, atol=5e-3)  # five deviations
    deviations = found.deviations[0]
    assert deviations.shape == (4, 4) and np.isfinite(deviations).all()
    assert (deviations <= 1.01 * np.sqrt(2.0 * float(found.loss) / 4)).all()  # of a projection


# P06: a network from phases and velocities


@cache
def recorded():
    """Weights, frequencies, phases and velocities of three runs of 401 samples, in float64."""
    random = np.random.default_rng(6)
    weights = random.normal(size=(SIZE, SIZE)) * (random.uniform(size=(SIZE, SIZE)) < 0.4)
    np.fill_diagonal(weights, 0.0)
    frequency = random.normal(0.0, 2.0, SIZE)

    def velocity(phase):
        return frequency + (weights * np.sin(phase[:, None, :] - phase[:, :, None])).sum(axis=-1)

    phase, dt, runs = random.uniform(-np.pi, np.pi, (3, SIZE)), 0.05, []
    for _ in range(401):
        runs.append(phase)
        middle = phase + dt / 2 * velocity(phase)  # the midpoint rule: any path will do
        phase = phase + dt * velocity(middle)
    phase = np.concatenate(runs)
    return weights, frequency, phase, velocity(phase)


def velocity_misfit(model, key, batch):
    phase, velocity = batch
    torque = model.coupling(jnp.sin(phase), jnp.cos(phase))
    return model.frequency + torque - velocity


def squared_misfit(model, key, batch):
    return (velocity_misfit(model, key, batch) ** 2).mean()


def network():
    return tx.PhaseOscillators(np.zeros(SIZE), tx.Dense(np.zeros((SIZE, SIZE))))


def weights_and_frequency(model):
    return model.coupling.weights, model.frequency


OTHERS = ~np.eye(SIZE, dtype=bool)  # the diagonal changes no velocity


def errors(found):
    weights, frequency, *_ = recorded()
    return [np.abs(found.values[0] - weights).max(), np.abs(found.values[1] - frequency).max()]


def test_p06_by_least_squares(x64):
    found = fit_least_squares(
        velocity_misfit,
        network(),
        where=weights_and_frequency,
        transform=(Masked(OTHERS), None),
        key=KEY,
        steps=50,
        data=recorded()[2:],
    )
    assert found.converged and found.rank == SIZE * SIZE and found.residuals == 3 * 401 * SIZE
    assert max(errors(found)) <= 1e-9
    assert np.abs(np.diag(found.values[0])).max() == 0.0


def test_p06_by_descent(x64):
    steps = 600
    found = fit(
        squared_misfit,
        network(),
        where=weights_and_frequency,
        transform=(Masked(OTHERS), None),
        optimizer=optax.adam(optax.cosine_decay_schedule(0.1, steps), b2=0.95),
        key=KEY,
        steps=steps,
        data=recorded()[2:],
        batch=401,
        chunk=steps,
    )
    assert max(errors(found)) <= 1e-3


def test_an_undirected_network(x64):
    """Half the numbers, and the edges are known."""
    weights, frequency, phase, _ = recorded()
    weights = weights + weights.T
    velocity = frequency + (weights * np.sin(phase[:, None, :] - phase[:, :, None])).sum(axis=-1)
    found = fit_least_squares(
        velocity_misfit,
        network(),
        where=weights_and_frequency,
        transform=(Symmetric(Masked(weights != 0.0)), None),
        key=KEY,
        steps=50,
        data=(phase[:200], velocity[:200]),
    )
    assert found.rank == SIZE + np.triu(weights != 0.0).sum()
    np.testing.assert_allclose(found.values[0], weights, atol=1e-9)


# How it ends


def rosenbrock(model, key):
    return model.table[0] - 1.0, 10.0 * (model.table[1] - model.table[0] ** 2)


SOLVERS = {
    "default": lambda: None,
    "dogleg": lambda: optimistix.Dogleg(rtol=1e-9, atol=1e-9),
    "minimiser": lambda: optimistix.BFGS(rtol=1e-9, atol=1e-9),
}


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers(solver, x64):
    start = Table([-1.2, 1.0])
    found = run(rosenbrock, start, where=table, data=None, solver=SOLVERS[solver](), steps=300)
    assert found.converged and found.loss < 1e-14
    np.testing.assert_allclose(found.values[0], [1.0, 1.0], atol=1e-6)


def test_too_few_steps():
    found = run(rosenbrock, Table([-1.2, 1.0]), where=table, data=None, steps=3)
    assert not found.converged and found.steps == 3
    assert (
        found.reason.startswith("all 3 steps were used up") and "allow more steps" in found.reason
    )
    assert float(found.loss) < 0.5 * (2.2**2 + 4.4**2)


def test_a_start_that_is_the_solution():
    found = run(rosenbrock, Table([1.0, 1.0]), where=table, data=None)
    assert found.converged and float(found.loss) == 0.0


def test_a_step_too_far_is_shortened(x64):
    """The root is not defined below 0, where the first full step would lead."""

    def root(model, key):
        return jnp.sqrt(model.table) - 0.1

    found = run(root, Table([9.0]), where=table, data=None, steps=200)
    assert found.converged
    np.testing.assert_allclose(found.values[0], 0.01, atol=1e-9)


def test_the_key_is_given():
    def draw(model, key):
        return model.table - jax.random.normal(key, (3,))

    found = run(draw, Table(np.zeros(3)), where=table, data=None)
    np.testing.assert_allclose(found.values[0], jax.random.normal(KEY, (3,)), atol=1e-5)


def test_a_simulation():
    """Through a run, and a strength that has to stay positive."""

    def oscillators(strength):
        return tx.PhaseOscillators(np.linspace(-1.0, 1.0, 4), tx.MeanField(strength))

    def end(model):
        state = tx.init(model, phase=np.linspace(-2.0, 2.0, 4))
        return tx.simulate(model, state, dt=0.05, steps=20).state.phase

    wanted = end(oscillators(1.3))
    found = run(
        lambda model, key: end(model) - wanted,
        oscillators(0.4),
        where=lambda m: m.coupling.strength,
        transform=Positive(),
        data=None,
    )
    # Twenty roundings of a phase of 3, 5e-6, by a derivative of some 0.3; five times that.
    assert found.converged and float(found.values[0]) == pytest.approx(1.3, abs=1e-4)


def test_a_model_that_could_not_be_built_warns():
    model = tx.PhaseOscillators(np.zeros(3), tx.MeanField(1.0), tx.WhiteNoise(1.0))
    with pytest.warns(UserWarning, match=r"after the fit got WhiteNoise.intensity = -2"):
        run(
            lambda m, key: m.noise.intensity[None] + 2.0,
            model,
            where=lambda m: m.noise.intensity,
            data=None,
        )


# Bad input


def test_without_optimistix(monkeypatch):
    monkeypatch.setitem(sys.modules, "optimistix", None)
    with pytest.raises(ImportError, match=r'needs optimistix: pip install "tauax\[fit\]"'):
        run()


NOT_FINITE = {
    "at_the_start": (
        lambda m, key: {"phase": m.table, "rate": jnp.log(m.table - 1.0)[None]},
        r"got residuals\['rate'\]\[0, 1\] = nan at the start; expected finite numbers. Fix: start",
    ),
    "derivative": (
        lambda m, key: jnp.sqrt(jnp.abs(m.table - 1.0)),
        r"a derivative of the residuals with respect to .table that is not finite at the start",
    ),
}


@pytest.mark.parametrize("case", NOT_FINITE)
def test_what_is_not_finite(case):
    residuals, message = NOT_FINITE[case]
    begin = [2.0, 0.5] if case == "at_the_start" else [1.0, 0.5]
    with pytest.raises(LeastSquaresError, match=message):
        run(residuals, Table(begin), where=table, data=None)


CASES = {
    "nothing": ({"where": lambda m: ()}, ValueError, "selects nothing"),
    "no_function": ({"residuals": 1.0}, TypeError, "residuals=1.0; expected a function"),
    "takes_no_data": (
        {"residuals": rosenbrock},
        TypeError,
        r"residuals, which cannot be called with \(model, key, data\): too many positional",
    ),
    "takes_data": (
        {"data": None},
        TypeError,
        r"with \(model, key\): missing a required argument: 'data'; .*pass data= if it takes data",
    ),
    "none": ({"residuals": lambda m, k, d: ()}, ValueError, "got no residuals; expected at least"),
    "complex": (
        {"residuals": lambda m, k, d: {"z": 1j * m.slope}},
        TypeError,
        r"residuals\['z'\] of dtype complex64; expected arrays of real numbers",
    ),
    "number": (
        {"residuals": lambda m, k, d: (m.slope, 1.0)},
        TypeError,
        r"residuals\[1\] of float; expected arrays",
    ),
    "no_steps": ({"steps": 0}, ValueError, "steps=0; expected an integer ≥ 1"),
    "key": ({"key": None}, TypeError, "key=None; expected a key"),
    "solver": ({"solver": "LM"}, TypeError, "solver='LM'; expected a solver of optimistix"),
    "domain": ({"transform": Positive()}, ValueError, r".slope = 0.0; expected finite numbers > 0"),
    "data": ({"data": [1.0]}, TypeError, r"data\[0\] of type float; expected an array"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    options, kind, message = CASES[case]
    with pytest.raises(kind, match=message) as raised:
        run(**options)
    assert "got " in str(raised.value) and ". Fix: " in str(raised.value)
