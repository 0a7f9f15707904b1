"""Grey values of an attenuation image: exposure, film curve, noise, collimation and the side marker."""

import cv2
import numpy as np

from cxrlib.data.render.drawing import blurred


def develop(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey values (float32, about 0..1, dense is bright) of an `attenuation` image (rows, cols).

    Exposure, contrast and noise are drawn per radiograph and do not depend on the findings.
    """
    shift = 0.03 * rng.standard_normal()
    contrast = np.exp(0.10 * rng.standard_normal())
    gamma = np.exp(0.15 * rng.standard_normal())
    noise = 0.005 * np.exp(0.35 * rng.standard_normal())
    blur = rng.uniform(0.3, 0.7)

    grey = 0.5 + contrast * 1.05 * (attenuation - 0.53) + shift
    grey = 1 / (1 + np.exp(-4.2 * (grey - 0.5)))  # toe and shoulder of the film
    grey = np.power(grey, gamma, dtype=np.float32)
    grain = rng.standard_normal(grey.shape, dtype=np.float32)
    grain = blurred(grain, blur) if blur >= 0.3 else grain
    return grey + noise * (0.6 + grey) * grain


def collimate(grey: np.ndarray, rng: np.random.Generator) -> None:
    """Darken the border outside the X-ray field of some radiographs, in place."""
    rows, cols = grey.shape
    margins = rng.uniform(0, 0.022, size=4)
    if rng.random() < 0.4:
        top, bottom, left, right = np.round(margins * (rows, rows, cols, cols)).astype(int)
        field = np.zeros_like(grey)
        field[top : rows - bottom, left : cols - right] = 1
        grey *= 0.03 + 0.97 * blurred(field, 0.8)


def stamp_side_marker(grey: np.ndarray, rng: np.random.Generator) -> None:
    """Stamp an L or R into an upper corner, in place; some radiographs have none."""
    rows, cols = grey.shape
    letter = "L" if rng.random() < 0.6 else "R"
    size = rng.uniform(0.7, 1.1) * cols / 450
    margin = rng.uniform(0.04, 0.08, size=2)
    brightness = rng.uniform(0.85, 1.0)
    if rng.random() < 0.15:
        return
    x = margin[0] if letter == "R" else 1 - margin[0] - 0.04
    canvas = np.zeros(grey.shape, np.uint8)
    origin = (round(x * cols), round((margin[1] + 0.03) * rows))
    cv2.putText(canvas, letter, origin, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 2, cv2.LINE_AA)
    mask = canvas.astype(np.float32) / 255
    grey += mask * (brightness - grey)
