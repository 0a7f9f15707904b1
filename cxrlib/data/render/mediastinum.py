"""The organs between the lungs: heart, great vessels, aortic knob, spine and airway."""

import cv2
import numpy as np

from cxrlib.data.annotations import box_centres
from cxrlib.data.render.anatomy import Anatomy
from cxrlib.data.render.drawing import as_mask, blurred, curve, ellipse, fill, filled, soft_step, stroke


def heart_outline(anatomy: Anatomy) -> np.ndarray:
    """Closed outline (n, 2) of heart and great vessels, in fractions; its lower part fills the heart's box."""
    x0, y0, x1, y1 = anatomy.heart
    width, height, mid = x1 - x0, y1 - y0, anatomy.midline
    _, knob_y = box_centres(anatomy.knob)
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


def aortic_knob(shape: tuple[int, int], scale: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Density of the aortic knob and the descending aorta, 0..1; the knob fills its box."""
    x0, y0, x1, y1 = anatomy.knob
    middle, half = box_centres(anatomy.knob), ((x1 - x0) / 2, (y1 - y0) / 2)
    knob = filled(shape, ellipse(middle, half) * scale, 1.2)
    below = (np.arange(shape[0]) / scale[1] - middle[1]) / (1.6 * half[1])
    knob *= (1 - 0.35 * soft_step(below))[:, None]  # downwards the knob turns into the descending aorta
    aorta = curve(
        [
            (middle[0] + 0.55 * half[0], middle[1]),
            (middle[0] + 0.75 * half[0], y1),
            (anatomy.midline + 0.045, (y1 + anatomy.heart[1]) / 2),
            (anatomy.midline + 0.02, anatomy.heart[3]),
        ]
    )
    descending = np.zeros(shape, np.uint8)
    stroke(descending, aorta * scale, max(2.0, 0.75 * half[0] * shape[1]))
    return anatomy.knob_density * np.maximum(knob, 0.6 * as_mask(descending, 1.5))


def displaced_air(shape: tuple[int, int], scale: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """How much of the lung's air the heart, the great vessels and the spine displace, 0..1."""
    heart = filled(shape, heart_outline(anatomy) * scale)
    inner = cv2.distanceTransform((heart > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    rounded = 0.72 + 0.28 * soft_step(inner / (0.08 * shape[1]))
    centre = anatomy.heart_density * blurred(heart * rounded, 1.4)

    column = [
        (anatomy.midline - 0.075, -0.1),
        (anatomy.midline + 0.080, -0.1),
        (anatomy.midline + 0.055, anatomy.knob[1]),
        (anatomy.midline + 0.050, 1.1),
        (anatomy.midline - 0.050, 1.1),
        (anatomy.midline - 0.055, anatomy.knob[1]),
    ]
    spine = 0.78 * filled(shape, np.array(column) * scale, 2.5)
    return 1 - (1 - centre) * (1 - spine)


def draw_spine_and_trachea(shape: tuple[int, int], scale: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Vertebrae as a faint ladder, the trachea as a dark band that ends in the carina."""
    mid, cols = anatomy.midline, shape[1]
    ladder = np.zeros(shape, np.uint8)
    for y in np.arange(0.0, 1.0, 0.115 * anatomy.knob_to_heart):
        drop = 0.055 * anatomy.knob_to_heart * (0.8 + 0.5 * y)
        body = [(mid - 0.036, y), (mid + 0.036, y), (mid + 0.033, y + drop), (mid - 0.033, y + drop)]
        fill(ladder, np.array(body) * scale)
    spine = 0.035 * as_mask(ladder, 1.4)

    _, knob_y = box_centres(anatomy.knob)
    carina = knob_y + 0.14 * anatomy.knob_to_heart
    airway = np.zeros(shape, np.uint8)
    stroke(airway, curve([(mid, -0.05), (mid - 0.004, knob_y - 0.06), (mid - 0.012, carina)]) * scale, 0.036 * cols)
    for sign, drop in ((-1, 0.17), (1, 0.13)):
        end = (mid - 0.012 + sign * 0.06, carina + drop * anatomy.knob_to_heart)
        stroke(airway, curve([(mid - 0.012, carina), end]) * scale, 0.024 * cols, 150)
    return spine - 0.13 * as_mask(airway, 1.6)
