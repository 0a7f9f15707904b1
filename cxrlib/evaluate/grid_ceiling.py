"""What a map's cells allow: the readers' boxes as a map of few cells, scored exactly like a heatmap.

A map of 7 x 7 cells cannot draw a small box. So the score of a perfect explanation is not 1, and a heatmap should be
read beside what its own grid allows.
"""

import cv2
import numpy as np
import pandas as pd
import torch

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.data.render.frame import boxes_as_fractions
from cxrlib.evaluate.bootstrap import mean_samples
from cxrlib.evaluate.boxes import as_sum_union, pairwise_iou
from cxrlib.evaluate.cells import cell_cover, study_covers
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.evaluate.phantom import TwinCases
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.runtime.progress import progress
from cxrlib.runtime.workers import worker_pool

FRAME = 224
"""Side in pixels of the frame in which real annotations are scored, the thesis's."""


CAUSE_IN = "Cause in"
"""How the title of the cause's own maps begins."""


AT_ONCE = 128
"""Maps that are upscaled at once."""


MANY = 5000
"""Maps of images from which on it pays to start further processes."""
PARTS = 16
"""Parts of the images that processes share; their number decides the order of the rows."""


def oracle_maps(cohort: Cohort, explanations: Explanations) -> Explanations:
    """The readers' boxes in the cells of these maps: `cell_cover` of all boxes of each study and class.

    Whatever is done to a heatmap can be done to it: it says what the protocol allows at this resolution.
    """
    rows, columns = explanations.maps.shape[2:]
    image_ids = explanations.probabilities.index.tolist()
    return explanations.with_maps(study_covers(cohort, image_ids, explanations.classes, rows, columns))


def allowed_scores(boxes: pd.DataFrame, grid: int, shares: list[float]) -> pd.DataFrame:
    """Mean IoU over all pairs of boxes of oracle maps of grid x grid cells, without images.

    The same numbers as of `cxrlib.evaluate.localisation.score_maps` in a frame of FRAME pixels, in less time: only the
    part of the frame that is not zero is sorted, and no other protocol is computed.

    Args:
        boxes: one row per reader's box: image_id, class_name and BOX_COLUMNS as fractions of the frame.
        grid: cells along each side of the map.
        shares: fractions of the pixels that make the mask.

    Returns:
        image_id, class_name, grid, share, all_pairs and all_pairs_sum (area1 + area2 for union), a row per finding of
        an image and share.

    Even a box that is one of four cells is not met exactly, since upscaling blurs the edges of cells:

    >>> box = {"image_id": ["a"], "class_name": "Mass", "x_min": 0.0, "y_min": 0.0, "x_max": 0.5, "y_max": 0.5}
    >>> allowed_scores(pd.DataFrame(box), 2, [0.1, 0.25])["all_pairs"].round(2).tolist()
    [0.41, 0.9]
    """
    corners, shares = boxes[BOX_COLUMNS].to_numpy(np.float64) * FRAME, sorted(shares)
    cases = list(boxes.groupby(["class_name", "image_id"]).indices.items())
    found = []
    for start in range(0, len(cases), AT_ONCE):
        some = [corners[rows] for _, rows in cases[start : start + AT_ONCE]]
        covers = np.stack([cell_cover(true, FRAME, grid, grid) for true in some])
        for true, cover, heatmap in zip(some, covers, upscale(torch.from_numpy(covers), FRAME).numpy(), strict=True):
            found.append(_best_boxes_scored(heatmap, cover, true, shares))
    about = pd.DataFrame([(image_id, name) for (name, image_id), _ in cases], columns=["image_id", "class_name"])
    table = about.loc[about.index.repeat(len(shares))].reset_index(drop=True)
    scores = np.array(found, np.float64).reshape(-1, 2)
    return table.assign(
        grid=grid, share=np.tile(shares, len(cases)), all_pairs=scores[:, 0], all_pairs_sum=scores[:, 1]
    )


def real_boxes(annotations: pd.DataFrame, classes: list[str], most: int) -> pd.DataFrame:
    """The readers' boxes of some real images, as fractions of each image's estimated frame.

    Args:
        annotations: rows of `cxrlib.data.annotations.COLUMNS`; the sizes of the images are unknown and are estimated
            from the boxes (`cxrlib.data.render.frame`).
        classes: findings.
        most: at most so many images of each finding, the first by their ids, which are random.

    Returns:
        image_id, class_name and BOX_COLUMNS in 0..1.

    >>> rows = {"image_id": ["a", "b", "b"], "class_name": "Mass", "rad_id": ["R1", "R1", "R2"], "x_min": 100.0}
    >>> rows = pd.DataFrame({**rows, "y_min": 0.0, "x_max": 300.0, "y_max": 500.0})
    >>> real_boxes(rows, ["Mass"], 1)["image_id"].tolist(), len(real_boxes(rows, ["Mass"], 2))
    (['a'], 3)
    """
    boxes = boxes_as_fractions(annotations)
    boxes = boxes.loc[boxes["class_name"].isin(classes), ["image_id", "class_name", *BOX_COLUMNS]]
    first = boxes.groupby("class_name")["image_id"].rank(method="dense") <= most
    return boxes[first].reset_index(drop=True)


def allowed_by_grids(boxes: pd.DataFrame, grids: list[int], shares: list[float], workers: int = 1) -> pd.DataFrame:
    """`allowed_scores` of several grids, one after another, by several processes where there is much to do.

    >>> box = {"image_id": ["a"], "class_name": "Mass", "x_min": 0.0, "y_min": 0.0, "x_max": 0.5, "y_max": 0.5}
    >>> allowed_by_grids(pd.DataFrame(box), [1, 2], [0.25])["grid"].tolist()
    [1, 2]
    """
    image_ids = boxes["image_id"].unique()
    few = len(image_ids) * len(grids) < MANY
    parts = [boxes] if few else [boxes[boxes["image_id"].isin(some)] for some in np.array_split(image_ids, PARTS)]
    tasks = [(part, grid, shares) for grid in grids for part in parts]
    if few or workers == 1:
        found = [allowed_scores(*task) for task in progress(tasks, "what grids allow", "part")]
    else:
        with worker_pool(workers, torch.set_num_threads, (1,)) as pool:
            done = pool.map(allowed_scores, *zip(*tasks, strict=True))
            found = list(progress(done, "what grids allow", "part", len(tasks)))
    return pd.concat(found, ignore_index=True)


def _best_boxes_scored(heatmap: np.ndarray, cover: np.ndarray, true: np.ndarray, shares: list[float]) -> np.ndarray:
    """all_pairs and all_pairs_sum (shares, 2) of the boxes of the top pixels of an upscaled cover."""
    cell, scores = FRAME / len(cover), np.zeros((len(shares), 2))
    rows, columns = (np.flatnonzero((cover > 0).any(axis)) for axis in (1, 0))
    if not len(rows):
        return scores
    top, left = (max(0, int((lit[0] - 1) * cell)) for lit in (rows, columns))
    part = heatmap[top : int((rows[-1] + 2) * cell) + 1, left : int((columns[-1] + 2) * cell) + 1]
    values = part.ravel()
    positive = np.flatnonzero(values > 0)
    order = positive[np.argsort(-values[positive], kind="stable")]
    mask, set_already, predicted = np.zeros(values.shape, np.uint8), 0, []
    for share in shares:
        mask[order[set_already : round(share * FRAME**2)]] = 1
        set_already = round(share * FRAME**2)
        contours, _ = cv2.findContours(mask.reshape(part.shape), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        predicted.append([cv2.boundingRect(contour) for contour in contours])
    if not any(predicted):
        return scores
    x, y, width, height = np.concatenate([found for found in predicted if found]).T.astype(np.float64)
    iou = pairwise_iou(np.stack([x + left, y + top, x + left + width, y + top + height], axis=1), true)
    of_box = np.stack([iou.mean(axis=1), as_sum_union(iou).mean(axis=1)], axis=1)
    ends = np.cumsum([len(found) for found in predicted])
    for row, (end, found) in enumerate(zip(ends, predicted, strict=True)):
        if found:
            scores[row] = of_box[end - len(found) : end].mean(axis=0)
    return scores


def fraction_samples(
    scores: np.ndarray, allowed: np.ndarray, image_ids: list[str], weights: pd.DataFrame
) -> np.ndarray:
    """A mean score as a fraction of what the grid allows, in every resample.

        fraction = sum_i w_i s_i / sum_i w_i a_i

    Args:
        scores: s, (cases,).
        allowed: a, (cases,), the oracle map's scores of the same cases.
        image_ids: the study of each case.
        weights: from `study_weights`.

    Returns:
        float64 (1 + resamples,); NaN where nothing is allowed or no case was drawn.

    >>> weights = pd.DataFrame({"a": [1, 0], "b": [1, 1]})
    >>> fraction_samples([0.1, 0.3], [0.5, 0.3], ["a", "b"], weights).tolist()
    [0.5, 1.0]
    """
    ours, most = (mean_samples(values, image_ids, weights) for values in (scores, allowed))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(most > 0, ours / most, np.nan)


def pooled(mask: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The fraction of each cell that a mask sets, exactly, also where cells do not end at pixels.

    Args:
        mask: boolean (height, width).
        rows, columns: of equal cells.

    Returns:
        float32 (rows, columns) in 0..1.

    Of three pixels, the second belongs half to each of two cells:

    >>> pooled(torch.tensor([[False, True, True]]), 1, 2)
    tensor([[0.3333, 1.0000]])
    """
    down, across = _overlap(mask.shape[0], rows), _overlap(mask.shape[1], columns)
    return (down @ mask.double() @ across.T).float()


def with_cause(
    methods: dict[str, BySplit], control: dict[str, str], twins: TwinCases
) -> tuple[dict[str, BySplit], dict[str, str]]:
    """The methods and, for each form of their maps with fewer cells than pixels, the cause itself in such cells.

    This is the most that `cxrlib.evaluate.phantom.score_on_truth` can give a map of that form.

    Args:
        methods: title -> maps by split; only "test" is read.
        control: title -> title of the random maps of the same form.
        twins: the cases; the cause of each lies in the frame of the network's input.

    Returns:
        The methods and CAUSE_IN ... by title, and the title of each one's control.

    >>> image = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    >>> cases = pd.DataFrame({"image_id": ["a"], "class_name": "Mass"})
    >>> maps = Explanations(pd.DataFrame({"Mass": [0.9]}, ["a"]), torch.rand(1, 1, 2, 2), input_size=4, identity="")
    >>> given, controls = {"CAM": {"test": maps}}, {"CAM": "Random 2 x 2"}
    >>> methods, controls = with_cause(given, controls, TwinCases(cases, image, image + 9))
    >>> controls, methods["Cause in 2 x 2 cells"]["test"].maps.flatten().tolist()
    ({'CAM': 'Random 2 x 2', 'Cause in 2 x 2 cells': 'Random 2 x 2'}, [1.0, 1.0, 1.0, 1.0])
    """
    found, beside = dict(methods), dict(control)
    for title, maps in methods.items():
        one = maps["test"]
        rows, columns = one.maps.shape[2:]
        name = f"{CAUSE_IN} {rows} x {columns} cells"
        if name in found or min(rows, columns) >= one.input_size:
            continue
        cause = torch.zeros_like(one.maps)
        places = one.probabilities.index.get_indexer(twins.cases["image_id"])
        for row, class_name, mask in zip(places, twins.cases["class_name"], twins.cause, strict=True):
            if row >= 0:
                cause[row, one.classes.index(class_name)] = pooled(mask, rows, columns)
        found[name], beside[name] = {"test": one.with_maps(cause)}, control[title]
    return found, beside


def _overlap(pixels: int, cells: int) -> torch.Tensor:
    """The fraction of each cell that each pixel covers, (cells, pixels)."""
    ends = torch.linspace(0, pixels, cells + 1, dtype=torch.float64)
    starts = torch.arange(pixels, dtype=torch.float64)
    shared = torch.minimum(ends[1:, None], starts + 1) - torch.maximum(ends[:-1, None], starts)
    return shared.clamp(min=0) * cells / pixels
