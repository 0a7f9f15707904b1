"""Every layout in which people have the data: the same small studies written into each, read back, or refused."""

import zipfile

import numpy as np
import pandas as pd
import pytest
from fixtures import annotation_rows, kaggle_folder, pictures, write_dicom, zipped

from cxrlib.data.annotations import BOX_COLUMNS, NO_FINDING, VINBIGDATA_CLASSES
from cxrlib.data.archive import identity, list_files, read_bytes
from cxrlib.data.convert import convert_images
from cxrlib.data.labels import label_map, suite_classes, suite_names, without_counterpart
from cxrlib.data.rows import AnnotationError
from cxrlib.data.sources.data_set import SourceError
from cxrlib.data.sources.registry import OPENERS
from cxrlib.params import Data, Labels, ParameterError
from cxrlib.stages.prepare import open_data, prepare_cohort, rescale

ROWS = annotation_rows(
    ("a", "Cardiomegaly", "R1", 20, 10, 60, 30),
    ("a", "Cardiomegaly", "R2", 24, 12, 64, 28),
    ("b", "No finding", "R1"),
    ("b", "No finding", "R2"),
    ("c", "ILD", "R3", 0, 0, 80, 40),
)
"""Boxes in pixels of originals that are 80 wide and 40 high."""
LABELS = Labels(experiments={"two": ["Cardiomegaly", "No finding"]}, explained="two")


def data(source, root, **changes):
    values = {
        "n_studies": 1,
        "no_finding_share": 0.5,
        "image_size": 64,
        "valid_share": 0.2,
        "test_share": 0.2,
        "seed": 1,
    }
    return Data(**values | {"source": source, "root": str(root)} | changes)


def opened(source, root):
    return open_data(data(source, root), root, workers=1)


# zip


@pytest.mark.parametrize("top", ["", "vinbigdata/"])
def test_kaggles_zip_gives_what_its_folder_gives(tmp_path, top):
    folder = kaggle_folder(tmp_path / "kaggle", ROWS)
    archive = zipped(folder, tmp_path / "vinbigdata.zip", top)
    from_folder, from_zip = opened("vinbigdata", folder), opened("vinbigdata", archive)
    pd.testing.assert_frame_equal(from_zip.annotations, from_folder.annotations)
    assert from_zip.images["path"].tolist() == [f"{archive}/{top}train/{name}.dicom" for name in "abc"]
    sizes = {}
    for name, source in {"folder": from_folder, "zip": from_zip}.items():
        sizes[name] = convert_images(source.images, tmp_path / f"from {name}", 64, workers=2)
    pd.testing.assert_frame_equal(*sizes.values())
    assert sizes["zip"]["width"].tolist() == [80] * 3
    stored = [(tmp_path / f"from {name}" / "pixels.npy").read_bytes() for name in sizes]
    assert stored[0] == stored[1]


def test_a_member_that_is_missing_or_damaged_is_listed(tmp_path):
    folder = kaggle_folder(tmp_path / "kaggle", ROWS)
    (folder / "train" / "a.dicom").unlink()
    archive = zipped(folder, tmp_path / "vinbigdata.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened_zip:
        start = opened_zip.getinfo("train/b.dicom").header_offset
    content[start + 200 : start + 260] = bytes(60)
    archive.write_bytes(content)
    source = opened("vinbigdata", archive)
    assert source.skipped.to_numpy().tolist() == [["a", 2, "no image file"]]
    sizes = convert_images(source.images, tmp_path / "out", 64, workers=1)
    assert "b.dicom: cannot be read" in sizes["reason"][0]
    assert sizes["reason"][1] == ""


def test_members_of_a_zip_are_told_apart_by_their_content(tmp_path):
    for number, text in enumerate(["one", "two", "one"]):
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as archive:
            archive.writestr("folder/file.txt", text)
            archive.writestr(".hidden/file.txt", "")
            archive.writestr("__MACOSX/folder/file.txt", "")
    paths = [f"{tmp_path / str(number)}.zip/folder/file.txt" for number in range(3)]
    assert [read_bytes(path) for path in paths] == [b"one", b"two", b"one"]
    assert identity(paths[0]) == identity(paths[2]) != identity(paths[1])
    assert identity(paths[0] + ".absent") == ["file.txt.absent"]
    assert list_files(tmp_path / "0.zip") == {"folder/file.txt": paths[0]}
    with pytest.raises(FileNotFoundError, match=r"no folder/none\.txt in .*0\.zip"):
        read_bytes(f"{tmp_path / '0.zip'}/folder/none.txt")


# vinbigdata-resized


@pytest.mark.parametrize("sizes", ["train_meta.csv", "columns"])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_boxes_of_resized_images_follow_from_the_original_sizes(tmp_path, sizes, suffix, packed):
    root = tmp_path / "resized"
    pictures(root / "train", "abc", suffix=suffix)
    rows = ROWS
    if sizes == "columns":
        rows = ROWS.assign(width=80, height=40)
    else:
        meta = pd.DataFrame({"image_id": list("abc"), "dim0": 40, "dim1": 80})  # rows, columns
        meta.to_csv(root / "train_meta.csv", index=False)
    rows.to_csv(root / "train.csv", index=False)
    source = opened("vinbigdata-resized", zipped(root, tmp_path / "resized.zip") if packed else root)
    files = convert_images(source.images, tmp_path / "out", 64, workers=1).set_index("image_id")
    assert files["width"].tolist() == [20] * 3
    boxes, changed = rescale(source.annotations, files, 64, source.box_frame)
    assert changed.empty
    factors = [64 / 80, 64 / 40, 64 / 80, 64 / 40]
    np.testing.assert_allclose(boxes[BOX_COLUMNS].to_numpy(), ROWS[BOX_COLUMNS].to_numpy() * factors)


def test_without_original_sizes_boxes_must_fit_the_images(tmp_path):
    pictures(tmp_path / "train", "abc", side=80)
    ROWS.to_csv(tmp_path / "train.csv", index=False)
    assert opened("vinbigdata-resized", tmp_path).box_frame is None
    pictures(tmp_path / "train", "a", side=40)
    with pytest.raises(
        SourceError, match=r"image a is 40 x 40 pixels, but a box of it reaches to \(64, 30\).*train_meta"
    ):
        opened("vinbigdata-resized", tmp_path)
    (tmp_path / "train" / "a.png").write_bytes(b"broken")  # says nothing of the frame, and is listed later
    assert opened("vinbigdata-resized", tmp_path).images["image_id"].tolist() == list("abc")


def test_resized_images_without_train_csv_use_the_public_annotations(tmp_path):
    public = "9a5094b2563a1ef3ff50dc5c7ff71345"
    pictures(tmp_path / "train", [public, "unknown"])
    pd.DataFrame({"image_id": [public], "dim0": [2836], "dim1": [2336]}).to_csv(
        tmp_path / "train_meta.csv", index=False
    )
    source = opened("vinbigdata-resized", tmp_path)
    assert source.images["image_id"].tolist() == [public]
    assert {"Cardiomegaly", "Aortic enlargement"} <= set(source.annotations["class_name"])
    assert source.skipped["reason"].value_counts()["no image file"] == 14_999


def test_a_box_whose_original_size_is_missing_is_refused(tmp_path):
    pictures(tmp_path / "train", "abc")
    ROWS.to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame({"image_id": ["a"], "dim0": [40], "dim1": [80]}).to_csv(tmp_path / "train_meta.csv", index=False)
    with pytest.raises(AnnotationError, match=r"train_meta\.csv lacks image c, which has a box \(row 6\)"):
        opened("vinbigdata-resized", tmp_path)


# vindr-cxr

GLOBAL = ["COPD", "Other diseases", "No finding"]


@pytest.fixture(params=["annotations", ""])
def vindr_folder(request, tmp_path):
    """Ten training studies with three readers, four test studies with a consensus, tables in either place."""
    root = tmp_path / "1.0.0"
    tables = root / request.param
    tables.mkdir(parents=True, exist_ok=True)
    names = {"train": [f"t{i}" for i in range(10)], "test": [f"e{i}" for i in range(4)]}
    for part, image_ids in names.items():
        for image_id in image_ids:
            write_dicom(root / part / f"{image_id}.dicom", np.arange(3200, dtype=np.uint16).reshape(40, 80))
        readers = ["R1", "R2", "R3"] if part == "train" else [None]
        boxes, labels = [], []
        for number, image_id in enumerate(image_ids):
            for reader in readers:
                sick = number % 2 == 0
                box = (image_id, "Cardiomegaly", reader, 20, 10, 60, 30) if sick else (image_id, "No finding", reader)
                boxes.append(box)
                given = {"Cardiomegaly": int(sick), "COPD": int(number == 2), GLOBAL[1]: int(number == 0)}
                labels.append({"image_id": image_id, "rad_ID": reader} | given | {"No finding": int(not sick)})
        boxes, labels = annotation_rows(*boxes), pd.DataFrame(labels)
        if part == "test":
            boxes = boxes.drop(columns="rad_id")
            labels = labels.drop(columns="rad_ID").rename(columns={"Other diseases": "Other disease"})
        boxes.to_csv(tables / f"annotations_{part}.csv", index=False)
        labels.to_csv(tables / f"image_labels_{part}.csv", index=False)
    return tmp_path  # one level above, as wget leaves it


def test_vindr_joins_boxes_and_image_labels(vindr_folder):
    source = opened("vindr-cxr", vindr_folder)
    counts = source.annotations.groupby(["class_name", "rad_id"])["image_id"].nunique().unstack(fill_value=0)
    assert counts["consensus"].to_dict() == {"Cardiomegaly": 2, "COPD": 1, "No finding": 2, "Other diseases": 1}
    assert counts["R2"].to_dict() == {"Cardiomegaly": 5, "COPD": 1, "No finding": 5, "Other diseases": 1}
    assert not source.annotations.duplicated().any()
    assert source.annotations["x_min"].notna().sum() == 5 * 3 + 2
    assert source.official_test == {"e0", "e1", "e2", "e3"}
    assert [path.rsplit("/", 2)[1] for path in source.images["path"]] == ["train"] * 10 + ["test"] * 4
    assert source.classes[-1] == NO_FINDING


def test_the_official_test_part_is_the_test_split(vindr_folder, tmp_path):
    source = opened("vindr-cxr", vindr_folder)
    prepare_cohort(source, tmp_path / "out", data("vindr-cxr", vindr_folder), LABELS, workers=1)
    studies = pd.read_csv(tmp_path / "out" / "studies.csv", index_col="image_id")
    assert studies["split"].to_dict() == {f"e{i}": "test" for i in range(4)} | studies["split"][:10].to_dict()
    assert studies["split"][:10].value_counts().to_dict() == {"train": 8, "valid": 2}


def test_vindr_says_what_is_missing(vindr_folder):
    (table,) = vindr_folder.rglob("image_labels_test.csv")
    table.unlink()
    with pytest.raises(
        SourceError, match=r"holds no image_labels_test\.csv; expected annotations_train\.csv, .*found "
    ):
        opened("vindr-cxr", vindr_folder)


def test_labels_that_the_data_lack_are_refused_before_the_conversion(vindr_folder, tmp_path):
    labels = Labels(experiments={"two": ["Cardiomegaly", "Efusion"]}, explained="two")
    with pytest.raises(
        ParameterError, match=r"experiments\['two'\]: unknown label 'Efusion'; did you mean 'Pleural effusion'\? known"
    ):
        prepare_cohort(opened("vindr-cxr", vindr_folder), tmp_path / "out", data("vindr-cxr", "x"), labels, workers=1)
    assert not (tmp_path / "out").exists()


# nih

NIH_ENTRIES = """Image Index,Finding Labels,Follow-up #,Patient ID
1_0.png,Effusion|Nodule|Mass,0,1
1_1.png,No Finding,1,1
2_0.png,Cardiomegaly,0,2
3_0.png,No Finding,0,3
4_0.png,Cardiomegaly|Hernia,0,4
5_0.png,Cardiomegaly,0,5
6_0.png,No Finding,0,6
"""
NIH_BOXES = """Image Index,Finding Label,Bbox [x,y,w,h],,,
1_0.png,Nodule,100,200,300,400,,,
1_0.png,Mass,500,600,100,100,,,
"""


@pytest.fixture
def twelve_folders(tmp_path):
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text(NIH_ENTRIES)
    (tmp_path / "BBox_List_2017.csv").write_text(NIH_BOXES)
    for number, name in enumerate(["1_0", "1_1", "2_0", "3_0", "4_0", "5_0", "6_0"], start=1):
        pictures(tmp_path / f"images_{number:03}" / "images", [name])
    (tmp_path / "test_list.txt").write_text("1_0.png\n1_1.png\n99_0.png\n")
    (tmp_path / "train_val_list.txt").write_text("2_0.png\n3_0.png\n4_0.png\n5_0.png\n6_0.png\n")
    return tmp_path


def test_nih_reads_twelve_folders_and_the_official_split(twelve_folders, tmp_path):
    source = opened("nih", twelve_folders)
    assert len(source.images) == 7
    assert source.official_test == {"1_0.png", "1_1.png"}
    both = source.annotations[source.annotations["image_id"] == "1_0.png"]
    assert both["class_name"].tolist() == ["Pleural effusion", "Nodule/Mass", "Nodule/Mass"]
    prepare_cohort(source, tmp_path / "out", data("nih", twelve_folders), LABELS, workers=1)
    studies = pd.read_csv(tmp_path / "out" / "studies.csv", index_col="image_id")
    assert set(studies.index[studies["split"] == "test"]) == source.official_test
    assert studies["split"].value_counts()["valid"] == 1


# folder


@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_any_folder_with_one_csv(tmp_path, packed):
    root = tmp_path / "ours"
    write_dicom(root / "2024" / "a.dcm", np.arange(3200, dtype=np.uint16).reshape(40, 80))
    pictures(root / "2025", ["b"])
    pictures(root, ["c"], suffix=".JPG")
    rows = ROWS.replace({"image_id": {"b": "b.png"}, "class_name": {"ILD": "Scoliosis"}})
    patients = rows["image_id"].map({"a": "007", "b.png": "007", "c": None, "gone": "1"})
    more = annotation_rows(("gone", "No finding", "R1")).assign(patient_id="1")
    pd.concat([rows.assign(patient_id=patients), more]).to_csv(root / "labels.csv", index=False)
    source = opened("folder", zipped(root, tmp_path / "ours.zip") if packed else root)
    assert source.classes == ["Cardiomegaly", "Scoliosis", "No finding"]
    assert source.images["image_id"].tolist() == ["a", "b.png", "c"]
    assert source.images["patient_id"].tolist() == ["007", "007", "c"]
    assert source.skipped.to_numpy().tolist() == [["gone", 7, "no image file"]]
    sizes = convert_images(source.images, tmp_path / "out", 64, workers=1)
    assert sizes["reason"].tolist() == [""] * 3
    assert sizes["width"].tolist() == [80, 20, 20]


def test_a_folder_without_its_csv_or_images_is_refused(tmp_path):
    pictures(tmp_path, ["a"])
    with pytest.raises(SourceError, match=r"must hold one CSV file with the columns image_id, .*; found a\.png"):
        opened("folder", tmp_path)
    ROWS.replace({"image_id": {"a": "z"}}).to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(
        SourceError, match=r"none of the images of labels\.csv; expected z with one of \.dicom, \.dcm, "
    ):
        opened("folder", tmp_path)


def test_two_images_of_one_name_are_refused(tmp_path):
    for folder in ("2024", "2025"):
        pictures(tmp_path / folder, ["a"])
    ROWS.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(SourceError, match=r"two images are called 'a', .*2024/a\.png and .*2025/a\.png; remove one"):
        opened("folder", tmp_path)


# all


@pytest.mark.parametrize("source", OPENERS)
def test_each_source_refuses_another_folder_by_what_it_found(tmp_path, source):
    (tmp_path / "holiday.txt").touch()
    with pytest.raises(SourceError, match=r"data\.root: .*(holds no|must hold) .*found holiday\.txt"):
        opened(source, tmp_path)
    with pytest.raises(SourceError, match="holiday.txt is neither a folder nor a zip file"):
        opened(source, tmp_path / "holiday.txt")


def test_every_label_maps_to_a_finding_of_the_suite_or_says_that_none_fits():
    table = label_map()
    assert not table.duplicated(["source", "name"]).any()
    assert set(table["finding"]) - {""} <= set(VINBIGDATA_CLASSES)
    assert table.loc[table["finding"] == "", "note"].ne("").all()
    for source in table["source"].unique():
        theirs, ours = without_counterpart(source)
        names = set(suite_names(source).values())
        assert set(theirs) == names - set(VINBIGDATA_CLASSES)
        assert set(ours) == set(VINBIGDATA_CLASSES) - names
    assert suite_classes("nih")[-1] == suite_classes("vindr-cxr")[-1] == NO_FINDING
    assert len(suite_classes("vindr-cxr")) == 28
    assert without_counterpart("nih")[0] == ["Edema", "Emphysema", "Hernia", "Pneumonia"]
