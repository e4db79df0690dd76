"""Laws 5, 6 and 8 of the monitors of pairs and of BOLD: offline oracles, closed forms, slopes."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special
from tables import SIZE, model

import tauax as tx
from tauax.monitors import Bold, Covariance, PhaseLocking

KEY = jax.random.key(29)
DT = 0.05
STEPS, PIECE = 36, 12


@tx.readout
def activity(model, state):
    return 1.0 + jnp.sin(state.phase)


@tx.readout
def three(model, state):
    return 0.3 * jnp.cos(state.phase[:3])


OFFLINE = {
    tx.phase: lambda phase: phase,
    activity: lambda phase: 1.0 + np.sin(phase),
    three: lambda phase: 0.3 * np.cos(phase[..., :3]),
}
KINDS = {
    "locking": PhaseLocking(block=5),
    "locking_2_1": PhaseLocking(n=2, m=1, block=7),
    "locking_3_3": PhaseLocking(n=3, m=3, block=1),
    "covariance": Covariance(tx.phase),
    "covariance_blocks": Covariance(three, block=5),
    "bold": Bold(activity, 6, every=2, discard=1),
    "bold_each": Bold(three, 3, every=1, discard=0, transit=[1, 2, 3]),
}
VARIED = ("locking", "covariance_blocks", "bold")
ALL = {
    **KINDS,
    **{f"{name}_thin": replace(KINDS[name], every=3, after=2) for name in VARIED},
    **{f"{name}_late": replace(KINDS[name], after=STEPS) for name in VARIED},
}
BATCHES = ("none", "vary")


def setting(batch: str):
    """A model and the keywords of its state."""
    system = model("mean_field_lag", "normal")
    if batch == "none":
        return system, {}
    if batch == "members":
        return system, {"members": 2}
    strengths = jnp.asarray([0.0, 2.5])
    return tx.vary(system, {"coupling": (lambda m: m.coupling.strength, strengths)}), {"members": 3}


FULL = {"full": tx.Trace(tx.phase)}


@cache
def whole_run(batch: str):
    """One run of all monitors."""
    system, options = setting(batch)
    start = tx.init(system, key=KEY, **options)
    return tx.simulate(system, start, dt=DT, steps=STEPS, monitors=ALL | FULL)


def offline(monitor, phase: np.ndarray) -> dict[str, np.ndarray]:
    """The statistics from a full trace `[*batch, step, oscillator]`, in float64."""
    phase = phase[..., monitor.after :: monitor.every, :].astype(np.float64)
    if isinstance(monitor, PhaseLocking):
        return locking_of(np.exp(1j * monitor.n * phase), np.exp(1j * monitor.m * phase))
    value = OFFLINE[monitor.readout](phase)
    if isinstance(monitor, Covariance):
        covariance, correlation = covariance_of(value)
        return {"mean": value.mean(-2), "covariance": covariance, "correlation": correlation}
    scans = bold_of(monitor, value)
    return scan_statistics(scans, scans[..., monitor.discard :, :], monitor.record)


def scan_statistics(scans, counted, record: bool) -> dict[str, np.ndarray]:
    covariance, correlation = covariance_of(counted)
    return {
        "value": scans if record else scans[..., :0, :],
        "mean": counted.mean(-2),
        "covariance": covariance,
        "connectivity": correlation,
    }


def locking_of(own, partner) -> dict[str, np.ndarray]:
    count = own.shape[-2]
    mean = np.einsum("...rj,...rk->...jk", own, partner.conj()) / count
    value = np.abs(mean)
    consistency = (count * value**2 - 1) / (count - 1)
    return {"locking": value, "lag": np.angle(mean), "consistency": consistency}


def covariance_of(value):
    apart = value - value.mean(axis=-2, keepdims=True)
    covariance = np.einsum("...rj,...rk->...jk", apart, apart) / value.shape[-2]
    deviation = np.sqrt(np.einsum("...jj->...j", covariance))
    return covariance, covariance / (deviation[..., :, None] * deviation[..., None, :])


def balloon(monitor, s, f, v, q, z):
    """The right-hand side as the literature writes it."""
    names = ("efficacy", "decay", "elimination", "transit", "stiffness", "extraction")
    gain, decay, elimination, transit, stiffness, extraction = (
        np.asarray(getattr(monitor, name), np.float64) for name in names
    )
    out = v ** (1 / stiffness)
    extracted = (1 - (1 - extraction) ** (1 / f)) / extraction
    signal = gain * z - decay * s - elimination * (f - 1)
    return signal, s, (f - out) / transit, (f * extracted - out * q / v) / transit


def signal_of(monitor, v, q):
    extraction = np.asarray(monitor.extraction, np.float64)
    parts = 7 * extraction * (1 - q) + 2 * (1 - q / v) + (2 * extraction - 0.2) * (1 - v)
    return np.asarray(monitor.fraction, np.float64) * parts


def bold_of(monitor, value: np.ndarray, dt: float = DT) -> np.ndarray:
    """The scans, by Heun's method in s, ln f, ln v and ln q."""

    def rate(at, z):
        s, *logarithms = at
        f, v, q = map(np.exp, logarithms)
        signal, *rest = balloon(monitor, s, f, v, q, z)
        return np.asarray([signal, *(d / x for d, x in zip(rest, (f, v, q), strict=True))])

    interval, stride = monitor.every * dt, monitor.repetition // monitor.every
    at, scans = np.zeros((4, *value[..., 0, :].shape)), []
    for record in range(value.shape[-2]):
        if record:
            before, now = value[..., record - 1, :], value[..., record, :]
            first = rate(at, before)
            at = at + 0.5 * interval * (first + rate(at + interval * first, now))
        if record % stride == 0:
            scans.append(signal_of(monitor, *np.exp(at[2:])))
    return np.stack(scans, axis=-2)


def equal(result, wanted: dict[str, np.ndarray], name: str) -> None:
    found = result.statistics()
    assert set(found) == set(wanted), name
    for statistic, value in wanted.items():
        assert found[statistic].shape == value.shape, (name, statistic)
        got = np.asarray(found[statistic])
        if statistic == "lag":  # on the circle, and weighed by how well it is defined
            apart = np.abs(np.angle(np.exp(1j * (got - value)))) * wanted["locking"]
            # As below; 3θ rounds three times as coarsely.
            np.testing.assert_array_less(apart, 2e-5, err_msg=name)
            continue
        # In parts of the largest entry: readouts and the fast functions are good to 4e-7, summed
        # over 36 records. Correlations divide by small deviations, of a response within 2 s most.
        # The signal is the small difference of three terms, so a covariance of 1e-9 has 2e-5.
        bound = {"correlation": 2e-4, "connectivity": 1e-3}.get(statistic, 1e-4)
        apart = np.abs(got - value).max(initial=0.0)
        assert apart <= bound * np.abs(value).max(initial=0.0), (name, statistic)


def full(run) -> np.ndarray:
    return np.asarray(run.monitors["full"].value)


@pytest.mark.parametrize("batch", BATCHES)
def test_streaming_is_offline(batch):
    whole = whole_run(batch)
    for name, monitor in ALL.items():
        if monitor.after < STEPS:
            equal(whole.monitors[name], offline(monitor, full(whole)), name)


def test_pieces_join():
    system, options = setting("vary")
    pieces, state = [], tx.init(system, key=KEY, **options)
    for _ in range(STEPS // PIECE):
        pieces.append(tx.simulate(system, state, dt=DT, steps=PIECE, monitors=KINDS | FULL))
        state = pieces[-1].state
    first, second, third = pieces
    left, right = first.then(second).then(third), first.then(second.then(third))
    for name, monitor in KINDS.items():
        for one, other in zip(
            jax.tree.leaves(left.monitors[name]), jax.tree.leaves(right.monitors[name]), strict=True
        ):
            # Associative, but for roundings of numbers of order 10.
            np.testing.assert_allclose(one, other, rtol=2e-6, atol=2e-6, err_msg=name)
        wanted = offline(monitor, full(left))
        if isinstance(monitor, Bold):  # each piece starts from rest
            parts = [
                bold_of(monitor, OFFLINE[monitor.readout](full(one)[..., :: monitor.every, :]))
                for one in (first, second, third)
            ]
            counted = np.concatenate([part[..., monitor.discard :, :] for part in parts], axis=-2)
            wanted = scan_statistics(np.concatenate(parts, axis=-2), counted, monitor.record)
        equal(left.monitors[name], wanted, name)


def test_chunks_carry_the_run_on():
    system, options = setting("vary")
    start, whole = tx.init(system, key=KEY, **options), whole_run("vary")
    chunks = list(tx.iterate(system, start, dt=DT, steps=STEPS, chunk=PIECE, monitors=KINDS))
    for name in KINDS:
        found, wanted = (run.monitors[name].statistics() for run in (chunks[-1], whole))
        for statistic, value in wanted.items():
            # The same operations in the same order; the compiler may contract them otherwise.
            np.testing.assert_allclose(
                found[statistic], value, rtol=1e-6, atol=1e-6, err_msg=f"{name} {statistic}"
            )
    first = chunks[0].monitors["bold"]
    assert first.value.shape == (2, 3, 2, SIZE)
    np.testing.assert_array_equal(first.time, whole.monitors["bold"].time[:2])
    assert first.count == 1


def test_no_record():
    whole = whole_run("vary")
    for name in VARIED:
        result = whole.monitors[f"{name}_late"]
        assert result.count == 0
        for statistic, value in result.statistics().items():
            assert np.isnan(np.asarray(value)).all(), (name, statistic)
            assert value.size or statistic == "value"
        merge = ALL[name].merge
        for joined in (merge(result, whole.monitors[name]), merge(whole.monitors[name], result)):
            for one, other in zip(
                *map(jax.tree.leaves, (joined, whole.monitors[name])), strict=True
            ):
                np.testing.assert_array_equal(one, other, err_msg=name)
        both = merge(result, result).statistics()
        assert all(np.isnan(np.asarray(value)).all() for value in both.values()), name


@pytest.mark.parametrize("batch", BATCHES)
def test_every_axis_has_a_name(batch):
    whole = whole_run(batch)
    for name in ALL:
        result = whole.monitors[name]
        statistics, axes, coordinates = result.statistics(), result.axes(), result.coordinates()
        assert set(axes) <= set(statistics)
        for statistic, value in statistics.items():
            own = axes.get(statistic, ())
            assert value.ndim - len(whole.state.axes) - len(own) in (0, 1), (name, statistic)
            for axis, size in zip(own[::-1], value.shape[::-1], strict=False):
                assert axis not in coordinates or coordinates[axis].shape == (size,), (name, axis)


def test_phases_do_not_notice():
    system, _ = setting("vary")
    state = tx.init(system, key=KEY, members=3)
    alone = tx.simulate(system, state, dt=DT, steps=STEPS)
    np.testing.assert_array_equal(alone.state.phase, whole_run("vary").state.phase)


# Crafted phases


def fed(monitor, phases):
    """The result over given phases, `[record, *batch, oscillator]`."""
    size = phases.shape[-1]
    system = tx.PhaseOscillators(np.zeros(size, phases.dtype))
    members = phases.shape[1] if phases.ndim == 3 else None
    start = tx.init(system, phase=phases[0], members=members)

    @jax.jit
    def run(phases):
        def body(accumulator, phase):
            state = replace(start, phase=phase)
            return monitor.update(accumulator, system, state, jnp.int32(0)), None

        accumulator = monitor.init(system, start, len(phases))
        return monitor.result(jax.lax.scan(body, accumulator, phases)[0], start)

    return run(jnp.asarray(phases))


def wrapped(phase) -> np.ndarray:
    return np.angle(np.exp(1j * phase)).astype(np.float32)


def test_locking_of_von_mises_phases():
    records, lag, narrow, wide = 40_000, 0.7, 4.0, 0.8
    random = np.random.default_rng(11)
    first = random.uniform(-np.pi, np.pi, records)
    near = first - random.vonmises(lag, narrow, records)
    half = (first + random.vonmises(0.0, wide, records)) / 2 + np.pi * random.integers(
        2, size=records
    )
    other = random.uniform(-np.pi, np.pi, records)
    phases = wrapped(np.stack([first, near, half, other], axis=-1))
    one, two = fed(PhaseLocking(), phases), fed(PhaseLocking(n=2, m=1), phases)
    resultant = lambda kappa: special.i1(kappa) / special.i0(kappa)  # noqa: E731
    # Five standard errors of a mean of unit vectors.
    bound = 5 / np.sqrt(records)
    assert one.locking[0, 1] == pytest.approx(resultant(narrow), abs=bound)
    assert one.lag[0, 1] == pytest.approx(lag, abs=bound / resultant(narrow))
    assert one.lag[1, 0] == pytest.approx(-float(one.lag[0, 1]), abs=1e-6)  # an ulp or two
    assert two.locking[2, 0] == pytest.approx(resultant(wide), abs=bound)
    assert one.locking[2, 0] < bound
    assert two.locking[0, 2] < bound
    assert one.locking[0, 3] < bound
    # sin² + cos² of the fast functions is 1 to 8e-7.
    np.testing.assert_allclose(np.diagonal(one.locking), 1.0, rtol=0, atol=1e-6)


def test_bias_of_locking_and_none_of_consistency():
    records, members, kappa = 12, 4000, 1.0
    random = np.random.default_rng(12)
    base = random.uniform(-np.pi, np.pi, (records, members))
    near = base + random.vonmises(0.0, kappa, (records, members))
    phases = wrapped(np.stack([base, near, random.uniform(-np.pi, np.pi, base.shape)], axis=-1))
    result = fed(PhaseLocking(block=5), phases)
    strength = (special.i1(kappa) / special.i0(kappa)) ** 2
    wanted = {(0, 1): strength, (0, 2): 0.0, (1, 2): 0.0}
    for (j, k), true in wanted.items():
        square = np.asarray(result.locking[:, j, k], np.float64) ** 2
        consistency = np.asarray(result.consistency[:, j, k], np.float64)
        error = 5 / np.sqrt(members)
        # Five standard errors.
        assert abs(square.mean() - (true + (1 - true) / records)) < error * square.std()
        assert abs(consistency.mean() - true) < error * consistency.std()
        assert abs(square.mean() - true) > error * square.std()


def test_constants_stay_exact_in_a_million_records():
    records = 2**20
    drift = np.random.default_rng(13).uniform(-np.pi, np.pi, records)
    phases = wrapped(drift[:, None] + np.asarray([0.0, 0.4, -2.0]))
    result = fed(PhaseLocking(), phases)
    # The fast functions and the phases are good to 4e-7; nothing adds up.
    np.testing.assert_allclose(result.locking, 1.0, rtol=0, atol=2e-6)
    assert result.lag[1, 0] == pytest.approx(0.4, abs=2e-6)
    assert result.count == records


@tx.readout
def shifted(model, state):
    return 1000.0 + state.phase


def test_covariance_of_a_million_records_beside_a_large_mean():
    records = 2**20
    random = np.random.default_rng(14)
    phases = random.uniform(-2.0, 2.0, (records, 3)).astype(np.float32)
    phases[:, 1] = 0.25 * phases[:, 0] - 0.5 * phases[:, 1]
    result = fed(Covariance(shifted), phases)
    value = (np.float32(1000.0) + phases).astype(np.float64)
    covariance, correlation = covariance_of(value)
    # An ulp of 1000 is 6e-5; the mean keeps its last digit.
    np.testing.assert_allclose(result.mean, value.mean(axis=0), rtol=0, atol=6.2e-5)
    # 16384 blocks, each rounded by half an ulp of at most 2, at random.
    np.testing.assert_allclose(result.covariance, covariance, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.correlation, correlation, rtol=0, atol=1e-5)


def test_components_that_do_not_vary():
    phases = np.random.default_rng(15).uniform(-2.0, 2.0, (100, 4)).astype(np.float32)
    phases[:, 1], phases[:, 3] = 1.1, 0.0
    result = fed(Covariance(tx.phase, block=8), phases)
    assert not np.asarray(result.covariance)[[1, 3]].any()
    assert not np.asarray(result.correlation)[[1, 3]].any()
    assert not np.asarray(result.correlation)[:, [1, 3]].any()
    # Two roundings.
    np.testing.assert_allclose(np.diagonal(result.correlation)[[0, 2]], 1.0, rtol=3e-7)

    def summed(covariance):
        return replace(result, covariance=covariance).correlation.sum()

    gradient = np.asarray(jax.grad(summed)(result.covariance))
    assert np.isfinite(gradient).all()
    assert not gradient[1, 1]


# Haemodynamics


def reference(monitor, drive, times: np.ndarray) -> np.ndarray:
    """The BOLD signal of one region at given times, in f, v and q themselves."""
    solution = integrate.solve_ivp(
        lambda t, y: balloon(monitor, *y, drive(t)),
        (0.0, times[-1]),
        [0.0, 1.0, 1.0, 1.0],
        t_eval=times,
        method="DOP853",
        rtol=1e-10,
        atol=1e-12,
    )
    return signal_of(monitor, solution.y[2], solution.y[3])


RATE = 1.3  # rad/s, of the drive 1 + sin(RATE·t)


@cache
def scans_at(every_second: int) -> np.ndarray:
    """The scans of 9 s in steps of 1/every_second s, one scan a second, in float64."""
    with jax.enable_x64(True):
        system = tx.PhaseOscillators(np.asarray([RATE]))
        state = tx.init(system, phase=np.zeros(1))
        watched = {"bold": Bold(activity, every_second, every=1, discard=0)}
        run = tx.simulate(
            system, state, dt=1 / every_second, steps=8 * every_second + 1, monitors=watched
        )
        return np.asarray(run.monitors["bold"].value[:, 0])


def test_haemodynamics_converge_with_order_two():
    monitor = Bold(activity, 10)
    wanted = reference(monitor, lambda t: 1.0 + np.sin(RATE * t), np.arange(9.0))
    intervals = np.asarray([8, 16, 32, 64])
    errors = [np.abs(scans_at(int(n)) - wanted).max() for n in intervals]
    slope = np.polyfit(np.log(1.0 / intervals), np.log(errors), 1)[0]
    # The next power of the interval still shows at 1/8 s.
    assert slope == pytest.approx(2.0, abs=0.15)
    assert errors[-1] < 2e-4 * np.abs(wanted).max()  # 1/64 s; four times the error measured


def test_haemodynamics_are_those_of_the_equations():
    """The same drive, interpolated the same way, by a method of order 8."""
    random = np.random.default_rng(16)
    interval, count = 1 / 256, 1025
    drive = np.interp(np.arange(count), np.arange(0, count, 64), random.uniform(-0.3, 1.0, 17))
    with jax.enable_x64(True):
        monitor = Bold(shifted_to_drive, 128, every=1, discard=0)
        system = tx.PhaseOscillators(np.zeros(1), noise=tx.GivenNoise(np.diff(drive)[:, None]))
        state = tx.init(system, phase=drive[:1])
        run = tx.simulate(
            system, state, dt=interval, steps=count - 1, monitors={"bold": monitor}
        ).monitors["bold"]
    times = np.arange(count) * interval
    wanted = reference(monitor, partial(np.interp, xp=times, fp=drive), np.asarray(run.time))
    # Heun's error at 1/256 s, by the slope above.
    np.testing.assert_allclose(run.value[:, 0], wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@tx.readout
def shifted_to_drive(model, state):
    return state.phase


def test_the_default_interval():
    """Oscillators of 8 to 12 Hz at dt = 1 ms, read every 10 steps or at each."""
    system = tx.PhaseOscillators(
        2 * np.pi * np.linspace(8, 12, 6), tx.MeanField(4.0), tx.WhiteNoise(5.0)
    )
    state = tx.init(system, key=KEY)
    watched = {f"every_{n}": Bold(activity, 500, every=n, discard=0) for n in (1, 10)}
    run = tx.simulate(system, state, dt=1e-3, steps=8000, monitors=watched).monitors
    fine, coarse = (np.asarray(run[name].value) for name in watched)
    # Trapezia of 10 ms under a noisy 10 Hz wave: twice the error measured.
    assert np.abs(fine - coarse).max() < 1e-2 * np.abs(fine).max()
    assert np.abs(fine - coarse).max() > 0


def test_a_response_of_known_size():
    """A constant drive has a fixed point in closed form."""
    monitor = Bold(activity, 100, every=20, discard=25, efficacy=0.3)
    system = tx.PhaseOscillators([0.0])
    run = tx.simulate(
        system, tx.init(system, phase=[0.0]), dt=1e-2, steps=4000, monitors={"bold": monitor}
    ).monitors["bold"]
    f = 1 + 0.3 / 0.41
    v = f**0.32
    q = v * (1 - (1 - 0.34) ** (1 / f)) / 0.34
    # The transient decays by e^−κt/2 = 3e-4 at 25 s, on average over 15 s; then e^−13.
    assert run.value[-1, 0] == pytest.approx(signal_of(monitor, v, q), rel=1e-4)
    assert run.mean[0] == pytest.approx(signal_of(monitor, v, q), rel=1e-3)
    assert run.count == 15
    np.testing.assert_array_equal(run.value[0], 0.0)
    # float32 products of an integer and dt.
    np.testing.assert_allclose(run.time, np.arange(40.0), rtol=3e-7)


def test_scans_or_only_moments():
    watched = {
        name: Bold(activity, 6, every=3, discard=2, record=name == "scans")
        for name in ("scans", "moments")
    }
    system, options = setting("members")
    state = tx.init(system, key=KEY, **options)
    run = tx.simulate(system, state, dt=DT, steps=30, monitors=watched).monitors
    assert run["scans"].value.shape == (2, 5, SIZE)
    assert run["moments"].value.shape == (2, 0, SIZE)
    assert run["moments"].time.shape == (0,)
    assert run["scans"].count == run["moments"].count == 3
    # The same operations, perhaps contracted otherwise, on signals of 1e-2.
    np.testing.assert_allclose(run["scans"].covariance, run["moments"].covariance, rtol=1e-5)
    moments = Bold(activity, 2000, record=False)
    big = tx.PhaseOscillators(np.zeros(84))
    outline = jax.eval_shape(
        lambda state: moments.init(big, state, 12_000), tx.init(big, phase=np.zeros(84))
    )
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(outline))
    assert size < 100_000


# Derivatives


WATCHED = {
    "locking": PhaseLocking(block=5),
    "ratio": PhaseLocking(n=2, m=1, every=2, block=5),
    "covariance": Covariance(activity, block=5),
}
BOLD = Bold(activity, 4, every=2, discard=1)


def outcomes(strength, bold):
    """Numbers that weigh every entry of each statistic; 22 records are 4 blocks and a rest."""
    dtype = strength.dtype
    system = tx.PhaseOscillators(jnp.linspace(-1.5, 2.0, 5, dtype=dtype), tx.MeanField(strength))
    state = tx.init(system, phase=np.linspace(-2.5, 2.8, 5))
    watched = WATCHED | {"bold": bold}
    run = tx.simulate(system, state, dt=jnp.asarray(DT, dtype), steps=22, monitors=watched).monitors
    found = [
        run["locking"].locking,
        run["locking"].consistency,
        run["locking"].lag,
        run["ratio"].locking,
        run["covariance"].mean,
        run["covariance"].covariance,
        run["covariance"].correlation,
        1e2 * run["bold"].value,
        run["bold"].connectivity,
    ]
    return jnp.stack([(jnp.cos(jnp.arange(x.size)) * x.reshape(-1)).sum() for x in found])


@pytest.mark.slow
def test_derivatives_are_finite_differences(x64):
    """With respect to the strength, and to each number of the haemodynamics."""
    point = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (jnp.asarray(1.2), BOLD))
    forward = jax.jit(lambda point, along: jax.jvp(outcomes, point, along))
    reverse = jax.tree.leaves(jax.jit(jax.jacrev(outcomes, argnums=(0, 1)))(*point))
    leaves, structure = jax.tree.flatten(point)
    assert len(leaves) == len(reverse) == 8
    nudge = 1e-5
    for moved, gradient in enumerate(reverse):
        along = [jnp.asarray(float(leaf == moved)) for leaf in range(len(leaves))]
        ends = [
            forward(
                structure.unflatten([x + by * d for x, d in zip(leaves, along, strict=True)]),
                structure.unflatten(along),
            )
            for by in (nudge, -nudge)
        ]
        difference = (ends[0][0] - ends[1][0]) / (2 * nudge)
        # Curvature times 1e-10, and rounding of 1e-15 over 1e-5, times some tens of entries.
        np.testing.assert_allclose(gradient, difference, rtol=1e-6, atol=1e-7)
        tangent = 0.5 * (ends[0][1] + ends[1][1])
        np.testing.assert_allclose(gradient, tangent, rtol=1e-6, atol=1e-7)  # as above


def test_derivatives_in_float32_are_finite():
    gradient = jax.jit(jax.grad(lambda *point: outcomes(*point).sum(), argnums=(0, 1)))
    for strength in (0.0, 1.2):
        for leaf in jax.tree.leaves(gradient(jnp.float32(strength), BOLD)):
            assert np.isfinite(leaf).all()
            assert leaf.dtype == jnp.float32


# Bad input


BAD = [
    (lambda: PhaseLocking(n=0), "an integer ≥ 1"),
    (lambda: PhaseLocking(m=1.5), "an integer ≥ 1"),
    (lambda: PhaseLocking(block=0), "an integer ≥ 1"),
    (lambda: Covariance(np.sin), "decorate your function"),
    (lambda: Covariance(tx.phase, block=0), "an integer ≥ 1"),
    (lambda: Bold(np.sin, 10), "decorate your function"),
    (lambda: Bold(activity, 15), "a multiple of every"),
    (lambda: Bold(activity, 10, discard=-1), "an integer ≥ 0"),
    (lambda: Bold(activity, 10, transit=0.0), "finite numbers > 0"),
    (lambda: Bold(activity, 10, extraction=1.0), "a fraction below 1"),
    (lambda: Bold(activity, 10, efficacy=np.nan), "finite numbers"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_bad_input(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        (Covariance(tx.coherence), "a vector"),
        (Bold(tx.coherence, 10), "one number per region"),
        (Bold(activity, 10, decay=[0.6, 0.7]), "one value for all"),
    ],
)
def test_what_does_not_fit_the_system(monitor, message):
    system, options = setting("members")
    state = tx.init(system, key=KEY, **options)
    with pytest.raises(ValueError, match=message):
        tx.simulate(system, state, dt=DT, steps=4, monitors={"it": monitor})


def test_covariance_of_a_number():
    system = model("mean_field", "none")
    state = tx.init(system, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"shape .. per member; expected a vector.*tx.Moments"):
        tx.simulate(system, state, dt=0.1, steps=5, monitors={"c": tx.Covariance(tx.coherence)})
