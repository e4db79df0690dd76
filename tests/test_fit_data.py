"""`tx.fit` with data, batches and validation: which examples a step sees, when a fit ends."""

from itertools import count

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array

from tauax._types import numeric
from tauax.learn.fit import FitError, fit
from tauax.learn.transforms import Positive
from tauax.learn.validation import Validation

KEY = jax.random.key(9)
COUNT, BATCH = 11, 3
STEPS = 14  # four epochs of three batches, two examples left out of each, and two steps more
LABELS = np.arange(COUNT)


class Line(eqx.Module):
    slope: Array = eqx.field(converter=numeric)
    offset: Array = eqx.field(converter=numeric)


def line():
    return Line(0.5, 0.0)


def both(model):
    return model.slope, model.offset


def offset(model):
    return model.offset


def points():
    x = np.random.default_rng(2).uniform(-1.0, 1.0, COUNT)
    return {"x": x.astype(np.float32), "y": (2.0 * x + 0.3).astype(np.float32), "label": LABELS}


def squares(model, key, batch):
    """With noise in its place: every key moves the gradient."""
    noise = 0.1 * jax.random.normal(key)
    return ((model.slope * batch["x"] + model.offset - batch["y"] + noise) ** 2).mean()


def members(model, key, batch):
    """Σ 2^label: a number that says which examples are in the batch."""
    return (2.0 ** batch["label"].astype(jnp.float32)).sum() + 0.0 * model.slope


OPTIONS = {
    "where": both,
    "optimizer": optax.sgd(0.1, momentum=0.5),
    "steps": STEPS,
    "key": KEY,
    "data": points(),
}


def run(loss=squares, model=None, **options):
    return fit(loss, line() if model is None else model, **{**OPTIONS, **options})


def batches(losses):
    """The labels in each batch, from the losses of `members`."""
    return [{label for label in LABELS if int(loss) >> label & 1} for loss in np.asarray(losses)]


def seen(**options):
    """The batches of all steps and of the last evaluation."""
    found = run(members, batch=BATCH, **{"where": lambda m: m.slope, **options})
    return batches([*found.losses, found.loss])


def assert_same(one, other) -> None:
    """Equal structure, and every array equal bit for bit; NaN equals NaN."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


# Which examples a step sees


def test_every_epoch_is_another_order():
    found = seen()
    assert len(found) == STEPS + 1 and all(len(batch) == BATCH for batch in found)
    epochs = [found[begin : begin + 3] for begin in range(0, 15, 3)]
    for epoch in epochs:
        assert len(set.union(*epoch)) == 9  # none twice
    # Two orders agree once in 10⁵, 55 remainders once in 55: five alike once in 10⁷.
    assert len({tuple(map(frozenset, epoch)) for epoch in epochs}) == 5
    assert len({frozenset(set.union(*epoch)) for epoch in epochs}) > 1


def test_batches_follow_from_the_key_and_the_step():
    found = seen()
    assert seen(steps=5) == found[:6]
    assert seen(chunk=1) == seen(chunk=4) == found
    assert seen(common_noise=True) == found
    assert seen(key=jax.random.key(1)) != found


def test_all_starts_see_the_same():
    found = run(members, batch=BATCH, where=lambda m: m.slope, starts=3)
    for start in range(3):
        assert batches([*found.losses[start], found.final_losses[start]]) == seen()


@pytest.mark.parametrize("batch", [None, COUNT])
def test_all_examples_are_given_as_they_are(batch):
    def first(model, key, batch):
        return batch["label"][0] + 10.0 * batch["label"][-1] + 0.0 * model.slope

    found = run(first, where=lambda m: m.slope, batch=batch, steps=3)
    np.testing.assert_array_equal(found.losses, 100.0)


def test_a_plain_loop():
    """The same descent on the batches seen, as a loop of Python."""
    found, data = run(batch=BATCH), points()
    free, optimizer = (jnp.asarray(0.5), jnp.asarray(0.0)), OPTIONS["optimizer"]

    def loss_of(free, key, batch):
        return squares(Line(*free), key, batch)

    step_of, memory = jax.jit(jax.value_and_grad(loss_of)), optimizer.init(free)
    for step, labels in enumerate(seen()[:-1]):
        batch = jax.tree.map(lambda array, labels=labels: array[sorted(labels)], data)
        loss, gradient = step_of(free, jax.random.fold_in(KEY, step), batch)
        # Means in another order, and some ten roundings for each of 14 steps.
        np.testing.assert_allclose(found.losses[step], loss, rtol=2e-5)
        change, memory = optimizer.update(gradient, memory, free)
        free = optax.apply_updates(free, change)
    np.testing.assert_allclose(np.asarray(found.values), np.asarray(free), rtol=1e-5)


def test_any_pytree_and_dtype():
    def loss(model, key, batch):
        (x, flags), label = batch
        assert (x.shape, flags.dtype, label.dtype) == ((4, 2), jnp.bool_, jnp.int8)
        return (jnp.where(flags[:, None], x, 0.0) ** 2).mean() + model.slope

    data = (np.ones((COUNT, 2)), jnp.ones(COUNT, bool)), np.zeros(COUNT, np.int8)
    found = run(loss, where=lambda m: m.slope, data=data, batch=4)
    assert np.isfinite(found.loss)


def test_one_program():
    traced = count()

    def counted(model, key, batch):
        next(traced)
        return squares(model, key, batch)

    for chunk, scale in ((7, 1.0), (STEPS, 2.0)):
        data = jax.tree.map(lambda array, scale=scale: scale * array, points())
        run(counted, data=data, batch=BATCH, chunk=chunk)
    assert next(traced) == 1


# Validation


def falling(model, key):
    """With steps of 0.1 the offset is −0.1 n at step n."""
    return model.offset + 0.0 * model.slope


def hollow(model, key):
    """Lowest at step 6.5."""
    return (model.offset + 0.65) ** 2


def descending(validation, **options):
    steady = {"optimizer": optax.sgd(0.1), "steps": 40, "data": None, "where": offset}
    return run(falling, validation=validation, **{**steady, **options})


def test_a_fit_ends_when_validation_no_longer_falls():
    found = descending(Validation(loss=hollow, every=2, patience=3))
    # At 0, 2, 4, 6 it falls; at 8, 10, 12 it does not.
    steps = np.arange(0, 14, 2)
    expected = np.full(21, np.nan)
    expected[:7] = (0.65 - 0.1 * steps) ** 2
    np.testing.assert_allclose(found.validation, expected, rtol=1e-3, atol=1e-7)  # roundings of 1
    assert int(found.step) == 6 and float(found.model.offset) == pytest.approx(-0.6, abs=1e-6)
    assert found.loss == float(np.nanmin(found.validation)) == float(found.final_losses)
    assert found.losses.shape == (40,)
    assert np.isfinite(found.losses[:12]).all() and np.isnan(found.losses[12:]).all()
    assert found.status == 0 and found.stopped == -1


@pytest.mark.parametrize(("steps", "records"), [(5, 3), (6, 3), (7, 4)])
def test_validation_at_the_end(steps, records):
    """Of the last numbers too, whether or not one is due there."""
    found = descending(Validation(loss=hollow, every=3, patience=9), steps=steps)
    at = [*range(0, steps, 3), steps]
    assert found.validation.shape == (records,) and len(at) == records
    expected = (0.65 - 0.1 * np.asarray(at)) ** 2
    np.testing.assert_allclose(found.validation, expected, rtol=1e-3, atol=1e-6)
    assert int(found.step) == at[int(np.argmin(expected))]
    assert np.isfinite(found.losses).all()


def test_what_validation_leaves_as_it_is():
    """It changes no step, and an end that is never reached changes nothing."""
    plain = run(batch=BATCH)
    found = run(batch=BATCH, validation=Validation(points(), every=4, patience=99))
    np.testing.assert_allclose(found.losses, plain.losses, rtol=1e-6)  # another program
    assert plain.validation is None and int(plain.step) == STEPS
    key = jax.random.fold_in(KEY, 2**32 - 3)  # one for all evaluations
    loss = jax.jit(squares)
    np.testing.assert_allclose(found.validation[0], loss(line(), key, points()), rtol=1e-6)
    np.testing.assert_allclose(found.loss, loss(found.model, key, points()), rtol=1e-6)


def test_every_start_ends_by_itself():
    """And the one with the lowest validation loss is the best."""
    found = descending(Validation(loss=hollow, patience=2, every=3), starts=5, spread=2.0)
    first = np.asarray([float(found.losses[start, 0]) for start in range(5)])
    for start in range(5):
        at = first[start] - 0.1 * np.arange(0, 42, 3)
        at[-1] = first[start] - 4.0
        score = (at + 0.65) ** 2
        waited = [k - int(np.argmin(score[: k + 1])) for k in range(14)]
        stop = next((k for k in range(14) if waited[k] == 2), 13)
        scored = np.asarray(found.validation[start])
        assert np.isfinite(scored[: stop + 1]).all() and np.isnan(scored[stop + 1 :]).all()
        np.testing.assert_allclose(scored[: stop + 1], score[: stop + 1], rtol=1e-3, atol=1e-5)
        assert found.final_losses[start] == scored[: stop + 1].min()
        assert int(found.step[start]) == min(3 * int(np.argmin(scored[: stop + 1])), 40)
    assert found.best == int(np.argmin(found.final_losses))
    assert len({int(np.isfinite(losses).sum()) for losses in found.losses}) > 1


def test_validation_by_held_out_examples():
    """Over-fitting: two examples with errors, and a fit that ends before it has learned them."""
    x = np.asarray([0.4, 0.5, 1.0], np.float32)
    data = {"x": x[:2], "y": np.asarray([0.2, 1.4], np.float32), "label": np.arange(2)}
    held = {"x": x, "y": x, "label": np.arange(3)}
    options = {"data": data, "steps": 3000, "optimizer": optax.sgd(0.3), "common_noise": True}
    found = run(**options, validation=Validation(held, every=5, patience=4))
    without = run(**options)
    assert found.loss < 0.2 * float(jax.jit(squares)(without.model, KEY, held))
    assert int(found.step) < 300 < np.isfinite(without.losses).sum()


def poisoned(model, key):
    return jnp.where(model.offset < -0.75, jnp.nan, hollow(model, key))


def test_a_validation_loss_that_is_not_finite():
    with pytest.raises(FitError, match="got a validation loss that is not finite at step 8, in a"):
        descending(Validation(loss=poisoned, every=4))
    found = descending(Validation(loss=poisoned, every=4), throw=False)
    assert int(found.stopped) == 8 and found.status == 1 and np.isnan(found.loss)
    assert float(found.model.offset) == pytest.approx(-0.4, abs=1e-6) and int(found.step) == 4
    with pytest.raises(FitError, match="validation loss that is not finite at step 0"):
        descending(Validation(loss=poisoned), model=Line(0.0, -1.0))


def test_a_stopped_start_keeps_its_best():
    def broken(model, key):
        return jnp.where(model.offset < -1.15, jnp.nan, falling(model, key))

    found = run(
        broken,
        validation=Validation(loss=hollow, every=2, patience=9),
        optimizer=optax.sgd(0.1),
        data=None,
        where=offset,
        throw=False,
    )
    assert int(found.stopped) == 12 and int(found.step) == 6
    assert float(found.model.offset) == pytest.approx(-0.6, abs=1e-6)


# Chunks, files and reports


class Stop(Exception):
    """Stands for whatever ends a process."""


def stop(*_):
    raise Stop


FORMS = {
    "batches": {"batch": BATCH},
    "validation": {"batch": 4, "validation": Validation(points(), every=3, patience=2)},
    "starts": {
        "batch": BATCH,
        "starts": 3,
        "spread": 0.5,
        "transform": (Positive(), None),
        "validation": Validation(points(), every=2, patience=3),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_resumed_is_uninterrupted(form, tmp_path):
    path, options = tmp_path / "fit.npz", FORMS[form]
    expected = run(**options)
    for _ in range(2):
        with pytest.raises(Stop):
            run(**options, chunk=4, path=path, report=stop)
    assert_same(run(**options, chunk=5, path=path), expected)
    assert_same(run(**options, chunk=1), expected)


OTHERS = {
    "data": {"data": {**points(), "label": LABELS + 1}},
    "batch": {"batch": 4},
    "validation": {"validation": Validation(points(), every=3, patience=3)},
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_fit_is_refused(other, tmp_path):
    options = {**FORMS["validation"], "batch": BATCH, "path": tmp_path / "fit.npz"}
    with pytest.raises(Stop):
        run(**options, chunk=4, report=stop)
    with pytest.raises(ValueError, match=f"another fit: not the same {other};"):
        run(**{**options, **OTHERS[other]})


def test_reports_with_validation():
    reports = []
    validation = Validation(loss=hollow, every=4, patience=9)
    descending(validation, steps=10, chunk=3, report=lambda *report: reports.append(report))
    assert [done for done, *_ in reports] == [3, 6, 9, 10]
    # At 0, 4 and 8, and of the last numbers.
    assert [fit.validation.shape[0] for *_, fit in reports] == [1, 2, 3, 4]
    assert [int(fit.step) for *_, fit in reports] == [0, 4, 8, 8]
    assert all(np.isfinite(fit.validation).all() for *_, fit in reports)


def test_a_report_that_ends_a_fit_with_validation():
    validation = Validation(loss=hollow, every=4, patience=9)
    options = {"chunk": 3, "report": lambda done, steps, fit: done >= 6}
    found = descending(validation, **options)
    assert_same(found, descending(validation, steps=6))
    assert found.validation.shape == (3,) and int(found.step) == 6


# Bad input


DATA = points()
CASES = {
    "other_counts": (
        {"data": {"x": np.zeros(4), "y": np.zeros((5, 2))}},
        ValueError,
        r"got 4 examples in data\['x'\] and 5 in data\['y'\]; expected as many in every array",
    ),
    "no_axis": (
        {"data": (np.zeros(4), np.ones(()))},
        ValueError,
        r"data\[1\] of shape \(\); expected one or more examples along the first axis",
    ),
    "no_examples": (
        {"data": np.zeros((0, 3))},
        ValueError,
        r"data of shape \(0, 3\); expected one",
    ),
    "no_arrays": ({"data": {}}, ValueError, "data without any array; expected a pytree"),
    "a_list": (
        {"data": [1.0, 2.0]},
        TypeError,
        r"data\[0\] of type float; expected an array. Fix: convert it by numpy.asarray",
    ),
    "texts": ({"data": np.asarray(["a", "b"])}, TypeError, "data of dtype <U1; expected numbers"),
    "large_batch": ({"batch": 12}, ValueError, "batch=12 of 11 examples; expected at most 11. Fix"),
    "no_batch": ({"batch": 0}, ValueError, "batch=0; expected an integer ≥ 1"),
    "half_a_batch": ({"batch": 2.5}, TypeError, "batch=2.5"),
    "batch_without_data": (
        {"loss": falling, "data": None, "batch": 3},
        ValueError,
        "batch=3 without data; expected data to take batches of. Fix: pass the examples as data=",
    ),
    "takes_no_batch": (
        {"loss": falling},
        TypeError,
        r"loss, which cannot be called with \(model, key, batch\): too many positional.*def funct",
    ),
    "takes_a_batch": (
        {"data": None},
        TypeError,
        r"loss, which cannot be called with \(model, key\): .*pass data= if it takes data",
    ),
    "validation": (
        {"validation": points()},
        TypeError,
        r"validation=.*; expected an instance of Validation.*tx.Validation\(data, patience=5\)",
    ),
    "validation_without_data": (
        {"loss": falling, "data": None, "validation": Validation(DATA)},
        ValueError,
        "a validation with data for a fit without; expected a validation loss of its own. Fix",
    ),
    "validation_of_another_structure": (
        {"validation": Validation((DATA["x"], DATA["y"]))},
        ValueError,
        r"validation data of the structure PyTreeDef\(\(\*, \*\)\); expected that of data=",
    ),
    "validation_that_takes_a_batch": (
        {"validation": Validation(loss=squares)},
        TypeError,
        r"the loss of Validation, which cannot be called with \(model, key\)",
    ),
    "validation_pair": (
        {"loss": falling, "data": None, "validation": Validation(loss=lambda m, key: m)},
        ValueError,
        "a loss of type Line; expected one real number",
    ),
    "loss_of_each": (
        {"loss": lambda m, key, batch: batch["x"] * m.slope, "batch": BATCH},
        ValueError,
        r"a loss of shape \(3,\) and dtype float32; expected one real number",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    options, kind, message = CASES[case]
    with pytest.raises(kind, match=message) as raised:
        run(**options)
    assert "got " in str(raised.value) and ". Fix: " in str(raised.value)


ARGUMENTS = {
    "neither": (Validation, ValueError, "a Validation with neither data nor loss; expected one"),
    "both": (
        lambda: Validation(DATA, loss=hollow),
        ValueError,
        "a Validation with data and loss; expected one",
    ),
    "loss": (lambda: Validation(loss=1.0), TypeError, "loss=1.0; expected a function"),
    "every": (lambda: Validation(DATA, every=0), ValueError, "every=0; expected an integer ≥ 1"),
    "patience": (lambda: Validation(DATA, patience=0), ValueError, "patience=0; expected an int"),
    "counts": (
        lambda: Validation((np.zeros(2), np.zeros(3))),
        ValueError,
        r"2 examples in the data of Validation\[0\] and 3 in the data of Validation\[1\]",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_of_validation(case):
    make, kind, message = ARGUMENTS[case]
    with pytest.raises(kind, match=message):
        make()


def test_traced_data():
    model = line()
    with pytest.raises(ValueError, match=r"data, which is traced; expected arrays that are known"):
        jax.jit(lambda data: run(model=model, data=data).losses)(np.zeros(3))
