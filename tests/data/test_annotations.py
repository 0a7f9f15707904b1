import numpy as np
import pandas as pd
import pytest
from fixtures import SEVEN, annotation_rows

from cxrlib.data.annotations import (
    BOX_COLUMNS,
    VINBIGDATA_CLASSES,
    box_centres,
    clip_boxes,
    public_annotations_path,
    read_annotations,
    reader_counts,
    unanimous_shares,
    union_labels,
)
from cxrlib.data.rows import AnnotationError

GOOD = ("a", "Cardiomegaly", "R1", 10, 20, 30, 40)
IMAGES_PER_CLASS = {  # counted on the public train.csv, independently of this code
    "Aortic enlargement": 3067,
    "Cardiomegaly": 2300,
    "Pleural thickening": 1981,
    "Pulmonary fibrosis": 1617,
    "Lung Opacity": 1322,
    "Other lesion": 1134,
    "Pleural effusion": 1032,
    "Nodule/Mass": 826,
    "Infiltration": 613,
    "Calcification": 452,
    "ILD": 386,
    "Consolidation": 353,
    "Atelectasis": 186,
    "Pneumothorax": 96,
    "No finding": 10606,
}


@pytest.fixture
def write(tmp_path):
    """Write rows (or text) to a CSV and return its path."""

    def _write(*rows, text=None):
        path = tmp_path / "train.csv"
        path.write_text(annotation_rows(*rows).to_csv(index=False) if text is None else text)
        return path

    return _write


@pytest.fixture(scope="module")
def public():
    return read_annotations(public_annotations_path())


def test_public_annotations_have_the_known_counts(public):
    annotations, skipped = public
    assert len(annotations) == 67_914
    assert skipped.empty
    assert annotations["image_id"].nunique() == 15_000
    assert annotations["rad_id"].nunique() == 17
    assert annotations.groupby("image_id")["rad_id"].nunique().eq(3).all()
    assert annotations[BOX_COLUMNS].dtypes.eq("float64").all()
    labels = union_labels(annotations, VINBIGDATA_CLASSES)
    assert labels.sum().to_dict() == IMAGES_PER_CLASS
    assert labels[SEVEN].any(axis=1).sum() == 14_925


def test_classes_stand_at_their_class_id():
    raw = pd.read_csv(public_annotations_path(), usecols=["class_name", "class_id"]).drop_duplicates()
    assert raw.sort_values("class_id")["class_name"].tolist() == VINBIGDATA_CLASSES


def test_union_labels_equal_a_plain_loop_over_the_readers(public):
    annotations = public[0].iloc[:3000]
    labels = union_labels(annotations, SEVEN)
    expected: dict[str, set] = {}
    for image_id, class_name in zip(annotations["image_id"], annotations["class_name"], strict=True):
        expected.setdefault(image_id, set()).add(class_name)
    assert labels.index.tolist() == list(expected)
    assert labels.columns.tolist() == SEVEN
    assert labels.dtypes.eq("uint8").all()
    for image_id, row in labels.iterrows():
        assert {name for name in SEVEN if row[name]} == expected[image_id] & set(SEVEN)


def test_one_reader_of_three_is_enough_for_a_label():
    annotations = annotation_rows(
        ("a", "Cardiomegaly", "R1", 1, 1, 2, 2),
        ("a", "Cardiomegaly", "R1", 3, 3, 4, 4),
        ("a", "No finding", "R2"),
        ("b", "No finding", "R1"),
        ("b", "No finding", "R2"),
    )
    labels = union_labels(annotations, ["Cardiomegaly", "ILD", "No finding"])
    assert labels.to_numpy().tolist() == [[1, 0, 1], [0, 0, 1]]
    assert reader_counts(annotations).to_dict("index") == {
        "a": {"Cardiomegaly": 1, "No finding": 1},
        "b": {"Cardiomegaly": 0, "No finding": 2},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"train\.csv is empty; expected a CSV with the columns image_id, class_name"),
        ("image_id,class_name,rad_id,x_min,y_min,x_max,y_max\n", r"train\.csv has a header but no rows"),
        (
            "image_id,class_name,x_min,y_min,x_max\na,ILD,1,2,3\n",
            r"lacks the column\(s\) rad_id, y_max; it has image_id",
        ),
    ],
)
def test_unusable_files_are_refused(write, text, message):
    with pytest.raises(AnnotationError, match=message):
        read_annotations(write(text=text))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            ("b", "Cardiomegali", "R1"),
            r"row 3, field class_name: unknown class 'Cardiomegali'; did you mean 'Cardiomegaly'\? known are Aor",
        ),
        (("b", "ILD", "R1", 1, 2, "wide", 4), r"row 3, field x_max: 'wide' is not a number"),
        ((None, "ILD", "R1"), r"row 3, field image_id: is empty; fill it in or drop the row"),
    ],
)
def test_errors_name_file_row_and_field(write, row, message):
    with pytest.raises(AnnotationError, match=r"train\.csv, " + message):
        read_annotations(write(GOOD, row))


def test_impossible_boxes_and_duplicates_are_listed_with_their_line(write):
    annotations, skipped = read_annotations(
        write(
            GOOD,  # line 2
            GOOD,  # duplicated
            ("a", "ILD", "R1", 30, 20, 10, 40),  # inverted
            ("b", "ILD", "R2", 10, 20, 10, 40),  # no width
            ("b", "ILD", "R3", 10, np.nan, 30, 40),  # incomplete
            ("c", "No finding", "R1"),
        )
    )
    assert skipped["row"].tolist() == [3, 4, 5, 6]
    assert skipped["image_id"].tolist() == ["a", "a", "b", "b"]
    assert skipped["reason"].str.split(" ").str[0].tolist() == ["duplicated", "inverted", "inverted", "incomplete"]
    # labels survive, boxes do not
    assert annotations["class_name"].tolist() == ["Cardiomegaly", "ILD", "ILD", "ILD", "No finding"]
    assert annotations[BOX_COLUMNS].notna().all(axis=1).tolist() == [True, False, False, False, False]
    assert annotations.index.tolist() == [2, 4, 5, 6, 7]


def test_ids_that_look_like_numbers_stay_text(write):
    annotations, _ = read_annotations(write(("0012", "ILD", "07"), ("0003", "ILD", "08")))
    assert annotations["image_id"].tolist() == ["0012", "0003"]
    assert annotations["rad_id"].tolist() == ["07", "08"]


def test_boxes_are_clipped_to_their_image_and_every_change_is_listed():
    annotations = annotation_rows(
        ("a", "ILD", "R1", 10, 20, 30, 40),
        ("a", "ILD", "R1", -5, 20, 130, 40),
        ("a", "ILD", "R1", 100, 20, 120, 40),
        ("b", "ILD", "R1", 10, 70, 30, 90),
        ("b", "No finding", "R1"),
    ).set_axis([2, 3, 7, 8, 9])
    sizes = pd.DataFrame({"width": [100, 200], "height": [50, 80]}, index=["a", "b"])
    clipped, changed = clip_boxes(annotations, sizes["width"], sizes["height"])
    expected = [[10, 20, 30, 40], [0, 20, 100, 40], [np.nan] * 4, [10, 70, 30, 80], [np.nan] * 4]
    np.testing.assert_array_equal(clipped[BOX_COLUMNS], expected)
    assert clipped["class_name"].tolist() == annotations["class_name"].tolist()
    assert changed["row"].tolist() == [3, 7, 8]
    assert changed["reason"].str.contains("clipped").tolist() == [True, False, True]
    assert "label kept without it" in changed["reason"][1]


def test_shares_of_images_on_which_all_three_readers_agree():
    counts = pd.DataFrame({"A": [3, 3, 1, 0], "B": [0, 0, 2, 1], "C": [3, 0, 0, 0]})
    shares = unanimous_shares(counts, ["B", "nobody's", "A"])
    assert shares.index.tolist() == ["B", "A"]
    assert shares.tolist() == pytest.approx([0, 2 / 3])


def test_centres_of_boxes_by_hand():
    assert box_centres(np.array([[2.0, 3.0, 8.0, 7.0], [0, 0, 1, 5]])).tolist() == [[5, 5], [0.5, 2.5]]
    assert box_centres(np.array([2.0, 3.0, 8.0, 7.0])).tolist() == [5, 5]
