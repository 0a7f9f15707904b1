"""The first tab: one heatmap over its radiograph, with its scores."""

import base64

import ipywidgets as widgets

from cxrlib.show.browse.browsed import BrowsedRun, View
from cxrlib.show.browse.numbers import localisation_table, localisation_text, probability_table
from cxrlib.show.browse.overlay import COLOUR_MAPS, LINES, Look, bar, readers_of, render
from cxrlib.show.browse.panel import (
    FULL,
    SIDE_WIDTH,
    SLIDER,
    beside,
    column,
    describe,
    map_note,
    row,
    sentence,
    shown_of_study,
)
from cxrlib.show.browse.picture import Picture
from cxrlib.show.browse.shown import Content, Panel
from cxrlib.show.figures.colouring import HEATMAP

TOLD = {
    "opacity": "opacity of the heatmap's maximum; lower values are more transparent",
    "window": "width of the range of grey values that is shown",
    "level": "middle of the range of grey values that is shown",
}
"""What a slider does."""


NAMED = {HEATMAP: "yellow to red", "gray": "grey"}
"""What the menu calls colour maps of which the name says little."""


class HeatmapPanel(Panel):
    """Picture, sliders and switches of its look, and numbers.

    Args:
        results: the run that is browsed.
        settings: the controls that all tabs have.
        show_heatmap: whether the heatmap's switch is on at first.
    """

    def __init__(self, results: BrowsedRun, settings: widgets.Widget, show_heatmap: bool = True) -> None:
        self.results = results
        self.picture = Picture(arrows=True)
        self.opacity = _slider("opacity", widgets.FloatSlider, Look.opacity, 0.0, 1.0, 0.05, readout_format=".2f")
        self.window = _slider("window", widgets.IntSlider, 255, 1, 255, 1)
        self.level = _slider("level", widgets.IntSlider, 128, 0, 255, 1)
        self.colours = widgets.Dropdown(
            description="colours", options=[(NAMED.get(name, name), name) for name in COLOUR_MAPS], style=SLIDER
        )
        self.colours.layout.width = FULL
        self.heatmap, self.mask, self.predicted = map(_switch, ["heatmap", "mask", "predicted boxes"])
        self.contours, self.cells = map(_switch, ["lines at 25, 50, 75 %", "the map's own cells"])
        self._at_first = show_heatmap
        self.readers = [_switch("") for _ in LINES]
        self.numbers, self.probabilities, self.note = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.bar = widgets.HTML(layout={"min_height": "58px"})
        self.note.add_class("cxr-note")
        self.actions = row(grid_gap="4px")
        close = {"grid_gap": "0 12px", "padding": "0 0 0 8px"}
        switches = row(self.heatmap, self.contours, self.cells, self.mask, self.predicted, **close)
        readers = row(*self.readers, min_height="64px", align_content="flex-start", **close)
        looks = [self.opacity, self.colours, self.bar, switches, readers]
        look = column(settings, *looks, self.actions, width=SIDE_WIDTH)
        numbers = column(self.probabilities, self.numbers, width="310px")
        super().__init__(
            [row(column(self.picture, self.note), beside(look, numbers))],
            [self.picture],
            {"numbers": self.numbers, "probabilities": self.probabilities, "note": self.note, "bar": self.bar},
            [self.opacity, self.window, self.level, self.colours, *self._switches, *self.readers],
        )
        self.reset()

    @property
    def _switches(self) -> list[widgets.Checkbox]:
        return [self.heatmap, self.contours, self.cells, self.mask, self.predicted]

    def reset(self) -> None:
        """Give all controls of the look their first values."""
        first = Look()
        self.opacity.value, self.window.value, self.level.value = first.opacity, first.window, first.level
        self.colours.value = first.colours
        for switch in (*self._switches, *self.readers):
            switch.value = True
        self.heatmap.value, self.cells.value = self._at_first, False

    @property
    def look(self) -> Look:
        """The look that the controls choose."""
        return Look(
            opacity=self.opacity.value,
            window=self.window.value,
            level=self.level.value,
            colours=self.colours.value,
            heatmap=self.heatmap.value,
            mask=self.mask.value,
            predicted=self.predicted.value,
            readers=tuple(switch.value for switch in self.readers),
            contours=self.contours.value,
            cells=self.cells.value,
        )

    def choice(self, view: View) -> tuple[View, Look]:
        """The view and its look."""
        return view, self.look

    def content(self, choice: tuple[View, Look]) -> Content:
        """Picture, probabilities and scores of a view."""
        (view, look), results = choice, self.results
        evidence, note = results.evidence(view), map_note(results, view)
        labels = results.cohort.labels.loc[view.image_id]
        texts = localisation_text(evidence, results.cohort.size, view.class_name)
        caption = shown_of_study(results, view)
        spoken = "; ".join(filter(None, [note, *(f"{name} {text}".strip() for name, text in texts.items())]))
        image = render(results.cohort.images([view.image_id])[0], evidence, look)
        return Content(
            [(image, caption, f"{describe(results, view)}. {spoken}")],
            {
                "numbers": localisation_table(texts),
                "probabilities": probability_table(results.probabilities.loc[view.image_id], labels, view.class_name),
                "note": sentence(note),
                "bar": bar_html(look),
            },
            [str(rad_id) for rad_id, _ in readers_of(evidence)],
        )

    def put(self, content: Content) -> None:
        """Fill the places, and give each reader of the content a switch that names the line style."""
        super().put(content)
        for number, (switch, line) in enumerate(zip(self.readers, LINES, strict=True)):
            present = number < len(content.readers)
            switch.layout.visibility = "visible" if present else "hidden"
            switch.description = f"reader {content.readers[number]} ({line})" if present else ""


def bar_html(look: Look) -> str:
    """HTML of the colour bar of a look; nothing where it shows no heatmap."""
    if not look.heatmap:
        return ""
    source = f"data:image/png;base64,{base64.b64encode(bar(look)).decode()}"
    ticks = "".join(f"<span>{share} %</span>" for share in (0, 25, 50, 75, 100))
    words = "share of the map's maximum, over black, grey and white"
    return f"<div class=cxr-scale><img src='{source}' alt='Colour bar'><div>{ticks}</div><p>{words}</p></div>"


def _slider(name: str, kind: type, value: float, low: float, high: float, step: float, **settings: str):
    slider = kind(
        value=value, min=low, max=high, step=step, description=name, tooltip=TOLD[name], style=SLIDER, **settings
    )
    slider.layout.width = FULL
    return slider


def _switch(name: str) -> widgets.Checkbox:
    layout = widgets.Layout(width="auto")
    return widgets.Checkbox(value=True, description=name, tooltip=name, indent=False, layout=layout)
