"""The schema in words, and a run as TOML."""

import inspect
import json
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from textwrap import wrap
from typing import Any

from tauax.runs.reader import describe, hints, kinds, named
from tauax.runs.schema import Run

_WIDTH = 100
_PREAMBLE = """\
A run is a TOML file. Every key is listed with its type, its default and its meaning.

Beside these keys a file may have
  extends = "other.toml" or "preset:name": what it is based on; tables are merged key by key, and
                      a table whose kind differs replaces the one of the base
  without = ["vary.strength", ...]: what the base has and this file drops
"""


def schema() -> str:
    """Every table and key of the description of a run."""
    return "\n".join([_PREAMBLE, *_section("at the top level", Run)])


def toml(run: Run) -> str:
    """The run with every key written out, as a file that gives the same run."""
    return "\n".join(_toml_table(plain(run), ())).strip() + "\n"


def _section(title: str, kind: type, path: tuple[str, ...] = ()) -> Iterator[str]:
    yield title
    yield f"  {inspect.getdoc(kind)}"
    inner = []
    for one in fields(kind):
        hint = hints(kind)[one.name]
        tables = kinds(hint) or named(hint)
        yield from _key(one, hint)
        if tables:
            name = (*path, one.name, "NAME") if named(hint) else (*path, one.name)
            inner.append((name, tables))
    yield ""
    for name, tables in inner:
        for table in tables:
            own = f'kind = "{table.kind}"' if hasattr(table, "kind") else ""
            yield from _section(f"[{'.'.join(name)}] {own}".rstrip(), table, name)


def _key(one: Field, hint: Any) -> Iterator[str]:
    least, above = one.metadata["least"], one.metadata["above"]
    bound = f" ≥ {least}" if least is not None else f" > {above}" if above is not None else ""
    if one.default is MISSING:
        default = "required"
    elif one.default is None or is_dataclass(one.default):
        default = "may be left out"
    else:
        default = f"default {_toml_value(plain(one.default))}"
    first = f"{one.metadata['help']} ({describe(hint)}{bound}; {default})"
    lines = wrap(first, _WIDTH - 18, break_long_words=False)
    yield f"  {one.name:<15} {lines[0]}"
    yield from (f"{'':<18}{line}" for line in lines[1:])


def plain(value: Any) -> Any:
    """Dataclasses as dicts with their kind, tuples as lists, without what is None."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name: getattr(value, one.name) for one in fields(value)}
        kind = getattr(value, "kind", None)
        named = ({} if kind is None else {"kind": kind}) | named
        return {name: plain(part) for name, part in named.items() if part is not None}
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, tuple) else value


def _toml_table(table: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table: its values, then the tables in it."""
    inner = {name: value for name, value in table.items() if isinstance(value, dict)}
    if path and len(inner) < len(table):
        yield f"\n[{'.'.join(map(_toml_key, path))}]"
    for name, value in table.items():
        if name not in inner:
            yield f"{_toml_key(name)} = {_toml_value(value)}"
    for name, value in inner.items():
        yield from _toml_table(value, (*path, name))


def _toml_key(name: str) -> str:
    bare = name.replace("-", "").replace("_", "")
    return name if bare.isascii() and bare.isalnum() else _toml_value(name)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_toml_value, value))}]"
    return repr(value)
