"""A static picture of the browser's views, for readers without a kernel."""

from collections.abc import Mapping

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from cxrlib.explain.explanations import Explanations
from cxrlib.run import Run
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.store import identity_of
from cxrlib.show.browse.browsed import (
    GRADCAM,
    BrowsedRun,
    Evidence,
    View,
    by_method,
    files_of,
    method_parameters,
    parameters_of,
)
from cxrlib.show.browse.browser import TABS, HeatmapBrowser
from cxrlib.show.browse.numbers import localisation_numbers
from cxrlib.show.browse.overlay import Look, compose
from cxrlib.show.browse.perturb import replace_view
from cxrlib.show.browse.selection import clearest_case
from cxrlib.show.cases import Chosen, surest_cases
from cxrlib.show.figures.panels import colour_bar, how_shown
from cxrlib.show.figures.style import PAGE_WIDTH, image_axes, image_height, sentence_figure
from cxrlib.workflow.interactive import INTERACTIVE

TILE = 512
"""Side of one view in pixels."""


LONGEST_ID = 16
"""Characters of a study's id that are shown."""


CAPTIONS = {
    "heatmap": "heatmap, top pixels and their boxes (purple), readers' boxes (green)",
    "boxes": "the heatmap's top pixels and their boxes (purple), readers' boxes (green)",
    "perturbation": "the network's input before and after the heatmap's top pixels became grey",
    "comparison": "every method's heatmap, top pixels and their boxes (purple), readers' boxes (green)",
    "own image": "heatmap, top pixels and their boxes (purple), readers' boxes (green)",
}


SUREST = "The surest true test study of every finding"


STATIC = "A still picture of the browser: above each view its study, class and top pixels; the sliders need a kernel."


COLUMNS = range(3, 7)
"""How many pictures may stand beside each other on a contact sheet."""


HIGHEST = 1.05 * PAGE_WIDTH
"""Height in inches of a contact sheet where COLUMNS allow it."""


FEW = 4
"""So many methods have a line each on a contact sheet, with a column for each case."""


Tile = tuple[np.ndarray, str]
"""A picture (h, w) or (h, w, 3) and its title."""


def show_browser(
    run: Run,
    view: str = "heatmap",
    others: Mapping[str, Explanations] | None = None,
    chosen: Chosen | None = None,
) -> None:
    """Display a `HeatmapBrowser` of the run's Grad-CAM maps, and save and display its contact sheet, browser_NN.

    Args:
        run: the notebook's run.
        view: what is open at first: one of the browser's TABS, or "boxes", the first tab with its heatmap switched off.
            The boxes come from the stored maps alone, so that the network is not loaded for them.
        others: the maps of further methods by the method's name, for the comparison with Grad-CAM.
        chosen: the cases on the contact sheet; None takes the surest true study of every finding.

    Raises:
        Refusal: the maps were made again after the notebook had read them.
    """
    path, others = run.folder / "maps" / "test.npz", dict(others or {})
    files = files_of(run.folder, others)
    if (identity_of(path) or "") != run.explanations.identity:
        raise Refusal(f"{path} was made again after this notebook had read it; run the notebook again from its start")
    boxes_only = view == "boxes"
    network = None if boxes_only else run.network
    maps = {GRADCAM: run.explanations, **others}
    tab = TABS[0] if boxes_only else view
    home = run.folder.parent if run.folder.name == INTERACTIVE else run.folder
    parameters = method_parameters(parameters_of(home))
    cases, rule = chosen or (None, SUREST)
    opened = cases[0] if cases else clearest_case(BrowsedRun(run.cohort, by_method(maps)))
    browser = HeatmapBrowser(
        run.cohort, maps, network, tab, not boxes_only, files=files, parameters=parameters, first=opened
    )
    display(browser)
    caption = f"{rule}: {CAPTIONS[view]}. {STATIC}{how_shown(*(one.maps for one in maps.values()))}"
    run.save_figure(f"browser_{run.notebook[:2]}", contact_sheet(browser, cases), caption)


def contact_sheet(browser: HeatmapBrowser, cases: list[tuple[str, str]] | None = None) -> Figure:
    """Some cases, or the surest true study of every finding, as the browser's first tab draws them at its setting.

    One heatmap per finding; where there are many methods, a line or more per finding; a line for each of a few methods;
    the network's input before and after in the perturbation tab. A sheet is at most HIGHEST where COLUMNS allow it.
    """
    results, share, tab = browser.results, browser.share.value, browser.tab.value
    methods = [(method, layer) for method, layers in results.methods.items() for layer in layers]
    rows = []
    for image_id, name in surest_cases(results.cohort, results.probabilities) if cases is None else cases:
        if tab == "perturbation":
            rows.append(_before_and_after(results, results.first_view(image_id, name, share)))
        else:
            views = [View(image_id, name, method, layer, share) for method, layer in methods]
            rows.append([_heatmap(results, view, browser.heatmap.look, len(methods) > 1) for view in views])
    if not rows:
        return sentence_figure("No test study carries a finding: there is nothing to show.")
    if 2 < len(rows[0]) <= FEW and len(rows) in COLUMNS:
        rows = list(zip(*rows, strict=True))
    has_bar = tab != "perturbation" and browser.heatmap.look.heatmap
    lines = 1 + max(title.count("\n") for row in rows for _, title in row)
    page = [_page(rows, columns) for columns in COLUMNS]
    heights = [image_height(len(one), columns, lines, has_bar) for one, columns in zip(page, COLUMNS, strict=True)]
    place = next((place for place, height in enumerate(heights) if height <= HIGHEST), -1)
    figure, axes = image_axes(len(page[place]), COLUMNS[place], title_lines=lines, bar=has_bar)
    for line, places in zip(page[place], axes, strict=True):
        for (picture, title), ax in zip(line, places, strict=False):
            ax.imshow(picture, vmin=0, vmax=255)
            ax.set_title(title, fontsize=7)
    if has_bar:
        colour_bar(figure, [ax for line in axes for ax in line])
    return figure


def _page(rows: list[list[Tile]], columns: int) -> list[list[Tile]]:
    """The lines of a sheet: as many whole rows in a line as fit, or a row on several lines of its own."""
    count = len(rows[0])
    if count > columns:
        return [list(row[first : first + columns]) for row in rows for first in range(0, count, columns)]
    together = columns // count
    return [sum(map(list, rows[first : first + together]), []) for first in range(0, len(rows), together)]


def _heatmap(results: BrowsedRun, view: View, look: Look, name_method: bool) -> Tile:
    evidence = results.evidence(view)
    picture = compose(results.cohort.images([view.image_id])[0], evidence, look, TILE)
    scores = localisation_numbers(evidence, results.cohort.size)
    p = results.probabilities.at[view.image_id, view.class_name]
    method = f"\n{view.method}" if name_method else ""
    score = f"IoU {scores['IoU, all pairs']:.3f}" if scores else "nothing to compare"
    numbers = f"p = {p:.3f}, top {100 * view.share:g} %\n{_lack(evidence) or score}"
    return picture, f"{_short(view.image_id)}\n{view.class_name}{method}\n{numbers}"


def _before_and_after(results: BrowsedRun, view: View) -> list[Tile]:
    replaced = replace_view(results, view, 0)
    before = results.probabilities.at[view.image_id, view.class_name]
    after = replaced.probabilities[results.classes.index(view.class_name)]
    lack = _lack(results.evidence(view))
    done = f"{lack}: nothing replaced" if lack else f"top {100 * view.share:g} % replaced: mean grey"
    return [
        (replaced.before[0].cpu().numpy(), f"{_short(view.image_id)}\n{view.class_name}\np = {before:.3f}"),
        (replaced.after[0].cpu().numpy(), f"{done}\np = {after:.3f}"),
    ]


def _short(image_id: str) -> str:
    """The beginning of a long id, by which the browser's search finds the study."""
    return image_id if len(image_id) <= LONGEST_ID else f"{image_id[: LONGEST_ID - 1]}…"


def _lack(evidence: Evidence) -> str:
    """What a heatmap lacks; empty where it lacks nothing."""
    if evidence.heatmap is None:
        return "no heatmap"
    return "" if evidence.mask.any() else "the heatmap is zero"
