"""Does a model hold on another data set? The same scores at home and abroad, over the labels that both have."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn import metrics

from cxrlib.cohort import Cohort
from cxrlib.explanations import Explanations
from cxrlib.localisation import boxed_cases, score_maps
from cxrlib.params import Iou
from cxrlib.progress import progress

RESAMPLES = 1000
F1_THRESHOLD = 0.5
METRICS = ["AUROC", "F1", "IoU"]


@dataclass(frozen=True)
class Tested:
    """One model's results on one test set.

    Attributes:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        iou: one row per boxed finding and share of pixels: image_id, class_name, share, all_pairs.
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


def evaluate_model(cohort: Cohort, explanations: Explanations, iou: Iou) -> Tested:
    """Score a model on the test studies of a cohort `with_labels`; every boxed finding counts for the IoU.

    Args:
        cohort: of the test set.
        explanations: of its test studies.
        iou: shares of pixels and kind of union.
    """
    probabilities = explanations.probabilities[cohort.explained]
    cases = boxed_cases(cohort, probabilities)
    maps = explanations.maps_of(cases)
    scores = score_maps(cohort, cases, maps, explanations.input_size, iou.percentages, iou.union)
    return Tested(cohort.labels.loc[probabilities.index, cohort.explained], probabilities, scores)


def compare(home: Tested, abroad: Tested, share: float, seed: int) -> pd.DataFrame:
    """Scores at home and abroad and their difference, with 95 % intervals from resampled studies.

    Args:
        share: share of pixels whose IoU is compared.
        seed: of the resampling.

    Returns:
        Indexed by label and metric: home, abroad and drop, each with _low and _high, and the number of positive (for
        IoU: boxed) studies n_home and n_abroad; NaN where a score is undefined.
    """
    random, rows = np.random.default_rng(seed), {}
    for label in progress(home.labels.columns, "resampling", "label"):
        for metric in METRICS:
            row, resampled = {}, {}
            for place, tested in {"home": home, "abroad": abroad}.items():
                score, n_studies, n_positive = _score_of(tested, label, metric, share)
                row[place] = score(np.arange(n_studies)) if n_studies else np.nan
                resampled[place] = _resample(score, n_studies, random)
                row[f"n_{place}"] = n_positive
            row["drop"], resampled["drop"] = row["home"] - row["abroad"], resampled["home"] - resampled["abroad"]
            for name, values in resampled.items():
                row[f"{name}_low"], row[f"{name}_high"] = _interval(values)
            rows[label, metric] = row
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["label", "metric"])
    columns = [f"{name}{end}" for name in ("home", "abroad", "drop") for end in ("", "_low", "_high")]
    return table[[*columns, "n_home", "n_abroad"]]


def best_share(tested: Tested) -> float:
    """The share of pixels with the highest mean IoU."""
    return float(tested.iou.groupby("share")["all_pairs"].mean().idxmax())


def _score_of(tested: Tested, label: str, metric: str, share: float) -> tuple[Callable, int, int]:
    """A function from positions of studies to their score, the number of studies, and how many are positive."""
    if metric == "IoU":
        rows = tested.iou[(tested.iou["class_name"] == label) & (tested.iou["share"] == share)]
        values = rows["all_pairs"].to_numpy()
        return lambda chosen: values[chosen].mean(), len(values), len(values)
    truth = tested.labels[label].to_numpy()
    probabilities = tested.probabilities[label].to_numpy()

    def score(chosen: np.ndarray) -> float:
        true, guess = truth[chosen], probabilities[chosen]
        if metric == "F1":
            return metrics.f1_score(true, guess >= F1_THRESHOLD, zero_division=0) if true.any() else np.nan
        return metrics.roc_auc_score(true, guess) if 0 < true.sum() < len(true) else np.nan

    return score, len(truth), int(truth.sum())


def _resample(score: Callable, n_studies: int, random: np.random.Generator) -> np.ndarray:
    """Scores of `RESAMPLES` draws of studies with replacement; NaN where undefined."""
    if not n_studies:
        return np.full(RESAMPLES, np.nan)
    return np.array([score(random.integers(0, n_studies, n_studies)) for _ in range(RESAMPLES)])


def _interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled scores, undefined ones left out."""
    defined = values[~np.isnan(values)]
    return tuple(np.quantile(defined, [0.025, 0.975])) if len(defined) else (np.nan, np.nan)
