"""The layers of a radiograph that findings change."""

from dataclasses import dataclass

import numpy as np

AIR_CONTRAST = 0.56  # attenuation the lung's air removes


@dataclass(frozen=True)
class Layers:
    """Layers of one radiograph, float32 (rows, cols). Attenuation is tissue + markings - AIR_CONTRAST * air.

    air: aerated lung, 0..1. lung: mask of both lungs, 0..1. depth: pixels from the lung's border, 0
    outside. markings: vessels and their fine network. tissue: all else.
    """

    tissue: np.ndarray
    air: np.ndarray
    markings: np.ndarray
    lung: np.ndarray
    depth: np.ndarray

    def crop(self, top: int, bottom: int, left: int, right: int) -> "Layers":
        """Views of the same rectangle of every layer: what is drawn on them is drawn on the radiograph."""
        window = (slice(top, bottom), slice(left, right))
        return Layers(*(layer[window] for layer in (self.tissue, self.air, self.markings, self.lung, self.depth)))

    def attenuation(self) -> np.ndarray:
        """Attenuation along the ray through each pixel, about 0 (background air) to 1 (dense bone and tissue)."""
        return self.tissue + self.markings - AIR_CONTRAST * self.air
