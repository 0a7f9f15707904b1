"""NIH ChestX-ray14 as NIH or Kaggle delivers it: Data_Entry_2017, BBox_List_2017.csv and the images."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import COLUMNS, check_annotations
from cxrlib.data.archive import read_bytes
from cxrlib.data.keys import list_respelled, respell, respelled
from cxrlib.data.labels import rename, suite_classes
from cxrlib.data.rows import AnnotationError, numbers_of, read_rows, require_filled
from cxrlib.data.sources.base import Source, images_of_patients
from cxrlib.data.sources.data_set import PICTURES, DataSet, Matched, SourceError, match_images, open_data_set

BOX_FRAME = 1024
"""Side in pixels of the official images, in whose pixels boxes are given."""


SIDES = ["x_min", "y_min", "width", "height"]
"""What the four columns of a box are, whose names in the file are of no use."""


ENTRIES, BOXES = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"


ENTRIES_NAMES = r"data_entry_2017(_v2020)?( \(\d+\))?\.csv(\.gz)?"
"""NIH's name of the list of images; the first edition, which Kaggle has, is called Data_Entry_2017.csv."""


BOXES_NAMES = r"bbox_list_2017(_official_nih)?( \(\d+\))?\.csv(\.gz)?"
"""NIH's names of the list of boxes."""


LISTS = {"test": r"test_list(_nih)?\.txt", "train_val": r"train_val_list(_nih)?\.txt"}
"""Names of the official lists of the test part and of the others; resized copies on Kaggle call them _NIH."""


def open_nih(path: Path) -> Source:
    """Read labels and boxes of the images below `path`, which lie in one folder, in the official twelve or anywhere.

    The labels were mined from the text of reports and count as those of one reader. Some findings of some images have
    boxes. If the official list of the test part is there, or that of the others, the test part is the test split.

    Raises:
        SourceError: `path` lacks a file or holds no image.
        AnnotationError: a label is unknown.
    """
    data_set = open_data_set(path)
    table = data_set.table(ENTRIES_NAMES, ENTRIES, f"it or Data_Entry_2017.csv, {BOXES} and the images")
    box_table = data_set.table(BOXES_NAMES, BOXES, f"{Path(table).name}, {BOXES} and the images")
    entries = read_rows(table, ["Image Index", "Finding Labels", "Patient ID"])
    entries = entries.rename(columns={"Image Index": "image_id", "Patient ID": "patient_id"})
    require_filled(entries, ["image_id", "Finding Labels", "patient_id"], table)
    matched = match_images(entries, data_set.images(PICTURES))
    entries = matched.rows
    if not matched.paths:
        raise SourceError(
            f"data.root: {path} holds no image that {Path(table).name} lists; expected images/*.png, or "
            f"images_001/images/*.png to images_012/images/*.png, found {data_set.found}"
        )
    rows, listed = _one_row_per_finding(matched, box_table)
    annotations, skipped = check_annotations(rows, suite_classes("nih"), table)
    changed = respelled(entries["patient_id"])
    patients = entries.drop_duplicates("image_id").set_index("image_id")["patient_id"]
    return Source(
        name="nih",
        description="NIH ChestX-ray14 radiographs, labels mined from reports, one radiologist's boxes",
        rendered=False,
        classes=suite_classes("nih"),
        annotations=annotations,
        images=images_of_patients(matched.paths, respell(patients, changed)),
        skipped=pd.concat(
            [skipped, listed, list_respelled(entries["patient_id"], changed, "patient"), matched.skipped],
            ignore_index=True,
        ),
        box_frame=pd.DataFrame({"width": BOX_FRAME, "height": BOX_FRAME}, index=list(matched.paths)),
        official_test=_official_test(data_set, matched),
    )


def _official_test(data_set: DataSet, matched: Matched) -> frozenset[str] | None:
    """The images of the official test part; None without a list, or if the part has none of the images.

    The list of the test part names them; the list of the others names all that they are not.
    """
    here = frozenset(matched.paths)
    for part, pattern in LISTS.items():
        if names := data_set.named(pattern):
            text = read_bytes(data_set.only(names)).decode("utf-8-sig", "replace")
            listed = pd.Series([line.strip().rpartition("/")[2] for line in text.splitlines()], dtype=object)
            listed = frozenset(matched.ids_of(listed)) & here
            return (listed if part == "test" else here - listed) or None
    return None


def _one_row_per_finding(matched: Matched, box_table: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels joined with boxes; and what was set aside or read as another spelling.

    A label without a box has one row whose corners are NaN. A box whose image does not have its label is set aside.
    """
    entries = matched.rows
    labels = entries[["image_id", "Finding Labels"]].set_axis(["image_id", "class_name"], axis=1)
    labels = labels.assign(class_name=labels["class_name"].str.split("|"), line=labels.index).explode("class_name")
    labels["class_name"], in_labels = rename(labels["class_name"], "nih")
    labels = labels.drop_duplicates(["image_id", "class_name"])
    boxes = read_rows(box_table, ["Image Index", "Finding Label"]).iloc[:, :6]
    if len(boxes.columns) < 6:
        raise AnnotationError(
            f"{box_table} has {len(boxes.columns)} columns; expected Image Index, Finding Label and four for x, y, "
            "width and height of the box; download it again"
        )
    boxes.columns = ["image_id", "class_name", *SIDES]
    boxes[SIDES] = pd.DataFrame({side: numbers_of(boxes, side, box_table) for side in SIDES})
    boxes["row"] = boxes.index
    boxes["image_id"] = matched.ids_of(boxes["image_id"])
    boxes["class_name"], in_boxes = rename(boxes["class_name"], "nih")
    boxes["x_max"], boxes["y_max"] = boxes["x_min"] + boxes["width"], boxes["y_min"] + boxes["height"]
    rows = labels.merge(boxes, how="left").assign(rad_id="NIH").set_index("line")

    here = boxes[boxes["image_id"].isin(list(matched.paths))]
    unlabelled = here.loc[~here["row"].isin(rows["row"]), ["image_id", "row"]]
    unlabelled = unlabelled.assign(reason="box of a label that the image does not have; dropped")
    return rows[COLUMNS], pd.concat([in_labels, in_boxes, unlabelled], ignore_index=True)
