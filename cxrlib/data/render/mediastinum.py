"""The organs between the lungs: heart, great vessels, aortic knob, spine and airway."""

import cv2
import numpy as np

from cxrlib.data.annotations import box_centres
from cxrlib.data.render.anatomy import Anatomy, Organ
from cxrlib.data.render.drawing import (
    as_mask,
    blurred,
    curve,
    ellipse,
    fill,
    filled,
    soft_step,
    stroke,
    window_around,
)
from cxrlib.data.render.grid import Grid
from cxrlib.data.render.layers import Change, Effect, Window


def heart(grid: Grid, anatomy: Anatomy, organ: Organ) -> Change:
    """Heart and great vessels: they displace the lung's air, less of it towards their rounded border."""
    outline = grid.points(heart_outline(anatomy, organ.box))
    window, crop, outline = _around(outline, grid, 8)
    mask = filled(crop, outline)
    inner = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    rounded = np.float32(0.66) + np.float32(0.34) * np.sqrt(np.minimum(inner / np.float32(grid.wide(0.12)), 1))
    share = grid.enlarge(np.float32(organ.density) * blurred(mask * rounded, grid.soft(2)))
    return Change(grid.enlarge_window(window), Effect(1 - share, markings_kept=1 - np.float32(0.8) * share))


def heart_outline(anatomy: Anatomy, box: np.ndarray) -> np.ndarray:
    """Closed outline (n, 2) of heart and great vessels, in fractions; its lower part fills `box`."""
    x0, y0, x1, y1 = box
    width, height, mid, knob_y = x1 - x0, y1 - y0, anatomy.midline, anatomy.knob_y
    hilum_y = knob_y + 0.30 * (y1 - knob_y)
    points = [
        (mid - 0.060, knob_y - 0.02),
        (mid - 0.070, hilum_y),
        (min(mid - 0.06, x0 + 0.18 * width), (hilum_y + y0) / 2),
        (x0, y0 + 0.45 * height),
        (x0 + 0.08 * width, y0 + 0.88 * height),
        (x0 + 0.35 * width, y1),
        (x0 + 0.70 * width, y1),
        (x1 - 0.06 * width, y1 - 0.05 * height),
        (x1, y0 + 0.62 * height),
        (x1 - 0.09 * width, y0 + 0.10 * height),
        (max(mid + 0.085, x1 - 0.34 * width), (hilum_y + y0) / 2 - 0.01),
        (mid + 0.085, hilum_y),
        (mid + 0.050, knob_y + 0.05),
        (mid + 0.055, knob_y - 0.02),
    ]
    return curve([*points, points[0]])


def aortic_knob(grid: Grid, anatomy: Anatomy, organ: Organ) -> Change:
    """The aortic knob, which fills its box: the end of the arch, a smooth bulge of the mediastinum's left border.

    Its outer half is rounded; its inner half runs into the mediastinum and ends there without a border.
    """
    x0, y0, x1, y1 = organ.box
    middle, half = box_centres(organ.box), ((x1 - x0) / 2, (y1 - y0) / 2)
    window, crop, _ = _around(grid.points(ellipse(middle, half)), grid, 4)
    left, top = grid.points([(middle[0], middle[1])])[0] - (window[1].start, window[0].start)
    x = (np.arange(crop[1], dtype=np.float32) - np.float32(left)) / np.float32(grid.wide(half[0]))
    y = (np.arange(crop[0], dtype=np.float32) - np.float32(top)) / np.float32(grid.high(half[1]))
    arch = np.sqrt(np.maximum(1 - np.maximum(x, 0)[None, :] ** 2 - y[:, None] ** 2, 0))
    bulge = (np.float32(0.4) * (arch > 0) + np.float32(0.6) * arch) * soft_step((x + 1) / 0.7)[None, :]
    density = grid.enlarge(np.float32(organ.density) * blurred(bulge, grid.soft(1.6)))
    return Change(grid.enlarge_window(window), vascular(density))


def descending_aorta(grid: Grid, anatomy: Anatomy) -> np.ndarray:
    """Density of the aorta from the knob to the diaphragm, 0..1; it is the same below a knob of any size."""
    x0, _, x1, y1 = anatomy.knob.box
    middle, half = (x0 + x1) / 2, (x1 - x0) / 2
    aorta = curve(
        [
            (middle + 0.55 * half, anatomy.knob_y),
            (middle + 0.75 * half, y1),
            (anatomy.midline + 0.045, anatomy.knob_y + 0.45 * anatomy.knob_to_heart),
            (anatomy.midline + 0.02, anatomy.floor),
        ]
    )
    canvas = np.zeros(grid.shape, np.uint8)
    stroke(canvas, grid.points(aorta), max(grid.soft(2), grid.wide(0.75 * half)))
    return 0.6 * anatomy.knob.density * as_mask(canvas, grid.soft(1.5))


def vascular(density: np.ndarray) -> Effect:
    """A vessel as wide as the aorta, of `density` 0..1, in place of air."""
    share = np.minimum(np.float32(0.88) * density, 1)
    return Effect(1 - share, markings_kept=1 - np.float32(0.8) * share, tissue_added=np.float32(0.03) * density)


def spine_shadow(grid: Grid, anatomy: Anatomy) -> np.ndarray:
    """How much of the lung's air the spine displaces, 0..1."""
    top = anatomy.knob_y - 0.05
    column = [
        (anatomy.midline - 0.075, -0.1),
        (anatomy.midline + 0.080, -0.1),
        (anatomy.midline + 0.055, top),
        (anatomy.midline + 0.050, 1.1),
        (anatomy.midline - 0.050, 1.1),
        (anatomy.midline - 0.055, top),
    ]
    return 0.78 * filled(grid.shape, grid.points(column), grid.soft(2.5))


def _around(outline: np.ndarray, grid: Grid, margin: float) -> tuple[Window, tuple[int, int], np.ndarray]:
    """The window that holds an `outline` and `margin` pixels of the image, its size, and the outline in its pixels."""
    rows, cols = window = window_around(outline, grid.shape, grid.soft(margin))
    return window, (rows.stop - rows.start, cols.stop - cols.start), outline - (cols.start, rows.start)


def draw_spine_and_trachea(grid: Grid, anatomy: Anatomy) -> np.ndarray:
    """Vertebrae as a faint ladder, the trachea as a dark band that ends in the carina."""
    mid = anatomy.midline
    ladder = np.zeros(grid.shape, np.uint8)
    for y in np.arange(0.0, 1.0, 0.115 * anatomy.knob_to_heart):
        drop = 0.055 * anatomy.knob_to_heart * (0.8 + 0.5 * y)
        body = [(mid - 0.036, y), (mid + 0.036, y), (mid + 0.033, y + drop), (mid - 0.033, y + drop)]
        fill(ladder, grid.points(body))
    spine = 0.026 * as_mask(ladder, grid.soft(2))
    x = np.arange(grid.shape[1], dtype=np.float32) - np.float32(grid.wide(mid))
    spine += np.float32(0.10) * np.exp(-np.square(x / np.float32(grid.wide(0.065))))  # thickest in the middle

    knob_y = anatomy.knob_y
    carina = knob_y + 0.14 * anatomy.knob_to_heart
    airway = np.zeros(grid.shape, np.uint8)
    trachea = curve([(mid, -0.05), (mid - 0.004, knob_y - 0.06), (mid - 0.012, carina)])
    stroke(airway, grid.points(trachea), grid.wide(0.036))
    for sign, drop in ((-1, 0.17), (1, 0.13)):
        end = (mid - 0.012 + sign * 0.06, carina + drop * anatomy.knob_to_heart)
        stroke(airway, grid.points(curve([(mid - 0.012, carina), end])), grid.wide(0.024), 150)
    return spine - 0.12 * as_mask(airway, grid.soft(1.6))
