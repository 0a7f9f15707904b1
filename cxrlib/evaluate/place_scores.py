"""Localisation of a map beside maps that know less: scores of every case in the common form of `controls`."""

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
import torch

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import Union, all_pairs_iou, boxes_from_mask, mask_iou, mask_of_boxes
from cxrlib.evaluate.cells import mean_cover
from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.localisation import boxed_cases
from cxrlib.evaluate.method_scores import BySplit, chosen_shares
from cxrlib.evaluate.place_controls import FORM_ONLY, place_controls
from cxrlib.evaluate.pointing import average_precision, energy_inside
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import peaks, upscale
from cxrlib.explain.masks import top_pixels_of
from cxrlib.runtime.progress import progress

PLACE_SCORES = ["iou", "energy", "average_precision", "hit", "otsu_iou"]
"""iou: mean over all pairs of boxes at the chosen share of pixels; energy: `energy_inside`; hit: `hit_within`;
otsu_iou: `mask_iou` of `otsu_mask` with the union of the readers' boxes."""


TOLERANCE = 15 / 224
"""How far beside a box the peak may lie, as a fraction of the image's side (Zhang et al. 2018: 15 pixels)."""


def otsu_mask(heatmap: torch.Tensor) -> np.ndarray:
    """The pixels above Otsu's threshold (Otsu 1979), which leaves the least variance within the two parts.

    Negative values count as zero. The heatmap is divided by its maximum and rounded to 256 levels.

    Args:
        heatmap: float32 (height, width).

    Returns:
        Boolean (height, width); nothing is set where all values are alike.

    >>> otsu_mask(torch.tensor([[0.0, 0.1, 0.9, 1.0]])).tolist()
    [[False, False, True, True]]
    """
    positive = heatmap.clamp(min=0)
    levels = (255 * positive / positive.max().clamp(min=1e-30)).round().byte().numpy()
    if levels.min() == levels.max():
        return np.zeros(levels.shape, bool)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return levels > threshold


def hit_within(heatmap: torch.Tensor, true: np.ndarray, size: int, tolerance: float) -> bool:
    """Whether the centre of the strongest cell lies in any of the boxes or near one: the pointing game (Zhang 2018).

    Args:
        heatmap: raw map, float32 (rows, columns); one without a positive cell hits nothing.
        true: boxes (n, 4) in pixels of a square frame.
        size: side of that frame in pixels.
        tolerance: greatest distance to the nearest box, in pixels of the frame.

    The centre of the last of 2 x 2 cells is (6, 6); the box ends 2 pixels above and left of it, at a distance of 2.8:

    >>> heatmap, box = torch.tensor([[0.0, 0.0], [0.0, 3.0]]), np.array([[0, 0, 4, 4]])
    >>> hit_within(heatmap, box, 8, 2.0), hit_within(heatmap, box, 8, 3.0)
    (False, True)
    """
    x, y = (peaks(heatmap[None])[0].double() * size).tolist()
    x_min, y_min, x_max, y_max = np.asarray(true, np.float64).reshape(-1, 4).T
    beside, above = np.maximum(0, np.maximum(x_min - x, x - x_max)), np.maximum(0, np.maximum(y_min - y, y - y_max))
    return bool((np.hypot(beside, above) <= tolerance).any())


def cases_with_boxes(cohort: Cohort, probabilities: pd.DataFrame) -> pd.DataFrame:
    """`boxed_cases`, and the readers' boxes of each: float64 (n, 4) in the cohort's frame, column boxes."""
    cases = boxed_cases(cohort, probabilities)
    pairs = zip(cases["image_id"], cases["class_name"], strict=True)
    found = [cohort.boxes(*pair)[BOX_COLUMNS].to_numpy(np.float64) for pair in pairs]
    return cases.assign(boxes=pd.Series(found, cases.index, dtype=object))


def share_scores(cohort: Cohort, cases: pd.DataFrame, explanations: Explanations, shares: list[float]) -> pd.DataFrame:
    """IoU over all pairs of boxes at every share of pixels, all that `chosen_shares` needs of `score_maps`.

    Args:
        cohort: its square frame.
        cases: from `cases_with_boxes`.
        explanations: maps of these studies.
        shares: fractions of the pixels.

    Returns:
        class_name, share, all_pairs and all_pairs_sum.
    """
    rows = []
    for class_name, true, heatmap, _ in _cases(cases, explanations, "choosing shares"):
        for share, mask in zip(shares, top_pixels_of(heatmap, shares).numpy(), strict=True):
            predicted = boxes_from_mask(mask, cohort.size)
            rows.append((class_name, share, *(all_pairs_iou(predicted, true, union) for union in ("areas", "sum"))))
    return pd.DataFrame(rows, columns=["class_name", "share", "all_pairs", "all_pairs_sum"])


def validation_shares(
    cohort: Cohort,
    valid: Explanations,
    shares: list[float],
    union: Union = "areas",
    cases: pd.DataFrame | None = None,
) -> dict[str, float]:
    """Class -> the share of pixels with the highest mean IoU over all pairs on the boxed findings of other studies.

    A class without a case there takes the share that is best over all cases, and the smallest where there is none.

    Args:
        cohort: the run's.
        valid: maps of studies that are not scored afterwards.
        shares: fractions of the pixels to choose from.
        union: as in `pairwise_iou`.
        cases: from `cases_with_boxes` of these studies, where it is known already.
    """
    cases = cases_with_boxes(cohort, valid.probabilities) if cases is None else cases
    scores = share_scores(cohort, cases, valid, shares)
    return chosen_shares(scores, cohort.findings, shares, union, ["all_pairs"])["all_pairs"].to_dict()


def score_place(
    cohort: Cohort, cases: pd.DataFrame, explanations: Explanations, shares: dict[str, float], union: Union = "areas"
) -> pd.DataFrame:
    """PLACE_SCORES of every case's heatmap.

    A map of zeros points at nothing and scores 0, except that its average precision is the fraction of the boxes. A map
    whose values are all alike otherwise has no top pixels: no score.

    Args:
        cohort: its square frame.
        cases: from `cases_with_boxes`.
        explanations: maps of these studies.
        shares: class -> share of pixels, from `validation_shares`.
        union: of iou and otsu_iou, as in `pairwise_iou`.

    Returns:
        image_id, class_name and PLACE_SCORES, in the order of `cases`; NaN where there is no score.
    """
    rows, size = [], cohort.size
    for class_name, true, heatmap, raw in _cases(cases, explanations, "localisation"):
        if not raw.isfinite().all() or (raw.min() == raw.max() and raw.max() != 0):
            rows.append([np.nan] * len(PLACE_SCORES))
            continue
        inside = torch.from_numpy(mask_of_boxes(true * len(heatmap) / size, len(heatmap)))
        predicted = boxes_from_mask(top_pixels_of(heatmap, [shares[class_name]])[0].numpy(), size)
        rows.append(
            [
                all_pairs_iou(predicted, true, union),
                energy_inside(heatmap, inside),
                average_precision(heatmap, inside),
                float(hit_within(raw, true, size, TOLERANCE * size)),
                mask_iou(otsu_mask(heatmap), inside.numpy(), union),
            ]
        )
    scores = pd.DataFrame(rows, columns=PLACE_SCORES, dtype=float)
    return pd.concat([cases[["image_id", "class_name"]].reset_index(drop=True), scores], axis=1)


def place_cases(
    cohort: Cohort,
    methods: dict[str, BySplit],
    learned: dict[str, Explanations],
    shares: list[float],
    seed: int,
    union: Union = "areas",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every boxed finding of the test studies, scored by every method's map and by each of its controls.

    Every map, a control's too, has the share of pixels that its own maps of the validation studies choose. A control
    whose map is constant, such as the mean heatmap of a class that no study has, has no score.

    Args:
        cohort: the run's.
        methods: title -> maps by split, "valid" and "test".
        learned: title -> maps of training studies for the usual heatmap; where one is absent, those of the validation
            studies serve.
        shares: fractions of the pixels to choose from.
        seed: of the random maps.
        union: as in `pairwise_iou`.

    Returns:
        CASE_COLUMNS; and the shares chosen for the methods' own maps: method, class_name, share.
    """
    parts, chosen, of_form, places, boxed = [], [], {}, {}, {}

    def cases_of(one: Explanations) -> pd.DataFrame:
        studies = tuple(one.probabilities.index)
        if studies not in boxed:
            boxed[studies] = cases_with_boxes(cohort, one.probabilities)
        return boxed[studies]

    def scored(maps: BySplit) -> tuple[pd.DataFrame, dict[str, float]]:
        own = validation_shares(cohort, maps["valid"], shares, union, cases_of(maps["valid"]))
        cases = cases_of(maps["test"])
        known = [float(one.min()) < float(one.max()) for one in maps["test"].maps_of(cases)]
        return score_place(cohort, cases, maps["test"], own, union).assign(known=known), own

    for title, maps in methods.items():
        ours, own = scored(maps)
        chosen += [(title, name, share) for name, share in own.items()]
        cells = maps["test"].maps.shape[2:]
        if cells not in places:
            places[cells] = mean_cover(cohort, maps["test"].classes, *cells)
        for control, controls in place_controls(cohort, maps, learned.get(title), places[cells], seed).items():
            key = (control, *(part for one in maps.values() for part in (one.maps.shape, *one.probabilities.index)))
            theirs = of_form[key] if key in of_form else scored(controls)[0]
            if control in FORM_ONLY:
                of_form[key] = theirs
            for measure in PLACE_SCORES:
                part = ours[["image_id", "class_name"]].assign(method=title, measure=measure, score=ours[measure])
                parts.append(part.assign(control=control, control_score=theirs[measure].where(theirs["known"])))
    cases = pd.concat(parts, ignore_index=True)[CASE_COLUMNS] if parts else pd.DataFrame(columns=CASE_COLUMNS)
    return cases, pd.DataFrame(chosen, columns=["method", "class_name", "share"])


def _cases(
    cases: pd.DataFrame, explanations: Explanations, words: str
) -> Iterator[tuple[str, np.ndarray, torch.Tensor, torch.Tensor]]:
    """Of each case: its class, the readers' boxes in the cohort's frame, the upscaled heatmap and the raw map."""
    maps = explanations.maps_of(cases)
    for class_name, true, raw in progress(
        zip(cases["class_name"], cases["boxes"], maps, strict=True), words, "map", len(cases)
    ):
        yield class_name, true, upscale(raw, explanations.input_size), raw
