"""NIH ChestX-ray14 in its official layout: Data_Entry_2017_v2020.csv, BBox_List_2017.csv and images/."""

from pathlib import Path

import pandas as pd

from cxrlib.annotations import COLUMNS, AnnotationError, check_annotations
from cxrlib.sources.base import Source, SourceError, require

NO_FINDING = "No Finding"
BOX_FRAME = 1024.0
"""Boxes are given in pixels of the official 1024 px images."""
CLASSES = [
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
    NO_FINDING,
]
BOX_LABELS = {"Infiltrate": "Infiltration"}
"""Names that differ between the list of boxes and the list of labels."""


def open_nih(root: Path) -> Source:
    """Read labels and boxes below `root` for the images that are there.

    Labels were mined from report text and count as one reader; boxes exist for some findings of some images.

    Raises:
        SourceError: `root` lacks a file or holds no image.
        AnnotationError: a label is unknown.
    """
    require(root, ["Data_Entry_2017_v2020.csv", "BBox_List_2017.csv", "images"])
    entries = pd.read_csv(root / "Data_Entry_2017_v2020.csv")
    paths = {path.name: str(path) for path in sorted(root.glob("images*/**/*.png"))}
    if not paths:
        raise SourceError(f"data.root: {root}/images holds no PNG file")
    entries.index += 2  # the line in the file, after the header
    present = entries["Image Index"].isin(list(paths))
    absent, entries = entries.loc[~present, "Image Index"], entries[present]

    rows, unlabelled = _one_row_per_finding(entries, root)
    annotations, skipped = check_annotations(rows, CLASSES, str(root / "Data_Entry_2017_v2020.csv"))
    missing = pd.DataFrame({"image_id": absent, "row": absent.index, "reason": "no image file"})
    images = pd.DataFrame(
        {
            "image_id": entries["Image Index"],
            "path": entries["Image Index"].map(paths),
            "patient_id": entries["Patient ID"].astype(str),
        }
    ).reset_index(drop=True)
    return Source(
        name="nih",
        description="NIH ChestX-ray14 radiographs, labels mined from reports, one radiologist's boxes",
        rendered=False,
        classes=CLASSES,
        annotations=annotations,
        images=images,
        box_size=BOX_FRAME,
        skipped=pd.concat([skipped, unlabelled, missing], ignore_index=True),
    )


def _one_row_per_finding(entries: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels joined with boxes; a label without a box keeps one row with NaN, a box without its label is set aside."""
    labels = entries[["Image Index", "Finding Labels"]].set_axis(["image_id", "class_name"], axis=1)
    labels = labels.assign(class_name=labels["class_name"].str.split("|"), line=labels.index).explode("class_name")
    boxes = pd.read_csv(root / "BBox_List_2017.csv").iloc[:, :6]
    boxes.columns = ["image_id", "class_name", "x_min", "y_min", "width", "height"]
    if boxes.empty:
        raise AnnotationError(f"{root / 'BBox_List_2017.csv'} has no rows")
    boxes["row"] = boxes.index + 2
    boxes["class_name"] = boxes["class_name"].replace(BOX_LABELS)
    boxes["x_max"], boxes["y_max"] = boxes["x_min"] + boxes["width"], boxes["y_min"] + boxes["height"]
    rows = labels.merge(boxes, how="left").assign(rad_id="NIH").set_index("line")

    here = boxes[boxes["image_id"].isin(entries["Image Index"])]
    unlabelled = here.loc[~here["row"].isin(rows["row"]), ["image_id", "row"]]
    return rows[COLUMNS], unlabelled.assign(reason="box of a label that the image does not have; dropped")
