"""Does a model hold on another data set? The same scores at home and abroad, over the labels that both have."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxrlib.bootstrap import auroc_samples, f1_samples, interval, mean_samples, study_weights
from cxrlib.cohort import Cohort
from cxrlib.explanations import Explanations
from cxrlib.localisation import boxed_cases, score_maps, with_union
from cxrlib.params import Bootstrap, Iou

METRICS = ["AUROC", "F1", "IoU"]


@dataclass(frozen=True)
class Results:
    """One model's results on one test set.

    Attributes:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        iou: one row per boxed finding and share of pixels: image_id, class_name, share, iou.
    """

    labels: pd.DataFrame
    probabilities: pd.DataFrame
    iou: pd.DataFrame


def shared_labels(home: Cohort, abroad: Cohort) -> list[str]:
    """Labels of the explained model of `home` that both data sets know.

    Raises:
        ValueError: there are none.
    """
    shared = [name for name in home.explained if name in abroad.labels]
    if not shared:
        raise ValueError(
            f"the model knows {', '.join(home.explained)}; none of these is a label of {abroad.about['description']}"
        )
    return shared


def with_labels(cohort: Cohort, labels: list[str]) -> Cohort:
    """The same cohort, in which only studies with one of `labels` count and only these are explained."""
    return replace(cohort, about=cohort.about | {"experiments": {"shared": labels}, "explained": "shared"})


def evaluate_model(cohort: Cohort, explanations: Explanations, iou: Iou) -> Results:
    """Score a model on the test studies of a cohort `with_labels`; every boxed finding counts for the IoU.

    Args:
        cohort: of the test set.
        explanations: of its test studies.
        iou: shares of pixels and kind of union.
    """
    probabilities = explanations.probabilities[cohort.explained]
    cases = boxed_cases(cohort, probabilities)
    scores = score_maps(cohort, cases, explanations.maps_of(cases), explanations.input_size, iou.percentages)
    scores["iou"] = scores[with_union("all_pairs", iou.union)]
    labels = cohort.labels.loc[probabilities.index, cohort.explained]
    return Results(labels, probabilities, scores[["image_id", "class_name", "share", "iou"]])


def compare(home: Results, abroad: Results, share: float, bootstrap: Bootstrap) -> pd.DataFrame:
    """Scores at home and abroad and their difference, with 95 % intervals over studies.

    Args:
        share: share of pixels whose IoU is compared.
        bootstrap: how often studies are drawn again, and the seed.

    Returns:
        Indexed by label and metric: home, abroad and drop, each with _low and _high, and the number of positive (for
        IoU: boxed) studies n_home and n_abroad; NaN where a score is undefined.
    """
    # the two test sets are drawn independently of each other
    samples = {
        "home": _samples(home, share, bootstrap.resamples, bootstrap.seed),
        "abroad": _samples(abroad, share, bootstrap.resamples, bootstrap.seed + 1),
    }
    samples["drop"] = samples["home"] - samples["abroad"]
    labels = home.labels.columns
    table = pd.DataFrame(index=pd.MultiIndex.from_product([METRICS, labels], names=["metric", "label"]))
    for name, values in samples.items():
        low, high = interval(values)
        table[name], table[f"{name}_low"], table[f"{name}_high"] = values[0], low, high
    for place, tested in {"home": home, "abroad": abroad}.items():
        boxed = tested.iou[tested.iou["share"] == share].groupby("class_name")["image_id"].nunique()
        positive = tested.labels.sum()
        table[f"n_{place}"] = np.concatenate([positive, positive, boxed.reindex(labels, fill_value=0)])
    return table.swaplevel().loc[[(label, metric) for label in labels for metric in METRICS]]


def best_share(tested: Results) -> float:
    """The share of pixels with the highest mean IoU."""
    return float(tested.iou.groupby("share")["iou"].mean().idxmax())


def _samples(tested: Results, share: float, resamples: int, seed: int) -> np.ndarray:
    """Every score and its resamples: (1 + resamples, metrics x labels)."""
    weights = study_weights(tested.labels.index, resamples, seed)
    names, drawn = tested.labels.columns, weights.to_numpy()
    iou = np.full((len(drawn), len(names)), np.nan)
    for number, name in enumerate(names):
        cases = tested.iou[(tested.iou["class_name"] == name) & (tested.iou["share"] == share)]
        if len(cases):
            iou[:, number] = mean_samples(cases["iou"], cases["image_id"], weights)
    auroc = auroc_samples(tested.labels, tested.probabilities, drawn)
    return np.hstack([auroc, f1_samples(tested.labels, tested.probabilities, drawn)[:, :-1], iou])
