"""Seeded, multilabel-stratified split into training, validation and test studies."""

import hashlib
from itertools import combinations

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import IterativeStratification

SPLITS = ["train", "valid", "test"]


def split_sizes(n: int, valid_share: float, test_share: float) -> dict[str, int]:
    """Sizes by the thesis's rule: valid and test are rounded shares, train is the rest.

        valid = round(valid_share * n),  test = round(test_share * n),  train = n - valid - test

    Python's round takes halves to the even number.

    Args:
        n: studies (or patients) to split.
        valid_share, test_share: fractions, 0..1.

    The thesis's numbers (Table 2):

    >>> split_sizes(14796, 0.1, 0.1)
    {'train': 11836, 'valid': 1480, 'test': 1480}
    """
    valid, test = round(valid_share * n), round(test_share * n)
    return {"train": n - valid - test, "valid": valid, "test": test}


def stratified_split(labels: pd.DataFrame, valid_share: float, test_share: float, seed: int) -> pd.Series:
    """Assign every row to a split, with exact sizes and each label close to its share.

    The stratifier (Sechidis et al. 2011) meets the sizes only approximately. Random rows are moved until the sizes are
    exact. Rows of different splits are then swapped while that brings the labels closer to their shares. On the 14,925
    real studies the largest deviation of a label's count from its share is 3 studies with the swaps and 71 without.

    Args:
        labels: 0/1 table, one row per unit (study or patient), one column per class.
        valid_share, test_share: fractions of the rows.
        seed: same seed, same rows, same split.

    Returns:
        Series of "train", "valid" or "test" with the index of `labels`.

    Four of the 20 units have the label, and half of all go to train:

    >>> labels = pd.DataFrame({"Mass": [1] * 4 + [0] * 16})
    >>> split = stratified_split(labels, 0.25, 0.25, seed=0)
    >>> split.value_counts().sort_index().to_dict(), labels.groupby(split)["Mass"].sum().to_dict()
    ({'test': 5, 'train': 10, 'valid': 5}, {'test': 1, 'train': 2, 'valid': 1})
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
    """Move random rows, in place, from splits that are too large to those that are too small, until sizes are exact."""
    for short in range(len(sizes)):
        while (missing := sizes[short] - np.sum(assigned == short)) > 0:
            surplus = [np.sum(assigned == i) - size for i, size in enumerate(sizes)]
            largest = int(np.argmax(surplus))
            moved = random.choice(np.flatnonzero(assigned == largest), min(missing, surplus[largest]), replace=False)
            assigned[moved] = short


def _swap_rows(assigned: np.ndarray, present: np.ndarray, shares: np.ndarray) -> None:
    """Swap two rows of different splits, in place, the pair that gains most first, while a swap lowers a distance.

    The distance is

        sum over splits s and labels l of (count_sl - share_s * total_l)^2 / total_l

    Rows with the same labels are of one kind, and only kinds are compared. Let a row of kind a leave split s for split
    t and a row of kind b come back. The distance then changes by 2 * (gain(b) - gain(a) + d(a, b)) with

        gain(k) = sum_l k_l * (excess_sl - excess_tl) / total_l,  excess_sl = count_sl - share_s * total_l
        d(a, b) = sum_l (a_l - b_l)^2 / total_l
    """
    present = present[:, present.any(axis=0)].astype(np.float64)
    totals = present.sum(axis=0)
    kinds, kind_of = np.unique(present, axis=0, return_inverse=True)
    counts = np.stack([np.bincount(kind_of[assigned == i], minlength=len(kinds)) for i in range(len(shares))])
    products = (kinds / totals) @ kinds.T
    distances = np.diag(products)[:, None] + np.diag(products) - 2 * products
    improved = True
    while improved:
        improved = False
        for one, other in combinations(range(len(shares)), 2):
            excess = [counts[i] @ kinds - shares[i] * totals for i in (one, other)]
            gain = kinds @ ((excess[0] - excess[1]) / totals)
            change = gain - gain[:, None] + distances
            change[counts[one] == 0] = np.inf
            change[:, counts[other] == 0] = np.inf
            leaving, coming = np.unravel_index(np.argmin(change), change.shape)
            if change[leaving, coming] < -1e-12:
                first = np.argmax((assigned == one) & (kind_of == leaving))
                second = np.argmax((assigned == other) & (kind_of == coming))
                assigned[[first, second]] = other, one
                counts[one, [leaving, coming]] += -1, 1
                counts[other, [leaving, coming]] += 1, -1
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
        valid_share, test_share, seed: as in `stratified_split`.

    Returns:
        Series image_id -> split.

    >>> labels = pd.DataFrame({"Mass": [1] * 20}, [f"s{number}" for number in range(20)])
    >>> patients = pd.Series([f"P{number // 2}" for number in range(20)], labels.index)  # two studies each
    >>> split = split_studies(labels, patients, ["Mass"], 0.1, 0.1, seed=0)
    >>> split.value_counts().sort_index().to_dict(), int(split.groupby(patients).nunique().max())
    ({'test': 2, 'train': 16, 'valid': 2}, 1)
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
    """Short fingerprint of a split: the first 12 hex digits of the sha256 of its sorted "image_id split" lines.

    >>> split_hash(pd.Series({"b": "test", "a": "train"})) == split_hash(pd.Series({"a": "train", "b": "test"}))
    True
    """
    lines = "\n".join(f"{image_id} {name}" for image_id, name in split.sort_index().items())
    return hashlib.sha256(lines.encode()).hexdigest()[:12]
