"""Checks of the data before training: labels that come together, readers' habits, boxes, and the pixels."""

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
"""Correlation of two thumbnails, each less the mean image, from which they count as near-duplicates."""


BLOCK = 1000
"""Images that are read, or compared with as many others, at once."""


COARSE = 4
"""Side in pixels of the squares whose averages tell which thumbnails cannot be alike."""


ROUNDING = 1e-5
"""By how much float32 may miss a distance."""


def labels_together(labels: pd.DataFrame) -> pd.DataFrame:
    """Share of the images with the row's label that have the column's label too: n(row and column) / n(row).

    Args:
        labels: 0/1, image_id by class.

    Returns:
        float64, class by class; NaN for a label without images.

    >>> labels_together(pd.DataFrame({"A": [1, 1], "B": [1, 0]})).to_dict("index")
    {'A': {'A': 1.0, 'B': 0.5}, 'B': {'A': 1.0, 'B': 1.0}}
    """
    counts = labels.T.astype(int) @ labels.astype(int)
    return counts.div(np.diag(counts).astype(float), axis=0)


def reader_habits(annotations: pd.DataFrame) -> pd.DataFrame:
    """How often each reader gives each label: share of the studies that they read.

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`; every reader has at least one row per study.

    Returns:
        rad_id by class, the reader of the most studies first; a first column `studies` counts what the reader read.

    >>> rows = [("a", "R1", "Mass"), ("b", "R1", "No finding"), ("a", "R2", "Mass")]
    >>> reader_habits(pd.DataFrame(rows, columns=["image_id", "rad_id", "class_name"])).to_dict("index")
    {'R1': {'studies': 2, 'Mass': 0.5, 'No finding': 0.5}, 'R2': {'studies': 1, 'Mass': 1.0, 'No finding': 0.0}}
    """
    given = annotations.drop_duplicates(["image_id", "rad_id", "class_name"])
    studies = annotations.groupby("rad_id")["image_id"].nunique()
    shares = given.groupby(["rad_id", "class_name"]).size().unstack(fill_value=0).div(studies, axis=0)
    shares = shares[sorted(shares, key=lambda name: (name == NO_FINDING, name))]
    shares.insert(0, "studies", studies)
    return shares.sort_values("studies", ascending=False)


def box_density(fractions: pd.DataFrame) -> dict[str, np.ndarray]:
    """Where the boxes of each finding lie: share of them that cover each cell of a square grid.

    Args:
        fractions: class_name and BOX_COLUMNS, in fractions of the image's width and height.

    Returns:
        Class -> float64 (GRID, GRID), row 0 at the top.

    One box covers the left half of the image, the other all of it:

    >>> rows = [("Mass", 0, 0, 0.5, 1), ("Mass", 0, 0, 1, 1)]
    >>> density = box_density(pd.DataFrame(rows, columns=["class_name", *BOX_COLUMNS]))["Mass"]
    >>> print(density[0, 0], density[0, -1])
    1.0 0.5
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
    """Share of each split's studies that have each explained label: class by split."""
    explained = cohort.labels[cohort.explained]
    return pd.DataFrame({split: explained.loc[cohort.of(split)].mean() for split in SPLITS}).rename_axis("label")


def thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Images averaged down to uint8 (n, THUMBNAIL, THUMBNAIL).

    Args:
        pixels: uint8 (n, size, size).

    >>> thumbnails(np.full((2, 64, 64), 7, np.uint8)).shape
    (2, 32, 32)
    """
    return np.stack([cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for image in pixels])


def near_duplicates(small: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of images whose thumbnails correlate with at least DUPLICATE.

    Each thumbnail is brought to mean 0 and standard deviation 1. Any two frontal radiographs resemble each other; the
    mean of all thumbnails is therefore subtracted. The correlation of a and b is then a . b / (|a| |b|).

    For a and b of length 1, half of their squared distance is 1 - a . b. Averages over squares of COARSE x COARSE
    pixels, times COARSE, are never further apart. So only pairs that are near in these few numbers are correlated.

    Args:
        small: from `thumbnails`.

    Returns:
        Positions of the pairs, the smaller first.

    >>> noise = np.random.default_rng(0).integers(256, size=(3, 32, 32)).astype(np.uint8)
    >>> near_duplicates(np.concatenate([noise, noise[1:2]]))
    [(1, 3)]
    """
    blocks, pairs = _blocks(len(small)), []
    mean = sum(_standardised(small[rows]).sum(axis=0, dtype=np.float64) for rows in blocks) / len(small)
    coarse = np.concatenate([_coarse(_directions(small[rows], mean)) for rows in blocks])
    half = (coarse**2).sum(axis=1) / 2
    for number, rows in enumerate(progress(blocks, "near-duplicates", "block")):
        for others in blocks[number:]:
            apart = half[rows, None] + half[others] - coarse[rows] @ coarse[others].T
            near = np.argwhere(apart <= 1 - DUPLICATE + ROUNDING) + (rows.start, others.start)
            near = near[near[:, 0] < near[:, 1]]
            for some in _blocks(len(near)):
                one, other = (_directions(small[at], mean) for at in near[some].T)
                pairs += near[some][(one * other).sum(axis=1) >= DUPLICATE].tolist()
    return sorted((one, other) for one, other in pairs)


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]


def _standardised(small: np.ndarray) -> np.ndarray:
    """Thumbnails of mean 0 and standard deviation 1, float32 (n, pixels)."""
    flat = small.reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(flat.std(axis=1, keepdims=True), 1e-6)


def _directions(small: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Standardised thumbnails less their mean over all images, each of length 1."""
    flat = _standardised(small) - mean.astype(np.float32)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _coarse(flat: np.ndarray) -> np.ndarray:
    """Averages over squares, times their side, so that distances do not grow: (n, THUMBNAIL^2 / COARSE^2)."""
    cells = flat.reshape(len(flat), THUMBNAIL // COARSE, COARSE, THUMBNAIL // COARSE, COARSE)
    return cells.mean(axis=(2, 4)).reshape(len(flat), -1) * COARSE


def check_images(cohort: Cohort) -> pd.DataFrame:
    """Patients in two splits, near-duplicates, sizes and brightness of a cohort's images: one row per check.

    Returns:
        Indexed by check: value (as text) and wanted, which is empty where nothing is wrong or right.
    """
    usable = cohort.studies["split"].isin(SPLITS).to_numpy()
    blocks = progress(cohort.blocks(BLOCK), "reading", "block", -(-len(cohort.pixels) // BLOCK))
    studies, small = cohort.studies[usable], np.concatenate([thumbnails(block) for block in blocks])[usable]
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
