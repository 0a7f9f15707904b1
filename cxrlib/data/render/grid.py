"""The grid of pixels that is drawn on: every pixel of an image, or one for each square of them."""

from dataclasses import dataclass

import cv2
import numpy as np

from cxrlib.data.render.layers import Window


@dataclass(frozen=True)
class Grid:
    """Pixels that cover an image of `image` (rows, cols): one for each `step` x `step` of the image's.

    What is soft anyway is drawn on a coarse grid and enlarged once, which is several times faster and looks the same.
    """

    image: tuple[int, int]
    step: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self.image[0] // self.step, self.image[1] // self.step

    def points(self, fractions: np.ndarray) -> np.ndarray:
        """Points (n, 2) in fractions of the image as pixels of the grid.

        >>> Grid((100, 200), step=2).points([(0.5, 0.5)])
        array([[49.75, 24.75]])
        """
        return (np.asarray(fractions) * (self.image[1], self.image[0]) + 0.5) / self.step - 0.5

    def wide(self, fraction: float) -> float:
        """A share of the image's width in pixels of the grid."""
        return fraction * self.image[1] / self.step

    def high(self, fraction: float) -> float:
        """A share of the image's height in pixels of the grid."""
        return fraction * self.image[0] / self.step

    def soft(self, pixels: float) -> float:
        """A width in pixels of the image in pixels of the grid."""
        return pixels / self.step

    def enlarge(self, layer: np.ndarray) -> np.ndarray:
        """A layer of the grid, or a window of one, at the image's pixels."""
        if self.step == 1:
            return layer
        size = (layer.shape[1] * self.step, layer.shape[0] * self.step)
        return cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR)

    def enlarge_window(self, window: Window) -> Window:
        """A window of the grid as a window of the image."""
        return tuple(slice(side.start * self.step, side.stop * self.step) for side in window)
