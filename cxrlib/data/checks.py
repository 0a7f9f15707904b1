"""Checks of a data set before training: labels that come together, readers' habits, boxes, splits and pixels."""

import cv2
import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS, NO_FINDING
from cxrlib.data.cohort import Cohort
from cxrlib.data.split import SPLITS
from cxrlib.runtime.progress import progress

GRID = 64
"""Side of the density maps in cells."""


THUMBNAIL = 32
"""Side in pixels at which images are compared."""


DUPLICATE = 0.98
"""Correlation from which two thumbnails count as near-duplicates (`near_duplicates`)."""


BLOCK = 1000
"""Images that are compared with all others at once."""


def labels_together(labels: pd.DataFrame) -> pd.DataFrame:
    """Share of the images with the row's label that have the column's label too; NaN for a label without images.

    >>> labels_together(pd.DataFrame({"ILD": [1, 1, 0, 0], "Nodule": [1, 0, 1, 1]})).round(2).to_numpy()
    array([[1.  , 0.5 ],
           [0.33, 1.  ]])

    Args:
        labels: 0/1, image_id by class.
    """
    counts = labels.T.astype(int) @ labels.astype(int)
    return counts.div(np.diag(counts).astype(float), axis=0)


def reader_habits(annotations: pd.DataFrame) -> pd.DataFrame:
    """How often each reader gives each label: share of the studies that the reader read, rad_id by class.

    Readers with most studies come first.

    >>> rows = [("a", "ILD", "R1"), ("b", "No finding", "R1"), ("a", "ILD", "R2")]
    >>> reader_habits(pd.DataFrame(rows, columns=["image_id", "class_name", "rad_id"])).loc["R1"].to_dict()
    {'studies': 2.0, 'ILD': 0.5, 'No finding': 0.5}

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`; every reader has at least one row per study.

    Returns:
        The column `studies`, the number of studies that the reader read, then one column per class.
    """
    given = annotations.drop_duplicates(["image_id", "rad_id", "class_name"])
    studies = annotations.groupby("rad_id")["image_id"].nunique()
    shares = given.groupby(["rad_id", "class_name"]).size().unstack(fill_value=0).div(studies, axis=0)
    shares = shares[sorted(shares, key=lambda name: (name == NO_FINDING, name))]
    shares.insert(0, "studies", studies)
    return shares.sort_values("studies", ascending=False)


def box_density(fractions: pd.DataFrame) -> dict[str, np.ndarray]:
    """Where the boxes of each finding lie: the share of the finding's boxes that cover each cell of a square grid.

    >>> corners = {"x_min": [0.0, 0.5], "y_min": 0.0, "x_max": 1.0, "y_max": [1.0, 0.5]}  # all, and the upper right
    >>> density = box_density(pd.DataFrame({"class_name": "ILD", **corners}))["ILD"]
    >>> float(density[0, 0]), float(density[0, GRID - 1]), float(density[GRID - 1, GRID - 1])
    (0.5, 1.0, 0.5)

    Args:
        fractions: class_name and BOX_COLUMNS, in fractions of the image's width and height.

    Returns:
        Class -> float64 (GRID, GRID), row 0 at the top.
    """
    edges = np.round(fractions[BOX_COLUMNS].clip(0, 1) * GRID).astype(int)
    maps = {}
    for name, rows in edges.groupby(fractions["class_name"]):
        covering = np.zeros((GRID, GRID))
        for left, top, right, bottom in rows[BOX_COLUMNS].to_numpy():
            covering[top:bottom, left:right] += 1
        maps[name] = covering / len(rows)
    return maps


def split_balance(cohort: Cohort) -> pd.DataFrame:
    """Share of each split's studies that have each explained label: class by split, 0..1.

    The share of a label in a split is the mean of its 0/1 column over the split's studies, `Cohort.of(split)`.

    >>> from pathlib import Path
    >>> from cxrlib.data.provenance import NO_DATA
    >>> labels = pd.DataFrame({"ILD": [1, 1, 0, 1], "No finding": [0, 0, 1, 0]}, list("abcd"))
    >>> studies = pd.DataFrame({"split": ["train", "train", "train", "test"]}, list("abcd"))
    >>> experiments = {"both": ["ILD", "No finding"]}
    >>> cohort = Cohort(studies, pd.DataFrame(), labels, np.empty(0), Path(), NO_DATA, experiments, "both")
    >>> split_balance(cohort)[["train", "test"]].round(2).loc["ILD"].to_dict()
    {'train': 0.67, 'test': 1.0}
    """
    explained = cohort.labels[cohort.explained]
    return pd.DataFrame({split: explained.loc[cohort.of(split)].mean() for split in SPLITS}).rename_axis("label")


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Images, read one at a time, averaged down to uint8 (n, THUMBNAIL, THUMBNAIL).

    >>> thumbnails(np.full((2, 64, 64), 7, np.uint8)).shape
    (2, 32, 32)

    Args:
        pixels: uint8 (n, size, size).
    """
    images = progress(pixels, "comparing", "image", len(pixels))
    return np.stack([cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for image in images])


def near_duplicates(small: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of images whose thumbnails correlate by at least DUPLICATE after the mean thumbnail is taken off.

    A thumbnail is brought to mean 0 and standard deviation 1, so brightness and contrast do not count. The mean of all
    thumbnails is taken off, because all chests resemble each other. The cosine of what is left is the correlation.

    >>> random = np.random.default_rng(0).integers(0, 100, (3, 32, 32), dtype=np.uint8)
    >>> near_duplicates(np.stack([*random, random[0] + 50]))
    [(0, 3)]

    Args:
        small: from `thumbnails`.

    Returns:
        Positions of the pairs, the smaller first.
    """
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(flat.std(axis=1, keepdims=True), 1e-6)
    flat -= flat.mean(axis=0)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    pairs = []
    for start in range(0, len(flat), BLOCK):
        alike = np.argwhere(flat[start : start + BLOCK] @ flat.T >= DUPLICATE) + (start, 0)
        pairs += [(int(one), int(other)) for one, other in alike if one < other]
    return pairs


def check_images(cohort: Cohort) -> pd.DataFrame:
    """Patients in two splits, near-duplicates (`near_duplicates`), sizes and brightness of a cohort's images.

    Returns:
        One row per check, indexed by the name of the check: value, as text, and wanted, the value that a good data set
        has; empty for a check that only describes.
    """
    usable = cohort.studies["split"].isin(SPLITS).to_numpy()
    studies, small = cohort.studies[usable], thumbnails(cohort.pixels)[usable]
    pairs = near_duplicates(small)
    split = studies["split"].to_numpy()
    apart = sum(split[one] != split[other] for one, other in pairs)
    ends = np.quantile(small.mean(axis=(1, 2)) / 255, [0.05, 0.5, 0.95])
    both = studies.groupby("patient_id")["split"].nunique()
    rows = {
        "patients in more than one split": (f"{int((both > 1).sum())} of {len(both):,}", "0"),
        "near-duplicate images": (f"{len(pairs)} pairs", ""),
        "near-duplicates in different splits": (f"{apart} pairs", "0"),
        "width in pixels, least to greatest": (f"{studies['width'].min():.0f} to {studies['width'].max():.0f}", ""),
        "height in pixels, least to greatest": (f"{studies['height'].min():.0f} to {studies['height'].max():.0f}", ""),
        "mean grey (0 to 1), 5 %, 50 % and 95 % of the images": (" / ".join(f"{end:.2f}" for end in ends), ""),
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "wanted"]).rename_axis("check")
