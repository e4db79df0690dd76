"""`tx.fit`: against plain loops of optax, what it recovers, chunks and files, bad input."""

from functools import cache
from itertools import count
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

import tauax as tx
from tauax._types import numeric
from tauax.learn import descent
from tauax.learn.arguments import checked_problem, checked_task
from tauax.learn.fit import FitError, fit
from tauax.learn.transforms import AbstractTransform, Bounded, Ordered, Positive, Simplex

KEY = jax.random.key(4)
STEPS = 23
TARGET = np.asarray([0.3, -0.7, 1.1], np.float32)
SGD = optax.sgd(0.05)


@cache
def system(strength=2.0, **parts):
    frequency = np.asarray([-1.0, 0.2, 1.5], np.float32)
    parts = {"noise": tx.WhiteNoise(0.1), **parts}
    return tx.PhaseOscillators(frequency, tx.MeanField(strength), **parts)


def frequency(model):
    return model.frequency


def strength(model):
    return model.coupling.strength


def intensity(model):
    return model.noise.intensity


def lag(model):
    return model.coupling.lag


def bowl(model, key):
    """A quadratic with noise in its place: every key moves the gradient."""
    place = TARGET + 0.3 * jax.random.normal(key, (3,))
    return ((model.frequency - place) ** 2).sum() + (model.coupling.strength - 0.5) ** 2


def still(model, key):
    """Without noise."""
    return ((model.frequency - TARGET) ** 2).sum() + (model.coupling.strength - 0.5) ** 2


def wells(model, key):
    """Two minima of the strength, at 0.96 and, lower, at −1.04; the key tilts them a little."""
    x = model.coupling.strength
    return (x**2 - 1.0) ** 2 + (0.3 + 0.01 * jax.random.normal(key)) * x


def both(model):
    return model.frequency, model.coupling.strength


OPTIONS = {"where": both, "optimizer": SGD, "steps": STEPS, "key": KEY}


def run(loss=bowl, model=None, **options):
    return fit(loss, system() if model is None else model, **{**OPTIONS, **options})


def assert_same(one, other) -> None:
    """Equal structure, and every array equal bit for bit; NaN equals NaN."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


# A plain loop


OPTIMIZERS = {
    "sgd": lambda: SGD,
    "chain": lambda: optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.adamw(optax.cosine_decay_schedule(0.2, STEPS), weight_decay=0.1),
    ),
    "needs_the_loss": lambda: optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau()),
}


def plain_loop(optimizer, key_of):
    """The same fit as a loop of Python: x is the frequencies and, by softplus, the strength."""

    def loss_of(free, key):
        place = TARGET + 0.3 * jax.random.normal(key, (3,))
        strength = jnp.log1p(jnp.exp(free[1]))
        return ((free[0] - place) ** 2).sum() + (strength - 0.5) ** 2

    @jax.jit
    def step_of(free, memory, key):
        loss, gradient = jax.value_and_grad(loss_of)(free, key)
        change, memory = optimizer.update(gradient, memory, free, value=loss)
        return optax.apply_updates(free, change), memory, loss

    optimizer = optax.with_extra_args_support(optimizer)
    free = (system().frequency, jnp.log(jnp.expm1(system().coupling.strength)))
    memory, losses = optimizer.init(free), []
    for step in range(STEPS):
        free, memory, loss = step_of(free, memory, key_of(step))
        losses.append(loss)
    final = step_of(free, memory, key_of(STEPS))[2]
    return np.asarray(losses), final, free[0], jnp.log1p(jnp.exp(free[1]))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_plain_loop(optimizer):
    optimizer = OPTIMIZERS[optimizer]()
    found = run(optimizer=optimizer, transform=(None, Positive()))
    losses, final, *values = plain_loop(optimizer, lambda step: jax.random.fold_in(KEY, step))
    # 23 steps of some ten roundings each, of which a descent forgets most.
    np.testing.assert_allclose(found.losses, losses, rtol=2e-5)
    np.testing.assert_allclose(found.loss, final, rtol=2e-5)
    for value, plain in zip(found.values, values, strict=True):
        np.testing.assert_allclose(value, plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.model.frequency, found.values[0])
    np.testing.assert_array_equal(found.model.coupling.strength, found.values[1])
    assert found.losses.shape == (STEPS,)
    assert found.status == 0 and found.best == 0


def test_one_key_for_all_steps():
    found = run(common_noise=True, transform=(None, Positive()))
    first = jax.random.fold_in(KEY, 0)
    losses, final, *_ = plain_loop(SGD, lambda step: first)
    np.testing.assert_allclose(found.losses, losses, rtol=2e-5)  # as above
    np.testing.assert_allclose(found.loss, final, rtol=2e-5)
    assert (np.diff(found.losses) < 0).all()


def test_float64(x64):
    single = system()
    model = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), single)
    found = run(still, model)
    assert found.losses.dtype == found.model.frequency.dtype == jnp.float64
    # x − a shrinks by 1 − 2·0.05 a step.
    expected = TARGET + (np.asarray(single.frequency, float) - TARGET) * 0.9**STEPS
    np.testing.assert_allclose(found.model.frequency, expected, rtol=1e-13)


def test_a_line_search():
    """What wants to evaluate the loss itself is given it."""
    found = run(still, optimizer=optax.lbfgs(), steps=8, common_noise=True)
    np.testing.assert_allclose(found.model.frequency, TARGET, atol=1e-5)
    np.testing.assert_allclose(found.model.coupling.strength, 0.5, atol=1e-5)


def test_one_program_for_all_chunks_and_numbers():
    traced = count()

    def counted(model, key):
        next(traced)
        return bowl(model, key)

    for chunk, start in ((7, 2.0), (STEPS, 3.0), (1, 0.5)):
        run(counted, system(start), chunk=chunk)
    assert next(traced) == 1


# Selections


def test_other_leaves_stay():
    model = system()
    found = run(where=strength, model=model).model
    np.testing.assert_array_equal(found.frequency, model.frequency)
    np.testing.assert_array_equal(found.noise.intensity, model.noise.intensity)
    assert found.coupling.strength != model.coupling.strength


def each_strength(model, key):
    return ((model.system.coupling.strength - jnp.asarray([0.0, 1.0, 4.0])) ** 2).sum()


def test_a_varied_model():
    """All values along the axis are fitted, each to its own."""
    grid = tx.vary(system(), {"strength": (strength, [1.0, 2.0, 3.0])})
    found = run(each_strength, grid, where=strength, steps=200)
    assert isinstance(found.model, tx.Varied)
    np.testing.assert_allclose(found.model.system.coupling.strength, [0.0, 1.0, 4.0], atol=1e-5)


class Tied(AbstractTransform):
    """All elements are one free number: another shape than the value."""

    size: int = eqx.field(static=True)

    def constrain(self, free: Array) -> Array:
        return jnp.broadcast_to(free, (self.size,))

    def free(self, value: Array) -> Array:
        return value.mean()

    def check(self, name: str, value: Array) -> None:
        pass


def test_another_shape():
    found = run(still, where=frequency, transform=Tied(3), starts=2, steps=200)
    np.testing.assert_allclose(found.values[0], np.full((2, 3), TARGET.mean()), atol=1e-5)


def test_a_model_of_several_modules_and_a_loss_with_data():
    class Pair(eqx.Module):
        system: tx.PhaseOscillators
        gain: Array = eqx.field(converter=numeric)

    class Distance(eqx.Module):
        target: Array

        def __call__(self, model, key):
            return ((model.gain * model.system.frequency - self.target) ** 2).sum()

    pair, target = Pair(system(), 0.1), 3.0 * system().frequency
    found = run(Distance(target), pair, where=lambda pair: pair.gain, steps=60)
    assert float(found.model.gain) == pytest.approx(3.0, rel=1e-4)


# Recovery


MOMENTS = {"r": tx.Moments(tx.coherence, after=20)}


def coherence_of(model, key):
    state = tx.init(model, key=key, members=4, phase=np.linspace(-2.0, 2.0, 8))
    return tx.simulate(model, state, dt=0.05, steps=50, monitors=MOMENTS).monitors["r"].mean


def oscillators(strength):
    frequencies = tx.frequencies.lorentzian(8, centre=0.0, width=0.3)
    return tx.PhaseOscillators(frequencies, tx.MeanField(strength), tx.WhiteNoise(0.05))


def test_a_strength_is_recovered():
    """From the coherence of four members, whose noise is known."""
    wanted = coherence_of(oscillators(1.6), jax.random.fold_in(KEY, 0))

    def loss(model, key):
        return ((coherence_of(model, key) - wanted) ** 2).mean()

    options = {"where": strength, "transform": Positive(), "common_noise": True, "steps": 20}
    with jax.debug_key_reuse(True):
        found = run(loss, oscillators(1.0), **options, optimizer=optax.sgd(10.0))
    # In the end the loss falls tenfold at each step, until it is made of roundings of r, 1e-7,
    # which by its derivative of some 0.1 are 1e-6 of the strength; a hundred times that.
    assert float(found.model.coupling.strength) == pytest.approx(1.6, abs=1e-4)


# Starts


def test_the_better_of_two_minima():
    options = {"where": strength, "spread": 1.5, "steps": 80}
    alone = run(wells, system(0.9), **options)
    found = run(wells, system(0.9), **options, starts=6)
    assert float(alone.model.coupling.strength) == pytest.approx(0.96, abs=0.02)
    assert float(found.model.coupling.strength) == pytest.approx(-1.04, abs=0.02)
    assert found.losses.shape == (6, 80) and found.final_losses.shape == (6,)
    assert found.loss == min(found.final_losses)
    # Start 0 is the fit alone, to rounding: compiled for six at once.
    np.testing.assert_allclose(found.losses[0], alone.losses, rtol=1e-5, atol=1e-6)
    loss, key = jax.jit(wells), jax.random.fold_in(KEY, 80)  # of the step after the last, for all
    for start in range(6):
        model = found.at(start)
        np.testing.assert_array_equal(model.coupling.strength, found.values[0][start])
        final = found.final_losses[start]
        np.testing.assert_allclose(loss(model, key), final, rtol=1e-5, atol=1e-6)


def begun_from(starts: int, spread: float) -> np.ndarray:
    """The frequencies at which the starts begin."""
    problem, _, key = checked_problem(system(), both, None, KEY)
    task = checked_task(problem, still, SGD, key, None, None, common_noise=False)
    course = descent.begin(task, 1, starts, jnp.asarray(spread))
    return np.asarray(course.search.free[0])


def test_where_starts_begin():
    few, many = begun_from(3, 0.2), begun_from(400, 0.2)
    np.testing.assert_array_equal(few, many[:3])  # whatever their number
    away = many - np.asarray(system().frequency)
    np.testing.assert_array_equal(away[0], 0.0)
    # 1197 numbers: a deviation is known to 2 %, a mean to 0.006; five times that.
    assert away[1:].std() == pytest.approx(0.2, rel=0.1)
    assert abs(away[1:].mean()) < 0.03


# Chunks and files


class Stop(Exception):
    """Stands for whatever ends a process."""


def stopping(after: int):
    calls = count(1)

    def report(done, steps, fit):
        if next(calls) == after:
            raise Stop

    return report


def test_reports():
    for starts, axis in ((1, ()), (3, (3,))):
        seen = []

        def report(done, steps, fit, seen=seen):
            seen.append((done, steps, fit))

        found = run(starts=starts, chunk=9, report=report)
        assert [done for done, *_ in seen] == [9, 18, STEPS]
        for done, steps, now in seen:
            assert steps == STEPS and now.losses.shape == (*axis, done)
            np.testing.assert_array_equal(now.losses, found.losses[..., :done])
            assert now.status.shape == axis and not now.status.any()
        assert_same(seen[-1][-1], found)
        for done, _, now in seen[:-1]:  # at the numbers of the last loss there is
            np.testing.assert_array_equal(now.final_losses, now.losses[..., -1])
            np.testing.assert_array_equal(now.step, np.full(axis, done - 1))
            loss = jax.jit(bowl)(now.model, jax.random.fold_in(KEY, done - 1))
            np.testing.assert_allclose(now.loss, loss, rtol=1e-5)  # compiled apart


@pytest.mark.parametrize("starts", [1, 3])
def test_a_report_that_ends_the_fit(starts, tmp_path):
    options = {"starts": starts, "chunk": 6, "optimizer": optax.sgd(0.05, momentum=0.5)}
    seen, path = [], tmp_path / "fit.npz"

    def report(done, steps, fit):
        seen.append(done)
        return np.asarray(fit.losses).min() < 20.0 and done >= 12

    found = run(**options, path=path, report=report)
    assert seen == [6, 12]
    assert_same(found, run(**options, steps=12))  # as if that had been asked for
    assert found.losses.shape[-1] == 12 and (np.asarray(found.step) == 12).all()
    assert_same(run(**options, path=path, report=stopping(1)), found)  # the end is in the file


def test_what_else_a_report_returns_ends_nothing():
    for answer in (None, 1, "stop", np.ones(3), False, np.False_, jnp.zeros(())):
        assert run(steps=4, chunk=2, report=lambda *_, answer=answer: answer).losses.shape == (4,)
    for answer in (True, np.True_, jnp.asarray(True)):
        assert run(steps=4, chunk=2, report=lambda *_, answer=answer: answer).losses.shape == (2,)


@pytest.mark.parametrize("chunk", [1, 7, STEPS, 1000])
@pytest.mark.parametrize("starts", [1, 3])
def test_chunks_have_the_same_bits(chunk, starts):
    assert_same(run(starts=starts, chunk=chunk), run(starts=starts))


FORMS = {
    "plain": {},
    "starts": {"starts": 3, "transform": (Ordered(), Positive()), "optimizer": optax.adam(0.1)},
    "keys": {"optimizer": optax.noisy_sgd(0.05, key=7)},  # remembers a key
    "data": {"where": strength, "transform": Bounded(0.0, 5.0), "common_noise": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_resumed_is_uninterrupted(form, tmp_path):
    path, options = tmp_path / "fit.npz", FORMS[form]
    for _ in range(2):
        with pytest.raises(Stop):
            run(**options, chunk=6, path=path, report=stopping(1))
    seen = []
    found = run(
        **options, chunk=5, path=str(path), report=lambda done, steps, fit: seen.append(done)
    )
    assert seen == [17, 22, 23]
    assert_same(found, run(**options))
    written = path.stat().st_mtime_ns
    assert_same(run(**options, path=path, report=stopping(1)), found)  # complete: nothing to do
    assert path.stat().st_mtime_ns == written
    assert [file.name for file in tmp_path.iterdir()] == ["fit.npz"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> bytes:
    """The file of a fit stopped after its first chunk."""
    path = tmp_path_factory.mktemp("begun") / "fit.npz"
    with pytest.raises(Stop):
        run(chunk=6, path=path, report=stopping(1))
    return path.read_bytes()


OTHERS = {
    "loss": {"loss": still},
    "model": {"model": system(2.5)},
    "where and transform and optimizer": {
        "where": strength,
        "transform": Positive(),
        "optimizer": optax.adam(0.1),
    },
    "optimizer": {"optimizer": optax.sgd(0.05, momentum=0.9)},
    "key": {"key": jax.random.key(5)},
    "common_noise": {"common_noise": True},
    "steps": {"steps": STEPS + 1},
    "starts": {"starts": 2},
    "spread": {"spread": 0.5},
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_fit_is_refused(other, begun, tmp_path):
    path = tmp_path / "fit.npz"
    path.write_bytes(begun)
    message = f"got {path}, which holds another fit: not the same {other}; expected the fit that"
    with pytest.raises(ValueError, match=message):
        run(**OTHERS[other], path=path)
    assert path.read_bytes() == begun


def test_another_transform_is_refused(tmp_path):
    options = {"where": strength, "path": tmp_path / "fit.npz", "report": stopping(1)}
    with pytest.raises(Stop):
        run(**options, transform=Bounded(0.0, 5.0))
    with pytest.raises(ValueError, match="another fit: not the same transform;"):
        run(**options, transform=Bounded(0.0, 6.0))


def test_files_that_do_not_fit(begun, tmp_path):
    path = tmp_path / "fit.npz"
    path.write_bytes(begun[:-30])
    with pytest.raises(ValueError, match="damaged"):
        run(path=path)
    model, monitors = system(), {"r": tx.Moments(tx.coherence)}
    state = tx.init(model, key=KEY)
    tx.simulate(model, state, dt=0.1, steps=2, monitors=monitors).save(path)
    with pytest.raises(ValueError, match="a saved solution; expected a saved fit"):
        run(path=path)
    with pytest.raises(FileNotFoundError, match="missing"):
        run(path=tmp_path / "missing" / "fit.npz")
    with pytest.raises((TypeError, ValueError), match="Fix: define"):
        run(lambda model, key: model.frequency.sum(), path=tmp_path / "other.npz")
    assert [Path(file).name for file in tmp_path.iterdir()] == ["fit.npz"]


# What is not finite


def downhill(model, key):
    """Falls to where it ends: not finite below 0."""
    return jnp.sqrt(model.coupling.strength) + 0.0 * model.frequency.sum()


def kink(model, key):
    """Finite at 0.2 and its derivative not."""
    return jnp.sqrt((model.frequency[1] - 0.2) ** 2) + model.coupling.strength**2


def slope(model, key):
    return model.noise.intensity


def spread_out(model, key):
    """The square root of the intensity, as a simulation takes it."""
    return jnp.sqrt(model.noise.intensity)


def test_a_loss_that_is_not_finite(tmp_path):
    path, calls = tmp_path / "fit.npz", []

    def report(done, steps, fit):
        calls.append((done, fit.losses))

    options = {"where": strength, "optimizer": optax.sgd(0.5), "chunk": 6, "path": path}
    with pytest.raises(FloatingPointError) as raised:
        run(downhill, **options, report=report)
    message = str(raised.value)
    # From 2 in steps of 0.5 / (2 √x) = 1/(4√x), which grow.
    value, steps = 2.0, 0
    while value > 0:
        good, value, steps = value, value - 0.25 / np.sqrt(value), steps + 1
    assert f"a loss that is not finite at step {steps}, in a fit of .coupling.strength;" in message
    assert "Fix: keep the numbers in their domain by transform=" in message
    found = raised.value.fit
    assert float(found.model.coupling.strength) == pytest.approx(good, rel=1e-5)
    assert int(found.stopped) == steps and int(found.status) == 1
    assert np.isfinite(found.losses[:steps]).all() and np.isnan(found.losses[steps:]).all()
    assert np.isnan(found.loss)
    assert calls[-1][0] == steps + 1 and len(calls[-1][1]) == steps + 1
    assert_same(run(downhill, **options, throw=False), found)  # as the file has it
    assert_same(run(downhill, **{**options, "path": None}, throw=False), found)


@pytest.mark.parametrize("starts", [1, 2])
def test_a_gradient_that_is_not_finite(starts):
    """The message names the leaf; with none good, the start that came farthest is the best."""
    with pytest.raises(FitError) as raised:
        run(kink, optimizer=optax.sgd(0.0), starts=starts, spread=1e-30)
    message, found = str(raised.value), raised.value.fit
    who = " by start 0, which came farthest of 2" if starts == 2 else ""
    assert f"got a gradient with respect to .frequency that is not finite at step 0{who}" in message
    assert "in a fit of .frequency, .coupling.strength;" in message
    np.testing.assert_array_equal(found.model.frequency, system().frequency)
    assert np.isfinite(found.losses[..., 0]).all()


def test_what_the_model_may_not_hold_is_named():
    with pytest.raises(FitError, match=r"there got WhiteNoise.intensity = -0\.\d+; expected fini"):
        run(spread_out, where=intensity, optimizer=optax.sgd(0.02))


def test_a_model_that_could_not_be_built_warns():
    with pytest.warns(UserWarning, match=r"after the fit got WhiteNoise.intensity = -.*Fix: fit"):
        found = run(slope, where=intensity, steps=4)
    assert float(found.model.noise.intensity) == pytest.approx(-0.1)


def test_some_starts_stop():
    """Those that begin where the loss is not defined; the best is one of the others."""
    found = run(
        downhill, system(0.5), where=strength, optimizer=optax.sgd(1e-3), starts=8, spread=0.5
    )
    status = np.asarray(found.status)
    assert 0 < status.sum() < 8 and status[0] == 0
    np.testing.assert_array_equal(np.isnan(found.final_losses), status == 1)
    np.testing.assert_array_equal(found.stopped, np.where(status == 1, 0, -1))
    assert found.loss == np.nanmin(found.final_losses)
    assert float(found.model.coupling.strength) > 0
    assert float(found.at(int(np.argmax(status))).coupling.strength) < 0


def test_the_last_loss_needs_no_gradient():
    """A fit that ends where the derivative is infinite has ended well."""

    def loss(model, key):
        return jnp.sqrt(model.coupling.strength)

    # From 1, one step of 2 times 1/2 arrives at 0.
    found = run(loss, system(1.0), where=strength, optimizer=optax.sgd(2.0), steps=1)
    assert found.loss == 0.0 and found.status == 0


# Bad input


class Plain(eqx.Module):
    number: float
    count: Array


def inside_jit():
    return jax.jit(lambda value: run(model=eqx.tree_at(strength, system(), value)).losses)(2.0)


def edges():
    return tx.PhaseOscillators(TARGET, tx.Sparse.from_dense(np.ones((3, 3))))


class Longer(Tied):
    """Not its own inverse."""

    def constrain(self, free: Array) -> Array:
        return jnp.zeros(self.size + 1)


CASES = {
    "no_where": ({"where": None}, TypeError, "where=None; expected a function"),
    "nothing": ({"where": lambda m: ()}, ValueError, "selects nothing; expected one or more lea"),
    "twice": ({"where": lambda m: (m.frequency,) * 2}, ValueError, "selects one leaf twice"),
    "static": ({"where": lambda m: m.noise.increments}, ValueError, "selects str; expected a num"),
    "list": (
        {"where": lambda m: [m.frequency]},
        ValueError,
        r"a where that selects a list; .* like lambda m: .m.frequency, m.coupling",
    ),
    "element": (
        {"where": lambda m: m.frequency[0]},
        ValueError,
        r"'leaf' object is not subscriptable.* select a whole array",
    ),
    "no_leaf": ({"where": lambda m: m.drive.rate}, ValueError, "a where that fails on this model"),
    "whole_part": ({"where": lambda m: m.coupling}, ValueError, "selects MeanField"),
    "integers": (
        {"model": edges(), "where": lambda m: m.coupling.source},
        ValueError,
        "selects whole numbers",
    ),
    "plain_number": (
        {"model": Plain(1.0, np.zeros(2)), "where": lambda m: m.number},
        TypeError,
        "a plain float at .number of the model; expected arrays. Fix: give the field a converter",
    ),
    "outside": (
        {"model": system(-1.0), "where": strength, "transform": Positive()},
        ValueError,
        r"got .coupling.strength = -1.0; expected finite numbers > 0. Fix: start from a positive",
    ),
    "one_for_a_number": (
        {"transform": Simplex()},
        ValueError,
        r"got .frequency\[0\] = -1.0; .*divide by the sum",
    ),
    "transforms": ({"transform": (None,)}, ValueError, "1 transforms for 2 leaves; expected one"),
    "transform_class": (
        {"transform": (None, Positive)},
        TypeError,
        r"transform\[1\]=the class Positive; expected an instance of AbstractTransform",
    ),
    "no_inverse": (
        {"where": frequency, "transform": Longer(3)},
        ValueError,
        r"Longer, which makes .frequency of shape \(4,\) in float32; expected shape \(3,\)",
    ),
    "optimizer": ({"optimizer": optax.adam}, TypeError, "optimizer=function adam.*optax.adam\\(1e"),
    "no_steps": ({"steps": 0}, ValueError, "steps=0; expected an integer ≥ 1"),
    "chunk": ({"chunk": 0}, ValueError, "chunk=0; expected an integer ≥ 1"),
    "starts": ({"starts": 2.0}, TypeError, "starts=2.0"),
    "spread": ({"spread": -1.0}, ValueError, "spread = -1.0; expected finite numbers > 0"),
    "spreads": ({"spread": (1.0, 2.0)}, TypeError, r"spread=\(1.0, 2.0\); expected one number"),
    "no_key": (
        {"key": None},
        TypeError,
        r"key=None; expected a key .*Fix: pass key=",
    ),
    "keys": ({"key": jax.random.split(KEY)}, ValueError, r"\(2,\) keys; expected one key"),
    "common_noise": ({"common_noise": 1}, TypeError, "common_noise=1; expected an instance of boo"),
    "report": ({"report": 5}, TypeError, "report=5; expected a function"),
    "no_loss": ({"loss": 1.0}, TypeError, "loss=1.0; expected a function"),
    "loss_array": (
        {"loss": lambda m, key: m.frequency},
        ValueError,
        r"a loss of shape \(3,\) and dtype float32; expected one real number. Fix: return a scal",
    ),
    "loss_complex": (
        {"loss": lambda m, key: m.frequency.sum() * 1j},
        ValueError,
        r"a loss of shape \(\) and dtype complex64",
    ),
    "loss_integer": (
        {"loss": lambda m, key: (m.frequency > 0).sum()},
        ValueError,
        r"a loss of shape \(\) and dtype int32",
    ),
    "loss_pair": (
        {"loss": lambda m, key: (m.frequency.sum(), 1.0)},
        ValueError,
        "a loss of type tuple; expected one real number",
    ),
    "model": (
        {"model": "mean field"},
        TypeError,
        "model='mean field'; expected an instance of",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    options, kind, message = CASES[case]
    with pytest.raises(kind, match=message) as raised:
        run(**options)
    assert "got " in str(raised.value) and ". Fix: " in str(raised.value)


def test_inside_a_transformation():
    with pytest.raises(ValueError, match="a fit inside jit, grad or vmap; expected a model and a"):
        inside_jit()


def test_a_start_that_is_not_there():
    found = run(starts=3)
    with pytest.raises(ValueError, match="start=3; expected a number below 3"):
        found.at(3)
    with pytest.raises(ValueError, match="start=-1; expected an integer ≥ 0"):
        found.at(-1)
