"""The numbers beside a picture: probabilities of all classes, and how the heatmap meets the readers' boxes."""

from html import escape

import cv2
import numpy as np
import pandas as pd

from cxrlib.boxes import Union, all_pairs_iou, areas, best_match_iou
from cxrlib.browse.results import Evidence
from cxrlib.browse.selection import PREDICTED_FROM

EXPLAINED = {
    "IoU, all pairs": "mean IoU of every predicted box with every reader's box",
    "IoU, best match": "mean over the readers' boxes of the best IoU that a predicted box reaches",
    "mask IoU": "IoU of the mask with the area that any reader boxed",
    "IoBB": "share of a predicted box that lies in a reader's box, mean of all pairs",
    "hit": "whether the heatmap's peak lies in a reader's box",
}


def localisation_numbers(evidence: Evidence, size: int, union: Union = "areas") -> dict[str, float]:
    """Scores of a heatmap against all readers' boxes, named as in EXPLAINED; empty where a side is missing.

    Args:
        size: side in pixels of the frame of the boxes.
        union: as in `cxrlib.boxes.pairwise_iou`.
    """
    if evidence.heatmap is None or not len(evidence.readers):
        return {}
    return {
        "IoU, all pairs": all_pairs_iou(evidence.predicted, evidence.true, union),
        "IoU, best match": best_match_iou(evidence.predicted, evidence.true, union),
        "mask IoU": mask_iou(evidence.mask, evidence.true, size),
        "IoBB": iobb(evidence.predicted, evidence.true),
        "hit": float(hit(evidence.heatmap, evidence.true, size)),
    }


def mask_iou(mask: np.ndarray, true: np.ndarray, size: int) -> float:
    """IoU of a mask, resized to `size` pixels, with the union of boxes (n, 4); 0 where nothing is predicted."""
    inside = cv2.resize(mask.astype(np.uint8) * 255, (size, size)) > 0
    boxed = np.zeros((size, size), bool)
    for left, top, right, bottom in np.ceil(true - 0.5).clip(0, size).astype(int):
        boxed[top:bottom, left:right] = True
    return float((inside & boxed).sum() / max((inside | boxed).sum(), 1))


def iobb(predicted: np.ndarray, true: np.ndarray) -> float:
    """Intersection over the predicted box's area (Wang et al. 2017), mean of all pairs; 0 without a predicted box."""
    if not len(predicted):
        return 0.0
    top_left = np.maximum(predicted[:, None, :2], true[None, :, :2])
    bottom_right = np.minimum(predicted[:, None, 2:], true[None, :, 2:])
    intersection = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    return float((intersection / areas(predicted)[:, None]).mean())


def hit(heatmap: np.ndarray, true: np.ndarray, size: int) -> bool:
    """Whether a heatmap's peak lies in one of the boxes (n, 4) in a frame of `size` pixels; a zero map has none."""
    if not heatmap.max() > 0:
        return False
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    x, y = (np.array([column, row]) + 0.5) * size / len(heatmap)
    left, top, right, bottom = true.T
    return bool(((left <= x) & (x < right) & (top <= y) & (y < bottom)).any())


def localisation_text(evidence: Evidence, size: int, class_name: str) -> dict[str, str]:
    """The same scores as text, or one sentence that says why there are none."""
    if evidence.heatmap is None:
        return {}
    if not len(evidence.readers):
        return {"": f"No reader boxed {class_name} on this study: there is nothing to compare the heatmap with."}
    scores = localisation_numbers(evidence, size)
    texts = {name: ("yes" if value else "no") if name == "hit" else f"{value:.3f}" for name, value in scores.items()}
    boxes = f"{len(evidence.predicted)} predicted, {len(evidence.readers)} by readers"
    return texts | {"boxes": boxes if evidence.mask.any() else f"none predicted: the heatmap is zero; {boxes}"}


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
        labels: 0/1 by class; None where nobody labelled the image.
        class_name: the class whose row is emphasised.
        after: probabilities after a change, shown beside the others with the difference.
    """
    columns = ["class", "p"] if after is None else ["class", "p before", "p after", "change"]
    heads = "".join(f"<th scope=col>{name}</th>" for name in [*columns, *([] if labels is None else ["label"])])
    rows = []
    for name, p in probabilities.items():
        bar = f"<span class=cxr-bar style='--p:{p:.3f}'></span>"
        cells = [f"{bar}{p:.3f}"]
        if after is not None:
            cells += [f"<span class=cxr-bar style='--p:{after[name]:.3f}'></span>{after[name]:.3f}"]
            cells += [f"{after[name] - p:+.3f}"]
        if labels is not None:
            cells.append("yes" if labels[name] else "")
        css = " ".join(["cxr-chosen"] * (name == class_name) + ["cxr-predicted"] * (p >= PREDICTED_FROM))
        data = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr class='{css}'><th scope=row>{escape(name)}</th>{data}</tr>")
    caption = f"Probabilities (bold: at least {PREDICTED_FROM})"
    return f"<table class=cxr-numbers><caption>{caption}</caption><tr>{heads}</tr>{''.join(rows)}</table>"
