"""One rendered radiograph: anatomy, findings, exposure."""

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS, box_centres
from cxrlib.data.render.anatomy import Anatomy, sample_anatomy
from cxrlib.data.render.anchors import EFFUSION_FINDING, TYPICAL, Anchors, anchors_of, complete_anchors
from cxrlib.data.render.chest import draw_chest
from cxrlib.data.render.exposure import collimate, develop, stamp_side_marker
from cxrlib.data.render.findings import draw_finding
from cxrlib.data.render.frame import fractions_to_pixels
from cxrlib.data.render.layers import Layers
from cxrlib.data.render.lesions import Lesion, find_lesions

ROWS, COLS = (400, 504), (400, 464)  # ranges of the image size, inclusive


GREY_MAXIMUM = 65535


# Wide findings are drawn first, so that small dense findings stay visible on top of them.
DRAWING_ORDER = [
    "Pleural effusion",
    "Consolidation",
    "Atelectasis",
    "Lung Opacity",
    "Infiltration",
    "ILD",
    "Pulmonary fibrosis",
    "Pneumothorax",
    "Pleural thickening",
    "Other lesion",
    "Nodule/Mass",
    "Calcification",
]


# Least width and height of a drawn lesion (fractions of the frame). Smaller lesions would vanish when the radiograph is
# resized to a network's input.
LEAST_SIZE = {
    "Lung Opacity": (0.14, 0.14),
    "Pleural effusion": (0.15, 0.15),
    "Pleural thickening": (0.12, 0.075),
    "Pulmonary fibrosis": (0.16, 0.16),
}


def render_radiograph(
    boxes: pd.DataFrame, seed: int | np.random.SeedSequence, donors: list[Anchors] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Render the radiograph of one study. The same arguments give the same radiograph.

    Args:
        boxes: the study's boxes: columns class_name, rad_id and x_min, y_min, x_max, y_max in fractions of the frame
            (see `boxes_as_fractions`). A study without findings has no rows.
        seed: seeds all draws.
        donors: studies whose anchors complete the study's own (see `complete_anchors`); a typical chest when None.

    Returns:
        Pixels, uint16 (rows, cols), 0..65535, dense is bright; and boxes, float64 (n, 4), as `boxes_in_pixels`.
    """
    size_rng, donor_rng, anatomy_rng, chest_rng, findings_rng, exposure_rng = _generators(seed)
    shape = sample_size(size_rng)
    donors = donors or [TYPICAL]
    donor = donors[donor_rng.integers(len(donors))]
    own = anchors_of(boxes)
    readers = boxes.groupby("class_name")["rad_id"].nunique().to_dict()
    anatomy = sample_anatomy(own, complete_anchors(own, donor), readers, anatomy_rng)

    layers = draw_chest(shape, anatomy, chest_rng)
    draw_lesions(layers, find_lesions(boxes), anatomy, findings_rng)
    grey = develop(layers.attenuation(), exposure_rng)
    collimate(grey, exposure_rng)
    stamp_side_marker(grey, exposure_rng)
    pixels = np.round(np.clip(grey, 0, 1) * GREY_MAXIMUM).astype(np.uint16)
    return pixels, boxes_in_pixels(boxes, seed)


def boxes_in_pixels(boxes: pd.DataFrame, seed: int | np.random.SeedSequence) -> np.ndarray:
    """A study's `boxes` (fractions) as float64 (n, 4) whole pixels of the radiograph that `seed` gives."""
    rows, cols = sample_size(_generators(seed)[0])
    return fractions_to_pixels(boxes[BOX_COLUMNS].to_numpy(dtype=np.float64), rows, cols)


def _generators(seed: int | np.random.SeedSequence) -> list[np.random.Generator]:
    """A generator for each step of the rendering, so that the draws of a step do not depend on other steps."""
    if isinstance(seed, np.random.SeedSequence):  # spawning changes a sequence, so a copy is spawned
        seed = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    else:
        seed = np.random.SeedSequence(seed)
    return [np.random.default_rng(child) for child in seed.spawn(6)]


def sample_size(rng: np.random.Generator) -> tuple[int, int]:
    """Size (rows, cols) of a radiograph: mostly portrait, some square or landscape."""
    return int(rng.integers(*ROWS, endpoint=True)), int(rng.integers(*COLS, endpoint=True))


def drawn_box(lesion: Lesion) -> np.ndarray:
    """The lesion's box (4,), enlarged about its centre where it is below the least size of its finding."""
    low, high = lesion.box[:2], lesion.box[2:]
    growth = np.clip(np.array(LEAST_SIZE.get(lesion.finding, (0, 0))) - (high - low), 0, None) / 2
    return np.clip(np.concatenate([low - growth, high + growth]), 0, 1)


def draw_lesions(layers: Layers, lesions: list[Lesion], anatomy: Anatomy, rng: np.random.Generator) -> None:
    """Draw the lung findings among `lesions` into `layers`, in place. A lesion that more readers saw is plainer."""
    rows, cols = layers.air.shape
    for finding in DRAWING_ORDER:
        for lesion in lesions:
            if lesion.finding != finding:
                continue
            strength = float(np.clip(0.38 + 0.18 * lesion.readers + 0.12 * rng.standard_normal(), 0.30, 1.0))
            left, top, right, bottom = fractions_to_pixels(drawn_box(lesion)[None], rows, cols)[0].astype(int)
            outward = 1 if box_centres(lesion.box)[0] > anatomy.midline else -1
            if finding == EFFUSION_FINDING:  # fluid reaches the chest wall and the costophrenic angle
                side = anatomy.side(outward)
                bottom = max(bottom, round(side.base_y * rows))
                wall = round(side.wall_x * cols)
                left, right = (min(left, wall), right) if outward < 0 else (left, max(right, wall))
            draw_finding(finding, layers.crop(top, bottom, left, right), strength, outward, rng)
