"""Figures of notebook 05: heatmaps of several methods, and the taxonomy of explanation methods."""

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrlib.data.cohort import Cohort
from cxrlib.show.figures.panels import cells_of, colour_bar, show_on_radiograph, show_radiograph, show_readers
from cxrlib.show.figures.style import PAGE_WIDTH, class_colours, image_axes, sentence_figure
from cxrlib.show.figures.training_figures import BOX


def method_grid(
    cohort: Cohort, cases: list[tuple[str, str]], methods: dict[str, list[torch.Tensor]], notes: list[str] | None = None
) -> Figure:
    """Figures 9 and 27: one row per case, the radiograph and one heatmap per method.

    Args:
        cases: image id and class name.
        methods: title -> one raw map (rows, columns) per case.
        notes: a line below the class's name of each case.
    """
    if not cases:
        return sentence_figure("No test study of this run carries a finding: n = 0.")
    colours = class_colours(cohort.explained)
    figure, axes = image_axes(len(cases), 1 + len(methods), width=6.2, title_lines=2, bar=True)
    for number, ((image_id, class_name), line) in enumerate(zip(cases, axes, strict=True)):
        pixels = cohort.images([image_id])[0]
        show_radiograph(line[0], pixels, "\n".join(filter(None, [class_name, notes[number] if notes else ""])))
        show_readers(line[0], cohort, image_id, {class_name: colours[class_name]})
        for ax, (title, maps) in zip(line[1:], methods.items(), strict=True):
            raw = maps[number].detach().cpu()
            show_on_radiograph(ax, pixels, raw, "" if number else f"{title}\n{cells_of(raw)}")
    colour_bar(figure, [ax for line in axes for ax in line])
    return figure


TAXONOMY = [
    ("Which models?", ["one kind: reads the\nnetwork's own layers", "any: only changes the\ninput and watches"]),
    ("How much?", ["local: one prediction\non one image", "global: the model\nas a whole"]),
    ("By what means?", ["a picture of what\nmattered", "a simpler model that\nstands in for it"]),
]
"""Three questions and their two answers each (after Singh et al. 2020)."""


METHODS = "Grad-CAM, SmoothGrad: one kind, local, picture        Pixel replacement: any, local, picture"


def taxonomy() -> Figure:
    """Figure 8: three ways to sort explanation methods, and the place of this project's methods."""
    figure, ax = plt.subplots(figsize=(PAGE_WIDTH, 2.6))
    _box(ax, 3, 3, "Explanation methods")
    for number, (question, answers) in enumerate(TAXONOMY):
        centre = 1 + 2 * number
        _line(ax, (3, 2.75), (centre, 2.25))
        _box(ax, centre, 2, question)
        for side, answer in zip((-0.5, 0.5), answers, strict=True):
            _line(ax, (centre, 1.75), (centre + side, 1.3))
            _box(ax, centre + side, 0.9, answer)
    ax.text(3, 0.05, METHODS, ha="center", va="center", fontsize=8)
    ax.set(xlim=(-0.05, 6.05), ylim=(-0.2, 3.3))
    ax.set_axis_off()
    return figure


def _box(ax: Axes, x: float, y: float, text: str) -> None:
    ax.text(x, y, text, ha="center", va="center", fontsize=6.5, bbox=BOX)


def _line(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.plot(*zip(start, end, strict=True), color="#444444", lw=0.8)
