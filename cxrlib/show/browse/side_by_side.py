"""The third tab: the same study under all methods, beside another study, or in another run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import ipywidgets as widgets

from cxrlib.runtime.errors import Refusal
from cxrlib.show.browse.browsed import BrowsedRun, View, load_results
from cxrlib.show.browse.numbers import localisation_text
from cxrlib.show.browse.overlay import Look, render
from cxrlib.show.browse.panel import column, describe, heatmap_name, map_note, offer, row, sentence
from cxrlib.show.browse.picture import Picture
from cxrlib.show.browse.shown import Content, Panel, told

METHODS, STUDIES, RUNS = "all methods", "another study", "another run"


@dataclass(frozen=True)
class Compared:
    """What is compared: a view in the look of the first tab, with the study or the run that the menus choose."""

    view: View
    look: Look
    mode: str
    study: str | None
    run: str | None


Shown = tuple[BrowsedRun, View, str]
"""One small picture: its run, its view, and what its caption begins with."""


class ComparePanel(Panel):
    """Small pictures side by side, each with its numbers.

    Args:
        results: the run that is browsed.
        settings: the controls that all tabs have.
        runs: folders of other runs by name; a run is opened when it is chosen.
        look: returns the look of the first tab.
        listed: returns the studies that pass the filters.
    """

    def __init__(
        self,
        results: BrowsedRun,
        settings: widgets.Widget,
        runs: dict[str, Path],
        look: Callable[[], Look],
        listed: Callable[[], list[str]],
    ) -> None:
        self.results, self.runs, self.look, self.listed = results, runs, look, listed
        self._opened: dict[str, BrowsedRun] = {}
        narrow = {"description_width": "auto"}
        self.mode = widgets.Dropdown(description="compare with", options=[METHODS, STUDIES, RUNS], style=narrow)
        self.study = widgets.Dropdown(description="study", style=narrow, layout={"width": "345px"})
        self.run = widgets.Dropdown(description="run", options=list(runs), style=narrow)
        pictures = [Picture("small", arrows=True), Picture("small")]
        self.grid = row(pictures[0])
        controls = [self.mode, self.study, self.run]
        self.note = widgets.HTML()
        shown = column(self.grid, self.note)
        shown.layout.flex = "1 1 600px"
        super().__init__([row(*controls), row(shown, settings)], pictures, {"note": self.note}, controls)

    def choice(self, view: View) -> Compared:
        """The view and what it is compared with; the menu of studies offers all others that pass the filters."""
        mode = self.mode.value
        self.study.layout.display = "" if mode == STUDIES else "none"
        self.run.layout.display = "" if mode == RUNS else "none"
        others = [image_id for image_id in self.listed() if image_id != view.image_id]
        if mode == STUDIES and list(self.study.options) != others:
            offer(self.study, others, self.study.value)
        return Compared(view, self.look(), mode, self.study.value, self.run.value)

    def wait_for(self, choice: Compared) -> str:
        """Another run is opened in the background."""
        return f"opening the run {choice.run} ..." if choice.mode == RUNS and self._is_closed(choice.run) else ""

    def content(self, choice: Compared) -> Content:
        """One small picture of each view, with its caption."""
        if choice.mode == METHODS:
            return self._all_methods(choice)
        compared = (self._two_studies if choice.mode == STUDIES else self._two_runs)(choice)
        if isinstance(compared, str):
            return told(compared)
        drawn = []
        for results, view, prefix in compared:
            drawn.append(_drawn(results, view, choice.look, prefix + describe(results, view)))
        return Content(drawn)

    def put(self, content: Content) -> None:
        """Fill as many places as the content has pictures."""
        count = max(1, len(content.pictures))
        while len(self.pictures) < count:
            self.pictures.append(Picture("small"))
        super().put(content)
        if len(self.grid.children) != count:
            self.grid.children = self.pictures[:count]

    def _all_methods(self, choice: Compared) -> Content:
        """All methods with a map of the study, and the names of those without."""
        results, view = self.results, choice.view
        offered = [(method, layer) for method, layers in results.methods.items() for layer in layers]
        made = results.on_demand.made_of(view.image_id) if results.on_demand else []
        offered += [(key.method, key.layer) for key in made if (key.method, key.layer) not in offered]
        views = [replace(view, method=method, layer=layer) for method, layer in offered]
        shown = [one for one in views if results.raw_map(one) is not None]
        others = ", ".join(heatmap_name(one) for one in views if one not in shown)
        note = f"Not stored for this study: {others}." if others else ""
        drawn = [_drawn(results, one, choice.look, f"{heatmap_name(one)}, top {one.share:.0%}") for one in shown]
        return Content(drawn, {"note": sentence(note)}) if shown else told(note)

    def _two_studies(self, choice: Compared) -> list[Shown] | str:
        if choice.study is None:
            return "No other study passes the filters."
        return [(self.results, choice.view, ""), (self.results, replace(choice.view, image_id=choice.study), "")]

    def _two_runs(self, choice: Compared) -> list[Shown] | str:
        name, view = choice.run, choice.view
        if name is None:
            return "There is no other run to compare with; run_all.py --out makes one."
        try:
            other = self._open(name)
        except Refusal as refusal:
            return f"The run {name} cannot be opened: {refusal}"
        if view.image_id not in other.probabilities.index:
            return f"The run {name} does not hold the study {view.image_id} in its test split."
        if view.class_name not in other.classes:
            return f"The run {name} does not know the class {view.class_name}."
        first = other.first_view(view.image_id, view.class_name, view.share)
        same = replace(first, method=view.method, layer=view.layer)
        there = same if other.raw_map(same) is not None else first
        return [(self.results, view, "this run: "), (other, there, f"{name}: ")]

    def _open(self, name: str) -> BrowsedRun:
        """A run as it is on the disk now."""
        if self._is_closed(name):
            self._opened[name] = load_results(self.runs[name], with_network=False)
        return self._opened[name]

    def _is_closed(self, name: str | None) -> bool:
        """Whether a run is not opened yet, or was changed after it had been opened."""
        if name not in self._opened:
            return name is not None
        try:
            self._opened[name].check_files()
        except Refusal:
            return True
        return False


def _drawn(results: BrowsedRun, view: View, look: Look, name: str) -> tuple[bytes, str, str]:
    """JPEG bytes, caption and text for screen readers of one small picture."""
    evidence = results.evidence(view)
    image = render(results.cohort.images([view.image_id])[0], evidence, look, 384)
    texts = localisation_text(evidence, results.cohort.size, view.class_name)
    scores = [f"{name}: {texts[name]}" for name in ("IoU, all pairs", "hit") if name in texts]
    caption = "; ".join(filter(None, [name, *scores, map_note(results, view)]))
    return image, caption, f"{view.image_id}, {view.class_name}: {caption}"
