"""What figures share; needs matplotlib, `pip install "tauax[plot]"`."""

from functools import cache
from io import BytesIO

import numpy as np

MANY = 6  # lines with a legend
_BANDS = np.array([(0.55, 0.75, 0.88), (0.94, 0.94, 0.94), (0.97, 0.66, 0.50)])


def require():
    """The class of figures; ImportError with the remedy, before any work is done in vain."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('figures need matplotlib: pip install "tauax[plot]"') from error
    return Figure


@cache
def _shown():
    """The class of figures that a notebook shows when a cell ends with one."""

    class Shown(require()):
        def _repr_png_(self) -> bytes:
            file = BytesIO()
            self.savefig(file, format="png", dpi=100)
            return file.getvalue()

    return Shown


def blank(width: float, height: float):
    """An empty figure of a size in inches, laid out by itself."""
    return _shown()(figsize=(width, height), layout="constrained")


def shades(count: int) -> list:
    """So many colours from dark to light."""
    from matplotlib import colormaps

    return [colormaps["viridis"](0.85 * position / max(count - 1, 1)) for position in range(count)]


def evenly(count: int, most: int) -> np.ndarray:
    """At most so many positions, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def bands(levels: int) -> np.ndarray:
    """The colours of the levels of thresholds, lowest first, `[level, 3]`."""
    place = np.linspace(0, 2, levels)
    return np.stack([np.interp(place, (0, 1, 2), channel) for channel in _BANDS.T], axis=1)
