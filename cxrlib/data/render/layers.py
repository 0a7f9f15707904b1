"""The layers of a radiograph, what one lesion or organ changes in them, and how changes are put together."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

AIR_CONTRAST = 0.56  # attenuation the lung's air removes


Window = tuple[slice, slice]
"""Rows and columns of a rectangle."""


WHOLE: Window = (slice(None), slice(None))
"""The window of all pixels."""


@dataclass(frozen=True)
class Layers:
    """Layers of one radiograph, each float32 (rows, cols).

    Attributes:
        tissue: attenuation of everything but air and markings.
        air: aerated lung, 0..1.
        markings: attenuation of the vessels and their fine network.
        lung: mask of both lungs, 0..1.
        depth: distance from the lung's border in pixels, 0 outside the lungs.
    """

    tissue: np.ndarray
    air: np.ndarray
    markings: np.ndarray
    lung: np.ndarray
    depth: np.ndarray

    def crop(self, window: Window) -> "Layers":
        """The same rectangle of every layer."""
        return Layers(*(layer[window] for layer in (self.tissue, self.air, self.markings, self.lung, self.depth)))


@dataclass(frozen=True)
class Effect:
    """What a lesion or an organ does to the layers of its rectangle; None changes nothing.

    Attributes:
        air_kept: share of the air that stays.
        air_added: air that comes on top.
        markings_kept: share of all markings that stays, those that lesions add among them.
        markings_added: attenuation of further markings.
        tissue_added: attenuation of further tissue.
    """

    air_kept: np.ndarray | None = None
    air_added: np.ndarray | None = None
    markings_kept: np.ndarray | None = None
    markings_added: np.ndarray | None = None
    tissue_added: np.ndarray | None = None


@dataclass(frozen=True)
class Change:
    """An effect on one rectangle of a radiograph; outside of the rectangle nothing changes."""

    window: Window
    effect: Effect


def attenuation(layers: Layers, changes: Iterable[Change] = (), window: Window = WHOLE) -> np.ndarray:
    """Attenuation along the ray through each pixel of `window`, float32.

        tissue + sum(tissue_added) + (markings + sum(markings_added)) * prod(markings_kept)
            - AIR_CONTRAST * (air * prod(air_kept) + sum(air_added))

    It runs from about 0 (background air) to 1 (dense bone and tissue). Sums and products do not depend on the order of
    `changes` but for rounding, and each pixel depends on nothing but the changes that cover it.
    """
    part = layers.crop(window)
    origin = tuple(side.start or 0 for side in window)
    tissue, air, markings = part.tissue.copy(), part.air.copy(), part.markings.copy()
    covering = [(change.effect, *_common(change.window, origin, tissue.shape)) for change in changes]
    covering = [(effect, here, there) for effect, here, there in covering if here is not None]
    for effect, here, there in covering:
        if effect.tissue_added is not None:
            tissue[here] += effect.tissue_added[there]
        if effect.markings_added is not None:
            markings[here] += effect.markings_added[there]
        if effect.air_kept is not None:
            air[here] *= effect.air_kept[there]
    for effect, here, there in covering:
        if effect.markings_kept is not None:
            markings[here] *= effect.markings_kept[there]
        if effect.air_added is not None:
            air[here] += effect.air_added[there]
    air *= np.float32(AIR_CONTRAST)
    tissue += markings
    tissue -= air
    return tissue


def _common(window: Window, origin: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Window | None, Window | None]:
    """Where `window` and the rectangle of `shape` at `origin` overlap, as windows of the rectangle and of `window`."""
    here, there = [], []
    for side, start, length in zip(window, origin, shape, strict=True):
        low, high = max(side.start, start), min(side.stop, start + length)
        if low >= high:
            return None, None
        here.append(slice(low - start, high - start))
        there.append(slice(low - side.start, high - side.start))
    return tuple(here), tuple(there)


def union_window(windows: Iterable[Window]) -> Window:
    """The smallest window that holds all of `windows`.

    >>> union_window([(slice(2, 4), slice(0, 3)), (slice(3, 9), slice(1, 2))])
    (slice(2, 9, None), slice(0, 3, None))
    """
    rows, cols = zip(*windows, strict=True)
    return tuple(slice(min(side.start for side in sides), max(side.stop for side in sides)) for sides in (rows, cols))
