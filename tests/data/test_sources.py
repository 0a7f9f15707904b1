import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures import annotation_rows, kaggle_folder

from cxrlib.data.annotations import NO_FINDING
from cxrlib.data.rows import AnnotationError
from cxrlib.data.sources.data_set import SourceError
from cxrlib.data.sources.nih import open_nih
from cxrlib.data.sources.vinbigdata import open_vinbigdata
from cxrlib.stages.prepare import rescale

NIH_COPY = Path(__file__).resolve().parents[3] / "shared" / "nih-cxr"
ENTRIES = """Image Index,Finding Labels,Follow-up #,Patient ID
00000001_000.png,Cardiomegaly|Infiltration,0,1
00000001_001.png,No Finding,1,1
00000002_000.png,Effusion,0,2
00000009_000.png,Mass,0,9
"""
BOXES = """Image Index,Finding Label,Bbox [x,y,w,h],,,
00000001_000.png,Cardiomegaly,100,200,300,400,,,
00000001_000.png,Infiltrate,10.5,20,30,40,,,
00000001_000.png,Infiltrate,500,20,30,40,,,
00000002_000.png,Pneumonia,1,2,3,4,,,
00000009_000.png,Mass,1,2,3,4,,,
"""


@pytest.fixture
def nih_folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text(ENTRIES)
    (tmp_path / "BBox_List_2017.csv").write_text(BOXES)
    for name in ("00000001_000", "00000001_001", "00000002_000"):
        (tmp_path / "images" / f"{name}.png").touch()
    return tmp_path


def test_nih_joins_labels_and_boxes(nih_folder):
    source = open_nih(nih_folder)
    nan = float("nan")
    expected = [
        ("00000001_000.png", "Cardiomegaly", "NIH", 100, 200, 400, 600),
        ("00000001_000.png", "Infiltration", "NIH", 10.5, 20, 40.5, 60),
        ("00000001_000.png", "Infiltration", "NIH", 500, 20, 530, 60),
        ("00000001_001.png", "No finding", "NIH", nan, nan, nan, nan),
        ("00000002_000.png", "Pleural effusion", "NIH", nan, nan, nan, nan),
    ]
    assert source.annotations.index.tolist() == [2, 2, 2, 3, 4]
    pd.testing.assert_frame_equal(source.annotations.reset_index(drop=True), annotation_rows(*expected))
    assert source.images["patient_id"].tolist() == ["1", "1", "2"]
    assert [Path(path).name for path in source.images["path"]] == source.images["image_id"].tolist()
    assert not source.rendered
    assert source.classes[-1] == NO_FINDING
    assert source.official_test is None


def test_nih_lists_what_it_leaves_out(nih_folder):
    skipped = open_nih(nih_folder).skipped
    assert skipped["image_id"].tolist() == ["00000002_000.png", "00000009_000.png"]
    assert skipped["row"].tolist() == [5, 5]  # of the list of boxes, and of the list of images
    assert "label that the image does not have" in skipped["reason"][0]
    assert skipped["reason"][1] == "no image file"


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("BBox_List_2017.csv", None, SourceError, r"holds no BBox_List_2017\.csv; expected .*, found Data_Entry"),
        (
            "BBox_List_2017.csv",
            BOXES.splitlines()[0] + "\n",
            AnnotationError,
            r"BBox_List_2017\.csv has a header but no rows",
        ),
        (
            "BBox_List_2017.csv",
            "Image Index,Finding Label\n00000001_000.png,Mass\n",
            AnnotationError,
            r"BBox_List_2017\.csv has 2 columns; expected Image Index, Finding Label and four .*; download it again",
        ),
        (
            "BBox_List_2017.csv",
            "Image Index,Finding Label,x,y,w,h\n00000001_000.png,Mass,1,left,3,4\n",
            AnnotationError,
            r"BBox_List_2017\.csv, row 2, field y_min: 'left' is not a number",
        ),
        (
            "Data_Entry_2017_v2020.csv",
            re.sub("(?m)^([^,\\n]*\\.png),[^,]*", r"\1,3", ENTRIES),
            AnnotationError,
            r"Data_Entry_2017_v2020\.csv, row 2, field class_name: unknown class '3'",
        ),
        (
            "Data_Entry_2017_v2020.csv",
            ENTRIES.replace("Effusion", "Efusion"),
            AnnotationError,
            r"Data_Entry_2017_v2020\.csv, row 4, field class_name: unknown class 'Efusion'",
        ),
    ],
)
def test_nih_refuses_what_is_incomplete_or_unknown(nih_folder, name, content, error, message):
    path = nih_folder / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(error, match=message):
        open_nih(nih_folder)


def test_nih_without_images(nih_folder):
    for path in (nih_folder / "images").iterdir():
        path.unlink()
    with pytest.raises(
        SourceError, match=r"holds no image that Data_Entry_2017_v2020\.csv lists; expected images/\*\.png"
    ):
        open_nih(nih_folder)


@pytest.mark.skipif(not NIH_COPY.is_dir(), reason=f"the copy of ChestX-ray14 is not at {NIH_COPY}")
def test_nih_on_real_radiographs():
    source = open_nih(NIH_COPY)
    entries = pd.read_csv(NIH_COPY / "Data_Entry_2017_v2020.csv")
    counts = source.annotations.groupby("class_name")["image_id"].nunique().to_dict()
    theirs = {"Pleural effusion": {"Effusion"}, "Pulmonary fibrosis": {"Fibrosis"}, "Nodule/Mass": {"Nodule", "Mass"}}
    theirs |= {"Pleural thickening": {"Pleural_Thickening"}, "No finding": {"No Finding"}}
    for name in source.classes:
        wanted = theirs.get(name, {name})
        in_csv = sum(bool(wanted & set(text.split("|"))) for text in entries["Finding Labels"])
        assert counts.get(name, 0) == in_csv, name
    assert len(source.images) == 749
    assert source.skipped.empty

    sizes = pd.DataFrame({"width": 512, "height": 512}, index=source.images["image_id"])
    halved, changed = rescale(source.annotations, sizes, 512, source.box_frame)
    assert changed.empty
    raw = pd.read_csv(NIH_COPY / "BBox_List_2017.csv").iloc[:, :6]
    raw.columns = ["image_id", "class_name", "x", "y", "w", "h"]
    ours = {
        "Infiltrate": "Infiltration",
        "Effusion": "Pleural effusion",
        "Mass": "Nodule/Mass",
        "Nodule": "Nodule/Mass",
    }
    raw["class_name"] = raw["class_name"].replace(ours)
    expected = raw.assign(x_min=raw.x / 2, y_min=raw.y / 2, x_max=(raw.x + raw.w) / 2, y_max=(raw.y + raw.h) / 2)
    keys = ["image_id", "class_name", "x_min", "y_min", "x_max", "y_max"]
    found = halved.dropna(subset="x_min")[keys].sort_values(keys).reset_index(drop=True)
    expected = expected[keys].sort_values(keys).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_vinbigdata_locates_every_image_and_takes_each_for_a_patient(tmp_path):
    rows = annotation_rows(("b", "No finding", "R1"), ("a", "ILD", "R1", 1, 2, 3, 4), ("b", "No finding", "R2"))
    source = open_vinbigdata(kaggle_folder(tmp_path, rows))
    assert source.images["image_id"].tolist() == source.images["patient_id"].tolist() == ["b", "a"]
    assert all(Path(path).is_file() for path in source.images["path"])
    assert source.box_frame is None
    np.testing.assert_array_equal(source.annotations["x_max"], [np.nan, 3, np.nan])


def test_vinbigdata_says_what_a_wrong_folder_holds(tmp_path):
    with pytest.raises(SourceError, match=r"nowhere is neither a folder nor a zip file"):
        open_vinbigdata(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"holds no train\.csv; expected train\.csv and train/.*, found nothing"):
        open_vinbigdata(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.png").touch()
    with pytest.raises(SourceError, match=r"holds no train\.csv; expected .*, found train$"):
        open_vinbigdata(tmp_path)
    annotation_rows(("a", "ILD", "R1")).to_csv(tmp_path / "train.csv", index=False)
    with pytest.raises(
        SourceError, match=r"no DICOM file of the images in train\.csv; .* found train, train\.csv; .*res"
    ):
        open_vinbigdata(tmp_path)
