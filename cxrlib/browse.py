"""Look at one radiograph: sliders for study, class and threshold over the stored maps."""

import io

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from cxrlib.annotations import BOX_COLUMNS
from cxrlib.boxes import all_pairs_iou, boxes_from_mask
from cxrlib.cohort import Cohort
from cxrlib.explanations import Explanations
from cxrlib.maps import upscale
from cxrlib.masks import top_pixels
from cxrlib.plots.localisation import PREDICTED
from cxrlib.plots.radiograph import display_map, show_boxes, show_heatmap, show_radiograph, show_readers
from cxrlib.plots.style import class_colours


def render(cohort: Cohort, explanations: Explanations, image_id: str, class_name: str, share: float) -> bytes:
    """One view as PNG bytes: the radiograph with readers' boxes; the heatmap; the top pixels, their boxes, the IoU.

    Args:
        share: fraction of the heatmap's pixels that make the mask.
    """
    pixels, raw = cohort.images([image_id])[0], explanations.map(image_id, class_name)
    mask = top_pixels(upscale(raw, explanations.input_size), share).numpy()
    predicted = boxes_from_mask(mask, cohort.size)
    true = cohort.boxes(image_id, class_name)[BOX_COLUMNS].to_numpy()
    score = f"IoU {all_pairs_iou(predicted, true):.3f}" if len(true) else "no reader's box"
    probability = explanations.probabilities.at[image_id, class_name]

    figure = Figure(figsize=(9, 3.3), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    colour = class_colours(cohort.explained)[class_name]
    for ax in (left, middle, right):
        ax.set_axis_off()
        show_readers(ax, cohort, image_id, class_name, colour)
    rendered = ", rendered" if cohort.rendered else ""
    show_radiograph(left, pixels, f"{image_id[:12]}{rendered}\n{class_name}: {len(true)} box(es) by readers")
    show_radiograph(middle, pixels, f"Grad-CAM, p = {probability:.3f}")
    show_heatmap(middle, display_map(raw), cohort.size)
    show_radiograph(right, pixels, f"top {share:.0%} of pixels, {score}")
    right.imshow(np.ma.masked_equal(mask, 0), cmap="spring", alpha=0.4, extent=(0, cohort.size, cohort.size, 0))
    show_boxes(right, predicted, PREDICTED)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


class HeatmapBrowser(widgets.VBox):
    """Sliders over a run's stored Grad-CAM maps; moving one redraws without a forward pass.

    Args:
        cohort: pixels, labels and boxes.
        explanations: the store of notebook 04.
    """

    def __init__(self, cohort: Cohort, explanations: Explanations) -> None:
        self.cohort, self.explanations = cohort, explanations
        image_ids = explanations.probabilities.index.tolist()
        self.study = widgets.IntSlider(
            description="study", min=1, max=len(image_ids), continuous_update=False, style={"description_width": "5em"}
        )
        self.class_name = widgets.Dropdown(
            description="class", options=explanations.classes, style={"description_width": "5em"}
        )
        self.share = widgets.FloatSlider(
            description="top pixels",
            min=0.01,
            max=0.5,
            step=0.01,
            value=0.05,
            readout_format=".0%",
            continuous_update=False,
            style={"description_width": "5em"},
        )
        self.picture = widgets.Image(format="png")
        self.labels = widgets.HTML()
        for control in (self.study, self.class_name, self.share):
            control.observe(self._redraw, names="value")
        super().__init__([widgets.HBox([self.study, self.class_name, self.share]), self.labels, self.picture])
        self._redraw()

    @property
    def image_id(self) -> str:
        """The study that is shown."""
        return self.explanations.probabilities.index[self.study.value - 1]

    def _redraw(self, _change: dict | None = None) -> None:
        labels = self.cohort.labels.loc[self.image_id]
        given = ", ".join(name for name in self.cohort.explained if labels[name])
        self.labels.value = f"{self.image_id}: labelled {given}"
        self.picture.value = render(
            self.cohort, self.explanations, self.image_id, self.class_name.value, self.share.value
        )
