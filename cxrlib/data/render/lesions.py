"""Lesions from readers' boxes: overlapping boxes of the same finding are one lesion."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS

SAME_LESION_OVERLAP = 0.3  # shared area over the smaller box's area


@dataclass(frozen=True)
class Lesion:
    """One finding in one region: mean box of its readers (x_min, y_min, x_max, y_max, fractions of the frame)."""

    finding: str
    box: np.ndarray
    readers: int


def overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area shared by `box` (4,) and each of `others` (n, 4), over the smaller area of the two: `I / min(A, B)`, (n,).

    >>> overlap(np.array([0, 0, 4, 4]), np.array([[2, 0, 6, 2]]))  # 4 of 8
    array([0.5])
    """
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return shared / np.minimum(np.prod(box[2:] - box[:2]), areas)


def corners_of(boxes: pd.DataFrame) -> np.ndarray:
    """The boxes as float64 (n, 4). For few rows this is ten times faster than choosing four columns at once."""
    return np.column_stack([boxes[column].to_numpy(dtype=np.float64) for column in BOX_COLUMNS])


def find_lesions(boxes: pd.DataFrame) -> list[Lesion]:
    """Lesions of one study, sorted by finding and then in the order of the annotations.

    A box belongs to the lesion of its finding whose mean box it overlaps most, if the `overlap` is above
    SAME_LESION_OVERLAP; else the box begins a new lesion.

    Args:
        boxes: columns class_name, rad_id, x_min, y_min, x_max, y_max (fractions).
    """
    names, readers, corners = boxes["class_name"].to_numpy(), boxes["rad_id"].to_numpy(), corners_of(boxes)
    lesions = []
    for finding in sorted(set(names)):
        rows = np.flatnonzero(names == finding)
        groups: list[list[int]] = []
        for row in rows:
            means = [corners[group].mean(axis=0) for group in groups]
            shares = overlap(corners[row], np.array(means)) if means else np.zeros(0)
            if (shares > SAME_LESION_OVERLAP).any():
                groups[int(shares.argmax())].append(row)
            else:
                groups.append([row])
        lesions += [Lesion(finding, corners[group].mean(axis=0), len(set(readers[group]))) for group in groups]
    return lesions


def readers_of(boxes: pd.DataFrame) -> dict[str, int]:
    """How many readers drew a box of each finding."""
    pairs = set(zip(boxes["class_name"], boxes["rad_id"], strict=True))
    return Counter(finding for finding, _ in pairs)
