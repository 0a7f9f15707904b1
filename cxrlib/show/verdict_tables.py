"""Tables of notebook 13: what earlier notebooks found, in the form of the verdict's checks."""

import pandas as pd

from cxrlib.evaluate.verdict import Check

FAIR_AUROC = 0.7
"""An AUROC from here on is acceptable discrimination (Hosmer and Lemeshow 2000, page 162)."""


FAIR = f"AUROC of {FAIR_AUROC}"


TABLES = ["auroc", "localisation", "faithfulness", "sanity", "stability", "phantom"]
"""Tables of earlier notebooks that the lights come from."""


OTHERS, CHANCE = "maps of other images", "random map"
"""Controls of stability and sanity, and of the phantom. The rule has names and no code of the notebooks that measure:
an edit of a method leaves the verdict fresh until its tables change."""


RULE = [
    Check("predicts", "auroc", "AUROC", FAIR, "the AUROC", f"{FAIR_AUROC}, the least that counts as acceptable"),
    Check("points", "localisation", "iou", "usual heatmap", "the IoU with the readers' boxes", "the usual heatmap's"),
    Check(
        "matters",
        "faithfulness",
        "fall mean 10 %",
        "random region",
        "the fall of p when the map's top 10 % become grey",
        "that of a random region",
    ),
    Check(
        "stable", "stability", "max-sensitivity", OTHERS, "the steadiness under noise", "that of maps of other images"
    ),
    Check(
        "stable",
        "stability",
        "seeds (rank correlation)",
        OTHERS,
        "the likeness to another training's map",
        "that of maps of other images",
    ),
    Check(
        "passes",
        "sanity",
        "parameters randomised (ssim, absolute)",
        OTHERS,
        "the change when the weights are randomised",
        "that between maps of other images",
    ),
    Check(
        "passes",
        "sanity",
        "labels permuted (ssim, absolute)",
        OTHERS,
        "the change when the labels are permuted",
        "that between maps of other images",
    ),
    Check(
        "passes",
        "sanity",
        "input shifted",
        "rank correlation of 0.99",
        "the likeness when the network takes a shift of the input back",
        "a rank correlation of 0.99",
    ),
    Check("true", "phantom", "average_precision", CHANCE, "the average precision on the cause", "a random map's"),
]
"""What each light asks. On real data nobody knows the cause, so that `true` is grey there."""


QUESTIONS = {
    "predicts": "Can the network tell the finding?",
    "points": "Does the map follow this patient, or only the usual place?",
    "matters": "Do the map's pixels matter more than others?",
    "stable": "Does the map survive noise and another training?",
    "passes": "Does the map depend on what was learned, and on nothing else?",
    "true": "Does the map find the cause, where it is known?",
}


def rule_table(rule: list[Check]) -> pd.DataFrame:
    """The rule as a table: light, question, score, control, table.

    >>> rule_table(RULE[:1])["question"].tolist()
    ['Can the network tell the finding?']
    """
    rows = [(one.light, QUESTIONS[one.light], one.measure, one.control, one.table) for one in rule]
    return pd.DataFrame(rows, columns=["light", "question", "score", "control", "table"])


def with_ceilings(verdict: pd.DataFrame, table_06: pd.DataFrame | None, readers: pd.DataFrame | None) -> pd.DataFrame:
    """What could be reached, in the words of Grad-CAM's light `points`: by a perfect map on its grid, and by readers.

    Args:
        verdict: from `verdict_table`.
        table_06: of notebook 06, with grid_ceiling by share and class_name; None leaves it out.
        readers: the table reader_agreement of notebook 06; None leaves it out.

    >>> verdict = pd.DataFrame({"class_name": ["Mass"], "method": "Grad-CAM", "light": "points", "number": 0.1})
    >>> grid = pd.DataFrame({"class_name": ["Mass", "Mass"], "grid_ceiling": [0.2, 0.3]})
    >>> with_ceilings(verdict.assign(because="open"), grid, None)["because"][0]
    'open; 33 % of what its grid allows'
    """
    most = {}
    if table_06 is not None and "grid_ceiling" in table_06:
        most["what its grid allows"] = table_06.groupby("class_name")["grid_ceiling"].max()
    if readers is not None:
        own = readers[readers["protocol"] == "all_pairs"]
        most["what two radiologists reach"] = own.set_index("class_name")["ours"]
    said, chosen = verdict["because"].copy(), (verdict["light"] == "points") & (verdict["method"] == "Grad-CAM")
    for row in verdict.index[chosen & verdict["number"].notna()]:
        name, number = verdict.loc[row, ["class_name", "number"]]
        for words, ceiling in most.items():
            if ceiling.get(name, 0) > 0:
                said[row] += f"; {100 * number / ceiling[name]:.0f} % of {words}"
    return verdict.assign(because=said)


def verdict_evidence(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The stored tables in the form that the rule reads; a table that is absent stays so."""
    forms = {"auroc": auroc_evidence, "phantom": phantom_evidence}
    return {name: forms.get(name, pd.DataFrame.copy)(table) for name, table in tables.items()}


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
    about = {"method": None, "measure": "AUROC", "control": FAIR, "control_score": FAIR_AUROC}
    return auroc.rename(columns={"label": "class_name"}).assign(**about).join(gains)


def phantom_evidence(phantom: pd.DataFrame) -> pd.DataFrame:
    """Every method's scores against the cause beside those of random maps.

    Args:
        phantom: the table of notebook 09.

    Returns:
        Columns as of `beside_controls`; the control is CHANCE.
    """
    rows = phantom[phantom["against"] == "cause"]
    names = {"metric": "measure", "over_random": "gain", "over_random_low": "gain_low", "over_random_high": "gain_high"}
    return rows.rename(columns=names).assign(control=CHANCE, control_score=rows["ours"] - rows["over_random"])
