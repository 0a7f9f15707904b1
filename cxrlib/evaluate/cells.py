"""Readers' boxes as maps: how much of each cell of a feature map they cover."""

import numpy as np
import pandas as pd
import torch

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations

AT_ONCE = 256
"""Studies whose covers are held in memory at once."""


def cell_cover(boxes: np.ndarray, size: int, rows: int, columns: int) -> np.ndarray:
    """The fraction of each cell that the union of the boxes covers, exactly.

    The sides of boxes and cells cut the frame into rectangles, each of which a box covers whole or not at all. A cell's
    cover is the area of its covered rectangles over its own. What lies outside the frame does not count.

    Args:
        boxes: (n, 4) in pixels of a square frame; none is allowed.
        size: side of that frame in pixels.
        rows, columns: the grid of equal cells into which the frame is cut.

    Returns:
        float32 (rows, columns) in 0..1.

    Two boxes that share half of their area cover three quarters of the upper left cell:

    >>> cell_cover(np.array([[0, 0, 2, 4], [1, 0, 3, 4]]), 8, 2, 2).tolist()
    [[0.75, 0.0], [0.0, 0.0]]
    """
    x_min, y_min, x_max, y_max = np.asarray(boxes, np.float64).reshape(-1, 4).clip(0, size).T
    across, down = np.linspace(0, size, columns + 1), np.linspace(0, size, rows + 1)
    x, y = np.unique([*across, *x_min, *x_max]), np.unique([*down, *y_min, *y_max])
    x_middle, y_middle = (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2
    in_x = (x_min[:, None] < x_middle) & (x_middle < x_max[:, None])
    in_y = (y_min[:, None] < y_middle) & (y_middle < y_max[:, None])
    covered = (in_y[:, :, None] & in_x[:, None, :]).any(axis=0) * np.diff(y)[:, None] * np.diff(x)
    cover = np.zeros((rows, columns))
    cells = np.searchsorted(down, y_middle)[:, None] - 1, np.searchsorted(across, x_middle)[None] - 1
    np.add.at(cover, cells, covered)
    return (cover * rows * columns / size**2).clip(0, 1).astype(np.float32)


def boxed_rows(cohort: Cohort, image_ids: list[str], classes: list[str]) -> pd.DataFrame:
    """The rows of the annotations with a box of these studies and classes: image_id, class_name and BOX_COLUMNS."""
    rows = cohort.annotations.take(cohort.rows_of(image_ids))
    wanted = rows["class_name"].isin(classes) & rows["x_min"].notna()
    return rows.loc[wanted, ["image_id", "class_name", *BOX_COLUMNS]]


def boxed_studies(cohort: Cohort, split: str) -> pd.Series:
    """How many studies of a split have a box of each finding: class_name -> count, in the order of the findings."""
    boxed = boxed_rows(cohort, cohort.of(split), cohort.findings).drop_duplicates(["image_id", "class_name"])
    return boxed["class_name"].value_counts().reindex(cohort.findings, fill_value=0)


def study_covers(cohort: Cohort, image_ids: list[str], classes: list[str], rows: int, columns: int) -> torch.Tensor:
    """`cell_cover` of all readers' boxes of each study and class, float32 (n, classes, rows, columns)."""
    covers = torch.zeros(len(image_ids), len(classes), rows, columns)
    places, order = pd.Index(image_ids), pd.Index(classes)
    for (image_id, name), boxes in boxed_rows(cohort, image_ids, classes).groupby(["image_id", "class_name"]):
        cover = cell_cover(boxes[BOX_COLUMNS].to_numpy(), cohort.size, rows, columns)
        covers[places.get_loc(image_id), order.get_loc(name)] = torch.from_numpy(cover)
    return covers


def usual_place(cohort: Cohort, explanations: Explanations) -> Explanations:
    """Where a finding usually lies, as the map of every study: the mean cover of the training studies with a box of it.

    This control needs neither a network nor the image. A map that scores no more shows nothing of the image.

    Args:
        cohort: its training split and all readers' boxes.
        explanations: their classes and the resolution of their maps are those of the result.

    Returns:
        The same map for each study of `explanations`; zero for a class of which no training study has a box.
    """
    shape = explanations.maps.shape
    return explanations.with_maps(mean_cover(cohort, explanations.classes, *shape[2:]).expand(shape))


def mean_cover(cohort: Cohort, classes: list[str], rows: int, columns: int) -> torch.Tensor:
    """The mean cover of the training studies with a box of each class, float32 (classes, rows, columns)."""
    train = cohort.of("train")
    total, count = torch.zeros(len(classes), rows, columns), torch.zeros(len(classes))
    for start in range(0, len(train), AT_ONCE):
        covers = study_covers(cohort, train[start : start + AT_ONCE], classes, rows, columns)
        total += covers.sum(0)
        count += covers.flatten(2).any(2).sum(0)
    return total / count.clamp(min=1)[:, None, None]
