"""Seeded, multilabel-stratified split into training, validation and test studies."""

import hashlib
from itertools import combinations

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import IterativeStratification

SPLITS = ["train", "valid", "test"]


def split_sizes(n: int, valid_share: float, test_share: float) -> dict[str, int]:
    """Sizes by the thesis's rule: valid and test are rounded shares, train is the rest.

    0.1 and 0.1 of 14,796 give 11,836 / 1,480 / 1,480 (thesis, Table 2). Halves go to the even number.
    """
    valid, test = round(valid_share * n), round(test_share * n)
    return {"train": n - valid - test, "valid": valid, "test": test}


def stratified_split(labels: pd.DataFrame, valid_share: float, test_share: float, seed: int) -> pd.Series:
    """Assign every row to a split, each label in proportion (Sechidis et al. 2011), sizes exact.

    Exact sizes cost the stratifier some balance, which swaps of rows between splits win back.

    Args:
        labels: 0/1 table, one row per unit (study or patient), one column per class.
        valid_share, test_share: fractions of the rows.
        seed: same seed, same rows, same split.

    Returns:
        Series of "train", "valid" or "test" with the index of `labels`.
    """
    sizes = split_sizes(len(labels), valid_share, test_share)
    random = np.random.RandomState(seed)
    shares = np.array([sizes[name] for name in SPLITS]) / len(labels)
    present = labels.to_numpy().astype(bool)
    assigned = np.asarray(IterativeStratification(present, shares, random))
    _move_surplus(assigned, [sizes[name] for name in SPLITS], random)
    _swap_rows(assigned, present, shares)
    return pd.Series(np.array(SPLITS)[assigned], index=labels.index, name="split")


def _move_surplus(assigned: np.ndarray, sizes: list[int], random: np.random.RandomState) -> None:
    """The stratifier meets sizes only approximately: move random rows, in place, until they are exact."""
    for short in range(len(sizes)):
        while (missing := sizes[short] - np.sum(assigned == short)) > 0:
            surplus = [np.sum(assigned == i) - size for i, size in enumerate(sizes)]
            largest = int(np.argmax(surplus))
            moved = random.choice(np.flatnonzero(assigned == largest), min(missing, surplus[largest]), replace=False)
            assigned[moved] = short


def _swap_rows(assigned: np.ndarray, present: np.ndarray, shares: np.ndarray) -> None:
    """Swap two rows of different splits, in place and best pair first, while that brings labels closer to their shares.

    The distance is the sum over splits and labels of (count - share * total)^2 / total.
    """
    present = present[:, present.any(axis=0)].astype(np.float64)
    totals = present.sum(axis=0)
    kinds, kind_of = np.unique(present, axis=0, return_inverse=True)
    likeness = (kinds / totals) @ kinds.T
    difference = np.diag(likeness)[:, None] + np.diag(likeness) - 2 * likeness
    improved = True
    while improved:
        improved = False
        for one, other in combinations(range(len(shares)), 2):
            excess = [present[assigned == i].sum(axis=0) - shares[i] * totals for i in (one, other)]
            gain = kinds @ ((excess[0] - excess[1]) / totals)
            change = gain - gain[:, None] + difference
            change[np.setdiff1d(kind_of, kind_of[assigned == one])] = np.inf
            change[:, np.setdiff1d(kind_of, kind_of[assigned == other])] = np.inf
            leaving, coming = np.unravel_index(np.argmin(change), change.shape)
            if change[leaving, coming] < -1e-12:
                first = np.flatnonzero((assigned == one) & (kind_of == leaving))[0]
                second = np.flatnonzero((assigned == other) & (kind_of == coming))[0]
                assigned[[first, second]] = other, one
                improved = True


def split_studies(
    labels: pd.DataFrame,
    patients: pd.Series,
    explained: list[str],
    valid_share: float,
    test_share: float,
    seed: int,
) -> pd.Series:
    """Split studies by patient, so that nobody is in two splits.

    Studies with one of the explained labels are split by the exact rule; the others, which only wider
    experiments use, are split by the same rule among themselves. A patient counts as explained if any study is.

    Args:
        labels: 0/1 table, image_id by class.
        patients: patient of every image_id.
        explained: the labels of the explained experiment.

    Returns:
        Series image_id -> split.
    """
    per_patient = labels.groupby(patients.reindex(labels.index), sort=True).max()
    has_explained = per_patient[explained].any(axis=1)
    parts = [
        stratified_split(part, valid_share, test_share, seed)
        for part in (per_patient[has_explained], per_patient[~has_explained])
        if len(part)
    ]
    return patients.reindex(labels.index).map(pd.concat(parts)).rename("split")


def split_hash(split: pd.Series) -> str:
    """Short fingerprint of a split: the first 12 hex digits of the sha256 of its sorted "image_id split" lines."""
    lines = "\n".join(f"{image_id} {name}" for image_id, name in split.sort_index().items())
    return hashlib.sha256(lines.encode()).hexdigest()[:12]
