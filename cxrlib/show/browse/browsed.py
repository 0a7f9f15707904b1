"""What a browser looks at: a cohort, stored maps by method and layer, and the network that made them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.cohort import Cohort, load_cohort
from cxrlib.evaluate.boxes import boxes_from_mask
from cxrlib.evaluate.localisation import hit
from cxrlib.explain.explanations import Explanations, load_explanations
from cxrlib.explain.maps import upscale
from cxrlib.explain.masks import top_pixels
from cxrlib.model.checkpoint import checkpoint_path, load_checkpoint
from cxrlib.model.inference import inference_copy
from cxrlib.runtime.device import pick_device
from cxrlib.runtime.files import read_json

GRADCAM = "Grad-CAM"


LAST_LAYER = "last block"
"""What a layer is called where a method has maps of one layer only."""


@dataclass(frozen=True)
class View:
    """Which heatmap, and how much of it: `share` is the fraction of its pixels that make the mask."""

    image_id: str
    class_name: str
    method: str
    layer: str
    share: float


@dataclass(frozen=True)
class Evidence:
    """What a heatmap and the readers say about one study and class.

    Attributes:
        heatmap: raw map in the network's frame, float32 (input_size, input_size); None where there is none.
        mask: its top pixels, boolean, same shape; all False where there is no heatmap.
        predicted: boxes of the mask (n, 4) in pixels of the stored image.
        readers: rad_id and BOX_COLUMNS of all readers' boxes, same pixels.
        hit: whether the heatmap's strongest cell lies in a reader's box.
    """

    heatmap: np.ndarray | None
    mask: np.ndarray
    predicted: np.ndarray
    readers: pd.DataFrame
    hit: bool = False

    @property
    def true(self) -> np.ndarray:
        """The readers' boxes, (n, 4)."""
        return self.readers[BOX_COLUMNS].to_numpy()


@dataclass(frozen=True)
class BrowsedRun:
    """A run as the browser sees it.

    Attributes:
        cohort: pixels, labels and boxes.
        methods: method -> layer -> maps; the first one's studies and probabilities are those that are browsed. Others
            may hold fewer studies.
        network: logits of normalised inputs, for perturbation and own images; None leaves these two out.
    """

    cohort: Cohort
    methods: dict[str, dict[str, Explanations]]
    network: nn.Module | None = None

    @cached_property
    def explanations(self) -> Explanations:
        """The first method's maps."""
        return next(iter(next(iter(self.methods.values())).values()))

    @property
    def probabilities(self) -> pd.DataFrame:
        """Image_id by class."""
        return self.explanations.probabilities

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the network's outputs."""
        return self.explanations.classes

    def first_view(self, image_id: str, class_name: str, share: float) -> View:
        """A view of the first method's first layer."""
        method, layers = next(iter(self.methods.items()))
        return View(image_id, class_name, method, next(iter(layers)), share)

    def raw_map(self, view: View) -> torch.Tensor | None:
        """The stored map (rows, columns) of a view; None where that method holds no such study or class."""
        store = self.methods.get(view.method, {}).get(view.layer)
        if store is None or view.image_id not in store.probabilities.index or view.class_name not in store.classes:
            return None
        return store.map(view.image_id, view.class_name)

    def evidence(self, view: View) -> Evidence:
        """Heatmap, mask, predicted boxes and readers' boxes of a view."""
        return evidence_of(
            self.raw_map(view),
            self.cohort.boxes(view.image_id, view.class_name),
            view.share,
            self.explanations.input_size,
            self.cohort.size,
        )


def evidence_of(raw: torch.Tensor | None, readers: pd.DataFrame, share: float, input_size: int, size: int) -> Evidence:
    """Evidence from a raw map (rows, columns).

    Args:
        readers: rad_id and BOX_COLUMNS.
        share: fraction of the pixels that make the mask.
        input_size: side in pixels of the frame in which the mask is made.
        size: side in pixels of the frame of the boxes.
    """
    if raw is None:
        return Evidence(None, np.zeros((input_size, input_size), bool), np.empty((0, 4)), readers)
    heatmap = upscale(raw, input_size)
    mask = top_pixels(heatmap, share).numpy()
    strongest = hit(raw, readers[BOX_COLUMNS].to_numpy(), size)
    return Evidence(heatmap.numpy(), mask, boxes_from_mask(mask, size), readers, strongest)


def by_method(maps: Explanations | Mapping) -> dict[str, dict[str, Explanations]]:
    """Method -> layer -> maps, from one store, or from a mapping of methods to stores or to layers' stores."""
    methods = {GRADCAM: maps} if isinstance(maps, Explanations) else dict(maps)
    return {
        name: {LAST_LAYER: layers} if isinstance(layers, Explanations) else dict(layers)
        for name, layers in methods.items()
    }


def load_results(folder: Path, with_network: bool = True) -> BrowsedRun:
    """Read a run's folder: cohort, model, and maps/test.npz and maps/test-METHOD.npz or test-METHOD@LAYER.npz.

    Raises:
        Missing: no cohort or no maps; the message names the notebook that makes them.
        Refusal: what is there cannot be used.
    """
    cohort = load_cohort(folder / "data")
    first = load_explanations(folder / "maps" / "test.npz")
    methods = {GRADCAM: {LAST_LAYER: first}}
    for path in sorted((folder / "maps").glob("test-*.npz")):
        method, _, layer = path.stem.removeprefix("test-").partition("@")
        store = load_explanations(path)
        if store.identity == first.identity:  # else it is left from another model
            methods.setdefault(method, {})[layer or LAST_LAYER] = store
    path = checkpoint_path(folder / "models", cohort.experiment)
    if not with_network or not path.exists():
        return BrowsedRun(cohort, methods)
    params = folder / "params.json"  # not there where the notebooks were run by hand
    device = pick_device(read_json(params)["parameters"]["compute"]["device"] if params.exists() else "auto")
    return BrowsedRun(cohort, methods, inference_copy(load_checkpoint(path, device)[0], first.layer))


def browsable_runs(outputs: Path) -> dict[str, Path]:
    """Folders below `outputs` that hold a cohort and maps, by name."""
    stores = sorted(outputs.glob("*/maps/test.npz"))
    folders = [path.parent.parent for path in stores]
    return {folder.name: folder for folder in folders if (folder / "data" / "cohort.json").exists()}
