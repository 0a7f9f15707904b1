"""Any folder of images with a CSV in VinBigData's columns, e.g. of one's own hospital."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import COLUMNS, NO_FINDING, VINBIGDATA_CLASSES, check_annotations, require_names
from cxrlib.data.keys import IMAGE_SUFFIXES, list_respelled, respell, respelled
from cxrlib.data.rows import AnnotationError, read_rows
from cxrlib.data.sources.base import Source, images_of_patients
from cxrlib.data.sources.data_set import TABLES, DataSet, SourceError, match_images, open_data_set


def open_folder(path: Path) -> Source:
    """Read the one table of a folder or zip, and locate its images, wherever they lie below.

    The table has the columns of VinBigData's train.csv; other tables may lie beside it. Class names are free; one that
    differs from the suite's in case or blanks only is read as the suite's. If it has a column patient_id, studies are
    split by patient. An image is called <image_id>, with or without the suffix of a DICOM, PNG or JPEG file. Boxes are
    in pixels of the image.

    Raises:
        SourceError: no table, several that could be meant, or none of its images.
        AnnotationError: the table cannot be used.
    """
    data_set = open_data_set(path)
    table = _own_table(data_set)
    rows = read_rows(table, COLUMNS, optional=["patient_id"])
    require_names(rows, table)
    matched = match_images(rows, data_set.images(IMAGE_SUFFIXES))
    if not matched.paths:
        raise SourceError(
            f"data.root: {path} holds none of the images of {Path(table).name}; expected {rows['image_id'].iloc[0]} "
            f"with one of {', '.join(IMAGE_SUFFIXES)}, found {data_set.found}"
        )
    classes = _classes(rows["class_name"])
    annotations, skipped = check_annotations(matched.rows, classes, table)
    patients, listed = _patients(matched.rows, table) if "patient_id" in rows else (None, None)
    return Source(
        name="folder",
        description=f"radiographs of {Path(path).name}",
        rendered=False,
        classes=classes,
        annotations=annotations,
        images=images_of_patients(matched.paths, patients),
        skipped=pd.concat([skipped, listed, matched.skipped], ignore_index=True),
    )


def _own_table(data_set: DataSet) -> str:
    """Path of the table that has the columns of annotations, or of the only table."""
    tables = data_set.named(TABLES)
    fitting = data_set.tables(COLUMNS, least=len(COLUMNS))
    if not fitting and len(tables) != 1:
        raise SourceError(
            f"data.root: {data_set.path} must hold one CSV file with the columns {', '.join(COLUMNS)}; found "
            f"{', '.join(tables) or data_set.found}"
        )
    return data_set.only(fitting or tables)


def _classes(names: pd.Series) -> list[str]:
    """One spelling of each class, "No finding" last."""
    found = set(respell(names, respelled(names, VINBIGDATA_CLASSES))) - {NO_FINDING}
    return [*sorted(found), NO_FINDING]


def _patients(rows: pd.DataFrame, table: str) -> tuple[pd.Series, pd.DataFrame]:
    """Patient of each image, and which patients were read as another spelling.

    An image without a patient counts as a patient of its own.
    """
    given = rows[rows["patient_id"] != ""]
    changed = respelled(given["patient_id"])
    patients = given.assign(patient_id=respell(given["patient_id"], changed)).drop_duplicates(
        ["image_id", "patient_id"]
    )
    twice = patients[patients["image_id"].duplicated(keep=False)]
    if len(twice):
        first = twice[twice["image_id"] == twice["image_id"].iloc[0]]
        raise AnnotationError(
            f"{table}, row {first.index[1]}, field patient_id: image {first['image_id'].iloc[0]} is of patient "
            f"{first['patient_id'].iloc[0]!r} in row {first.index[0]}, and here of {first['patient_id'].iloc[1]!r}; "
            "correct one"
        )
    alone = pd.Series(rows["image_id"].unique())
    patients = patients.set_index("image_id")["patient_id"].reindex(alone)
    return patients.fillna(pd.Series(alone.to_numpy(), alone)), list_respelled(given["patient_id"], changed, "patient")
