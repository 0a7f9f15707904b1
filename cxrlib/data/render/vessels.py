"""Vessels of the lungs."""

import numpy as np

from cxrlib.data.render.anatomy import SIDES, Anatomy
from cxrlib.data.render.drawing import as_mask, ellipse, fill, strokes
from cxrlib.data.render.grid import Grid

GENERATIONS = 3
"""How often a vessel branches, and 1."""


def draw_vessels(fine: Grid, coarse: Grid, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Vessels that leave the hila, branch and taper towards the lung's border; hila are drawn on the coarse grid."""
    canvas, hila = np.zeros(fine.shape, np.uint8), np.zeros(coarse.shape, np.uint8)
    thick = fine.wide(0.012)
    for sign in SIDES:
        reach = abs(anatomy.side(sign).wall_x - anatomy.midline)
        drop = (0.38 if sign < 0 else 0.33) * anatomy.knob_to_heart
        hilum = np.array([anatomy.midline + sign * 0.25 * reach, anatomy.knob_y + drop])
        fill(hila, coarse.points(ellipse(hilum, (0.026, 0.045))))
        angles = np.concatenate([np.linspace(-1.3, -0.4, 4), np.linspace(-0.1, 1.45, 6)])
        angles = angles + 0.12 * rng.standard_normal(10)
        steps = np.column_stack([sign * np.cos(angles) * reach, np.sin(angles) * 0.9 * anatomy.knob_to_heart])
        starts = np.tile(hilum, (10, 1))
        steps *= rng.uniform(0.22, 0.34, (10, 1))
        thickness = thick * rng.uniform(0.45, 0.9, 10)
        for _ in range(GENERATIONS):
            middles, ends = _bend(starts, steps, rng)
            paths = fine.points(np.stack([starts, middles, ends], axis=1))
            strokes(canvas, paths, thickness, np.minimum(255, 60 + 35 * thickness))
            starts, steps, thickness = _fork(middles, ends, thickness, rng)
    vessels = 0.085 * as_mask(canvas, fine.soft(0.7))
    vessels += coarse.enlarge(0.13 * as_mask(hila, coarse.wide(0.016)))
    return vessels * np.float32(anatomy.lung_markings)


def _bend(starts: np.ndarray, steps: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Middles and ends (n, 2) of vessels from `starts`, a little aside of `steps`."""
    aside = np.column_stack([-steps[:, 1], steps[:, 0]])
    count = len(starts)
    middles = starts + 0.5 * steps + rng.uniform(-0.10, 0.10, (count, 1)) * aside
    return middles, starts + steps + rng.uniform(-0.15, 0.15, (count, 1)) * aside


def _fork(middles: np.ndarray, ends: np.ndarray, thickness: np.ndarray, rng: np.random.Generator) -> tuple:
    """Starts, steps and thickness of the two thinner branches of each vessel."""
    onward = np.tile(ends - middles, (2, 1)) * 2 * rng.uniform(0.6, 0.95, (2 * len(ends), 1))
    angles = rng.uniform(0.1, 0.45, 2 * len(ends))
    angles[len(ends) :] *= -1
    cos, sin, (x, y) = np.cos(angles), np.sin(angles), onward.T
    turned = np.column_stack([x * cos - y * sin, x * sin + y * cos])
    return np.tile(ends, (2, 1)), turned, np.tile(0.62 * thickness, 2)
