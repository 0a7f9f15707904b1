"""Boxes: from masks, and how far they overlap. A box is x_min, y_min, x_max, y_max in pixels, the maxima excluded."""

from typing import Literal

import cv2
import numpy as np

Union = Literal["areas", "sum"]


def boxes_from_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Bounding boxes of a mask's outer contours after resizing (thesis, Table 4).

    Args:
        mask: boolean (height, width) in the heatmap's frame.
        size: side in pixels of the square frame of the readers' boxes.

    Returns:
        float64 (boxes, 4) in pixels of that frame; (0, 4) for an empty mask.
    """
    resized = cv2.resize(mask.astype(np.uint8) * 255, (size, size))
    contours, _ = cv2.findContours(resized, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = [(x, y, x + width, y + height) for x, y, width, height in map(cv2.boundingRect, contours)]
    return np.array(corners, dtype=np.float64).reshape(-1, 4)


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
    first, second = np.asarray(first, np.float64).reshape(-1, 4), np.asarray(second, np.float64).reshape(-1, 4)
    for boxes in (first, second):
        if (boxes[:, 2:] <= boxes[:, :2]).any():
            raise ValueError(f"a box must have x_min < x_max and y_min < y_max, found {boxes.tolist()}")
    top_left = np.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    total = areas(first)[:, None] + areas(second)[None, :]
    return intersection / (total - intersection if union == "areas" else total)


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


def _require_true(true: np.ndarray) -> None:
    if not len(true):
        raise ValueError("IoU needs at least one true box")
