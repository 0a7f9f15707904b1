"""Ribs, clavicles, shoulder blades and upper arms."""

import numpy as np

from cxrlib.data.render.anatomy import SIDES, Anatomy
from cxrlib.data.render.drawing import as_mask, blurred, curve, ellipse, fill, soft_step, stroke, strokes
from cxrlib.data.render.grid import Grid


def draw_bones(grid: Grid, anatomy: Anatomy, cage: np.ndarray) -> np.ndarray:
    """Ribs (back and front), clavicles, scapulae and upper arms."""
    bones = _shoulder_girdle(grid, anatomy)
    aside = np.abs(np.arange(grid.shape[1], dtype=np.float32) - np.float32(grid.wide(anatomy.midline)))
    cage = cage * (0.4 + 0.6 * soft_step(aside / np.float32(grid.wide(0.22))))  # fainter over heart and spine
    for paths, strength, width in (
        (_posterior_ribs(anatomy), 0.070, 0.021),
        (_anterior_ribs(anatomy), 0.036, 0.024),
    ):
        canvas = np.zeros(grid.shape, np.uint8)
        strokes(canvas, grid.points(paths), np.full(len(paths), grid.high(width)), np.full(len(paths), 255))
        rib = as_mask(canvas, grid.soft(0.8))
        rims = np.maximum(rib - blurred(rib, grid.high(0.008)), 0)
        bones += strength * cage * (0.65 * rib + 1.3 * rims)
    return bones


def _posterior_ribs(anatomy):
    paths = []
    for sign in SIDES:
        side, mid = anatomy.side(sign), anatomy.midline
        reach, height = side.wall_x - mid, side.base_y - side.apex_y
        for i in range(11):
            y = side.apex_y + height * (0.02 + 0.088 * i)
            arch = min(1.0, 0.60 + 0.13 * i)
            drop = anatomy.rib_slope * (0.8 + 0.09 * i)
            points = [
                (mid + 0.10 * reach, y),
                (mid + 0.38 * reach * arch, y - 0.012),
                (mid + 0.72 * reach * arch, y + 0.22 * drop),
                (mid + 0.95 * reach * arch, y + 0.75 * drop),
                (mid + 1.03 * reach * arch, y + 1.3 * drop),
            ]
            paths.append(points)
    return curve(paths, 6)


def _anterior_ribs(anatomy):
    paths = []
    for sign in SIDES:
        side, mid = anatomy.side(sign), anatomy.midline
        reach, height = side.wall_x - mid, side.base_y - side.apex_y
        for i in range(6):
            y = side.apex_y + height * (0.10 + 0.125 * i)
            arch = min(1.0, 0.70 + 0.10 * i)
            points = [
                (mid + 1.02 * reach * arch, y + 0.02),
                (mid + 0.85 * reach * arch, y + 0.08),
                (mid + (0.45 + 0.04 * i) * reach * arch, y + 0.125 + 0.004 * i),
            ]
            paths.append(points)
    return curve(paths, 6)


def _shoulder_girdle(grid, anatomy):
    """Clavicles, shoulder blades and the heads and shafts of the upper arms."""
    collars, blades, arms = (np.zeros(grid.shape, np.uint8) for _ in range(3))
    for sign in SIDES:
        side, mid = anatomy.side(sign), anatomy.midline
        reach, lift = side.wall_x - mid, -sign * anatomy.tilt
        y = side.apex_y + 0.055
        collar = [
            (mid + anatomy.turn + sign * 0.030, y + 0.050),
            (mid + 0.30 * reach, y + 0.030),
            (mid + 0.62 * reach, y - 0.012 + lift / 2),
            (mid + 0.90 * reach, y - 0.030 + lift),
            (mid + 1.18 * reach, y - 0.028 + lift),
        ]
        stroke(collars, grid.points(curve(collar)), grid.high(0.024))
        top = side.apex_y + 0.03 + lift
        blade = [
            (mid + 0.97 * reach, top + 0.01),
            (mid + 0.93 * reach, top + 0.10),
            (mid + 1.00 * reach, top + 0.24),
            (mid + 1.08 * reach, top + 0.20),
            (mid + 1.18 * reach, top + 0.08),
            (mid + 1.22 * reach, top + 0.02),
            (mid + 0.97 * reach, top + 0.01),
        ]
        fill(blades, grid.points(curve(blade)))
        fill(arms, grid.points(ellipse((mid + 1.34 * reach, top + 0.045), (0.050, 0.045))))
        shaft = np.array([(1.31, 0.05), (1.43, 0.05), (1.52, 0.60), (1.42, 0.60)]) * (reach, 1) + (mid, top)
        fill(arms, grid.points(shaft))
    collar = as_mask(collars, grid.soft(1.2))
    blade = as_mask(blades, grid.soft(2.5))
    return (
        0.075 * collar
        + 0.10 * np.maximum(collar - blurred(collar, grid.high(0.010)), 0)
        + 0.035 * blade
        + 0.06 * np.maximum(blade - blurred(blade, grid.high(0.012)), 0)
        + 0.08 * as_mask(arms, grid.soft(2.5))
    )
