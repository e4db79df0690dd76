"""What a fit is known by in its file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from tauax.checkpoint import Checkpoint, plain
from tauax.learn.descent import Course, Task


def file_of(path: Path, task: Task, extent: Mapping[str, Any], fresh: Course) -> Checkpoint[Course]:
    """The file of one fit.

    The optimiser is code, so it is known by what it remembers at the start only; the loss by its
    name.
    """
    examples, validation = task.examples, task.validation
    judged = validation and (_leaves(validation.data), validation.loss)
    asked = {
        "loss": task.loss,
        "model": task.problem.model,
        "where": task.problem.leaves,
        "transform": task.problem.transforms,
        "optimizer": _leaves(fresh.search.memory),
        "key": plain(task.key),
        "common_noise": task.common_noise,
        "data": examples and _leaves(examples.data),
        "batch": examples and examples.batch,
        "validation": validation and (judged, validation.every, validation.patience),
        **extent,
    }
    return Checkpoint(path, "fit", asked, fresh)


def _leaves(tree: Any) -> list[tuple[str, Any]]:
    """The arrays of any pytree, with their places."""
    places = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(place), plain(leaf)) for place, leaf in places]
