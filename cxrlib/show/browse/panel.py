"""Rows, columns, menus and sentences that all tabs of the browser use."""

from html import escape

import ipywidgets as widgets
import torch

from cxrlib.show.browse.browsed import BrowsedRun, View
from cxrlib.show.browse.on_demand import LAST_LAYER

SLIDER = {"description_width": "5.5em"}


SIDE_WIDTH = "400px"
"""Width of the column of controls beside the pictures."""


FULL = "calc(100% - 4px)"
"""Width of a control that fills its column; each has a margin of 2 px."""


ROW = {"flex_flow": "row wrap", "align_items": "flex-start", "width": "100%", "grid_gap": "4px 16px"}


def row(*children: widgets.Widget, **layout: str) -> widgets.HBox:
    """Widgets beside each other, on a new line where the page is too narrow."""
    return widgets.HBox(children, layout=widgets.Layout(**(ROW | layout)))


def column(*children: widgets.Widget, width: str = "auto") -> widgets.VBox:
    """Widgets below each other."""
    return widgets.VBox(children, layout=widgets.Layout(width=width, max_width="100%", min_width="0"))


def beside(*children: widgets.Widget) -> widgets.HBox:
    """What stands at the right of a picture, or below it where the page is too narrow."""
    return row(*children, width="auto", min_width="0", flex=f"1 1 {SIDE_WIDTH}")


def offer(menu: widgets.Dropdown, options: list[str] | dict[str, str], wanted: str | None = None) -> None:
    """Give a menu other options and choose `wanted`, or the first option if `wanted` is not among them.

    Args:
        menu: the menu.
        options: its values; or its values by what the menu says.
        wanted: a value.
    """
    values = list(options.values()) if isinstance(options, dict) else options
    menu.options = tuple(options.items()) if isinstance(options, dict) else options
    menu.value = wanted if wanted in values else next(iter(values), None)


def sentence(text: str) -> str:
    """HTML of a sentence."""
    return f"<p class=cxr-sentence>{escape(text)}</p>" if text else ""


def describe(results: BrowsedRun, view: View) -> str:
    """A caption of one line: study, class, probability, method and share."""
    rendered = "rendered radiograph " if results.cohort.rendered else ""
    return f"{rendered}{view.image_id}: {shown_of_study(results, view)}"


def shown_of_study(results: BrowsedRun, view: View) -> str:
    """What is shown of a study: class, probability, method and share."""
    named = len(results.methods.get(view.method, {})) > 1 or view.layer != LAST_LAYER
    layer = f", {view.layer}" if named else ""
    p = results.probabilities.at[view.image_id, view.class_name]
    return f"{view.class_name}, p = {p:.3f}; {view.method}{layer}, top {view.share:.0%}"


def map_note(results: BrowsedRun, view: View) -> str:
    """A sentence for a view that has no heatmap, or one of zeros; empty for other views."""
    raw = results.raw_map(view)
    if raw is not None:
        return zero_note(raw, view.class_name)
    if results.can_compute(view):
        return on_demand_note(results, view)
    store = results.methods.get(view.method, {}).get(view.layer)
    held = len(store.probabilities) if store is not None else 0
    total = len(results.probabilities)
    return f"{view.method} has no heatmap of {view.class_name} on this study; it holds {held} of {total} studies."


def on_demand_note(results: BrowsedRun, view: View) -> str:
    """Why a view that can be computed has no heatmap: the method refused, or nobody has asked for it yet."""
    if refusal := results.on_demand.refusal(view.key):
        return refusal
    lacking = f"{heatmap_name(view)} is not computed for this study."
    if not results.on_demand.is_loaded:
        return f"{lacking} The network is being loaded ..."
    cost, classes = results.on_demand.cost(view.method, view.layer), len(results.classes)
    return f"{lacking} It takes {cost} for all {classes} classes."


def heatmap_name(view: View) -> str:
    """The method and, where it is not the run's own, the layer."""
    return view.method if view.layer == LAST_LAYER else f"{view.method} at {view.layer}"


def zero_note(raw: torch.Tensor, class_name: str) -> str:
    """A sentence for a raw map without a positive cell; empty for other maps."""
    if (raw > 0).any():
        return ""
    return f"This map is zero: nothing speaks for {class_name}. There are no top pixels and no predicted boxes."
