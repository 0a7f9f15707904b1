"""Planted cues: where they are, what they leave alone, and which studies carry them."""

import cv2
import numpy as np
import pandas as pd
import pytest

from cxrlib.data.annotations import public_annotations_path
from cxrlib.data.render.anchors import find_donors
from cxrlib.data.render.frame import boxes_as_fractions
from cxrlib.data.render.patient import sample_patient
from cxrlib.data.render.shortcuts import GRAIN, KINDS, cue_generator, plant, tied
from cxrlib.data.render.studies import seeds_of

each_kind = pytest.mark.parametrize("kind", KINDS)


def changed(kind: str, number: int, size: int = 256, grey: int = 90) -> np.ndarray:
    plain = np.full((size, size), grey, np.uint8)
    return plant(kind, plain, cue_generator(2023, f"image{number}", kind)) != plain


@pytest.mark.parametrize("size", [64, 128, 512])
@pytest.mark.parametrize("kind", ["marker", "corner"])
def test_a_cue_with_a_place_is_small_whole_and_outside_the_lungs(kind, size):
    for number in range(40):
        rows, columns = changed(kind, number, size).nonzero()
        assert 0 < len(rows) < 0.015 * size**2
        assert min(rows.min(), columns.min()) > 0 and max(rows.max(), columns.max()) < size - 1  # nothing is cut off
        edge = 0.16 * size + 2  # lines are rounded to whole pixels, and their edges are soft
        outside = (columns < edge) | (columns > size - edge)
        assert outside.all() and (rows.max() < 0.28 * size if kind == "marker" else rows.min() > 0.78 * size)


def test_no_cue_lies_in_a_lung():
    fractions = boxes_as_fractions(pd.read_csv(public_annotations_path()))
    studies, donors = list(fractions.groupby("image_id"))[::200], find_donors(fractions)
    assert len(studies) > 10
    for number, (_, boxes) in enumerate(studies):
        lung = sample_patient(boxes, number, donors).chest.lung.astype(np.float32)
        lung = cv2.resize(lung, (256, 256), interpolation=cv2.INTER_AREA) > 0.5
        assert lung.mean() > 0.1 and not any((changed(kind, number) & lung).any() for kind in ("marker", "corner"))


def test_cues_stand_on_both_sides():
    for kind in ("marker", "corner"):
        sides = [changed(kind, number).nonzero()[1].mean() < 128 for number in range(40)]
        assert 10 < sum(sides) < 30


def test_grain_covers_the_picture_and_keeps_its_mean():
    plain = np.full((256, 256), 90, np.uint8)
    grain = plant("noise", plain, cue_generator(0, "a", "noise")).astype(float) - 90
    assert abs(grain.mean()) < 0.5 and abs(grain.std() - GRAIN) < 0.2
    assert min(abs(block).max() for rows in np.split(grain, 8) for block in np.split(rows, 8, axis=1)) > 1
    assert np.corrcoef(grain[:, 1:].ravel(), grain[:, :-1].ravel())[0, 1] > 0.5  # coarser than a pixel


@each_kind
def test_a_picture_stays_a_picture_and_the_stored_one_stays_as_it_is(kind):
    plain = np.random.default_rng(0).integers(0, 256, (128, 128), np.uint8)
    before = plain.copy()
    planted = plant(kind, plain, cue_generator(0, "a", kind))
    assert planted.dtype == np.uint8 and planted.shape == plain.shape and np.array_equal(plain, before)
    assert (planted != plain).any()


@each_kind
def test_a_cue_is_its_study_s_own(kind):
    assert np.array_equal(changed(kind, 1), changed(kind, 1)) and not np.array_equal(changed(kind, 1), changed(kind, 2))
    own = cue_generator(2023, "image1", kind).random()
    others = [np.random.default_rng(seed).random() for seed in seeds_of(2023, "image1")]
    others += [cue_generator(2023, "image1", other).random() for other in KINDS if other != kind]
    assert own not in others


@pytest.mark.parametrize(("strength", "with_label", "without"), [(0.0, 20, 30), (0.5, 30, 15), (1.0, 40, 0)])
def test_strength_is_the_difference_of_the_two_shares(strength, with_label, without):
    has_label = np.random.default_rng(1).permutation(np.arange(100) < 40)
    carries = tied(has_label, strength, np.random.default_rng(2))
    assert (carries[has_label].sum(), carries[~has_label].sum()) == (with_label, without)


def test_a_stronger_tie_moves_few_cues():
    has_label = np.arange(100) < 40
    weak, strong = (tied(has_label, strength, np.random.default_rng(2)) for strength in (0.0, 0.5))
    assert (weak & ~strong)[has_label].sum() == 0 == (strong & ~weak)[~has_label].sum()


def test_without_studies_nothing_carries_a_cue():
    assert tied(np.zeros(0, bool), 1.0, np.random.default_rng(0)).tolist() == []
