"""Tables of notebook 13: what earlier notebooks found, in the form of the verdict's checks."""

import pandas as pd

FAIR_AUROC = 0.7
"""An AUROC from here on is acceptable discrimination (Hosmer and Lemeshow 2000, page 162)."""


CHANCE_MAPS = "random map"


def auroc_evidence(auroc: pd.DataFrame) -> pd.DataFrame:
    """The AUROC of each label beside FAIR_AUROC: the rows hold for every method.

    Args:
        auroc: the table of notebook 03: label, ours, low, high, n.

    Returns:
        Columns as of `beside_controls`, method missing; the gain is the AUROC minus FAIR_AUROC.

    >>> row = auroc_evidence(pd.DataFrame({"label": ["Mass"], "ours": 0.9, "low": 0.75, "high": 0.95, "n": 20})).iloc[0]
    >>> print(row["class_name"], row["control_score"], round(row["gain_low"], 3))
    Mass 0.7 0.05
    """
    gains = auroc[["ours", "low", "high"]].sub(FAIR_AUROC).set_axis(["gain", "gain_low", "gain_high"], axis=1)
    about = {"method": None, "measure": "AUROC", "control": "fair", "control_score": FAIR_AUROC}
    return auroc.rename(columns={"label": "class_name"}).assign(**about).join(gains)


def phantom_evidence(phantom: pd.DataFrame) -> pd.DataFrame:
    """Every method's scores against the cause beside those of random maps.

    Args:
        phantom: the table of notebook 09.

    Returns:
        Columns as of `beside_controls`; the control is CHANCE_MAPS.
    """
    rows = phantom[phantom["against"] == "cause"]
    names = {"metric": "measure", "over_random": "gain", "over_random_low": "gain_low", "over_random_high": "gain_high"}
    return rows.rename(columns=names).assign(control=CHANCE_MAPS, control_score=rows["ours"] - rows["over_random"])
