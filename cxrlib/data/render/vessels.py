"""Vessels of the lungs."""

import numpy as np

from cxrlib.data.render.anatomy import SIDES, Anatomy
from cxrlib.data.render.drawing import as_mask, ellipse, fill, stroke


def draw_vessels(shape: tuple[int, int], scale: np.ndarray, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Vessels that leave the hila, branch and taper towards the lung's border."""
    canvas, hila = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    thick = 0.015 * shape[1]
    for sign in SIDES:
        reach = abs(anatomy.side(sign).wall_x - anatomy.midline)
        drop = (0.38 if sign < 0 else 0.33) * anatomy.knob_to_heart
        hilum = np.array([anatomy.midline + sign * 0.25 * reach, anatomy.knob_y + drop])
        fill(hila, ellipse(hilum, (0.026, 0.045)) * scale)
        angles = np.concatenate([np.linspace(-1.3, -0.4, 4), np.linspace(-0.1, 1.45, 6)])
        for angle in angles + 0.12 * rng.standard_normal(10):
            step = np.array([sign * np.cos(angle) * reach, np.sin(angle) * 0.9 * anatomy.knob_to_heart])
            length = rng.uniform(0.22, 0.34)
            _branch(canvas, scale, hilum, length * step, thick * rng.uniform(0.45, 0.9), 3, rng)
    vessels = 0.11 * as_mask(canvas, 0.6) + 0.10 * as_mask(hila, 0.014 * shape[1])
    return anatomy.lung_markings * vessels


def _branch(canvas, scale, start, step, thickness, generations, rng):
    """Draw one vessel and its two branches; `start` and `step` in fractions, `thickness` in pixels."""
    aside = np.array([-step[1], step[0]])
    middle = start + 0.5 * step + rng.uniform(-0.10, 0.10) * aside
    end = start + step + rng.uniform(-0.15, 0.15) * aside
    stroke(canvas, np.array([start, middle, end]) * scale, thickness, min(255, 60 + 35 * thickness))
    if generations > 1:
        onward = end - middle
        for angle in (rng.uniform(0.1, 0.45), -rng.uniform(0.1, 0.45)):
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            longer = 2 * rng.uniform(0.6, 0.95) * onward @ turn
            _branch(canvas, scale, end, longer, 0.62 * thickness, generations - 1, rng)
