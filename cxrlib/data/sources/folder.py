"""Any folder of images with a CSV in VinBigData's columns, e.g. of one's own hospital."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import COLUMNS, NO_FINDING, check_annotations, read_rows
from cxrlib.data.archive import files_below
from cxrlib.data.images import DICOM_SUFFIXES
from cxrlib.data.sources.base import (
    PICTURES,
    Source,
    SourceError,
    found_in,
    image_paths,
    images_of_patients,
    open_data_set,
)


def open_folder(path: Path) -> Source:
    """Read the one CSV of a folder or zip, and locate its images in it or in folders below.

    The CSV has the columns of VinBigData's train.csv. Class names are free. If it has a column patient_id, studies are
    split by patient. An image is called <image_id>, with the suffix of a DICOM, PNG or JPEG file. Boxes are in pixels
    of the image.

    Raises:
        SourceError: not exactly one CSV, or none of its images.
        AnnotationError: the CSV cannot be used.
    """
    root = open_data_set(path, [])
    tables = [name for name in files_below(root) if name.lower().endswith(".csv") and "/" not in name]
    if len(tables) != 1:
        raise SourceError(f"data.root: {path} must hold one CSV file beside its images; found {found_in(root)}")
    rows = read_rows(root / tables[0], COLUMNS)
    paths = image_paths(root, DICOM_SUFFIXES + PICTURES)
    paths |= {path.rpartition("/")[2]: path for path in paths.values()}  # an image_id may have the file's suffix
    if not rows["image_id"].isin(list(paths)).any():
        raise SourceError(
            f"data.root: {path} holds none of the images of {tables[0]}; expected {rows['image_id'].iloc[0]} with one "
            f"of {', '.join(DICOM_SUFFIXES + PICTURES)}, found {found_in(root)}"
        )
    findings = sorted(set(rows["class_name"].dropna()) - {NO_FINDING})
    annotations, skipped = check_annotations(rows, [*findings, NO_FINDING], str(root / tables[0]))
    image_ids = annotations["image_id"].drop_duplicates()
    absent = image_ids[~image_ids.isin(list(paths))]
    missing = pd.DataFrame({"image_id": absent, "row": absent.index, "reason": "no image file"})
    image_ids = image_ids.drop(absent.index)
    patients = rows["patient_id"].reindex(image_ids.index).fillna(image_ids) if "patient_id" in rows else None
    return Source(
        name="folder",
        description=f"radiographs of {Path(path).name}",
        rendered=False,
        classes=[*findings, NO_FINDING],
        annotations=annotations[~annotations["image_id"].isin(absent)],
        images=images_of_patients(image_ids, image_ids.map(paths), patients),
        skipped=pd.concat([skipped, missing], ignore_index=True),
    )
