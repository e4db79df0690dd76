"""Results in lines of text."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tauax.bench.comparison import Change
from tauax.bench.rivals import OURS
from tauax.bench.workload import Workload


def listed(workloads: Iterable[Workload]) -> Iterator[str]:
    """A line for each workload."""
    for one in workloads:
        yield f"{one.name:<22} {'quick' if one.quick else '':<6} {one.title}"


def heading(context: Mapping[str, Any]) -> Iterator[str]:
    """The machine and the versions."""
    machine, device = context["machine"], context["device"]
    yield f"{machine['cpu']['model']}, {machine['cores']} cores, {machine['cpu'].get('flags', '')}"
    yield f"{device['count']} × {device['kind']} ({device['platform']})"
    yield ", ".join(f"{name} {version}" for name, version in context["versions"].items())


def without(skipped: Mapping[str, str]) -> Iterator[str]:
    """The rivals that cannot run here, and why."""
    for name, reason in skipped.items():
        yield f"without {name}: {reason}"


def bounds(least: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """What a gate asks for."""
    for name, rivals in least.items():
        yield f"gate: {name} at least " + ", ".join(
            f"{x:g} × {rival}" for rival, x in rivals.items()
        )


def table(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    """The programs of a workload: rates in millions a second, spread, rates per core, ratios."""
    yield f"{name}: {result['title']}"
    if not result["valid"]:
        yield f"  INVALID: {result['why']}"
        return
    yield (
        f"  {'10⁶ ' + result['unit'] + '/s':<26} {'median':>8} {'lowest':>8} {'highest':>8} "
        f"{'cores':>5} {'devices':>7} {'per core':>8}  ours over it"
    )
    for side, one in result["sides"].items():
        low, high = one["spread"]
        figures = f"{_number(one['rate'])} {_number(low)} {_number(high)}"
        cores = one["cores"] or "–"
        per_core = _number(one["rate_per_core"]) if one["cores"] else f"{'–':>8}"
        yield (
            f"  {side:<26} {figures} {cores:>5} {one['devices']:>7} {per_core}  "
            f"{_ratio(side, result)}{'  ' + one['detail'] if one['detail'] else ''}"
        )


def _ratio(side: str, result: Mapping[str, Any]) -> str:
    if side == OURS:
        return f"{'':>8}"
    ratio, asked = result["ratios"][side], result["targets"].get(side)
    if asked is None:
        return f"{ratio:>7.2f}×"
    verdict = "reached" if ratio >= asked else "NOT reached"
    return f"{ratio:>7.2f}× (asked {asked:g}: {verdict})"


def _number(rate: float) -> str:
    millions = rate / 1e6
    return f"{millions:>8.0f}" if millions >= 100 else f"{millions:>8.3g}"


def changes(found: Iterable[Change]) -> Iterator[str]:
    """A line for each program of two results."""
    yield f"{'workload':<22} {'program':<26} {'old':>8} {'new':>8}  new/old"
    for one in found:
        mark = "" if not one.apart else "  faster" if one.ratio > 1 else "  SLOWER"
        yield (
            f"{one.workload:<22} {one.side:<26} {_number(one.old)} {_number(one.new)}  "
            f"{one.ratio:.2f}{mark}"
        )
