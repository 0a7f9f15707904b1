"""Which measures can be trusted: those that rank the true cause above maps that know less.

On the phantom the cause of a finding is known. A measure of explanations that does not score the cause itself above a
random map, and above the class's mean heatmap, cannot judge other maps there.
"""

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.deletion import area_cases
from cxrlib.evaluate.faithfulness import ONE_SHARE, CurveSettings, fall_cases, perturbation_curves
from cxrlib.evaluate.method_scores import RANDOM, BySplit
from cxrlib.evaluate.phantom import AGAINST, TwinCases, score_on_truth
from cxrlib.evaluate.place_controls import RANDOM_MAP, USUAL_MAP, usual_heatmap, usual_maps
from cxrlib.evaluate.place_scores import cases_with_boxes, score_place
from cxrlib.explain.explanations import Explanations
from cxrlib.model.batches import StoredInputs

TRUTH = "true cause"


def true_maps(twins: TwinCases, explanations: Explanations) -> Explanations:
    """The cause of every case as a map of the same form as a method's: the mean difference to the twin in each cell.

        m_c = mean over the pixels of cell c of |with - without|, in grey levels of 255

    Args:
        twins: the cases.
        explanations: a method's maps of these studies; their classes and cells are those of the result.

    Returns:
        Maps of the studies of the cases, in the order of `explanations`; zero for a class that is no case.

    >>> image = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    >>> twins = TwinCases(pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"]}), image + 8, image)
    >>> maps = Explanations(pd.DataFrame({"Mass": [0.5]}, ["a"]), torch.rand(1, 1, 1, 1), input_size=2, identity="")
    >>> true_maps(twins, maps).maps.item()
    8.0
    """
    own = explanations.of([name for name in explanations.probabilities.index if name in set(twins.cases["image_id"])])
    maps, places = torch.zeros_like(own.maps), own.probabilities.index
    pooled = adaptive_avg_pool2d(twins.strength.float(), own.maps.shape[-2:])
    for image_id, class_name, cause in zip(twins.cases["image_id"], twins.cases["class_name"], pooled, strict=True):
        maps[places.get_loc(image_id), own.classes.index(class_name)] = cause
    return own.with_maps(maps)


def maps_to_rank(
    twins: TwinCases, explanations: Explanations, learned: Explanations, labels: pd.DataFrame, seed: int
) -> dict[str, Explanations]:
    """The true cause and two maps that know less, all of one form and of the same studies.

    Args:
        twins, explanations: as in `true_maps`.
        learned: the method's maps of studies that are not scored, for the class's mean heatmap.
        labels: 0/1, image_id by class, of those studies.
        seed: of the random map.

    Returns:
        TRUTH, RANDOM_MAP and USUAL_MAP -> maps.

    >>> image = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    >>> twins = TwinCases(pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"]}), image + 8, image)
    >>> maps = Explanations(pd.DataFrame({"Mass": [0.5]}, ["a"]), torch.ones(1, 1, 1, 1), input_size=2, identity="")
    >>> found = maps_to_rank(twins, maps, maps, pd.DataFrame({"Mass": [1]}, ["a"]), seed=0)
    >>> {name: one.maps.shape for name, one in found.items()}["usual heatmap"]
    torch.Size([1, 1, 1, 1])
    """
    truth = true_maps(twins, explanations)
    usual = usual_heatmap(learned, labels).expand(truth.maps.shape)
    return {TRUTH: truth, RANDOM_MAP: truth.with_random_maps(seed), USUAL_MAP: truth.with_maps(usual)}


def score_methods_on_truth(cohort: Cohort, twins: TwinCases, methods: dict[str, BySplit]) -> dict[str, pd.DataFrame]:
    """`score_on_truth` of several methods.

    Args:
        cohort: the run's.
        twins: the cases, of the test studies.
        methods: title -> maps by split; "test" is scored.

    Returns:
        Title -> cases, from `score_on_truth`, of which it has the example.
    """
    return {title: score_on_truth(cohort, twins, maps["test"]) for title, maps in methods.items()}


def score_usual(
    cohort: Cohort, twins: TwinCases, methods: dict[str, BySplit], learned: dict[str, Explanations]
) -> dict[str, pd.DataFrame]:
    """Every method's mean heatmap of the class, scored against the cause like the method's own maps.

    Args:
        cohort: the run's.
        twins: the cases, of the test studies.
        methods: title -> maps by split; random maps, and maps without the validation split, are left out.
        learned: as in `usual_maps`.

    Returns:
        Title -> cases, from `score_on_truth`; without a score where the mean heatmap is constant, such as that of a
        class that no study has: it is no usual place.
    """
    known = {title: maps for title, maps in methods.items() if "valid" in maps and not title.startswith(RANDOM)}
    found = {}
    for title, maps in usual_maps(known, learned, cohort.labels).items():
        cases = score_on_truth(cohort, twins, maps)
        found[title] = _only_of_maps(cases, maps, AGAINST)
    return found


def _only_of_maps(cases: pd.DataFrame, maps: Explanations, measures: list[str]) -> pd.DataFrame:
    """The cases, without a score where the map is constant: it points at nothing, and is no rival."""
    shown = [float(one.min()) < float(one.max()) for one in maps.maps_of(cases)]
    return cases.assign(**cases[measures].where(pd.Series(shown, cases.index), np.nan))


def truth_beside(scored: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every measure's scores of the true cause beside its scores of maps that know less, case by case.

    Args:
        scored: TRUTH and each control -> image_id, class_name and one column per measure; a higher score is better.

    Returns:
        CASE_COLUMNS, the method being TRUTH.

    >>> cases = pd.DataFrame({"image_id": ["a"], "class_name": "Mass", "energy": 0.75})
    >>> found = truth_beside({TRUTH: cases, "random map": cases.assign(energy=0.25)})
    >>> found[["measure", "score", "control", "control_score"]].to_numpy().tolist()
    [['energy', 0.75, 'random map', 0.25]]
    """
    key = ["image_id", "class_name"]
    truth, parts = scored[TRUTH].set_index(key), []
    for control, cases in scored.items():
        if control != TRUTH:
            beside = cases.set_index(key).reindex(truth.index)
            for measure in truth:
                pairs = {"score": truth[measure].astype(float), "control_score": beside[measure].astype(float)}
                part = pd.DataFrame(pairs).reset_index()
                parts.append(part.assign(method=TRUTH, measure=measure, control=control))
    return pd.concat(parts, ignore_index=True)[CASE_COLUMNS]


def score_by_all(
    cohort: Cohort,
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    twins: TwinCases,
    compared: dict[str, Explanations],
    settings: CurveSettings,
) -> dict[str, pd.DataFrame]:
    """Every case with a twin by every measure that takes a map: localisation against the readers' boxes, and falls.

    `iou` takes ONE_SHARE of the pixels for every class. The falls, and the areas under them, are of predicted classes.

    Args:
        cohort: the run's.
        network: the explained network.
        images: uint8 (n, 1, h, w) of the studies of the maps, in their order.
        twins: the cases, of these studies.
        compared: name -> maps.
        settings: what is replaced.

    Returns:
        Name -> image_id, class_name and one column per measure; NaN where a measure has no score or the map is
        constant.
    """
    key, shares = ["image_id", "class_name"], dict.fromkeys(cohort.findings, ONE_SHARE)
    curves = perturbation_curves(network, images, cohort, compared, {}, twins, settings)
    falls = pd.concat([fall_cases(curves), area_cases(curves)]).drop_duplicates(["method", "measure", *key])
    found = {}
    for name, maps in compared.items():
        cases = twins.cases.merge(cases_with_boxes(cohort, maps.probabilities), on=key)
        places = score_place(cohort, cases, maps, shares)
        own = falls[falls["method"] == name].pivot(index=key, columns="measure", values="score")
        scores = places.join(own.reindex(columns=list(dict.fromkeys(falls["measure"]))), on=key)
        found[name] = _only_of_maps(scores, maps, [*scores.columns.drop(key)])
    return found
