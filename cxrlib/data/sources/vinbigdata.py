"""VinBigData Chest X-ray Abnormalities Detection, as Kaggle delivers it: train.csv and train/<image_id>.dicom."""

from pathlib import Path

from cxrlib.data.annotations import VINBIGDATA_CLASSES, read_annotations
from cxrlib.data.sources.base import Source, images_of_patients, open_data_set


def open_vinbigdata(path: Path) -> Source:
    """Read the annotations of a folder or of Kaggle's zip and locate the images; every image is its own patient.

    Raises:
        SourceError: `path` lacks train.csv or train/.
        AnnotationError: train.csv cannot be used.
    """
    root = open_data_set(path, ["train.csv", "train"])
    annotations, skipped = read_annotations(root / "train.csv")
    image_ids = annotations["image_id"].drop_duplicates()
    return Source(
        name="vinbigdata",
        description="VinBigData chest radiographs (VinDr-CXR training part)",
        rendered=False,
        classes=VINBIGDATA_CLASSES,
        annotations=annotations,
        images=images_of_patients(image_ids, [str(root / "train" / f"{image_id}.dicom") for image_id in image_ids]),
        skipped=skipped,
    )
