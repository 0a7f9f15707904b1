"""Small drawing tools: curves, filled shapes, strokes and smooth noise as float32 arrays.

Points are (x, y) in pixels of the array that is drawn on; shapes are (rows, cols).
"""

import math
from functools import cache

import cv2
import numpy as np

from cxrlib.data.render.layers import Window

SUBPIXEL_BITS = 4  # OpenCV draws fixed-point coordinates: 1/16 pixel


def curve(points: np.ndarray, steps: int = 12) -> np.ndarray:
    """Open Catmull-Rom curves through `points` (..., n, 2), n >= 2; returns (..., (n - 1) * steps + 1, 2)."""
    points = np.asarray(points, dtype=np.float64)
    first, last = points[..., :1, :], points[..., -1:, :]
    before = 2 * first - points[..., 1:2, :]
    after = 2 * last - points[..., -2:-1, :]
    padded = np.concatenate([before, points, after], axis=-2)
    fours = np.stack([padded[..., i : i + points.shape[-2] - 1, :] for i in range(4)], axis=-2)
    inner = _catmull_rom(steps) @ fours
    return np.concatenate([inner.reshape(*points.shape[:-2], -1, 2), last], axis=-2)


@cache
def _catmull_rom(steps: int) -> np.ndarray:
    """Weights (steps, 4) of four consecutive points, between the second and the third."""
    t = np.arange(steps) / steps
    return 0.5 * np.column_stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    )


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) as the int32 fixed-point array OpenCV's drawing functions take."""
    return np.round(np.asarray(points) * (1 << SUBPIXEL_BITS)).astype(np.int32)


def ellipse(middle: tuple[float, float], half_axes: tuple[float, float]) -> np.ndarray:
    """Outline (48, 2) of an upright ellipse."""
    return np.asarray(middle) + np.asarray(half_axes) * _circle()


@cache
def _circle() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def fill(canvas: np.ndarray, outline: np.ndarray) -> None:
    """Fill the polygon `outline` (n, 2) on a uint8 `canvas`, in place."""
    cv2.fillPoly(canvas, [fixed_point(outline)], 255, cv2.LINE_AA, SUBPIXEL_BITS)


def filled(shape: tuple[int, int], outline: np.ndarray, softness: float = 0.0) -> np.ndarray:
    """Mask of the polygon `outline` (n, 2): float32 in 0..1, edge blurred by `softness` pixels (sigma)."""
    canvas = np.zeros(shape, np.uint8)
    fill(canvas, outline)
    return as_mask(canvas, softness)


def window_around(outline: np.ndarray, shape: tuple[int, int], margin: float) -> Window:
    """The window of an image of `shape` that holds the points `outline` (n, 2) and `margin` pixels around them."""
    (left, top), (right, bottom) = np.floor(outline.min(axis=0) - margin), np.ceil(outline.max(axis=0) + margin)
    rows, cols = np.clip([top, bottom], 0, shape[0]).astype(int), np.clip([left, right], 0, shape[1]).astype(int)
    return slice(int(rows[0]), int(rows[1])), slice(int(cols[0]), int(cols[1]))


def as_mask(canvas: np.ndarray, softness: float = 0.0) -> np.ndarray:
    """A uint8 `canvas` as float32 in 0..1, blurred by `softness` pixels (sigma)."""
    return blurred(canvas, softness) * np.float32(1 / 255)


def stroke(canvas: np.ndarray, path: np.ndarray, thickness: float, level: int = 255) -> None:
    """Draw the open `path` (n, 2) on a uint8 `canvas`, in place; `thickness` in pixels, at least 1."""
    cv2.polylines(canvas, [fixed_point(path)], False, int(level), max(1, round(thickness)), cv2.LINE_AA, SUBPIXEL_BITS)


def strokes(canvas: np.ndarray, paths: np.ndarray, thickness: np.ndarray, levels: np.ndarray) -> None:
    """`stroke` of each of n `paths` (n, m, 2), with `thickness` and `levels` (n,) of their own, in place."""
    points = np.round(paths * (1 << SUBPIXEL_BITS)).astype(np.int32)
    widths = np.maximum(1, np.round(thickness)).astype(int).tolist()
    for path, width, level in zip(points, widths, levels.astype(int).tolist(), strict=True):
        cv2.polylines(canvas, [path], False, level, width, cv2.LINE_AA, SUBPIXEL_BITS)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with `sigma` in pixels; the image itself for sigma below 0.3.

    Wide blurs run on a smaller grid, which is many times faster and looks the same.
    """
    if sigma < 0.3:
        return image
    shrink = int(sigma // 2)
    if shrink < 2 or min(image.shape) < 8 * shrink:
        return cv2.GaussianBlur(image, _kernel(sigma), sigma)
    rows, cols = image.shape
    small = cv2.resize(image, (cols // shrink, rows // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, _kernel(sigma / shrink), sigma / shrink)
    return cv2.resize(small, (cols, rows), interpolation=cv2.INTER_LINEAR)


def _kernel(sigma):
    """Size of a kernel of 2.5 sigma on each side. OpenCV's own choice, 4 sigma, takes longer."""
    side = 2 * math.ceil(2.5 * sigma) + 1
    return side, side


def smooth_noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with mean 0 and a spread near 1, float32, whose blobs are about `scale` pixels wide."""
    rows, cols = shape
    grid = rng.standard_normal((max(2, round(rows / scale)) + 2, max(2, round(cols / scale)) + 2), np.float32)
    return 1.4 * cv2.resize(grid, (cols, rows), interpolation=cv2.INTER_CUBIC)


def soft_step(x: np.ndarray) -> np.ndarray:
    """Smooth step `3 x^2 - 2 x^3`: 0 below 0, 1 above 1.

    >>> soft_step(np.array([-1.0, 0.5, 2.0]))
    array([0. , 0.5, 1. ])
    """
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
