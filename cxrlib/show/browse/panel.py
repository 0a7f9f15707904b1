"""What all tabs of the browser have in common."""

import contextlib
from collections.abc import Callable, Iterator
from html import escape

import ipywidgets as widgets

from cxrlib.show.browse.browsed import BrowsedRun, View

SLIDER = {"description_width": "5.5em"}


ROW = {"flex_flow": "row wrap", "align_items": "flex-start", "width": "100%", "grid_gap": "4px 16px"}


def row(*children: widgets.Widget, **layout: str) -> widgets.HBox:
    """Widgets beside each other, on a new line where the page is too narrow."""
    return widgets.HBox(children, layout=widgets.Layout(**(ROW | layout)))


def column(*children: widgets.Widget, width: str = "auto") -> widgets.VBox:
    """Widgets below each other."""
    return widgets.VBox(children, layout=widgets.Layout(width=width))


def offer(menu: widgets.Dropdown, options: list[str], wanted: str | None = None) -> None:
    """Give a menu other options and choose `wanted`, or the first where it is not among them."""
    menu.options = options
    menu.value = wanted if wanted in options else next(iter(options), None)


def sentence(text: str) -> str:
    """HTML of a sentence."""
    return f"<p class=cxr-sentence>{escape(text)}</p>" if text else ""


def describe(results: BrowsedRun, view: View) -> str:
    """What a picture shows, in one line."""
    layer = f", {view.layer}" if len(results.methods.get(view.method, {})) > 1 else ""
    p = results.probabilities.at[view.image_id, view.class_name]
    rendered = "rendered radiograph " if results.cohort.rendered else ""
    return f"{rendered}{view.image_id}: {view.class_name}, p = {p:.3f}; {view.method}{layer}, top {view.share:.0%}"


def missing_map(results: BrowsedRun, view: View) -> str:
    """A sentence where a view has no heatmap, else nothing."""
    if results.raw_map(view) is not None:
        return ""
    store = results.methods.get(view.method, {}).get(view.layer)
    held = len(store.probabilities) if store is not None else 0
    total = len(results.probabilities)
    return f"{view.method} has no heatmap of {view.class_name} on this study; it holds {held} of {total} studies."


@contextlib.contextmanager
def told_in_place(say: Callable[[str], None]) -> Iterator[None]:
    """Replace the picture by the error's text before the error goes on its way: nothing stale stays on the page."""
    try:
        yield
    except Exception as error:
        say(f"This view could not be drawn ({type(error).__name__}: {error}).")
        raise
