"""The browser's one rule: what is shown belongs to what is chosen.

A panel is a function from a choice to a content. `Panels` alone asks for contents and puts them on the page. A content
fills every place of its panel, and leaves empty what it does not name, so that nothing outlives what it belongs to.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import ipywidgets as widgets

from cxrlib.runtime.errors import Refusal
from cxrlib.show.browse.browsed import BrowsedRun, View
from cxrlib.show.browse.latest import LatestOnly
from cxrlib.show.browse.panel import heatmap_name
from cxrlib.show.browse.picture import Picture

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Content:
    """All that a panel shows; what is left out is empty on the page.

    Attributes:
        pictures: in order, each as its bytes, its caption and what a screen reader says.
        texts: HTML by the name of its place.
        readers: what the switches of the readers' boxes are called.
    """

    pictures: Sequence[tuple[bytes, str, str]] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    readers: Sequence[str] = ()


def told(text: str) -> Content:
    """A sentence instead of everything."""
    return Content([(b"", text, "")])


def failure(error: Exception) -> str:
    """The sentence that stands where an error left nothing to show; the log gets the traceback, except a refusal's."""
    if isinstance(error, Refusal):
        return str(error)
    log.error("the browser could not draw this", exc_info=error)
    return f"This view could not be drawn ({type(error).__name__}: {error})."


class Panel(widgets.VBox):
    """What one tab shows. A subclass says what is chosen, what belongs to it, and where that stands.

    Args:
        children: the widgets of the panel.
        pictures: the places of pictures; a sentence stands below the first.
        texts: the places of HTML, by name.
        controls: the panel's own controls; when one moves, the page is made anew.

    Attributes:
        needs_study: whether the panel has something to show only where a study is chosen.
    """

    needs_study = True

    def __init__(
        self,
        children: Sequence[widgets.Widget],
        pictures: list[Picture],
        texts: Mapping[str, widgets.HTML],
        controls: Sequence[widgets.Widget] = (),
    ) -> None:
        self.pictures, self.texts, self.controls = pictures, dict(texts), controls
        super().__init__(children, layout={"width": "100%"})

    def choice(self, view: View) -> object:
        """All that decides the content: the view and what the panel's own controls choose. Menus follow the view here.

        Args:
            view: what all tabs choose; its image_id is empty where no study is chosen.
        """
        return view

    def wait_for(self, choice: object) -> str:
        """What the panel says while its content is computed in the background; empty where it is computed at once."""
        return ""

    def content(self, choice: object) -> Content:
        """What belongs to a choice. It may be called in another thread and touches no widget."""
        raise NotImplementedError

    def put(self, content: Content) -> None:
        """Fill every place of the panel."""
        empty = (b"", "", "")
        for number, picture in enumerate(self.pictures):
            picture.show(*(content.pictures[number] if number < len(content.pictures) else empty))
        for name, place in self.texts.items():
            place.value = content.texts.get(name, "")


class Panels(widgets.Stack):
    """The panels, of which one is open; the others are empty.

    Args:
        panels: what the tabs show.
        results: the run that is browsed.
        opened: number of the panel that is open at first.
        on_answer: called when something that was computed in the background is shown.
    """

    def __init__(
        self, panels: Sequence[Panel], results: BrowsedRun, opened: int, on_answer: Callable[[], None]
    ) -> None:
        self.results, self._on_answer = results, on_answer
        self.latest = LatestOnly(self._work, self._answered)
        super().__init__(panels, selected_index=opened)

    @property
    def opened(self) -> Panel:
        """The panel that is open."""
        return self.children[self.selected_index]

    def show(self, view: View, missing: str = "") -> None:
        """Show on the open panel what belongs to a view and to the panel's controls.

        Args:
            view: what is chosen.
            missing: why no study is chosen; empty where one is.
        """
        panel = self._empty_others()
        with self._told_in(panel):
            self.results.check_files()
            choice = panel.choice(view)
            if missing and panel.needs_study:
                panel.put(told(missing))
            elif waiting := self._awaited(panel, view) or panel.wait_for(choice):
                panel.put(told(waiting))
                self.latest.ask((panel, choice))
            else:
                panel.put(panel.content(choice))

    def errors_told(self) -> contextlib.AbstractContextManager:
        """A `with` block whose error replaces what the open panel shows."""
        return self._told_in(self.opened)

    def _awaited(self, panel: Panel, view: View) -> str:
        """What a panel that shows a study says while the study's map is computed."""
        on_demand = self.results.on_demand
        if not panel.needs_study or on_demand is None or on_demand.awaited != view.key:
            return ""
        return f"computing {heatmap_name(view)}: {on_demand.cost(view.method, view.layer)} ..."

    def _work(self, request: tuple[Panel, object]) -> Content:
        panel, choice = request
        if panel.needs_study and self.results.on_demand is not None:
            self.results.on_demand.make()
        return panel.content(choice)

    def _empty_others(self) -> Panel:
        self.latest.forget()
        for panel in self.children:
            if panel is not self.opened:
                panel.put(Content())
        return self.opened

    def _answered(self, request: tuple[Panel, object], result: Content | Exception) -> None:
        with self._told_in(request[0]):
            if isinstance(result, Exception):
                raise result
            request[0].put(result)
        self._on_answer()

    @contextlib.contextmanager
    def _told_in(self, panel: Panel) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # an error in a handler would be seen in no page
            panel.put(told(failure(error)))
