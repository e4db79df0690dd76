"""From a merged table to a checked `schema.Run`."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from tauax.runs.places import KeyPath
from tauax.runs.schema import Axis, Run
from tauax.runs.source import Source, suggestion

_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_RESERVED = ("member", "oscillator")
VARIABLE = ("frequency", "coupling", "noise", "drive")


def read(source: Source) -> Run:
    """The run that a source describes.

    **Raises:** `ConfigError` for an unknown or missing key, a wrong type, a number out of its range
    and keys that do not go together, each with the place of the fault.
    """
    run = _table(source, Run, source.table, ())
    _check_length(source, run)
    _check_monitors(source, run)
    for name, axis in (run.vary or {}).items():
        _check_axis(source, name, axis)
    if run.noise is not None and run.stepper == "rk4":
        fix = 'take "heun" or "sra1", or leave out [noise]'
        raise source.fault(("stepper",), 'stepper = "rk4" with noise', "a stepper for noise", fix)
    return run


def total_steps(run: Run) -> int:
    """The number of steps, from `steps` or `duration`."""
    return run.steps if run.steps is not None else round((run.duration or 0.0) / run.dt)


def hints(kind: type) -> dict[str, Any]:
    """The type of each key of a table."""
    return _hints(kind)


def kinds(hint: Any) -> tuple[type, ...]:
    """The tables that a type allows: one, or several told apart by `kind`."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return tuple(one for one in options if is_dataclass(one) and isinstance(one, type))


def named(hint: Any) -> tuple[type, ...]:
    """The tables in a table of named tables."""
    for option in (hint, *get_args(hint)):
        if get_origin(option) is dict:
            return kinds(get_args(option)[1])
    return ()


def describe(hint: Any) -> str:
    """What a value must be, in words."""
    if hint in _NAMES:
        return _NAMES[hint]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(_shown, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a list, each {describe(get_args(hint)[0])}"
    if kinds(hint):
        return "a table"
    if isinstance(hint, UnionType):
        return " or ".join(describe(one) for one in get_args(hint) if one is not NoneType)
    return "a table of named tables" if kinds(get_args(hint)[1]) else "a table of lists"


@cache
def _hints(kind: type) -> dict[str, Any]:
    found = get_type_hints(kind)
    return {name: hint for name, hint in found.items() if get_origin(hint) is not ClassVar}


def _table(source: Source, kind: type, table: Mapping[str, Any], path: KeyPath) -> Any:
    """A dataclass from a table, key by key."""
    known = {one.name: one for one in fields(kind)}
    optional = ("kind",) if hasattr(kind, "kind") else ()
    for name in table:
        if name not in known and name not in optional:
            names = (*optional, *known)
            got = f"an unknown key {name!r} {_where(path, kind)}"
            expected = f"one of {', '.join(names)}"
            raise source.fault((*path, name), got, expected, suggestion(name, names))
    given = {}
    for name, one in known.items():
        here, hint = (*path, name), _hints(kind)[name]
        if name in table:
            given[name] = _value(source, hint, table[name], here, one)
        elif one.default is MISSING:
            what = f"{name}, {describe(hint)}: {one.metadata['help']}"
            place = ".".join(map(str, here))
            fix = f"add [{place}]" if kinds(hint) else f"add {name} = ..."
            if named(hint):
                fix = f'add [{place}.NAME], such as [{place}.r] with kind = "moments"'
            raise source.fault(path, f"no {name!r} {_where(path, kind)}", what, fix)
    return kind(**given)


def _value(source: Source, hint: Any, value: Any, path: KeyPath, one: Field) -> Any:
    """A value checked against its type; lists, named tables and kinds are gone into."""
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if isinstance(value, dict) and kinds(hint):
        return _kind(source, kinds(hint), value, path)
    origins = [get_origin(option) for option in options]
    if isinstance(value, dict) and dict in origins:
        (mapping,) = (option for option in options if get_origin(option) is dict)
        inner = get_args(mapping)[1]
        return {k: _value(source, inner, v, (*path, k), one) for k, v in value.items()}
    if isinstance(value, list) and tuple in origins:
        (sequence,) = (option for option in options if get_origin(option) is tuple)
        inner = get_args(sequence)[0]
        return tuple(_value(source, inner, v, (*path, k), one) for k, v in enumerate(value))
    for option in options:
        if option in _NAMES or get_origin(option) is Literal:
            found = _scalar(option, value)
            if found is not None:
                _check_range(source, found, path, one)
                return found
    raise _wrong(source, hint, value, path, one)


def _kind(source: Source, options: tuple[type, ...], table: Mapping[str, Any], path: KeyPath):
    """The dataclass of the union whose kind the table names."""
    if len(options) == 1:
        (only,) = options
        if "kind" not in table or not hasattr(only, "kind"):
            return _table(source, only, table, path)
    by_name = {option.kind: option for option in options}
    expected = f"one of {', '.join(by_name)}"
    if "kind" not in table:
        got = f"[{_joined(path)}] without kind"
        raise source.fault(path, got, expected, f'add kind = "{next(iter(by_name))}" or another')
    wanted = table["kind"]
    if not isinstance(wanted, str) or wanted not in by_name:
        got = f"{_joined(path)}.kind = {_shown(wanted)}"
        fix = suggestion(str(wanted), tuple(by_name))
        raise source.fault((*path, "kind"), got, expected, fix)
    return _table(source, by_name[wanted], table, path)


def _scalar(option: Any, value: Any) -> Any:
    """The value as the wanted type, or None."""
    if get_origin(option) is Literal:
        same = (one for one in get_args(option) if one == value and type(one) is type(value))
        return next(same, None)
    if isinstance(value, bool) or option is bool:
        return value if option is bool and isinstance(value, bool) else None
    number = isinstance(value, int | float) and math.isfinite(value)
    if option is float and number:
        return float(value)
    if option is int and number and float(value).is_integer():
        return int(value)
    return value if option is str and isinstance(value, str) else None


def _check_range(source: Source, value: Any, path: KeyPath, one: Field) -> None:
    least, above = one.metadata["least"], one.metadata["above"]
    if isinstance(value, bool | str):
        return
    if (least is not None and value < least) or (above is not None and value <= above):
        bound = f"≥ {least}" if least is not None else f"> {above}"
        got = f"{_joined(path)} = {_shown(value)}"
        raise source.fault(path, got, f"a number {bound}", one.metadata["help"])


def _wrong(source: Source, hint: Any, value: Any, path: KeyPath, one: Field) -> Exception:
    choices = [
        choice
        for option in (get_args(hint) if isinstance(hint, UnionType) else (hint,))
        if get_origin(option) is Literal
        for choice in get_args(option)
    ]
    fix = one.metadata["help"]
    if choices and isinstance(value, str):
        fix = suggestion(value, [str(choice) for choice in choices])
    return source.fault(path, f"{_joined(path)} = {_shown(value)}", describe(hint), fix)


def _check_length(source: Source, run: Run) -> None:
    if (run.steps is None) == (run.duration is None):
        got = "neither steps nor duration" if run.steps is None else "both steps and duration"
        place = () if run.steps is None else ("duration",)
        raise source.fault(place, got, "one of them", "write for example steps = 2000")
    if run.duration is not None:
        ratio = run.duration / run.dt
        # dt is decimal: its rounding in binary is far below a millionth of a step in most runs.
        if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6 * max(1.0, ratio):
            got = f"duration = {run.duration:g} with dt = {run.dt:g}"
            fix = f"take duration = {max(1, round(ratio)) * run.dt:g}, or another dt"
            raise source.fault(("duration",), got, "a whole number of steps", fix)


def _check_monitors(source: Source, run: Run) -> None:
    steps = total_steps(run)
    if not run.monitors:
        raise source.fault(("monitors",), "no monitor", "at least one", "add [monitors.r]")
    for name, monitor in run.monitors.items():
        path = ("monitors", name)
        if not name.isidentifier():
            expected = "letters, digits and underscores"
            raise source.fault(path, f"a monitor named {name!r}", expected, "rename it")
        if monitor.after >= steps:
            got = f"monitors.{name}.after = {monitor.after} in a run of {steps} steps"
            raise source.fault((*path, "after"), got, "a step of the run", "lower it")


def _check_axis(source: Source, name: str, axis: Axis) -> None:
    path = ("vary", name)
    if not name.isidentifier() or name in _RESERVED:
        expected = f"letters, digits and underscores, other than {' and '.join(_RESERVED)}"
        raise source.fault(path, f"an axis named {name!r}", expected, "rename it")
    given = [way for way in ("values", "linspace", "geomspace") if getattr(axis, way) is not None]
    if len(given) != 1:
        got = f"[vary.{name}] with {' and '.join(given) or 'no values'}"
        fix = "write for example linspace = [0.0, 4.0, 9]"
        raise source.fault(path, got, "one of values, linspace and geomspace", fix)
    way, here = given[0], (*path, given[0])
    numbers = getattr(axis, way)
    if way == "values":
        if not numbers:
            raise source.fault(here, "no values", "at least one", "give some, or drop the axis")
        return
    count = numbers[-1] if len(numbers) == 3 else 0
    if not float(count).is_integer() or count < 2:
        fix = "write for example [0.0, 4.0, 9]"
        raise source.fault(here, f"{way} = {list(numbers)}", "[first, last, count ≥ 2]", fix)
    if way == "geomspace" and min(numbers[:2]) <= 0:
        expected = "ends > 0"
        raise source.fault(here, f"{way} = {list(numbers)}", expected, "take linspace or values")


def _where(path: KeyPath, kind: type) -> str:
    return f"in [{_joined(path)}]" if path else "at the top level"


def _joined(path: KeyPath) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shown(value: Any) -> str:
    """A value as TOML has it, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
