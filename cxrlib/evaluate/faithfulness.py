"""How far a class's own probability falls when a heatmap's top pixels are replaced, beside as many other pixels.

A fall alone says little: any grey area is new to the network. The controls are as many pixels of the same image, chosen
by less: at random, as a random region of the mask's shape, the least important ones, pixels inside the readers' boxes,
and those of the class's mean heatmap over other studies.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import mask_of_boxes
from cxrlib.evaluate.control_masks import first_pixels, mean_heatmaps, moved_region, random_ranking, ranked
from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.imputation import inpainted, noisy_linear
from cxrlib.evaluate.perturbation import replace_pixels, replacements
from cxrlib.evaluate.phantom import TWIN, TwinCases
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.explain.masks import top_pixels_of
from cxrlib.model.batches import StoredInputs
from cxrlib.model.inference import predict
from cxrlib.runtime.progress import progress

OWN, RANDOM_PIXELS, RANDOM_REGION = "heatmap", "random pixels", "random region"


LEAST, READERS, MEAN_HEATMAP = "least important pixels", "readers' boxes", "mean heatmap"


CONTROLS = [RANDOM_PIXELS, RANDOM_REGION, LEAST, READERS, MEAN_HEATMAP]
"""What chooses as many pixels as the heatmap did."""


MEAN, INPAINTED, ROAD, KEPT = "mean", "in-painting", "ROAD", "kept"
"""Replacements that have a name of their own; `KEPT`: all other pixels are blurred, and the chosen ones stay."""


INSERTED = [OWN, RANDOM_PIXELS, RANDOM_REGION]
"""Which pixels are kept while all others are blurred."""


ONE_SHARE = 0.1
"""The share at which every replacement is tried is the one of the run's list that is nearest to this."""


CHUNK = 8
"""Batches of replaced images that are in memory at once."""


CASE = ["image_id", "class_name", "method", "replacement", "share"]


CURVE_COLUMNS = [*CASE, "pixels", "covered", "before", "after", "whole"]


@dataclass(frozen=True)
class CurveSettings:
    """What is replaced.

    Attributes:
        threshold: a class is predicted where its probability reaches this.
        shares: fractions of the pixels.
        kernels: sides of the Gaussian kernels in pixels.
        batch_size: images per forward pass.
        seed: same seed, same random pixels, moves and noise.
    """

    threshold: float
    shares: list[float]
    kernels: list[int]
    batch_size: int
    seed: int


Lender = Callable[[torch.Tensor], torch.Tensor]
"""Masks, boolean (n, h, w), to replaced images, uint8 (n, 1, h, w)."""


@dataclass
class _Variants:
    """Pictures that are predicted once, however many methods and controls ask for them."""

    rows: dict[tuple[str, bytes], int] = field(default_factory=dict)
    wanted: list[tuple[str, torch.Tensor]] = field(default_factory=list)

    def add(self, lender: str, mask: torch.Tensor) -> int:
        """Row of the picture in what `predicted` returns."""
        row = self.rows.setdefault((lender, _packed(mask)), len(self.wanted))
        if row == len(self.wanted):
            self.wanted.append((lender, mask))
        return row

    def predicted(self, network: nn.Module, lenders: dict[str, Lender], batch_size: int) -> np.ndarray:
        """Probabilities (pictures, classes)."""
        order, found = sorted(range(len(self.wanted)), key=lambda row: self.wanted[row][0]), []
        for start in range(0, len(order), CHUNK * batch_size):
            part = [self.wanted[row] for row in order[start : start + CHUNK * batch_size]]
            of_lender = [(name, [mask for _, mask in same]) for name, same in groupby(part, key=itemgetter(0))]
            pictures = torch.cat([lenders[name](torch.stack(masks)) for name, masks in of_lender])
            found.append(predict(network, pictures, batch_size))
        return torch.cat(found).numpy()[np.argsort(order)]


def _packed(mask: torch.Tensor) -> bytes:
    return np.packbits(mask.numpy()).tobytes()


def perturbation_curves(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    cohort: Cohort,
    methods: dict[str, Explanations],
    others: dict[str, Explanations],
    twins: TwinCases | None,
    settings: CurveSettings,
) -> pd.DataFrame:
    """The own class's probability after each replacement of a heatmap's top pixels and of as many others.

    The mean grey replaces the pixels at every share. The other replacements (blur, in-painting, ROAD, and the twin
    where there is one) do so at the share nearest to ONE_SHARE only, since they cost most.

    - The random region is the mask itself, mirrored left to right and moved by a random offset of the image.
    - Inside the readers' boxes as many pixels are drawn at random; there is no row where the boxes hold fewer.
    - There is no row of the class's mean heatmap where none of the other studies has the class.
    - A heatmap whose values are all alike, or of which none is positive, chooses nothing and has no row at all.

    With s shares, k kernels, and t = 1 where there is a twin, a predicted class of an image costs at most
    4 s + 4 (k + 2 + t) + 2 s forward passes a method, and s + k + 2 + t for the readers' boxes. What all methods and
    classes of an image share costs 2 s + k + 4, if every heatmap has as many positive pixels as are asked for. Pictures
    that are alike are predicted once.

    Args:
        network: in evaluation mode, logits (n, classes).
        images: uint8 (n, 1, h, w) of the studies of `methods`, in their order.
        cohort: labels and readers' boxes.
        methods: title -> maps of the same studies, and the probabilities of the unchanged images.
        others: title -> maps of studies that are not scored, for the mean heatmaps.
        twins: rendered twins of some of the findings; None on real data.
        settings: what is replaced.

    Returns:
        CURVE_COLUMNS: image_id, class_name, method, replacement, share (asked for), pixels (OWN or one of CONTROLS),
        covered (share that was replaced, smaller where a heatmap has fewer positive pixels), before and after
        (probabilities), and whole: that of the image whose pixels are all replaced, where it is known.
    """
    first = next(iter(methods.values()), None)
    if first is None:
        return _no_curves()
    usual = {title: _mean_heatmaps(cohort, other, methods[title].input_size) for title, other in others.items()}
    parts = []
    for row, image_id in enumerate(progress(first.probabilities.index.tolist(), "beside controls", "image")):
        before = first.probabilities.loc[image_id]
        predicted = before.index[before >= settings.threshold].tolist()
        if predicted:
            lenders = _lenders(images[row], image_id, predicted, twins, settings)
            curves = _curves(network, lenders, cohort, methods, usual, image_id, predicted, settings)
            parts.append(curves.assign(image_id=image_id, before=curves["class_name"].map(before).astype(float)))
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[CURVE_COLUMNS] if parts else _no_curves()


def _no_curves() -> pd.DataFrame:
    numbers = {"share", "covered", "before", "after", "whole"}
    return pd.DataFrame({name: pd.Series(dtype=float if name in numbers else object) for name in CURVE_COLUMNS})


def _mean_heatmaps(cohort: Cohort, others: Explanations, size: int) -> dict[str, torch.Tensor]:
    """Class -> its mean heatmap in pixels; NaN where no study has the class."""
    labels = torch.tensor(cohort.labels.loc[others.probabilities.index, others.classes].to_numpy())
    return dict(zip(others.classes, upscale(mean_heatmaps(others, labels), size), strict=True))


def _seed(image_id: str, seed: int) -> int:
    """The same for a study wherever it stands in a list."""
    return zlib.crc32(f"{seed} {image_id}".encode())


def _lenders(
    image: torch.Tensor, image_id: str, classes: list[str], twins: TwinCases | None, settings: CurveSettings
) -> dict[str, Lender]:
    """Every replacement of an image by name; a twin's name is followed by its class."""
    seed = _seed(image_id, settings.seed)
    lent = replacements(image, settings.kernels)
    blurred = lent[f"blur {max(settings.kernels)}"]
    if twins is not None:
        own = twins.of([image_id])
        pairs = zip(own.cases["class_name"], own.twins, strict=True)
        lent |= {f"{TWIN} {name}": twin for name, twin in pairs if name in classes}
    lenders: dict[str, Lender] = {name: _pixels_of(image, other) for name, other in lent.items()}
    lenders[INPAINTED] = lambda masks: torch.stack([inpainted(image, mask) for mask in masks])
    lenders[ROAD] = lambda masks: torch.stack([noisy_linear(image, mask, _noise(mask, seed)) for mask in masks])
    lenders[KEPT] = _pixels_of(blurred, image)
    return lenders


def _noise(mask: torch.Tensor, seed: int) -> np.random.Generator:
    """The same noise for a mask, whatever else is replaced."""
    return np.random.default_rng([seed, zlib.crc32(_packed(mask))])


def _pixels_of(image: torch.Tensor, other: torch.Tensor) -> Lender:
    return lambda masks: replace_pixels(image, masks, other)


def _curves(
    network: nn.Module,
    lenders: dict[str, Lender],
    cohort: Cohort,
    methods: dict[str, Explanations],
    usual: dict[str, dict[str, torch.Tensor]],
    image_id: str,
    predicted: list[str],
    settings: CurveSettings,
) -> pd.DataFrame:
    """The rows of one image, without image_id and before."""
    first = next(iter(methods.values()))
    size, shares = first.input_size, sorted(settings.shares)
    seed = _seed(image_id, settings.seed)
    order = random_ranking(size * size, seed)
    down, right = np.random.default_rng(seed).integers(size, size=2).tolist()
    near = min(shares, key=lambda share: abs(share - ONE_SHARE))
    variants, rows = _Variants(), []
    everything = torch.ones(size, size, dtype=torch.bool)
    whole = {MEAN: variants.add(MEAN, everything), KEPT: variants.add(KEPT, ~everything)}
    for class_name in predicted:
        boxes = cohort.boxes(image_id, class_name)[BOX_COLUMNS].to_numpy(np.float64)
        inside = torch.from_numpy(mask_of_boxes(boxes * size / cohort.size, size))
        for title, explained in methods.items():
            heatmap = upscale(explained.map(image_id, class_name), size)
            own = top_pixels_of(heatmap, shares)
            if not heatmap.isfinite().all() or (heatmap == heatmap[0, 0]).all() or not own.any():
                continue
            counts = own.sum((-2, -1)).tolist()
            chosen = {OWN: own, RANDOM_PIXELS: first_pixels(order, counts, size)}
            chosen[RANDOM_REGION] = moved_region(own, down, right)
            chosen[LEAST] = first_pixels(ranked(-heatmap, order), counts, size)
            in_boxes = order[inside.flatten()[order]]
            enough = [count for count in counts if count <= len(in_boxes)]
            chosen[READERS] = first_pixels(in_boxes, enough, size)
            if title in usual and usual[title][class_name].isfinite().all():
                chosen[MEAN_HEATMAP] = first_pixels(ranked(usual[title][class_name], order), counts, size)
            for pixels, masks in chosen.items():
                for share, mask in zip(shares, masks, strict=False):
                    for lender in _asked(lenders, class_name, pixels, share == near):
                        name = TWIN if lender.startswith(TWIN) else lender
                        about = (class_name, title, name, share, pixels, float(mask.float().mean()))
                        rows.append((*about, variants.add(lender, mask)))
    after = variants.predicted(network, lenders, settings.batch_size)
    columns = ["class_name", "method", "replacement", "share", "pixels", "covered", "after"]
    table = pd.DataFrame(rows, columns=columns)
    positions = table["class_name"].map(first.classes.index).to_numpy(int)
    table["whole"] = np.nan
    for name, row in whole.items():
        same = (table["replacement"] == name).to_numpy()
        table.loc[same, "whole"] = after[row, positions[same]]
    return table.assign(after=after[table["after"].to_numpy(int), positions])


def _asked(lenders: dict[str, Lender], class_name: str, pixels: str, every: bool) -> Iterator[str]:
    """The replacements of one mask: the mean, the rest blurred, and all others where `every`."""
    for name in lenders:
        if name == KEPT:
            asked = pixels in INSERTED
        elif name.startswith(TWIN):
            asked = every and name == f"{TWIN} {class_name}"
        else:
            asked = every or name == MEAN
        if asked:
            yield name


def fall_cases(curves: pd.DataFrame) -> pd.DataFrame:
    """The falls of the own class's probability at every share, beside each control.

        score = p(image) - p(image with the heatmap's pixels replaced)

    Args:
        curves: from `perturbation_curves`.

    Returns:
        CASE_COLUMNS; the measure is "fall", the replacement and the share, e.g. "fall mean 10 %".

    >>> about = {"image_id": "a", "class_name": "Mass", "method": "CAM", "replacement": "mean", "share": 0.1}
    >>> curves = pd.DataFrame({**about, "pixels": ["heatmap", "random pixels"], "before": 0.75, "after": [0.25, 0.5]})
    >>> fall_cases(curves)[["measure", "score", "control", "control_score"]].to_numpy().tolist()
    [['fall mean 10 %', 0.5, 'random pixels', 0.25]]
    """
    curves = curves[curves["replacement"] != KEPT]
    measure = "fall " + curves["replacement"] + [f" {100 * share:g} %" for share in curves["share"]]
    return beside_own(curves.assign(measure=measure, score=curves["before"] - curves["after"]))


def beside_own(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of the heatmap's pixels beside those of every control that has one, as CASE_COLUMNS.

    Args:
        scores: image_id, class_name, method, measure, pixels (OWN or a control) and score.

    >>> about = {"image_id": "a", "class_name": "Mass", "method": "CAM", "measure": "deletion"}
    >>> scores = pd.DataFrame({**about, "pixels": ["heatmap", "random region"], "score": [0.75, 0.25]})
    >>> beside_own(scores)[["score", "control", "control_score"]].to_numpy().tolist()
    [[0.75, 'random region', 0.25]]
    """
    key, own = ["image_id", "class_name", "method", "measure"], scores["pixels"] == OWN
    controls = scores[~own].rename(columns={"pixels": "control", "score": "control_score"})
    return scores.loc[own, [*key, "score"]].merge(controls[[*key, "control", "control_score"]], on=key)[CASE_COLUMNS]
