"""The cohort of a run: studies, labels, boxes and pixels, all in one frame of square images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.annotations import BOX_COLUMNS, NO_FINDING, reader_order
from cxrlib.data.provenance import NO_DATA, Provenance
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.runtime.files import read_json
from cxrlib.runtime.stored_tables import read_stored


@dataclass(frozen=True)
class Cohort:
    """A converted and split data set.

    Attributes:
        studies: indexed by image_id, in the order of `pixels`: patient_id, split, width, height (pixels of the file).
        annotations: rows of `cxrlib.data.annotations.COLUMNS`, boxes in pixels of the stored square images.
        labels: uint8 0/1, image_id by class.
        pixels: uint8 (studies, size, size), memory-mapped.
        folder: where the cohort is stored, with the images in the frame of a network (`cxrlib.stages.inputs`).
        provenance: where pixels and annotations come from.
        experiments: name of each experiment -> its labels.
        experiment: name of the experiment whose model is explained.
    """

    studies: pd.DataFrame
    annotations: pd.DataFrame
    labels: pd.DataFrame
    pixels: np.ndarray
    folder: Path
    provenance: Provenance
    experiments: dict[str, list[str]]
    experiment: str

    @property
    def rendered(self) -> bool:
        """True where the images are drawn, not taken from patients."""
        return self.provenance.rendered

    @property
    def size(self) -> int:
        """Side of the stored images in pixels."""
        return self.pixels.shape[-1]

    @property
    def explained(self) -> list[str]:
        """Labels of the explained experiment."""
        return self.experiments[self.experiment]

    @property
    def findings(self) -> list[str]:
        """Labels of the explained experiment that can have boxes, i.e. without the "No finding" label."""
        return [name for name in self.explained if name != NO_FINDING]

    @property
    def healthy(self) -> str | None:
        """The "No finding" label, if the explained experiment has it."""
        return NO_FINDING if NO_FINDING in self.explained else None

    def __repr__(self) -> str:
        """The number of studies per split and label of the explained experiment."""
        counts = self.labels[self.explained].groupby(self.studies["split"]).sum().T
        counts.loc["studies"] = self.studies["split"].value_counts()
        counts = counts[[name for name in ("train", "valid", "test", "unreadable") if name in counts]]
        return f"{len(self.studies):,} studies, {self.provenance.description}\n{counts.rename_axis(columns=None)}"

    def of(self, split: str, classes: list[str] | None = None) -> list[str]:
        """Image ids of a split that have at least one label of `classes` (default: the explained labels)."""
        in_split = self.studies["split"] == split
        return self.studies.index[in_split & self.labels[classes or self.explained].any(axis=1)].tolist()

    def images(self, image_ids: list[str]) -> np.ndarray:
        """Pixels of the given studies, uint8 (n, size, size)."""
        return self.pixels[self.positions(image_ids)]

    def blocks(self, size: int) -> Iterator[np.ndarray]:
        """All pixels in order, at most `size` studies at a time.

        A stored file is mapped anew for each block, so that memory does not grow with what was read.
        """
        for start in range(0, len(self.pixels), size):
            stored = isinstance(self.pixels, np.memmap)
            pixels = np.load(self.pixels.filename, mmap_mode="r") if stored else self.pixels
            yield pixels[start : start + size]

    def positions(self, image_ids: list[str]) -> np.ndarray:
        """Rows of the given studies in `pixels`, int64 (n,).

        Raises:
            KeyError: the cohort has no such study.
        """
        rows = self.studies.index.get_indexer(image_ids)
        if (rows < 0).any():
            raise KeyError(f"no study {image_ids[int((rows < 0).argmax())]!r} in {self.folder}")
        return rows

    def boxes(self, image_id: str, class_name: str) -> pd.DataFrame:
        """All readers' boxes of one finding: rad_id and BOX_COLUMNS, pixels of the stored image."""
        rows = self.rows_of([image_id])
        classes, boxed = self._classes_and_boxed
        wanted = rows[(classes[rows] == class_name) & boxed[rows]]
        return self._boxes.take(wanted)

    def readers(self, image_id: str) -> list[str]:
        """Ids of the readers of one image, R8 before R10."""
        return sorted(self.annotations["rad_id"].take(self.rows_of([image_id])).unique(), key=reader_order)

    def rows_of(self, image_ids: Iterable[str]) -> np.ndarray:
        """Positions in `annotations` of all rows of some studies, in their order there, int64 (rows,)."""
        found = [self._read[image_id] for image_id in image_ids if image_id in self._read]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    def boxes_of(self, image_id: str) -> np.ndarray:
        """All readers' boxes of all `findings` on one image: float (n, 4), pixels of the stored image."""
        return np.concatenate([self.boxes(image_id, name)[BOX_COLUMNS].to_numpy(float) for name in self.findings])

    @cached_property
    def _read(self) -> dict[str, np.ndarray]:
        """Positions of the rows of the annotations, by image_id."""
        return self.annotations.groupby("image_id").indices

    @cached_property
    def _boxes(self) -> pd.DataFrame:
        """What `boxes` returns of every row."""
        return self.annotations[["rad_id", *BOX_COLUMNS]]

    @cached_property
    def _classes_and_boxed(self) -> tuple[np.ndarray, np.ndarray]:
        """The class of every row of the annotations, and whether it has a box."""
        return self.annotations["class_name"].to_numpy(object), self.annotations["x_min"].notna().to_numpy()


def read_studies(folder: Path) -> pd.DataFrame:
    """`Cohort.studies` alone, of a cohort stored in `folder`."""
    return read_stored(folder / "studies.csv", index="image_id")


def read_provenance(folder: Path) -> Provenance:
    """`Cohort.provenance` alone, of a cohort stored in `folder`; NO_DATA where none is stored."""
    path = folder / "cohort.json"
    return _provenance(read_json(path)) if path.exists() else NO_DATA


def _provenance(stored: dict) -> Provenance:
    return Provenance(**{field.name: stored[field.name] for field in fields(Provenance)})


def load_cohort(folder: Path) -> Cohort:
    """Open what `cxrlib.stages.prepare.prepare_cohort` stored.

    Raises:
        Missing: the folder holds no cohort; notebook 01 makes it.
        Refusal: a file of the cohort is gone or damaged.
    """
    if not (folder / "cohort.json").exists():
        raise Missing(f"{folder} holds no cohort; run notebook 01_data first")
    stored = read_json(folder / "cohort.json")
    try:
        return Cohort(
            studies=read_studies(folder),
            annotations=read_stored(folder / "annotations.csv"),
            labels=read_stored(folder / "labels.csv", index="image_id").astype("uint8"),
            pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
            folder=folder,
            provenance=_provenance(stored),
            experiments=stored["experiments"],
            experiment=stored["explained"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise Refusal(
            f"{folder}: the cohort is damaged or of another version ({type(error).__name__}: {error}); delete the "
            "folder and run notebook 01_data again"
        ) from error
