"""The interface of a data source."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Source:
    """A data set before conversion.

    Attributes:
        name: as in `data.source`.
        description: one line for captions and the report.
        rendered: True where the images are drawn, not taken from patients.
        classes: all class names, "No finding" last; the suite's where there is a counterpart (`cxrlib.data.labels`).
        annotations: rows of `cxrlib.data.annotations.COLUMNS`, boxes in pixels of `box_frame` or, where that is None,
            of the image file.
        images: columns image_id, path (of a file, or of a zip's member), patient_id.
        skipped: what was set aside while reading: columns image_id, row, reason.
        box_frame: columns width and height by image_id, the pixels of the boxes, where the image files were resized.
        official_test: image ids of the data set's own test split; None where it has none.
    """

    name: str
    description: str
    rendered: bool
    classes: list[str]
    annotations: pd.DataFrame
    images: pd.DataFrame
    skipped: pd.DataFrame
    box_frame: pd.DataFrame | None = None
    official_test: frozenset[str] | None = None


def images_of_patients(paths: dict[str, str], patients: pd.Series | None = None) -> pd.DataFrame:
    """The table `Source.images`.

    Args:
        paths: image id -> path.
        patients: patient by image id; without it every image counts as another patient.
    """
    image_ids = pd.Series(list(paths), dtype=object)
    patient_ids = image_ids if patients is None else image_ids.map(patients)
    return pd.DataFrame({"image_id": image_ids, "path": list(paths.values()), "patient_id": patient_ids})
