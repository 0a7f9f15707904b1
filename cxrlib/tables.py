"""Tables that put the thesis, the real annotations and the run beside each other."""

import pandas as pd

from cxrlib.cohort import Cohort
from cxrlib.facts import thesis_values
from cxrlib.split import SPLITS, split_sizes


def split_counts(real: pd.DataFrame, cohort: Cohort, valid_share: float, test_share: float) -> pd.DataFrame:
    """Table 2: studies per split and per label.

    Args:
        real: 0/1 labels of all real studies, image_id by class.
        cohort: the run's cohort.
        valid_share, test_share: fractions of the studies, for the sizes on the real annotations.

    Returns:
        Integer table indexed by split or label: thesis, real_annotations, difference, this_run; missing where a data
        set lacks the label.
    """
    thesis = thesis_values("table_02").set_index("row")["value"]
    labels = [name for name in thesis.index if name in real]
    kept = real.loc[real[labels].any(axis=1), labels]
    sizes = split_sizes(len(kept), valid_share, test_share)
    own = cohort.labels.loc[[image_id for split in SPLITS for image_id in cohort.of(split)], cohort.explained].sum()
    table = pd.DataFrame(
        {
            "thesis": thesis,
            "real_annotations": {name.capitalize(): size for name, size in sizes.items()} | kept.sum().to_dict(),
            "this_run": {split.capitalize(): len(cohort.of(split)) for split in SPLITS} | own.to_dict(),
        }
    ).astype("Int64")
    table.insert(2, "difference", table["real_annotations"] - table["thesis"])
    return table.reindex(list(dict.fromkeys([*thesis.index, *own.index]))).rename_axis("row")


def f1_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Table 3: F1 of every experiment and label beside the thesis's.

    Args:
        scores: indexed by experiment and label: f1, n.

    Returns:
        The same rows: thesis (missing where it has no such row), f1, n.
    """
    thesis = thesis_values("table_03").rename(columns={"group": "experiment", "row": "label", "value": "thesis"})
    names = thesis["experiment"].replace({"whole dataset": "all labels"}).str.replace("classes", "labels")
    thesis = thesis.assign(experiment=names).set_index(["experiment", "label"])["thesis"]
    return scores.join(thesis)[["thesis", "f1", "n"]]
