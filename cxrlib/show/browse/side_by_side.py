"""The third tab: the same study under all methods, beside another study, or in another run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets

from cxrlib.show.browse.browsed import BrowsedRun, View, load_results
from cxrlib.show.browse.numbers import localisation_text
from cxrlib.show.browse.overlay import Look, render
from cxrlib.show.browse.panel import describe, missing_map, offer, row, told_in_place
from cxrlib.show.browse.picture import Picture

METHODS, STUDIES, RUNS = "all methods", "another study", "another run"


class ComparePanel(widgets.VBox):
    """Small pictures side by side, each with its numbers.

    Args:
        results: what is looked at.
        runs: folders of other runs by name, opened when they are chosen.
        look: how the first tab draws, so that both look alike.
        listed: the studies that pass the filters.
    """

    def __init__(
        self, results: BrowsedRun, runs: dict[str, Path], look: Callable[[], Look], listed: Callable[[], list[str]]
    ) -> None:
        self.results, self.runs, self.look, self.listed = results, runs, look, listed
        self._opened: dict[str, BrowsedRun] = {}
        narrow = {"description_width": "auto"}
        self.mode = widgets.Dropdown(description="compare with", options=[METHODS, STUDIES, RUNS], style=narrow)
        self.study = widgets.Dropdown(description="study", style=narrow, layout={"width": "345px"})
        self.run = widgets.Dropdown(description="run", options=list(runs), style=narrow)
        self.pictures = [Picture("small", arrows=True)]
        self.grid = row(*self.pictures)
        self.view: View | None = None
        for control in (self.mode, self.study, self.run):
            control.observe(lambda _: self.view and self.show(self.view), names="value")
        super().__init__([row(self.mode, self.study, self.run), self.grid])

    def show(self, view: View) -> None:
        """Draw a view and what it is compared with."""
        self.view = view
        self.study.layout.display = "" if self.mode.value == STUDIES else "none"
        self.run.layout.display = "" if self.mode.value == RUNS else "none"
        with told_in_place(self.say):
            pairs = {METHODS: self._all_methods, STUDIES: self._two_studies, RUNS: self._two_runs}[self.mode.value](
                view
            )
            if isinstance(pairs, str):
                self.say(pairs)
                return
            self._make_pictures(len(pairs))
            for picture, (results, shown, prefix) in zip(self.pictures, pairs, strict=False):
                picture.show(*_drawn(results, shown, self.look(), prefix))

    def say(self, text: str) -> None:
        """Show a sentence instead of pictures."""
        self.pictures[0].say(text)
        self.grid.children = self.pictures[:1]

    def _all_methods(self, view: View) -> list[tuple[BrowsedRun, View, str]]:
        return [
            (self.results, replace(view, method=method, layer=layer), "")
            for method, layers in self.results.methods.items()
            for layer in layers
        ]

    def _two_studies(self, view: View) -> list[tuple[BrowsedRun, View, str]] | str:
        others = [image_id for image_id in self.listed() if image_id != view.image_id]
        if not others:
            return "No other study passes the filters."
        if list(self.study.options) != others:
            offer(self.study, others, self.study.value)
        return [(self.results, view, ""), (self.results, replace(view, image_id=self.study.value), "")]

    def _two_runs(self, view: View) -> list[tuple[BrowsedRun, View, str]] | str:
        name = self.run.value
        if name is None:
            return "There is no other run to compare with; run_all.py --out makes one."
        if name not in self._opened:
            self._opened[name] = load_results(self.runs[name], with_network=False)
        other = self._opened[name]
        if view.image_id not in other.probabilities.index:
            return f"The run {name} does not hold the study {view.image_id} in its test split."
        if view.class_name not in other.classes:
            return f"The run {name} does not know the class {view.class_name}."
        first = other.first_view(view.image_id, view.class_name, view.share)
        same = replace(first, method=view.method, layer=view.layer)
        there = same if other.raw_map(same) is not None else first
        return [(self.results, view, "this run: "), (other, there, f"{name}: ")]

    def _make_pictures(self, count: int) -> None:
        while len(self.pictures) < count:
            self.pictures.append(Picture("small"))
        if len(self.grid.children) != count:
            self.grid.children = self.pictures[:count]


def _drawn(results: BrowsedRun, view: View, look: Look, prefix: str) -> tuple[bytes, str, str]:
    """JPEG bytes, caption and text for screen readers of one small picture."""
    evidence = results.evidence(view)
    image = render(results.cohort.images([view.image_id])[0], evidence, look, 384)
    texts = localisation_text(evidence, results.cohort.size, view.class_name)
    scores = [f"{name}: {texts[name]}" for name in ("IoU, all pairs", "hit") if name in texts]
    caption = "; ".join(filter(None, [prefix + describe(results, view), *scores, missing_map(results, view)]))
    return image, caption, caption
