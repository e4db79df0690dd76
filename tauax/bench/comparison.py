"""Two results side by side, and one held against the ratios that must not be lost."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from tauax._checks import fault
from tauax.bench.context import machine
from tauax.bench.suite import invalid

Bounds = Mapping[str, Mapping[str, float]]

# Half of what two loaded cores reach, and a third of what they reach when idle: what falls below
# has lost its vectors, stores nothing any more, or computes in Python.
BOUNDS: Bounds = {
    "mean-field": {"numpy": 3.5, "obvious_jax": 8.0},
    "mean-field-gaussian": {"numpy": 3.0, "obvious_jax": 5.0},
    "one-small": {"numpy": 5.0},
    "celegans": {"numpy": 0.6},
    "crystals": {"numpy": 0.5},
}


class Change(NamedTuple):
    """A program of a workload in two results: rates, and whether their spreads are apart."""

    workload: str
    side: str
    old: float
    new: float
    apart: bool

    @property
    def ratio(self) -> float:
        """New over old."""
        return self.new / self.old


def compare(old: Mapping[str, Any], new: Mapping[str, Any], force: bool = False) -> list[Change]:
    """Every program that both results have.

    **Raises:** `ValueError` for results of other machines or other workloads, unless forced, and
    for results that have nothing in common.
    """
    if not force:
        _check_comparable(old, new)
    changes = [
        _change(name, side, old["workloads"][name]["sides"][side], one["sides"][side])
        for name, one in new["workloads"].items()
        if one["valid"] and old["workloads"].get(name, {}).get("valid")
        for side in one["sides"]
        if side in old["workloads"][name]["sides"]
    ]
    if not changes:
        got = "two results without a program in common"
        raise fault(got, "results of the same workloads", "measure the same workloads")
    return changes


def _change(workload: str, side: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    apart = old["spread"][1] < new["spread"][0] or new["spread"][1] < old["spread"][0]
    return Change(workload, side, old["rate"], new["rate"], apart)


def _check_comparable(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    fix = "compare results of one machine and one table, or pass --force"
    places = [machine(one["context"]) for one in (old, new)]
    if places[0] != places[1]:
        raise fault(f"results of {places[0]} and of {places[1]}", "results of one machine", fix)
    names = [set(one["workloads"]) for one in (old, new)]
    if names[0] != names[1]:
        others = ", ".join(sorted(names[0] ^ names[1]))
        raise fault(f"workloads that only one of them has: {others}", "the same workloads", fix)
    for name in names[0]:
        if old["workloads"][name]["definition"] != new["workloads"][name]["definition"]:
            raise fault(f"two different workloads named {name}", "the same workloads", fix)


def bounds_of(names: Collection[str]) -> Bounds:
    """The bounds of these workloads, or of all that have some.

    **Raises:** `ValueError` where none of them has.
    """
    found = {name: least for name, least in BOUNDS.items() if not names or name in names}
    if not found:
        wanted = f"some of {', '.join(BOUNDS)}"
        raise fault(f"a gate for {', '.join(names)}", wanted, "leave --gate out")
    return found


def failures(results: Mapping[str, Any], bounds: Bounds = BOUNDS) -> list[str]:
    """What is below its bound, was not measured, or is wrong; empty if the gate opens."""
    missing = [f"{name}: not measured" for name in bounds if name not in results["workloads"]]
    low = [line for lines in below(results, bounds).values() for line in lines]
    return invalid(results) + missing + low


def below(results: Mapping[str, Any], bounds: Bounds = BOUNDS) -> dict[str, list[str]]:
    """The workloads with a ratio below its bound, and what to say of each."""
    found = {}
    for name, least in bounds.items():
        one = results["workloads"].get(name, {"valid": False})
        ratios = one["ratios"] if one["valid"] else least
        lines = [
            f"{name}: {ratios.get(rival, 0.0):.2f} × {rival}, at least {bound:g}"
            for rival, bound in least.items()
            if ratios.get(rival, 0.0) < bound
        ]
        if lines:
            found[name] = lines
    return found
