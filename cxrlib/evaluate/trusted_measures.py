"""Whether a measure of explanations can be trusted: what `known_truth` found where the cause is known."""

import numpy as np
import pandas as pd

from cxrlib.evaluate.bootstrap import FEWEST

FIT, UNFIT, OPEN = "fit", "unfit", "open"


def fitness(table: pd.DataFrame, class_name: str) -> pd.Series:
    """Whether each measure can be trusted on the phantom.

    FIT: the true cause scores above every control, the whole interval of each gain above zero. UNFIT: its mean score is
    not above that of a control. OPEN: it is above all, but an interval reaches zero, or there are too few cases.

    Args:
        table: `beside_controls` of `truth_beside`.
        class_name: the finding, or the mean of findings, that decides.

    Returns:
        By measure.

    >>> about = {"measure": "energy", "class_name": "Mass", "gain": [0.2, 0.1], "gain_low": [0.1, -0.1], "n": 9}
    >>> fitness(pd.DataFrame(about), "Mass").to_dict()
    {'energy': 'open'}
    """
    rows = table[table["class_name"] == class_name].groupby("measure", sort=False)
    least = rows[["gain", "gain_low", "n"]].agg(lambda column: column.min(skipna=False))
    not_above = (least["gain"] <= 0) & (least["n"] >= FEWEST)
    found = np.where(least["gain_low"] > 0, FIT, np.where(not_above, UNFIT, OPEN))
    return pd.Series(found, least.index, name="trusted")


def not_surpassed(table: pd.DataFrame, class_name: str) -> dict[str, list[str]]:
    """The controls that the true cause does not score above: of an unfit measure one at least, of another none.

    Args:
        table, class_name: as in `fitness`.

    Returns:
        Measure -> names of controls.

    >>> about = {"measure": "fall", "class_name": "Mass", "control": ["random map", "usual heatmap"]}
    >>> not_surpassed(pd.DataFrame({**about, "gain": [0.2, -0.1], "n": 9}), "Mass")
    {'fall': ['usual heatmap']}
    """
    rows = table[table["class_name"] == class_name]
    beaten = (rows["gain"] <= 0) & (rows["n"] >= FEWEST)
    return {name: own.loc[beaten, "control"].tolist() for name, own in rows.groupby("measure", sort=False)}
