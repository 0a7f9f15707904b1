"""Lesions from readers' boxes: overlapping boxes of the same finding are one lesion."""

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


def find_lesions(boxes: pd.DataFrame) -> list[Lesion]:
    """Lesions of one study, sorted by finding and then in the order of the annotations.

    A box belongs to the lesion of its finding whose mean box it overlaps most, if the `overlap` is above
    SAME_LESION_OVERLAP; else the box begins a new lesion.

    Args:
        boxes: columns class_name, rad_id, x_min, y_min, x_max, y_max (fractions).
    """
    lesions = []
    for finding, rows in boxes.groupby("class_name", sort=True):
        groups: list[list[int]] = []
        corners = rows[BOX_COLUMNS].to_numpy()
        for i, box in enumerate(corners):
            means = [corners[group].mean(axis=0) for group in groups]
            shares = overlap(box, np.array(means)) if means else np.zeros(0)
            if (shares > SAME_LESION_OVERLAP).any():
                groups[int(shares.argmax())].append(i)
            else:
                groups.append([i])
        readers = rows["rad_id"].to_numpy()
        lesions += [Lesion(finding, corners[group].mean(axis=0), len(set(readers[group]))) for group in groups]
    return lesions
