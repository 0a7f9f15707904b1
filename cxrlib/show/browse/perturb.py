"""The second tab: replace the heatmap's top pixels and see what all probabilities do."""

from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.evaluate.perturbation import blurred_image, mean_image, replace_pixels
from cxrlib.model.networks import device_of, normalise
from cxrlib.show.browse.browsed import BrowsedRun, Evidence, View
from cxrlib.show.browse.latest import LatestOnly
from cxrlib.show.browse.numbers import probability_table
from cxrlib.show.browse.overlay import Look, compose, to_jpeg
from cxrlib.show.browse.panel import column, describe, missing_map, row, sentence, told_in_place
from cxrlib.show.browse.picture import Picture
from cxrlib.stages.inputs import network_inputs

KERNELS = {"mean grey": 0, "blur, kernel 11": 11, "blur, kernel 21": 21}
"""What takes the pixels' place, and the side of the blur's kernel in pixels of the network's input, 0 without blur."""


@dataclass(frozen=True)
class Replacement:
    """What the network saw and said after the replacement: uint8 (1, h, w) images, float32 (classes,)."""

    before: torch.Tensor
    after: torch.Tensor
    probabilities: np.ndarray


def replace_and_predict(network: nn.Module, image: torch.Tensor, mask: torch.Tensor, kernel: int) -> Replacement:
    """Replace pixels of one image and predict again: one forward pass.

    Args:
        image: uint8 (1, h, w) in the network's frame.
        mask: boolean (h, w), which pixels.
        kernel: side of the Gaussian kernel; 0 takes the image's mean grey.
    """
    lent = blurred_image(image, kernel) if kernel else mean_image(image)
    changed = replace_pixels(image, mask, lent)
    with torch.inference_mode():
        probabilities = network(normalise(changed[None].to(device_of(network)))).sigmoid()[0].cpu().numpy()
    return Replacement(image, changed, probabilities)


def replace_view(results: BrowsedRun, view: View, kernel: int) -> Replacement:
    """`replace_and_predict` of a view's top pixels."""
    image = network_inputs(results.cohort, [view.image_id], results.explanations.input_size)[0]
    mask = torch.from_numpy(results.evidence(view).mask)
    return replace_and_predict(results.network, image, mask, kernel)


class PerturbPanel(widgets.VBox):
    """The network's input before and after, and all probabilities; moving a control costs one forward pass."""

    def __init__(self, results: BrowsedRun) -> None:
        self.results = results
        self.kernel = widgets.Dropdown(
            description="replace by", options=KERNELS, style={"description_width": "auto"}, layout={"width": "230px"}
        )
        self.before, self.after = Picture("small", arrows=True), Picture("small")
        self.table, self.busy = widgets.HTML(), widgets.HTML()
        self.latest = LatestOnly(self._replace, self._show)
        self.view: View | None = None
        self.kernel.observe(lambda _: self.view and self.show(self.view), names="value")
        super().__init__([row(self.kernel, self.busy), row(self.before, self.after, column(self.table))])

    def show(self, view: View) -> None:
        """Ask for a view; the pictures follow when the network has answered."""
        self.view = view
        if self.results.network is None:
            self.say("Perturbation needs the run's network; this browser was opened without one.")
        elif sentence_ := missing_map(self.results, view):
            self.say(sentence_)
        else:
            self.busy.value = sentence("one forward pass ...")
            self.latest.ask((view, self.kernel.value))

    def say(self, text: str) -> None:
        """Show a sentence instead of a view."""
        self.latest.forget()
        self.before.say(text)
        self.after.say("")
        self.table.value = self.busy.value = ""

    def _replace(self, request: tuple[View, int]) -> Replacement:
        return replace_view(self.results, *request)

    def _show(self, request: tuple[View, int], result: Replacement | Exception) -> None:
        view, _ = request
        with told_in_place(self._told):
            if isinstance(result, Exception):
                raise result
            before = self.results.probabilities.loc[view.image_id]
            after = pd.Series(result.probabilities, before.index)
            labels = self.results.cohort.labels.loc[view.image_id]
            self.table.value = probability_table(before, labels, view.class_name, after)
            caption = describe(self.results, view)
            self.before.show(input_jpeg(result.before), f"before: {caption}", f"The network's input: {caption}")
            change = f"{view.class_name} {before[view.class_name]:.3f} to {after[view.class_name]:.3f}"
            what = next(name for name, kernel in KERNELS.items() if kernel == request[1])
            self.after.show(
                input_jpeg(result.after), f"after: {what}; {change}", f"The same after replacement: {change}"
            )
            self.busy.value = ""

    def _told(self, text: str) -> None:
        self.before.say(text)
        self.after.say("")
        self.table.value = self.busy.value = ""


def input_jpeg(image: torch.Tensor, side: int = 384) -> bytes:
    """A uint8 (1, h, w) network input as JPEG bytes."""
    nothing = Evidence(None, np.zeros((1, 1), bool), np.empty((0, 4)), pd.DataFrame({"rad_id": []}))
    return to_jpeg(compose(image[0].cpu().numpy(), nothing, Look(), side))
