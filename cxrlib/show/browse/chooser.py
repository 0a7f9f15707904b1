"""The study chooser: search, filters, order, previous and next."""

import ipywidgets as widgets
import traitlets

from cxrlib.show.browse.browsed import BrowsedRun
from cxrlib.show.browse.panel import offer
from cxrlib.show.browse.selection import (
    DISAGREE,
    LOW_IOU,
    ONLY,
    ORDERS,
    SCORED_SHARE,
    SHOWN,
    disagreement,
    heatmap_iou,
    select,
    study_frame,
)

NARROW = {"description_width": "auto"}


class StudyChooser(widgets.VBox):
    """Chooses one study among those that pass the filters.

    Args:
        results: whose studies.
        class_name: the class that filters and sorts.

    Attributes:
        image_id: the chosen study; empty where no study passes the filters.
        chosen: the studies that pass the filters, in order.
    """

    image_id = traitlets.Unicode()
    chosen = traitlets.List()

    def __init__(self, results: BrowsedRun, class_name: str) -> None:
        self.results = results
        self._frames, self._listing = {}, False
        self.search = widgets.Text(description="search", placeholder="part of the study's id", style=NARROW)
        self.shown = widgets.Dropdown(description="show", options=SHOWN, style=NARROW)
        self.only = widgets.Dropdown(description="only", options=[("any", ""), *((n, n) for n in ONLY if n)])
        self.only.tooltip = (
            f"readers disagree: mean IoU of two readers at most {1 - DISAGREE:g}; "
            f"low IoU: the heatmap's top {SCORED_SHARE:.0%} meet the readers' boxes with less than {LOW_IOU:g}"
        )
        self.order = widgets.Dropdown(description="sort by", options=list(ORDERS), style=NARROW)
        self.descending = widgets.Checkbox(description="descending", indent=False)
        self.only.style = NARROW
        self.previous = widgets.Button(description="previous", icon="arrow-left", tooltip="previous study")
        self.next = widgets.Button(description="next", icon="arrow-right", tooltip="next study")
        self.study = widgets.Dropdown(description="study", style=NARROW)
        self.count = widgets.HTML()
        self._lay_out()
        super().__init__([self._filters, self._steps])
        self.class_name = class_name
        for control in (self.search, self.shown, self.only, self.order, self.descending):
            control.observe(lambda _: self._list(), names="value")
        self.study.observe(self._study_changed, names="value")
        self.previous.on_click(lambda _: self.step(-1))
        self.next.on_click(lambda _: self.step(1))
        self._list()

    def step(self, count: int) -> None:
        """Move by so many studies, no further than the first or last."""
        if self.chosen:
            position = self.chosen.index(self.image_id) + count
            self.study.value = self.chosen[min(max(position, 0), len(self.chosen) - 1)]

    def use_class(self, class_name: str) -> None:
        """Filter and sort by another class; the study stays where it passes the filters."""
        self.class_name = class_name
        self._list()

    def _frame(self):
        """The class's study frame, with the columns that the filters need; each is computed once."""
        name, results = self.class_name, self.results
        if name not in self._frames:
            labels = results.cohort.labels.loc[results.probabilities.index, name]
            self._frames[name] = study_frame(labels, results.probabilities[name])
        frame = self._frames[name]
        needed = {ONLY[self.only.value], ORDERS[self.order.value]}
        if "disagreement" in needed and "disagreement" not in frame:
            frame["disagreement"] = disagreement(results.cohort, name, frame.index)
        if "iou" in needed and "iou" not in frame:
            self.count.value = "comparing heatmaps with readers ..."
            frame["iou"] = heatmap_iou(results, name)
        return frame

    def _list(self) -> None:
        """List the studies that pass the filters."""
        frame = self._frame()
        settings = (self.search.value, self.shown.value, self.only.value, self.order.value, self.descending.value)
        self.chosen = select(frame, *settings)
        self._listing = True
        with self.study.hold_sync():
            offer(self.study, self.chosen, self.image_id)
        self._listing = False
        self.previous.disabled = self.next.disabled = self.study.disabled = not self.chosen
        self._study_changed()

    def _study_changed(self, _change: dict | None = None) -> None:
        if self._listing:
            return
        image_id = self.study.value or ""
        total = len(self.results.probabilities)
        if image_id:
            row = self._frames[self.class_name].loc[image_id]
            known = {"disagreement": "readers' disagreement", "iou": "IoU"}
            extra = "".join(f", {name} {row[column]:.2f}" for column, name in known.items() if column in row.index)
            self.count.value = f"{self.chosen.index(image_id) + 1} of {len(self.chosen)}: {row['outcome']}{extra}"
        else:
            self.count.value = f"No study of {total} passes the filters; change them."
        self.image_id = image_id

    def _lay_out(self) -> None:
        row = widgets.Layout(flex_flow="row wrap", align_items="center", width="100%")
        for control, width in [
            (self.search, "230px"),
            (self.shown, "175px"),
            (self.only, "185px"),
            (self.order, "195px"),
            (self.descending, "110px"),
            (self.study, "345px"),
            (self.previous, "100px"),
            (self.next, "100px"),
        ]:
            control.layout.width = width
        self._filters = widgets.HBox([self.search, self.shown, self.only, self.order, self.descending], layout=row)
        self._steps = widgets.HBox([self.study, self.previous, self.next, self.count], layout=row)
