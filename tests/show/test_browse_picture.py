"""The picture of the heatmap browser, and which studies it chooses: pure functions."""

import matplotlib
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from browsable import CLASSES, INPUT_SIZE, decoded
from fixtures import annotation_rows, small_cohort
from pydicom.pixels import apply_windowing
from sklearn.metrics import confusion_matrix

from cxrlib.evaluate.localisation import boxed_cases, score_maps
from cxrlib.show.browse.browsed import Evidence, evidence_of
from cxrlib.show.browse.overlay import COLOUR_MAPS, Look, bar, captioned, compose, render, rgb, windowed
from cxrlib.show.browse.selection import OUTCOMES, SCORED_SHARE, disagreement, heatmap_iou, select, study_frame
from cxrlib.show.figures.colouring import PREDICTED, TRUE

NOBODY = annotation_rows()[["rad_id", "x_min", "y_min", "x_max", "y_max"]]
PLAIN = Look(heatmap=False, mask=False, predicted=False)


def boxes_by(*rows: tuple) -> pd.DataFrame:
    return annotation_rows(*(("a", "c", *row) for row in rows))[NOBODY.columns]


def marked(picture: np.ndarray, colour: str) -> np.ndarray:
    return (picture == rgb(colour)).all(axis=2)


@pytest.mark.parametrize(("window", "level"), [(255, 128), (80, 60), (1, 200)])
def test_window_and_level_are_dicom_s(window, level):
    ramp = np.arange(256, dtype=np.uint8)[None]
    dataset = pydicom.Dataset()
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = level, window, "LINEAR_EXACT"
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.PixelRepresentation = "MONOCHROME2", 8, 0
    np.testing.assert_allclose(windowed(ramp, window, level), apply_windowing(ramp, dataset), atol=0.51)


@pytest.mark.parametrize("colours", COLOUR_MAPS)
def test_the_strongest_pixel_takes_the_top_of_the_colour_map_and_a_zero_pixel_stays_grey(colours):
    pixels = np.full((8, 8), 100, np.uint8)
    heatmap = np.zeros((8, 8), np.float32)
    heatmap[2, 5] = 0.3
    evidence = Evidence(heatmap, heatmap > 1, np.empty((0, 4)), NOBODY)
    picture = compose(pixels, evidence, Look(opacity=1, colours=colours, contours=False), 8)
    expected = np.array(matplotlib.colormaps[colours](1.0)[:3]) * 255
    np.testing.assert_allclose(picture[2, 5], expected, atol=1)
    assert (np.delete(picture.reshape(64, 3), 2 * 8 + 5, axis=0) == 100).all()


def test_opacity_moves_the_picture_from_grey_to_the_map():
    evidence = evidence_of(torch.rand(3, 3, generator=torch.Generator().manual_seed(0)), NOBODY, 0.1, 32, 32)
    pixels = np.full((32, 32), 128, np.uint8)
    plain, half, full = (
        compose(pixels, evidence, Look(opacity=opacity, mask=False, predicted=False, contours=False), 32).astype(float)
        for opacity in (0, 0.5, 1)
    )
    assert (plain == 128).all()
    np.testing.assert_allclose(half, (plain + full) / 2, atol=1)


def test_the_bar_has_the_colours_of_the_picture_over_black_grey_and_white():
    ramp = np.linspace(0, 1, 300, dtype=np.float32)[None].repeat(300, axis=0)
    look = Look(opacity=0.8, mask=False, predicted=False, contours=False)
    scale = decoded(bar(look)).astype(int)
    for strip, grey in enumerate((0, 128, 255)):
        evidence = Evidence(ramp, ramp > 2, np.empty((0, 4)), NOBODY, raw=ramp[:1, ::20])
        picture = compose(np.full((300, 300), grey, np.uint8), evidence, look, 300).astype(int)
        np.testing.assert_allclose(picture[150], scale[8 * strip + 4], atol=2)


def test_contour_lines_and_cells_can_be_switched():
    raw = torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
    evidence = evidence_of(raw, NOBODY, 0.1, 32, 32)
    grey = np.full((32, 32), 128, np.uint8)
    plain, lines, cells = (
        compose(grey, evidence, Look(mask=False, predicted=False, contours=contours, cells=cells), 64)
        for contours, cells in ((False, False), (True, False), (True, True))
    )
    changed = (plain != lines).any(axis=2)
    assert changed.any() and set(np.unique(lines[changed])) == {0, 255}
    assert (cells[:16, :16] == cells[0, 0]).all() and len(np.unique(cells.reshape(-1, 3), axis=0)) <= 16


def test_the_mask_colours_as_many_pixels_as_its_share_asks_for():
    raw = torch.rand(4, 4, generator=torch.Generator().manual_seed(1))
    evidence = evidence_of(raw, NOBODY, 0.1, 64, 64)
    picture = compose(np.zeros((64, 64), np.uint8), evidence, Look(heatmap=False, predicted=False), 64)
    assert (picture.any(axis=2)).sum() == round(0.1 * 64 * 64)
    assert not compose(np.zeros((64, 64), np.uint8), evidence, PLAIN, 64).any()


def test_boxes_are_outlined_where_they_lie():
    evidence = Evidence(None, np.zeros((4, 4), bool), np.array([[10, 20, 50, 60.0]]), NOBODY)
    rows, columns = marked(compose(np.zeros((64, 64), np.uint8), evidence, Look(), 128), PREDICTED).nonzero()
    # twice the size, and a line of two pixels
    assert np.abs([columns.min() - 20, rows.min() - 40, columns.max() - 99, rows.max() - 119]).max() <= 1
    assert not ((columns > 24) & (columns < 94) & (rows > 44) & (rows < 114)).any()


def test_readers_are_told_apart_by_line_and_switched_off_one_by_one():
    readers = boxes_by(*((f"R{number}", 10, 10, 110, 110) for number in range(4)))
    evidence = Evidence(None, np.zeros((4, 4), bool), np.empty((0, 4)), readers)
    black = np.zeros((128, 128), np.uint8)
    switches = [tuple(number == shown for number in range(4)) for shown in range(4)]
    alone = [marked(compose(black, evidence, Look(readers=only), 128), TRUE) for only in switches]
    assert len({picture.tobytes() for picture in alone}) == 4
    assert alone[0].sum() > alone[1].sum() > alone[2].sum() > 0
    assert not marked(compose(black, evidence, Look(readers=(False,) * 4), 128), TRUE).any()


def test_a_caption_stands_below_the_untouched_picture():
    picture = np.random.default_rng(0).integers(0, 256, (40, 300, 3), np.uint8)
    pages = [decoded(captioned(picture, text)) for text in ("short", "a long caption " * 12)]
    for page in pages:
        np.testing.assert_array_equal(page[:40], picture)
        assert page[40:].min() < 100 and page[40:].max() == 255
    assert len(pages[1]) > len(pages[0])


def test_the_encoded_picture_is_the_composed_one_but_for_the_eye(results):
    evidence, pixels = (
        results.evidence(results.first_view("study00", CLASSES[0], 0.1)),
        results.cohort.images(["study00"])[0],
    )
    error = decoded(render(pixels, evidence)).astype(int) - compose(pixels, evidence, Look())
    assert np.abs(error).mean() < 2


@pytest.fixture
def studies():
    random = np.random.default_rng(0)
    index = pd.Index([f"Study{number}" for number in range(40)], name="image_id")
    frame = study_frame(pd.Series(random.integers(0, 2, 40), index), pd.Series(random.random(40), index))
    return frame.assign(iou=random.random(40), disagreement=random.random(40))


def test_outcomes_are_a_confusion_matrix(studies):
    (tn, fp), (fn, tp) = confusion_matrix(studies["labelled"], studies["predicted"])
    assert [len(select(studies, shown=outcome)) for outcome in OUTCOMES] == [tp, fp, fn, tn]
    assert len(select(studies, shown="labelled")) == tp + fn
    assert len(select(studies, shown="not predicted")) == fn + tn


def test_filters_add_up_and_search_ignores_case(studies):
    studies["iou"], studies["disagreement"] = np.arange(40) / 100, np.arange(40) / 40
    names = studies.index.tolist()
    assert sorted(select(studies, search=" study3 ")) == sorted(["Study3", *names[30:40]])
    assert sorted(select(studies, search="STUDY", only="low IoU")) == sorted(names[:10])
    assert sorted(select(studies, only="readers disagree")) == sorted(names[20:])
    both = select(studies, shown="labelled", only="low IoU")
    assert sorted(both) == sorted(name for name in names[:10] if studies.at[name, "labelled"])
    assert select(studies, search=".") == []


def test_sorting_puts_what_is_unknown_last(studies):
    studies.loc["Study5", "iou"] = np.nan
    for descending in (False, True):
        order = select(studies, order="IoU", descending=descending)
        values = studies.loc[order[:-1], "iou"]
        assert order[-1] == "Study5"
        assert values.is_monotonic_decreasing if descending else values.is_monotonic_increasing
    assert select(studies, order="study", descending=True)[0] == "Study9"
    outcomes = studies.loc[select(studies, order="outcome"), "outcome"].tolist()
    assert outcomes == sorted(outcomes, key=OUTCOMES.index)
    assert select(studies, descending=True) == studies.index[::-1].tolist()


def test_readers_who_boxed_nothing_disagree_with_those_who_did():
    rows = [("a", "c", "R1", 0, 0, 10, 10), ("a", "c", "R2", 0, 0, 10, 5), ("a", "other", "R3")]
    rows += [
        ("b", "c", "R1", 0, 0, 4, 4),
        ("b", "c", "R2", 0, 0, 4, 4),
        ("d", "other", "R1"),
        ("e", "c", "R1", 0, 0, 1, 1),
    ]
    cohort = small_cohort(["c", "other"], annotation_rows(*rows))
    found = disagreement(cohort, "c", pd.Index(list("abde")))
    # a: R1 and R2 overlap by half, both differ from R3; b: the same box; d: nobody; e: one reader alone
    assert found[["a", "b"]].tolist() == pytest.approx([1 - 0.5 / 3, 0])
    assert found[["d", "e"]].isna().all()


def test_the_iou_that_sorts_is_notebook_06_s(results):
    found = heatmap_iou(results, "Cardiomegaly", SCORED_SHARE).dropna()
    cases = boxed_cases(results.cohort, results.probabilities)
    cases = cases[cases["class_name"] == "Cardiomegaly"]
    maps = results.explanations.maps_of(cases)
    expected = score_maps(results.cohort, cases, maps, INPUT_SIZE, [SCORED_SHARE]).set_index("image_id")
    pd.testing.assert_series_equal(found, expected["all_pairs"], check_names=False)
