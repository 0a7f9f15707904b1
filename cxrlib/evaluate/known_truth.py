"""Which measures can be trusted: those that rank the true cause above maps that know less.

On the phantom the cause of a finding is known. A measure of explanations that does not score the cause itself above a
random map, and above the class's mean heatmap, cannot judge other maps there.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import adaptive_avg_pool2d

from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.phantom import TwinCases
from cxrlib.explain.explanations import Explanations

TRUTH = "true cause"


FIT, UNFIT, OPEN = "fit", "unfit", "open"


Measure = Callable[[Explanations], pd.DataFrame]
"""Scores the maps of some cases: image_id, class_name, and one column per measure; a higher score is better."""


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


def truth_beside(truth: Explanations, controls: dict[str, Explanations], measures: list[Measure]) -> pd.DataFrame:
    """Every measure's scores of the true cause beside its scores of maps that know less, case by case.

    Args:
        truth: from `true_maps`.
        controls: name -> maps of the same studies and form.
        measures: each scores the same cases, whatever the maps.

    Returns:
        CASE_COLUMNS, the method being TRUTH.

    >>> maps = Explanations(pd.DataFrame({"Mass": [0.5]}, ["a"]), torch.ones(1, 1, 1, 1), input_size=2, identity="")
    >>> def total(one):
    ...     return pd.DataFrame({"image_id": ["a"], "class_name": "Mass", "total": [float(one.maps.sum())]})
    >>> cases = truth_beside(maps, {"nothing": maps.with_maps(0 * maps.maps)}, [total])
    >>> cases[["measure", "score", "control", "control_score"]].to_numpy().tolist()
    [['total', 1.0, 'nothing', 0.0]]
    """
    key, parts = ["image_id", "class_name"], []
    for measure in measures:
        scored = measure(truth).set_index(key)
        for control, maps in controls.items():
            beside = measure(maps).set_index(key).reindex(scored.index)
            for name in scored:
                pairs = {"score": scored[name].astype(float), "control_score": beside[name].astype(float)}
                part = pd.DataFrame(pairs).reset_index()
                parts.append(part.assign(method=TRUTH, measure=name, control=control))
    return pd.concat(parts, ignore_index=True)[CASE_COLUMNS]


def fitness(table: pd.DataFrame, class_name: str) -> pd.Series:
    """Whether each measure can be trusted on the phantom.

    FIT: the true cause scores above every control, the whole interval of each gain above zero. UNFIT: its mean score is
    not above that of a control. OPEN: it is above all, but an interval reaches zero, or there is none.

    Args:
        table: `beside_controls` of `truth_beside`.
        class_name: the finding, or the mean of findings, that decides.

    Returns:
        By measure.

    >>> about = {"measure": "energy", "class_name": "Mass", "gain": [0.2, 0.1], "gain_low": [0.1, -0.1]}
    >>> fitness(pd.DataFrame(about), "Mass").to_dict()
    {'energy': 'open'}
    """
    rows = table[table["class_name"] == class_name].groupby("measure", sort=False)
    least = rows[["gain", "gain_low"]].agg(lambda column: column.min(skipna=False))
    found = np.where(least["gain_low"] > 0, FIT, np.where(least["gain"] <= 0, UNFIT, OPEN))
    return pd.Series(found, least.index, name="trusted")
