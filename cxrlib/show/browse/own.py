"""The fourth tab: predictions and maps of an image of one's own."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.explain.gradcam import gradcam
from cxrlib.model.networks import device_of, normalise, to_input
from cxrlib.runtime.errors import Refusal
from cxrlib.show.browse.browsed import BrowsedRun, View, evidence_of
from cxrlib.show.browse.numbers import probability_table
from cxrlib.show.browse.overlay import Look, render
from cxrlib.show.browse.panel import SIDE_WIDTH, beside, column, row, sentence, zero_note
from cxrlib.show.browse.picture import Picture
from cxrlib.show.browse.shown import Content, Panel, told

NOTE = (
    "For research only, not for diagnosis. The network has learnt from the radiographs of this run alone; what it says "
    "of another image may be wrong in every way. The file stays on the machine that runs the kernel."
)


ACCEPTED = ".png,.jpg,.jpeg,.dcm,.dicom"


@dataclass(frozen=True)
class OwnImage:
    """An image with its probabilities and maps.

    Attributes:
        pixels: uint8 (size, size).
        probabilities: float32 (classes,).
        maps: raw, float32 (classes, rows, columns).
    """

    pixels: np.ndarray
    probabilities: np.ndarray
    maps: torch.Tensor


def read_upload(name: str, content: bytes) -> np.ndarray:
    """The bytes of a DICOM, PNG or JPEG file as uint8 (height, width).

    Raises:
        ImageError: they hold no such image; the message names the file.
    """
    from cxrlib.data.images import ImageError, read_grey  # imports pydicom, for which the first picture need not wait

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{Path(name).suffix}"
        path.write_bytes(content)
        try:
            return read_grey(path)
        except Exception as error:  # whatever a decoder raises, the file is not readable here
            text = str(error).replace(str(path), name)
            raise ImageError(text if isinstance(error, Refusal) else f"{name}: not readable ({text})") from error


def explain_own(network: nn.Module, pixels: np.ndarray, size: int, input_size: int, layer: str) -> OwnImage:
    """Grad-CAM of all classes and probabilities of one image, which is resized like the run's images: one forward pass.

    Args:
        network: logits (n, classes).
        pixels: uint8 (height, width).
        size: side in pixels of the run's stored images.
        input_size: side in pixels of the network's input.
        layer: name of the explained module.
    """
    from cxrlib.data.images import resize_square  # as above

    stored = resize_square(pixels, size)
    inputs = normalise(to_input(stored[None], input_size).to(device_of(network)))
    maps, logits = gradcam(network, inputs, layer)
    return OwnImage(stored, logits.sigmoid()[0].detach().cpu().numpy(), maps[0].cpu())


class OwnPanel(Panel):
    """Upload, picture and probabilities of an own image. Class and top pixels are chosen as in the other tabs.

    Args:
        results: the run whose network explains the image.
        settings: the controls that all tabs have.
        look: returns the look of the first tab.
    """

    needs_study = False

    def __init__(self, results: BrowsedRun, settings: widgets.Widget, look: Callable[[], Look]) -> None:
        self.results, self.look = results, look
        self.upload = widgets.FileUpload(accept=ACCEPTED, multiple=False, description="choose an image")
        self.upload.layout.width = "180px"
        self.picture, self.table, self.note = Picture(), widgets.HTML(), widgets.HTML()
        self._explained: tuple[dict | None, OwnImage | None] = None, None
        warning = widgets.HTML(sentence(NOTE))
        super().__init__(
            [
                self.upload,
                row(self.picture, beside(column(warning, settings, self.note, self.table, width=SIDE_WIDTH))),
            ],
            [self.picture],
            {"probabilities": self.table, "note": self.note},
            [self.upload],
        )

    def choice(self, view: View) -> tuple[dict | None, str, float, Look]:
        """The uploaded file, if there is one, the class, the share and the look; the view's study is ignored."""
        file = self.upload.value[0] if self.upload.value else None
        return file, view.class_name, view.share, self.look()

    def wait_for(self, choice: tuple[dict | None, str, float, Look]) -> str:
        """A new file is read and explained in the background."""
        file = choice[0]
        return "" if self._missing(file) or self._explained[0] is file else f"{file['name']}: one forward pass ..."

    def content(self, choice: tuple[dict | None, str, float, Look]) -> Content:
        """The image under its heatmap, and its probabilities."""
        (file, class_name, share, look), results = choice, self.results
        if missing := self._missing(file):
            return told(missing)
        own = self.explained(file)
        raw = own.maps[results.classes.index(class_name)]
        nobody = pd.DataFrame(columns=["rad_id", *BOX_COLUMNS])
        evidence = evidence_of(raw, nobody, share, results.explanations.input_size, results.cohort.size)
        probabilities, note = pd.Series(own.probabilities, results.classes), zero_note(raw, class_name)
        caption = f"{file['name']}: {class_name}, p = {probabilities[class_name]:.3f}, top {share:.0%}"
        return Content(
            [(render(own.pixels, evidence, look), caption, f"{caption}. {note} {NOTE}")],
            {"probabilities": probability_table(probabilities, None, class_name), "note": sentence(note)},
        )

    def explained(self, file: dict) -> OwnImage:
        """Probabilities and maps of an uploaded file; those of the newest file are kept.

        Raises:
            ImageError: it is no readable image.
        """
        known, own = self._explained
        if known is not file:
            pixels, results = read_upload(file["name"], bytes(file["content"])), self.results
            store = results.explanations
            own = explain_own(results.fast_network, pixels, results.cohort.size, store.input_size, store.layer)
            self._explained = file, own
        return own

    def _missing(self, file: dict | None) -> str:
        if self.results.given is None:
            return "Own images need the run's network; this browser was opened without one."
        return "" if file else "Choose a DICOM, PNG or JPEG file of a frontal chest radiograph."
