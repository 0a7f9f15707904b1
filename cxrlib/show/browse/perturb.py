"""The second tab: all probabilities before and after the heatmap's top pixels are replaced."""

from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
from torch import nn

from cxrlib.evaluate.perturbation import blurred_image, mean_image, replace_pixels
from cxrlib.model.networks import device_of, normalise
from cxrlib.show.browse.browsed import BrowsedRun, Evidence, View
from cxrlib.show.browse.numbers import probability_table
from cxrlib.show.browse.overlay import Look, compose, to_jpeg
from cxrlib.show.browse.panel import FULL, SIDE_WIDTH, SLIDER, beside, column, describe, map_note, row, shown_of_study
from cxrlib.show.browse.picture import Picture
from cxrlib.show.browse.shown import Content, Panel, told
from cxrlib.stages.inputs import network_inputs

KERNELS = {"mean grey": 0, "blur, kernel 11": 11, "blur, kernel 21": 21}
"""Name of each replacement -> side of the kernel in pixels of the network's input; 0 for the mean grey."""


@dataclass(frozen=True)
class Replacement:
    """The network's input before and after a replacement, and the probabilities after it.

    Attributes:
        before, after: uint8 (1, h, w).
        probabilities: float32 (classes,).
    """

    before: torch.Tensor
    after: torch.Tensor
    probabilities: np.ndarray


def replace_and_predict(network: nn.Module, image: torch.Tensor, mask: torch.Tensor, kernel: int) -> Replacement:
    """Replace pixels of one image and predict again: one forward pass.

    Args:
        image: uint8 (1, h, w) in the network's frame.
        mask: boolean (h, w), the pixels to replace.
        kernel: side of the Gaussian kernel in pixels; 0 replaces by the image's mean grey.
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
    return replace_and_predict(results.fast_network, image, mask, kernel)


class PerturbPanel(Panel):
    """The network's input before and after, and all probabilities. Moving a control costs one forward pass.

    Args:
        results: the run that is browsed.
        settings: the controls that all tabs have.
        look: returns the look of the first tab, of which window and level are taken.
    """

    def __init__(self, results: BrowsedRun, settings: widgets.Widget, look: Callable[[], Look]) -> None:
        self.results, self.look = results, look
        self.kernel = widgets.Dropdown(description="replace by", options=KERNELS, style=SLIDER, layout={"width": FULL})
        self.before, self.after = Picture("pair", arrows=True), Picture("pair")
        self.table = widgets.HTML()
        super().__init__(
            [row(self.before, self.after, beside(column(self.kernel, self.table, settings, width=SIDE_WIDTH)))],
            [self.before, self.after],
            {"probabilities": self.table},
            [self.kernel],
        )

    def choice(self, view: View) -> tuple[View, int, Look]:
        """The view, the side of the kernel, and the window and level."""
        look = self.look()
        return view, self.kernel.value, Look(window=look.window, level=look.level)

    def wait_for(self, choice: tuple[View, int, Look]) -> str:
        """A forward pass takes its time."""
        return "" if self._missing(choice[0]) else "one forward pass ..."

    def content(self, choice: tuple[View, int, Look]) -> Content:
        """The input before and after the replacement, and all probabilities."""
        (view, kernel, look), results = choice, self.results
        if missing := self._missing(view):
            return told(missing)
        replaced = replace_view(results, view, kernel)
        before = results.probabilities.loc[view.image_id]
        after = pd.Series(replaced.probabilities, before.index)
        caption, whole = shown_of_study(results, view), describe(results, view)
        change = f"{view.class_name} {before[view.class_name]:.3f} to {after[view.class_name]:.3f}"
        what = next(name for name, side in KERNELS.items() if side == kernel)
        return Content(
            [
                (input_jpeg(replaced.before, look=look), f"before: {caption}", f"The network's input: {whole}"),
                (
                    input_jpeg(replaced.after, look=look),
                    f"after: {what}; {change}",
                    f"The same after replacement: {change}",
                ),
            ],
            {
                "probabilities": probability_table(
                    before, results.cohort.labels.loc[view.image_id], view.class_name, after
                )
            },
        )

    def _missing(self, view: View) -> str:
        if self.results.given is None:
            return "Perturbation needs the run's network; this browser was opened without one."
        return map_note(self.results, view)


def input_jpeg(image: torch.Tensor, side: int = 384, look: Look = Look()) -> bytes:  # noqa: B008
    """A uint8 (1, h, w) network input as JPEG bytes."""
    nothing = Evidence(None, np.zeros((1, 1), bool), np.empty((0, 4)), pd.DataFrame({"rad_id": []}))
    return to_jpeg(compose(image[0].cpu().numpy(), nothing, look, side))
