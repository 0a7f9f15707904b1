"""The first lines of the report: the data, the model, and the main scores beside those of the thesis."""

from pathlib import Path

import pandas as pd

from cxrlib.data.provenance import NO_DATA, Provenance
from cxrlib.evaluate.bootstrap import FEWEST, in_words
from cxrlib.evaluate.boxes import with_union
from cxrlib.runtime.errors import Missing
from cxrlib.runtime.numerals import number_text
from cxrlib.thesis.case_tables import read_table
from cxrlib.thesis.claims import FAILS, HOLDS, OPEN
from cxrlib.thesis.reported import thesis_iou, thesis_values


def summary(
    folder: Path, parameters: dict, provenance: Provenance, items: pd.DataFrame, claims: pd.DataFrame
) -> list[str]:
    """Sentences that open the report. A sentence whose table is missing names the table.

    Args:
        folder: the run's folder.
        parameters: by section.
        provenance: of the run's cohort; NO_DATA before notebook 01 ran.
        items: from `coverage`.
        claims: from `check_all`; empty where they could not be checked.
    """
    if provenance == NO_DATA:
        return ["Notebook 01 has not run yet."]
    parts = {
        "Data": lambda: _data(parameters, provenance),
        "Classification": lambda: _classification(folder, parameters["labels"]["explained"]),
        "Localisation": lambda: _localisation(folder, with_union("all_pairs", parameters["iou"]["union"])),
        "Perturbation": lambda: _perturbation(folder),
        "Reproduction": lambda: _reproduction(items, claims, provenance.rendered),
    }
    lines = []
    for name, sentence in parts.items():
        try:
            lines.append(f"{name}: {sentence()}")
        except Missing as missing:
            lines.append(f"{name}: {missing}.")
    return lines


def not_comparable(provenance: Provenance) -> str:
    """Why this run's data cannot be compared with the thesis; empty where they can."""
    if provenance.rendered:
        return "the radiographs are rendered; a difference from the thesis says nothing about patients"
    if provenance.source not in ("vinbigdata", "vinbigdata-resized", "vindr-cxr"):
        return "this is another data set than the thesis's; a difference from it is no reproduction"
    return ""


def _data(parameters: dict, provenance: Provenance) -> str:
    model = parameters["model"]
    epochs = parameters["training"]["epochs"]
    return (
        f"{provenance.description}; {model['architecture']} at {model['input_size']} px, {epochs} "
        f"{'epoch' if epochs == 1 else 'epochs'}."
    )


def _classification(folder: Path, explained: str) -> str:
    f1, auroc = (read_table(folder, name) for name in ("table_03", "auroc"))
    micro = f1[(f1["experiment"] == explained) & (f1["label"] == "micro avg")].iloc[0]
    area = auroc.set_index("label").loc["macro avg"]
    thesis = thesis_values("table_03").query("group == '7 classes' and row == 'micro avg'")["value"].item()
    return (
        f"micro F1 {in_words(micro)} (thesis, 7 labels: {thesis:.2f}), macro AUC {in_words(area)} "
        f"(thesis: 0.93 to 0.99 per label)."
    )


def _localisation(folder: Path, protocol: str) -> str:
    table = read_table(folder, "table_06").dropna(subset="ours")
    readers = read_table(folder, "reader_agreement").query("protocol == @protocol")
    if table.empty:
        return "no finding is predicted correctly and boxed (n = 0)."
    best = table.loc[table["ours"].where(table["n"] >= FEWEST, table["ours"] - 1).idxmax()]
    reported = thesis_iou("table_06").max()
    ceiling = readers.set_index("class_name")["ours"]
    name = best["class_name"]
    beside = (
        f"thesis {reported[name]:.2f}, two radiologists {ceiling[name]:.2f}"
        if name in reported
        else "not in the thesis"
    )
    return (
        f"best is {name}, mean IoU {in_words(best)} at the top {100 * best['share']:.0f} % of the pixels "
        f"(n = {best['n']:.0f}); random heatmap {best['random_heatmap']:.2f}, {beside}."
    )


def _perturbation(folder: Path) -> str:
    drops = read_table(folder, "perturbation_cases")
    if drops.empty:
        return "no class is predicted surely (n = 0)."
    top = drops[(drops["transform"] == "mean") & (drops["share"] == drops["share"].max())]
    own = {name: rows[name].mean() for name, rows in top.groupby("heatmap_class")}
    falls = sum(value > 0 for value in own.values())
    most = max(own, key=own.get)
    return (
        f"replacing the top {100 * drops['share'].max():.0f} % by the mean lowers the class's own probability for "
        f"{falls} of {len(own)} predicted classes, most for {most} (by {number_text(own[most], 2)})."
    )


def _reproduction(items: pd.DataFrame, claims: pd.DataFrame, rendered: bool) -> str:
    own = items[items["artefact"] != ""]
    present = int((own["status"] == "present").sum())
    text = f"{present} of {len(own)} tables and figures are here"
    if claims.empty:
        return text + "; the claims wait for the missing notebooks."
    verdicts = claims["verdict"].value_counts()
    if rendered:
        decided = len(claims) - verdicts.get(OPEN, 0)
        return f"{text}; {decided} of {len(claims)} claims could be decided, as a check of the machinery."
    return (
        f"{text}; of {len(claims)} claims "
        + ", ".join(
            f"{verdicts.get(verdict, 0)} {words}"
            for verdict, words in (
                (HOLDS, "hold"),
                (FAILS, "do not hold"),
                (OPEN, OPEN),
            )
        )
        + "."
    )
