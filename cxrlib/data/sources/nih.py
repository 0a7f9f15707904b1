"""NIH ChestX-ray14 in its official layout: Data_Entry_2017_v2020.csv, BBox_List_2017.csv and the images."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import COLUMNS, AnnotationError, check_annotations, numbers_of, read_rows
from cxrlib.data.archive import Root
from cxrlib.data.labels import rename, suite_classes
from cxrlib.data.sources.base import (
    PICTURES,
    Source,
    SourceError,
    found_in,
    image_paths,
    images_of_patients,
    open_data_set,
)

BOX_FRAME = 1024
"""Boxes are given in pixels of the official 1024 px images."""


SIDES = ["x_min", "y_min", "width", "height"]
"""What the four columns of a box are, whose names in the file are of no use."""


ENTRIES, BOXES, TEST_LIST = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv", "test_list.txt"


def open_nih(path: Path) -> Source:
    """Read labels and boxes below `path` for the images that are there, in one folder or in the official twelve.

    Labels were mined from report text and count as one reader; boxes exist for some findings of some images. Where
    the official test_list.txt is there, its images are the test split.

    Raises:
        SourceError: `path` lacks a file or holds no image.
        AnnotationError: a label is unknown.
    """
    root = open_data_set(path, [ENTRIES, BOXES])
    entries = read_rows(root / ENTRIES, ["Image Index", "Finding Labels", "Patient ID"])
    paths = image_paths(root, PICTURES, whole_name=True)
    present = entries["Image Index"].isin(list(paths))
    if not present.any():
        raise SourceError(
            f"data.root: {path} holds no image that {ENTRIES} lists; expected images/*.png, or images_001/images/*.png "
            f"to images_012/images/*.png, found {found_in(root)}"
        )
    absent, entries = entries.loc[~present, "Image Index"], entries[present]

    rows, unlabelled = _one_row_per_finding(entries, root)
    annotations, skipped = check_annotations(rows, suite_classes("nih"), str(root / ENTRIES))
    missing = pd.DataFrame({"image_id": absent, "row": absent.index, "reason": "no image file"})
    image_ids = entries["Image Index"]
    return Source(
        name="nih",
        description="NIH ChestX-ray14 radiographs, labels mined from reports, one radiologist's boxes",
        rendered=False,
        classes=suite_classes("nih"),
        annotations=annotations,
        images=images_of_patients(image_ids, image_ids.map(paths), entries["Patient ID"].astype(str)),
        skipped=pd.concat([skipped, unlabelled, missing], ignore_index=True),
        box_frame=pd.DataFrame({"width": BOX_FRAME, "height": BOX_FRAME}, index=image_ids),
        official_test=_official_test(root, image_ids),
    )


def _official_test(root: Root, image_ids: pd.Series) -> frozenset[str] | None:
    """The images of test_list.txt that are there; None without the list, or where it names none of them."""
    if not (root / TEST_LIST).exists():
        return None
    return frozenset((root / TEST_LIST).read_text().split()) & frozenset(image_ids) or None


def _one_row_per_finding(entries: pd.DataFrame, root: Root) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels joined with boxes; a label without a box keeps one row with NaN, a box without its label is set aside."""
    labels = entries[["Image Index", "Finding Labels"]].set_axis(["image_id", "class_name"], axis=1)
    names = labels["class_name"].fillna("").str.split("|")
    labels = labels.assign(class_name=names, line=labels.index).explode("class_name")
    labels["class_name"] = rename(labels["class_name"], "nih")
    labels = labels.drop_duplicates(["image_id", "class_name"])
    boxes = read_rows(root / BOXES, ["Image Index", "Finding Label"]).iloc[:, :6]
    if len(boxes.columns) < 6:
        raise AnnotationError(
            f"{root / BOXES} has {len(boxes.columns)} columns; expected Image Index, Finding Label and four for x, y, "
            "width and height of the box; download it again"
        )
    boxes.columns = ["image_id", "class_name", *SIDES]
    boxes[SIDES] = pd.DataFrame({side: numbers_of(boxes, side, root / BOXES) for side in SIDES})
    boxes["row"] = boxes.index
    boxes["class_name"] = rename(boxes["class_name"], "nih")
    boxes["x_max"], boxes["y_max"] = boxes["x_min"] + boxes["width"], boxes["y_min"] + boxes["height"]
    rows = labels.merge(boxes, how="left").assign(rad_id="NIH").set_index("line")

    here = boxes[boxes["image_id"].isin(entries["Image Index"])]
    unlabelled = here.loc[~here["row"].isin(rows["row"]), ["image_id", "row"]]
    return rows[COLUMNS], unlabelled.assign(reason="box of a label that the image does not have; dropped")
