"""Probabilities and all-class Grad-CAM maps of a split: computed once, stored in one file, read by every notebook."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch

from cxrlib.explain.maps import random_maps
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import existing, whole_file
from cxrlib.runtime.store import identity_of, keep

DAMAGED = (OSError, KeyError, EOFError, ValueError, BadZipFile, zlib.error)
"""What reading a file that is no whole npz file raises."""


@dataclass(frozen=True)
class Explanations:
    """Raw low-resolution maps and probabilities of some studies.

    Attributes:
        probabilities: float32, image_id by class.
        maps: raw Grad-CAM, float32 (studies, classes, rows, columns), in the order of `probabilities`.
        input_size: side in pixels of the network's input, the frame in which masks are made.
        identity: fingerprint of the model, data, parameters and code that made them; empty where no record says it.
        layer: name of the module whose output is explained.
        beside: `identity` of the Grad-CAM maps of the same model and data that another method's maps stand beside;
            empty for these themselves.
    """

    probabilities: pd.DataFrame
    maps: torch.Tensor
    input_size: int
    identity: str
    layer: str = "layer4"
    beside: str = ""

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the maps."""
        return self.probabilities.columns.tolist()

    def map(self, image_id: str, class_name: str) -> torch.Tensor:
        """Raw map (rows, columns) of one study and class."""
        row = self.probabilities.index.get_loc(image_id)
        return self.maps[row, self.probabilities.columns.get_loc(class_name)]

    def maps_of(self, cases: pd.DataFrame) -> torch.Tensor:
        """Raw maps (cases, rows, columns) of cases with the columns image_id and class_name.

        Raises:
            KeyError: a study or class is not in the store.
        """
        rows = self.probabilities.index.get_indexer(cases["image_id"])
        columns = self.probabilities.columns.get_indexer(cases["class_name"])
        if len(unknown := cases[(rows < 0) | (columns < 0)]):
            raise KeyError(f"no map of {unknown['class_name'].iloc[0]} of study {unknown['image_id'].iloc[0]!r}")
        return self.maps[torch.as_tensor(rows), torch.as_tensor(columns)]

    def of(self, image_ids: list[str]) -> "Explanations":
        """Some of the studies, in the given order."""
        rows = torch.as_tensor(self.probabilities.index.get_indexer(image_ids))
        return replace(self, probabilities=self.probabilities.loc[image_ids], maps=self.maps[rows])

    def first(self, count: int) -> "Explanations":
        """The first `count` studies, or all where there are fewer."""
        return replace(self, probabilities=self.probabilities[:count], maps=self.maps[:count])

    def with_maps(self, maps: torch.Tensor, image_ids: list[str] | None = None) -> "Explanations":
        """The same probabilities with another method's maps, e.g. SmoothGrad's.

        Args:
            maps: raw, float32 (studies, classes, rows, columns).
            image_ids: the studies of these maps, in their order; all studies when None.
        """
        probabilities = self.probabilities if image_ids is None else self.probabilities.loc[image_ids]
        return replace(self, probabilities=probabilities, maps=maps)

    def with_random_maps(self, seed: int) -> "Explanations":
        """The same probabilities with `random_maps`: the control, which knows nothing of the images."""
        return self.with_maps(random_maps(self.maps.shape, seed))


def join(parts: list[Explanations]) -> Explanations:
    """Explanations of the same model for one list of studies after another, as one."""
    probabilities = pd.concat([part.probabilities for part in parts])
    return replace(parts[0], probabilities=probabilities, maps=torch.cat([part.maps for part in parts]))


def save_explanations(explanations: Explanations, path: Path) -> None:
    """Write one npz file without pickled objects, and the record of what made it (`cxrlib.runtime.store`)."""
    with whole_file(path) as temporary:
        np.savez_compressed(
            temporary,
            image_ids=np.array(explanations.probabilities.index, dtype=np.str_),
            classes=np.array(explanations.classes, dtype=np.str_),
            probabilities=explanations.probabilities.to_numpy(np.float32),
            maps=explanations.maps.numpy(),
            input_size=np.int64(explanations.input_size),
            layer=np.array(explanations.layer, dtype=np.str_),
            beside=np.array(explanations.beside, dtype=np.str_),
        )
    keep(path, explanations.identity)


def load_explanations(path: Path) -> Explanations:
    """Read what `save_explanations` wrote.

    Raises:
        Missing: nothing has written it.
        Refusal: it is damaged.
    """
    existing(path, "run notebook 03_classification first")
    try:
        with np.load(path) as arrays:
            probabilities = pd.DataFrame(arrays["probabilities"], arrays["image_ids"], arrays["classes"])
            return Explanations(
                probabilities.rename_axis("image_id"),
                torch.from_numpy(arrays["maps"]),
                int(arrays["input_size"]),
                identity_of(path) or "",
                str(arrays["layer"]),
                str(arrays["beside"]),
            )
    except DAMAGED as error:
        raise Refusal(
            f"{path}: no readable heatmaps ({type(error).__name__}: {error}); delete it and run again the notebook "
            "that made it"
        ) from error
