"""The study chooser: search, filters, order, previous and next."""

from collections.abc import Callable
from html import escape

import ipywidgets as widgets
import pandas as pd

from cxrlib.show.browse.browsed import BrowsedRun
from cxrlib.show.browse.panel import offer
from cxrlib.show.browse.selection import (
    DISAGREE,
    LOW_IOU,
    ONLY,
    ORDERS,
    SHOWN,
    disagreement,
    heatmap_iou,
    select,
    study_frame,
)
from cxrlib.show.browse.shown import failure
from cxrlib.show.browse.thumbnails import SHOWN_AT_ONCE, Thumbnails, thumbnail

NARROW = {"description_width": "auto"}


UNFILTERED = ("", SHOWN[0], "", next(iter(ORDERS)), False)
"""What search, show, only, sort by and descending are at first."""


class StudyChooser(widgets.VBox):
    """Chooses one study among those that pass the filters.

    Args:
        results: the run whose studies are chosen.
        class_name: the class by which studies are filtered and sorted.
        share: fraction of the heatmap's pixels whose IoU filters and sorts.
        on_choice: called whenever another study, other studies or none are chosen.

    Attributes:
        image_id: the chosen study; empty where there is none.
        chosen: the studies that pass the filters, in order.
        missing: why no study is chosen; empty where one is.
    """

    def __init__(self, results: BrowsedRun, class_name: str, share: float, on_choice: Callable[[], None]) -> None:
        self.results, self.share = results, share
        self.image_id, self.chosen, self.missing = "", [], ""
        self._frames, self._listing, self._last, self._on_choice = {}, False, "", lambda: None
        self.search = widgets.Text(description="search", placeholder="part of the study's id", style=NARROW)
        self.shown = widgets.Dropdown(description="show", options=SHOWN, style=NARROW)
        self.only = widgets.Dropdown(description="only", options=[("any", ""), *((n, n) for n in ONLY if n)])
        self.only.tooltip = (
            f"readers disagree: mean IoU of two readers at most {1 - DISAGREE:g}; "
            f"low IoU: the heatmap's top pixels meet the readers' boxes with less than {LOW_IOU:g}"
        )
        self.order = widgets.Dropdown(description="sort by", options=list(ORDERS), style=NARROW)
        self.descending = widgets.Checkbox(description="descending", indent=False)
        self.only.style = NARROW
        self.previous = widgets.Button(description="previous", icon="arrow-left", tooltip="previous study")
        self.next = widgets.Button(description="next", icon="arrow-right", tooltip="next study")
        self.study = widgets.Dropdown(description="study", style=NARROW)
        self.clear = widgets.Button(description="clear", icon="times", tooltip="show all studies in their stored order")
        self.unfold = widgets.ToggleButton(description="filters", icon="filter", tooltip="show or hide the filters")
        self.count = widgets.HTML()
        self.thumbnails = Thumbnails()
        self._pictures = {}
        self._controls = [self.search, self.shown, self.only, self.order, self.descending]
        self._lay_out()
        super().__init__([self._steps, self._filters, self.thumbnails], layout={"flex": "1 1 600px", "min_width": "0"})
        self.class_name = class_name
        for control in self._controls:
            control.observe(lambda _: self._listing or self._list(), names="value")
        self.study.observe(lambda _: self._listing or self._study_changed(), names="value")
        self.previous.on_click(lambda _: self.step(-1))
        self.next.on_click(lambda _: self.step(1))
        self.clear.on_click(lambda _: self._clear())
        self.thumbnails.on_click(self._clicked)
        self._list()
        self._on_choice = on_choice

    def step(self, count: int) -> None:
        """Move by a number of studies, at most to the first or last."""
        if self.chosen:
            position = self.chosen.index(self.image_id) + count
            self.study.value = self.chosen[min(max(position, 0), len(self.chosen) - 1)]

    def use_class(self, class_name: str) -> None:
        """Filter and sort by another class; the same study stays chosen if it passes the filters."""
        self.class_name = class_name
        self._list()

    def use_share(self, share: float) -> None:
        """Filter and sort by the IoU of another share of the pixels."""
        self.share = share
        for name, frame in self._frames.items():
            self._frames[name] = frame.drop(columns="iou", errors="ignore")
        if "iou" in self._needed:
            self._list()

    def _clear(self) -> None:
        """Take all filters away."""
        self._listing = True
        for control, first in zip(self._controls, UNFILTERED, strict=True):
            control.value = first
        self._listing = False
        self._list()

    def _unfold(self, change: dict) -> None:
        """The filters are hidden until they are asked for."""
        self._filters.layout.display = "" if change["new"] else "none"

    def _clicked(self, image_id: str) -> None:
        if image_id in self.chosen:
            self.study.value = image_id

    def _show_thumbnails(self) -> None:
        """The studies beside the chosen one, in the order of the list."""
        place = self.chosen.index(self.image_id) if self.image_id in self.chosen else 0
        first = place // SHOWN_AT_ONCE * SHOWN_AT_ONCE
        image_ids = self.chosen[first : first + SHOWN_AT_ONCE]
        for image_id in image_ids:
            if image_id not in self._pictures:
                self._pictures[image_id] = thumbnail(self.results.cohort.images([image_id])[0])
        self.thumbnails.show(image_ids, [self._pictures[image_id] for image_id in image_ids], self.image_id)

    @property
    def _needed(self) -> set[str | None]:
        """The columns that the filters and the order need."""
        return {ONLY[self.only.value], ORDERS[self.order.value]}

    def _frame(self) -> pd.DataFrame:
        """The class's study frame, with the columns that are needed. Each column is computed once."""
        name, results = self.class_name, self.results
        if name not in self._frames:
            labels = results.cohort.labels.loc[results.probabilities.index, name]
            self._frames[name] = study_frame(labels, results.probabilities[name])
        frame = self._frames[name]
        if "disagreement" in self._needed and "disagreement" not in frame:
            frame["disagreement"] = disagreement(results.cohort, name, frame.index)
        if "iou" in self._needed and "iou" not in frame:
            self._choose([], "Comparing heatmaps with readers ...")
            frame["iou"] = heatmap_iou(results, name, self.share)
        return frame

    def _list(self) -> None:
        """List the studies that pass the filters."""
        settings = [control.value for control in self._controls]
        used = sum(now != first for now, first in zip(settings, UNFILTERED, strict=True))
        self.unfold.description = f"filters ({used})" if used else "filters"
        try:
            chosen = select(self._frame(), *settings)
        except Exception as error:  # the studies that were listed before do not belong to these filters
            self._choose([], failure(error))
        else:
            self._choose(chosen, f"No study of {len(self.results.probabilities)} passes the filters; change them.")

    def _choose(self, chosen: list[str], why_none: str) -> None:
        """Offer studies; the last one that was chosen stays chosen if it is among them."""
        self.chosen, self.missing = chosen, "" if chosen else why_none
        self._listing = True
        with self.study.hold_sync():
            offer(self.study, chosen, self._last)
        self._listing = False
        self.previous.disabled = self.next.disabled = self.study.disabled = not chosen
        self._study_changed()

    def _study_changed(self) -> None:
        self.image_id = self.study.value or ""
        self._last = self.image_id or self._last
        self.count.value = self._place() if self.image_id else escape(self.missing)
        self._show_thumbnails()
        self._on_choice()

    def _place(self) -> str:
        """Which of the listed studies is chosen, how it is classified, and what it is filtered or sorted by."""
        row = self._frames[self.class_name].loc[self.image_id]
        known = {"disagreement": "readers' disagreement", "iou": f"IoU at {self.share:.0%}"}
        shown = {name: row[column] for column, name in known.items() if column in self._needed}
        extra = "".join(f", {name} {value:.2f}" for name, value in shown.items() if pd.notna(value))
        return f"{self.chosen.index(self.image_id) + 1} of {len(self.chosen)}: {row['outcome']}{extra}"

    def _lay_out(self) -> None:
        row = {"flex_flow": "row wrap", "align_items": "center", "width": "100%"}
        for control, width in [
            (self.search, "230px"),
            (self.shown, "175px"),
            (self.only, "185px"),
            (self.order, "195px"),
            (self.descending, "110px"),
            (self.study, "345px"),
            (self.previous, "100px"),
            (self.next, "100px"),
            (self.clear, "85px"),
            (self.unfold, "110px"),
            (self.count, "350px"),
        ]:
            control.layout.width, control.layout.max_width = width, "100%"
            if not control.tooltip:
                control.tooltip = control.description
        self._filters = widgets.HBox([*self._controls, self.clear], layout=widgets.Layout(**row, display="none"))
        self.unfold.observe(self._unfold, names="value")
        self._steps = widgets.HBox([self.study, self.previous, self.next, self.unfold, self.count], layout=row)
