"""The anchors of tau crystals as states, with what leads from one to another."""

from collections.abc import Sequence

import numpy as np

from tauax._checks import check_instance, fault
from tauax.hints import ANCHORS
from tauax.monitors.transitions import TransitionsResult
from tauax.plots.base import bands, blank


def anchors(result: TransitionsResult, *, names: Sequence[str] = ANCHORS[:3]):
    """The anchors as circles, and an arrow for every transition with its probability per record.

    All members are taken together. The area of a circle grows with the share of the records there.

    **Arguments:** `result`, of a monitor `tx.Transitions(tx.anchor)`; `names`, one per code.

    **Returns:** a figure of matplotlib; `.savefig(path)` writes it.

    **Raises:** `ValueError` for names that do not fit; `ImportError` without matplotlib.
    """
    fix = 'pass solution.monitors["jumps"] of monitors={"jumps": tx.Transitions(tx.anchor)}'
    check_instance("result", result, TransitionsResult, fix)
    size = len(result.codes)
    if len(names) != size:
        raise fault(f"{len(names)} names", f"{size}, one per code", "pass names= for all codes")
    counts = np.asarray(result.counts, float).reshape(-1, size, size).sum(axis=0)
    total = counts.sum(axis=1)
    chances = counts / np.maximum(total, 1.0)[:, None]
    jumps = np.argwhere((counts > 0) & ~np.eye(size, dtype=bool))
    reach = 0.3 + 0.45 * np.abs(np.diff(jumps)).max(initial=1)
    figure = blank(width=2.9 * size, height=1.2 + 2.4 * reach)
    panel = figure.subplots()
    for a, share in enumerate(total / max(total.sum(), 1.0)):
        text = f"{names[a]}\n{share:.1%}\nstays {chances[a, a]:.1%}"
        panel.scatter(a, 0, 4_000 + 6_000 * share, [bands(size)[a]], edgecolors="0.4", zorder=2)
        panel.text(a, 0, text, ha="center", va="center", fontsize=9, zorder=3)
    for a, b in jumps.tolist():
        _draw_arrow(panel, a, b, chances[a, b])
    panel.set(xlim=(-0.5, size - 0.5), ylim=(-reach, reach))
    panel.set_title("share of the records, and probability from one to the next", fontsize=10)
    panel.set_axis_off()
    return figure


def _draw_arrow(panel, a: int, b: int, chance: float) -> None:
    """From one circle to another: above to the right, below to the left."""
    look = {"arrowstyle": "-|>", "color": "0.3", "connectionstyle": "arc3,rad=-0.5"}
    panel.annotate("", (b, 0), (a, 0), arrowprops={**look, "shrinkA": 40, "shrinkB": 40})
    height = 0.47 * (b - a)
    side = "bottom" if b > a else "top"
    panel.text((a + b) / 2, height, f"{chance:.2%}", ha="center", va=side, fontsize=9)
