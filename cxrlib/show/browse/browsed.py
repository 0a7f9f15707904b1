"""The run that a browser shows: a cohort, stored maps by method and layer, and the network that made them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
from cxrlib.model.networks import normalise, to_input
from cxrlib.runtime.device import pick_device
from cxrlib.runtime.files import read_json, shown_files
from cxrlib.show.browse.on_demand import LAST_LAYER, Later, MapKey, OnDemand
from cxrlib.show.browse.stamps import Stamp, check, stamps

GRADCAM = "Grad-CAM"


COHORT_FILES = ["cohort.json", "studies.csv", "labels.csv", "annotations.csv", "pixels.npy"]


@dataclass(frozen=True)
class View:
    """The choice of one heatmap; `share` is the fraction of its pixels that make the mask."""

    image_id: str
    class_name: str
    method: str
    layer: str
    share: float

    @property
    def key(self) -> MapKey:
        """Whose map it is, whatever its class."""
        return MapKey(self.method, self.layer, self.image_id)


@dataclass(frozen=True)
class Evidence:
    """The heatmap and the readers' boxes of one study and class.

    Attributes:
        heatmap: raw map in the network's frame, float32 (input_size, input_size); None where there is none.
        mask: the heatmap's top pixels, boolean, same shape; all False where there is no heatmap.
        predicted: boxes of the mask (n, 4) in pixels of the stored image.
        readers: rad_id and BOX_COLUMNS of all readers' boxes, same pixels.
        hit: whether the heatmap's strongest cell lies in a reader's box.
        raw: the map's own cells, float32 (rows, columns); None where there is no heatmap.
    """

    heatmap: np.ndarray | None
    mask: np.ndarray
    predicted: np.ndarray
    readers: pd.DataFrame
    hit: bool = False
    raw: np.ndarray | None = None

    @property
    def true(self) -> np.ndarray:
        """The readers' boxes, (n, 4)."""
        return self.readers[BOX_COLUMNS].to_numpy()


@dataclass(frozen=True)
class BrowsedRun:
    """A run as the browser shows it.

    Attributes:
        cohort: pixels, labels and boxes.
        methods: method -> layer -> maps. The studies and probabilities of the first method are browsed. Other methods
            may hold fewer studies.
        given: the network, normalised inputs to logits, as it was trained, for perturbation, own images and maps that
            are not stored; or where it comes from. Without it, these two tabs say that they need one, and only stored
            maps are offered.
        files: what was read, each file with its stamp.
        parameters: of the run's methods by their name, where they differ from the methods' defaults.
    """

    cohort: Cohort
    methods: dict[str, dict[str, Explanations]]
    given: nn.Module | Later | None = None
    files: Mapping[Path, Stamp] = field(default_factory=dict)
    parameters: Mapping[str, Mapping] = field(default_factory=dict)

    def check_files(self) -> None:
        """Compare what was read with what is on the disk now.

        Raises:
            Refusal: a file was changed or removed since.
        """
        check(self.files)

    @cached_property
    def explanations(self) -> Explanations:
        """The first method's maps."""
        return next(iter(next(iter(self.methods.values())).values()))

    @property
    def probabilities(self) -> pd.DataFrame:
        """Probabilities of the first method's studies, image_id by class."""
        return self.explanations.probabilities

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the network's outputs."""
        return self.explanations.classes

    @property
    def network(self) -> nn.Module | None:
        """The network, loaded now if it was not; None where there is none."""
        return self.given() if isinstance(self.given, Later) else self.given

    @cached_property
    def fast_network(self) -> nn.Module | None:
        """The network as an `inference_copy`: for forward passes, and Grad-CAM at the run's layer."""
        if self.network is None:
            return None
        return inference_copy(self.network, self.explanations.layer, size=self.explanations.input_size)

    @cached_property
    def on_demand(self) -> OnDemand | None:
        """Maps that are not stored; None without a network."""
        if self.given is None:
            return None
        store = self.explanations
        return OnDemand(
            self.given,
            store.layer,
            len(store.classes),
            store.input_size,
            lambda image_id: normalise(to_input(self.cohort.images([image_id]), store.input_size)),
            self.parameters,
        )

    @property
    def offered_methods(self) -> list[str]:
        """The stored methods, then those that can be computed."""
        return list(dict.fromkeys([*self.methods, *(self.on_demand.methods if self.on_demand else ())]))

    def offered_layers(self, method: str) -> list[str]:
        """A method's stored layers, then those at which it can be computed."""
        stored = self.methods.get(method, {})
        if self.on_demand is None:
            return list(stored)
        modules = {store.layer if layer == LAST_LAYER else layer for layer, store in stored.items()}
        further = self.on_demand.layers(method)
        return [*stored, *(layer for layer in further if self.on_demand.module(layer) not in modules)]

    def is_stored(self, method: str, layer: str | None = None) -> bool:
        """Whether there are stored maps of a method, and of one of its layers."""
        return method in self.methods and (layer is None or layer in self.methods[method])

    def can_compute(self, view: View) -> bool:
        """Whether a view has no map and its map can be computed."""
        if self.on_demand is None or view.image_id == "" or self.raw_map(view) is not None:
            return False
        return view.layer in self.on_demand.layers(view.method)

    def first_view(self, image_id: str, class_name: str, share: float) -> View:
        """A view of the first method's first layer."""
        method, layers = next(iter(self.methods.items()))
        return View(image_id, class_name, method, next(iter(layers)), share)

    def raw_map(self, view: View) -> torch.Tensor | None:
        """The stored or computed map (rows, columns) of a view; None where there is none of the study or class."""
        store = self.methods.get(view.method, {}).get(view.layer)
        if store is not None and view.image_id in store.probabilities.index and view.class_name in store.classes:
            return store.map(view.image_id, view.class_name)
        computed = self.on_demand.maps(view.key) if self.on_demand else None
        return None if computed is None else computed[self.classes.index(view.class_name)]

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
    return Evidence(heatmap.numpy(), mask, boxes_from_mask(mask, size), readers, strongest, raw.numpy())


def by_method(maps: Explanations | Mapping) -> dict[str, dict[str, Explanations]]:
    """Method -> layer -> maps, from one store, or from a mapping of methods to stores or to layers' stores."""
    methods = {GRADCAM: maps} if isinstance(maps, Explanations) else dict(maps)
    return {
        name: {LAST_LAYER: layers} if isinstance(layers, Explanations) else dict(layers)
        for name, layers in methods.items()
    }


def files_of(folder: Path, methods: Iterable[str] = ()) -> dict[Path, Stamp]:
    """What a browser reads of a run's folder, as it is now: cohort, models, Grad-CAM's maps and those of `methods`."""
    cohort = [folder / "data" / name for name in COHORT_FILES]
    maps = [folder / "maps" / name for name in ("test.npz", *(f"test-{method}.npz" for method in methods))]
    return stamps([*cohort, *maps, *shown_files(folder, "models/*.safetensors")])


def load_results(folder: Path, with_network: bool = True) -> BrowsedRun:
    """Read a run's folder: cohort, and maps/test.npz and maps/test-METHOD.npz or test-METHOD@LAYER.npz.

    The model is read when it is needed first.

    Raises:
        Missing: no cohort or no maps; the message names the notebook that makes them.
        Refusal: what is there cannot be used.
    """
    others = shown_files(folder, "maps/test-*.npz")
    files = files_of(folder) | stamps(others)
    cohort = load_cohort(folder / "data")
    first = load_explanations(folder / "maps" / "test.npz")
    methods = {GRADCAM: {LAST_LAYER: first}}
    for path in others:
        method, _, layer = path.stem.removeprefix("test-").partition("@")
        store = load_explanations(path)
        if first.identity in (store.identity, store.beside):  # other stores were made by an earlier model
            methods.setdefault(method, {})[layer or LAST_LAYER] = store
    path = checkpoint_path(folder / "models", cohort.experiment)
    if not with_network or not path.exists():
        return BrowsedRun(cohort, methods, files=files)
    sections = parameters_of(folder)
    device = pick_device(sections.get("compute", {}).get("device", "auto"))
    network = Later(lambda: load_checkpoint(path, device)[0])
    return BrowsedRun(cohort, methods, network, files, method_parameters(sections))


def parameters_of(folder: Path) -> dict[str, dict]:
    """A run's parameters by section; none where its notebooks were run by hand."""
    path = folder / "params.json"
    return read_json(path)["parameters"] if path.exists() else {}


def method_parameters(sections: Mapping[str, Mapping]) -> dict[str, dict]:
    """The parameters of a run's methods by name, where they differ from the methods' defaults."""
    return sections.get("methods", {}).get("compared", {})


def browsable_runs(outputs: Path) -> dict[str, Path]:
    """Folders below `outputs` that hold a cohort and maps, by name."""
    stores = sorted(outputs.glob("*/maps/test.npz"))
    folders = [path.parent.parent for path in stores]
    return {folder.name: folder for folder in folders if (folder / "data" / "cohort.json").exists()}
