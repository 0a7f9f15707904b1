"""VinBigData Chest X-ray Abnormalities Detection, as Kaggle delivers it: train.csv and train/<image_id>.dicom."""

from pathlib import Path

import pandas as pd

from cxrlib.annotations import VINBIGDATA_CLASSES, read_annotations
from cxrlib.sources.base import Source, require


def open_vinbigdata(root: Path) -> Source:
    """Read the annotations below `root` and locate the images; every image is its own patient.

    Raises:
        SourceError: `root` lacks train.csv or train/.
        AnnotationError: train.csv cannot be used.
    """
    require(root, ["train.csv", "train"])
    annotations, skipped = read_annotations(root / "train.csv")
    image_ids = annotations["image_id"].drop_duplicates()
    images = pd.DataFrame(
        {
            "image_id": image_ids,
            "path": [str(root / "train" / f"{image_id}.dicom") for image_id in image_ids],
            "patient_id": image_ids,
        }
    ).reset_index(drop=True)
    return Source(
        name="vinbigdata",
        description="VinBigData chest radiographs (VinDr-CXR training part)",
        rendered=False,
        classes=VINBIGDATA_CLASSES,
        annotations=annotations,
        images=images,
        box_size=None,
        skipped=skipped,
    )
