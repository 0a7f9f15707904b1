"""A chest without findings, put together from its organs."""

import cv2
import numpy as np

from cxrlib.data.render.anatomy import SIDES, Anatomy
from cxrlib.data.render.bones import draw_bones
from cxrlib.data.render.drawing import blurred, curve, filled, smooth_noise
from cxrlib.data.render.layers import Layers
from cxrlib.data.render.mediastinum import descending_aorta, draw_spine_and_trachea, spine_shadow
from cxrlib.data.render.soft_tissue import draw_abdomen, draw_body
from cxrlib.data.render.vessels import draw_vessels


def draw_chest(shape: tuple[int, int], anatomy: Anatomy, rng: np.random.Generator) -> Layers:
    """Layers of a chest without lung findings, heart and aortic knob, on an array of `shape` (rows, cols)."""
    scale = np.array([shape[1], shape[0]], dtype=np.float64)
    cage = sum(filled(shape, lung_outline(anatomy, sign) * scale) for sign in SIDES)
    depth = cv2.distanceTransform((cage > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    lung = blurred(np.minimum(cage, 1), 0.7)

    aorta = descending_aorta(shape, scale, anatomy)
    tissue = draw_body(shape, scale, anatomy, rng)
    tissue += draw_abdomen(shape, scale, anatomy, rng)
    tissue += draw_bones(shape, scale, anatomy, blurred(lung, 0.012 * shape[1]))
    tissue += 0.10 * aorta
    tissue += draw_spine_and_trachea(shape, scale, anatomy)

    kept = (1 - spine_shadow(shape, scale, anatomy)) * (1 - 0.95 * aorta)
    thickness = np.sqrt(np.clip(depth / (0.11 * shape[1]), 0, 1))
    air = lung * (0.30 + 0.70 * blurred(thickness, 2)) * kept
    markings = lung * (0.2 + 0.8 * kept) * draw_vessels(shape, scale, anatomy, rng)
    markings += 0.012 * lung * kept * smooth_noise(shape, 5, rng)
    return Layers(tissue.astype(np.float32), air.astype(np.float32), markings.astype(np.float32), lung, depth)


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
