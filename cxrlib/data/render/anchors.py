"""Anchors: the boxes that fix where a study's anatomy lies.

A study with an enlarged aorta has a box of its aortic knob. A study without does not. If the knob were drawn from the
box in the first case and from a bell curve in the second, its place would give the label away. So each study takes the
anchors that it lacks from a donor, a study that has all anchors. The organs of the donor are drawn in the donor's place
and at a healthy size.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.data.annotations import box_centres
from cxrlib.data.render.lesions import corners_of

KNOB_FINDING = "Aortic enlargement"


HEART_FINDING = "Cardiomegaly"


EFFUSION_FINDING = "Pleural effusion"


EFFUSION_DROP = 0.03  # from the heart's lower border to the lower end of an effusion, fractions of the frame


@dataclass(frozen=True)
class Anchors:
    """Boxes (x_min, y_min, x_max, y_max) in fractions of the frame.

    Attributes:
        knob, heart: shape (4,), or None.
        effusions: shape (m, 4); m may be 0.
        lungs: boxes of all other findings, shape (n, 4); n may be 0.
    """

    knob: np.ndarray | None
    heart: np.ndarray | None
    effusions: np.ndarray
    lungs: np.ndarray

    @property
    def complete(self) -> bool:
        """Whether the study can be a donor."""
        return self.knob is not None and self.heart is not None and len(self.lungs) > 0


# Used when the annotations hold no complete study: the median boxes of VinBigData.
TYPICAL = Anchors(
    knob=np.array([0.50, 0.265, 0.62, 0.385]),
    heart=np.array([0.36, 0.53, 0.78, 0.66]),
    effusions=np.zeros((0, 4)),
    lungs=np.array([[0.20, 0.17, 0.30, 0.24]]),
)


def anchors_of(boxes: pd.DataFrame) -> Anchors:
    """Anchors of one study's boxes (class_name and box columns, fractions of the frame)."""
    names = boxes["class_name"].to_numpy()
    corners = corners_of(boxes)
    knob, heart = corners[names == KNOB_FINDING], corners[names == HEART_FINDING]
    return Anchors(
        knob=knob.mean(axis=0) if len(knob) else None,
        heart=heart.mean(axis=0) if len(heart) else None,
        effusions=corners[names == EFFUSION_FINDING],
        lungs=corners[~np.isin(names, [KNOB_FINDING, HEART_FINDING, EFFUSION_FINDING])],
    )


def find_donors(boxes: pd.DataFrame) -> list[Anchors]:
    """Anchors of every complete study, in the order of image_id; never empty."""
    wanted = boxes.groupby("image_id")["class_name"].agg(set)
    image_ids = [i for i, names in wanted.items() if {KNOB_FINDING, HEART_FINDING} < names]
    studies = boxes[boxes["image_id"].isin(image_ids)].groupby("image_id", sort=True)
    donors = [anchors_of(rows) for _, rows in studies]
    return [donor for donor in donors if plausible(donor)] or [TYPICAL]


def plausible(anchors: Anchors) -> bool:
    """Whether knob and heart lie one above the other as in an upright chest."""
    knob_x, knob_y = box_centres(anchors.knob)
    heart_x, _ = box_centres(anchors.heart)
    return 0.2 < anchors.heart[3] - knob_y < 0.5 and abs(knob_x - heart_x) < 0.12


def complete_anchors(own: Anchors, donor: Anchors) -> Anchors:
    """`own`, completed from `donor`, whose anchors are moved so that the organs that both studies have coincide."""
    shifts = [
        box_centres(mine) - box_centres(theirs)
        for mine, theirs in ((own.knob, donor.knob), (own.heart, donor.heart))
        if mine is not None
    ]
    if not shifts and len(own.effusions):  # without knob and heart, effusions give the height: below the heart
        drop = own.effusions[:, 3].mean() - (donor.heart[3] + EFFUSION_DROP)
        shifts = [np.array([0, np.clip(drop, -0.12, 0.12)])]
    shift = np.tile(np.mean(shifts, axis=0), 2) if shifts else np.zeros(4)
    return Anchors(
        knob=own.knob if own.knob is not None else donor.knob + shift,
        heart=own.heart if own.heart is not None else donor.heart + shift,
        effusions=own.effusions,
        lungs=own.lungs if len(own.lungs) else donor.lungs + shift,
    )
