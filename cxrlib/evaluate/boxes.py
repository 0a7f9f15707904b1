"""Boxes: from masks, and how far they overlap. A box is x_min, y_min, x_max, y_max in pixels, the maxima excluded."""

from typing import Literal

import cv2
import numpy as np

Union = Literal["areas", "sum"]


def with_union(protocol: str, union: Union) -> str:
    """Column that holds a protocol's score with the given union.

    >>> with_union("all_pairs", "areas"), with_union("all_pairs", "sum")
    ('all_pairs', 'all_pairs_sum')
    """
    return protocol + ("_sum" if union == "sum" else "")


def boxes_from_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Bounding boxes of a mask's outer contours after resizing (thesis, Table 4).

    Resizing is bilinear; every pixel that it leaves above zero belongs to the mask.

    Args:
        mask: boolean (height, width) in the heatmap's frame.
        size: side in pixels of the square frame of the readers' boxes.

    Returns:
        float64 (boxes, 4) in pixels of that frame; (0, 4) for an empty mask.

    >>> mask = np.zeros((4, 4), bool)
    >>> mask[1:3, 0:2] = True
    >>> boxes_from_mask(mask, 4).tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    touched = (_resized(mask, size) > 0).astype(np.uint8)
    contours, _ = cv2.findContours(touched, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corners = [(x, y, x + width, y + height) for x, y, width, height in map(cv2.boundingRect, contours)]
    return np.array(corners, dtype=np.float64).reshape(-1, 4)


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask in a square frame, set where bilinear resizing leaves at least half.

    Args:
        mask: boolean (height, width).
        size: side in pixels of the square frame.

    Returns:
        Boolean (size, size).

    The share of the pixels stays about the same. `boxes_from_mask` follows the thesis and sets every pixel above zero.

    >>> mask = np.array([[True, False], [False, False]])
    >>> resize_mask(mask, 4).astype(int).tolist()
    [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    """
    return _resized(mask, size) > 127


def _resized(mask: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8) * 255, (size, size))


def mask_of_boxes(boxes: np.ndarray, size: int) -> np.ndarray:
    """The pixels whose centres lie in any of the boxes; a box without such a centre sets one pixel.

    Args:
        boxes: (n, 4) in pixels of a square frame.
        size: side of that frame in pixels.

    Returns:
        Boolean (size, size).

    >>> mask_of_boxes(np.array([[0, 1, 2, 3]]), 3).astype(int).tolist()
    [[0, 0, 0], [1, 1, 0], [1, 1, 0]]
    """
    mask = np.zeros((size, size), bool)
    for x_min, y_min, x_max, y_max in np.ceil(np.asarray(boxes) - 0.5).clip(0, size).astype(int):
        left, top = min(x_min, size - 1), min(y_min, size - 1)
        mask[top : max(y_max, top + 1), left : max(x_max, left + 1)] = True
    return mask


def areas(boxes: np.ndarray) -> np.ndarray:
    """Areas (x_max - x_min) * (y_max - y_min) of boxes (n, 4) in square pixels, (n,).

    >>> areas(np.array([[0, 0, 2, 3], [1, 1, 2, 2]])).tolist()
    [6, 1]
    """
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def pairwise_iou(first: np.ndarray, second: np.ndarray, union: Union = "areas") -> np.ndarray:
    """Intersection over union of every pair of boxes (thesis, section 3.4.1).

        |A and B| / |A or B|  ("areas", formula 8),  |A and B| / (|A| + |B|)  ("sum", step 5 of the thesis)

    The second never exceeds 0.5.

    Args:
        first: (n, 4), in pixels.
        second: (m, 4), in the same pixels.
        union: "areas" or "sum".

    Returns:
        float64 (n, m) in 0..1.

    Raises:
        ValueError: a box is inverted or has no area.

    Two boxes of 4 square pixels that share 2:

    >>> first, second = np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]])
    >>> pairwise_iou(first, second).round(3).tolist(), pairwise_iou(first, second, "sum").tolist()
    ([[0.333]], [[0.25]])
    """
    intersection, first_areas, second_areas = _intersections(first, second)
    return _over_union(intersection, first_areas[:, None] + second_areas[None, :], union)


def _over_union(intersection: np.ndarray, total: np.ndarray, union: Union) -> np.ndarray:
    """Intersection over the area of the union, or over `total`, the sum of both areas."""
    return intersection / (total - intersection if union == "areas" else total)


def as_sum_union(iou: float | np.ndarray) -> float | np.ndarray:
    """The score with area1 + area2 for union of what has `iou` with the area of the union: iou / (1 + iou).

    Holds for one pair of boxes or masks, and so element by element; not for a mean over pairs.

    >>> as_sum_union(1.0)
    0.5
    """
    return iou / (1 + iou)


def as_area_union(by_sum: float | np.ndarray) -> float | np.ndarray:
    """The inverse of `as_sum_union`: s / (1 - s).

    >>> as_area_union(as_sum_union(0.25))
    0.25
    """
    return by_sum / (1 - by_sum)


def pairwise_iobb(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Intersection over the area of the predicted box, for every pair: |P and T| / |P|.

    The score is IoBB of ChestX-ray8 (Wang et al. 2017).

    Args:
        predicted: P, (n, 4), in pixels.
        true: T, (m, 4), in the same pixels.

    Returns:
        float64 (n, m) in 0..1.

    Raises:
        ValueError: a box is inverted or has no area.

    >>> pairwise_iobb(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 9, 2]])).tolist()
    [[0.5]]
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
    """Mean IoU over all pairs of a predicted and a true box: the thesis's protocol.

    Args, errors: as in `pairwise_iou`; no predicted box gives 0.

    Raises:
        ValueError: there is no true box.

    The two pairs have an IoU of 1 and of 0:

    >>> all_pairs_iou(np.array([[0, 0, 2, 2]]), np.array([[0, 0, 2, 2], [5, 5, 6, 6]]))
    0.5
    """
    _require_true(true)
    return float(pairwise_iou(predicted, true, union).mean()) if len(predicted) else 0.0


def best_match_iou(predicted: np.ndarray, true: np.ndarray, union: Union = "areas") -> float:
    """Mean over the true boxes of the highest IoU with a predicted box.

    Args, errors: as in `pairwise_iou`; no predicted box gives 0.

    Raises:
        ValueError: there is no true box.

    The true box is met exactly by the first of two predicted ones:

    >>> best_match_iou(np.array([[0, 0, 2, 2], [5, 5, 6, 6]]), np.array([[0, 0, 2, 2]]))
    1.0
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

    >>> predicted, true = np.array([[True, True, False]]), np.array([[False, True, True]])
    >>> print(round(mask_iou(predicted, true), 3), mask_iou(predicted, true, "sum"))
    0.333 0.25
    """
    _require_true(np.flatnonzero(true))
    intersection, total = np.count_nonzero(predicted & true), np.count_nonzero(predicted) + np.count_nonzero(true)
    return _over_union(intersection, total, union)


def union_iou(first: np.ndarray, second: np.ndarray) -> float:
    """IoU of the areas that two sets of boxes cover, without rounding to pixels.

    The coordinates of all corners cut the plane into cells. Each cell lies wholly inside or wholly outside every box.
    The covered areas are sums over cells.

    Args:
        first: (n, 4), at least one box.
        second: (m, 4), at least one box, in the same pixels.

    Two boxes that together cover the third:

    >>> union_iou(np.array([[0, 0, 2, 2], [1, 0, 4, 2]]), np.array([[0, 0, 4, 2]]))
    1.0
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
