"""VinBigData as PNG or JPEG images of any size, with the original sizes, in whose pixels the boxes are."""

from pathlib import Path

import pandas as pd

from cxrlib.data.annotations import (
    BOX_COLUMNS,
    COLUMNS,
    VINBIGDATA_CLASSES,
    AnnotationError,
    check_annotations,
    public_annotations_path,
    read_rows,
)
from cxrlib.data.archive import Root
from cxrlib.data.images import ImageError, read_grey
from cxrlib.data.sources.base import (
    PICTURES,
    Source,
    SourceError,
    found_in,
    image_paths,
    images_of_patients,
    open_data_set,
)

META = "train_meta.csv"


PROBED = 20
"""Number of images whose size is compared with their boxes when the original sizes are unknown."""


def open_vinbigdata_resized(path: Path) -> Source:
    """Read annotations and original sizes of a folder or zip, and locate its images.

    Annotations are read from train.csv or, without it, from the public annotations, which are the same. Original sizes
    are read from train_meta.csv (image_id, dim0 = height, dim1 = width) or from the columns width and height of
    train.csv. Without either, boxes must be in pixels of the images.

    Raises:
        SourceError: no image, or boxes that cannot be in pixels of the images.
        AnnotationError: a CSV cannot be used.
    """
    root = open_data_set(path, [])
    paths = image_paths(root, PICTURES)
    root_csv = root / "train.csv"
    rows = read_rows(root_csv if root_csv.exists() else public_annotations_path(), COLUMNS)
    if not paths or not rows["image_id"].isin(list(paths)).any():
        raise SourceError(
            f"data.root: {path} holds no PNG or JPEG image of the annotations; expected train/<image_id>.png or .jpg, "
            f"optionally train.csv and {META}, found {found_in(root)}"
        )
    annotations, skipped = check_annotations(rows, VINBIGDATA_CLASSES, str(root_csv))
    image_ids = annotations["image_id"].drop_duplicates()
    absent = image_ids[~image_ids.isin(list(paths))]
    annotations = annotations[~annotations["image_id"].isin(absent)]
    frame = _original_sizes(root, rows)
    if frame is None:
        _require_boxes_inside(annotations, paths)
    else:
        _require_sizes(frame, annotations, root)
    image_ids = image_ids.drop(absent.index)
    missing = pd.DataFrame({"image_id": absent, "row": absent.index, "reason": "no image file"})
    return Source(
        name="vinbigdata-resized",
        description="VinBigData chest radiographs, resized copies",
        rendered=False,
        classes=VINBIGDATA_CLASSES,
        annotations=annotations,
        images=images_of_patients(image_ids, image_ids.map(paths)),
        skipped=pd.concat([skipped, missing], ignore_index=True),
        box_frame=frame,
    )


def _original_sizes(root: Root, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Width and height of every original image by image_id, from train_meta.csv or else from train.csv."""
    if (root / META).exists():
        sizes = read_rows(root / META, ["image_id", "dim0", "dim1"])
        sizes = sizes.rename(columns={"dim0": "height", "dim1": "width"})
    elif {"width", "height"} <= set(rows.columns):
        sizes = rows
    else:
        return None
    return sizes.drop_duplicates("image_id").set_index("image_id")[["width", "height"]]


def _require_sizes(frame: pd.DataFrame, annotations: pd.DataFrame, root: Root) -> None:
    boxed = annotations.loc[annotations["x_min"].notna(), "image_id"]
    unknown = boxed[~boxed.isin(frame.index)]
    if len(unknown):
        raise AnnotationError(
            f"{root / META} lacks image {unknown.iloc[0]}, which has a box (row {unknown.index[0]}); add its size"
        )


def _require_boxes_inside(annotations: pd.DataFrame, paths: dict[str, str]) -> None:
    """Refuse boxes that reach outside the images, since such boxes are in pixels of the original images.

    An image that cannot be read says nothing of this; the conversion lists it.
    """
    limits = annotations.groupby("image_id")[BOX_COLUMNS[2:]].max().dropna().head(PROBED)
    for image_id, (right, bottom) in limits.iterrows():
        try:
            height, width = read_grey(paths[image_id]).shape
        except ImageError:
            continue
        if right > width + 1 or bottom > height + 1:
            raise SourceError(
                f"data.root: image {image_id} is {width} x {height} pixels, but a box of it reaches to "
                f"({right:g}, {bottom:g}): the boxes are in pixels of the original images. Put {META} beside the "
                "images (columns image_id, dim0, dim1: height and width of the originals)"
            )
