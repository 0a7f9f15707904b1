"""Data sets as people have them: other names, other folders, other suffixes, links, and tables of their own."""

import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from fixtures import annotation_rows, kaggle_folder, pictures, write_dicom, zipped

from cxrlib.data.images import read_grey
from cxrlib.data.rows import AnnotationError
from cxrlib.data.sources.data_set import SourceError
from cxrlib.data.sources.registry import OPENERS

ROWS = annotation_rows(("a", "Cardiomegaly", "R1", 2, 1, 12, 11), ("b", "No finding", "R1"), ("c", "ILD", "R3"))
PUBLIC = "9a5094b2563a1ef3ff50dc5c7ff71345"
"""An image of the public annotations: Cardiomegaly, among others."""
PIXELS = np.arange(3200, dtype=np.uint16).reshape(40, 80)


def ours(root):
    """A folder with labels.csv and images/a.png to images/c.png."""
    pictures(root / "images", "abc")
    ROWS.to_csv(root / "labels.csv", index=False)
    return root


def plain(root, _):
    return ours(root)


def linked_images(root, outside):
    ours(outside)
    root.mkdir()
    shutil.copy(outside / "labels.csv", root / "labels.csv")
    (root / "images").symlink_to(outside / "images")
    return root


def linked_twice(root, outside):
    ours(root)
    (root / "all").symlink_to(root / "images")
    (root / "images" / "up").symlink_to(root)
    (root / "copies").mkdir()
    (root / "copies" / "a.png").symlink_to(root / "images" / "a.png")
    return root


def linked_root(root, outside):
    ours(outside)
    root.symlink_to(outside)
    return root


def top_in_top(root, _):
    ours(root / "download" / "ours")
    return root


def zip_with_top(root, outside):
    archive = zipped(ours(outside), root.with_suffix(".download"), "ours/")
    with zipfile.ZipFile(archive, "a") as more:
        more.writestr("__MACOSX/ours/._labels.csv", "x")
        more.writestr("__MACOSX/ours/images/._a.png", "x")
        more.writestr("ours/.DS_Store", "x")
    return archive


def upper_case(root, _):
    pictures(root / "IMAGES", "abc", suffix=".PNG")
    ROWS.to_csv(root / "LABELS.CSV", index=False)
    return root


def nested_table(root, _):
    ours(root)
    (root / "annotations").mkdir()
    (root / "labels.csv").rename(root / "annotations" / "labels.csv")
    pd.DataFrame({"patient": [1], "age": [2]}).to_csv(root / "ages.csv", index=False)
    return root


def copied_table(root, _):
    ours(root)
    shutil.copy(root / "labels.csv", root / "labels (1).csv")
    return root


def dicom_without_suffix(root, _):
    ours(root)
    for name in "abc":
        (root / "images" / f"{name}.png").unlink()
        write_dicom(root / "images" / name, PIXELS)
    return root


FORMS = [plain, linked_images, linked_twice, linked_root, top_in_top, zip_with_top, upper_case, nested_table]


@pytest.mark.parametrize("form", [*FORMS, copied_table, dicom_without_suffix], ids=lambda form: form.__name__)
def test_a_folder_in_any_form_is_the_same_data_set(tmp_path, form):
    source = OPENERS["folder"](form(tmp_path / "root", tmp_path / "outside"))
    assert source.images["image_id"].tolist() == ["a", "b", "c"]
    assert source.annotations["class_name"].tolist() == ["Cardiomegaly", "No finding", "ILD"]
    assert source.skipped.empty
    assert all(read_grey(path).shape in ((20, 20), (40, 80)) for path in source.images["path"])


def test_several_tables_that_could_be_meant_are_refused(tmp_path):
    ours(tmp_path)
    ROWS.replace("ILD", "Atelectasis").to_csv(tmp_path / "images" / "corrected.csv", index=False)
    with pytest.raises(SourceError, match=r"several tables that could be meant: images/corrected\.csv, labels\.csv;"):
        OPENERS["folder"](tmp_path)


def test_several_tables_none_of_which_has_the_columns(tmp_path):
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text("file,finding\na,b\n")
    with pytest.raises(SourceError, match=r"must hold one CSV file with the columns .*; found one\.csv, two\.csv"):
        OPENERS["folder"](tmp_path)


def test_a_table_that_cannot_be_read_is_named_unless_another_fits(tmp_path):
    pictures(tmp_path, [PUBLIC])
    (tmp_path / "labels.csv").write_bytes("image_id,class_name,rad_id\nx,Ödem,R1\n".encode("cp1252"))
    (tmp_path / "ages.csv").write_text("patient,age\n1,2\n")
    for source in ("folder", "vinbigdata-resized"):
        with pytest.raises(AnnotationError, match=r"labels\.csv is not UTF-8 text"):
            OPENERS[source](tmp_path)
    annotation_rows((PUBLIC, "ILD", "R1", 1, 2, 10, 20)).to_csv(tmp_path / "own.csv", index=False)
    for source in ("folder", "vinbigdata-resized"):
        assert OPENERS[source](tmp_path).annotations["class_name"].tolist() == ["ILD"]


# vinbigdata


@pytest.mark.parametrize("suffix", [".dicom", ".dcm", ".DCM", ""])
@pytest.mark.parametrize("top", ["", "vinbigdata/", "archive/vinbigdata/"])
def test_vinbigdata_with_any_suffix_at_any_depth(tmp_path, suffix, top):
    root = tmp_path / "set"
    kaggle_folder(root / top, ROWS)
    for file in list(root.rglob("*.dicom")):
        file.rename(file.with_suffix(suffix))
    write_dicom(root / top / "test" / f"another{suffix}", PIXELS)
    (root / top / "sample_submission.csv").write_text("image_id,PredictionString\nanother,14 1 0 0 1 1\n")
    for path in (root, zipped(root, tmp_path / "download")):
        source = OPENERS["vinbigdata"](path)
        assert source.images["path"].tolist() == [f"{path}/{top}train/{name}{suffix}" for name in "abc"]
        assert all(read_grey(file).shape == (40, 80) for file in source.images["path"])


def test_a_part_of_vinbigdata_lists_what_is_missing(tmp_path):
    root = kaggle_folder(tmp_path, ROWS)
    (root / "train" / "b.dicom").unlink()
    source = OPENERS["vinbigdata"](root)
    assert source.images["image_id"].tolist() == ["a", "c"]
    assert source.annotations["image_id"].tolist() == ["a", "c"]
    assert source.skipped.to_numpy().tolist() == [["b", 3, "no image file"]]


def test_pictures_beside_dicom_files_belong_to_the_other_source(tmp_path):
    root = kaggle_folder(tmp_path, ROWS)
    pictures(root / "png", "abc", side=80)
    assert all(path.endswith(".dicom") for path in OPENERS["vinbigdata"](root).images["path"])
    assert all(path.endswith(".png") for path in OPENERS["vinbigdata-resized"](root).images["path"])


# vinbigdata-resized


def test_the_own_table_counts_wherever_it_lies_and_the_public_one_is_named(tmp_path):
    pictures(tmp_path / "vinbigdata" / "train", [PUBLIC])
    meta = pd.DataFrame({"image_id": [PUBLIC], "dim0": [2836], "dim1": [2336]})
    meta.to_csv(tmp_path / "train_meta.csv", index=False)
    meta.to_csv(tmp_path / "test_meta.csv", index=False)
    (tmp_path / "sample_submission.csv").write_text(f"image_id,PredictionString\n{PUBLIC},14 1 0 0 1 1\n")
    public = OPENERS["vinbigdata-resized"](tmp_path)
    assert "Cardiomegaly" in set(public.annotations["class_name"])
    assert public.description.endswith("from the public annotations, since no table here has any")
    own = annotation_rows((PUBLIC, "Atelectasis", "R1", 100, 200, 1000, 1100))
    for name in ("vinbigdata/train.csv", "labels/own.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        own.to_csv(path, index=False)
        source = OPENERS["vinbigdata-resized"](tmp_path)
        assert source.annotations["class_name"].tolist() == ["Atelectasis"]
        assert source.description == "VinBigData chest radiographs, resized copies"
        assert source.box_frame.loc[PUBLIC].tolist() == [2336, 2836]
        path.unlink()
    own.drop(columns="rad_id").to_csv(tmp_path / "own.csv", index=False)  # no reason to ignore it
    with pytest.raises(AnnotationError, match=r"own\.csv lacks the column\(s\) rad_id"):
        OPENERS["vinbigdata-resized"](tmp_path)


def test_kaggles_resized_copy_with_width_and_height_in_its_table(tmp_path):
    pictures(tmp_path / "vinbigdata" / "train", "abc")
    ROWS.assign(width=80, height=40).to_csv(tmp_path / "vinbigdata" / "train.csv", index=False)
    (tmp_path / "vinbigdata" / "test.csv").write_text("image_id,width,height\nx,1,2\n")
    source = OPENERS["vinbigdata-resized"](tmp_path)
    assert source.box_frame.loc["a"].tolist() == [80, 40]
    assert source.skipped.empty


def test_a_damaged_picture_does_not_stop_the_others(tmp_path):
    pictures(tmp_path, "abc", side=80)
    (tmp_path / "a.png").write_bytes(b"broken")
    ROWS.to_csv(tmp_path / "train.csv", index=False)
    assert len(OPENERS["vinbigdata-resized"](tmp_path).images) == 3


# vindr-cxr


@pytest.mark.parametrize("top", ["", "vindr-cxr-1.0.0/", "physionet.org/files/vindr-cxr/1.0.0/"])
@pytest.mark.parametrize("suffix", [".dicom", ".dcm", ""])
def test_vindr_below_any_folder_with_any_suffix(tmp_path, top, suffix):
    root = tmp_path / top
    (root / "annotations").mkdir(parents=True)
    (tmp_path / "robots.txt").touch()
    for part, names in {"train": "ab", "test": "c"}.items():
        rows = ROWS[ROWS["image_id"].isin(list(names))]
        rows = rows if part == "train" else rows.drop(columns="rad_id")
        rows.to_csv(root / "annotations" / f"annotations_{part}.csv", index=False)
        labels = pd.DataFrame(
            {"image_id": list(names), "rad_ID": "R1", "ILD": 0, "No finding": [int(n == "b") for n in names]}
        )
        labels = labels if part == "train" else labels.drop(columns="rad_ID")
        labels.to_csv(root / "annotations" / f"image_labels_{part}.csv", index=False)
        for name in names:
            write_dicom(root / part / f"{name}{suffix}", PIXELS)
    source = OPENERS["vindr-cxr"](tmp_path)
    assert source.images["image_id"].tolist() == ["a", "b", "c"]
    assert source.official_test == {"c"}
    assert source.annotations["rad_id"].tolist() == ["R1", "R1", "consensus"]
    (root / "train" / f"a{suffix}").unlink()
    assert OPENERS["vindr-cxr"](tmp_path).skipped.to_numpy().tolist() == [["a", 2, "no image file"]]


# nih

ENTRIES = "Image Index,Finding Labels,Follow-up #,Patient ID\n" + "".join(
    f"0000000{patient}_000.png,{labels},0,{patient}\n"
    for patient, labels in enumerate(["Effusion|Mass", "No Finding", "Cardiomegaly"], start=1)
)
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Mass,100,200,300,400,,,\n"
NIH = [f"0000000{patient}_000" for patient in (1, 2, 3)]


@pytest.mark.parametrize("entries", ["Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv", "data_entry_2017 (1).csv"])
@pytest.mark.parametrize("boxes", ["BBox_List_2017.csv", "BBox_List_2017_Official_NIH.csv"])
@pytest.mark.parametrize("images", ["images_001/images", "images", "", "images-224/images-224"])
@pytest.mark.parametrize("top", ["", "CXR8/"])
def test_nih_in_its_editions(tmp_path, entries, boxes, images, top):
    root = tmp_path / "set" / top
    pictures(root / images, NIH)
    (root / entries).write_text(ENTRIES)
    (root / boxes).write_text(BOXES)
    (root / "README_CHESTXRAY.pdf").touch()
    for path in (tmp_path / "set", zipped(tmp_path / "set", tmp_path / "archive.zip")):
        source = OPENERS["nih"](path)
        assert source.images["image_id"].tolist() == [f"{name}.png" for name in NIH]
        assert source.annotations["x_max"].dropna().tolist() == [400]
        assert source.official_test is None and source.skipped.empty


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("test_list.txt", "00000001_000.png\n00000009_000.png\n"),
        ("test_list_NIH.txt", "\ufeffimages/00000001_000.PNG\r\n"),
        ("train_val_list.txt", "00000002_000.png\n00000003_000.png\n"),
        ("train_val_list_NIH.txt", "00000002_000.png\n00000003_000.png"),
    ],
)
def test_nih_takes_the_official_test_part_from_either_list(tmp_path, name, listed):
    pictures(tmp_path / "images", NIH)
    (tmp_path / "Data_Entry_2017.csv").write_text(ENTRIES)
    (tmp_path / "BBox_List_2017.csv").write_text(BOXES)
    (tmp_path / name).write_text(listed)
    assert OPENERS["nih"](tmp_path).official_test == {"00000001_000.png"}


def test_two_editions_of_the_same_labels_are_refused(tmp_path):
    pictures(tmp_path / "images", NIH)
    (tmp_path / "Data_Entry_2017.csv").write_text(ENTRIES)
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text(ENTRIES.replace("Cardiomegaly", "Edema"))
    (tmp_path / "BBox_List_2017.csv").write_text(BOXES)
    with pytest.raises(SourceError, match=r"several tables .*: Data_Entry_2017\.csv, Data_Entry_2017_v2020\.csv;"):
        OPENERS["nih"](tmp_path)
