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
    memory = jax.tree_util.tree_leaves_with_path(fresh.search.memory)
    asked = {
        "loss": task.loss,
        "model": task.model,
        "where": task.leaves,
        "transform": task.transforms,
        "optimizer": [(jax.tree_util.keystr(place), plain(leaf)) for place, leaf in memory],
        "key": plain(task.key),
        "common_noise": task.common_noise,
        **extent,
    }
    return Checkpoint(path, "fit", asked, fresh)
