"""Boxes from masks, and the overlap of boxes and of masks: IoU and IoBB.

A box is x_min, y_min, x_max, y_max in pixels. The minima are inside the box, the maxima are not.
"""

from typing import Literal

import cv2
import numpy as np

Union = Literal["areas", "sum"]
"""What an intersection is divided by: the area of the union, or the thesis's sum of both areas."""


def with_union(protocol: str, union: Union) -> str:
    """Column of `score_mask` that holds a protocol's score with the given union.

    >>> with_union("all_pairs", "areas"), with_union("all_pairs", "sum")
    ('all_pairs', 'all_pairs_sum')
    """
    return protocol + ("_sum" if union == "sum" else "")


def boxes_from_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Bounding boxes of a mask's outer contours after resizing (thesis, Table 4).

    The mask is resized bilinearly to the frame of the readers' boxes. Every pixel that has a part of the mask counts.
    Each connected group of such pixels gets one box.

    >>> mask = np.zeros((8, 8), bool)
    >>> mask[2:5, 1:3] = True  # rows 2 to 4, columns 1 and 2
    >>> boxes_from_mask(mask, 8)
    array([[1., 2., 3., 5.]])

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
    """A boolean mask in a square frame of `size` pixels: set where bilinear resizing leaves at least half of the mask.

    The mask keeps its share of the pixels. `boxes_from_mask` is wider: it takes every pixel that has a part of the
    mask, as in the thesis.

    >>> mask = np.array([[True, False], [False, False]])
    >>> resize_mask(mask, 4).astype(int)
    array([[1, 1, 0, 0],
           [1, 1, 0, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0]])
    """
    return _resized(mask, size) > 127


def _resized(mask: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8) * 255, (size, size))


def mask_of_boxes(boxes: np.ndarray, size: int) -> np.ndarray:
    """Boolean (size, size): the pixels whose centres lie in any of the boxes (n, 4).

    A box smaller than a pixel covers one pixel.

    >>> mask_of_boxes(np.array([[1, 0, 3, 2]]), 4).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0],
           [0, 0, 0, 0]])
    """
    mask = np.zeros((size, size), bool)
    for x_min, y_min, x_max, y_max in np.ceil(np.asarray(boxes) - 0.5).clip(0, size).astype(int):
        left, top = min(x_min, size - 1), min(y_min, size - 1)
        mask[top : max(y_max, top + 1), left : max(x_max, left + 1)] = True
    return mask


def areas(boxes: np.ndarray) -> np.ndarray:
    """Areas of boxes (n, 4) in square pixels, (n,): `(x_max - x_min) * (y_max - y_min)`.

    >>> areas(np.array([[2, 3, 8, 7]]))
    array([24])
    """
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def pairwise_iou(first: np.ndarray, second: np.ndarray, union: Union = "areas") -> np.ndarray:
    """Intersection over union of every pair of boxes (thesis, section 3.4.1).

    With `I` the area of the intersection and `A`, `B` the areas of the boxes:
    union "areas" is `I / (A + B - I)` (formula 8); union "sum" is `I / (A + B)` (step 5), which never exceeds 0.5.

    >>> heatmap, reader = np.array([[0, 0, 4, 2]]), np.array([[2, 0, 6, 2]])  # 8 square pixels each, 4 in common
    >>> pairwise_iou(heatmap, reader)  # 4 / (8 + 8 - 4)
    array([[0.33333333]])
    >>> pairwise_iou(heatmap, reader, "sum")  # 4 / (8 + 8)
    array([[0.25]])

    Args:
        first: (n, 4).
        second: (m, 4).
        union: what the intersection is divided by.

    Returns:
        float64 (n, m) in 0..1.

    Raises:
        ValueError: a box is inverted or has no area.
    """
    intersection, first_areas, second_areas = _intersections(first, second)
    return over_union(intersection, first_areas[:, None] + second_areas[None, :], union)


def over_union(intersection: np.ndarray, both: np.ndarray, union: Union) -> np.ndarray:
    """IoU from areas: `I / (A + B - I)` for the union "areas", `I / (A + B)` for the union "sum".

    >>> over_union(4, 16, "areas"), over_union(4, 16, "sum")
    (0.3333333333333333, 0.25)

    Args:
        intersection: I, in square pixels.
        both: A + B, the sum of both areas, in square pixels.
        union: what I is divided by.
    """
    return intersection / (both - intersection if union == "areas" else both)


def as_sum_union(iou: np.ndarray) -> np.ndarray:
    """`I / (A + B)` of two boxes or masks whose `I / (A + B - I)` is `iou`: `iou / (1 + iou)`.

    >>> as_sum_union(1 / 3)
    0.25
    """
    return iou / (1 + iou)


def as_area_union(by_sum: np.ndarray) -> np.ndarray:
    """`I / (A + B - I)` of two boxes or masks whose `I / (A + B)` is `by_sum`: `by_sum / (1 - by_sum)`.

    >>> as_area_union(0.25)
    0.3333333333333333
    """
    return by_sum / (1 - by_sum)


def pairwise_iobb(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Intersection over the area of the predicted box, `I / A`, for every pair (IoBB of ChestX-ray8, Wang et al. 2017).

    >>> pairwise_iobb(np.array([[0, 0, 4, 2]]), np.array([[2, 0, 9, 9]]))  # 4 of the 8 square pixels
    array([[0.5]])

    Args:
        predicted: (n, 4).
        true: (m, 4).

    Raises:
        ValueError: a box is inverted or has no area.

    Returns:
        float64 (n, m) in 0..1.
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
    """Mean `pairwise_iou` over all pairs of a predicted and a true box, the thesis's protocol.

    The mean is 0 where nothing is predicted.

    >>> heatmap, readers = np.array([[0, 0, 4, 2]]), np.array([[0, 0, 4, 2], [8, 8, 9, 9]])
    >>> all_pairs_iou(heatmap, readers)  # (1 + 0) / 2
    0.5

    Raises:
        ValueError: there is no true box.
    """
    _require_true(true)
    return float(pairwise_iou(predicted, true, union).mean()) if len(predicted) else 0.0


def best_match_iou(predicted: np.ndarray, true: np.ndarray, union: Union = "areas") -> float:
    """Mean over the true boxes of the best IoU that a predicted box reaches: `mean_j max_i IoU_ij`.

    The mean is 0 where nothing is predicted.

    >>> heatmap, reader = np.array([[0, 0, 4, 2], [8, 8, 9, 9]]), np.array([[0, 0, 4, 2]])
    >>> best_match_iou(heatmap, reader)
    1.0

    Raises:
        ValueError: there is no true box.
    """
    _require_true(true)
    return float(pairwise_iou(predicted, true, union).max(axis=0).mean()) if len(predicted) else 0.0


def mask_iou(predicted: np.ndarray, true: np.ndarray, union: Union = "areas") -> float:
    """IoU of two masks of one shape, counted in pixels; 0 where nothing is predicted.

    >>> heatmap, readers = np.array([True, True, False, False]), np.array([False, True, True, False])
    >>> float(mask_iou(heatmap, readers))  # 1 pixel in both, 3 in any
    0.3333333333333333

    Args:
        predicted: boolean, e.g. the heatmap's top pixels.
        true: boolean, e.g. the union of all readers' boxes.
        union: as in `pairwise_iou`.

    Raises:
        ValueError: `true` is empty.
    """
    _require_true(np.flatnonzero(true))
    both = np.count_nonzero(predicted) + np.count_nonzero(true)
    return over_union(np.count_nonzero(predicted & true), both, union)


def union_iou(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of the area that one set of boxes (n, 4) covers and the area that another set (m, 4) covers.

    The lines through all corners cut the plane into cells. Every cell lies wholly inside or wholly outside each box, so
    the areas are exact sums of cells.

    >>> two, one = np.array([[0, 0, 4, 2], [2, 0, 6, 2]]), np.array([[0, 0, 3, 2]])
    >>> union_iou(two, one)  # 6 of the 12 square pixels
    0.5
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
