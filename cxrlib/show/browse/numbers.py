"""The numbers beside a picture: probabilities of all classes, and the heatmap's scores against the readers' boxes."""

from html import escape

import pandas as pd

from cxrlib.evaluate.localisation import score_mask
from cxrlib.runtime.numerals import number_text
from cxrlib.show.browse.browsed import Evidence
from cxrlib.show.browse.selection import PREDICTED_FROM

EXPLAINED = {
    "IoU, all pairs": "mean IoU of every predicted box with every reader's box",
    "IoU, best match": "mean over the readers' boxes of the best IoU that a predicted box reaches",
    "mask IoU": "IoU of the mask with the area that any reader boxed",
    "IoBB": "share of a predicted box that lies in a reader's box, mean of all pairs",
    "hit": "whether the heatmap's peak lies in a reader's box",
}


COLUMNS = dict(zip(EXPLAINED, ["all_pairs", "best_match", "mask_iou", "iobb", "hit"], strict=True))
"""Names of these scores in `cxrlib.evaluate.localisation`."""


def localisation_numbers(evidence: Evidence, size: int) -> dict[str, float]:
    """Scores of a heatmap against all readers' boxes, named as in EXPLAINED; empty without a heatmap or without boxes.

    Args:
        size: side in pixels of the frame of the boxes.
    """
    if evidence.heatmap is None or not len(evidence.readers):
        return {}
    scores = score_mask(evidence.mask, evidence.true, size)
    scores["hit"] = float(evidence.hit)
    return {name: scores[COLUMNS[name]] for name in EXPLAINED}


def localisation_text(evidence: Evidence, size: int, class_name: str) -> dict[str, str]:
    """`localisation_numbers` as text, or one sentence that says why there are none."""
    if evidence.heatmap is None:
        return {}
    if not len(evidence.readers):
        return {"": f"No reader boxed {class_name} on this study: there is nothing to compare the heatmap with."}
    scores = localisation_numbers(evidence, size)
    if not evidence.mask.any():
        return {"": f"The map is zero: it has no box to compare with the {len(evidence.readers)} by readers."}
    texts = {name: ("yes" if value else "no") if name == "hit" else f"{value:.3f}" for name, value in scores.items()}
    predicted = f"{len(evidence.predicted)} predicted"
    return texts | {"boxes": f"{predicted}, {len(evidence.readers)} by readers"}


def localisation_table(texts: dict[str, str]) -> str:
    """HTML of `localisation_text`."""
    rows = [
        f"<tr><th scope=row title='{escape(EXPLAINED.get(name, ''))}'>{escape(name)}</th><td>{escape(text)}</td></tr>"
        if name
        else f"<tr><td colspan=2>{escape(text)}</td></tr>"
        for name, text in texts.items()
    ]
    return f"<table class=cxr-numbers><caption>Heatmap against readers</caption>{''.join(rows)}</table>" if rows else ""


def probability_table(
    probabilities: pd.Series, labels: pd.Series | None, class_name: str | None = None, after: pd.Series | None = None
) -> str:
    """HTML table of all classes' probabilities.

    Args:
        probabilities: by class.
        labels: 0/1 by class; None for an image without labels.
        class_name: the class whose row is emphasised.
        after: probabilities after a change, shown beside `probabilities` with the difference.
    """
    columns = ["class", "p"] if after is None else ["class", "p before", "p after", "change"]
    heads = "".join(f"<th scope=col>{name}</th>" for name in [*columns, *([] if labels is None else ["label"])])
    rows = []
    for name, p in probabilities.items():
        cells = [f"{p:.3f}"]
        if after is None:
            cells = [f"<span class=cxr-bar style='--p:{p:.3f}'></span>{p:.3f}"]
        else:
            cells += [f"{after[name]:.3f}", number_text(after[name] - p, 3, "+")]
        if labels is not None:
            cells.append("yes" if labels[name] else "")
        css = " ".join(["cxr-chosen"] * (name == class_name) + ["cxr-predicted"] * (p >= PREDICTED_FROM))
        data = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr class='{css}'><th scope=row>{escape(name)}</th>{data}</tr>")
    caption = f"Probabilities (bold: at least {PREDICTED_FROM})"
    return f"<table class=cxr-numbers><caption>{caption}</caption><tr>{heads}</tr>{''.join(rows)}</table>"
