"""VinDr-CXR 1.0.0 as PhysioNet delivers it: train/ and test/ with DICOM files, and two kinds of CSV for each."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from cxrlib.data.annotations import COLUMNS, check_annotations, require_names
from cxrlib.data.images import DICOM_SUFFIXES
from cxrlib.data.keys import image_key
from cxrlib.data.labels import rename, suite_classes
from cxrlib.data.rows import AnnotationError, numbers_of, read_rows
from cxrlib.data.sources.base import Source, images_of_patients
from cxrlib.data.sources.data_set import DataSet, ImageFiles, SourceError, match_images, open_data_set

PARTS = ["train", "test"]


EXPECTED = "annotations_train.csv, annotations_test.csv, image_labels_train.csv and image_labels_test.csv"


CONSENSUS = "consensus"
"""Name of the reader of the test part, whose labels are the consensus of five radiologists."""


def open_vindr_cxr(path: Path) -> Source:
    """Read boxes and image labels of both parts of a folder or zip; the official test part is the test split.

    Raises:
        SourceError: `path` lacks a table or all images.
        AnnotationError: a CSV cannot be used.
    """
    data_set = open_data_set(path)
    files = data_set.images(DICOM_SUFFIXES)
    read = {part: _read_part(data_set, files, part) for part in PARTS}
    paths = {image_id: file for part in read.values() for image_id, file in part.paths.items()}
    if not paths:
        raise SourceError(
            f"data.root: {path} holds no DICOM file of the images in its tables; expected train/<image_id>.dicom and "
            f"test/<image_id>.dicom, found {data_set.found}"
        )
    return Source(
        name="vindr-cxr",
        description="VinDr-CXR chest radiographs (PhysioNet 1.0.0), its own test part with consensus labels",
        rendered=False,
        classes=suite_classes("vindr-cxr"),
        annotations=pd.concat([part.annotations for part in read.values()]),
        images=images_of_patients(paths),
        skipped=pd.concat([part.skipped for part in read.values()], ignore_index=True),
        official_test=frozenset(read["test"].paths),
    )


class Part(NamedTuple):
    """One part of the data set: its annotations, the path of each image by its id, and what was set aside."""

    annotations: pd.DataFrame
    paths: dict[str, str]
    skipped: pd.DataFrame


def _read_part(data_set: DataSet, files: ImageFiles, part: str) -> Part:
    """Rows of the boxes of one part, and one row without a box for each label that only its image labels have."""
    path, label_path = (
        data_set.table(rf"{kind}_{part}\.csv(\.gz)?", f"{kind}_{part}.csv", EXPECTED)
        for kind in ("annotations", "image_labels")
    )
    boxes = read_rows(path, [column for column in COLUMNS if column != "rad_id"], optional=["rad_id"])
    if part == "test":
        boxes["rad_id"] = CONSENSUS
    elif "rad_id" not in boxes:
        raise AnnotationError(f"{path} lacks the column rad_id; it has {', '.join(boxes.columns)}; add it")
    boxes["class_name"], in_boxes = rename(boxes["class_name"], "vindr-cxr")
    keys = ["image_id", "class_name", "rad_id"]
    labels, in_labels = _image_labels(label_path)
    known, given = (pd.MultiIndex.from_frame(table[keys].map(image_key)) for table in (boxes, labels))
    alone = labels[~given.isin(known)]
    rows = pd.concat([boxes[COLUMNS], alone.reindex(columns=COLUMNS, fill_value="")])
    require_names(rows, path)
    matched = match_images(rows, files)
    annotations, skipped = check_annotations(matched.rows, suite_classes("vindr-cxr"), path)
    listed = pd.concat([in_boxes, in_labels, skipped, matched.skipped], ignore_index=True)
    return Part(annotations, matched.paths, listed)


def _image_labels(path: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row per image, reader and label that is 1: image_id, rad_id, class_name; the index is the line.

    The second table lists which columns were read as another spelling.
    """
    table = read_rows(path, ["image_id", "No finding"], optional=["rad_id"])
    if "rad_id" not in table:
        table["rad_id"] = CONSENSUS
    keys = ["image_id", "rad_id"]
    named = pd.Series([name for name in table if name and name not in keys])
    classes, listed = rename(named, "vindr-cxr")
    given = [
        table.loc[numbers_of(table, name, path) == 1, keys].assign(class_name=class_name)
        for name, class_name in zip(named, classes, strict=True)
    ]
    return pd.concat(given), listed.assign(row=1)
