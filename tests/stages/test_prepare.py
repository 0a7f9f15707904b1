import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures import annotation_rows, kaggle_folder, write_dicom

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import load_cohort
from cxrlib.data.images import read_grey, resize_square
from cxrlib.data.sources.vinbigdata import open_vinbigdata
from cxrlib.params import Data, Labels, ParameterError
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.stages.prepare import prepare_cohort, rescale

SIZE = 64
EXPERIMENTS = {"small": ["Cardiomegaly", "No finding"], "wide": ["Cardiomegaly", "ILD", "No finding"]}
LABELS = Labels(experiments=EXPERIMENTS, explained="small")


def data(root, **changes) -> Data:
    fields = {"n_studies": 1, "no_finding_share": 0.5, "image_size": SIZE, "seed": 0} | changes
    return Data(source="vinbigdata", root=str(root), valid_share=0.1, test_share=0.2, **fields)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """40 studies of 80 x 40 pixels: Cardiomegaly, ILD or nothing; one box reaches outside, one file is broken."""
    rows = []
    for i in range(40):
        image_id = f"{i:04}"
        if i % 4 == 0:
            rows += [(image_id, "Cardiomegaly", "R1", 10, 20, 50, 30), (image_id, "No finding", "R2")]
        elif i % 4 == 1:
            rows += [(image_id, "ILD", "R1", 0, 0, 8, 4), (image_id, "ILD", "R3", 4, 0, 8, 4)]
        else:
            rows += [(image_id, "No finding", "R1")] * 2
    rows.append(("0005", "ILD", "R2", 60, 30, 100, 50))
    folder = kaggle_folder(tmp_path_factory.mktemp("kaggle"), annotation_rows(*rows))
    (folder / "train" / "0002.dicom").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def prepared(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return folder, prepare_cohort(open_vinbigdata(root), folder, data(root), LABELS, workers=1)


def test_everything_set_aside_is_listed_once(prepared, root):
    _, skipped = prepared
    lines = pd.read_csv(root / "train.csv", dtype={"image_id": str})
    duplicated = (lines.index[lines.duplicated()] + 2).tolist()
    assert skipped.loc[skipped["reason"].str.startswith("duplicated"), "row"].tolist() == duplicated
    clipped = skipped[skipped["reason"].str.endswith("clipped")]
    assert clipped["row"].tolist() == [len(lines) + 1]
    broken = skipped[skipped["reason"].str.contains("not a readable DICOM")]
    assert broken["image_id"].tolist() == ["0002"]
    assert len(skipped) == len(duplicated) + 2


@pytest.mark.parametrize("all_blank", [False, True])
def test_a_blank_image_is_set_aside_unless_all_are(root, tmp_path, all_blank):
    folder = Path(shutil.copytree(root, tmp_path / "kaggle"))
    for path in sorted((folder / "train").iterdir())[: None if all_blank else 1]:
        write_dicom(path, np.full((40, 80), 7, np.uint16))
    skipped = prepare_cohort(open_vinbigdata(folder), tmp_path / "data", data(folder), LABELS, workers=1)
    listed = skipped[skipped["reason"].str.contains("shows nothing: 100.0 % of its pixels have one grey value")]
    assert len(listed) == (40 if all_blank else 1)
    assert listed["reason"].str.endswith("kept, since no image shows more").all() == all_blank
    studies = load_cohort(tmp_path / "data").studies
    assert (studies["split"] == "unreadable").sum() == (0 if all_blank else 2)
    assert (studies["width"] > 0).sum() == (40 if all_blank else 39)


def test_a_stored_cohort_is_what_the_files_say(prepared, root):
    cohort = load_cohort(prepared[0])
    assert cohort.studies.index.tolist() == [f"{i:04}" for i in range(40)]
    assert cohort.studies["split"].value_counts().to_dict() == {"train": 27, "test": 8, "valid": 4, "unreadable": 1}
    assert cohort.studies.at["0002", "split"] == "unreadable"
    assert cohort.labels["Cardiomegaly"].sum() == cohort.labels["ILD"].sum() == 10
    assert cohort.labels["No finding"].sum() == 29  # 30 without the broken one
    assert cohort.pixels.shape == (40, SIZE, SIZE)
    for image_id in ("0000", "0017"):
        expected = resize_square(read_grey(root / "train" / f"{image_id}.dicom"), SIZE)
        np.testing.assert_array_equal(cohort.images([image_id])[0], expected)
    assert not cohort.rendered
    assert cohort.size == SIZE
    assert cohort.explained == EXPERIMENTS["small"]
    assert cohort.findings == ["Cardiomegaly"]


def test_boxes_are_in_the_square_frame(prepared):
    cohort = load_cohort(prepared[0])
    # 80 x 40 pixels become 64 x 64: x times 0.8, y times 1.6
    assert cohort.boxes("0000", "Cardiomegaly")[BOX_COLUMNS].to_numpy().tolist() == [[8, 32, 40, 48]]
    assert cohort.boxes("0000", "Cardiomegaly")["rad_id"].tolist() == ["R1"]
    np.testing.assert_allclose(cohort.boxes("0005", "ILD")[BOX_COLUMNS].iloc[-1], [48, 48, 64, 64])
    assert len(cohort.boxes("0005", "ILD")) == 3
    assert cohort.boxes("0000", "No finding").empty
    assert cohort.boxes("0003", "Cardiomegaly").empty


def test_a_split_holds_the_studies_with_a_label_of_the_experiment(prepared):
    cohort = load_cohort(prepared[0])
    explained, wide = cohort.of("train"), cohort.of("train", EXPERIMENTS["wide"])
    assert set(explained) < set(wide)
    assert all(int(image_id) % 4 != 1 for image_id in explained)
    every = [image_id for split in ("train", "valid", "test") for image_id in cohort.of(split, EXPERIMENTS["wide"])]
    assert sorted(every) == [f"{i:04}" for i in range(40) if i != 2]


def test_preparing_again_changes_nothing_and_the_fingerprint_follows_the_data(prepared, root):
    folder, skipped = prepared
    provenance = load_cohort(folder).provenance
    again = prepare_cohort(open_vinbigdata(root), folder, data(root), LABELS, workers=1)
    pd.testing.assert_frame_equal(again, skipped)
    assert load_cohort(folder).provenance == provenance
    prepare_cohort(open_vinbigdata(root), folder, data(root, seed=1), LABELS, workers=1)
    changed = load_cohort(folder).provenance
    assert changed.data != provenance.data
    assert changed.split != provenance.split
    prepare_cohort(open_vinbigdata(root), folder, data(root), LABELS, workers=1)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["Cardiomegaly", "Pneumothorax"], r"labels.experiments\['x'\]: no positive training study for Pneumothorax"),
        (["Cardiomegaly", "Effusion"], r"labels.experiments\['x'\]: unknown label 'Effusion'; did you mean 'Pl"),
    ],
)
def test_labels_without_positives_are_refused(prepared, root, classes, message):
    labels = Labels(experiments=EXPERIMENTS | {"x": classes}, explained="small")
    with pytest.raises(ParameterError, match=message):
        prepare_cohort(open_vinbigdata(root), prepared[0], data(root), labels, workers=1)


def test_labels_in_another_spelling_are_stored_in_the_data_sets(root, tmp_path):
    labels = Labels(experiments={"small": ["cardiomegaly ", "No Finding"]}, explained="small")
    prepare_cohort(open_vinbigdata(root), tmp_path, data(root), labels, workers=1)
    assert load_cohort(tmp_path).explained == ["Cardiomegaly", "No finding"]


def test_other_pixels_are_other_data(root, tmp_path):
    prepare_cohort(open_vinbigdata(root), tmp_path / "first", data(root), LABELS, workers=1)
    copy = shutil.copytree(root, tmp_path / "copy")
    write_dicom(copy / "train" / "0000.dicom", np.tile(np.arange(80, dtype=np.uint8), (40, 1)))
    prepare_cohort(open_vinbigdata(copy), tmp_path / "second", data(copy), LABELS, workers=1)
    first, second = load_cohort(tmp_path / "first"), load_cohort(tmp_path / "second")
    assert first.studies.equals(second.studies) and first.annotations.equals(second.annotations)
    assert first.provenance.data != second.provenance.data


def test_a_refusal_leaves_no_cohort_behind(root, tmp_path):
    prepare_cohort(open_vinbigdata(root), tmp_path, data(root), LABELS, workers=1)
    for changes, message in (({"valid_share": 0.001}, "no valid study"), ({"test_share": 0.0}, "no test study")):
        params = data(root).model_copy(update=changes)
        with pytest.raises(ParameterError, match=message):
            prepare_cohort(open_vinbigdata(root), tmp_path, params, LABELS, workers=1)
        with pytest.raises(Missing):
            load_cohort(tmp_path)


def test_no_readable_image_at_all(tmp_path):
    root = kaggle_folder(tmp_path / "kaggle", annotation_rows(("a", "ILD", "R1", 1, 2, 3, 4)))
    (root / "train" / "a.dicom").write_bytes(b"broken")
    with pytest.raises(Refusal, match=r"none of the 1 images could be read; the first: .*a\.dicom: not a readable"):
        prepare_cohort(open_vinbigdata(root), tmp_path / "out", data(root), LABELS, workers=1)


def test_no_cohort_yet(tmp_path):
    with pytest.raises(Missing, match="run notebook 01_data first"):
        load_cohort(tmp_path)


def test_rescaling_boxes_of_a_fixed_frame_ignores_the_file_size():
    rows = annotation_rows(("a", "ILD", "R1", 256, 512, 1000, 1100))
    sizes = pd.DataFrame({"width": [300], "height": [200]}, index=["a"])
    frame = pd.DataFrame({"width": 1024, "height": 1024}, index=["a"])
    boxes, changed = rescale(rows, sizes, 512, frame)
    assert boxes[BOX_COLUMNS].to_numpy().tolist() == [[128, 256, 500, 512]]
    assert len(changed) == 1
