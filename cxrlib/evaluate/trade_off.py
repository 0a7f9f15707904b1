"""What a penalty on maps outside of readers' boxes buys and costs: prediction, localisation, the cause, sanity."""

import numpy as np
import pandas as pd
import torch

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.bootstrap import interval, mean_of_findings, mean_samples
from cxrlib.evaluate.boxes import mask_of_boxes
from cxrlib.evaluate.classification import f1_of_counts
from cxrlib.evaluate.localisation import boxed_cases
from cxrlib.evaluate.phantom import TwinCases, score_against, score_on_truth
from cxrlib.evaluate.pointing import rank_correlations
from cxrlib.evaluate.readers import by_image, label_outcomes, reader_agreement
from cxrlib.evaluate.retrained import METRICS, metric_samples
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale

IOU, ON_BOXES, ON_CAUSE = "IoU with the boxes", "average precision on the boxes", "average precision on the cause"


RANDOMISED = "likeness to the randomised map"


MAP_SCORES = [IOU, ON_BOXES, ON_CAUSE, RANDOMISED]
"""The last one is Spearman's correlation with the map after all weights are permuted: near 0 where they matter."""


def map_cases(
    cohort: Cohort, explanations: Explanations, randomised: torch.Tensor, twins: TwinCases | None
) -> pd.DataFrame:
    """Scores of the maps of every boxed finding of the test studies.

    Args:
        cohort: labels and boxes.
        explanations: maps of the test studies.
        randomised: the same network's maps after its weights were permuted, of the same shape.
        twins: rendered data: cases whose cause is known.

    Returns:
        image_id, class_name, metric (one of MAP_SCORES) and score.
    """
    rows, size = [], explanations.input_size
    other = explanations.with_maps(randomised)
    for case in boxed_cases(cohort, explanations.probabilities).itertuples():
        about = (case.image_id, case.class_name)
        boxes = cohort.boxes(*about)[BOX_COLUMNS].to_numpy(np.float64) * size / cohort.size
        raw = explanations.map(*about)
        scores = score_against(upscale(raw, size), raw, torch.from_numpy(mask_of_boxes(boxes, size)))
        likeness = rank_correlations(torch.stack([raw, other.map(*about)]))[0, 1].item()
        rows += [(*about, IOU, scores["iou"]), (*about, ON_BOXES, scores["average_precision"])]
        rows += [(*about, RANDOMISED, likeness)]
    found = pd.DataFrame(rows, columns=["image_id", "class_name", "metric", "score"])
    if twins is None:
        return found
    own = twins.of(explanations.probabilities.index.tolist())
    truth = score_on_truth(cohort, own, explanations).query("against == 'cause'")
    cause = truth[["image_id", "class_name"]].assign(metric=ON_CAUSE, score=truth["average_precision"])
    return pd.concat([found, cause], ignore_index=True)


def mean_score(cases: pd.DataFrame, metric: str, classes: list[str], weights: pd.DataFrame) -> tuple[np.ndarray, int]:
    """The mean over findings of a metric's mean over cases, in every resample, and the number of cases.

    Args:
        cases: from `map_cases`; a case without a score does not count.
        metric: one of MAP_SCORES.
        classes: the findings.
        weights: resamples by image_id.

    Returns:
        float64 (1 + resamples,), NaN without a case.

    >>> about = {"image_id": list("abc"), "class_name": list("AAB"), "metric": IOU}
    >>> cases = pd.DataFrame({**about, "score": [0.0, 0.5, 1.0]})
    >>> mean_score(cases, IOU, ["A", "B"], pd.DataFrame(1.0, [0], list("abc")))
    (array([0.625]), 0)
    """
    known = cases[cases["metric"] == metric].dropna(subset="score")
    of_class = [known[known["class_name"] == name] for name in classes]
    samples = np.column_stack([mean_samples(rows["score"], rows["image_id"], weights) for rows in of_class])
    return mean_of_findings(samples, np.array([len(rows) for rows in of_class]))


def penalty_table(
    cohort: Cohort,
    models: list[tuple[float, Explanations, pd.DataFrame]],
    weights: pd.DataFrame,
) -> pd.DataFrame:
    """Every score at every weight of the penalty: the mean over seeds, beside no penalty and beside the readers.

    Args:
        cohort: labels and readers.
        models: weight of the penalty, explanations of the test studies and their `map_cases`, a network each; as many
            of weight 0 and in the same order of seeds.
        weights: resamples by image_id.

    Returns:
        weight, metric, ours, low, high, gain (over weight 0), gain_low, gain_high, readers (what a reader reaches
        against the others of the same studies, where several read), spread (over seeds), n_seeds and n (studies of
        METRICS, findings of MAP_SCORES).
    """
    image_ids = models[0][1].probabilities.index.tolist()
    labels, drawn = cohort.labels.loc[image_ids, cohort.explained], weights[image_ids].to_numpy()
    samples: dict[tuple[float, str], list[np.ndarray]] = {}
    counts = dict.fromkeys(METRICS, len(image_ids))
    for weight, explanations, cases in models:
        predicted = metric_samples(labels, explanations.probabilities, drawn)
        for metric, values in zip(METRICS, predicted.T, strict=True):
            samples.setdefault((weight, metric), []).append(values)
        for metric in MAP_SCORES:
            values, counts[metric] = mean_score(cases, metric, cohort.findings, weights)
            samples.setdefault((weight, metric), []).append(values)
    ceiling, rows = readers_ceiling(cohort, image_ids), []
    for (weight, metric), by_seed in samples.items():
        own, plain, count = np.stack(by_seed), np.stack(samples[0.0, metric]), np.array(counts[metric])
        (low, high), (gain_low, gain_high) = (interval(values.mean(0), count) for values in (own, own - plain))
        row = {"weight": weight, "metric": metric, "ours": own[:, 0].mean(), "low": float(low), "high": float(high)}
        row |= {"gain": (own - plain)[:, 0].mean(), "gain_low": float(gain_low), "gain_high": float(gain_high)}
        spread = own[:, 0].std(ddof=1) if len(own) > 1 else np.nan
        rows.append(row | {"readers": ceiling.get(metric, np.nan), "spread": spread, "n_seeds": len(own), "n": count})
    return pd.DataFrame(rows)


def readers_ceiling(cohort: Cohort, image_ids: list[str]) -> dict[str, float]:
    """What a reader reaches against the other readers of the same studies, by metric; NaN where one reads alone.

    The F1 is of a reader's labels against those of the others; the IoU is of the areas that two readers' boxes cover,
    the mean over findings.
    """
    rows = cohort.annotations[cohort.annotations["image_id"].isin(image_ids)]
    outcomes = label_outcomes(rows, cohort.explained)
    iou = by_image(reader_agreement(rows, cohort.findings)).groupby("class_name")["mask_iou"].mean().mean()
    if outcomes.empty:
        return {"micro F1": np.nan, IOU: iou}
    parts = [outcomes[name].to_numpy() for name in ("hits", "positives", "guesses")]
    return {"micro F1": float(f1_of_counts(*parts, np.ones((1, len(outcomes))))[0, -1]), IOU: float(iou)}
