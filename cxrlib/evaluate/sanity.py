"""Sanity checks of a method: what its maps become where the network, its labels or its input are not what they were.

A check is passed or failed. It gives no ranking: cascading randomisation favours noisy maps, which differ from
anything (Binder et al. 2023, arXiv:2211.12486).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.evaluate.bootstrap import FEWEST
from cxrlib.evaluate.controls import CONSTANT, without_number
from cxrlib.evaluate.randomisation import exchanged
from cxrlib.evaluate.similarity import MEASURES, compared, described, mean_similarity, similarities

Explain = Callable[[nn.Module, torch.Tensor, list[int]], torch.Tensor]
"""A network, images and classes to raw maps (n, len(classes), rows, columns)."""


OTHERS = 3
"""Other images whose maps of the same class stand beside a map."""


OTHER_IMAGES = "maps of other images"
"""The control: a check is passed where maps are less alike than those of different images (Arun et al. 2021)."""


PASS, FAIL, OPEN = "pass", "fail", "open"


@dataclass(frozen=True)
class Places:
    """Where the cases of some studies stand in their maps.

    Attributes:
        cases: image_id and class_name.
        rows, columns: of each case's study and class, int64.
    """

    cases: pd.DataFrame
    rows: torch.Tensor
    columns: torch.Tensor

    def of(self, maps: torch.Tensor, ahead: int = 0) -> torch.Tensor:
        """The maps (cases, rows, columns) of the cases, or those of the same classes of the study `ahead` of each.

        Args:
            maps: raw maps of all studies and classes, (studies, classes, rows, columns).
            ahead: studies further on; after the last one comes the first.
        """
        return maps[(self.rows + ahead) % max(1, len(maps)), self.columns]


def places_of(cases: pd.DataFrame, image_ids: list[str], classes: list[str]) -> Places:
    """Where cases stand in maps of these studies and classes.

    Args:
        cases: columns image_id and class_name; cases of other studies are left out.

    >>> cases = pd.DataFrame({"image_id": ["b", "c"], "class_name": "Mass"})
    >>> places_of(cases, ["a", "b"], ["Nodule", "Mass"]).columns.tolist()
    [1]
    """
    known = cases[cases["image_id"].isin(image_ids)].reset_index(drop=True)[["image_id", "class_name"]]
    rows = pd.Index(image_ids).get_indexer(known["image_id"])
    columns = pd.Index(classes).get_indexer(known["class_name"])
    return Places(known, torch.as_tensor(rows), torch.as_tensor(columns))


def explain_cases(
    explain: Explain, network: nn.Module, images: torch.Tensor, places: Places, at_once: bool
) -> torch.Tensor:
    """The map of every case's own class.

    Args:
        explain: the method.
        network: that is explained.
        images: float32 (studies, c, h, w) as the network takes them.
        places: the cases.
        at_once: whether all classes of an image cost no more than one, as where the method only runs forward. Otherwise
            the classes are explained one by one, each on its own cases.

    Returns:
        float32 (cases, rows, columns) on the CPU.

    >>> def gradient(network, images, classes):
    ...     return torch.stack([images[:, 0] * (1 + name) for name in classes], dim=1)
    >>> places = places_of(pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"]}), ["a"], ["Nodule", "Mass"])
    >>> explain_cases(gradient, nn.Identity(), torch.ones(1, 3, 1, 2), places, at_once=False).tolist()
    [[[2.0, 2.0]]]
    """
    classes = places.columns.unique().tolist()
    if at_once and classes:
        studies = places.rows.unique()
        maps = explain(network, images[studies], classes).cpu()
        column = torch.tensor([classes.index(name) for name in places.columns.tolist()])
        return maps[torch.searchsorted(studies, places.rows), column]
    found, order = [], []
    for name in classes:
        own = (places.columns == name).nonzero().flatten()
        found.append(explain(network, images[places.rows[own]], [name])[:, 0].cpu())
        order.append(own)
    return torch.cat(found)[torch.cat(order).argsort()] if found else torch.zeros(0, 1, 1)


def beside_other_images(maps: torch.Tensor, others: torch.Tensor, places: Places, size: int) -> dict:
    """Similarity of each case's map with maps of the same class of other images, mean over up to OTHERS of them.

    Args:
        maps: of the cases, (cases, rows, columns).
        others: of all studies and classes, from the same or from another model.
        places: the cases.
        size: side of the network's input in pixels.

    Returns:
        As `similarities`; NaN without another study.

    >>> places = places_of(pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"]}), ["a", "b"], ["Mass"])
    >>> maps = torch.rand(1, 1, 4, 4).repeat(2, 1, 1, 1)
    >>> round(beside_other_images(maps[0], maps, places, size=48)["ssim", "raw"].item(), 3)
    1.0
    """
    count = min(OTHERS, len(others) - 1)
    if count < 1:
        return {measure: torch.full((len(maps),), torch.nan, dtype=torch.float64) for measure in MEASURES}
    return mean_similarity([similarities(maps, places.of(others, ahead), size) for ahead in range(1, count + 1)])


def likeness_cases(
    check: str, places: Places, found: dict, beside: dict, alike: bool, other: str = "the other network's map"
) -> pd.DataFrame:
    """Cases of a check by every similarity, in the form of `cxrlib.evaluate.controls` without the method.

    Args:
        check: how the names of the measures begin.
        places: the cases.
        found: similarity of each case's map with what is compared, from `similarities`.
        beside: the same with maps of other images.
        alike: whether maps should be alike; otherwise the scores are the negatives.
        other: what is compared, for the reason of a case without a score.

    Returns:
        image_id, class_name, measure, score, control, control_score and because, which says why one of them is missing.

    >>> places = places_of(pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"]}), ["a"], ["Mass"])
    >>> found = {measure: torch.tensor([0.25]) for measure in MEASURES}
    >>> likeness_cases("labels permuted", places, found, found, alike=False)["measure"].iloc[3]
    'labels permuted (ssim, absolute)'
    """
    sign, parts = 1 if alike else -1, []
    for similarity, form in MEASURES:
        name = f"{check} ({similarity}{', absolute' if form == 'absolute' else ''})"
        scores = {"score": found[similarity, form], "control_score": beside[similarity, form]}
        scores = {column: sign * values.numpy() for column, values in scores.items()}
        unknown, alone = (np.isnan(scores[column]) for column in scores)
        because = np.select(
            [unknown & alone, unknown, alone],
            [CONSTANT, f"{other} is constant", "maps of other images are constant, or there is none"],
            "",
        )
        parts.append(places.cases.assign(measure=name, control=OTHER_IMAGES, **scores, because=because))
    columns = ["image_id", "class_name", "measure", "score", "control", "control_score", "because"]
    return pd.concat(parts, ignore_index=True)[columns]


def similarity_over_layers(
    explain: Callable[[nn.Module], torch.Tensor],
    network: nn.Module,
    weights: dict[str, torch.Tensor],
    layers: list[str],
    counts: list[int],
    maps: torch.Tensor,
    size: int,
) -> tuple[list[dict], dict]:
    """How alike a method's maps are before and after the weights are randomised, in cascade and one layer alone.

    Args:
        explain: a network to the maps of the cases.
        network: that is explained; it returns as it was.
        weights: from `random_weights`.
        layers: from `layers_in_order`, the first one first.
        counts: layers, counted from the output, that are randomised at each stop of the cascade, from `stops`; at each
            stop the layer that came last is also randomised alone.
        maps: of the cases before, (cases, rows, columns).
        size: side of the network's input in pixels.

    Returns:
        A row for each stop, way ("cascade" or "alone"), similarity and form: how, layers, layer, similarity, form, mean
        and n; and the similarities of every case at the last stop.

    >>> network = nn.Sequential(nn.Linear(2, 2, bias=False))
    >>> explain = lambda changed: changed[0].weight.detach()[None].clone()
    >>> before = explain(network)
    >>> rows, last = similarity_over_layers(explain, network, {"0.weight": before[0]}, ["0"], [1], before, size=48)
    >>> [row["how"] for row in rows[::6]], round(last["ssim", "raw"].item(), 3)
    (['cascade', 'alone'], 1.0)
    """
    rows, last, own = [], {}, described(maps, size)
    for count in counts:
        found = {}
        for how, chosen in (("cascade", layers[-count:]), ("alone", layers[-count : len(layers) - count + 1])):
            if how == "alone" and count == 1:  # the last layer alone is the first stop of the cascade
                found[how] = found["cascade"]
            else:
                with exchanged(network, weights, chosen):
                    found[how] = compared(own, described(explain(network), size))
        for how, alike in found.items():
            about = {"how": how, "layers": count, "layer": layers[-count]}
            for (similarity, form), values in alike.items():
                known = values[~values.isnan()]
                mean = float(known.mean()) if len(known) else float("nan")
                rows.append(about | {"similarity": similarity, "form": form, "mean": mean, "n": len(known)})
        last = found["cascade"]
    return rows, last


def with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `beside_controls` and a verdict on each row: "pass", "fail", or "open" where it cannot be decided.

    A check is passed where the whole interval of the gain over the control lies above zero, failed where it lies below.
    Without an interval, as with fewer than five cases, it is open. Where every case has the same gain there is no
    interval either, and its sign decides if there are five cases or more.

    >>> rows = {"gain": [0.2, -0.2, 0.2], "gain_low": [0.1, -0.3, -0.1], "gain_high": [0.3, -0.1, 0.4], "n": 9}
    >>> with_verdicts(pd.DataFrame(rows))["verdict"].tolist()
    ['pass', 'fail', 'open']
    """
    equal = table["gain_low"].isna() & (table.get("patients", table["n"]) >= FEWEST)
    low, high = (table[name].where(~equal, table["gain"]) for name in ("gain_low", "gain_high"))
    verdict = np.select([low > 0, high < 0], [PASS, FAIL], OPEN)
    return table.assign(verdict=verdict)


def without_score(cases: pd.DataFrame) -> pd.DataFrame:
    """How many cases of each method and measure have no score or no control, and why.

    Args:
        cases: with CASE_COLUMNS and `because`, a sentence; without one the map is constant.

    Returns:
        method, measure, because, n; no row where nothing is missing.

    >>> about = {"image_id": "a", "class_name": "Mass", "method": "CAM", "measure": "shift", "control": "limit"}
    >>> cases = pd.DataFrame([{**about, "score": float("nan"), "control_score": 0.99, "because": ""}])
    >>> without_score(cases).to_dict("records")
    [{'method': 'CAM', 'measure': 'shift', 'because': 'a constant map, or no other one to compare', 'n': 1}]
    """
    because = without_number(cases)
    missing = cases.assign(because=because)[because != ""]
    groups = missing.groupby(["method", "measure", "because"], sort=False)
    return groups.size().rename("n").reset_index()
