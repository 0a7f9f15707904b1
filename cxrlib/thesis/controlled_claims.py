"""Which of the thesis's claims about replaced pixels survive a control: as many pixels in a random region.

Claims C9 to C14 say that a label's own probability falls when the top pixels of its heatmap are replaced; C15 compares
two blurs. The fall is evidence for the heatmap only as far as it exceeds the fall by other pixels.
"""

import numpy as np
import pandas as pd

from cxrlib.evaluate.bootstrap import ALL
from cxrlib.evaluate.faithfulness import RANDOM_REGION
from cxrlib.runtime.numerals import number_text

CLAIMED = {
    "C9": ["Aortic enlargement"],
    "C10": ["Cardiomegaly"],
    "C11": ["Lung Opacity"],
    "C12": ["Pleural effusion"],
    "C13": ["Pleural thickening", "Pulmonary fibrosis"],
    "C14": ["No finding"],
    "C15": [ALL],
}
"""Whose own fall each claim is about."""


BY_THE_MEAN = "AOPC"
"""The mean fall over all shares, by the mean grey; positive exactly where the mean fall is."""


SURVIVES, FAILS, OPEN = "exceeds the random region", "falls less than the random region", "cannot be decided here"


def claims_with_controls(table: pd.DataFrame, kernels: list[int], method: str = "Grad-CAM") -> pd.DataFrame:
    """The own falls behind claims C9 to C15 beside those of the random region.

    C9 to C14 are measured by the mean grey over all shares, and by the first blur at the one share at which every
    replacement is tried. C15 is measured by both blurs, as the mean of findings.

    Args:
        table: from `faithfulness_table`.
        kernels: sides of the Gaussian kernels in pixels.
        method: whose heatmaps.

    Returns:
        claim, class_name, measure, ours, control_score, gain, gain_low, gain_high, n, survives: SURVIVES where the
        whole interval of the gain lies above zero, FAILS where it lies below, otherwise OPEN.
    """
    own = table[(table["method"] == method) & (table["control"] == RANDOM_REGION)].set_index(["class_name", "measure"])
    blurs, rows = [_blur(own, kernel) for kernel in kernels], []
    for claim, names in CLAIMED.items():
        for name in names:
            for measure in blurs if claim == "C15" else [BY_THE_MEAN, *blurs[:1]]:
                known = own.loc[(name, measure)] if (name, measure) in own.index else pd.Series({"n": 0})
                numbers = known.reindex(["ours", "control_score", "gain", "gain_low", "gain_high", "n"]).to_dict()
                rows.append({"claim": claim, "class_name": name, "measure": measure} | numbers)
    claims = pd.DataFrame(rows).astype({"n": int})
    beyond = [claims["gain_low"].astype(float) > 0, claims["gain_high"].astype(float) < 0]
    return claims.assign(survives=np.select(beyond, [SURVIVES, FAILS], OPEN))


def in_one_sentence(claims: pd.DataFrame) -> str:
    """To which labels the highlighted pixels matter more than a random region does, over all shares.

    Args:
        claims: from `claims_with_controls`.

    >>> rows = [("Mass", "AOPC", SURVIVES), ("ILD", "AOPC", OPEN), ("Mass", "fall blur 11 10 %", FAILS)]
    >>> in_one_sentence(pd.DataFrame(rows, columns=["class_name", "measure", "survives"]))
    'The highlighted pixels matter more than a random region to 1 of 2 labels: Mass. Undecided: ILD.'
    """
    by_mean = claims[claims["measure"] == BY_THE_MEAN]
    matter, less, undecided = (by_mean.loc[by_mean["survives"] == one, "class_name"] for one in (SURVIVES, FAILS, OPEN))
    begin = f"The highlighted pixels matter more than a random region to {len(matter)} of {len(by_mean)} labels"
    said = [f"{begin}: {', '.join(matter)}." if len(matter) else f"{begin}."]
    said += [f"Less: {', '.join(less)}."] if len(less) else []
    return " ".join([*said, f"Undecided: {', '.join(undecided)}."] if len(undecided) else said)


def in_sentences(claims: pd.DataFrame) -> list[str]:
    """A sentence for each row of `claims_with_controls`.

    >>> row = {"claim": "C9", "class_name": "Mass", "measure": "AOPC", "ours": 0.23, "control_score": 0.09, "n": 24}
    >>> in_sentences(pd.DataFrame([row | {"survives": SURVIVES}]))
    ['C9, Mass, AOPC: 0.23, random region 0.09 (n = 24): exceeds the random region']
    """
    return [
        f"{row.claim}, {row.class_name}, {row.measure}: {number_text(row.ours, 2)}, "
        f"random region {number_text(row.control_score, 2)} "
        f"(n = {row.n}): {row.survives}"
        if np.isfinite(row.ours)
        else f"{row.claim}, {row.class_name}, {row.measure}: no heatmap to measure"
        for row in claims.itertuples()
    ]


def _blur(own: pd.DataFrame, kernel: int) -> str:
    """Name of the measure by a blur: that of the table, at whatever share."""
    names = [name for _, name in own.index if name.startswith(f"fall blur {kernel} ")]
    return names[0] if names else f"fall blur {kernel}"
