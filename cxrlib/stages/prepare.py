"""From a source to a cohort: convert, rescale, split, store."""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS, clip_boxes, union_labels
from cxrlib.data.convert import convert_images
from cxrlib.data.keys import did_you_mean, name_key
from cxrlib.data.sources.base import Source
from cxrlib.data.sources.demo import drawn_demo
from cxrlib.data.sources.registry import open_source
from cxrlib.data.split import split_hash, split_studies
from cxrlib.params import Data, Labels, ParameterError
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import file_sha256, fingerprint, whole_file, write_json


def open_data(data: Data, rendered_folder: Path, workers: int) -> Source:
    """Open the source that the parameters name.

    Args:
        data: the data section.
        rendered_folder, workers: as in `open_source`.

    Raises:
        SourceError: the folder does not hold the data set.
        AnnotationError: its annotations cannot be used.
    """
    root = Path(data.root) if data.root else None
    drawn = (data.n_studies, data.no_finding_share, data.seed)
    return open_source(data.source, root, rendered_folder, *drawn, workers)


def planned_source(data: Data) -> Source:
    """The source that the parameters name as its tables have it: nothing is rendered, and no image is read.

    Raises:
        SourceError, AnnotationError: as `open_data`.
    """
    if data.source == "demo":
        return drawn_demo(data.n_studies, data.no_finding_share, data.seed)
    return open_data(data, Path(), workers=1)


def prepare_cohort(source: Source, folder: Path, data: Data, labels: Labels, workers: int) -> pd.DataFrame:
    """Convert, rescale, split and store a source in `folder`.

    An image that cannot be read is set aside, and so is one that shows nothing, unless none of all images shows more.

    Returns:
        Everything that was skipped or changed: columns image_id, row (line of the annotation file or NaN), reason.

    Raises:
        Refusal: no image could be read. `folder` then holds no cohort, as after the next.
        ParameterError: a split has no study of an experiment, or a label of an experiment has no positives in the
            training split.
    """
    labels = known_labels(source.classes, labels)
    (folder / "cohort.json").unlink(missing_ok=True)  # the last thing written: nobody reads a cohort half changed
    sizes = convert_images(source.images, folder, data.image_size, workers, data.max_pixels).set_index("image_id")
    shown, readable = sizes["reason"] == "", sizes["width"] > 0
    unreadable = sizes.index[~(shown if shown.any() else readable)]
    if len(unreadable) == len(sizes):
        raise Refusal(
            f"data.root: none of the {len(sizes)} images could be read; the first: {sizes['reason'].iloc[0]}; check "
            "that the data set is complete"
        )
    annotations = source.annotations[~source.annotations["image_id"].isin(unreadable)]
    annotations, clipped = rescale(annotations, sizes, data.image_size, source.box_frame)

    studies = source.images.set_index("image_id")[["patient_id"]].join(sizes[["width", "height"]])
    table = union_labels(annotations, source.classes).reindex(studies.index, fill_value=0)
    usable = ~studies.index.isin(unreadable)
    split = _split(table[usable], studies["patient_id"][usable], source.official_test, data, labels)
    studies["split"] = split.reindex(studies.index).fillna("unreadable")

    stored = {
        "source": source.name,
        "description": source.description,
        "rendered": source.rendered,
        "classes": source.classes,
        "experiments": labels.experiments,
        "explained": labels.explained,
        "size": data.image_size,
        "split": split_hash(split),
    }
    # root is where the data happen to lie
    parts = [data.model_dump(exclude={"root"}), annotations.to_csv(), studies.to_csv(), table.to_csv()]
    stored["data"] = fingerprint([stored, *parts, file_sha256(folder / "pixels.npy")])
    for name, frame in {"studies": studies, "annotations": annotations, "labels": table}.items():
        with whole_file(folder / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=name != "annotations")
    write_json(folder / "cohort.json", stored)

    reasons = sizes["reason"][~shown]
    kept = np.where(reasons.index.isin(unreadable), "", "; kept, since no image shows more")
    failed = pd.DataFrame({"image_id": reasons.index, "row": np.nan, "reason": reasons + kept})
    return pd.concat([source.skipped, clipped, failed], ignore_index=True)


def check_source(source: Source, data: Data, labels: Labels) -> None:
    """Refuse what `prepare_cohort` would refuse of the tables of a source, without looking at an image.

    Raises:
        ParameterError: as `prepare_cohort`, if all images can be read.
    """
    labels = known_labels(source.classes, labels)
    patients = source.images.set_index("image_id")["patient_id"]
    table = union_labels(source.annotations, source.classes).reindex(patients.index, fill_value=0)
    _split(table, patients, source.official_test, data, labels)


def _split(
    table: pd.DataFrame, patients: pd.Series, official_test: frozenset[str] | None, data: Data, labels: Labels
) -> pd.Series:
    """The split of every study; a data set's own test split is kept, and validation is drawn from the rest.

    Raises:
        ParameterError: a split has no study of an experiment, or a label has no positives to train on.
    """
    explained = labels.experiments[labels.explained]
    is_test = table.index.isin(official_test or [])
    test_share = data.test_share if official_test is None else 0.0
    drawn = split_studies(table[~is_test], patients[~is_test], explained, data.valid_share, test_share, data.seed)
    split = pd.concat([drawn, pd.Series("test", table.index[is_test])]).reindex(table.index).rename("split")
    more = "raise data.n_studies" if data.source == "demo" else f"patients in the data set: {patients.nunique():,}"
    _require_studies(table, split, labels, more)
    _require_positives(table[split == "train"], labels, more)
    return split


def rescale(
    annotations: pd.DataFrame, sizes: pd.DataFrame, size: int, box_frame: pd.DataFrame | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clip boxes to their image and rescale them to the square frame of `size` pixels (thesis, section 4.1).

    Args:
        annotations: boxes in pixels of `box_frame` or, where that is None, of the file.
        sizes: width and height of every file in pixels, indexed by image_id.
        box_frame: width and height behind the boxes, indexed by image_id, where the files were resized.

    Returns:
        Annotations in the square frame, and what was clipped or removed (image_id, row, reason).
    """
    frame = sizes if box_frame is None else box_frame
    clipped, changed = clip_boxes(annotations, frame["width"], frame["height"])
    for column in BOX_COLUMNS:
        side = "width" if column.startswith("x") else "height"
        clipped[column] *= size / clipped["image_id"].map(frame[side])
    return clipped, changed


def known_labels(classes: list[str], labels: Labels) -> Labels:
    """The same experiments with their labels in the data set's spelling, from which they may differ in case and blanks.

    Args:
        classes: of the data set.
        labels: the labels section.

    Raises:
        ParameterError: a label is none of `classes`, or an experiment names one twice. Hours of conversion come later.
    """
    spelling = {name_key(name): name for name in classes}
    experiments = {}
    for name, wanted in labels.experiments.items():
        for label in wanted:
            if name_key(label) not in spelling:
                raise ParameterError(
                    f"labels.experiments[{name!r}]: unknown label {label!r}; {did_you_mean(label, classes)}known are "
                    f"{', '.join(classes)}; choose from these"
                )
        experiments[name] = [spelling[name_key(label)] for label in wanted]
        if len(set(experiments[name])) < len(wanted):
            twice = next(label for label in wanted if experiments[name].count(spelling[name_key(label)]) > 1)
            raise ParameterError(f"labels.experiments[{name!r}]: names {twice!r} twice, in two spellings; take one out")
    return labels.model_copy(update={"experiments": experiments})


def _require_studies(table: pd.DataFrame, split: pd.Series, labels: Labels, more: str) -> None:
    for name, wanted in labels.experiments.items():
        counts = split[table[wanted].any(axis=1)].value_counts()
        for part in ("train", "valid", "test"):
            if not counts.get(part, 0):
                raise ParameterError(
                    f"labels.experiments[{name!r}]: no {part} study has any of its labels; change data.valid_share or "
                    f"data.test_share, take out the experiment, or use more studies ({more})"
                )


def _require_positives(table: pd.DataFrame, labels: Labels, more: str) -> None:
    for name, wanted in labels.experiments.items():
        empty = [label for label in wanted if not table[label].any()]
        if empty:
            raise ParameterError(
                f"labels.experiments[{name!r}]: no positive training study for {', '.join(empty)}; "
                f"take the label out or use more studies ({more})"
            )
