"""What the verbs promise: shapes, axes, keys, clocks, transformations, and one compilation each."""

import copy
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import MONITORS, SIZE, model

import tauax as tx
from tauax import _compiled, _programs

KEY = jax.random.key(4)
DT, STEPS, MEMBERS = 0.05, 8, 3
STRENGTHS = jnp.asarray([0.5, 1.5, 2.5])
INTENSITIES = jnp.asarray([0.1, 0.4])
SETS = np.linspace(-2.0, 2.0, MEMBERS * SIZE, dtype=np.float32).reshape(MEMBERS, SIZE)
WATCHED = ("moments", "moments_thin", "moments_late", "trace", "trace_thin", "rotations")
MONITORED = {name: MONITORS[name]() for name in WATCHED}


def strength(system):
    return system.coupling.strength


def intensity(system):
    return system.noise.intensity


def frequency(system):
    return system.frequency


def grid_of(system=None):
    return tx.vary(
        system or model(), {"coupling": (strength, STRENGTHS), "noise": (intensity, INTENSITIES)}
    )


def single(coupling, noise, own=None):
    """The model at one point of the grid."""
    own = model().frequency if own is None else own
    return tx.PhaseOscillators(own, tx.MeanField(coupling), tx.WhiteNoise(noise))


def run(system, state=None, members=MEMBERS, **options):
    state = tx.init(system, key=KEY, members=members) if state is None else state
    return tx.simulate(system, state, **{"dt": DT, "steps": STEPS, **options})


def assert_same(one, other):
    """Equal structure, and every array equal bit for bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(numbers(left), numbers(right))


def numbers(leaf):
    """The words of a key, and any other array as it is."""
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


# Shapes and axes


@pytest.mark.parametrize("members", [None, MEMBERS])
def test_shapes_follow_the_axes(members):
    own = () if members is None else (members,)
    for system, axes, before in (
        (model(), (), ()),
        (grid_of(), ("coupling", "noise"), (3, 2)),
    ):
        batch = (*before, *own)
        state = tx.init(system, key=KEY, members=members)
        sol = run(system, state, monitors=MONITORED)
        assert state.axes == sol.state.axes == axes + ("member",) * len(own)
        assert state.phase.shape == sol.state.phase.shape == (*batch, SIZE)
        assert sol.state.step.shape == sol.state.time.shape == ()
        assert sol.status.shape == batch
        assert sol.monitors["moments"].mean.shape == batch
        assert sol.monitors["moments_thin"].variance.shape == (*batch, SIZE)
        assert sol.monitors["trace"].value.shape == (*batch, STEPS, SIZE)
        assert sol.monitors["trace_thin"].value.shape == (*batch, STEPS // 8)
        assert sol.monitors["rotations"].frequency.shape == (*batch, SIZE)
        assert tx.coherence(system, state).shape == batch


def test_no_members_is_member_zero():
    batch, alone = run(model(), monitors=MONITORED), run(model(), members=None)
    np.testing.assert_array_equal(batch.state.phase[0], alone.state.phase)
    np.testing.assert_array_equal(
        jax.random.key_data(batch.state.key[0]), jax.random.key_data(alone.state.key)
    )


def test_a_member_is_the_same_in_every_batch():
    few, many = run(model()), run(model(), members=64)
    np.testing.assert_array_equal(few.state.phase, many.state.phase[:MEMBERS])
    assert np.unique(many.state.phase[:, 0]).size == 64


def test_initial_phases_broadcast_and_wrap():
    system = grid_of()
    row = np.linspace(-7.0, 7.0, SIZE)
    rows = np.stack([row + member for member in range(MEMBERS)])
    full = np.broadcast_to(rows, (3, 2, MEMBERS, SIZE)) + np.arange(3)[:, None, None, None]
    for phase in (row, rows, full):
        state = tx.init(system, key=KEY, members=MEMBERS, phase=phase)
        expected = np.broadcast_to(phase, (3, 2, MEMBERS, SIZE))
        turns = (np.asarray(state.phase, np.float64) - expected) / (2 * np.pi)
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-6)  # float32 of ±10 rad
        assert (np.abs(state.phase) <= np.float32(np.pi)).all()


# Grids


def test_values_are_used_at_their_own_point():
    sol = run(grid_of(), tx.init(grid_of(), key=KEY, members=MEMBERS, common_noise=True))
    for i, coupling in enumerate(STRENGTHS):
        for j, noise in enumerate(INTENSITIES):
            np.testing.assert_array_equal(
                sol.state.phase[i, j], run(single(coupling, noise)).state.phase
            )
    np.testing.assert_array_equal(sol.coordinates["coupling"], STRENGTHS)
    np.testing.assert_array_equal(sol.coordinates["noise"], INTENSITIES)


def test_axes_come_in_the_order_given():
    swapped = tx.vary(
        model(), {"noise": (intensity, INTENSITIES), "coupling": (strength, STRENGTHS)}
    )
    states = [
        tx.init(one, key=KEY, members=MEMBERS, common_noise=True) for one in (grid_of(), swapped)
    ]
    assert states[1].axes == ("noise", "coupling", "member")
    np.testing.assert_array_equal(
        run(swapped, states[1]).state.phase,
        np.swapaxes(run(grid_of(), states[0]).state.phase, 0, 1),
    )
    twice = tx.vary(
        tx.vary(model(), {"coupling": (strength, STRENGTHS)}), {"noise": (intensity, INTENSITIES)}
    )
    assert twice.axes == grid_of().axes


def test_zipped_and_tuples_move_together():
    values = jnp.stack([STRENGTHS[:2], INTENSITIES])
    zipped = tx.zipped({"k": (strength, values[0]), "d": (intensity, values[1])})
    for entry in (zipped, (lambda m: (strength(m), intensity(m)), (values[0], values[1]))):
        system = tx.vary(model(), {"both": entry})
        state = tx.init(system, key=KEY, members=MEMBERS, common_noise=True)
        assert state.axes == ("both", "member")
        for point in range(2):
            np.testing.assert_array_equal(
                run(system, state).state.phase[point], run(single(*values[:, point])).state.phase
            )


def test_noise_is_independent_over_a_grid_unless_common():
    system = tx.vary(model(), {"same": (strength, jnp.ones(2))})
    apart = run(system).state.phase
    together = run(system, tx.init(system, key=KEY, members=MEMBERS, common_noise=True)).state.phase
    np.testing.assert_array_equal(together[0], together[1])
    np.testing.assert_array_equal(apart[0], together[0])
    # Of 36 pairs of independent phases none agrees to 1e-6 but once in 10⁴ times.
    assert (np.abs(apart[0] - apart[1]) > 1e-6).all()


def test_per_member_values_and_a_grid():
    own = tx.per_member(model(), frequency, SETS)
    sol = run(own)
    both = tx.per_member(grid_of(), frequency, SETS)
    state = tx.init(both, key=KEY, members=MEMBERS, common_noise=True)
    assert state.axes == ("coupling", "noise", "member")
    crossed = run(both, state)
    other_way = tx.vary(own, {"coupling": (strength, STRENGTHS), "noise": (intensity, INTENSITIES)})
    assert other_way.axes == both.axes
    for member in range(MEMBERS):
        one = tx.PhaseOscillators(SETS[member], model().coupling, model().noise)
        np.testing.assert_array_equal(sol.state.phase[member], run(one).state.phase[member])
        one = single(STRENGTHS[2], INTENSITIES[1], SETS[member])
        np.testing.assert_array_equal(
            crossed.state.phase[2, 1, member], run(one).state.phase[member]
        )


def test_noise_path_per_member():
    paths = np.random.default_rng(1).normal(size=(MEMBERS, STEPS, SIZE)).astype(np.float32)
    system = tx.PhaseOscillators(np.zeros(SIZE), noise=tx.GivenNoise(paths[0]))
    each = tx.per_member(system, lambda m: m.noise.increments, paths)
    state = tx.init(each, members=MEMBERS, phase=np.zeros(SIZE))
    moved = np.asarray(run(each, state).state.phase) - paths.sum(axis=1)
    turns = moved / (2 * np.pi)
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-6)  # sums of 8 float32


# Clock


def test_time_is_continuous_when_dt_changes():
    sol = run(model(), dt=0.5, steps=3)
    sol = run(model(), sol.state, dt=0.25, steps=4, monitors={"p": tx.Trace(tx.coherence)})
    np.testing.assert_array_equal(sol.monitors["p"].time, [1.5, 1.75, 2.0, 2.25])
    state = tx.step(model(), sol.state, dt=0.5)
    assert (int(state.step), float(state.time)) == (8, 3.0)


def test_time_does_not_drift():
    free = tx.PhaseOscillators(np.zeros(1))
    sol = run(free, tx.init(free, phase=np.zeros(1)), dt=0.1, steps=100_000)
    assert float(sol.state.time) == pytest.approx(1e4, rel=1e-7)  # one rounding in float32


def test_python_numbers_keep_their_digits_in_float64(x64):
    free = tx.PhaseOscillators(jnp.ones(1, jnp.float64), tx.MeanField(0.1), tx.WhiteNoise(0.1))
    assert float(free.coupling.strength) == 0.1
    sol = run(free, dt=0.1, steps=10)
    assert float(sol.state.time) == pytest.approx(1.0, rel=1e-15)


# Keys


def test_legacy_keys_are_accepted():
    legacy = tx.init(model(), key=jax.random.PRNGKey(4), members=MEMBERS)
    assert_same(legacy, tx.init(model(), key=KEY, members=MEMBERS))


def test_no_key_where_nothing_is_random():
    state = tx.init(model(noise="none"), phase=np.zeros(SIZE), members=MEMBERS)
    assert state.key is None
    assert run(model(noise="none"), state).state.phase.shape == (MEMBERS, SIZE)


def test_no_key_is_used_twice():
    with jax.debug_key_reuse(True):
        sol = run(model())
        sol = run(model(), sol.state)
        tx.step(model(), sol.state, dt=DT)


# Transformations


def test_under_jit_vmap_and_scan():
    system = model()
    state = tx.init(system, key=KEY, members=MEMBERS)
    expected = run(system, state).state
    jitted = jax.jit(lambda system, state: run(system, state, monitors=MONITORED))(system, state)
    assert_same(jitted.state, expected)
    np.testing.assert_array_equal(jitted.status, np.zeros(MEMBERS))

    def body(state, _):
        return tx.step(system, state, dt=DT), None

    assert_same(jax.lax.scan(body, state, length=STEPS)[0], expected)

    def at(coupling):
        system = single(coupling, 0.1)
        return run(system, tx.init(system, key=KEY, members=MEMBERS)).state.phase

    mapped = jax.vmap(at)(STRENGTHS)
    for point, coupling in enumerate(STRENGTHS):
        # 1e-5: another program, so roundings of a few steps.
        np.testing.assert_allclose(mapped[point], at(coupling), atol=1e-5)


def test_a_jitted_step_is_a_step():
    system = model()
    state = by_hand = tx.init(system, key=KEY, members=MEMBERS)
    # A function of its own: the programs compiled for one function are counted together.
    step = jax.jit(lambda system, state, dt: tx.step(system, state, dt=dt))
    for _ in range(STEPS):
        state = step(system, state, DT)
        by_hand = tx.step(system, by_hand, dt=DT)
    assert_same(state, by_hand)
    assert step._cache_size() == 1


def test_a_program_of_the_users_own_keeps_the_bits():
    # Its vectors may be narrower, and all that it is given may be constant.
    system = model()
    state = tx.init(system, key=KEY, members=MEMBERS)
    monitors = {"r": tx.Moments(tx.coherence)}
    alone = run(system, state, monitors=monitors)
    constant = jax.jit(lambda: run(system, state, monitors=monitors))()
    given = jax.jit(lambda system, state: run(system, state, monitors=monitors))(system, state)
    assert_same(alone, constant)
    assert_same(alone, given)


def test_width_of_vectors(monkeypatch):
    wide = frozenset({"avx2", "avx512f", "avx512dq", "avx512bw", "avx512vl"})
    monkeypatch.setattr(_compiled, "cpu_flags", lambda: wide)
    monkeypatch.setenv("XLA_FLAGS", "")
    asked = _compiled._vector_width.__wrapped__
    assert asked() == 512  # so XLA knows the option
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_prefer_vector_width=128")
    assert asked() is None
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(_compiled, "cpu_flags", lambda: frozenset({"avx2"}))
    assert asked() is None
    monkeypatch.setattr(_compiled, "cpu_flags", lambda: wide)
    monkeypatch.setattr(_compiled, "_OPTION", "xla_of_another_time")
    assert asked() is None


def test_a_program_asks_for_the_width_unless_it_is_part_of_another(monkeypatch):
    monkeypatch.setattr(_compiled, "compiler_options", lambda: {"xla_of_another_time": 1})
    twice = _compiled.Compiled(lambda x: 2.0 * x)
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_of_another_time"):
        twice(1.0)
    assert jax.jit(twice)(1.0) == 2.0
    assert jax.grad(twice)(1.0) == 2.0
    np.testing.assert_array_equal(jax.vmap(twice)(jnp.ones(3)), 2.0)


def test_options_are_the_callers_own():
    tx.compiler_options()["xla_of_another_time"] = 1
    assert "xla_of_another_time" not in tx.compiler_options()


def test_status_under_jit():
    system = model(noise="none")

    def status(frequency):
        system = tx.PhaseOscillators(frequency)
        state = tx.init(system, phase=np.zeros(SIZE))
        return run(system, state, dt=10.0).status

    assert int(jax.jit(status)(system.frequency)) == 0
    assert int(jax.jit(status)(jnp.full(SIZE, 3e38))) == 1


# Law 7: one compilation


def programs(verb, call, variants):
    """How many programs a verb compiles for the variants, after the first call."""
    call(*variants[0])
    before = verb._cache_size()
    for variant in variants:
        call(*variant)
    return verb._cache_size() - before


VARIANTS = [
    (single(2.0, 0.1), 0.01, 0),
    (single(np.float32(1.5), jnp.asarray(0.2)), 0.02, 1),
    (single(jnp.asarray(1.0), np.float64(0.3)), np.float64(0.03), 2),
    (single(1, 0, np.linspace(0, 1, SIZE)), jnp.asarray(0.04), 3),
]


def test_one_compilation_of_simulate():
    def call(system, dt, seed):
        state = tx.init(system, key=jax.random.key(seed), members=MEMBERS)
        sol = run(system, state, dt=dt, monitors={"r": tx.Moments(tx.coherence)})
        run(system, sol.state, dt=dt, monitors={"r": tx.Moments(tx.coherence)})

    assert programs(_programs.simulate.outer, call, VARIANTS) == 0


def test_one_compilation_of_step():
    def call(system, dt, seed):
        state = tx.init(system, key=jax.random.key(seed), members=MEMBERS)
        for _ in range(3):
            state = tx.step(system, state, dt=dt)

    assert programs(_programs.step.outer, call, VARIANTS) == 0


def test_one_compilation_of_init():
    def call(system, _, seed):
        tx.init(system, key=jax.random.key(seed), members=MEMBERS)
        tx.init(system, key=jax.random.PRNGKey(seed), members=MEMBERS)

    assert programs(_programs._begin, call, VARIANTS) == 0


def test_one_compilation_for_a_grid():
    def call(values, seed):
        system = tx.vary(model(), {"coupling": (strength, values)})
        run(system, tx.init(system, key=jax.random.key(seed), members=MEMBERS))

    variants = [(STRENGTHS, 0), ([1.0, 2.0, 3.0], 1), (np.arange(3), 2)]
    assert programs(_programs.simulate.outer, call, variants) == 0


def test_another_number_of_steps_is_another_program():
    calls = [(7,), (9,)]
    assert programs(_programs.simulate.outer, lambda steps: run(model(), steps=steps), calls) == 1


# Values


def test_models_and_states_copy_and_pickle():
    for system in (model("sum"), tx.per_member(grid_of(), frequency, SETS)):
        state = tx.init(system, key=KEY, members=MEMBERS)
        for clone in (copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
            assert_same(clone(system), system)
            assert_same(clone(state), state)
            assert_same(run(clone(system), clone(state)).state, run(system, state).state)


def test_importing_changes_no_option():
    program = (
        "import jax; before = dict(jax.config.values); import tauax as tx\n"
        "[getattr(tx, name) for name in dir(tx)]\n"
        "tx.simulate(m := tx.PhaseOscillators([1.0]), tx.init(m, phase=[0.0]), dt=0.1, steps=1)\n"
        "assert dict(jax.config.values) == before"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
