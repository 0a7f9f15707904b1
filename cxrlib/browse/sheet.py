"""The browser's views where there is no kernel: a static contact sheet."""

from matplotlib.figure import Figure

from cxrlib.browse.browser import HeatmapBrowser
from cxrlib.browse.numbers import localisation_numbers
from cxrlib.browse.render import Look, compose
from cxrlib.browse.results import View
from cxrlib.cases import surest
from cxrlib.plots.style import image_axes, sentence_figure

TILE = 320
"""Pixels of one view."""


def contact_sheet(browser: HeatmapBrowser, columns: int = 3) -> Figure:
    """The surest true study of every finding under every method, drawn as the browser draws it at its first setting.

    Args:
        browser: whose cohort, methods and share of top pixels.
        columns: views beside each other where there is one method; otherwise each finding has a row.
    """
    results = browser.results
    probabilities = results.probabilities
    truth = results.cohort.labels.loc[probabilities.index]
    methods = [(method, layer) for method, layers in results.methods.items() for layer in layers]
    views = [
        View(surest(probabilities, truth, [name], 1)[0], name, method, layer, browser.share.value)
        for name in results.cohort.findings
        if truth[name].any()
        for method, layer in methods
    ]
    if not views:
        return sentence_figure("no test study carries a finding")
    columns = columns if len(methods) == 1 else len(methods)
    figure, axes = image_axes(-(-len(views) // columns), columns)
    for view, ax in zip(views, (ax for line in axes for ax in line), strict=False):
        evidence = results.evidence(view)
        ax.imshow(compose(results.cohort.images([view.image_id])[0], evidence, Look(), TILE))
        scores = localisation_numbers(evidence, results.cohort.size)
        iou = (
            f"IoU {scores['IoU, all pairs']:.3f}" if scores else "no heatmap" if evidence.heatmap is None else "no box"
        )
        p = probabilities.at[view.image_id, view.class_name]
        name = f"{view.method}\n" if len(methods) > 1 else ""
        ax.set_title(f"{name}{view.class_name}, p = {p:.3f}\ntop {view.share:.0%}, {iou}", fontsize=7)
    return figure
