"""Boxes: from masks, and how far they overlap. A box is x_min, y_min, x_max, y_max in pixels, the maxima excluded."""

from typing import Literal

import cv2
import numpy as np

Union = Literal["areas", "sum"]


def with_union(protocol: str, union: Union) -> str:
    """Column that holds a protocol's score with the given union."""
    return protocol + ("_sum" if union == "sum" else "")


def boxes_from_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Bounding boxes of a mask's outer contours after resizing (thesis, Table 4).

    Args:
        mask: boolean (height, width) in the heatmap's frame.
        size: side in pixels of the square frame of the readers' boxes.

    Returns:
        float64 (boxes, 4) in pixels of that frame; (0, 4) for an empty mask.
    """
    touched = (_resized(mask, size) > 0).astype(np.uint8)
    contours, _ = cv2.findContours(touched, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = [(x, y, x + width, y + height) for x, y, width, height in map(cv2.boundingRect, contours)]
    return np.array(corners, dtype=np.float64).reshape(-1, 4)


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A boolean mask in a square frame of `size` pixels, of the same share of the pixels: set where bilinear resizing
    leaves at least half; boxes are made, as in the thesis, where it leaves anything."""
    return _resized(mask, size) > 127


def _resized(mask: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8) * 255, (size, size))


def mask_of_boxes(boxes: np.ndarray, size: int) -> np.ndarray:
    """Boolean (size, size): the pixels whose centres lie in any of the boxes (n, 4), of a box at least one."""
    mask = np.zeros((size, size), bool)
    for x_min, y_min, x_max, y_max in np.ceil(np.asarray(boxes) - 0.5).clip(0, size).astype(int):
        left, top = min(x_min, size - 1), min(y_min, size - 1)
        mask[top : max(y_max, top + 1), left : max(x_max, left + 1)] = True
    return mask


def areas(boxes: np.ndarray) -> np.ndarray:
    """Areas of boxes (n, 4) in square pixels, (n,)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def pairwise_iou(first: np.ndarray, second: np.ndarray, union: Union = "areas") -> np.ndarray:
    """Intersection over union of every pair of boxes (thesis, section 3.4.1).

    Args:
        first: (n, 4).
        second: (m, 4).
        union: "areas" divides by the area of the union (formula 8); "sum" by area1 + area2, as step 5 of the thesis
            has it, which never exceeds 0.5.

    Returns:
        float64 (n, m) in 0..1.

    Raises:
        ValueError: a box is inverted or has no area.
    """
    intersection, first_areas, second_areas = _intersections(first, second)
    total = first_areas[:, None] + second_areas[None, :]
    return intersection / (total - intersection if union == "areas" else total)


def pairwise_iobb(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Intersection over the area of the predicted box, for every pair (IoBB of ChestX-ray8, Wang et al. 2017).

    Args, errors: as `pairwise_iou`.

    Returns:
        float64 (predicted, true) in 0..1.
    """
    intersection, predicted_areas, _ = _intersections(predicted, true)
    return intersection / predicted_areas[:, None]


def _intersections(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Areas of all pairs' intersections (n, m), and of the boxes themselves."""
    first, second = np.asarray(first, np.float64).reshape(-1, 4), np.asarray(second, np.float64).reshape(-1, 4)
    for boxes in (first, second):
        if (boxes[:, 2:] <= boxes[:, :2]).any():
            raise ValueError(f"a box must have x_min < x_max and y_min < y_max, found {boxes.tolist()}")
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.prod(np.clip(bottom_right - top_left, 0, None), axis=2), areas(first), areas(second)


def all_pairs_iou(predicted: np.ndarray, true: np.ndarray, union: Union = "areas") -> float:
    """Mean IoU over all pairs, the thesis's protocol; 0 where nothing is predicted.

    Raises:
        ValueError: there is no true box.
    """
    _require_true(true)
    return float(pairwise_iou(predicted, true, union).mean()) if len(predicted) else 0.0


def best_match_iou(predicted: np.ndarray, true: np.ndarray, union: Union = "areas") -> float:
    """Mean over the true boxes of the best IoU that a predicted box reaches; 0 where nothing is predicted.

    Raises:
        ValueError: there is no true box.
    """
    _require_true(true)
    return float(pairwise_iou(predicted, true, union).max(axis=0).mean()) if len(predicted) else 0.0


def mask_iou(predicted: np.ndarray, true: np.ndarray, union: Union = "areas") -> float:
    """IoU of two masks of one shape, pixel by pixel; 0 where nothing is predicted.

    Args:
        predicted: boolean, e.g. the heatmap's top pixels.
        true: boolean, e.g. the union of all readers' boxes.
        union: as in `pairwise_iou`.

    Raises:
        ValueError: `true` is empty.
    """
    _require_true(np.flatnonzero(true))
    intersection, total = np.count_nonzero(predicted & true), np.count_nonzero(predicted) + np.count_nonzero(true)
    return intersection / (total - intersection if union == "areas" else total)


def union_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Mask IoU of two sets of boxes (n, 4) and (m, 4), exact: of the areas that each set covers together.

    The boxes' corners cut the plane into cells that lie wholly inside or outside every box.
    """
    corners = np.concatenate([first, second])
    x, y = np.unique(corners[:, [0, 2]]), np.unique(corners[:, [1, 3]])
    cells = np.diff(y)[:, None] * np.diff(x)[None, :]
    covered = []
    for boxes in (first, second):
        left, top, right, bottom = (boxes[:, i, None] for i in range(4))
        columns, rows = (x[:-1] >= left) & (x[1:] <= right), (y[:-1] >= top) & (y[1:] <= bottom)
        covered.append((rows[:, :, None] & columns[:, None, :]).any(axis=0))
    return float(cells[covered[0] & covered[1]].sum() / cells[covered[0] | covered[1]].sum())


def _require_true(true: np.ndarray) -> None:
    if not len(true):
        raise ValueError("IoU needs at least one true box")
