"""Beat the heatmap: the reader draws a box, and is scored beside radiologists, Grad-CAM and chance."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.evaluate.drawn_box import score_drawn
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.show.browse.browsed import GRADCAM, BrowsedRun, Evidence, View, load_results
from cxrlib.show.browse.browser import SHARE
from cxrlib.show.browse.draw_box import DrawBox
from cxrlib.show.browse.game_cases import chosen_shares, game_cases
from cxrlib.show.browse.game_words import closing, head, score_table
from cxrlib.show.browse.overlay import LINES, Look, readers_of, render
from cxrlib.show.browse.panel import column, row, sentence
from cxrlib.show.browse.shown import failure


class BoxGame(widgets.VBox):
    """Ten test studies; on each the reader boxes a finding and sees what others boxed.

    Args:
        results: the run whose test studies are asked; its network is not used.
        shares: share of the pixels of Grad-CAM's mask by class; SHARE for the others.
        seed: chooses the studies of the first game; each further game has the next seed.

    Attributes:
        cases: image id and class name of each case.
        scores: of each case that was scored, from `score_drawn`.
    """

    def __init__(self, results: BrowsedRun, shares: Mapping[str, float] | None = None, seed: int = 0) -> None:
        self.results, self.shares, self.seed = results, dict(shares or {}), seed
        self.cases, self.scores = [], []
        self.task, self.table, self.words = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.picture = DrawBox(results.cohort.size)
        wide = {"width": "150px"}
        self.score = widgets.Button(description="score my box", icon="check", button_style="primary", layout=wide)
        self.next = widgets.Button(description="next case", icon="arrow-right", layout=wide)
        beside = column(row(self.score, self.next), self.table, self.words, width="370px")
        super().__init__([widgets.HTML(head(results.cohort.rendered)), self.task, row(self.picture, beside)])
        self.add_class("cxr-browser")
        self.picture.observe(lambda _: self._offer(), names="box")
        self.score.on_click(lambda _: self._do(self._score))
        self.next.on_click(lambda _: self._do(self._next))
        self.picture.on_enter(self._enter)
        self._begin()

    def __repr__(self) -> str:
        """The text that a viewer without widgets shows in an executed notebook."""
        return f"a game of {len(self.cases)} cases; it needs a running kernel"

    @property
    def _asked(self) -> int:
        """The number of the case that is shown."""
        return len(self.scores) - 1 if self.picture.locked else len(self.scores)

    @property
    def _is_over(self) -> bool:
        return len(self.scores) == len(self.cases)

    @property
    def _view(self) -> View:
        image_id, name = self.cases[self._asked]
        return self.results.first_view(image_id, name, self.shares.get(name, SHARE))

    def _begin(self) -> None:
        results = self.results
        findings = [name for name in results.cohort.findings if name in results.classes]
        self.cases = game_cases(results.cohort, results.probabilities.index.tolist(), findings, self.seed)
        self.scores, self.table.value, self.words.value = [], "", ""
        if self.cases:
            self._ask()
        else:
            self._stop("No test study of this run has a finding that a reader boxed: there is nothing to draw.")

    def _ask(self) -> None:
        self.picture.locked = False
        view = self._view
        without_boxes = self.results.cohort.boxes(view.image_id, view.class_name)[:0]
        nothing = Evidence(None, np.zeros((1, 1), bool), np.empty((0, 4)), without_boxes)
        task = f"Case {self._asked + 1} of {len(self.cases)}: draw a box around {view.class_name}."
        self.task.value = f"<p class=cxr-task><strong>{escape(task)}</strong></p>"
        kind = "Rendered radiograph" if self.results.cohort.rendered else "Radiograph"
        self.picture.ask(self._drawn(view, nothing), f"{kind} {view.image_id}.", task)
        self._offer()

    def _score(self) -> None:
        view, size = self._view, self.results.cohort.size
        evidence = self.results.evidence(view)
        readers = {str(rad_id): rows[BOX_COLUMNS].to_numpy(float) for rad_id, rows in readers_of(evidence)}
        drawn = np.array(self.picture.box)
        self.scores.append(score_drawn(drawn, readers, {GRADCAM: evidence.predicted}, size))
        lines = ", ".join(f"{name} {line}" for name, line in zip(readers, LINES, strict=False))
        found = f"Purple: {GRADCAM}'s top {view.share:.0%} and the boxes around them."
        if not len(evidence.predicted):
            found = f"{GRADCAM}'s map is zero: it points nowhere."
        p = self.results.probabilities.at[view.image_id, view.class_name]
        caption = f"Yellow: you. Green: {lines}. {found} The network says p = {p:.2f}."
        self.picture.answer(self._drawn(view, evidence), caption, f"{view.class_name}, scored. {caption}")
        self.table.value = score_table(self.scores)
        self.words.value = f"<p class=cxr-closing>{escape(closing(self.scores))}</p>" if self._is_over else ""
        self._offer()

    def _next(self) -> None:
        if self._is_over:
            self.seed += 1
            self._begin()
        else:
            self._ask()

    def _enter(self) -> None:
        if not self.score.disabled:
            self._do(self._score)
        elif not self.next.disabled:
            self._do(self._next)

    def _do(self, step) -> None:
        try:
            self.results.check_files()
            step()
        except Exception as error:  # an error in a handler would be seen in no page
            self._stop(failure(error))

    def _stop(self, words: str) -> None:
        """A sentence instead of a case."""
        self.task.value = sentence(words)
        self.picture.answer(b"", "", "")
        self.score.disabled = self.next.disabled = True

    def _offer(self) -> None:
        """A box can be scored once; then the next case is open."""
        self.score.disabled = self.picture.locked or not self.picture.box
        self.next.disabled = not self.picture.locked
        self.next.description = "new game" if self._is_over else "next case"

    def _drawn(self, view: View, evidence: Evidence) -> bytes:
        return render(self.results.cohort.images([view.image_id])[0], evidence, Look())


def open_game(folder: str | Path) -> widgets.Widget:
    """The game on the test studies of a run's folder; a sentence if something is missing."""
    folder = PROJECT_ROOT / folder
    try:
        return BoxGame(load_results(folder, with_network=False), chosen_shares(folder))
    except Refusal as refusal:
        return widgets.HTML(sentence(str(refusal)))
