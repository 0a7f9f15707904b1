"""A box that somebody drew, scored beside readers, a heatmap and chance: how far each covers what readers boxed."""

from collections.abc import Iterable, Mapping

import numpy as np
from scipy.stats import binomtest

from cxrlib.evaluate.boxes import mask_of_boxes, union_iou

DRAWN, READERS, CHANCE = "you", "radiologists", "chance"


def score_drawn(
    drawn: np.ndarray, readers: Mapping[str, np.ndarray], heatmaps: Mapping[str, np.ndarray], size: int
) -> dict[str, float]:
    """Scores of one finding on one radiograph; all are `mean_reader_iou`, a reader's with the other readers alone.

    Args:
        drawn: x_min, y_min, x_max, y_max in pixels of the square image, the maxima excluded.
        readers: boxes (n, 4) by the reader's id, in the same pixels, at least one each.
        heatmaps: boxes (n, 4) by the name of the method.
        size: side of the image in pixels.

    Returns:
        DRAWN; each reader, and READERS, their mean, where there are two or more; each method; CHANCE, what a random box
        of the drawn size is expected to have.

    One reader boxed the left half, the other all of 2 x 2 pixels; the drawn box is the upper row:

    >>> readers = {"R8": np.array([[0, 0, 1, 2]]), "R9": np.array([[0, 0, 2, 2]])}
    >>> scores = score_drawn(np.array([0, 0, 2, 1]), readers, {"Grad-CAM": np.array([[1, 0, 2, 2]])}, 2)
    >>> {name: round(score, 3) for name, score in scores.items()}
    {'you': 0.417, 'R8': 0.5, 'R9': 0.5, 'radiologists': 0.5, 'Grad-CAM': 0.25, 'chance': 0.417}
    """
    drawn, targets = np.asarray(drawn, np.float64), list(readers.values())
    scores = {DRAWN: mean_reader_iou(drawn[None], targets)}
    if len(targets) > 1:
        among = {
            name: mean_reader_iou(boxes, [other for rad_id, other in readers.items() if rad_id != name])
            for name, boxes in readers.items()
        }
        scores |= among | {READERS: float(np.mean(list(among.values())))}
    scores |= {name: mean_reader_iou(boxes, targets) for name, boxes in heatmaps.items()}
    width, height = (max(1, round(side)) for side in drawn[2:] - drawn[:2])
    return scores | {CHANCE: float(np.mean([expected_iou(width, height, boxes, size) for boxes in targets]))}


def mean_reader_iou(boxes: np.ndarray, readers: list[np.ndarray]) -> float:
    """IoU of the area that `boxes` cover with the area that a reader boxed, the mean over readers.

    Args:
        boxes: (n, 4) in pixels; none gives 0.
        readers: the boxes (m, 4) of each reader, in the same pixels.

    >>> drawn, same, half = (np.array([box]) for box in ([0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 1]))
    >>> mean_reader_iou(drawn, [same, half])
    0.75
    """
    return float(np.mean([union_iou(boxes, one) for one in readers])) if len(boxes) else 0.0


def expected_iou(width: int, height: int, boxes: np.ndarray, size: int) -> float:
    """Mean IoU of a box with the area of `boxes` over all its places in the image; each place is equally likely.

    Args:
        width, height: of the box in whole pixels, at most `size`.
        boxes: (n, 4) in pixels; their area is that of the pixels whose centres they hold (`mask_of_boxes`).
        size: side of the square image in pixels.

    Of four places of one pixel two lie in the boxed row of two; there the IoU is a half:

    >>> expected_iou(1, 1, np.array([[0, 0, 2, 1]]), 2)
    0.25
    """
    mask = mask_of_boxes(boxes, size)
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    shared = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    return float((shared / (width * height + mask.sum() - shared)).mean())


def by_luck(first: Iterable[float], second: Iterable[float]) -> float:
    """Two-sided sign test: how often luck alone would split the cases at least as unevenly; equal scores do not count.

    Args:
        first, second: scores of the same cases.

    Of four cases the first wins all; heads or tails would give 4 of 4 or 0 of 4 in 2 of 16 throws:

    >>> by_luck([1, 2, 3, 4], [0, 0, 0, 0])
    0.125
    """
    signs = np.sign(np.asarray(list(first), np.float64) - np.asarray(list(second), np.float64))
    wins, decided = int((signs > 0).sum()), int((signs != 0).sum())
    return float(binomtest(wins, decided).pvalue) if decided else 1.0
