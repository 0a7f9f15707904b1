"""Which of the thesis's two unions do its reported numbers fit?"""

import numpy as np
import pandas as pd

from cxrlib.evaluate.boxes import as_area_union
from cxrlib.thesis.reported import thesis_iou

AORTA = "Aortic enlargement"


def readers_needed(iou: float) -> float:
    """Least mean IoU between readers if one box reaches `iou` with each of them on average.

    1 - IoU is a metric (Jaccard distance): two readers lie no further apart than both lie from the box together.
    """
    return max(0.0, 1 - 2 * (1 - iou))


def growth(iou: pd.Series, by_sum: bool) -> float:
    """Exponent with which a heatmap's box grows against the share of pixels, if the true box lies inside it.

    Then the box has the true one's area times 1 / IoU, with the IoU by the area of the union.

    Args:
        iou: reported IoU by share of pixels, of the shares where the box is larger than the truth.
        by_sum: which union the numbers are taken to have.
    """
    area = 1 / (as_area_union(iou) if by_sum else iou)
    return float(np.polyfit(np.log(iou.index.to_numpy(float)), np.log(area), 1)[0])


def union_evidence(readers: pd.DataFrame, cases: pd.DataFrame) -> str:
    """What bound, radiologists and growth say about the reported numbers, in words.

    Args:
        readers: `by_image` agreement of all real studies.
        cases: `score_maps` of this run.
    """
    one, mean = thesis_iou("table_05"), thesis_iou("table_06")
    highest = float(one[AORTA].max())
    aortas = readers.loc[readers["class_name"] == AORTA, "all_pairs"]
    needed = readers_needed(as_area_union(highest))
    falling = one.loc[one[AORTA].idxmax() :, AORTA]
    text = (
        f"Bound: the largest reported value is {highest:.3f} (Table 5) and {mean.max().max():.3f} (Table 6); none "
        f"exceeds 0.5, so the bound excludes neither. Radiologists: as a sum, {highest:.3f} is an IoU of "
        f"{as_area_union(highest):.3f}, for which the readers' own boxes must agree to {needed:.2f}; "
        f"{(aortas >= needed).mean():.0%} of the {len(aortas):,} real studies do, so it is possible. Growth: after its "
        f"peak, Table 5's Aortic enlargement makes the heatmap's box grow with the share of pixels to the power "
        f"{growth(falling, False):.2f} by the union and {growth(falling, True):.2f} by the sum"
    )
    own = own_growth(cases)
    if np.isnan(own):
        return text + "; this run has no single-box heatmaps to compare with."
    return text + f"; the single boxes of this run's own heatmaps grow with {own:.2f}. One radiograph proves nothing."


def own_growth(cases: pd.DataFrame) -> float:
    """Exponent with which this run's heatmap boxes grow against the share of pixels.

    Findings whose heatmap has a single box at every share from 5 % count; each has its own factor.

    Args:
        cases: image_id, class_name, share, predicted_boxes, predicted_area.
    """
    large = cases[cases["share"] >= 0.05]
    single = large.groupby(["image_id", "class_name"]).filter(lambda one: (one["predicted_boxes"] == 1).all())
    if single["share"].nunique() < 2:
        return float("nan")
    area = np.log(single["predicted_area"])
    shares = np.log(single["share"])
    centred = single.assign(area=area, shares=shares).groupby(["image_id", "class_name"])[["area", "shares"]]
    deviations = centred.transform(lambda values: values - values.mean())
    return float((deviations["area"] * deviations["shares"]).sum() / (deviations["shares"] ** 2).sum())
