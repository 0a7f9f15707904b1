"""Seeded, multilabel-stratified split into training, validation and test studies."""

import hashlib
from itertools import combinations

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import IterativeStratification

SPLITS = ["train", "valid", "test"]


def split_sizes(n: int, valid_share: float, test_share: float) -> dict[str, int]:
    """Sizes by the thesis's rule: `valid = round(valid_share * n)`, `test = round(test_share * n)`, train is the rest.

    Halves are rounded to the even number.

    >>> split_sizes(14_796, 0.1, 0.1)  # thesis, Table 2
    {'train': 11836, 'valid': 1480, 'test': 1480}
    """
    valid, test = round(valid_share * n), round(test_share * n)
    return {"train": n - valid - test, "valid": valid, "test": test}


def stratified_split(labels: pd.DataFrame, valid_share: float, test_share: float, seed: int) -> pd.Series:
    """Assign every row to a split: sizes as in `split_sizes`, every label in proportion (Sechidis et al. 2011).

    Iterative stratification balances the labels and meets the sizes approximately. Random rows are then moved until the
    sizes are exact, and pairs of rows are swapped until no swap improves the balance.

    >>> labels = pd.DataFrame({"ILD": [1] * 10 + [0] * 10})
    >>> split = stratified_split(labels, valid_share=0.2, test_share=0.2, seed=0)
    >>> labels.groupby(split)["ILD"].agg(["size", "sum"]).loc[SPLITS].values.tolist()  # half of each split
    [[12, 6], [4, 2], [4, 2]]

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
    """Move random rows from splits that are too large to splits that are too small, in place, until sizes are exact."""
    for short in range(len(sizes)):
        while (missing := sizes[short] - np.sum(assigned == short)) > 0:
            surplus = [np.sum(assigned == i) - size for i, size in enumerate(sizes)]
            largest = int(np.argmax(surplus))
            moved = random.choice(np.flatnonzero(assigned == largest), min(missing, surplus[largest]), replace=False)
            assigned[moved] = short


def _swap_rows(assigned: np.ndarray, present: np.ndarray, shares: np.ndarray) -> None:
    """Swap rows of different splits in place, best pair first, while a swap brings labels nearer to their shares.

    The distance from the shares is `D = sum_split,label (count - share * total)^2 / total`. With the excess
    `e = count - share * total` of two splits a and b, swapping row r of a for row s of b changes D by
    `2 * sum_label ((s - r) (e_a - e_b) + (s - r)^2) / total`. Rows with the same labels change D alike, so that pairs
    of kinds of rows are compared, not pairs of rows.

    Args:
        assigned: number of the split of each row.
        present: boolean (rows, labels).
        shares: of each split, sum 1.
    """
    present = present[:, present.any(axis=0)].astype(np.float64)
    totals = present.sum(axis=0)
    kinds, kind_of = np.unique(present, axis=0, return_inverse=True)
    products = (kinds / totals) @ kinds.T
    squares = np.diag(products)[:, None] + np.diag(products) - 2 * products  # sum of (s - r)^2 / total, kind by kind
    improved = True
    while improved:
        improved = False
        for one, other in combinations(range(len(shares)), 2):
            excess = [present[assigned == i].sum(axis=0) - shares[i] * totals for i in (one, other)]
            pull = kinds @ ((excess[0] - excess[1]) / totals)
            change = pull - pull[:, None] + squares  # half the change of D; r by s
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
    """Split studies by patient with `stratified_split`, so that no patient is in two splits.

    Patients with a study that has one of the explained labels are split first. The other patients, whom only
    experiments with more labels use, are split by the same rule among themselves.

    >>> labels = pd.DataFrame({"ILD": 1}, [f"s{number}" for number in range(20)])
    >>> patients = pd.Series([f"p{number // 2}" for number in range(20)], labels.index)  # two studies each
    >>> split = split_studies(labels, patients, ["ILD"], valid_share=0.2, test_share=0.2, seed=0)
    >>> split.value_counts().loc[SPLITS].tolist(), int(split.groupby(patients).nunique().max())
    ([12, 4, 4], 1)

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
    """Fingerprint of a split: the first 12 hex digits of the sha256 of its sorted lines "image_id split".

    >>> split_hash(pd.Series({"b": "test", "a": "train"}))  # of "a train", a line break, "b test"
    'a2228ce69f57'
    """
    lines = "\n".join(f"{image_id} {name}" for image_id, name in split.sort_index().items())
    return hashlib.sha256(lines.encode()).hexdigest()[:12]
