"""Files merged into one: `extends`, `without`, and values given on the command line."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from tauax.runs import places

PRESET = "preset:"
# Ways to say one thing: a file that says it in one way drops the way of its base.
_WAYS = ({"steps", "duration"}, {"values", "linspace", "geomspace"})


class ConfigError(ValueError):
    """A fault in the description of a run, with the place where it is."""


@dataclass
class Source:
    """A description of a run before it is checked.

    **Attributes:** `table`, nested and merged; `origin`, the place of every path that was given,
    such as "run.toml:12"; `name`, of the run; `folder`, to which its paths are relative.
    """

    table: dict[str, Any]
    origin: dict[places.KeyPath, str]
    name: str
    folder: Path = field(default_factory=Path.cwd)

    def place(self, path: places.KeyPath) -> str:
        """Where a path was given, or the nearest table around it."""
        while path not in self.origin and path:
            path = path[:-1]
        return self.origin.get(path, self.name)

    def fault(self, path: places.KeyPath, got: str, expected: str, fix: str) -> ConfigError:
        """The error at a path, in the package's one form with its place in front."""
        return _error(self.place(path), got, expected, fix)


def presets() -> dict[str, str]:
    """The text of each preset by its name."""
    folder = files("tauax.runs") / "presets"
    found = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in found
        if entry.name.endswith(".toml")
    }


def load(name: str, settings: Sequence[str] = ()) -> Source:
    """The run of a file or of a preset, its bases merged, with `path=value` settings on top.

    **Raises:** `ConfigError` for text that is not TOML, a base that is not there or leads in a
    circle, and a setting that is no `path=value`; `OSError` for a file that cannot be read.
    """
    source = _read(name, Path.cwd(), "", ())
    for setting in settings:
        _set(source, setting)
    _absolute(source.table, source.folder)
    return source


def suggestion(word: str, known: Sequence[str]) -> str:
    """What to do about an unknown word."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"take one of {', '.join(known)}"


def _read(name: str, folder: Path, place: str, chain: tuple[str, ...]) -> Source:
    """A file or preset named at `place` in a file of `folder`, on top of what it extends."""
    shown, text, folder = _text(name, folder, place)
    if shown in chain:
        circle = " → ".join((*chain[chain.index(shown) :], shown))
        raise _error(place, f"the circle {circle}", "files that extend others", "break it")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        number = line[1] if line else text.count("\n") + 1
        raise ConfigError(f"{shown}:{number}: not valid TOML: {error}") from error
    origin = {path: f"{shown}:{line}" for path, line in places.lines(text).items()}
    own = Source(table, origin, Path(shown).stem.removeprefix(PRESET), folder)
    base = table.pop("extends", None)
    dropped = table.pop("without", [])
    if base is None:
        if dropped:
            raise own.fault(("without",), "without", "extends beside it", "say what it extends")
        return own
    if not isinstance(base, str):
        raise own.fault(("extends",), f"{base!r}", "the name of a file", 'write "preset:name"')
    merged = _read(base, folder, own.place(("extends",)), (*chain, shown))
    _absolute(merged.table, merged.folder)
    _drop(merged, own, dropped)
    _merge(merged, own, table, ())
    return Source(merged.table, merged.origin, own.name, own.folder)


def _text(name: str, folder: Path, place: str) -> tuple[str, str, Path]:
    """(shown name, text, folder of its own paths) of `preset:x`, of a file, or of a bare preset."""
    path = folder / name
    is_file = not name.startswith(PRESET) and path.is_file()
    if is_file:
        path = path.resolve()
        here = Path.cwd()
        shown = str(path.relative_to(here) if path.is_relative_to(here) else path)
        try:
            return shown, path.read_text(encoding="utf-8"), path.parent
        except UnicodeDecodeError as error:
            raise ConfigError(f"{shown}: not valid TOML: not UTF-8 text ({error})") from error
    wanted, known = name.removeprefix(PRESET), presets()
    if wanted in known and (name.startswith(PRESET) or not place):
        return f"{PRESET}{wanted}", known[wanted], Path.cwd()
    looks_like_file = wanted.endswith(".toml") and not name.startswith(PRESET)
    fix = "correct the path" if looks_like_file else suggestion(wanted, list(known))
    raise _error(place, f"{name!r}", "a TOML file that exists or the name of a preset", fix)


def _error(place: str, got: str, expected: str, fix: str) -> ConfigError:
    front = f"{place}: " if place else ""
    end = "" if fix.endswith("?") else "."
    return ConfigError(f"{front}got {got}; expected {expected}. Fix: {fix}{end}")


def _absolute(table: dict[str, Any], folder: Path) -> None:
    """Make every path of a data file absolute, as they are relative to the file that has them."""
    for key, value in table.items():
        if isinstance(value, dict):
            _absolute(value, folder)
        elif key == "file" and isinstance(value, str):
            table[key] = str((folder / value).resolve())


def _drop(base: Source, own: Source, dropped: Any) -> None:
    if not isinstance(dropped, list):
        raise own.fault(("without",), f"{dropped!r}", "a list of paths", 'write ["vary.strength"]')
    for index, name in enumerate(dropped):
        *parents, last = str(name).split(".")
        table: Any = base.table
        for part in parents:
            table = table.get(part) if isinstance(table, dict) else None
        if not isinstance(table, dict) or last not in table:
            raise own.fault(
                ("without", index), f"{name!r}", "a path that the base has", "correct or remove it"
            )
        del table[last]


def _merge(base: Source, own: Source, table: Mapping[str, Any], path: places.KeyPath) -> None:
    """Put a table into the one at `path` of the base, key by key.

    A table of another kind replaces the one of the base: its keys mean something else.
    """
    into: Any = base.table
    for part in path:
        into = into[part]
    for ways in _WAYS:
        for other in ways - table.keys() if ways & table.keys() else ():
            into.pop(other, None)
    for key, value in table.items():
        here = (*path, key)
        old = into.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and not _other_kind(old, value):
            _merge(base, own, value, here)
        else:
            into[key] = value
            stale = [found for found in base.origin if found[: len(here)] == here]
            for found in stale:
                del base.origin[found]
        for found, place in own.origin.items():
            if found[: len(here)] == here:
                base.origin[found] = place


def _other_kind(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "kind" in new and new["kind"] != old.get("kind")


def _set(source: Source, setting: str) -> None:
    """Apply a `path=value`; a value that is no TOML is text."""
    path, equals, text = setting.partition("=")
    keys = [key.strip() for key in path.split(".")]
    if not equals or not all(keys):
        raise ConfigError(
            f"--set {setting}: got no path=value; expected one. "
            "Fix: write for example --set coupling.strength=2.0."
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table: dict[str, Any] = {keys[-1]: value}
    for key in reversed(keys[:-1]):
        table = {key: table}
    origin: dict[places.KeyPath, str] = {tuple(keys): f"--set {setting}"}
    _merge(source, Source({}, origin, ""), table, ())
