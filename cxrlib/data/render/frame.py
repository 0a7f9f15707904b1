"""The size of a study's original image, estimated from its boxes.

The annotations give boxes in pixels of the original image, but not the size of the image. Some organs lie at about the
same place of every PA chest radiograph. A point of such an organ at x pixels that should lie at the fraction f of the
width gives the estimate `x / f` of the width.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS

TYPICAL_FRAME = (2480.0, 2720.0)  # width, height: middle of the VinDr-CXR images


TYPICAL_SPREAD = 0.10  # relative standard deviation of the images' sizes


SMALLEST_SIDE, LARGEST_SIDE = 1700.0, 3200.0


EDGE = 0.015  # share of the frame kept free beyond the outermost box


@dataclass(frozen=True)
class Landmark:
    """A point of a finding's box that lies at about the same place of every frame."""

    depth: float  # height of the point in the box: 0 top, 0.5 middle, 1 bottom; sideways it is in the middle
    place: tuple[float, float]  # fractions of the frame's width and height
    spread: tuple[float, float]  # relative standard deviation of the place; infinite where the point says nothing


LANDMARKS = {
    "Aortic enlargement": Landmark(0.5, (0.555, 0.335), (0.05, 0.10)),
    "Cardiomegaly": Landmark(0.5, (0.555, 0.630), (0.05, 0.07)),
    "Pleural effusion": Landmark(1.0, (0.5, 0.735), (np.inf, 0.08)),
}


def estimate_frames(annotations: pd.DataFrame) -> pd.DataFrame:
    """Estimated width and height of every study's original image, in the pixels of its boxes.

    The estimate is the mean of the logarithms of the single estimates, weighted by 1 / spread^2. The typical frame is
    one of the estimates, so a study without a box gets the typical frame. Every box lies inside its frame.

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`.

    Returns:
        Float columns width and height, indexed by image_id.
    """
    image_ids = pd.Index(sorted(annotations["image_id"].unique()), name="image_id")
    weighted = np.tile(np.log(TYPICAL_FRAME) / TYPICAL_SPREAD**2, (len(image_ids), 1))
    weights = np.full((len(image_ids), 2), 1 / TYPICAL_SPREAD**2)

    boxes = annotations.dropna(subset=BOX_COLUMNS)
    for finding, landmark in LANDMARKS.items():
        mean_box = boxes[boxes["class_name"] == finding].groupby("image_id")[BOX_COLUMNS].mean()
        seen = image_ids.get_indexer(mean_box.index)
        x_min, y_min, x_max, y_max = mean_box.to_numpy().T
        point = np.column_stack([(x_min + x_max) / 2, y_min + landmark.depth * (y_max - y_min)])
        weighted[seen] += np.log(point / landmark.place) / np.square(landmark.spread)
        weights[seen] += 1 / np.square(landmark.spread)

    size = np.clip(np.exp(weighted / weights), SMALLEST_SIDE, LARGEST_SIDE)
    outermost = boxes.groupby("image_id")[["x_max", "y_max"]].max().reindex(image_ids).fillna(0).to_numpy()
    size = np.maximum(size, outermost * (1 + EDGE))
    return pd.DataFrame(size, index=image_ids, columns=["width", "height"])


def boxes_as_fractions(annotations: pd.DataFrame) -> pd.DataFrame:
    """The annotations' boxes as fractions (0..1) of each study's estimated frame; rows without a box are dropped."""
    boxes = annotations.dropna(subset=BOX_COLUMNS).copy()
    frames = estimate_frames(annotations).loc[boxes["image_id"]]
    boxes[["x_min", "x_max"]] = boxes[["x_min", "x_max"]].to_numpy() / frames[["width"]].to_numpy()
    boxes[["y_min", "y_max"]] = boxes[["y_min", "y_max"]].to_numpy() / frames[["height"]].to_numpy()
    return boxes


def fractions_to_pixels(boxes: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Boxes (n, 4) in fractions as whole pixels of a rows x cols image.

    Every box lies in the image and is at least 2 pixels wide and tall.

    >>> fractions_to_pixels(np.array([[0.1, 0.2, 0.5, 0.2]]), rows=10, cols=20)
    array([[ 2.,  2., 10.,  4.]])
    """
    sides = np.array([cols, rows])
    low = np.clip(np.round(boxes[:, :2] * sides), 0, sides - 2)
    high = np.clip(np.round(boxes[:, 2:] * sides), low + 2, sides)
    return np.hstack([low, high])
