"""A chest without findings, put together from its organs."""

import cv2
import numpy as np

from cxrlib.data.render.anatomy import SIDES, Anatomy
from cxrlib.data.render.bones import draw_bones
from cxrlib.data.render.drawing import as_mask, blurred, curve, fill, smooth_noise
from cxrlib.data.render.grid import Grid
from cxrlib.data.render.layers import Layers
from cxrlib.data.render.mediastinum import descending_aorta, draw_spine_and_trachea, spine_shadow
from cxrlib.data.render.soft_tissue import draw_abdomen, draw_body
from cxrlib.data.render.vessels import draw_vessels

COARSE = 2
"""Pixels of the image for one of the grid on which the chest is drawn."""


def draw_chest(shape: tuple[int, int], anatomy: Anatomy, rng: np.random.Generator) -> Layers:
    """Layers of a chest without lung findings, heart and aortic knob, on an array of `shape` (rows, cols), both even.

    Vessels are drawn at full size, all else on a grid of half the size.
    """
    fine, grid = Grid(shape), Grid(shape, COARSE)
    canvas = np.zeros(grid.shape, np.uint8)
    for sign in SIDES:
        fill(canvas, grid.points(lung_outline(anatomy, sign)))
    depth = cv2.distanceTransform((canvas > 127).astype(np.uint8), cv2.DIST_L2, 3)
    lung = as_mask(canvas, grid.soft(0.7))

    aorta = descending_aorta(grid, anatomy)
    tissue = draw_body(grid, anatomy, rng)
    tissue += draw_abdomen(grid, anatomy, rng)
    tissue += draw_bones(grid, anatomy, blurred(lung, grid.wide(0.012)))
    tissue += np.float32(0.03) * aorta
    tissue += draw_spine_and_trachea(grid, anatomy)

    kept = (1 - spine_shadow(grid, anatomy)) * (1 - np.float32(0.95) * aorta)
    thickness = np.sqrt(np.minimum(depth / np.float32(grid.wide(0.11)), 1))
    air = lung * (0.30 + 0.70 * blurred(thickness, grid.soft(2))) * kept
    markings = draw_vessels(fine, grid, anatomy, rng)
    markings *= grid.enlarge(lung * (0.2 + 0.8 * kept))
    markings += grid.enlarge(np.float32(0.012) * lung * kept * smooth_noise(grid.shape, grid.soft(5), rng))
    return Layers(grid.enlarge(tissue), grid.enlarge(air), markings, grid.enlarge(lung), grid.enlarge(COARSE * depth))


def lung_outline(anatomy: Anatomy, sign: int) -> np.ndarray:
    """Closed outline (n, 2) of one lung, in fractions, down to the costophrenic angle."""
    side, mid = anatomy.side(sign), anatomy.midline
    reach = side.wall_x - mid  # signed
    height = side.base_y - side.apex_y
    wall = [
        (mid + 0.13 * reach, side.apex_y + 0.10 * height),
        (mid + 0.26 * reach, side.apex_y + 0.02 * height),
        (mid + 0.46 * reach, side.apex_y),
        (mid + 0.68 * reach, side.apex_y + 0.07 * height),
        (mid + 0.86 * reach, side.apex_y + 0.24 * height),
        (mid + 0.97 * reach, side.apex_y + 0.50 * height),
        (mid + 1.00 * reach, side.apex_y + 0.78 * height),
        (mid + 0.97 * reach, side.base_y),
    ]
    dome = [
        wall[-1],
        (mid + 0.90 * reach, side.base_y - 0.45 * (side.base_y - side.dome_y)),
        (mid + 0.72 * reach, side.base_y - 0.85 * (side.base_y - side.dome_y)),
        (mid + 0.48 * reach, side.dome_y),
        (mid + 0.25 * reach, side.dome_y + 0.012),
        (mid + 0.07 * reach, side.dome_y + 0.035),
    ]
    return np.vstack([curve(wall), curve(dome)])
