"""Chunks, files and kills: an interrupted run has the bits of one that was not."""

import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import MONITORS, SIZE, STEPPERS, model

import tauax as tx
from tauax import _archive, _replacing, checkpoint

HERE = Path(__file__)
KEY = jax.random.key(31)
DT, STEPS = 0.05, 20
EVERYTHING = {name: make() for name, make in MONITORS.items()}
# One of each kind of accumulator: sums, records, ends, the last values; they compile in a second.
SOME = {name: EVERYTHING[name] for name in ("moments_late", "trace_thin", "rotations", "trace")}
FORMS = {"some": SOME, "everything": EVERYTHING}


@cache
def grid(strength=2.5):
    """Two strengths, and three members with frequencies of their own."""
    sets = np.linspace(-2.0, 2.0, 3 * SIZE, dtype=np.float32).reshape(3, SIZE)
    own = tx.per_member(model("mean_field_lag"), lambda m: m.frequency, sets)
    return tx.vary(own, {"coupling": (lambda m: m.coupling.strength, [0.5, strength])})


@cache
def start():
    return tx.init(grid(), key=KEY, members=3)


ARGUMENTS = {"dt": DT, "steps": STEPS, "monitors": SOME}


def run(**options):
    return tx.simulate(grid(), start(), **{**ARGUMENTS, **options})


def chunks(chunk: int, **options):
    return tx.iterate(grid(), start(), **{**ARGUMENTS, "chunk": chunk, **options})


@cache
def whole(stepper: str = "heun", form: str = "some") -> tx.Solution:
    return run(stepper=STEPPERS[stepper](), monitors=FORMS[form])


def assert_same(one, other) -> None:
    """Equal structure, and every array equal bit for bit; NaN equals NaN."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


# Chunks


@pytest.mark.parametrize(
    ("stepper", "chunk", "form"),
    [
        ("heun", 7, "some"),
        ("heun", 1, "some"),
        ("heun", STEPS + 5, "some"),
        ("euler", 9, "some"),
        ("sra1", 6, "some"),
        pytest.param("euler", 7, "everything", marks=pytest.mark.slow),
    ],
)
def test_iterate_in_any_chunks_is_simulate(stepper, chunk, form):
    parts = list(chunks(chunk, stepper=STEPPERS[stepper](), monitors=FORMS[form]))
    assert [int(part.state.step) for part in parts] == [*range(chunk, STEPS, chunk), STEPS]
    assert_same(parts[-1], whole(stepper, form))


def test_what_is_yielded_is_what_was_recorded():
    """After n steps the traces hold the records of n steps, though the run makes room for all."""
    for done, part in zip((7, 14, STEPS), chunks(7, stepper=tx.Heun()), strict=True):
        for name, monitor in SOME.items():
            if isinstance(monitor, tx.Trace):
                found, wanted = part.monitors[name], whole().monitors[name]
                records = monitor.records(done)
                assert found.time.shape == (records,)
                np.testing.assert_array_equal(found.time, wanted.time[:records])
                np.testing.assert_array_equal(found.value, wanted.value[:, :, :records])
        assert part.monitors["moments_late"].count == SOME["moments_late"].records(done)
        assert part.status.shape == (2, 3)


# Resuming


@pytest.mark.parametrize(
    ("chunk", "stop", "other", "form"),
    [
        (7, 1, 7, "some"),
        (7, 2, 9, "some"),
        (1, 4, STEPS, "some"),
        (9, 2, 1, "some"),
        pytest.param(7, 1, STEPS, "everything", marks=pytest.mark.slow),
    ],
)
def test_resumed_is_uninterrupted(tmp_path, chunk, stop, other, form):
    path = tmp_path / "run.npz"
    options = {"stepper": tx.Heun(), "monitors": FORMS[form]}
    for _ in islice(chunks(chunk, **options, path=path), stop):
        pass
    parts = list(chunks(other, **options, path=str(path)))
    assert int(parts[0].state.step) == min(chunk * stop + other, STEPS)
    assert_same(parts[-1], whole(form=form))
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]


def test_a_complete_run_yields_once(tmp_path):
    path = tmp_path / "run.npz"
    for _ in chunks(7, stepper=tx.Heun(), path=path):
        pass
    written = path.stat().st_mtime_ns
    (again,) = chunks(3, stepper=tx.Heun(), path=path)
    assert_same(again, whole())
    assert path.stat().st_mtime_ns == written


def test_a_run_that_began_late(tmp_path):
    """The records and the file count from where the run began, not from step 0."""
    first = whole().state
    later = {**ARGUMENTS, "dt": 0.02, "stepper": tx.Heun()}
    path = tmp_path / "run.npz"
    next(tx.iterate(grid(), first, **later, chunk=7, path=path))
    *_, last = tx.iterate(grid(), first, **later, chunk=13, path=path)
    assert_same(last, tx.simulate(grid(), first, **later))


def test_one_system_and_no_monitors(tmp_path):
    system = tx.PhaseOscillators(np.linspace(-1, 1, 5))
    state = tx.init(system, phase=np.zeros(5))
    path = tmp_path / "run.npz"
    next(tx.iterate(system, state, dt=DT, steps=9, chunk=4, path=path))
    *_, last = tx.iterate(system, state, dt=DT, steps=9, chunk=4, path=path)
    assert_same(last, tx.simulate(system, state, dt=DT, steps=9))


OTHERS = {
    "model": lambda: {"model": grid(2.6)},
    "state": lambda: {"state": tx.init(grid(), key=jax.random.key(32), members=3)},
    "dt": lambda: {"dt": 0.0500001},
    "steps": lambda: {"steps": STEPS + 1},
    "stepper": lambda: {"stepper": tx.Euler()},
    "monitors": lambda: {"monitors": {**SOME, "r": tx.Moments(tx.mean_phase)}},
    "model and another dt": lambda: {"model": tx.per_member(model(), *disorder()), "dt": 0.1},
}


def disorder():
    return lambda m: m.frequency, np.zeros((3, SIZE))


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> bytes:
    """The file of a run stopped after its first chunk."""
    path = tmp_path_factory.mktemp("begun") / "run.npz"
    next(chunks(7, stepper=tx.Heun(), path=path))
    return path.read_bytes()


@pytest.mark.parametrize("other", OTHERS)
def test_another_run_is_refused(other, begun, tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(begun)
    asked = {
        "model": grid(),
        "state": start(),
        **ARGUMENTS,
        "stepper": tx.Heun(),
        **OTHERS[other](),
    }
    if other == "model and another dt":
        asked["state"] = tx.init(asked["model"], key=KEY, members=3)
        other = "model and state and dt"
    message = f"got {path}, which holds another run: not the same {other}; expected the run that"
    with pytest.raises(ValueError, match=message):
        tx.iterate(**asked, chunk=7, path=path)
    assert path.read_bytes() == begun


def test_what_has_no_name_is_refused(tmp_path):
    """Two functions without a name of their own could not be told apart when the run goes on."""
    unnamed = tx.readout(lambda model, state: state.phase[0])
    for monitor in (unnamed, tx.readout(inner())):
        with pytest.raises((TypeError, ValueError), match="Fix: define"):
            chunks(7, monitors={"it": tx.Moments(monitor)}, path=tmp_path / "run.npz")


def inner():
    def read(model, state):
        return state.phase[1]

    return read


# Kills


def grind(path: str) -> None:
    """The run of the kill tests: many short chunks, each written to a file of some MB."""
    system, arguments = long_run()
    for _ in tx.iterate(**arguments, model=system, chunk=4, path=path):
        print("chunk", flush=True)


def long_run():
    system = model("mean_field", "normal")
    state = tx.init(system, key=KEY, members=8)
    return system, {"state": state, "dt": DT, "steps": 20_000, "monitors": SOME}


def killed(path: Path, moments: random.Random, at_write: bool) -> None:
    """Start the run in a process of its own, let it go on from the file, and kill it."""
    compiled = {
        "JAX_COMPILATION_CACHE_DIR": str(path.parent.parent / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    process = subprocess.Popen(
        [sys.executable, str(HERE), str(path)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", **compiled},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "chunk\n"
        end = time.monotonic() + moments.uniform(0.0, 0.2)
        while time.monotonic() < end or (at_write and not unfinished(path)):
            time.sleep(0.0005)
            assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def unfinished(path: Path) -> list[Path]:
    return list(path.parent.glob(f".{path.name}.*.unfinished"))


def kill_and_look(path: Path, seed: int) -> tuple[list[int], int]:
    """How far the file was after each of ten kills, and how many were in the middle of a write."""
    moments, done, cut = random.Random(seed), [0], 0
    for kill in range(10):
        killed(path, moments, at_write=kill % 2 == 0)
        left = unfinished(path)
        assert len(left) <= 1  # what an earlier kill left is gone
        cut += len(left)
        header, arrays = _archive.read(path, "run")
        done.append(header["steps_done"])
        assert any(array.size for array in arrays)
    return done, cut


@pytest.mark.slow  # twenty processes, two at a time
def test_killed_at_any_moment(tmp_path):
    paths = [tmp_path / name / "run.npz" for name in ("one", "two")]
    for path in paths:
        path.parent.mkdir()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(kill_and_look, paths, (1, 2)))
    system, arguments = long_run()
    uninterrupted = tx.simulate(system, **arguments)
    for path, (done, cut) in zip(paths, found, strict=True):
        assert all(later > earlier for earlier, later in pairwise(done))
        assert 0 < done[-1] < 20_000
        # Of five kills on sight of a file half written, none meets one but in odds below 1e-4:
        # writing takes some ten ms, and it is looked for every half.
        assert cut >= 1
        *_, last = tx.iterate(system, **arguments, chunk=15_000, path=path)
        assert_same(last, uninterrupted)
        assert [file.name for file in path.parent.iterdir()] == ["run.npz"]


# Solutions in files


def solutions():
    """Solutions of every form, each with the model and monitors it is loaded with."""
    system, alone = model(), tx.PhaseOscillators(np.linspace(-1, 1, 5), tx.MeanField(1.0))
    still = tx.init(alone, phase=np.zeros(5))
    quiet = {"dt": DT, "steps": 3}
    broken = tx.PhaseOscillators(np.full(SIZE, 3e38))
    lost = tx.init(broken, phase=np.zeros(SIZE), members=2)
    return {
        "grid": lambda: (whole(), grid(), SOME),
        "everything": lambda: (whole(form="everything"), grid(), EVERYTHING),
        "no_members": lambda: (
            tx.simulate(system, tx.init(system, key=KEY), **ARGUMENTS),
            system,
            SOME,
        ),
        "no_key": lambda: (tx.simulate(alone, still, **quiet), alone, None),
        "not_finite": lambda: (
            tx.simulate(broken, lost, dt=10.0, steps=3, throw=False, monitors=SOME),
            broken,
            SOME,
        ),
        "in_parts": lambda: (in_parts(), grid(), SOME),
    }


def in_parts():
    plan = tx.plan(grid(), start(), **ARGUMENTS, stepper=tx.Heun())
    return run(stepper=tx.Heun(), memory=int(0.8 * plan.bytes))


@pytest.mark.parametrize(
    "case",
    [
        *("grid", "no_members", "no_key", "not_finite", "in_parts"),
        pytest.param("everything", marks=pytest.mark.slow),
    ],
)
def test_saved_and_loaded(case, tmp_path):
    solution, system, monitors = solutions()[case]()
    path = tmp_path / "sol.npz"
    solution.save(path)
    loaded = tx.Solution.load(str(path), system, monitors)
    assert_same(loaded, solution)
    assert loaded.specification == dict(monitors or {})
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(loaded))
    assert [file.name for file in tmp_path.iterdir()] == ["sol.npz"]
    if case == "not_finite":
        assert loaded.status.tolist() == [1, 1]
    else:
        options = {"dt": DT, "steps": 8, "monitors": dict(monitors or {})}
        more = [tx.simulate(system, one.state, **options) for one in (solution, loaded)]
        assert_same(solution.then(more[0]), loaded.then(more[1]))


def test_saved_in_float64(tmp_path, x64):
    system = model(dtype=jnp.float64)
    path = tmp_path / "sol.npz"
    solution = tx.simulate(system, tx.init(system, key=KEY, members=2), **ARGUMENTS)
    solution.save(path)
    assert_same(tx.Solution.load(path, system, SOME), solution)
    with jax.enable_x64(False):
        single = model()
        with pytest.raises(ValueError, match=r"float64, while 64-bit mode is off.*jax_enable_x64"):
            tx.Solution.load(path, single, SOME)


def test_loaded_with_other_arguments(tmp_path):
    path = tmp_path / "sol.npz"
    whole().save(path)
    for system, monitors, message in (
        (
            grid(),
            {"r": tx.Moments(tx.coherence)},
            r"\['r'\], of which none fit; expected the mon",
        ),
        (
            grid(),
            None,
            r"the monitors \[\], of which none fit; .*'trace_thin'.*. Fix: pass the same",
        ),
        (model(size=5), SOME, "of 12 oscillators in float32; expected 5 oscillators"),
    ):
        with pytest.raises(ValueError, match=message):
            tx.Solution.load(path, system, monitors)


def test_no_pickle_and_readable_by_numpy(tmp_path):
    path = tmp_path / "sol.npz"
    whole().save(path)
    with np.load(path, allow_pickle=False) as file:
        record = json.loads(file["header"].tobytes())
        assert (record["format"], record["version"], record["kind"]) == ("tauax", 1, "solution")
        shapes = [file[name].shape for name in file.files]
        assert (2, 3, SIZE) in shapes


# Bad files


@cache
def small() -> tuple[tx.Solution, tx.PhaseOscillators]:
    system = tx.PhaseOscillators(np.linspace(-1, 1, 3), tx.MeanField(1.0))
    return tx.simulate(system, tx.init(system, phase=np.zeros(3)), dt=DT, steps=3), system


def saved(path: Path) -> bytes:
    small()[0].save(path)
    return path.read_bytes()


def load(path: Path) -> tx.Solution:
    return tx.Solution.load(path, small()[1])


REFUSED = r"got .*bad\.npz.*; expected .*\. Fix: "


def test_truncated_files(tmp_path):
    path = tmp_path / "bad.npz"
    content = saved(path)
    for length in {*range(0, len(content), 97), 1, 4, 22, len(content) - 22, len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=REFUSED + "look for a copy"):
            load(path)


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_flipped_bits(tmp_path, stride):
    """One bit of a byte: refused in words, or without effect; never other numbers."""
    path = tmp_path / "bad.npz"
    content = saved(path)
    header, arrays = _archive.read(path, "solution")
    bits = np.random.default_rng(5).integers(8, size=len(content))
    harmless = 0
    for position in range(0, len(content), stride):
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(bits[position])
        path.write_bytes(damaged)
        try:
            found, numbers = _archive.read(path, "solution")
        except ValueError as error:
            assert "Fix: " in str(error), position
            continue
        harmless += 1
        assert found == header, position
        for one, other in zip(numbers, arrays, strict=True):
            assert one.dtype == other.dtype, position
            np.testing.assert_array_equal(one, other)
    # Dates, file attributes and the like, of which a zip archive is full; the numbers are not.
    assert harmless < 0.3 * len(content) / stride


def entry(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def header_of(**changes) -> bytes:
    """A file of no arrays, with a header that differs from a good one."""
    record = {"format": "tauax", "version": 1, "kind": "solution", "arrays": {}, "header": {}}
    text = json.dumps({**record, **changes}).encode()
    return entry(header=np.frombuffer(text, np.uint8))


def pickled() -> bytes:
    file = io.BytesIO(header_of())
    with zipfile.ZipFile(file, "a") as archive:
        array = io.BytesIO()
        np.save(array, np.asarray([{}], object), allow_pickle=True)
        archive.writestr("array0.npy", array.getvalue())
    return file.getvalue()


def single() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


FOREIGN = {
    "empty": (lambda: b"", "damaged or no file of tauax"),
    "text": (lambda: b"time,phase\n0,0\n", "damaged or no file of tauax"),
    "foreign": (lambda: entry(x=np.zeros(3)), "damaged or no file of tauax"),
    "foreign_header": (lambda: entry(header=np.zeros(3)), "damaged or no file of tauax"),
    "list": (lambda: entry(header=np.frombuffer(b"[]", np.uint8)), "damaged or no file of tauax"),
    "one_array": (single, "damaged or no file of tauax"),
    "zip": (lambda: zipped(b"hello"), "damaged or no file of tauax"),
    "pickled": (pickled, "damaged or no file of tauax"),
    "other_format": (lambda: header_of(format="other"), "read it with the version of tauax"),
    "future": (lambda: header_of(version=2), r"version 2; expected format 'tauax' version 1"),
    "other_kind": (lambda: header_of(kind="run"), "a saved run; expected a saved solution"),
    "no_array": (lambda: header_of(arrays={"array0": "0"}), "array0 does not match its checksum"),
}


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header", content)
    return file.getvalue()


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files(case, tmp_path):
    content, message = FOREIGN[case]
    path = tmp_path / "bad.npz"
    path.write_bytes(content())
    with pytest.raises(ValueError, match=message) as raised:
        load(path)
    assert str(raised.value).startswith(f"got {path}")
    assert "; expected " in str(raised.value) and ". Fix: " in str(raised.value)


def test_a_changed_number_does_not_match_its_checksum(tmp_path):
    """Also where the archive itself was made anew around it."""
    path = tmp_path / "bad.npz"
    saved(path)
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    name = next(name for name, array in entries.items() if array.shape == (3,))
    entries[name] = np.nextafter(entries[name], np.float32(9.0))
    path.write_bytes(entry(**entries))
    with pytest.raises(ValueError, match=f"whose {name} does not match its checksum"):
        load(path)


def test_a_run_is_no_solution(begun, tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(begun)
    with pytest.raises(ValueError, match="a saved run; expected a saved solution"):
        load(path)
    small()[0].save(path)
    with pytest.raises(ValueError, match="a saved solution; expected a saved run"):
        chunks(7, path=path)


def test_no_file_and_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")
    missing = tmp_path / "missing" / "run.npz"
    with pytest.raises(FileNotFoundError, match="missing"):
        small()[0].save(missing)
    with pytest.raises(FileNotFoundError, match="missing"):  # before anything has run
        chunks(7, path=missing)
    with pytest.raises(OSError, match="directory"):
        load(tmp_path)
    with pytest.raises(OSError, match="which is a folder"):
        small()[0].save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert [file for file in tmp_path.parent.iterdir() if file.name.endswith("unfinished")] == []


def test_what_killed_processes_left_is_removed(tmp_path):
    path = tmp_path / "sol[1].npz"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, living, foreign = (
        tmp_path / f".{path.name}.{name}.unfinished" for name in (ended.pid, os.getppid(), "mine")
    )
    for left in (dead, living, foreign):
        left.write_bytes(b"half")
    small()[0].save(path)
    assert {file.name for file in tmp_path.iterdir()} == {path.name, living.name, foreign.name}


# A full disk


def exhaust(path: str) -> None:
    """Write where no file may grow beyond 300 kB, as on a full disk; the messages go to stdout."""
    old = Path(path).read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    system = tx.PhaseOscillators(np.linspace(-1, 1, 64))
    state = tx.init(system, phase=np.zeros(64))
    arguments = {"dt": DT, "steps": 2_000, "monitors": {"phase": tx.Trace(tx.phase)}}
    solution = tx.simulate(system, state, **arguments)
    for write in (
        lambda: solution.save(path),
        lambda: next(tx.iterate(system, state, **arguments, chunk=500, path=f"{path}.run")),
    ):
        with pytest.raises(OSError, match="too large"):
            write()
    assert Path(path).read_bytes() == old
    small()[0].save(path)
    print("intact")


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "sol.npz"
    saved(path)
    done = subprocess.run(
        [sys.executable, str(HERE), str(path), "full"],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "intact\n"), done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["sol.npz"]
    assert_same(load(path), small()[0])


def test_a_failed_replacement_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "sol.npz"
    content = saved(path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_replacing.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        small()[0].save(path)
    monkeypatch.undo()
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["sol.npz"]


def test_a_chunk_that_could_not_be_written(tmp_path, monkeypatch):
    """The file keeps the chunk before, and the run goes on from there."""
    path = tmp_path / "run.npz"
    parts = chunks(7, stepper=tx.Heun(), path=path)
    next(parts)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint._archive, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        next(parts)
    monkeypatch.undo()
    first, *_, last = chunks(7, stepper=tx.Heun(), path=path)
    assert int(first.state.step) == 14
    assert_same(last, whole())


if __name__ == "__main__":
    exhaust(sys.argv[1]) if len(sys.argv) > 2 else grind(sys.argv[1])
