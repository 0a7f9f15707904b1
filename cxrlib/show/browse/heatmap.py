"""The first tab: one heatmap over its radiograph, and the numbers that follow it."""

from collections.abc import Callable

import ipywidgets as widgets

from cxrlib.show.browse.browsed import BrowsedRun, Evidence, View
from cxrlib.show.browse.numbers import localisation_table, localisation_text, probability_table
from cxrlib.show.browse.overlay import COLOUR_MAPS, LINES, Look, readers_of, render
from cxrlib.show.browse.panel import SLIDER, column, describe, missing_map, row, sentence, told_in_place
from cxrlib.show.browse.picture import Picture


class HeatmapPanel(widgets.VBox):
    """Picture, sliders and switches of its look, and numbers.

    Args:
        results: what is looked at.
        on_look: called when a slider or switch of the look moves.
        show_heatmap: whether the heatmap's switch is on at first.
    """

    def __init__(self, results: BrowsedRun, on_look: Callable[[], None], show_heatmap: bool = True) -> None:
        self.results = results
        self.picture = Picture(arrows=True)
        self.opacity = _slider("opacity", widgets.FloatSlider, Look.opacity, 0.0, 1.0, 0.05, readout_format=".2f")
        self.window = _slider("window", widgets.IntSlider, 255, 1, 255, 1)
        self.level = _slider("level", widgets.IntSlider, 128, 0, 255, 1)
        self.colours = widgets.Dropdown(description="colours", options=COLOUR_MAPS, style=SLIDER)
        self.colours.layout.width = "400px"
        self.heatmap, self.mask, self.predicted = map(_switch, ["heatmap", "mask", "predicted boxes"])
        self.heatmap.value = show_heatmap
        self.readers = [_switch("") for _ in LINES]
        self.numbers, self.probabilities, self.note = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._sliders = (self.opacity, self.window, self.level, self.colours)
        for control in (*self._sliders, self.heatmap, self.mask, self.predicted, *self.readers):
            control.observe(lambda _: on_look(), names="value")
        self.actions = row()
        switches = row(self.heatmap, self.mask, self.predicted, *self.readers, grid_gap="0 12px", padding="0 0 0 8px")
        super().__init__(
            [
                row(
                    column(self.picture, self.actions),
                    column(*self._sliders, switches, self.note, self.probabilities, self.numbers, width="440px"),
                )
            ]
        )

    @property
    def look(self) -> Look:
        """How the controls say that the view is drawn."""
        return Look(
            opacity=self.opacity.value,
            window=self.window.value,
            level=self.level.value,
            colours=self.colours.value,
            heatmap=self.heatmap.value,
            mask=self.mask.value,
            predicted=self.predicted.value,
            readers=tuple(switch.value for switch in self.readers),
        )

    def show(self, view: View) -> None:
        """Draw a view."""
        results = self.results
        with told_in_place(self.say):
            evidence = results.evidence(view)
            labels = results.cohort.labels.loc[view.image_id]
            texts = localisation_text(evidence, results.cohort.size, view.class_name)
            self._name_readers(evidence)
            self.numbers.value = localisation_table(texts)
            self.probabilities.value = probability_table(
                results.probabilities.loc[view.image_id], labels, view.class_name
            )
            self.note.value = sentence(missing_map(results, view))
            caption = describe(results, view)
            told = "; ".join(f"{name} {text}".strip() for name, text in texts.items())
            image = render(results.cohort.images([view.image_id])[0], evidence, self.look)
            self.picture.show(image, caption, f"{caption}. {told or missing_map(results, view)}")

    def say(self, text: str) -> None:
        """Show a sentence instead of a view."""
        self.picture.say(text)
        self.numbers.value = self.probabilities.value = self.note.value = ""

    def _name_readers(self, evidence: Evidence) -> None:
        """Give each reader of this study and class a switch that names the line style."""
        readers = readers_of(evidence)
        for number, (switch, line) in enumerate(zip(self.readers, LINES, strict=True)):
            present = number < len(readers)
            switch.layout.display = "" if present else "none"
            if present:
                switch.description = f"reader {readers[number][0]} ({line})"


def _slider(name: str, kind: type, value: float, low: float, high: float, step: float, **settings: str):
    slider = kind(value=value, min=low, max=high, step=step, description=name, style=SLIDER, **settings)
    slider.layout.width = "400px"
    return slider


def _switch(name: str) -> widgets.Checkbox:
    return widgets.Checkbox(value=True, description=name, indent=False, layout=widgets.Layout(width="auto"))
