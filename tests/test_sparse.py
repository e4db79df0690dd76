"""A network by its edges: the same numbers as its matrix, at a cost in proportion to the edges."""

import itertools
import logging
import math
from functools import partial

import jax
import jax.numpy as jnp
import networkx
import numpy as np
import pytest
from scipy import sparse as scipy_sparse
from tables import COUPLINGS, SIZE, model

import tauax as tx
from tauax import _programs

KEY = jax.random.key(13)
NORMS = ("none", "size", "in_degree")


def hub_weights(size: int, sources: int) -> np.ndarray:
    """Signed and directed: a ring with self-loops, empty rows, and one row of many sources."""
    random = np.random.default_rng(sources)
    weights = np.zeros((size, size))
    every = np.arange(size)
    weights[every, every] = random.normal(size=size)
    weights[every, every - 1] = random.normal(size=size)
    weights[2] = 0.0
    weights[3, random.permutation(size)[:sources]] = random.normal(size=sources)
    weights[-1] = 0.0
    return weights


def sparse(weights, strength=1.3, lag=0.4, norm="none"):
    return tx.Sparse.from_dense(weights, strength, lag, norm)


@jax.jit
def all_of(coupling, phase):
    """Everything that a network computes, as one list."""
    sin, cos = jnp.sin(phase), jnp.cos(phase)
    divisor = jnp.broadcast_to(coupling.divisor(), phase.shape)
    return [coupling(sin, cos), *coupling.neighbours(sin, cos), divisor]


# 1: no edges to add; 17 and 33: one more than fit in one piece; 300: three levels.
@pytest.mark.parametrize(("size", "sources"), [(5, 1), (40, 17), (40, 33), (320, 300)])
@pytest.mark.parametrize("norm", NORMS)
def test_sparse_is_dense(x64, size, sources, norm):
    weights = hub_weights(size, sources)
    strength = np.linspace(-1.0, 2.0, size)
    few = sparse(weights, strength, norm=norm)
    phase = np.random.default_rng(1).uniform(-math.pi, math.pi, (3, size))
    for mine, whole in zip(
        all_of(few, phase), all_of(tx.Dense(weights, strength, 0.4, norm), phase), strict=True
    ):
        # 300 terms of order 1 in float64, added in another order.
        np.testing.assert_allclose(mine, whole, rtol=1e-14, atol=1e-13)
    assert few.weights.shape == (np.count_nonzero(weights),)


@pytest.mark.parametrize(
    ("sources", "levels"), [(1, 1), (16, 1), (17, 2), (256, 2), (257, 3), (4097, 4)]
)
def test_long_sums_go_by_levels(sources, levels):
    few = tx.Sparse(np.full(sources, 3), np.arange(sources), size=max(sources, 4))
    assert len(few.edges.into) == levels
    # Every edge is found once on the first level, and every piece once on the next.
    terms = sources
    for level in few.edges.into:
        places = np.concatenate([np.asarray(one.edge).ravel() for one in level.slots])
        assert sorted(places[places < terms]) == list(range(terms))
        assert max(len(one.edge) for one in level.slots) <= 16
        terms = len(level.order)
    assert terms == few.size


@pytest.mark.parametrize("norm", NORMS)
def test_no_edges(norm):
    none = tx.Sparse([], [], size=4, norm=norm)
    assert none.weights.shape == (0,)
    system = tx.PhaseOscillators(np.arange(4.0), none)
    assert not np.asarray(all_of(none, jnp.arange(4.0))[:3]).any()
    end = tx.simulate(system, tx.init(system, phase=np.zeros(4)), dt=0.1, steps=1).state
    # One product each.
    np.testing.assert_allclose(end.phase, 0.1 * np.arange(4), rtol=1e-6)


def test_one_oscillator():
    phase = jnp.asarray([0.7])
    alone = tx.Sparse([0], [0], 2.0, size=1, strength=1.5, lag=0.3)
    # K w sin(−α), to a few roundings of 6e-8.
    np.testing.assert_allclose(all_of(alone, phase)[0], [-3.0 * math.sin(0.3)], rtol=1e-6)


# Derivatives -------------------------------------------------------------------------------------


def loss(few_or_full, phase):
    """Smooth and not linear in anything."""
    return (jnp.arange(phase.size) * all_of(few_or_full, phase)[0] ** 2).sum()


def of_sparse(numbers, phase, weights, norm):
    target, source = np.nonzero(weights)
    edges, strength, lag = numbers
    few = tx.Sparse(target, source, edges, size=len(weights), strength=strength, lag=lag, norm=norm)
    return loss(few, phase)


def of_dense(numbers, phase, weights, norm):
    edges, strength, lag = numbers
    full = jnp.zeros(weights.shape).at[np.nonzero(weights)].set(edges)
    return loss(tx.Dense(full, strength, lag, norm), phase)


@pytest.mark.parametrize("norm", ["none", "in_degree"])
def test_derivatives_are_those_of_dense(x64, norm):
    weights = hub_weights(20, 18)
    strength = jnp.linspace(0.5, 1.5, 20)
    numbers = (jnp.asarray(weights[np.nonzero(weights)]), strength, jnp.asarray(0.4))
    phase = jnp.linspace(-3.0, 2.0, 20)
    mine, whole = (partial(one, weights=weights, norm=norm) for one in (of_sparse, of_dense))
    random = np.random.default_rng(3)
    along = jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape)), (numbers, phase))
    results = []
    for one in (mine, whole):
        reverse = jax.grad(one, argnums=(0, 1))

        @jax.jit
        def derivatives(numbers, phase, one=one, reverse=reverse):
            forward = jax.jvp(one, (numbers, phase), along)[1]
            second = jax.jvp(reverse, (numbers, phase), along)[1]
            return reverse(numbers, phase), forward, second

        results.append(derivatives(numbers, phase))
    for left, right in zip(*map(jax.tree.leaves, results), strict=True):
        # Sums of 20 terms up to 10³ in float64, in another order.
        np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-9)
    gradient, forward, _ = results[0]
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(along), strict=True)
    # The same products once more.
    assert forward == pytest.approx(sum(float((a * b).sum()) for a, b in pairs), rel=1e-11)


def test_hessian_in_the_phases(x64):
    weights = hub_weights(20, 18)
    phase = jnp.linspace(-3.0, 2.0, 20)
    mine, whole = (
        jax.jit(jax.hessian(partial(loss, kind)))(phase)
        for kind in (sparse(weights), tx.Dense(weights, 1.3, 0.4))
    )
    # As above.
    np.testing.assert_allclose(mine, whole, rtol=1e-11, atol=1e-9)


# Batches -----------------------------------------------------------------------------------------


def end_of(model, members=None, steps=12):
    state = tx.init(model, key=KEY, members=members)
    return np.asarray(tx.simulate(model, state, dt=0.05, steps=steps).state.phase)


def test_weights_with_axes():
    """Weights of one axis, of the members, or not batched at all: each row is the run alone."""
    weights = hub_weights(20, 18)
    edges = weights[np.nonzero(weights)].astype(np.float32)
    scales = np.asarray([0.5, 1.0, 2.0], np.float32)
    one = tx.PhaseOscillators(np.linspace(-1, 1, 20), sparse(weights), tx.WhiteNoise(0.1))

    def scaled(factor):
        few = tx.Sparse.from_dense(factor * weights, 1.3, 0.4)
        return tx.PhaseOscillators(one.frequency, few, one.noise)

    many = edges * scales[:, None]
    singles = np.stack([end_of(scaled(factor), 3) for factor in scales])
    members = end_of(tx.per_member(one, lambda m: m.coupling.weights, many), 3)
    # The sums of separate weights run in the order of the edges: a few roundings of float32.
    close = partial(np.testing.assert_allclose, rtol=0, atol=2e-6)
    close(members, singles[np.arange(3), np.arange(3)])
    grid = tx.vary(one, {"scale": (lambda m: m.coupling.weights, many)})
    state = tx.init(grid, key=KEY, members=3, common_noise=True)
    close(tx.simulate(grid, state, dt=0.05, steps=12).state.phase, singles)


def test_own_weights_in_every_batch():
    weights = hub_weights(20, 18)
    edges = weights[np.nonzero(weights)]
    many = edges * np.linspace(0.5, 1.5, 64)[:, None]
    one = tx.PhaseOscillators(np.linspace(-1, 1, 20), sparse(weights), tx.WhiteNoise(0.1))

    def first(members):
        return end_of(tx.per_member(one, lambda m: m.coupling.weights, many[:members]), members)

    whole = first(64)
    for members in (1, 2, 7):
        np.testing.assert_array_equal(first(members), whole[:members], f"{members} members")


@pytest.mark.slow  # five programs
def test_the_same_bits_in_every_batch():
    """On three levels of sums; those of one and two are in test_invariance."""
    one = tx.PhaseOscillators(
        np.linspace(-1, 1, 263), sparse(hub_weights(263, 260)), tx.WhiteNoise(0.1)
    )
    whole = end_of(one, 64)
    for members in (1, 2, 7):
        np.testing.assert_array_equal(end_of(one, members), whole[:members], f"{members} members")
    np.testing.assert_array_equal(end_of(one), whole[0])


def temporaries(system, members):
    """Bytes that a run needs beside its arguments and results."""
    state = tx.init(system, key=KEY, members=members)
    rest = (jnp.float32(0.1), 3, tx.Euler(), {}, tx.Segments())
    lowered = _programs.simulate.lower(system, state, *rest)
    return lowered.compile().memory_analysis().temp_size_in_bytes


def test_memory_does_not_grow_with_members_times_edges():
    size, degree, members = 200, 40, 50
    target = np.repeat(np.arange(size), degree)
    source = (target + np.tile(np.arange(1, degree + 1), size)) % size
    few = tx.Sparse(target, source, 0.1, size=size)
    system = tx.PhaseOscillators(np.zeros(size), few, tx.WhiteNoise(0.1))
    grown = temporaries(system, 2 * members) - temporaries(system, members)
    # Sines and cosines, their sums on two levels and the pieces of these: some dozen numbers per
    # oscillator, where there are 40 edges, each with a sine and a cosine.
    assert grown < 30 * 4 * members * size < 2 * 4 * members * target.size


def test_new_weights_compile_nothing():
    target, source = np.nonzero(hub_weights(9, 7))
    count = 0

    @jax.jit
    def felt(coupling, phase):
        nonlocal count
        count += 1
        return coupling(jnp.sin(phase), jnp.cos(phase))

    results = [
        felt(tx.Sparse(target, source, weight, size=9), jnp.arange(9.0)) for weight in (1.0, 2.0, 0)
    ]
    assert count == 1
    np.testing.assert_array_equal(results[1], 2 * results[0])
    assert not results[2].any()


# Ways to make one --------------------------------------------------------------------------------


def edges_of(few):
    """{(target, source): weight}"""
    ends = zip(few.target.tolist(), few.source.tolist(), strict=True)
    return dict(zip(ends, few.weights.tolist(), strict=True))


def test_ways_to_make_one_agree():
    weights = np.asarray(COUPLINGS["dense"](SIZE).weights)
    wanted = {(i, j): weights[i, j] for i, j in itertools.product(range(SIZE), repeat=2)}
    wanted = {ends: float(w) for ends, w in wanted.items() if w != 0}
    options = {"strength": 2.0, "lag": 0.1, "norm": "size"}
    ways = [tx.Sparse.from_dense(weights, **options)]
    for kind in (scipy_sparse.csr_array, scipy_sparse.coo_matrix, scipy_sparse.csc_array):
        ways.append(tx.Sparse.from_scipy(kind(weights), **options))
    graph = networkx.from_numpy_array(weights.T, create_using=networkx.DiGraph)
    ways.append(tx.Sparse.from_networkx(graph, **options))
    target, source = np.asarray(list(wanted)).T
    ways.append(tx.Sparse(target, source, list(wanted.values()), size=SIZE, **options))
    for few in ways:
        assert edges_of(few) == wanted
        assert (few.size, few.norm) == (SIZE, "size")
        assert (float(few.strength), few.lag) == (2.0, np.float32(0.1))
        position = few.edge(5, int(np.flatnonzero(weights[5])[0]))
        assert few.weights[position] == weights[5][weights[5] != 0][0]


def test_entries_given_twice_are_added():
    matrix = scipy_sparse.coo_array(([1.0, 2.0, 5.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert edges_of(tx.Sparse.from_scipy(matrix)) == {(0, 1): 3.0, (1, 0): 5.0}
    assert matrix.nnz == 3  # the user's own is as it was


def test_graphs():
    graph = networkx.Graph()
    graph.add_nodes_from("cab")
    graph.add_edge("a", "b", weight=2.0, length=7.0)
    graph.add_edge("c", "a")
    graph.add_edge("b", "b", weight=0.5)
    # c, a, b are 0, 1, 2: the order in which they were added.
    both = {(1, 2): 2.0, (2, 1): 2.0, (0, 1): 1.0, (1, 0): 1.0, (2, 2): 0.5}
    assert edges_of(tx.Sparse.from_networkx(graph)) == both
    lengths = {(1, 2): 7.0, (2, 1): 7.0, (0, 1): 1.0, (1, 0): 1.0, (2, 2): 1.0}
    assert edges_of(tx.Sparse.from_networkx(graph, weight="length")) == lengths
    arrows = networkx.DiGraph([("u", "v")])
    assert edges_of(tx.Sparse.from_networkx(arrows)) == {(1, 0): 1.0}  # v receives
    assert edges_of(tx.Sparse.from_networkx(networkx.empty_graph(3))) == {}


FAULTS = {
    "beyond": (
        lambda: tx.Sparse([3], [0], size=3),
        r"target\[0\] = 3; expected an oscillator",
    ),
    "negative": (lambda: tx.Sparse([0, 1], [0, -1], size=3), r"source\[1\] = -1"),
    "twice": (lambda: tx.Sparse([2, 0, 2], [1, 0, 1], size=3), "edge from 1 to 2 2 times"),
    "lengths": (lambda: tx.Sparse([0, 1], [0], size=3), "2 targets and 1 sources"),
    "weights": (lambda: tx.Sparse([0, 1], [0, 1], [1.0] * 3, size=3), r"weights of shape \(3,\)"),
    "floats": (lambda: tx.Sparse([0.0], [1.0], size=3), "dtype float64; expected one integer"),
    "truths": (lambda: tx.Sparse([True], [False], size=3), "dtype bool"),
    "table": (lambda: tx.Sparse([[0]], [[1]], size=3), r"target of shape \(1, 1\)"),
    "size 0": (lambda: tx.Sparse([], [], size=0), "size=0; expected an integer ≥ 1"),
    "nan": (lambda: tx.Sparse([0], [1], math.nan, size=3), r"Sparse.weights\[0\] = nan"),
    "nan in a matrix": (lambda: tx.Sparse.from_dense([[0, math.nan], [1, 0]]), "nan; expected fin"),
    "strength": (lambda: tx.Sparse([0], [1], size=2, strength=math.inf), "Sparse.strength = inf"),
    "lag": (lambda: tx.Sparse([0], [1], size=2, lag=[0.1, 0.2]), r"Sparse.lag of shape \(2,\)"),
    "norm": (lambda: tx.Sparse([0], [1], size=2, norm="degree"), "norm='degree'; expected one of"),
    "not square": (lambda: tx.Sparse.from_dense(np.ones((2, 3))), r"shape \(2, 3\); expected a sq"),
    "flat": (lambda: tx.Sparse.from_dense([1.0, 2.0]), r"weights of shape \(2,\)"),
    "not square, scipy": (
        lambda: tx.Sparse.from_scipy(scipy_sparse.csr_array((2, 3))),
        r"shape \(2, 3\); expected a square",
    ),
    "two edges": (
        lambda: tx.Sparse.from_networkx(networkx.MultiDiGraph([(0, 1), (0, 1)])),
        "edge from 0 to 1 2 times",
    ),
    "no nodes": (lambda: tx.Sparse.from_networkx(networkx.Graph()), "size=0"),
    "no edge": (lambda: tx.Sparse([1], [0], size=2).edge(0, 1), "from 1 to 0, which is not there"),
    "other size": (
        lambda: tx.PhaseOscillators(np.zeros(3), tx.Sparse([1], [0], size=2)),
        "2 oscillators; expected 3",
    ),
    "other strengths": (
        lambda: tx.PhaseOscillators(np.zeros(2), tx.Sparse([1], [0], size=2, strength=[1, 2, 3])),
        r"Sparse.strength of shape \(3,\)",
    ),
    "choice, flat": (lambda: tx.coupling_from([1.0, 2.0]), r"list of shape \(2,\)"),
    "choice, no matrix": (lambda: tx.coupling_from({"a": 1}), r"dict of shape \(\)"),
    "choice, not square": (lambda: tx.coupling_from(np.ones((2, 3))), "expected a square"),
    "choice, norm": (lambda: tx.coupling_from(np.ones((2, 2)), norm="all"), "norm='all'"),
}

WRONG_KINDS = {
    "scipy": (lambda: tx.Sparse.from_scipy(np.eye(2)), "use tx.Sparse.from_dense"),
    "networkx": (lambda: tx.Sparse.from_networkx(np.eye(2)), "a graph of networkx"),
    "size": (lambda: tx.Sparse([0], [1], size=2.0), "size=2.0"),
    "truths": (lambda: tx.Sparse.from_dense(np.ones((2, 2), bool)), "dtype bool"),
    "traced edges": (
        lambda: jax.jit(lambda ends: tx.Sparse(ends, ends, size=3).weights)(jnp.arange(3)),
        "a traced target; expected edges that are known",
    ),
    "traced matrix": (
        lambda: jax.jit(lambda w: tx.Sparse.from_dense(w).weights)(jnp.eye(3)),
        "a traced matrix",
    ),
    "traced choice": (
        lambda: jax.jit(lambda w: tx.coupling_from(w).weights)(jnp.eye(3)),
        "a traced matrix",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_bad_input(case):
    make, message = FAULTS[case]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("case", WRONG_KINDS)
def test_wrong_kinds(case):
    make, message = WRONG_KINDS[case]
    with pytest.raises(TypeError, match=message):
        make()


# The choice --------------------------------------------------------------------------------------


def ring(size):
    return np.roll(np.eye(size), 1, axis=1)


@pytest.mark.parametrize("size", [12, 300])
def test_both_choices_give_the_same_torques(size):
    weights = ring(size)
    if size < 20:
        weights = weights + 0.3
    graph = networkx.from_numpy_array(weights.T, create_using=networkx.DiGraph)
    lines = []
    options = {"strength": 2.0, "lag": 0.3, "norm": "in_degree", "report": lines.append}
    kinds = [
        tx.coupling_from(given, **options)
        for given in (weights, weights.tolist(), scipy_sparse.csr_array(weights), graph)
    ]
    assert {type(kind) for kind in kinds} == {tx.Dense if size < 20 else tx.Sparse}
    assert len(lines) == 4
    assert len(set(lines)) == 1
    taken = "Dense: 144" if size < 20 else "Sparse: 300"
    assert lines[0].startswith(f"{taken} edges among {size} oscillators, ")
    assert "\n" not in lines[0]
    phase = jnp.linspace(-3, 3, size)
    dense = all_of(tx.Dense(weights, 2.0, 0.3, "in_degree"), phase)
    for kind in kinds:
        for mine, whole in zip(all_of(kind, phase), dense, strict=True):
            # A dozen terms of order 1 in float32.
            np.testing.assert_allclose(mine, whole, rtol=1e-6, atol=2e-6)


def test_the_choice_is_logged(caplog):
    with caplog.at_level(logging.INFO, "tauax"):
        tx.coupling_from(ring(300))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "tauax"]
    assert "as Dense" in line
    assert "ns per oscillator and step" in line


def test_a_sparse_model_runs_as_its_dense_one():
    few, full = (model(name, "normal") for name in ("sparse", "dense"))
    # Roundings of float32, grown over 12 steps.
    np.testing.assert_allclose(end_of(few, 3), end_of(full, 3), rtol=0, atol=1e-5)
