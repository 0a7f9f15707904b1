from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures import annotation_rows, small_cohort
from peaks import peak_of

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.checks import (
    GRID,
    box_density,
    check_images,
    labels_together,
    near_duplicates,
    reader_habits,
    split_balance,
    thumbnails,
)
from cxrlib.show.figures.data_figures import density_grid, habits_grid, together_grid

RANDOM = np.random.default_rng(0)
LABELS = pd.DataFrame({"A": [1, 1, 1, 1, 0], "B": [1, 0, 0, 0, 1], "C": [0, 0, 0, 0, 0]})


def test_labels_together_by_hand():
    shares = labels_together(LABELS)
    assert shares.loc["A", ["A", "B", "C"]].tolist() == [1, 0.25, 0]
    assert shares.loc["B", "A"] == 0.5
    assert shares.loc["C"].isna().all()
    assert len(together_grid(shares).axes[0].get_yticklabels()) == 3


def test_habits_count_studies_not_boxes():
    rows = annotation_rows(
        ("a", "ILD", "R2", 0, 0, 1, 1),
        ("a", "ILD", "R2", 5, 5, 9, 9),
        ("b", "No finding", "R2"),
        ("a", "No finding", "R1"),
    )
    habits = reader_habits(rows)
    assert habits.index.tolist() == ["R2", "R1"]
    assert habits.loc["R2"].to_dict() == {"studies": 2, "ILD": 0.5, "No finding": 0.5}
    assert habits.loc["R1"].to_dict() == {"studies": 1, "ILD": 0, "No finding": 1}
    assert habits_grid(habits).axes[0].get_yticklabels()[0].get_text() == "R2 (2 studies)"


def test_density_equals_painting_every_box():
    corners = np.sort(RANDOM.random((30, 2, 2)), axis=1).reshape(30, 4)  # x_min, y_min, x_max, y_max
    boxes = pd.DataFrame(corners, columns=BOX_COLUMNS).assign(class_name=["A", "B"] * 15)
    maps = box_density(boxes)
    for name, rows in boxes.groupby("class_name"):
        painted = np.zeros((GRID, GRID))
        for left, top, right, bottom in np.round(rows[BOX_COLUMNS].to_numpy() * GRID).astype(int):
            painted[top:bottom, left:right] += 1
        np.testing.assert_allclose(maps[name], painted / len(rows))
    assert density_grid(maps, boxes).axes[1].get_title().startswith("B\n15 boxes,")


@pytest.fixture
def cohort():
    """Twelve unlike images; the tenth repeats the second a little brighter; one patient is in two splits."""
    pixels = np.kron(RANDOM.integers(0, 200, (12, 8, 8)), np.ones((8, 8))).astype(np.uint8)
    pixels[9] = pixels[1] // 2 + 60
    ids = [f"s{i}" for i in range(12)]
    splits = ["train"] * 8 + ["valid"] * 2 + ["test", "unreadable"]
    studies = pd.DataFrame({"split": splits, "patient_id": ids, "width": 100, "height": 120}, ids)
    studies.loc["s8", "patient_id"] = "s0"
    studies.loc["s3", "width"] = 90
    labels = pd.DataFrame({"A": [1, 0] * 6, "No finding": [0, 1] * 6}, ids).astype("uint8")
    return small_cohort(["A", "No finding"], annotation_rows(("s0", "A", "R")), labels, studies, pixels)


def test_near_duplicates_are_found_whatever_their_brightness(cohort):
    assert near_duplicates(thumbnails(cohort.pixels)) == [(1, 9)]


def test_blocks_do_not_change_the_pairs(cohort, monkeypatch):
    monkeypatch.setattr("cxrlib.data.checks.BLOCK", 5)
    assert near_duplicates(thumbnails(cohort.pixels)) == [(1, 9)]


def test_memory_does_not_grow_with_the_images(monkeypatch, tmp_path):
    """Of an image 64 numbers are kept, not its 1,024; and most of the stored file, 49 MB of zeros, is never mapped."""
    monkeypatch.setattr("cxrlib.data.checks.BLOCK", 20)
    small = RANDOM.integers(0, 256, (400, 32, 32)).astype(np.uint8)
    few, many = (peak_of(near_duplicates, some) for some in (small[:100], small))
    assert (many - few) / 300 < 500
    path = tmp_path / "pixels.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (3000, 128, 128))
    cohort = small_cohort(["A"], pixels=np.load(path, mmap_mode="r"))
    blocks = [*cohort.blocks(100)]
    assert len({id(block.base) for block in blocks}) == len(blocks) > 1  # each has a map of its own, and goes with it
    np.testing.assert_array_equal(np.concatenate(blocks), cohort.pixels)


def test_the_checks_name_what_is_wrong(cohort):
    checks = check_images(cohort)["value"]
    assert checks["patients in more than one split"] == "1 of 10"
    assert checks["near-duplicates in different splits"] == "1 pairs"
    assert checks["width in pixels, least to greatest"] == "90 to 100"
    clean = replace(cohort, studies=cohort.studies.assign(patient_id=cohort.studies.index))
    assert check_images(clean)["value"]["patients in more than one split"] == "0 of 11"


def test_balance_by_hand(cohort):
    assert split_balance(cohort).loc["A"].to_dict() == {"train": 0.5, "valid": 0.5, "test": 1.0}
