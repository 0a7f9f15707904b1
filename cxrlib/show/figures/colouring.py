"""The colours of a heatmap over a radiograph: one rule for figures, browser and their colour bars.

A map is shown as fractions of its maximum, v = max(raw, 0) / max raw. Its opacity is

    a(v) = strongest * v^2

so that the radiograph stays as it is where the map is low: 4 % at a quarter of the maximum, 18 % at half of it. The
colour goes from yellow to red. With this opacity it stands the further from black, grey and white the higher v is.

A map with more than FINE cells in a line has values for single points, of which a few are far above all others. Such a
map is shown as fractions of its 99th percentile, as Smilkov et al. (SmoothGrad, 2017) do, and without contour lines.
"""

from functools import lru_cache

import matplotlib
import numpy as np

HEATMAP = "autumn_r"
"""Colours of a heatmap over a radiograph: yellow where it is low, red at its maximum."""


TRUE, PREDICTED = "#2ca02c", "#c77cff"
"""The thesis's colours: green for the readers' boxes, purple for the boxes of the heatmap."""


DIMMED = 0.35
"""Brightness of a radiograph under a map of single points, whose thin marks would be lost on it."""


OPACITY = 0.7
"""Opacity of a heatmap's maximum, 0..1."""


LEVELS = (0.25, 0.5, 0.75)
"""Fractions of the maximum at which contour lines run."""


FINE = 32
"""Most cells in a line of a map whose contour lines are drawn and whose maximum is the top of the scale."""


PERCENTILE = 99
"""The percentile of the positive values that is the top of the scale of a finer map."""


GREYS = (0.0, 0.5, 1.0)
"""Greys under a colour bar, 0..1: black, grey and white, side by side."""


def is_fine(raw: np.ndarray) -> bool:
    """Whether a map (rows, columns) has values for single points rather than for areas."""
    return max(raw.shape[-2:]) > FINE


def top_of(raw: np.ndarray) -> float:
    """The value of a raw map (rows, columns) that has the strongest colour: the maximum; 0 for a map of zeros.

    >>> top_of(np.array([[0.0, 2.0], [4.0, -8.0]]))
    4.0
    """
    positive = raw[raw > 0]
    if not positive.size:
        return 0.0
    return float(np.percentile(positive, PERCENTILE) if is_fine(raw) else positive.max())


def relative(raw: np.ndarray, top: float) -> np.ndarray:
    """Values of a map as fractions of `top`, clipped to 0..1: float32. Zeros where `top` is 0.

    >>> relative(np.array([-1.0, 1.0, 4.0]), 2.0).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.clip(raw / top if top > 0 else np.zeros_like(raw), 0, 1).astype(np.float32)


def coloured(values: np.ndarray, strongest: float = OPACITY, colours: str = HEATMAP) -> np.ndarray:
    """Red, green, blue and opacity of fractions: float32 (..., 4) in 0..1.

    Args:
        values: float (...) in 0..1.
        strongest: opacity of the value 1.
        colours: name of a colour map of matplotlib.

    >>> coloured(np.array([0.5]), strongest=1.0)[0, 3].item()
    0.25
    """
    opacity = strongest * np.square(values, dtype=np.float32)
    return np.concatenate([colour_table(colours)[np.rint(values * 255).astype(int)], opacity[..., None]], axis=-1)


def blended(picture: np.ndarray, values: np.ndarray, strongest: float = OPACITY, colours: str = HEATMAP) -> np.ndarray:
    """A picture under the colours of a map.

    Args:
        picture: uint8 (height, width, 3).
        values: fractions (height, width), 0..1.
        strongest, colours: as in `coloured`.

    Returns:
        uint8 (height, width, 3).
    """
    layer = coloured(values, strongest, colours)
    return np.rint(picture + layer[..., 3:] * (255 * layer[..., :3] - picture)).astype(np.uint8)


@lru_cache
def colour_table(name: str) -> np.ndarray:
    """The 256 colours of a colour map, float32 (256, 3) in 0..1."""
    return matplotlib.colormaps[name](np.arange(256))[:, :3].astype(np.float32)


def bar_picture(height: int, width: int, strongest: float = OPACITY, colours: str = HEATMAP) -> np.ndarray:
    """The scale from 1 at the top to 0, over black, grey and white beside each other: uint8 (height, width, 3)."""
    grey = np.array(GREYS)[np.arange(width) * len(GREYS) // width]
    under = np.broadcast_to(np.rint(255 * grey).astype(np.uint8)[None, :, None], (height, width, 3))
    return blended(under, np.repeat(np.linspace(1, 0, height)[:, None], width, axis=1), strongest, colours)


def edge(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two sides of a region's border, each a pixel wide: its own pixels, and those around it.

    The border of the picture is none: a region that touches it stays open there.

    Args:
        inside: boolean (height, width).

    Returns:
        Boolean arrays of that shape: pixels inside with one of four neighbours outside, and the reverse.

    >>> [side.astype(int).tolist() for side in edge(np.array([[True, True, False, False]]))]
    [[[0, 1, 0, 0]], [[0, 0, 1, 0]]]
    """
    framed = np.pad(inside, 1, mode="edge")
    around = [framed[1:-1, :-2], framed[1:-1, 2:], framed[:-2, 1:-1], framed[2:, 1:-1]]
    return inside & ~np.logical_and.reduce(around), ~inside & np.logical_or.reduce(around)
