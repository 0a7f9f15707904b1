"""Twins: the same patient without one finding, and the cause: the pixels in which the two differ."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cxrlib.data.render.anchors import Anchors
from cxrlib.data.render.patient import sample_patient

GREY_LEVELS = 255
"""A difference counts from more than one of so many grey levels."""


@dataclass(frozen=True)
class Twins:
    """A study's radiograph, and the same patient's without each of the findings.

    Attributes:
        pixels: uint16 (rows, cols), 0..65535, with all findings, as `render_radiograph` gives it.
        without: finding -> uint16 (rows, cols), the same without this finding and with all others.
    """

    pixels: np.ndarray
    without: dict[str, np.ndarray]


def render_twins(boxes: pd.DataFrame, seed: int | np.random.SeedSequence, donors: list[Anchors] | None = None) -> Twins:
    """Render the radiograph of one study and its twins: for each finding the same patient without it.

    Anatomy, vessels, noise, exposure, side marker and all other findings are the same. In place of an enlarged heart or
    aorta the twin has the organ in health, in the shape of the donor's. Outside of what the finding's change covers the
    pixels are equal.

    Args:
        boxes, seed, donors: as in `render_radiograph`.

    >>> row = ("Nodule/Mass", "R1", 0.25, 0.40, 0.31, 0.46)
    >>> boxes = pd.DataFrame([row], columns=["class_name", "rad_id", "x_min", "y_min", "x_max", "y_max"])
    >>> twins = render_twins(boxes, seed=0)
    >>> strength, mask = cause_of(twins.pixels, twins.without["Nodule/Mass"])
    >>> bool(0.001 < mask.mean() < 0.06 * 0.06)  # no more than its box
    True
    """
    patient = sample_patient(boxes, seed, donors)
    pixels, without = patient.pixels(), {}
    for finding in patient.findings:
        window = patient.support(finding)
        without[finding] = pixels.copy()
        without[finding][window] = patient.having(patient.shown - {finding}).pixels(window)
    return Twins(pixels, without)


def cause_of(pixels: np.ndarray, twin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where and how much a radiograph differs from its twin.

    Args:
        pixels, twin: grey values of the same shape, uint8 (0..255) or uint16 (0..65535).

    Returns:
        The absolute difference as a share of white, float32 0..1; and which pixels differ by more than 1 of 255 grey
        levels, bool.

    >>> strength, mask = cause_of(np.array([100, 101, 255], np.uint8), np.array([100, 100, 0], np.uint8))
    >>> strength
    array([0.        , 0.00392157, 1.        ], dtype=float32)
    >>> mask
    array([False, False,  True])
    """
    white = np.iinfo(pixels.dtype).max
    difference = np.abs(pixels.astype(np.int32) - twin)
    return (difference / white).astype(np.float32), difference * GREY_LEVELS > white
