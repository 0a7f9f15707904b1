"""The thesis's fifteen claims as checks on a run's own results.

Every claim becomes one margin: a number that is positive exactly where the claim is true; a claim with several parts
takes the smallest of their margins. The margin is computed in every bootstrap resample, and one rule decides for all:
the claim holds where the whole 95 % interval lies above zero, does not hold where it lies below, and cannot be decided
here otherwise. "About", "a little" and "unchanged" mean within 0.05, half a step of the first decimal that the thesis
reads from its curves. What each margin measures is said in claims.csv, for the report too.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.annotations import NO_FINDING
from cxrlib.evaluate.bootstrap import interval
from cxrlib.thesis.case_tables import CaseTables, Undecidable


def thesis_claims() -> pd.DataFrame:
    """The thesis's claims: claim ("C1" to "C15"), statement, and the rule: what the margin measures that decides it."""
    return pd.read_csv(Path(__file__).with_name("claims.csv"))


AORTA, HEART, OPACITY = "Aortic enlargement", "Cardiomegaly", "Lung Opacity"


EFFUSION, THICKENING, FIBROSIS = "Pleural effusion", "Pleural thickening", "Pulmonary fibrosis"


FINDINGS = [AORTA, HEART, OPACITY, EFFUSION, THICKENING, FIBROSIS]


TOLERANCE = 0.05


HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be decided here"


def check_all(results: CaseTables) -> pd.DataFrame:
    """Decide every claim.

    Returns:
        One row per claim, in order: claim, statement and rule (what the margin measures); margin, low, high (NaN where
        there is nothing to measure); verdict and because.
    """
    return thesis_claims().join(pd.DataFrame([check(number, results) for number in CHECKS]).set_index("claim"), "claim")


def check(number: str, results: CaseTables) -> dict[str, object]:
    """Margin, interval, verdict and reason of one claim, "C1" to "C15"."""
    about = {"claim": number, "margin": np.nan, "low": np.nan, "high": np.nan}
    try:
        samples = CHECKS[number](results)
    except Undecidable as reason:
        return about | {"verdict": OPEN, "because": str(reason)}
    low, high = (float(bound) for bound in interval(samples))
    verdict, because = verdict_of(low, high)
    return about | {"margin": float(samples[0]), "low": low, "high": high, "verdict": verdict, "because": because}


def verdict_of(low: float, high: float) -> tuple[str, str]:
    """The rule that decides every claim, and its words."""
    if np.isnan(low) or np.isnan(high):
        return OPEN, "a score that it needs is missing: a label has no positives, or no negatives, in the test split"
    if low > 0:
        return HOLDS, "the whole interval of the margin lies above zero"
    if high < 0:
        return FAILS, "the whole interval of the margin lies below zero"
    return OPEN, "the interval of the margin includes zero"


def smallest(*parts: np.ndarray | pd.Series) -> np.ndarray:
    """The smallest margin of a claim's parts, resample by resample; NaN where a part has none."""
    return np.min(np.stack([np.asarray(part, np.float64) for part in parts]), axis=0)


def inside(values: np.ndarray | pd.Series, low: float, high: float) -> np.ndarray:
    """Distance to the nearer bound of a range: positive inside, negative outside."""
    return smallest(values - low, high - values)


def _need(table: pd.DataFrame, names: list[str], where: str) -> None:
    if absent := [name for name in names if name not in table]:
        raise Undecidable(f"{where} has no {', '.join(map(str, absent))}")


def order_of_experiments(results: CaseTables) -> np.ndarray:
    """C1: micro F1 of the experiments falls in the thesis's order."""
    if results.warm_start_epochs:
        raise Undecidable("the experiments do not train alike: training.warm_start_epochs is above 0")
    three, seven, five, all_labels = map(results.micro_f1, ("3 labels", "7 labels", "5 labels", "all labels"))
    return smallest(three - seven, seven - five, five - all_labels)


def order_of_labels(results: CaseTables) -> np.ndarray:
    """C2: F1 of the labels falls in the thesis's three groups."""
    f1 = results.f1()
    _need(f1, [*FINDINGS, NO_FINDING], "the explained model")
    leading, middle, last = (
        f1[names] for names in ([AORTA, HEART], [OPACITY, EFFUSION, THICKENING, FIBROSIS], [OPACITY, FIBROSIS])
    )
    return smallest(
        f1[NO_FINDING] - f1[FINDINGS].max(axis=1, skipna=False),
        leading.min(axis=1, skipna=False) - middle.max(axis=1, skipna=False),
        f1[[EFFUSION, THICKENING]].min(axis=1, skipna=False) - last.max(axis=1, skipna=False),
    )


def every_auroc(results: CaseTables) -> np.ndarray:
    """C3: every label's AUROC lies in the thesis's range."""
    areas = results.auroc()
    return smallest(*(inside(areas[name], 0.925, 0.995) for name in areas))


def no_finding_maps(results: CaseTables) -> np.ndarray:
    """C4: more than half of the No finding heatmaps cover both lungs or peak below the letter."""
    maps = results.no_finding
    both_lungs = (maps[["left", "right"]] >= 0.3).all(axis=1)
    below_letter = ((maps["x"] < 0.25) | (maps["x"] > 0.75)) & (maps["y"] < 0.35)
    cases = maps.assign(fits=both_lungs | below_letter)
    if len(cases) and cases["fits"].nunique() == 1:
        raise Undecidable(f"all {len(cases)} maps are alike: their resamples cannot say how far the share may be off")
    return results.mean_of(cases, "fits", f"test studies predicted as {NO_FINDING}") - 0.5


def order_of_places(results: CaseTables) -> np.ndarray:
    """C5: aorta and heart are localised best, pleural thickening worst."""
    best = {name: results.mean_iou(name).max(axis=1) for name in FINDINGS}
    others = [best[name] for name in (OPACITY, EFFUSION, FIBROSIS)]
    leading = smallest(best[AORTA], best[HEART])
    return smallest(*(leading - other for other in others), *(other - best[THICKENING] for other in others))


PEAKS = {AORTA: 0.02, THICKENING: 0.02, HEART: 0.05, OPACITY: 0.05, FIBROSIS: 0.05, EFFUSION: 0.08}


def peaks_of_iou(results: CaseTables) -> np.ndarray:
    """C6: mean IoU of each finding peaks at the thesis's share of pixels."""
    margins = []
    for name, share in PEAKS.items():
        means = results.mean_iou(name)
        _need(means, [share], "the run's list of shares")
        margins.append(means[share] - means.drop(columns=share).max(axis=1))
    return smallest(*margins)


def smoothgrad_agrees(results: CaseTables) -> np.ndarray:
    """C7: SmoothGrad lights little elsewhere for aorta and heart, and more with more noise for two others."""
    elsewhere = {name: results.mean_outside(name, 0.2) for name in (AORTA, HEART, OPACITY, FIBROSIS)}
    stable = np.maximum(elsewhere[AORTA], elsewhere[HEART])
    grows = [elsewhere[name] - results.mean_outside(name, 0.1) for name in (OPACITY, FIBROSIS)]
    return smallest(TOLERANCE - stable, *grows)


def shared_regions(results: CaseTables) -> np.ndarray:
    """C8: heatmaps of false positives hit other findings more often than random ones do."""
    table, what = results.false_positives, "test studies with boxes and a false positive"
    return results.mean_of(table, "hit", what) - results.mean_of(table, "random_hit", what)


def aortic_drops(results: CaseTables) -> np.ndarray:
    """C9: what replacing the aorta's pixels does to each label."""
    drop, _ = results.mean_drop(AORTA)
    _need(drop, [*FINDINGS, NO_FINDING], "the explained model")
    unchanged = [TOLERANCE - drop[name].abs() for name in (HEART, OPACITY, THICKENING)]
    return smallest(inside(drop[AORTA], 0.05, 0.15), drop[EFFUSION], drop[FIBROSIS], -drop[NO_FINDING], *unchanged)


def heart_drops(results: CaseTables) -> np.ndarray:
    """C10: the heart's fall, where it is greatest, and with which replacement."""
    mean, by_share = results.mean_drop(HEART, "mean")
    _need(by_share, [0.2], "the run's list of replaced shares")
    blurred = results.mean_drop(HEART, "blur 11")[0][HEART]
    peak = by_share[0.2] - by_share.drop(columns=0.2).max(axis=1)
    return smallest(inside(mean[HEART], 0.0, 0.15), peak, mean[HEART] - blurred)


def opacity_drops(results: CaseTables) -> np.ndarray:
    """C11: the opacity's fall, and the rise of aorta and heart."""
    drop, _ = results.mean_drop(OPACITY)
    _need(drop, [AORTA, HEART], "the explained model")
    return smallest(inside(drop[OPACITY], 0.05, 0.25), -drop[AORTA], -drop[HEART])


def effusion_drops(results: CaseTables) -> np.ndarray:
    """C12: the effusion's fall by mean and by blur, with more pixels, and the heart's rise."""
    mean, by_share = results.mean_drop(EFFUSION, "mean")
    _need(mean, [HEART], "the explained model")
    blurred = results.mean_drop(EFFUSION, "blur 11")[0]
    return smallest(
        inside(mean[EFFUSION], 0.35, 0.65),
        inside(blurred[EFFUSION], 0.25, 0.45),
        by_share.iloc[:, -1] - by_share.iloc[:, 0],
        inside(-mean[HEART], 0.0, 0.45),
    )


def pleural_and_fibrotic_drops(results: CaseTables) -> np.ndarray:
    """C13: the falls of thickening and fibrosis, less with more pixels."""
    margins = []
    for name, about in ((THICKENING, 0.1), (FIBROSIS, 0.3)):
        drop, by_share = results.mean_drop(name)
        margins += [
            inside(drop[name], about - TOLERANCE, about + TOLERANCE),
            by_share.iloc[:, 0] - by_share.iloc[:, -1],
        ]
    return smallest(*margins)


def no_finding_drops(results: CaseTables) -> np.ndarray:
    """C14: the fall of No finding, more with more pixels, and the rise of all others."""
    drop, by_share = results.mean_drop(NO_FINDING)
    others = [-drop[name] for name in drop if name != NO_FINDING]
    return smallest(inside(drop[NO_FINDING], 0.45, 1.0), by_share.iloc[:, -1] - by_share.iloc[:, 0], *others)


def kernels_agree(results: CaseTables) -> np.ndarray:
    """C15: the two kernels' falls differ little for every label."""
    changes = [
        (results.mean_drop(name, "blur 21")[0][name] - results.mean_drop(name, "blur 11")[0][name]).abs()
        for name in [*FINDINGS, NO_FINDING]
    ]
    return TOLERANCE - np.max(np.stack(changes), axis=0)


CHECKS = {
    "C1": order_of_experiments,
    "C2": order_of_labels,
    "C3": every_auroc,
    "C4": no_finding_maps,
    "C5": order_of_places,
    "C6": peaks_of_iou,
    "C7": smoothgrad_agrees,
    "C8": shared_regions,
    "C9": aortic_drops,
    "C10": heart_drops,
    "C11": opacity_drops,
    "C12": effusion_drops,
    "C13": pleural_and_fibrotic_drops,
    "C14": no_finding_drops,
    "C15": kernels_agree,
}
"""The margin of every claim: results -> (1 + resamples,)."""
