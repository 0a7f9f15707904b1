"""VinBigData as PNG or JPEG images of any size, with the original sizes, in whose pixels the boxes are."""

import contextlib
from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import (
    BOX_COLUMNS,
    COLUMNS,
    VINBIGDATA_CLASSES,
    check_annotations,
    public_annotations_path,
    require_names,
)
from cxrlib.data.images import ImageError, read_grey
from cxrlib.data.rows import AnnotationError, numbers_of, read_rows
from cxrlib.data.sources.base import Source, images_of_patients
from cxrlib.data.sources.data_set import PICTURES, DataSet, Matched, SourceError, match_images, open_data_set

META = "train_meta.csv"


ANNOTATING = ["class_name", "class_id", "rad_id", *BOX_COLUMNS]
"""Columns by which a table is known to annotate images."""


PROBED = 20
"""Number of images whose size is compared with their boxes when the original sizes are unknown."""


def open_vinbigdata_resized(path: Path) -> Source:
    """Read annotations and original sizes of a folder or zip, and locate its images.

    Annotations are read from train.csv or, if no table is called so, from the one table that annotates images. The
    public annotations are read only where the data set has no such table; the description then says so. Original sizes
    are read from train_meta.csv (image_id, dim0 = height, dim1 = width) or from the columns width and height of
    train.csv. Without either, boxes must be in pixels of the images.

    Raises:
        SourceError: no image, several tables that could be meant, or boxes that cannot be in pixels of the images.
        AnnotationError: a CSV cannot be used.
    """
    data_set = open_data_set(path)
    own = _own_table(data_set)
    table = own or str(public_annotations_path())
    rows = read_rows(table, COLUMNS, optional=["width", "height"])
    require_names(rows, table)
    matched = match_images(rows, data_set.images(PICTURES))
    if not matched.paths:
        raise SourceError(
            f"data.root: {path} holds no PNG or JPEG image of the annotations; expected train/<image_id>.png or .jpg, "
            f"optionally train.csv and {META}, found {data_set.found}"
        )
    annotations, skipped = check_annotations(matched.rows, VINBIGDATA_CLASSES, table)
    meta = data_set.only(found) if (found := data_set.named(META.replace(".", r"\."))) else None
    frame = _original_sizes(meta, rows, table, matched)
    if frame is None:
        _require_boxes_inside(annotations, matched.paths)
    else:
        _require_sizes(frame, annotations, meta or table)
    description = "VinBigData chest radiographs, resized copies"
    if own is None:
        description += "; labels and boxes from the public annotations, since no table here has any"
    return Source(
        name="vinbigdata-resized",
        description=description,
        rendered=False,
        classes=VINBIGDATA_CLASSES,
        annotations=annotations,
        images=images_of_patients(matched.paths),
        skipped=pd.concat([skipped, matched.skipped], ignore_index=True),
        box_frame=frame,
    )


def _own_table(data_set: DataSet) -> str | None:
    """Path of the data set's own annotations; None where no table has a column of annotations."""
    found = data_set.named(r"train\.csv(\.gz)?") or data_set.tables(ANNOTATING, least=1)
    return data_set.only(found) if found else None


def _original_sizes(meta: str | None, rows: pd.DataFrame, table: str, matched: Matched) -> pd.DataFrame | None:
    """Width and height of every original image by image_id, from train_meta.csv or else from train.csv."""
    if meta:
        sizes, path = read_rows(meta, ["image_id", "dim0", "dim1"]), meta
        sizes = sizes.rename(columns={"dim0": "height", "dim1": "width"})
    elif {"width", "height"} <= set(rows.columns):
        sizes, path = rows, table
    else:
        return None
    sizes = pd.DataFrame(
        {
            "image_id": matched.ids_of(sizes["image_id"]),
            "width": numbers_of(sizes, "width", path),
            "height": numbers_of(sizes, "height", path),
        }
    )
    sizes = sizes[(sizes["width"] > 0) & (sizes["height"] > 0)]
    return sizes.drop_duplicates("image_id").set_index("image_id")


def _require_sizes(frame: pd.DataFrame, annotations: pd.DataFrame, path: str) -> None:
    boxed = annotations.loc[annotations["x_min"].notna(), "image_id"]
    unknown = boxed[~boxed.isin(frame.index)]
    if len(unknown):
        raise AnnotationError(
            f"{path} lacks image {unknown.iloc[0]}, which has a box (row {unknown.index[0]}); add its size"
        )


def _require_boxes_inside(annotations: pd.DataFrame, paths: dict[str, str]) -> None:
    """Refuse boxes that reach outside the images, since such boxes are in pixels of the original images.

    An image that cannot be read says nothing of this; the conversion lists it.
    """
    limits = annotations.groupby("image_id")[BOX_COLUMNS[2:]].max().dropna().head(PROBED)
    for image_id, (right, bottom) in limits.iterrows():
        with contextlib.suppress(ImageError):  # the conversion lists it
            height, width = read_grey(paths[image_id]).shape
            if right > width + 1 or bottom > height + 1:
                raise SourceError(
                    f"data.root: image {image_id} is {width} x {height} pixels, but a box of it reaches to "
                    f"({right:g}, {bottom:g}): the boxes are in pixels of the original images. Put {META} beside the "
                    "images (columns image_id, dim0, dim1: height and width of the originals)"
                )
