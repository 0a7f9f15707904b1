"""Radiologists' annotations: one row per box (or per finding without a box) and reader."""

from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.keys import did_you_mean, list_respelled, respell, respelled
from cxrlib.data.provenance import Provenance
from cxrlib.data.rows import AnnotationError, numbers_of, read_rows, require_filled
from cxrlib.runtime.errors import Refusal

NO_FINDING = "No finding"


VINBIGDATA_CLASSES = [
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    NO_FINDING,
]
"""The class names of VinBigData's train.csv, at the position of their class_id."""


NO_FILE_NAME = r"[/\\\x00]|^\.{1,2}$"
"""Image ids that would lead out of the folder of images."""


BOX_COLUMNS = ["x_min", "y_min", "x_max", "y_max"]
"""Corners of a box in pixels: x to the right, y downwards. The minima are inside the box, the maxima are not."""


COLUMNS = ["image_id", "class_name", "rad_id", *BOX_COLUMNS]
"""Columns of annotations: one row per box, or per label without a box, and reader."""


PUBLIC_ANNOTATIONS = Provenance(
    "vinbigdata annotations",
    "train.csv of the VinBigData Chest X-ray Abnormalities Detection, as torchxrayvision carries it",
)
"""Provenance of tables and figures that need the real annotations only, and no images."""


def public_annotations_path() -> Path:
    """Path of VinBigData's real train.csv (15,000 studies), which the torchxrayvision package carries.

    Raises:
        Refusal: the installed package does not carry it.
    """
    name = "torchxrayvision/data/vinbigdata-train.csv.gz"
    for file in metadata.files("torchxrayvision") or []:
        if str(file) == name:
            return Path(str(file.locate()))
    raise Refusal(f"torchxrayvision is installed without {name}; run: pip install -U torchxrayvision")


def reader_order(rad_id: str) -> tuple[int, str]:
    """Sort key of readers, by which R8 comes before R10.

    >>> sorted(["R10", "R8"], key=reader_order)
    ['R8', 'R10']
    """
    return len(rad_id), rad_id


def read_annotations(path: str | Path, classes: list[str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a CSV in the columns of VinBigData's train.csv.

    Args:
        path: CSV with at least the columns of `COLUMNS`; boxes in pixels of the original image.
        classes: allowed class names; VinBigData's when None.

    Returns:
        The annotations (columns `COLUMNS`, box columns float64, NaN where there is no box), and what was
        set aside (columns image_id, row, reason). Row is the line number in the file and the annotations' index.

    Raises:
        AnnotationError: the file is empty, lacks a column, or names an unknown class.
    """
    return check_annotations(read_rows(path, COLUMNS), classes or VINBIGDATA_CLASSES, str(path))


def require_names(frame: pd.DataFrame, name: str) -> None:
    """Refuse rows without image, class or reader, and image ids that cannot be the name of a file.

    Args:
        frame: with the columns of `COLUMNS`; the index is the line in the file.
        name: what error messages call the file.
    """
    require_filled(frame, COLUMNS[:3], name)
    outside = frame["image_id"].str.contains(NO_FILE_NAME)
    if outside.any():
        wrong = frame["image_id"][outside].iloc[0][:80]
        raise AnnotationError(
            f"{name}, row {outside.idxmax()}, field image_id: {wrong!r} cannot be the name of a file; an id holds no "
            "slash, backslash or NUL, and is not . or .."
        )


def check_annotations(frame: pd.DataFrame, classes: list[str], name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Refuse what cannot be used, give every class and reader one spelling, and set aside impossible boxes.

    A box is impossible when it is inverted, has no area or lacks a coordinate. Its row stays as a label without a
    box, since the reader gave the label. Duplicated rows are set aside.

    Args:
        frame: rows with the columns of `COLUMNS`, as `read_rows` returns them; box columns may be numbers already.
        classes: allowed class names.
        name: what error messages call the file.

    Returns:
        Annotations and the list of what was set aside or read as another spelling, as `read_annotations`.

    Raises:
        AnnotationError: a class name is not among `classes`; an image id, class or reader is missing; a box has no
            numbers; all boxes are fractions of their image; or two spellings could be two readers.
    """
    require_names(frame, name)
    as_known, as_one = respelled(frame["class_name"], classes), respelled(frame["rad_id"])
    changes = [
        list_respelled(frame["class_name"], as_known, "class"),
        list_respelled(frame["rad_id"], as_one, "reader"),
    ]
    _require_one_reader(frame, as_one, name)
    frame = frame[COLUMNS].assign(
        class_name=respell(frame["class_name"], as_known), rad_id=respell(frame["rad_id"], as_one)
    )
    unknown = ~frame["class_name"].isin(classes)
    if unknown.any():
        wrong = frame["class_name"][unknown].iloc[0]
        raise AnnotationError(
            f"{name}, row {unknown.idxmax()}, field class_name: unknown class {wrong[:80]!r}; "
            f"{did_you_mean(wrong, classes)}known are {', '.join(classes)}; rename the class or drop the row"
        )
    for column in BOX_COLUMNS:
        is_text = not pd.api.types.is_numeric_dtype(frame[column])
        frame[column] = numbers_of(frame, column, name) if is_text else frame[column].astype("float64")
    _require_pixels(frame[BOX_COLUMNS], name)

    duplicated = frame.duplicated()
    boxes = frame[BOX_COLUMNS].replace([float("inf"), float("-inf")], float("nan"))
    frame[BOX_COLUMNS] = boxes
    given = boxes.notna()
    inverted = (frame["x_max"] <= frame["x_min"]) | (frame["y_max"] <= frame["y_min"])
    partial = given.any(axis=1) & ~given.all(axis=1)
    reasons = pd.Series(None, index=frame.index, dtype="object")
    reasons[partial] = "incomplete box; label kept without it"
    reasons[inverted] = "inverted or empty box; label kept without it"
    reasons[duplicated] = "duplicated row; dropped"
    frame.loc[inverted | partial, BOX_COLUMNS] = float("nan")

    skipped = pd.DataFrame({"image_id": frame["image_id"], "row": frame.index, "reason": reasons})
    skipped = pd.concat([skipped[reasons.notna()], *changes], ignore_index=True)
    return frame[~duplicated], skipped


def _require_one_reader(frame: pd.DataFrame, as_one: dict[str, str], name: str) -> None:
    """Refuse spellings of a reader who would then have read an image twice: these can be two people."""
    if not as_one:
        return
    same = respell(frame["rad_id"], as_one)
    spellings = frame["rad_id"].groupby([frame["image_id"], same]).unique()
    doubtful = spellings[spellings.map(len) > 1]
    if len(doubtful):
        both = " and ".join(repr(spelling) for spelling in doubtful.iloc[0])
        raise AnnotationError(
            f"{name}, field rad_id: readers {both} both read image {doubtful.index[0][0]}; write one name if they are "
            "one, and names that differ in more than case and blanks if they are not"
        )


def _require_pixels(boxes: pd.DataFrame, name: str) -> None:
    """Refuse boxes that all lie within 0..1."""
    given = boxes[boxes.notna().all(axis=1)]
    if len(given) and given.min(axis=None) >= 0 and given.max(axis=None) <= 1:
        raise AnnotationError(
            f"{name}, row {given.index[0]}: the boxes look like fractions of the image, all lie within 0 and 1; "
            "multiply x by the width and y by the height of the image in pixels"
        )


def box_centres(boxes: np.ndarray) -> np.ndarray:
    """Centres (x, y) of boxes: `((x_min + x_max) / 2, (y_min + y_max) / 2)`.

    Args:
        boxes: (..., 4), columns as in BOX_COLUMNS.

    Returns:
        (..., 2) in the units of the boxes.

    >>> box_centres(np.array([[2.0, 3.0, 8.0, 7.0]]))
    array([[5., 5.]])
    """
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def clip_boxes(annotations: pd.DataFrame, width: pd.Series, height: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clip boxes to their image; a box wholly outside is removed and its label kept.

    Args:
        annotations: as `read_annotations` returns them, boxes in pixels of the original image.
        width, height: image sizes in the same pixels, indexed by image_id.

    Returns:
        Annotations with every box inside its image, and what was changed (columns image_id, row, reason).
    """
    clipped = annotations.copy()
    limit_x, limit_y = annotations["image_id"].map(width), annotations["image_id"].map(height)
    for column in BOX_COLUMNS:
        limit = limit_x if column.startswith("x") else limit_y
        clipped[column] = annotations[column].clip(lower=0).clip(upper=limit)
    changed = (clipped[BOX_COLUMNS] != annotations[BOX_COLUMNS]).any(axis=1) & annotations["x_min"].notna()
    gone = (clipped["x_max"] <= clipped["x_min"]) | (clipped["y_max"] <= clipped["y_min"])
    clipped.loc[gone, BOX_COLUMNS] = float("nan")
    reasons = pd.Series("box reached outside its image; clipped", index=clipped.index)
    reasons[gone] = "box outside its image; label kept without it"
    skipped = pd.DataFrame({"image_id": clipped["image_id"], "row": clipped.index, "reason": reasons})
    return clipped, skipped[changed].reset_index(drop=True)


def union_labels(annotations: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Labels by union of readers: an image has a label if any reader gave it (thesis, section 4.1).

    Args:
        annotations: rows of `COLUMNS`.
        classes: the columns of the table, in this order.

    Returns:
        uint8 table, one row per image_id in order of first appearance, one column per class.

    >>> rows = [("b", "R1", "Mass"), ("a", "R1", "No finding"), ("b", "R2", "Mass")]
    >>> annotations = pd.DataFrame(rows, columns=["image_id", "rad_id", "class_name"])
    >>> union_labels(annotations, ["Mass", "Nodule"]).to_dict("index")
    {'b': {'Mass': 1, 'Nodule': 0}, 'a': {'Mass': 0, 'Nodule': 0}}
    """
    order = annotations["image_id"].drop_duplicates()
    table = pd.crosstab(annotations["image_id"], annotations["class_name"]).clip(upper=1)
    return table.reindex(index=order, columns=classes, fill_value=0).astype("uint8").rename_axis(columns=None)


def reader_counts(annotations: pd.DataFrame) -> pd.DataFrame:
    """Number of readers who gave each label: int64 table, image_id by class_name.

    >>> given = {"image_id": ["a", "a", "a"], "rad_id": ["R1", "R1", "R2"], "class_name": "Mass"}
    >>> reader_counts(pd.DataFrame(given)).to_dict("index")  # R1 drew two boxes
    {'a': {'Mass': 2}}
    """
    return annotations.groupby(["image_id", "class_name"])["rad_id"].nunique().unstack(fill_value=0)


def unanimous_shares(counts: pd.DataFrame, classes: list[str]) -> pd.Series:
    """Of the images with a label, the fraction on which all three of their readers gave it.

    Args:
        counts: readers who gave each label, image_id by class, from `reader_counts`.
        classes: labels to report, in this order; those without an image are left out.

    >>> unanimous_shares(pd.DataFrame({"A": [3, 3, 1, 0], "B": [0, 0, 2, 1]}), ["B", "A"]).round(2).to_dict()
    {'B': 0.0, 'A': 0.67}
    """
    shares = (counts == 3).sum() / (counts > 0).sum()
    return shares[[name for name in classes if name in shares]]
