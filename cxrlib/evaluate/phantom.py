"""What the twins of rendered radiographs answer: does a heatmap find the cause, and what is a finding's true effect?

A twin is the same rendered patient without one finding. The cause of the finding is where the two differ.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import nn

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.bootstrap import interval
from cxrlib.evaluate.boxes import mask_of_boxes
from cxrlib.evaluate.perturbation import replace_pixels, replacements
from cxrlib.evaluate.pointing import average_precision, energy_inside
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import peaks, upscale
from cxrlib.explain.masks import top_pixels, top_pixels_of
from cxrlib.model.inference import predict
from cxrlib.runtime.progress import progress

AGAINST = ["hit", "energy", "average_precision", "iou"]
"""Scores of a heatmap against a mask."""


CAUSE, CORE, BOXES = "cause", "core of the cause", "boxes"


ODDS = 2.0
"""A finding matters to a prediction where it makes the odds so many times as high."""


DRAWN_AGAIN = 200
"""Resamples behind an interval of a rank correlation, which takes long to compute."""


TWIN = "twin"
"""Name of the replacement that takes its pixels from the twin."""


@dataclass(frozen=True)
class TwinCases:
    """Findings of rendered radiographs and their twins, in the frame of the network's input.

    Attributes:
        cases: columns image_id and class_name, n rows.
        images: uint8 (n, 1, size, size), the radiograph with the finding.
        twins: uint8 (n, 1, size, size), the same without it.
    """

    cases: pd.DataFrame
    images: torch.Tensor
    twins: torch.Tensor

    @property
    def strength(self) -> torch.Tensor:
        """How much the network's input differs, in grey levels of 255, int32 (n, size, size)."""
        return (self.images.int() - self.twins.int()).abs()[:, 0]

    @property
    def cause(self) -> torch.Tensor:
        """Where the network sees a difference: pixels that differ by more than 1 grey level, bool (n, size, size)."""
        return self.strength > 1

    @property
    def core(self) -> torch.Tensor:
        """The pixels of the cause that differ by at least a tenth of the case's greatest difference."""
        return self.cause & (10 * self.strength >= self.strength.amax((1, 2), keepdim=True))

    def of(self, image_ids: list[str]) -> "TwinCases":
        """The cases of some studies."""
        rows = self.cases["image_id"].isin(image_ids).to_numpy().nonzero()[0]
        return TwinCases(self.cases.iloc[rows].reset_index(drop=True), self.images[rows], self.twins[rows])


def score_against(heatmap: torch.Tensor, raw: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
    """Scores of one heatmap against the pixels that it should show.

    Args:
        heatmap: `raw` upscaled, float32 (size, size).
        raw: map (rows, columns).
        mask: boolean (size, size), not empty.

    Returns:
        hit (the centre of the strongest cell is set), energy, average_precision, and iou of the mask with as many of
        the heatmap's top pixels, or with all that are positive where these are fewer.

    >>> raw = torch.tensor([[0.0, 0.0], [1.0, 3.0]])
    >>> score_against(raw, raw, torch.tensor([[False, False], [False, True]]))
    {'hit': 1.0, 'energy': 0.75, 'average_precision': 1.0, 'iou': 1.0}
    """
    size = mask.shape[-1]
    x, y = peaks(raw[None])[0].tolist()
    top = top_pixels(heatmap, float(mask.float().mean()))
    return {
        "hit": 0.0 if np.isnan(x) else float(mask[int(y * size), int(x * size)]),
        "energy": energy_inside(heatmap, mask),
        "average_precision": average_precision(heatmap, mask),
        "iou": float((top & mask).sum() / (top | mask).sum()),
    }


def score_on_truth(cohort: Cohort, twins: TwinCases, explanations: Explanations) -> pd.DataFrame:
    """Scores of every heatmap against the cause, against its core, and beside these against the readers' boxes.

    Args:
        cohort: boxes, in its square frame.
        twins: the cases; one whose twin does not differ is left out.
        explanations: maps of these studies.

    Returns:
        image_id, class_name, against (CAUSE, CORE or BOXES) and AGAINST.
    """
    rows, size = [], explanations.input_size
    cases = list(zip(twins.cases["image_id"], twins.cases["class_name"], twins.cause, twins.core, strict=True))
    for image_id, class_name, cause, core in progress(cases, "scoring on the truth", "map"):
        boxes = cohort.boxes(image_id, class_name)[BOX_COLUMNS].to_numpy(np.float64)
        masks = {CAUSE: cause, CORE: core, BOXES: torch.from_numpy(mask_of_boxes(boxes * size / cohort.size, size))}
        raw = explanations.map(image_id, class_name)
        heatmap = upscale(raw, size)
        for against, mask in masks.items():
            if cause.any():
                rows.append((image_id, class_name, against, *score_against(heatmap, raw, mask).values()))
    return pd.DataFrame(rows, columns=["image_id", "class_name", "against", *AGAINST])


def box_as_stand_in(scores: pd.DataFrame, classes: list[str], weights: pd.DataFrame) -> pd.DataFrame:
    """How well a score against the boxes stands in for the score against the cause: Spearman's correlation over cases.

    Each finding has its own correlation. Over all findings together it would be high for the sizes of the findings
    alone, whatever a method shows.

    Args:
        scores: from `score_on_truth`.
        classes: findings, in the order of the result.
        weights: resamples by image_id, from `study_weights`; the first DRAWN_AGAIN are used.

    Returns:
        metric, class_name, ours (the rank correlation), low, high and n; NaN where all values are alike or where too
        few cases are behind it.

    >>> about = {"image_id": list("abcab"), "class_name": "ILD", "against": ["cause"] * 3 + ["boxes"] * 2}
    >>> scores = pd.DataFrame({**about, "hit": [0.0, 1.0, 1.0, 0.0, 1.0], "energy": [0.1, 0.2, 0.0, 0.4, 0.3]})
    >>> scores = scores.assign(average_precision=0.5, iou=0.5).query("image_id != 'c'")
    >>> weights = pd.DataFrame({"a": [1, 2], "b": [1, 0]})
    >>> box_as_stand_in(scores, ["ILD"], weights).round(6).set_index("metric")["ours"].to_dict()
    {'hit': 1.0, 'energy': -1.0, 'average_precision': nan, 'iou': nan}
    """
    key, rows = ["image_id", "class_name"], []
    cause, boxes = (scores[scores["against"] == against].set_index(key) for against in (CAUSE, BOXES))
    pairs = cause[AGAINST].join(boxes[AGAINST].add_suffix(" boxes")).reset_index()
    for metric in AGAINST:
        for name in classes:
            own = pairs[pairs["class_name"] == name]
            drawn = weights.iloc[: 1 + DRAWN_AGAIN][own["image_id"].tolist()].to_numpy(int)
            both = own[[metric, f"{metric} boxes"]].to_numpy()
            samples = np.array([_rank_correlation(both.repeat(counts, axis=0)) for counts in drawn])
            low, high = interval(samples, len(own)) if len(own) else (np.nan, np.nan)
            rows.append((metric, name, samples[0], float(low), float(high), len(own)))
    return pd.DataFrame(rows, columns=["metric", "class_name", "ours", "low", "high", "n"])


def _rank_correlation(pairs: np.ndarray) -> float:
    """Spearman's of two columns; NaN where one of them is constant."""
    if len(pairs) < 2 or (pairs == pairs[0]).all(axis=0).any():
        return np.nan
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)


def true_effects(network: nn.Module, twins: TwinCases, classes: list[str], batch_size: int) -> pd.DataFrame:
    """The network's real dependence on each finding: p with the finding minus p without it.

    Args:
        network: logits (n, classes), on its device.
        twins: the cases.
        classes: names of the logits.
        batch_size: images per forward pass.

    Returns:
        image_id, class_name, p_with, p_without and effect, of the finding's own class.

    The logit of this network is 0, so that no finding has an effect:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    >>> _ = [nn.init.zeros_(parameter) for parameter in network.parameters()]
    >>> image, cases = torch.zeros(1, 1, 2, 2, dtype=torch.uint8), {"image_id": ["a"], "class_name": ["Mass"]}
    >>> true_effects(network, TwinCases(pd.DataFrame(cases), image, image + 9), ["Mass"], 1).to_dict("records")
    [{'image_id': 'a', 'class_name': 'Mass', 'p_with': 0.5, 'p_without': 0.5, 'effect': 0.0}]
    """
    columns = [classes.index(name) for name in twins.cases["class_name"]]
    if not columns:
        return twins.cases.assign(p_with=0.0, p_without=0.0, effect=0.0)
    cases = range(len(columns))
    p_with, p_without = (
        predict(network, images, batch_size)[cases, columns].numpy() for images in (twins.images, twins.twins)
    )
    return twins.cases.assign(p_with=p_with, p_without=p_without, effect=p_with - p_without)


def estimated_effects(
    network: nn.Module,
    twins: TwinCases,
    explanations: Explanations,
    shares: list[float],
    kernels: list[int],
    batch_size: int,
) -> pd.DataFrame:
    """What replacing pixels says of the effect: how far the finding's probability falls.

    The heatmap's top pixels are replaced at every share, and the cause exactly. The replacements are the thesis's (mean
    and blur), which leave the distribution of radiographs, and the twin, which does not.

    Args:
        network, batch_size: as in `true_effects`.
        twins: the cases.
        explanations: maps of these studies.
        shares: fractions of the pixels.
        kernels: sides of the Gaussian kernels in pixels.

    Returns:
        image_id, class_name, pixels ("top" or CAUSE), share (of the cause its own), replacement and fall.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    >>> _ = [nn.init.zeros_(parameter) for parameter in network.parameters()]
    >>> image, cases = torch.zeros(1, 1, 2, 2, dtype=torch.uint8), {"image_id": ["a"], "class_name": ["Mass"]}
    >>> twins = TwinCases(pd.DataFrame(cases), image, image + 9)
    >>> maps = Explanations(pd.DataFrame({"Mass": [0.5]}, ["a"]), torch.ones(1, 1, 2, 2), input_size=2, identity="")
    >>> found = estimated_effects(network, twins, maps, [0.5], [], 1)
    >>> found[["pixels", "share", "replacement", "fall"]].to_numpy().tolist()[:2]
    [['top', 0.5, 'mean', 0.0], ['cause', 1.0, 'mean', 0.0]]
    """
    classes, rows, size = explanations.classes, [], explanations.input_size
    cases = zip(twins.cases["image_id"], twins.cases["class_name"], twins.images, twins.twins, twins.cause, strict=True)
    for image_id, class_name, image, twin, cause in progress(list(cases), "replacing", "case"):
        tops = top_pixels_of(upscale(explanations.map(image_id, class_name), size), shares)
        masks = torch.cat([tops, cause[None]])
        lent = replacements(image, kernels) | {TWIN: twin}
        variants = torch.cat([image[None], *(replace_pixels(image, masks, other) for other in lent.values())])
        p = predict(network, variants, batch_size)[:, classes.index(class_name)]
        falls = (p[0] - p[1:]).reshape(len(lent), len(masks))
        chosen = [*(("top", share) for share in shares), (CAUSE, float(cause.float().mean()))]
        for name, of_name in zip(lent, falls.tolist(), strict=True):
            rows += [(image_id, class_name, *about, name, fall) for about, fall in zip(chosen, of_name, strict=True)]
    return pd.DataFrame(rows, columns=["image_id", "class_name", "pixels", "share", "replacement", "fall"])


def not_needed(effects: pd.DataFrame, threshold: float) -> pd.Series:
    """Whether a predicted finding is predicted without need of it.

    The class is predicted with the finding and without it, and the odds p / (1 - p) are less than ODDS times as high
    with it. A class that is still predicted, but with half of its odds or less, did depend on the finding.

    Args:
        effects: from `true_effects`.
        threshold: a class is predicted where its probability reaches this.

    Returns:
        Boolean, of the rows that are predicted with the finding.

    The odds are 9 and 4, 9 and 5, 9 and 0.1:

    >>> effects = pd.DataFrame({"p_with": [0.9, 0.9, 0.9, 0.2], "p_without": [0.8, 5 / 6, 0.1, 0.9]})
    >>> not_needed(effects, 0.7).tolist()
    [False, True, False]
    """
    predicted = effects[effects["p_with"] >= threshold]
    odds_with, odds_without = (
        predicted[name] / (1 - predicted[name]).clip(lower=1e-9) for name in ("p_with", "p_without")
    )
    return (predicted["p_without"] >= threshold) & (odds_with < ODDS * odds_without)
