"""VinBigData Chest X-ray Abnormalities Detection, as Kaggle delivers it: train.csv and train/<image_id>.dicom."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import COLUMNS, VINBIGDATA_CLASSES, check_annotations, require_names
from cxrlib.data.images import DICOM_SUFFIXES
from cxrlib.data.rows import read_rows
from cxrlib.data.sources.base import Source, images_of_patients
from cxrlib.data.sources.data_set import SourceError, match_images, open_data_set


def open_vinbigdata(path: Path) -> Source:
    """Read the annotations of a folder or of Kaggle's zip and locate the images; every image is its own patient.

    Raises:
        SourceError: `path` lacks train.csv or its images.
        AnnotationError: train.csv cannot be used.
    """
    data_set = open_data_set(path)
    table = data_set.table(r"train\.csv(\.gz)?", "train.csv", "train.csv and train/<image_id>.dicom")
    rows = read_rows(table, COLUMNS)
    require_names(rows, table)
    matched = match_images(rows, data_set.images(DICOM_SUFFIXES))
    if not matched.paths:
        raise SourceError(
            f"data.root: {path} holds no DICOM file of the images in train.csv; expected train/<image_id>.dicom, found "
            f"{data_set.found}; data.source=vinbigdata-resized reads PNG and JPEG copies"
        )
    annotations, skipped = check_annotations(matched.rows, VINBIGDATA_CLASSES, table)
    return Source(
        name="vinbigdata",
        description="VinBigData chest radiographs (VinDr-CXR training part)",
        rendered=False,
        classes=VINBIGDATA_CLASSES,
        annotations=annotations,
        images=images_of_patients(matched.paths),
        skipped=pd.concat([skipped, matched.skipped], ignore_index=True),
    )
