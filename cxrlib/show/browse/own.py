"""The fourth tab: predictions and maps of an image of one's own."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.images import ImageError, read_grey, resize_square
from cxrlib.explain.gradcam import gradcam
from cxrlib.model.networks import device_of, normalise, to_input
from cxrlib.show.browse.browsed import BrowsedRun, View, evidence_of
from cxrlib.show.browse.numbers import probability_table
from cxrlib.show.browse.overlay import Look, render
from cxrlib.show.browse.panel import column, row, sentence, told_in_place
from cxrlib.show.browse.picture import Picture

NOTE = (
    "For research only, not for diagnosis. The network has learnt from the radiographs of this run alone; what it says "
    "of another image may be wrong in every way. The file stays on the machine that runs the kernel."
)


ACCEPTED = ".png,.jpg,.jpeg,.dcm,.dicom"


@dataclass(frozen=True)
class OwnImage:
    """What the network says of an image: uint8 (size, size), float32 (classes,), raw maps (classes, rows, columns)."""

    pixels: np.ndarray
    probabilities: np.ndarray
    maps: torch.Tensor


def read_upload(name: str, content: bytes) -> np.ndarray:
    """The bytes of a DICOM, PNG or JPEG file as uint8 (height, width).

    Raises:
        ImageError: they hold no such image; the message names the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{Path(name).suffix}"
        path.write_bytes(content)
        try:
            return read_grey(path)
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), name)) from error


def explain_own(network: nn.Module, pixels: np.ndarray, size: int, input_size: int, layer: str) -> OwnImage:
    """Grad-CAM of all classes and probabilities of one image, prepared like the run's own: one forward pass.

    Args:
        pixels: uint8 (height, width).
        size: side of the run's stored images; `input_size`, of the network's input.
        layer: name of the explained module.
    """
    stored = resize_square(pixels, size)
    inputs = normalise(to_input(stored[None], input_size).to(device_of(network)))
    maps, logits = gradcam(network, inputs, layer)
    return OwnImage(stored, logits.sigmoid()[0].detach().cpu().numpy(), maps[0].cpu())


class OwnPanel(widgets.VBox):
    """Upload, picture, probabilities; class and top pixels are those of the other tabs."""

    def __init__(self, results: BrowsedRun) -> None:
        self.results = results
        self.upload = widgets.FileUpload(accept=ACCEPTED, multiple=False, description="choose an image")
        self.upload.layout.width = "180px"
        self.picture, self.table = Picture(), widgets.HTML()
        self.own: OwnImage | None = None
        self.name = ""
        self.view: View | None = None
        self.upload.observe(self._read, names="value")
        super().__init__(
            [row(self.upload, widgets.HTML(sentence(NOTE))), row(self.picture, column(self.table, width="420px"))]
        )

    def show(self, view: View) -> None:
        """Draw the uploaded image with the view's class and share; the study of the view plays no part."""
        self.view = view
        if self.results.network is None:
            self.say("Own images need the run's network; this browser was opened without one.")
        elif self.own is None:
            self.say("Choose a DICOM, PNG or JPEG file of a frontal chest radiograph.")
        else:
            with told_in_place(self.say):
                self._draw(self.own, view)

    def say(self, text: str) -> None:
        """Show a sentence instead of a picture."""
        self.picture.say(text)
        self.table.value = ""

    def _draw(self, own: OwnImage, view: View) -> None:
        results = self.results
        nobody = pd.DataFrame(columns=["rad_id", *BOX_COLUMNS])
        raw = own.maps[results.classes.index(view.class_name)]
        evidence = evidence_of(raw, nobody, view.share, results.explanations.input_size, results.cohort.size)
        probabilities = pd.Series(own.probabilities, results.classes)
        caption = f"{self.name}: {view.class_name}, p = {probabilities[view.class_name]:.3f}, top {view.share:.0%}"
        self.picture.show(render(own.pixels, evidence, Look()), caption, f"{caption}. {NOTE}")
        self.table.value = probability_table(probabilities, None, view.class_name)

    def _read(self, change: dict) -> None:
        if not change["new"] or self.results.network is None:
            return
        (file,) = change["new"]
        self.own, self.name = None, file["name"]
        try:
            pixels = read_upload(self.name, bytes(file["content"]))
        except ImageError as error:
            self.say(str(error))
            return
        results = self.results
        store = results.explanations
        with told_in_place(self.say):
            self.own = explain_own(results.network, pixels, results.cohort.size, store.input_size, store.layer)
        if self.view is not None:
            self.show(self.view)
