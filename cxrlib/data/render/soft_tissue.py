"""Soft tissue of the trunk: body, breasts, abdomen."""

import cv2
import numpy as np

from cxrlib.data.render.anatomy import SIDES, Anatomy
from cxrlib.data.render.drawing import as_mask, blurred, curve, ellipse, fill, filled, smooth_noise, soft_step
from cxrlib.data.render.grid import Grid


def draw_body(grid: Grid, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Soft tissue of neck, shoulders, trunk and arms, thinning towards the skin."""
    mid, wall = anatomy.midline, 0.03 + 0.09 * anatomy.fat
    shoulder = min(anatomy.right.apex_y, anatomy.left.apex_y)
    neck = 0.100 + 0.04 * anatomy.fat
    axilla = shoulder + 0.34 + 0.02 * rng.standard_normal()
    right_skin, left_skin = anatomy.right.wall_x - wall, anatomy.left.wall_x + wall
    slope = anatomy.tilt
    trunk = [
        (mid - neck, -0.2),
        (mid - neck, shoulder - 0.11),
        (mid - neck - 0.09, shoulder - 0.055 + slope),
        (right_skin - 0.02, shoulder - 0.01 + slope),
        (right_skin - 0.16, shoulder + 0.07 + slope),
        (right_skin - 0.20, axilla + 0.15),
        (right_skin - 0.07, axilla + 0.10),
        (right_skin - 0.01, axilla),
        (right_skin, axilla + 0.2),
        (right_skin - 0.01, 1.2),
        (left_skin + 0.01, 1.2),
        (left_skin, axilla + 0.2),
        (left_skin + 0.01, axilla),
        (left_skin + 0.07, axilla + 0.10),
        (left_skin + 0.20, axilla + 0.15),
        (left_skin + 0.16, shoulder + 0.07 - slope),
        (left_skin + 0.02, shoulder - 0.01 - slope),
        (mid + neck + 0.09, shoulder - 0.055 - slope),
        (mid + neck, shoulder - 0.11),
        (mid + neck, -0.2),
    ]
    mask = filled(grid.shape, grid.points(curve(trunk, 8)))
    inside = (np.pad(mask, 1, mode="edge") > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    thickness = 1 - np.exp(-depth / np.float32(grid.wide(0.055)))
    body = (0.64 + 0.10 * anatomy.fat) * blurred(mask * (0.25 + 0.75 * thickness), grid.soft(1.5))
    body *= 1 + 0.03 * smooth_noise(grid.shape, grid.wide(0.12), rng)

    chest = filled(grid.shape, grid.points(curve(np.array(trunk)[[2, 3, 7, 8, 9, 10, 11, 12, 16, 17]], 8)))
    body += 0.13 * blurred(chest, grid.wide(0.06))
    breasts, folds = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    for sign in SIDES:
        side = anatomy.side(sign)
        reach = side.wall_x - mid
        y = side.dome_y - 0.02 + 0.02 * rng.standard_normal()
        fill(breasts, grid.points(ellipse((mid + 0.62 * reach, y), (0.42 * abs(reach), 0.11 + 0.03 * anatomy.fat))))
        fold = [
            (mid + 0.70 * reach, shoulder + 0.14),
            (mid + 1.02 * reach, axilla - 0.05),
            (side.wall_x + sign * 0.05, shoulder),
        ]
        fill(folds, grid.points(curve([*fold, fold[0]])))
    if anatomy.breast:
        body += 0.10 * anatomy.breast * as_mask(breasts, grid.soft(3) + grid.wide(0.02))
    body += 0.05 * as_mask(folds, grid.wide(0.012))
    return body


def draw_abdomen(grid: Grid, anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """Tissue below the diaphragm, thinner towards the flanks, with gas in the bowel and in the stomach of some."""
    right, left = anatomy.right, anatomy.left
    top = curve(
        [
            (-0.1, right.base_y + 0.08),
            (right.wall_x, right.base_y),
            ((right.wall_x + anatomy.midline) / 2, right.dome_y),
            (anatomy.midline, anatomy.floor - 0.02),
            ((left.wall_x + anatomy.midline) / 2, left.dome_y),
            (left.wall_x, left.base_y),
            (1.1, left.base_y + 0.08),
        ]
    )
    inside = np.vstack([top, [(0.95 * left.wall_x, 1.2), (1.1 * right.wall_x, 1.2)]])
    mask = filled(grid.shape, grid.points(inside), grid.wide(0.012))
    rows, cols = (np.arange(length, dtype=np.float32) for length in grid.shape)
    aside = (cols - np.float32(grid.wide(anatomy.midline))) / np.float32(grid.wide(left.wall_x - right.wall_x))
    below = soft_step((rows - np.float32(grid.high(anatomy.floor))) / np.float32(grid.high(1 - anatomy.floor)))
    leftwards = soft_step(aside * 2.5 + 0.6)
    thickness = 0.12 - 0.45 * aside**2 - 0.15 * below[:, None] * leftwards  # the liver lies on the right

    gas = np.clip(smooth_noise(grid.shape, grid.wide(0.045), rng) - 0.7, 0, 1.2)
    bowel = soft_step((rows - np.float32(grid.high(anatomy.floor + 0.05))) / np.float32(grid.high(0.08)))
    thickness -= np.float32(rng.uniform(0.02, 0.10)) * gas * bowel[:, None] * leftwards
    abdomen = mask * thickness

    size, emptiness = rng.uniform((0.035, 0.020), (0.08, 0.045)), rng.uniform(0.10, 0.24)
    place = ((left.wall_x + rng.uniform(1.0, 1.8) * anatomy.midline) / 2.4, left.dome_y + 0.02 + size[1])
    bubble = ellipse(place, size) * rng.normal(1, 0.008, size=(48, 1))
    if rng.random() < 0.65:
        abdomen -= emptiness * filled(grid.shape, grid.points(bubble), grid.soft(3.5))
    return abdomen
