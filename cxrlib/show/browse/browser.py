"""The heatmap browser: one study with its heatmaps and scores."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
from torch import nn

from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.show.browse.browsed import BrowsedRun, View, browsable_runs, by_method, load_results
from cxrlib.show.browse.chooser import StudyChooser
from cxrlib.show.browse.heatmap import HeatmapPanel
from cxrlib.show.browse.numbers import localisation_text
from cxrlib.show.browse.on_demand import Later
from cxrlib.show.browse.overlay import Look, captioned, compose
from cxrlib.show.browse.own import OwnPanel
from cxrlib.show.browse.panel import FULL, SIDE_WIDTH, SLIDER, column, describe, heatmap_name, offer, row, sentence
from cxrlib.show.browse.perturb import PerturbPanel
from cxrlib.show.browse.saved_cases import Case, cases_page
from cxrlib.show.browse.selection import clearest_case
from cxrlib.show.browse.shown import Panels
from cxrlib.show.browse.side_by_side import ComparePanel
from cxrlib.show.browse.stamps import Stamp

TABS = ["heatmap", "perturbation", "comparison", "own image"]


SHARE = 0.05
"""Share of the pixels that make the mask at first."""


STEP = 0.01
"""Share of the pixels by which an arrow key moves the threshold."""


UNSEEN = 15
"""Seconds after which a browser that no page shows yet loads its network, so that a waiting one is complete."""


class HeatmapBrowser(widgets.VBox):
    """Sliders, filters and numbers over a run's stored maps. Only perturbation and own images cost a forward pass.

    Args:
        cohort: pixels, labels and boxes.
        maps: the store of notebook 03, or a mapping of methods to stores (or to a mapping of layers to stores). The
            studies of the first method are browsed.
        network: as it was trained, for perturbation, own images and maps that are not stored. One of `Later` is loaded
            when the first picture is on the page.
        tab: the first tab to show, one of TABS.
        show_heatmap: whether the heatmap's switch is on at first.
        runs: folders of other runs to compare with, by name.
        files: the files behind all this as they were when they were read; once one has changed, nothing is shown.
        parameters: of the run's methods by their name, where they differ from the methods' defaults.
        first: image id and class name of the view that is open at first; None takes the first study and class.
    """

    def __init__(
        self,
        cohort: Cohort,
        maps: Explanations | Mapping,
        network: nn.Module | Later | None = None,
        tab: str = TABS[0],
        show_heatmap: bool = True,
        runs: Mapping[str, Path] | None = None,
        files: Mapping[Path, Stamp] | None = None,
        parameters: Mapping[str, Mapping] | None = None,
        first: tuple[str, str] | None = None,
    ) -> None:
        self.results = BrowsedRun(cohort, by_method(maps), network, files or {}, parameters or {})
        self.cases: list[Case] = []
        self.class_name = widgets.Dropdown(
            description="class", options=self.results.classes, style={"description_width": "auto"}
        )
        self.class_name.value = first[1] if first else self.results.classes[0]
        self.method = widgets.Dropdown(description="method", options=self._methods(), style=SLIDER)
        self.layer = widgets.Dropdown(description="layer", style=SLIDER)
        self.compute = widgets.Button(layout={"width": "104px"})
        self.reset = widgets.Button(description="reset", icon="undo", layout={"width": "78px"})
        self.reset.tooltip = "top pixels, window, level and all controls of the look as they were at first"
        self.share = widgets.FloatSlider(
            description="top pixels", min=0.01, max=0.5, step=STEP, value=SHARE, readout_format=".0%", style=SLIDER
        )
        self.chooser = StudyChooser(self.results, self.class_name.value, SHARE, self.refresh)
        settings = column(width=SIDE_WIDTH)
        self.heatmap = HeatmapPanel(self.results, settings, show_heatmap)
        self.perturbation = PerturbPanel(self.results, settings, self._look)
        self.comparison = ComparePanel(
            self.results, settings, dict(runs or {}), self._look, lambda: self.chooser.chosen
        )
        self.own = OwnPanel(self.results, settings, self._look)
        settings.children = self._settings()
        panels = [self.heatmap, self.perturbation, self.comparison, self.own]
        self.tab = widgets.ToggleButtons(options=TABS, value=tab, style={"button_width": "110px"})
        self.panels = Panels(panels, self.results, TABS.index(tab), self._offer_computing)
        head = widgets.HTML(heading(cohort.rendered))
        choice = widgets.HBox([self.class_name, self.chooser], layout={"flex_flow": "row wrap", "grid_gap": "0 8px"})
        super().__init__([head, self.tab, choice, self.panels])
        self.add_class("cxr-browser")
        self._add_actions()
        self._following, self._complete, self._loading = False, not isinstance(network, Later), None
        self._connect()
        for panel in panels:
            panel.pictures[0].on_shown(self.load_soon)
        if first:
            self.chooser.study.value = first[0]
        self.refresh()

    def __repr__(self) -> str:
        """The text that a viewer without widgets shows in an executed notebook."""
        return f"heatmap browser of {len(self.results.probabilities)} studies; it needs a running kernel"

    @property
    def image_id(self) -> str:
        """The study that is shown; empty where no study passes the filters."""
        return self.chooser.image_id

    @property
    def view(self) -> View:
        """The view that the controls choose."""
        return View(self.image_id, self.class_name.value, self.method.value, self.layer.value, self.share.value)

    def refresh(self) -> None:
        """Let the page follow its controls."""
        if self._following:  # a menu that follows: the page is made when all controls are in their place
            return
        if not self._complete and self.results.can_compute(self.view):
            self.load_soon()
        self._following = True
        try:
            self._offer_layers()
            if self.results.on_demand:
                self.results.on_demand.want_only(self.view.key)
            self.save.disabled = self.add.disabled = not self.image_id
            self.panels.selected_index = TABS.index(self.tab.value)
            own = not self.panels.opened.needs_study
            for control in (self.chooser, self.method):
                control.layout.display = "none" if own else ""
            self.panels.show(self.view, self.chooser.missing)
            self._offer_computing()
        finally:
            self._following = False

    def load_soon(self) -> None:
        """Load the network in another thread, so that the page answers meanwhile; at once where no event loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.load_network()
        else:
            if not self._complete and self._loading is None:
                self._loading = loop.create_task(self._load_aside())

    async def _load_aside(self) -> None:
        with contextlib.suppress(Exception):  # `load_network` meets it again and tells it
            await asyncio.to_thread(self.results.on_demand.load)
        self.load_network()

    def load_network(self) -> None:
        """Load the network if it was not, and offer what it adds."""
        if self._complete:
            return
        with self.panels.errors_told():
            self.results.check_files()
            self.results.on_demand.load()
            self._complete = True
            self.refresh()

    def case(self) -> Case:
        """The view of the first tab with its caption and numbers."""
        self.results.check_files()
        view, results = self.view, self.results
        evidence, caption = results.evidence(view), describe(results, view)
        picture = compose(results.cohort.images([view.image_id])[0], evidence, self.heatmap.look)
        numbers = localisation_text(evidence, results.cohort.size, view.class_name)
        probabilities = {name: f"{p:.3f}" for name, p in results.probabilities.loc[view.image_id].items()}
        return Case(captioned(picture, caption), caption, numbers | probabilities)

    def _look(self) -> Look:
        return self.heatmap.look

    def _settings(self) -> list[widgets.Widget]:
        """The controls that all tabs have beside their pictures."""
        for control, width in [(self.class_name, "230px"), (self.method, FULL), (self.layer, "196px")]:
            control.layout.width, control.layout.max_width = width, "100%"
            control.tooltip = control.description
        self.share.tooltip = "share of the heatmap's pixels that make the mask and its boxes"
        self.share.layout.width = FULL
        layers = row(self.layer, self.compute, self.reset, align_items="center", grid_gap="0 4px")
        return [self.method, layers, self.share, self.heatmap.window, self.heatmap.level]

    def _connect(self) -> None:
        self.class_name.observe(lambda change: self.chooser.use_class(change["new"]), names="value")
        self.share.observe(lambda change: self.chooser.use_share(change["new"]), names="value")
        self.reset.on_click(self._reset)
        own = [control for panel in self.panels.children for control in panel.controls]
        for control in (self.method, self.layer, self.share, self.tab, *own):
            control.observe(lambda _: self.refresh(), names="value")
        self.compute.on_click(self._compute)
        for picture in (self.heatmap.picture, self.perturbation.before, self.comparison.pictures[0]):
            picture.on_arrows(self.chooser.step, self._move_share)

    def _offer_layers(self) -> None:
        method = self.method.value
        layers = {
            named_offer(layer, self.results.is_stored(method, layer) or not self.results.is_stored(method)): layer
            for layer in self.results.offered_layers(method)
        }
        if self.layer.options != tuple(layers.items()):
            offer(self.layer, layers, self.layer.value)
        own = self.tab.value == TABS[-1]
        self.layer.layout.visibility = "visible" if len(layers) > 1 else "hidden"
        self.layer.layout.display = self.compute.layout.display = "none" if own else ""

    def _methods(self) -> list[tuple[str, str]]:
        return [(named_offer(name, self.results.is_stored(name)), name) for name in self.results.offered_methods]

    def _offer_computing(self) -> None:
        """Let the button follow: it is there where a map can be computed, and busy while it is."""
        view, on_demand = self.view, self.results.on_demand
        busy = on_demand is not None and on_demand.awaited == view.key
        offered = self.panels.opened.needs_study and self.results.can_compute(view)
        self.compute.layout.visibility = "visible" if offered else "hidden"
        self.compute.disabled = busy or not offered
        self.compute.description, self.compute.icon = ("computing", "hourglass") if busy else ("compute", "play")
        self.compute.tooltip = f"{heatmap_name(view)}: heatmaps of all classes of this study" if offered else ""

    def _reset(self, _button: widgets.Button) -> None:
        self._following = True
        self.share.value = SHARE
        self.heatmap.reset()
        self._following = False
        self.refresh()

    def _compute(self, _button: widgets.Button) -> None:
        if self.results.can_compute(self.view):
            self.results.on_demand.ask(self.view.key)
        self.refresh()

    def _move_share(self, steps: int) -> None:
        self.share.value = min(max(self.share.value + steps * STEP, self.share.min), self.share.max)

    def _add_actions(self) -> None:
        self.save = widgets.Button(description="save picture", icon="download", layout={"width": "122px"})
        self.add = widgets.Button(description="add to cases", icon="plus", layout={"width": "122px"})
        self.export = widgets.Button(description="export cases", icon="list", layout={"width": "134px"}, disabled=True)
        self.save.on_click(self._save)
        self.add.on_click(self._add)
        self.export.on_click(self._export)
        self.heatmap.actions.children = [self.save, self.add, self.export]

    def _save(self, _button: widgets.Button) -> None:
        if not self.image_id:
            return
        with self.panels.errors_told():
            name = f"{self.image_id}-{self.class_name.value}-{self.method.value}.png".replace("/", "-")
            self.heatmap.picture.download(name.replace(" ", "_"), self.case().png, "image/png")

    def _add(self, _button: widgets.Button) -> None:
        if not self.image_id:
            return
        with self.panels.errors_told():
            self.cases.append(self.case())
            self.export.description = f"export {len(self.cases)} case{'s' * (len(self.cases) > 1)}"
            self.export.disabled = False

    def _export(self, _button: widgets.Button) -> None:
        with self.panels.errors_told():
            page = cases_page(self.cases, "Cases")
            self.heatmap.picture.download("cases.html", page.encode(), "text/html")


def heading(rendered: bool) -> str:
    """HTML above a browser: what the radiographs are, and help that unfolds."""
    kind = "Rendered radiographs, real annotations: not a clinical result." if rendered else "Research use only."
    keys = "With the picture in focus, left and right arrow change the study, up and down arrow the top pixels."
    lines = [
        "Choose a class and a study, by the menus, the small pictures or the buttons. Filters shorten the list.",
        "Red is the map's maximum; white lines run at 25, 50 and 75 % of it. The map is smoothed between its cells: "
        "the switch for the map's own cells shows how coarse it is.",
        "Purple: the map's top pixels and the boxes around them. Green: the readers' boxes, a line style for each.",
        keys,
    ]
    points = "".join(f"<li>{line}</li>" for line in lines)
    return (
        f"<div class=cxr-head><strong>{kind}</strong> Not for diagnosis."
        f"<details><summary>Help</summary><ul>{points}</ul></details></div>"
    )


def named_offer(name: str, is_stored: bool) -> str:
    """What a menu says of a method or layer."""
    return name if is_stored else f"{name} (compute)"


def open_run(folder: str | Path) -> widgets.Widget:
    """The browser of a run's folder; a sentence if something is missing. Runs in folders beside it can be compared."""
    folder = PROJECT_ROOT / folder
    try:
        results = load_results(folder)
    except Refusal as refusal:
        return widgets.HTML(sentence(str(refusal)))
    runs = {name: other for name, other in browsable_runs(folder.parent).items() if other != folder}
    about = {"files": results.files, "parameters": results.parameters, "first": clearest_case(results)}
    browser = HeatmapBrowser(results.cohort, results.methods, results.given, runs=runs, **about)
    with contextlib.suppress(RuntimeError):  # nobody runs an event loop outside of a kernel
        asyncio.get_running_loop().call_later(UNSEEN, browser.load_soon)
    return browser
