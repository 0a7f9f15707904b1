"""Planted cues: what a network may learn in place of a finding, put into a finished square picture.

A cue is drawn on the cohort's stored pictures, so that the same picture without it is the stored one.
"""

from collections.abc import Callable

import cv2
import numpy as np

from cxrlib.data.render.drawing import blurred
from cxrlib.data.render.studies import study_seed

KEY = 2
"""Child of a study's seed that draws its cue; 0 and 1 draw the radiograph and its file."""


GRAIN = 8.0
"""Standard deviation of the planted grain in grey levels of 255."""


GRAIN_WIDTH = 1 / 100
"""Sigma of its blur as a fraction of the picture's side: a network's smaller input keeps such a grain."""


def plant(kind: str, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture with a cue.

    "marker" is the letter P beneath the place of the side letter, in an upper corner. "corner" is a metal clip in a
    lower corner, outside the lungs. "noise" is a coarser grain over the whole picture. Letter and clip are about a
    tenth of the picture's side: networks that learn 64 pixels for a few epochs do not learn smaller ones.

    Args:
        kind: one of KINDS.
        picture: uint8 (size, size), a radiograph.
        rng: draws the side, the place and the brightness.

    Returns:
        uint8 (size, size). The cue is where the two pictures differ.

    >>> plain = np.full((200, 200), 90, np.uint8)
    >>> planted = plant("corner", plain, np.random.default_rng(0))
    >>> changed = (planted != plain).nonzero()
    >>> 0 < len(changed[0]) < 400, bool(changed[0].min() > 150)
    (True, True)
    """
    return PLANTERS[kind](picture, rng)


def cue_generator(seed: int, image_id: str, kind: str) -> np.random.Generator:
    """The generator of a study's cue; the study's radiograph does not depend on it."""
    own = np.random.SeedSequence(study_seed(seed, image_id).entropy, spawn_key=(KEY, KINDS.index(kind)))
    return np.random.default_rng(own)


def tied(has_label: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Which studies carry a cue that is tied to a label so strongly.

        share of the studies with the label = (1 + strength) / 2, of those without it = (1 - strength) / 2

    The strength is the difference of the two shares. 0 is the control: half of both carry the cue. The same `rng`
    gives every strength the same order of the studies.

    Args:
        has_label: bool (n,).
        strength: 0..1.
        rng: chooses the studies.

    Returns:
        bool (n,).

    >>> has_label = np.array([True, True, False, False])
    >>> tied(has_label, 1.0, np.random.default_rng(0)).tolist()
    [True, True, False, False]
    >>> carries = tied(has_label, 0.0, np.random.default_rng(0))
    >>> int(carries[:2].sum()), int(carries[2:].sum())
    (1, 1)
    """
    has_label = np.asarray(has_label, bool)
    order, carries = rng.permutation(len(has_label)), np.zeros(len(has_label), bool)
    for value, share in ((True, (1 + strength) / 2), (False, (1 - strength) / 2)):
        of_value = order[has_label[order] == value]
        carries[of_value[: round(share * len(of_value))]] = True
    return carries


def _marker(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = len(picture)
    left = 0.04 if rng.random() < 0.5 else 0.85
    x, y = left + rng.uniform(-0.01, 0.01), rng.uniform(0.22, 0.24)
    scale, thickness = rng.uniform(0.9, 1.1) * size / 220, max(1, round(size / 90))
    drawn = np.zeros_like(picture)
    origin = (round(x * size), round(y * size))
    cv2.putText(drawn, "P", origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
    return _laid_over(picture, drawn, rng.uniform(225, 250))


def _corner(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two legs of a clip, which hang from its tip."""
    size = len(picture)
    left = 0.085 if rng.random() < 0.5 else 0.91
    tip = np.array([left + rng.uniform(-0.01, 0.01), rng.uniform(0.84, 0.86)])
    length = rng.uniform(0.09, 0.1)
    angle = np.pi / 2 + rng.uniform(-0.2, 0.2)
    drawn = np.zeros_like(picture)
    start = tuple(np.rint(tip * size).astype(int).tolist())
    for turn in (-0.2, 0.2):
        leg = tip + length * np.array([np.cos(angle + turn), np.sin(angle + turn)])
        end = tuple(np.rint(leg * size).astype(int).tolist())
        cv2.line(drawn, start, end, 255, max(1, round(size / 45)), cv2.LINE_AA)
    return _laid_over(picture, drawn, rng.uniform(235, 255))


def _noise(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = blurred(rng.standard_normal(picture.shape, dtype=np.float32), GRAIN_WIDTH * len(picture))
    grain *= np.float32(GRAIN) / grain.std()
    return np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8)


def _laid_over(picture: np.ndarray, drawn: np.ndarray, grey: float) -> np.ndarray:
    """The picture with `grey` where `drawn` is 255, and in part where it is less."""
    share = drawn.astype(np.float32) / 255
    return np.rint(picture + share * (np.float32(grey) - picture)).astype(np.uint8)


PLANTERS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "marker": _marker,
    "corner": _corner,
    "noise": _noise,
}


KINDS = tuple(PLANTERS)


WITHOUT_PLACE = ("noise",)
"""Kinds that cover the whole picture: no map can show them by a place."""
