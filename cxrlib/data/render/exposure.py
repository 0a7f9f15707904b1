"""Grey values of an attenuation image: exposure, film curve, noise, collimation and the side marker."""

from dataclasses import dataclass

import cv2
import numpy as np

from cxrlib.data.render.drawing import blurred
from cxrlib.data.render.layers import WHOLE, Window

CURVE_STEPS = 2**13
"""Entries of the table of the film curve."""


CURVE_RANGE = (-0.5, 1.7)
"""Attenuation of its first and last entry."""


@dataclass(frozen=True)
class Film:
    """How one radiograph is exposed. Nothing of it depends on what is radiographed.

    Each pixel's grey value depends on the attenuation at that pixel alone, so what differs between two radiographs on
    the same film is where their attenuation differs.

    Attributes:
        curve: float32 (CURVE_STEPS,), grey values of attenuations over CURVE_RANGE.
        grain: float32 (rows, cols), noise of a pixel of grey value 0.4.
        field: float32 (rows, cols), 1 where the X-ray field is; None without collimation.
        marker: float32 (rows, cols), 0..1, where the side letter is; None without one.
        marker_grey: the letter's grey value.
    """

    curve: np.ndarray
    grain: np.ndarray
    field: np.ndarray | None
    marker: np.ndarray | None
    marker_grey: float

    def develop(self, attenuation: np.ndarray, window: Window = WHOLE) -> np.ndarray:
        """Grey values (float32, about 0..1, dense is bright) of the `attenuation` in `window`."""
        low, high = CURVE_RANGE
        steps = (attenuation - np.float32(low)) * np.float32((CURVE_STEPS - 1) / (high - low))
        np.clip(steps, 0, CURVE_STEPS - 1, out=steps)
        grey = self.curve[steps.astype(np.int32)]
        grey += (grey + np.float32(0.6)) * self.grain[window]
        if self.field is not None:
            grey *= self.field[window]
        if self.marker is not None:
            grey += self.marker[window] * (np.float32(self.marker_grey) - grey)
        return grey


def sample_film(shape: tuple[int, int], rng: np.random.Generator) -> Film:
    """Draw exposure, contrast, grain, collimation and side marker of a radiograph of `shape`."""
    curve = _film_curve(
        shift=0.03 * rng.standard_normal(),
        contrast=np.exp(0.10 * rng.standard_normal()),
        gamma=np.exp(0.15 * rng.standard_normal()),
    )
    noise = np.float32(0.005 * np.exp(0.35 * rng.standard_normal()))
    blur = rng.uniform(0.3, 0.7)
    grain = noise * blurred(rng.standard_normal(shape, dtype=np.float32), blur)
    field = _collimated_field(shape, rng)
    marker, marker_grey = _side_marker(shape, rng)
    return Film(curve, grain, field, marker, marker_grey)


def _film_curve(shift: float, contrast: float, gamma: float) -> np.ndarray:
    grey = 0.5 + contrast * 1.05 * (np.linspace(*CURVE_RANGE, CURVE_STEPS) - 0.53) + shift
    grey = 1 / (1 + np.exp(-4.2 * (grey - 0.5)))  # toe and shoulder of the film
    return (grey**gamma).astype(np.float32)


def _collimated_field(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray | None:
    """The X-ray field, whose outside is dark; None for a radiograph without collimation."""
    rows, cols = shape
    margins = rng.uniform(0, 0.022, size=4)
    if rng.random() >= 0.4:
        return None
    top, bottom, left, right = np.round(margins * (rows, rows, cols, cols)).astype(int)
    inside_rows, inside_cols = np.zeros(rows, np.float32), np.zeros(cols, np.float32)
    inside_rows[top : rows - bottom] = inside_cols[left : cols - right] = 1
    return 0.03 + 0.97 * blurred(inside_rows[:, None], 0.8) * blurred(inside_cols[None, :], 0.8)


def _side_marker(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray | None, float]:
    """An L or R in an upper corner and its grey value; some radiographs have none."""
    rows, cols = shape
    letter = "L" if rng.random() < 0.6 else "R"
    size = rng.uniform(0.7, 1.1) * cols / 450
    margin = rng.uniform(0.04, 0.08, size=2)
    brightness = rng.uniform(0.85, 1.0)
    if rng.random() < 0.15:
        return None, 0.0
    x = margin[0] if letter == "R" else 1 - margin[0] - 0.04
    canvas = np.zeros(shape, np.uint8)
    origin = (round(x * cols), round((margin[1] + 0.03) * rows))
    cv2.putText(canvas, letter, origin, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 2, cv2.LINE_AA)
    return canvas.astype(np.float32) / 255, brightness
