"""Does a model hold on another data set? The same scores at home and abroad, over the labels that both have."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.bootstrap import interval, mean_samples, study_weights
from cxrlib.evaluate.boxes import Union, with_union
from cxrlib.evaluate.classification import auroc_samples, f1_samples
from cxrlib.evaluate.localisation import boxed_cases, score_cases
from cxrlib.explain.explanations import Explanations
from cxrlib.runtime.errors import Refusal


@dataclass(frozen=True)
class Scored:
    """One model's results on one test set.

    Attributes:
        labels: 0/1, image_id by class.
        probabilities: the same shape, 0..1.
        iou: one row per boxed finding and share of pixels: image_id, class_name, share, iou.
        patients: patient of each study, by image_id.
    """

    labels: pd.DataFrame
    probabilities: pd.DataFrame
    iou: pd.DataFrame
    patients: pd.Series


def shared_labels(home: Cohort, abroad: Cohort) -> list[str]:
    """Labels of the explained model of `home` that both data sets know.

    Raises:
        Refusal: there are none, or a data set has no test study with any of them.
    """
    shared = [name for name in home.explained if name in abroad.labels]
    if not shared:
        raise Refusal(
            f"the model knows {', '.join(home.explained)}; none of these is a label of {abroad.provenance.description}"
            "; choose another transfer.run or another data.source"
        )
    for cohort in (home, abroad):
        if not cohort.of("test", shared):
            raise Refusal(
                f"{cohort.provenance.description}: no test study has any of {', '.join(shared)}; raise data.test_share"
            )
    return shared


def with_labels(cohort: Cohort, labels: list[str]) -> Cohort:
    """The same cohort, in which only studies with one of `labels` count and only these are explained."""
    return replace(cohort, experiments={"shared": labels}, experiment="shared")


def evaluate_model(cohort: Cohort, explanations: Explanations, shares: list[float], union: Union = "areas") -> Scored:
    """Score a model on the test studies of a cohort `with_labels`; every boxed finding counts for the IoU.

    Args:
        cohort: of the test set.
        explanations: of its test studies.
        shares: fractions of the pixels that make the mask.
        union: as in `pairwise_iou`.
    """
    probabilities = explanations.probabilities[cohort.explained]
    cases = boxed_cases(cohort, probabilities)
    scores = score_cases(cohort, explanations, cases, shares)
    scores = scores.rename(columns={with_union("all_pairs", union): "iou"})
    labels = cohort.labels.loc[probabilities.index, cohort.explained]
    patients = cohort.studies["patient_id"]
    return Scored(labels, probabilities, scores[["image_id", "class_name", "share", "iou"]], patients)


def compare(home: Scored, abroad: Scored, share: float, resamples: int, seed: int) -> pd.DataFrame:
    """Scores at home and abroad and their difference, with 95 % intervals from resampled patients.

    Args:
        home, abroad: one model's results on the two test sets, with the same labels.
        share: share of pixels whose IoU is compared.
        resamples, seed: of the bootstrap; the two test sets are drawn independently.

    Returns:
        Indexed by label and metric: home, abroad and drop (home - abroad), each with _low and _high, and the number of
        positive (for IoU: boxed) studies n_home and n_abroad; NaN where a score is undefined.

    The model is right about both studies at home and wrong about both abroad:

    >>> labels, patients = pd.DataFrame({"A": [1, 0]}, ["a", "b"]), pd.Series({"a": "P", "b": "Q"})
    >>> iou = pd.DataFrame({"image_id": ["a"], "class_name": "A", "share": 0.05, "iou": 0.5})
    >>> home = Scored(labels, pd.DataFrame({"A": [0.9, 0.1]}, ["a", "b"]), iou, patients)
    >>> abroad = replace(home, probabilities=pd.DataFrame({"A": [0.1, 0.9]}, ["a", "b"]), iou=iou.assign(iou=0.25))
    >>> compare(home, abroad, share=0.05, resamples=20, seed=0)["drop"].to_dict()
    {('A', 'AUROC'): 1.0, ('A', 'F1'): 1.0, ('A', 'IoU'): 0.25}
    """
    parts = {}
    for number, (place, tested) in enumerate({"home": home, "abroad": abroad}.items()):
        weights = study_weights(tested.labels.index, resamples, seed + number, tested.patients)
        parts[place] = _samples(tested, share, weights)
        parts[f"n_{place}"] = _positives(tested, share)
    parts["drop"] = parts["home"] - parts["abroad"]
    counts = {name: pd.Series(parts[f"n_{name}"])[parts[name].columns].to_numpy() for name in ("home", "abroad")}
    counts["drop"] = np.minimum(counts["home"], counts["abroad"])
    columns = {}
    for name in ("home", "abroad", "drop"):
        columns[name] = parts[name].iloc[0]
        low, high = interval(parts[name].to_numpy(), counts[name])
        columns |= {f"{name}_low": low, f"{name}_high": high}
    columns |= {name: pd.Series(parts[name]) for name in ("n_home", "n_abroad")}
    return pd.DataFrame(columns).rename_axis(["label", "metric"])


def best_share(tested: Scored) -> float:
    """The share of pixels with the highest mean IoU; NaN where nothing is boxed.

    >>> iou = pd.DataFrame({"image_id": "a", "class_name": "A", "share": [0.05, 0.1], "iou": [0.25, 0.5]})
    >>> labels = pd.DataFrame({"A": [1]}, ["a"])
    >>> best_share(Scored(labels, labels, iou, pd.Series({"a": "P"})))
    0.1
    """
    means = tested.iou.groupby("share")["iou"].mean()
    return float(means.idxmax()) if len(means) else float("nan")


def _samples(tested: Scored, share: float, weights: pd.DataFrame) -> pd.DataFrame:
    """Every label's scores in every resample: columns (label, metric), by label."""
    labels = tested.labels.columns
    drawn = weights.to_numpy()
    areas = auroc_samples(tested.labels, tested.probabilities, drawn)
    f1 = f1_samples(tested.labels, tested.probabilities, drawn)
    scores = {}
    for number, label in enumerate(labels):
        cases = _boxed(tested, label, share)
        ious = mean_samples(cases["iou"], cases["image_id"], weights)
        scores |= {(label, "AUROC"): areas[:, number], (label, "F1"): f1[:, number], (label, "IoU"): ious}
    return pd.DataFrame(scores)


def _positives(tested: Scored, share: float) -> dict[tuple[str, str], int]:
    """How many studies have each label, and for the IoU its boxes, by label and metric."""
    counts = {}
    for label in tested.labels:
        positive = int(tested.labels[label].sum())
        boxed = len(_boxed(tested, label, share))
        counts |= {(label, "AUROC"): positive, (label, "F1"): positive, (label, "IoU"): boxed}
    return counts


def _boxed(tested: Scored, label: str, share: float) -> pd.DataFrame:
    return tested.iou[(tested.iou["class_name"] == label) & (tested.iou["share"] == share)]
