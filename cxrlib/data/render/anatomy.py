"""Sampled anatomy: where the organs of one chest lie, anchored to the boxes of its study.

Coordinates are fractions of the frame. "Right" and "left" are the patient's: the right lung is on the left of the
image. Side -1 is the patient's right, side +1 the patient's left.
"""

from dataclasses import dataclass

import numpy as np

from cxrlib.data.annotations import box_centres
from cxrlib.data.render.anchors import Anchors, complete_anchors

SIDES = (-1, 1)  # the patient's right and left


# Heart width over thorax width. Above 0.5 a reader calls the heart enlarged.
ENLARGED_RATIO, ENLARGED_RATIO_SPREAD = 0.558, 0.018


HEALTHY_RATIO, HEALTHY_RATIO_SPREAD = 0.420, 0.020


# Size of a healthy aortic knob over the size of the box that an enlarged knob would have.
HEALTHY_KNOB, HEALTHY_KNOB_SPREAD = 0.70, 0.07


WALL_SPREAD = 0.07  # share of the half thorax by which the chest wall scatters, as effusion boxes do


# Depth of the costophrenic angle below the heart's lower border (fractions of the frame). The readers' effusion boxes
# end at the same depth.
ANGLE_DROP, ANGLE_DROP_SPREAD, ANGLE_DROP_RANGE = 0.035, 0.035, (-0.02, 0.18)


@dataclass(frozen=True)
class Side:
    """One half of the chest."""

    wall_x: float  # inner chest wall at its widest
    apex_y: float  # top of the lung
    base_y: float  # costophrenic angle
    dome_y: float  # top of the hemidiaphragm


@dataclass(frozen=True)
class Organ:
    """Heart or aortic knob: `box` as readers draw it (4,), fractions of the frame, and `density`, 0 to about 1."""

    box: np.ndarray
    density: float


@dataclass(frozen=True)
class Anatomy:
    """Places and sizes of the organs of one chest (fractions of the frame) and of its build.

    The chest with an enlarged organ also has that organ as it would be in health. All else is the same with either.
    """

    midline: float
    knob_y: float  # height of the aortic knob's centre
    floor: float  # height of the heart's lower border
    knob: Organ  # in health
    heart: Organ  # in health
    enlarged_knob: Organ | None
    enlarged_heart: Organ | None
    right: Side
    left: Side
    knob_to_heart: float  # from the knob's centre to the heart's lower border
    fat: float  # 0 slim .. 1 stout
    breast: float  # 0 none .. 1 strong breast shadow
    tilt: float  # slope of shoulders and clavicles
    turn: float  # sideways shift of the clavicles' inner ends against the spine
    rib_slope: float
    lung_markings: float  # strength of vessels

    def side(self, sign: int) -> Side:
        """The right (-1) or left (+1) half of the chest."""
        return self.right if sign < 0 else self.left


def sample_anatomy(own: Anchors, donor: Anchors, readers: dict[str, int], rng: np.random.Generator) -> Anatomy:
    """Draw an anatomy that fits a study's anchors. An organ for which the study has a box is enlarged.

    Args:
        own: the study's anchors.
        donor: those of the study that lends what `own` lacks, and the shape of the organs in health.
        readers: number of readers per finding. An organ that more readers call enlarged is denser.
        rng: draws sizes, places and build.
    """
    draws = rng.standard_normal(18)  # the same number for all labels, so that later draws do not depend on them
    anchors = complete_anchors(own, donor)
    knob_x, knob_y = box_centres(anchors.knob)
    thorax = np.ptp(anchors.heart[[0, 2]]) / (ENLARGED_RATIO + ENLARGED_RATIO_SPREAD * draws[0])
    thorax = float(np.clip(thorax, 0.58, 0.86))
    heart_x, _ = box_centres(anchors.heart)
    midline = float(np.clip((heart_x - 0.115 * thorax + knob_x - 0.07 * thorax) / 2, 0.38, 0.62))
    floor = float(anchors.heart[3])
    knob_to_heart = float(np.clip(floor - knob_y, 0.22, 0.48))

    heart_density, enlarged_heart = 0.86 + 0.03 * draws[1], None
    if own.heart is not None:
        enlarged_heart = Organ(own.heart, float(heart_density + 0.02 * (readers.get("Cardiomegaly", 1) - 2)))
    ratio = (HEALTHY_RATIO + HEALTHY_RATIO_SPREAD * draws[2]) / ENLARGED_RATIO
    fitted = anchors.heart if own.heart is None else reshaped(donor.heart, own.heart, floor)
    heart = Organ(resized(fitted, ratio, (midline + 0.02 * thorax, floor)), float(heart_density - 0.08))

    enlarged_knob = None
    if own.knob is not None:
        density = 0.92 + 0.08 * draws[3] + 0.06 * (readers.get("Aortic enlargement", 1) - 2)
        enlarged_knob = Organ(own.knob, float(density))
    scale = HEALTHY_KNOB + HEALTHY_KNOB_SPREAD * draws[4]
    fitted = anchors.knob if own.knob is None else reshaped(donor.knob, own.knob, knob_y)
    left_border = fitted[0] + 0.1 * np.ptp(fitted[[0, 2]])
    knob = Organ(resized(fitted, scale, (left_border, knob_y)), float(0.45 + 0.12 * draws[5]))

    right, left = (
        _side(sign, midline, thorax / 2, knob_y, floor, knob_to_heart, anchors, draws[first : first + 4])
        for sign, first in ((-1, 10), (1, 14))
    )
    return Anatomy(
        midline=midline,
        knob_y=float(knob_y),
        floor=floor,
        knob=knob,
        heart=heart,
        enlarged_knob=enlarged_knob,
        enlarged_heart=enlarged_heart,
        right=right,
        left=left,
        knob_to_heart=knob_to_heart,
        fat=float(rng.beta(2, 3)),
        breast=float(rng.choice([0.0, rng.uniform(0.2, 1)])),
        tilt=0.02 * draws[6],
        turn=0.008 * draws[7],
        rib_slope=0.11 + 0.03 * draws[8],
        lung_markings=float(np.exp(0.25 * draws[9])),
    )


def resized(box: np.ndarray, scale: float, fixed: tuple[float, float]) -> np.ndarray:
    """`box` scaled about the point `fixed` (x, y)."""
    pivot = np.array([*fixed, *fixed])
    return pivot + scale * (box - pivot)


def reshaped(box: np.ndarray, own: np.ndarray, fixed_y: float) -> np.ndarray:
    """The box `own` with the shape of another, but no taller; the height `fixed_y` keeps its place in it.

    >>> reshaped(np.array([0.0, 0.0, 2.0, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]), fixed_y=1.0)
    array([0. , 0.5, 1. , 1. ])
    """
    shape, own_shape = box[2:] - box[:2], own[2:] - own[:2]
    flatter = min(1.0, shape[1] / shape[0] * own_shape[0] / own_shape[1])
    return np.array([own[0], fixed_y + flatter * (own[1] - fixed_y), own[2], fixed_y + flatter * (own[3] - fixed_y)])


def _side(sign, midline, half_width, knob_y, floor, knob_to_heart, anchors, draws) -> Side:
    """One half of the chest. Its lung reaches most of the boxes on its side; its base is where effusion boxes end."""
    wall = midline + sign * half_width * (1 + WALL_SPREAD * draws[0])
    apex = knob_y - knob_to_heart * (0.50 + 0.03 * draws[1])
    drop = ANGLE_DROP + ANGLE_DROP_SPREAD * draws[2]

    effusions, lungs = (_on_side(boxes, sign, midline) for boxes in (anchors.effusions, anchors.lungs))
    if len(effusions):
        drop = effusions[:, 3].mean() - floor
    if len(lungs):
        x_min, y_min, x_max, y_max = lungs.T
        drop = max(drop, (y_max - 0.1 * (y_max - y_min)).max() - floor)
        apex = min(apex, (y_min + 0.1 * (y_max - y_min)).min())
    reached = np.vstack([effusions, lungs])
    if len(reached):
        x_min, _, x_max, _ = reached.T
        outer = (x_min + 0.1 * (x_max - x_min)).min() if sign < 0 else (x_max - 0.1 * (x_max - x_min)).max()
        wall = outer if len(effusions) else sign * max(sign * wall, sign * outer)
        wall = midline + sign * np.clip(sign * (wall - midline), 0.8 * half_width, 1.4 * half_width)

    drop = float(np.clip(drop, *ANGLE_DROP_RANGE))
    base = min(floor + drop, 0.97)
    dome = floor + knob_to_heart * ((-0.15 if sign < 0 else -0.07) + 0.025 * draws[3]) + 0.4 * (drop - ANGLE_DROP)
    return Side(
        wall_x=float(np.clip(wall, 0.025, 0.975)),
        apex_y=float(np.clip(apex, 0.04, knob_y - 0.06)),
        base_y=float(base),
        dome_y=float(min(dome, base - 0.03)),
    )


def _on_side(boxes, sign, midline):
    return boxes[np.sign(box_centres(boxes)[:, 0] - midline) == sign]
