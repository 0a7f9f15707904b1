"""Tables of notebook 13: what earlier notebooks found, in the form of the verdict's checks."""

import pandas as pd

from cxrlib.evaluate.bootstrap import expanded
from cxrlib.evaluate.controls import without_number
from cxrlib.evaluate.verdict import Check

FAIR_AUROC = 0.7
"""An AUROC from here on is acceptable discrimination (Hosmer and Lemeshow 2000, page 162)."""


FAIR = f"AUROC of {FAIR_AUROC}"


TABLES = ["auroc", "localisation", "faithfulness", "sanity", "stability", "phantom"]
"""Tables of earlier notebooks that the lights come from."""


BESIDE = ["measures_on_truth", "sanity_cases", "stability_cases", "table_06", "reader_agreement"]
"""Tables that explain the lights: which measures know the cause, why cases have no number, what could be reached."""


OTHERS, CHANCE, USUAL = "maps of other images", "random map", "usual heatmap"
"""Controls of stability and sanity, and of the places. The rule has names and no code of the notebooks that measure:
an edit of a method leaves the verdict fresh until its tables change."""


CHECKED = "sanity.compared names the methods that are checked"
SEEDED = "sanity.compared names the methods, sanity.seeds and sanity.epochs train the further networks"
FALLS = "perturbation.controls_methods names the methods"
BOXED, KNOWN = "findings that a reader boxed", "findings with a twin"


RULE = [
    Check("predicts", "auroc", "AUROC", FAIR, "the AUROC", f"{FAIR_AUROC}, the least that counts as acceptable"),
    Check(
        "points",
        "localisation",
        "iou",
        USUAL,
        "the IoU with the readers' boxes",
        "the usual heatmap's",
        BOXED,
        on_truth="iou",
        stands_for=USUAL,
    ),
    Check(
        "matters",
        "faithfulness",
        "fall mean 10 %",
        "random region",
        "the fall of p when the map's top 10 % become grey",
        "that of a random region",
        "findings that the network predicts",
        FALLS,
        on_truth="fall mean 10 %",
        stands_for=CHANCE,
    ),
    Check(
        "stable",
        "stability",
        "max-sensitivity",
        OTHERS,
        "the steadiness under noise",
        "that of maps of other images",
        BOXED,
        CHECKED,
    ),
    Check(
        "stable",
        "stability",
        "seeds (rank correlation)",
        OTHERS,
        "the likeness to another training's map",
        "that of maps of other images",
        BOXED,
        SEEDED,
    ),
    Check(
        "passes",
        "sanity",
        "parameters randomised (ssim, absolute)",
        OTHERS,
        "the change when the weights are randomised",
        "that between maps of other images",
        BOXED,
        CHECKED,
    ),
    Check(
        "passes",
        "sanity",
        "labels permuted (ssim, absolute)",
        OTHERS,
        "the change when the labels are permuted",
        "that between maps of other images",
        BOXED,
        CHECKED,
    ),
    Check(
        "passes",
        "sanity",
        "input shifted",
        "rank correlation of 0.99",
        "the likeness when the network takes a shift of the input back",
        "a rank correlation of 0.99",
        BOXED,
        CHECKED,
    ),
    *(
        Check("true", "phantom", "average_precision", control, "the average precision on the cause", against, KNOWN)
        for control, against in ((CHANCE, "a random map's"), (USUAL, "the usual heatmap's"))
    ),
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

    Both are compared with Table 6's IoU at the share of pixels where it is highest: the ceiling is of the same cases.

    Args:
        verdict: from `verdict_table`.
        table_06: of notebook 06: ours and grid_ceiling by share and class_name; None leaves both out.
        readers: the table reader_agreement of notebook 06, of all real studies; None leaves it out.

    >>> verdict = pd.DataFrame({"class_name": ["Mass"], "method": "Grad-CAM", "light": "points", "number": 0.1})
    >>> grid = pd.DataFrame({"class_name": ["Mass", "Mass"], "ours": [0.1, 0.06], "grid_ceiling": [0.2, 0.3]})
    >>> with_ceilings(verdict.assign(because="open"), grid, None)["because"][0]
    'open; on the findings of Table 6 its IoU is 50 % of what its grid allows'
    """
    if table_06 is None or "grid_ceiling" not in table_06:
        return verdict
    best = table_06.dropna(subset="ours").sort_values("ours").groupby("class_name").tail(1).set_index("class_name")
    most = {"what its grid allows": best["grid_ceiling"]}
    if readers is not None:
        of_pairs = readers[readers["protocol"] == "all_pairs"]
        most["what two radiologists reach on all real studies"] = of_pairs.set_index("class_name")["ours"]
    said, chosen = verdict["because"].copy(), (verdict["light"] == "points") & (verdict["method"] == "Grad-CAM")
    for row in verdict.index[chosen & verdict["number"].notna() & verdict["class_name"].isin(best.index)]:
        name = verdict.at[row, "class_name"]
        parts = [
            f"{100 * best['ours'][name] / of[name]:.0f} % of {words}"
            for words, of in most.items()
            if of.get(name, 0) > 0
        ]
        if parts:
            said[row] += f"; on the findings of Table 6 its IoU is {' and '.join(parts)}"
    return verdict.assign(because=said)


def verdict_evidence(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The stored tables in the form that the rule reads; a table that is absent stays so.

    Where the cases of a table of TABLES are stored, its rows say why some of them have no number.
    """
    forms = {"auroc": auroc_evidence, "phantom": phantom_evidence}
    found = {name: forms.get(name, pd.DataFrame.copy)(tables[name]) for name in TABLES if name in tables}
    for name in found:
        if name in ("sanity", "stability") and f"{name}_cases" in tables:
            found[name] = with_missing(found[name], tables[f"{name}_cases"])
    return found


def with_missing(table: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `missing`: why cases of a row have no number, and how many of how many.

    Args:
        table: of `beside_controls`.
        cases: the cases behind it, with `because`.

    >>> about = {"method": "CAM", "measure": "weights", "class_name": "Mass"}
    >>> cases = pd.DataFrame({**about, "score": [float("nan"), 0.5], "control_score": 0.4, "because": ["constant", ""]})
    >>> with_missing(pd.DataFrame([about]), cases)["missing"].tolist()
    ['in 1 of 2 cases constant']
    """
    key = ["method", "measure", "class_name"]
    because = without_number(cases)
    said = {
        about: "; ".join(f"in {n} of {len(own)} cases {why}" for why, n in own[own != ""].value_counts().items())
        for about, own in because.groupby([cases[name] for name in key])
    }
    return table.assign(missing=[said.get(about, "") for about in table[key].itertuples(index=False, name=None)])


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
    """Every method's scores against the cause beside those of random maps, and of the class's mean heatmap.

    Args:
        phantom: the table of notebook 09.

    Returns:
        Columns as of `beside_controls`; the controls are CHANCE and USUAL. The intervals of gains are `expanded` here;
        a study has a finding once, so that n counts studies.
    """
    rows, parts = phantom[phantom["against"] == "cause"].rename(columns={"metric": "measure"}), []
    for control, over in ((CHANCE, "over_random"), (USUAL, "over_usual")):
        if over in rows:
            names = {over: "gain", f"{over}_low": "gain_low", f"{over}_high": "gain_high"}
            part = rows.rename(columns=names).assign(control=control, control_score=rows["ours"] - rows[over])
            bounds = {name: expanded(part["gain"], part[name], part["n"]) for name in ("gain_low", "gain_high")}
            parts.append(part.assign(**bounds))
    return pd.concat(parts, ignore_index=True)
