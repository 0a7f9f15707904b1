"""One rendered radiograph: anatomy, findings, exposure."""

import numpy as np
import pandas as pd

from cxrlib.data.render.anchors import Anchors
from cxrlib.data.render.frame import fractions_to_pixels
from cxrlib.data.render.lesions import corners_of
from cxrlib.data.render.patient import generators, sample_patient, sample_size


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
    return sample_patient(boxes, seed, donors).pixels(), boxes_in_pixels(boxes, seed)


def boxes_in_pixels(boxes: pd.DataFrame, seed: int | np.random.SeedSequence) -> np.ndarray:
    """A study's `boxes` (fractions) as float64 (n, 4) whole pixels of the radiograph that `seed` gives."""
    rows, cols = sample_size(generators(seed)[0])
    return fractions_to_pixels(corners_of(boxes), rows, cols)
