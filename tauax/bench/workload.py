"""What a workload is: named, made when it is asked for, checked before it is timed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tauax.bench.problem import Side
from tauax.bench.rivals import Rival


@dataclass(frozen=True)
class Task:
    """A workload about to be measured.

    **Attributes:** `sides`, the programs, ours first; `updates`, the units of work in a step;
    `check()`, how far each program is from the reference, raises `checks.Wrong`; `definition`, all
    that must be equal for two results to be comparable; `steps` of a call, or None to choose.
    """

    sides: Mapping[str, Side]
    updates: float
    check: Callable[[], Mapping[str, float]]
    definition: Mapping[str, Any]
    steps: int | None = None


@dataclass(frozen=True)
class Workload:
    """A row of the table.

    **Attributes:** `name`; `title`; `make(rivals)`, the task with the rivals that can do it;
    `quick`, whether it belongs to the suite of a minute; `targets`, the ratios asked for; `unit`.
    """

    name: str
    title: str
    make: Callable[[Sequence[Rival]], Task]
    quick: bool = False
    targets: Mapping[str, float] = field(default_factory=dict)
    unit: str = "oscillator-steps"
