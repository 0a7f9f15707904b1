"""VinDr-CXR 1.0.0 as PhysioNet delivers it: train/ and test/ with DICOM files, and two kinds of CSV for each."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import COLUMNS, AnnotationError, check_annotations, read_rows
from cxrlib.data.archive import Root
from cxrlib.data.labels import rename, suite_classes
from cxrlib.data.sources.base import Source, images_of_patients, open_data_set, require

PARTS = ["train", "test"]


CONSENSUS = "consensus"
"""Name of the reader of the test part, whose labels are the consensus of five radiologists."""


def open_vindr_cxr(path: Path) -> Source:
    """Read boxes and image labels of both parts of a folder or zip; the official test part is the test split.

    Raises:
        SourceError: `path` lacks a file or folder.
        AnnotationError: a CSV cannot be used.
    """
    root = open_data_set(path, PARTS)
    folder = root / "annotations" if (root / "annotations").exists() else root
    require(folder, [f"{kind}_{part}.csv" for kind in ("annotations", "image_labels") for part in PARTS])
    read = {part: _read_part(folder, part) for part in PARTS}
    image_ids = {part: annotations["image_id"].drop_duplicates() for part, (annotations, _) in read.items()}
    paths = [str(root / part / f"{image_id}.dicom") for part in PARTS for image_id in image_ids[part]]
    return Source(
        name="vindr-cxr",
        description="VinDr-CXR chest radiographs (PhysioNet 1.0.0), its own test part with consensus labels",
        rendered=False,
        classes=suite_classes("vindr-cxr"),
        annotations=pd.concat([annotations for annotations, _ in read.values()]),
        images=images_of_patients(pd.concat(image_ids.values()), paths),
        skipped=pd.concat([skipped for _, skipped in read.values()], ignore_index=True),
        official_test=frozenset(image_ids["test"]),
    )


def _read_part(folder: Root, part: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the boxes of one part, and one row without a box for each label that only its image labels have."""
    path = folder / f"annotations_{part}.csv"
    boxes = read_rows(path, [column for column in COLUMNS if column != "rad_id"])
    if part == "test":
        boxes["rad_id"] = CONSENSUS
    elif "rad_id" not in boxes:
        raise AnnotationError(f"{path} lacks the column rad_id; it has {', '.join(boxes.columns)}; add it")
    boxes["class_name"] = rename(boxes["class_name"], "vindr-cxr")
    keys = ["image_id", "class_name", "rad_id"]
    labels = _image_labels(folder / f"image_labels_{part}.csv")
    known = pd.MultiIndex.from_frame(boxes[keys])
    alone = labels[~pd.MultiIndex.from_frame(labels[keys]).isin(known)]
    rows = pd.concat([boxes[COLUMNS], alone.reindex(columns=COLUMNS)])
    return check_annotations(rows, suite_classes("vindr-cxr"), str(path))


def _image_labels(path: Root) -> pd.DataFrame:
    """One row per image, reader and label that is 1: image_id, rad_id, class_name; the index is the line."""
    table = read_rows(path, ["image_id", "No finding"])
    table = table.rename(columns={name: name.lower() for name in table if name.lower() == "rad_id"})
    if "rad_id" not in table:
        table["rad_id"] = CONSENSUS
    keys = ["line", "image_id", "rad_id"]
    rows = table.rename_axis("line").reset_index().melt(keys, var_name="class_name", value_name="given")
    rows = rows[rows["given"] == 1].set_index("line")
    return rows.assign(class_name=rename(rows["class_name"], "vindr-cxr"))
