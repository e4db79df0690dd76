"""Law 10: bad input is refused before anything runs, and the message says what to do about it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tauax as tx

KEY = jax.random.key(5)
SIZE, MEMBERS, DT = 4, 3, 0.1
FREQUENCY = np.linspace(-1.0, 1.0, SIZE, dtype=np.float32)
WEIGHTS = np.ones((SIZE, SIZE), np.float32)
PATH = np.zeros((8, SIZE), np.float32)


def quiet(**changes):
    """A model without noise."""
    return tx.PhaseOscillators(**{"frequency": FREQUENCY, "coupling": tx.MeanField(1.0), **changes})


def noisy(**changes):
    return quiet(**{"noise": tx.WhiteNoise(0.1), **changes})


def start(model=None, **options):
    return tx.init(quiet() if model is None else model, **{"key": KEY, **options})


def run(model=None, state=None, **options):
    model = quiet() if model is None else model
    state = start(model, members=MEMBERS) if state is None else state
    return tx.simulate(model, state, **{"dt": DT, "steps": 4, **options})


def advance(model=None, state=None, **options):
    model = quiet() if model is None else model
    state = start(model) if state is None else state
    return tx.step(model, state, **{"dt": DT, **options})


def chunks(**options):
    model = quiet()
    monitors = {"r": tx.Moments(tx.coherence, every=2)}
    return list(
        tx.iterate(
            model,
            start(model),
            **{"dt": DT, "steps": 8, "chunk": 4, "monitors": monitors, **options},
        )
    )


def vary(entry, model=None, name="axis"):
    return tx.vary(noisy() if model is None else model, {name: entry})


def strength(model):
    return model.coupling.strength


def lag(model):
    return model.coupling.lag


def intensity(model):
    return model.noise.intensity


def set_of_strengths():
    """A model with one strength per member."""
    return tx.per_member(quiet(), strength, np.ones(MEMBERS))


def double():
    """A float64 array, made while 64-bit mode was on for a moment."""
    with jax.enable_x64(True):
        return jnp.linspace(0.0, 1.0, SIZE, dtype=jnp.float64)


def ordinary(model, state):
    return state.phase.sum()


def traced_steps():
    return jax.jit(lambda steps: run(steps=steps).state.phase)(4)


def other_size():
    return start(quiet(frequency=np.zeros(SIZE + 1), coupling=None), members=MEMBERS)


def other_dtype():
    with jax.enable_x64(True):
        model = quiet(frequency=FREQUENCY.astype(np.float64))
        return run(model, start(quiet(), members=MEMBERS))


def other_monitors():
    sol = run(monitors={"r": tx.Moments(tx.coherence)})
    return sol.then(run(state=sol.state, monitors={"r": tx.Moments(tx.phase)}))


def infinite(array):
    changed = np.array(array, np.float32)
    changed.flat[-1] = np.inf
    return changed


# id, call, exception, what the message must name: what was given, what was expected, what to do.
CASES = [
    # Parts of a model
    ("frequency nan", lambda: quiet(frequency=[0.0, np.nan]), ValueError,
     ["PhaseOscillators.frequency[1]", "nan", "finite numbers"]),
    ("frequency matrix", lambda: quiet(frequency=np.zeros((2, SIZE))), ValueError,
     ["frequency of shape (2, 4)", "(oscillators,)", "per_member"]),
    ("frequency empty", lambda: quiet(frequency=[], coupling=None), ValueError,
     ["frequency of shape (0,)", "(oscillators,)"]),
    ("frequency scalar", lambda: quiet(frequency=1.0, coupling=None), ValueError,
     ["frequency of shape ()", "(oscillators,)"]),
    ("frequency text", lambda: quiet(frequency="fast"), TypeError,
     ["'fast'", "number"]),
    ("frequency complex", lambda: quiet(frequency=np.ones(SIZE) * 1j), TypeError,
     ["real number"]),
    ("frequency float64", lambda: quiet(frequency=double()), ValueError,
     ["float64 array", "64-bit mode", "jax_enable_x64", "astype"]),
    ("coupling number", lambda: quiet(coupling=2.0), TypeError,
     ["coupling=2.0", "AbstractCoupling", "tx.MeanField(strength=2.0)"]),
    ("coupling class", lambda: quiet(coupling=tx.MeanField), TypeError,
     ["the class MeanField", "an instance", "tx.MeanField(strength=2.0)"]),
    ("noise number", lambda: quiet(noise=0.1), TypeError,
     ["noise=0.1", "AbstractNoise", "tx.WhiteNoise(intensity=0.1)"]),
    ("weights infinite", lambda: tx.Dense(infinite(WEIGHTS)), ValueError,
     ["Dense.weights[3, 3]", "inf", "finite numbers"]),
    ("weights not square", lambda: tx.Dense(np.ones((2, 3))), ValueError,
     ["weights of shape (2, 3)", "square matrix [target, source]"]),
    ("weights vector", lambda: tx.Dense(np.ones(SIZE)), ValueError,
     ["weights of shape (4,)", "square matrix [target, source]"]),
    ("weights wrong size", lambda: quiet(coupling=tx.Dense(np.ones((5, 5)))), ValueError,
     ["Dense of 5 oscillators", "4, one for each frequency"]),
    ("weights wrong size in a sum",
     lambda: quiet(coupling=tx.MeanField(1.0) + 2.0 * tx.Dense(np.ones((5, 5)))), ValueError,
     ["Dense of 5 oscillators", "4, one for each frequency"]),
    ("norm unknown", lambda: tx.Dense(WEIGHTS, norm="degree"), ValueError,
     ["norm='degree'", "none, size, in_degree"]),
    ("strengths wrong shape", lambda: quiet(coupling=tx.MeanField(np.ones(5))), ValueError,
     ["MeanField.strength of shape (5,)", "() or (4,)", "per_member"]),
    ("strengths of dense", lambda: quiet(coupling=tx.Dense(WEIGHTS, np.ones((4, 1)))), ValueError,
     ["Dense.strength of shape (4, 1)", "() or (4,)"]),
    ("lags", lambda: quiet(coupling=tx.MeanField(1.0, np.zeros(SIZE))), ValueError,
     ["MeanField.lag of shape (4,)", "()", "one angle"]),
    ("factor wrong shape", lambda: quiet(coupling=np.ones(5) * tx.MeanField(1.0)), ValueError,
     ["factor of shape (5,)", "() or (4,)"]),
    ("factor nan", lambda: np.nan * tx.MeanField(1.0), ValueError,
     ["Scaled.factor", "nan", "finite numbers"]),
    ("noise negative", lambda: tx.WhiteNoise(-0.1), ValueError,
     ["WhiteNoise.intensity", "-0.1", "≥ 0"]),
    ("one noise negative", lambda: tx.WhiteNoise([0.0, -0.5]), ValueError,
     ["WhiteNoise.intensity[1]", "-0.5", "≥ 0"]),
    ("noise nan", lambda: tx.WhiteNoise(np.nan), ValueError,
     ["WhiteNoise.intensity", "nan", "≥ 0"]),
    ("deviation negative", lambda: tx.WhiteNoise.from_deviation(-0.1), ValueError,
     ["deviation", "-0.1", "≥ 0"]),
    ("intensities wrong shape", lambda: quiet(noise=tx.WhiteNoise(np.ones(5))), ValueError,
     ["WhiteNoise.intensity of shape (5,)", "() or (4,)"]),
    ("law unknown", lambda: tx.WhiteNoise(0.1, "uniform"), ValueError,
     ["increments='uniform'", "normal, two_point, three_point"]),
    ("path nan", lambda: tx.GivenNoise(np.full((8, SIZE), np.nan)), ValueError,
     ["GivenNoise.increments[0, 0]", "nan", "finite numbers"]),
    ("path vector", lambda: tx.GivenNoise(np.zeros(8)), ValueError,
     ["increments of shape (8,)", "(steps, oscillators)", "per_member"]),
    ("path per member", lambda: tx.GivenNoise(np.zeros((MEMBERS, 8, SIZE))), ValueError,
     ["increments of shape (3, 8, 4)", "(steps, oscillators)", "per_member"]),
    ("path wrong width", lambda: quiet(noise=tx.GivenNoise(np.zeros((8, 5)))), ValueError,
     ["increments for 5 oscillators", "4 oscillators"]),
    # Frequencies
    ("width negative", lambda: tx.frequencies.lorentzian(SIZE, 0.0, -1.0), ValueError,
     ["width", "-1.0", "≥ 0"]),
    ("no oscillators", lambda: tx.frequencies.gaussian(0, 0.0, 1.0), ValueError,
     ["n=0", "≥ 1"]),
    ("sets without a key", lambda: tx.frequencies.uniform(SIZE, 0.0, 1.0, members=2), ValueError,
     ["members=2 without a key", "jax.random.key(0)"]),
    # Axes
    ("varied noise negative", lambda: vary((intensity, [0.1, -0.2])), ValueError,
     ["WhiteNoise.intensity[1]", "-0.2", "≥ 0"]),
    ("varied strength nan", lambda: vary((strength, [np.nan, 1.0])), ValueError,
     ["MeanField.strength[0]", "nan", "finite numbers"]),
    ("axis named member", lambda: vary((strength, [1.0]), name="member"), ValueError,
     ["'member'", "any other name", "tx.per_member"]),
    ("axis twice", lambda: vary((lag, [0.1]), vary((strength, [1.0]))), ValueError,
     ["'axis' twice", "choose another name"]),
    ("leaf on two axes",
     lambda: tx.vary(quiet(), {"a": (strength, [1.0]), "b": (strength, [2.0])}), ValueError,
     ["'a' and 'b'", "each leaf on one axis"]),
    ("leaf twice in zipped",
     lambda: vary(tx.zipped({"a": (strength, [1.0]), "b": (strength, [2.0])})), ValueError,
     ["one leaf", "each leaf on one axis"]),
    ("leaf twice in a tuple",
     lambda: vary((lambda m: (m.coupling.lag, m.coupling.lag), ([0.1], [0.1]))), ValueError,
     ["one leaf", "each leaf on one axis"]),
    ("leaf varied, then per member",
     lambda: tx.per_member(vary((strength, [1.0])), strength, [1.0, 2.0]), ValueError,
     ["'axis' and 'member'", "each leaf on one axis"]),
    ("zipped of different lengths",
     lambda: vary(tx.zipped({"a": (strength, [1.0]), "b": (lag, [0.1, 0.2])})), ValueError,
     ["[1, 2] entries", "'axis'", "as many values"]),
    ("tuple of different lengths",
     lambda: vary((lambda m: (m.coupling.strength, m.coupling.lag), ([1.0], [0.1, 0.2]))),
     ValueError, ["[1, 2] entries", "'axis'", "as many values"]),
    ("tuple with too few values",
     lambda: vary((lambda m: (m.coupling.strength, m.coupling.lag), ([1.0],))), ValueError,
     ["1 sets of values for 2 leaves", "tuple of values"]),
    ("members of different numbers",
     lambda: tx.per_member(set_of_strengths(), lag, np.zeros(2)), ValueError,
     ["[2, 3] entries", "'member'"]),
    ("values of the wrong shape", lambda: vary((strength, np.ones((2, 2)))), ValueError,
     ["values of shape (2, 2)", "'axis'", "shape (V)"]),
    ("one value", lambda: vary((strength, 1.0)), ValueError,
     ["values of shape ()", "'axis'", "new first axis"]),
    ("no values", lambda: vary((strength, [])), ValueError,
     ["values of shape (0,)", "'axis'", "shape (V)"]),
    ("values of another width",
     lambda: vary((lambda m: m.frequency, np.ones((2, 5)))), ValueError,
     ["values of shape (2, 5)", "shape (V, 4)"]),
    ("values as text", lambda: vary((strength, "many")), TypeError,
     ["'many'", "number"]),
    ("where selects none", lambda: vary((lambda m: m.noise, [1.0]), quiet()), ValueError,
     ["None", "a numeric leaf", "m.coupling.strength"]),
    ("where selects a module", lambda: vary((lambda m: m.coupling, [1.0])), ValueError,
     ["MeanField", "a numeric leaf", "m.coupling.strength"]),
    ("where selects a static field", lambda: vary((lambda m: m.noise.increments, [1.0])),
     ValueError, ["str", "a numeric leaf", "static field"]),
    ("where selects a part", lambda: vary((lambda m: m.frequency[0], [1.0])), ValueError,
     ["where", "a numeric leaf", "m.coupling.strength"]),
    ("where computes", lambda: vary((lambda m: 2.0 * m.coupling.strength, [1.0])), ValueError,
     ["where", "a numeric leaf", "m.coupling.strength"]),
    ("where misspelt", lambda: vary((lambda m: m.coupling.strenght, [1.0])), ValueError,
     ["strenght", "a numeric leaf", "m.coupling.strength"]),
    ("where not callable", lambda: tx.per_member(quiet(), "strength", [1.0]), ValueError,
     ["not callable", "a numeric leaf", "m.coupling.strength"]),
    ("entry not a pair", lambda: vary([1.0, 2.0]), TypeError,
     ["[1.0, 2.0]", "'axis'", "a pair (where, values)"]),
    ("zipped entry not a pair", lambda: tx.zipped({"a": strength}), TypeError,
     ["'a'", "a pair (where, values)"]),
    ("vary a coupling", lambda: vary((strength, [1.0]), tx.MeanField(1.0)), TypeError,
     ["model=MeanField", "an instance of AbstractSystem", "tx.PhaseOscillators"]),
    # init
    ("model a class", lambda: start(tx.PhaseOscillators), TypeError,
     ["the class PhaseOscillators", "AbstractSystem or Varied", "tx.PhaseOscillators(...)"]),
    ("phase wrong shape", lambda: start(phase=np.zeros(5)), ValueError,
     ["phase of shape (5,)", "(4,)", "one phase per oscillator"]),
    ("phase of other members", lambda: start(members=MEMBERS, phase=np.zeros((2, SIZE))),
     ValueError, ["phase of shape (2, 4)", "(4,) or (3, 4)"]),
    ("phase with members, none asked", lambda: start(phase=np.zeros((MEMBERS, SIZE))),
     ValueError, ["phase of shape (3, 4)", "(4,)"]),
    ("phase nan", lambda: start(phase=[0.0, np.nan, 0.0, 0.0]), ValueError,
     ["phase[1] = nan", "finite numbers"]),
    ("phase inf", lambda: start(members=2, phase=np.full((2, SIZE), np.inf)), ValueError,
     ["phase[0, 0] = inf", "finite numbers"]),
    ("key missing for phases", lambda: start(key=None), ValueError,
     ["no key", "initial phases", "jax.random.key(0)"]),
    ("key missing for noise", lambda: start(noisy(), key=None, phase=np.zeros(SIZE)), ValueError,
     ["no key", "noise", "jax.random.key(0)"]),
    ("key a number", lambda: start(key=0), TypeError,
     ["key=0", "a key of jax.random", "jax.random.key(0)"]),
    ("key an array", lambda: start(key=jnp.zeros(2)), TypeError,
     ["float32", "(2,)", "a key of jax.random", "jax.random.key(0)"]),
    ("keys", lambda: start(key=jax.random.split(KEY, 2)), ValueError,
     ["(2,) keys", "one key", "derived from it"]),
    ("legacy keys", lambda: start(key=jax.random.split(jax.random.PRNGKey(0), 2)), TypeError,
     ["(2, 2)", "a key of jax.random"]),
    ("key of another generator", lambda: start(key=jax.random.key(0, impl="rbg")), ValueError,
     ["rbg", "Threefry", 'impl="threefry2x32"']),
    ("members 0", lambda: start(members=0), ValueError, ["members=0", "≥ 1"]),
    ("members negative", lambda: start(members=-2), ValueError, ["members=-2", "≥ 1"]),
    ("members float", lambda: start(members=2.0), TypeError,
     ["members=2.0", "an integer ≥ 1"]),
    ("members bool", lambda: start(members=True), TypeError,
     ["members=True", "an integer ≥ 1"]),
    ("members other than per member", lambda: start(set_of_strengths(), members=5), ValueError,
     ["members=5", "3 members", "members=3"]),
    ("members omitted with per member", lambda: start(set_of_strengths()), ValueError,
     ["members=None", "3 members", "members=3"]),
    # step, simulate and iterate
    ("dt zero", lambda: run(dt=0.0), ValueError, ["dt=0.0", "> 0", "dt=0.01"]),
    ("dt negative", lambda: advance(dt=-0.1), ValueError, ["dt=-0.1", "> 0"]),
    ("dt nan", lambda: run(dt=np.nan), ValueError, ["dt=nan", "finite", "dt=0.01"]),
    ("dt inf", lambda: advance(dt=np.inf), ValueError, ["dt=inf", "finite"]),
    ("dt array", lambda: run(dt=np.full(MEMBERS, 0.1)), ValueError,
     ["dt of shape (3,)", "one number of seconds"]),
    ("dt text", lambda: run(dt="0.1"), TypeError, ["'0.1'", "number"]),
    ("dt none", lambda: run(dt=None), TypeError, ["None", "number"]),
    ("steps float", lambda: run(steps=4.0), TypeError, ["steps=4.0", "an integer ≥ 1"]),
    ("steps 0", lambda: run(steps=0), ValueError, ["steps=0", "≥ 1"]),
    ("steps bool", lambda: run(steps=True), TypeError, ["steps=True", "an integer ≥ 1"]),
    ("steps traced", traced_steps, TypeError, ["steps=", "an integer ≥ 1", "before tracing"]),
    ("stepper class", lambda: run(stepper=tx.Heun), TypeError,
     ["the class Heun", "an instance of AbstractStepper", "tx.Heun()"]),
    ("stepper text", lambda: advance(stepper="heun"), TypeError,
     ["stepper='heun'", "an instance of AbstractStepper", "tx.Heun()"]),
    ("rk4 with noise", lambda: run(noisy(), stepper=tx.RK4()), ValueError,
     ["RK4", "noise", "tx.Heun()"]),
    ("rk4 with given noise",
     lambda: advance(quiet(noise=tx.GivenNoise(PATH)), stepper=tx.RK4()), ValueError,
     ["RK4", "noise", "tx.Heun()"]),
    ("path too short", lambda: run(quiet(noise=tx.GivenNoise(PATH)), steps=9), ValueError,
     ["increments for 8 steps", "at least 9", "more rows"]),
    ("path used up", lambda: advance(*used_up()), ValueError,
     ["increments for 8 steps", "at least 9", "more rows"]),
    ("state a phase", lambda: run(state=np.zeros(SIZE)), TypeError,
     ["state=", "an instance of State", "tx.init"]),
    ("state of another size", lambda: run(state=other_size()), ValueError,
     ["5 oscillators", "4 oscillators", "tx.init"]),
    ("state of another dtype", other_dtype, ValueError,
     ["float32", "float64", "tx.init"]),
    ("state without the axes", lambda: run(vary((strength, [1.0, 2.0]), quiet())
     , start(members=MEMBERS)), ValueError, ["member", "'axis' of 2", "tx.init"]),
    ("state of other members",
     lambda: advance(set_of_strengths(), start(members=2)), ValueError,
     ["'member': 2", "'member' of 3", "tx.init"]),
    ("state without a key", lambda: run(noisy(), start(key=None, phase=np.zeros(SIZE))),
     ValueError, ["no key", "noise", "jax.random.key(0)"]),
    ("monitor a name", lambda: run(monitors={"r": "coherence"}), TypeError,
     ["monitors['r']='coherence'", "an instance of AbstractMonitor", "tx.Moments(...)"]),
    ("monitor a readout", lambda: run(monitors={"r": tx.coherence}), TypeError,
     ["monitors['r']", "an instance of AbstractMonitor", "tx.Moments(...)"]),
    ("monitor a class", lambda: run(monitors={"r": tx.Rotations}), TypeError,
     ["the class Rotations", "an instance of AbstractMonitor", "tx.Rotations()"]),
    ("monitors a list", lambda: run(monitors=[tx.Rotations()]), TypeError,
     ["monitors=[Rotations", "an instance of Mapping", "monitors={"]),
    ("monitors a list, in chunks", lambda: chunks(monitors=[tx.Rotations()]), TypeError,
     ["monitors=[Rotations", "an instance of Mapping", "monitors={"]),
    ("monitor a name, in chunks", lambda: chunks(monitors={"r": "coherence"}), TypeError,
     ["monitors['r']='coherence'", "an instance of AbstractMonitor"]),
    ("readout not decorated", lambda: tx.Moments(ordinary), TypeError,
     ["Moments", "ordinary", "@tx.readout"]),
    ("readout a name", lambda: tx.Trace("phase"), TypeError,
     ["Trace", "'phase'", "@tx.readout"]),
    ("every 0", lambda: tx.Moments(tx.coherence, every=0), ValueError, ["every=0", "≥ 1"]),
    ("every float", lambda: tx.Rotations(every=1.0), TypeError, ["every=1.0", "an integer ≥ 1"]),
    ("after negative", lambda: tx.Trace(tx.phase, after=-1), ValueError, ["after=-1", "≥ 0"]),
    ("other monitors later", other_monitors, ValueError,
     ["a later run with the monitors", "those of this one", "monitors="]),
    ("chunk 0", lambda: chunks(chunk=0), ValueError, ["chunk=0", "≥ 1"]),
]  # fmt: skip


def used_up():
    """A model with eight given increments, and the state after the last of them."""
    model = quiet(noise=tx.GivenNoise(PATH))
    return model, run(model, start(model), steps=8).state


@pytest.mark.parametrize(
    ("call", "kind", "fragments"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_message(call, kind, fragments):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert caught.type is kind
    for fragment in ["got ", "; expected ", ". Fix: ", *fragments]:
        assert fragment in message, f"{fragment!r} is missing in: {message}"
    assert len(message) < 400, message  # readable: no array is printed in full


def test_case_names_are_unique():
    names = [case[0] for case in CASES]
    assert len(set(names)) == len(names)


def test_good_calls_work_after_bad_ones():
    model = noisy()
    state = start(model, members=MEMBERS)
    before = np.array(state.phase)
    good = np.array(run(model, state).state.phase)
    for bad in ({"dt": -1.0}, {"steps": 0}, {"stepper": tx.RK4()}, {"monitors": {"r": 1}}):
        with pytest.raises((ValueError, TypeError)):
            run(model, state, **bad)
    np.testing.assert_array_equal(state.phase, before)
    np.testing.assert_array_equal(run(model, state).state.phase, good)


# A run that diverges where it is known to: all phases stay at 0 until the kick in the fourth step,
# and in the fifth the torque of member 2 leaves the floats.
FATAL, LAST = 2, 5
STRENGTHS = np.where(np.arange(MEMBERS + 1) == FATAL, 3e38, 1.0)


def kicked():
    """One strength per member, and a kick for one oscillator in the fourth step."""
    path = np.zeros((8, SIZE))
    path[3, 0] = 1.0
    system = quiet(frequency=np.zeros(SIZE), noise=tx.GivenNoise(path))
    return tx.per_member(system, strength, STRENGTHS)


def diverge(model, steps=8, **options):
    state = tx.init(model, members=len(STRENGTHS), phase=np.zeros(SIZE))
    return tx.simulate(model, state, dt=10.0, steps=steps, **options)


@pytest.mark.parametrize("stepper", [tx.Euler(), tx.Heun()], ids=["euler", "heun"])
def test_divergence_names_the_member_and_the_step(stepper):
    # Heun meets the kick within the step that makes it, so it diverges one step earlier.
    last = LAST if isinstance(stepper, tx.Euler) else LAST - 1
    with pytest.raises(FloatingPointError) as caught:
        diverge(kicked(), stepper=stepper)
    message = str(caught.value)
    form = ["got ", "; expected ", ". Fix: "]
    for fragment in [*form, f"member {FATAL} after step {last};", "lower dt=10", "throw=False"]:
        assert fragment in message, f"{fragment!r} is missing in: {message}"


def test_divergence_counts_steps_from_the_start_of_the_first_run():
    sol = diverge(kicked(), steps=2)
    with pytest.raises(FloatingPointError, match=f"member {FATAL} after step {LAST};"):
        tx.simulate(kicked(), sol.state, dt=10.0, steps=6)


def test_divergence_names_the_point_of_a_grid():
    grid = tx.vary(kicked(), {"lag": (lag, [0.0, 0.0])})
    with pytest.raises(FloatingPointError, match=rf"lag 0, member {FATAL} after step {LAST} \(2 "):
        diverge(grid)


def test_divergence_without_members():
    system = kicked().system
    single = quiet(frequency=np.zeros(SIZE), coupling=tx.MeanField(3e38), noise=system.noise)
    state = tx.init(single, phase=np.zeros(SIZE))
    with pytest.raises(FloatingPointError, match=f"the system after step {LAST};"):
        tx.simulate(single, state, dt=10.0, steps=8)


def test_divergence_in_chunks():
    model = kicked()
    state = tx.init(model, members=len(STRENGTHS), phase=np.zeros(SIZE))
    parts = tx.iterate(model, state, dt=10.0, steps=8, chunk=4)
    assert not np.any(next(parts).status)
    with pytest.raises(FloatingPointError, match=f"member {FATAL} after step {LAST};"):
        next(parts)


def test_status_instead_of_an_error():
    expected = STRENGTHS > 1.0
    sol = diverge(kicked(), throw=False)
    np.testing.assert_array_equal(sol.status, expected)
    np.testing.assert_array_equal(np.isfinite(sol.state.phase).all(-1), ~expected)
    np.testing.assert_array_equal(jax.jit(lambda model: diverge(model).status)(kicked()), expected)
