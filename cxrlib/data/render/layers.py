"""The layers of a radiograph that findings change."""

from dataclasses import dataclass

import numpy as np

AIR_CONTRAST = 0.56  # attenuation the lung's air removes


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

    def crop(self, top: int, bottom: int, left: int, right: int) -> "Layers":
        """Views of the same rectangle of every layer. Drawing on a view changes the whole layer."""
        window = (slice(top, bottom), slice(left, right))
        return Layers(*(layer[window] for layer in (self.tissue, self.air, self.markings, self.lung, self.depth)))

    def attenuation(self) -> np.ndarray:
        """Attenuation along the ray through each pixel: `tissue + markings - AIR_CONTRAST * air`.

        It runs from about 0 (background air) to 1 (dense bone and tissue).
        """
        return self.tissue + self.markings - AIR_CONTRAST * self.air
