"""A run's folder: where notebooks find each other's results and leave tables and figures."""

import os
from pathlib import Path

import pandas as pd
from IPython.display import Image
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from cxrlib.files import PROJECT_ROOT, fingerprint, read_json, whole_file, write_json
from cxrlib.params import Section
from cxrlib.workflow.dependencies import code_fingerprints, effective, imported_names
from cxrlib.workflow.filelog import RUN_ID
from cxrlib.workflow.notebooks import NOTEBOOKS, code_of

FIGURE_DPI = 200
NOTE_GAP = 0.06
"""Inches between a figure and the note below it."""
DISPLAY_WIDTH = 800
"""Pixels of a figure's width in the notebook."""


class Run:
    """One notebook's view of its run.

    Args:
        folder: the run's folder; a relative one is resolved from the project root.
        notebook: name of the notebook, e.g. "06_iou".
        parameters: the notebook's validated sections, recorded with every artefact.

    Attributes:
        id: fingerprint of what run_all.py executed, also in the manifest; "interactive" in a notebook run by hand.
    """

    def __init__(self, folder: str, notebook: str, **parameters: Section) -> None:
        self.folder = PROJECT_ROOT / folder
        self.notebook = notebook
        self.id = os.environ.get(RUN_ID, "interactive")
        self.parameters = effective({name: section.model_dump() for name, section in parameters.items()})
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, *parts: str) -> Path:
        """Path below the run's folder; its parent is made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def save_table(self, name: str, table: pd.DataFrame, caption: str, about: dict | None = None) -> pd.DataFrame:
        """Write tables/<name>.csv and its provenance beside it.

        Args:
            name: e.g. "table_03".
            table: its index is written unless it is a plain range.
            caption: what the table shows.
            about: the data behind it; the run's cohort when None. A table from rendered images gets a column that
                says so.

        Returns:
            The table as written.
        """
        about = self.cohort if about is None else about
        if about.get("rendered"):
            table = table.assign(images="rendered")
        path = self.path("tables", f"{name}.csv")
        with whole_file(path) as temporary:
            table.to_csv(temporary, index=not isinstance(table.index, pd.RangeIndex), float_format="%.6g")
        self._save_provenance(path, caption, about)
        return table

    def save_figure(self, name: str, figure: Figure, caption: str, about: dict | None = None) -> Image:
        """Write figures/<name>.png (200 dpi), .pdf and their provenance; rendered images are named below the figure.

        Args:
            name: e.g. "figure_22".
            figure: closed afterwards.
            caption: what is seen.
            about: the data behind it; the run's cohort when None.

        Returns:
            The PNG file, for display.
        """
        about = self.cohort if about is None else about
        if layout := figure.get_layout_engine():
            layout.execute(figure)
        with plt.rc_context({"figure.constrained_layout.use": False}):
            figure.set_layout_engine(None)  # laid out once is enough; "none" would draw each file twice
        for legend in figure.legends:  # else they would follow the crop below
            legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
        if about.get("rendered"):
            note = "rendered radiographs, real annotations; not a clinical result"
            below = (figure.get_tightbbox().y0 - NOTE_GAP) / figure.get_figheight()
            figure.text(0.5, below, note, ha="center", va="top", fontsize=6, color="#666666")
        area = figure.get_tightbbox().padded(NOTE_GAP)
        mark = f"cxr-explained, run {self.id}"
        formats = {
            ".png": {"Software": None, "Source": mark},
            ".pdf": {"CreationDate": None, "Creator": mark},
        }
        for suffix, metadata in formats.items():
            with whole_file(self.path("figures", name + suffix)) as temporary:
                figure.savefig(temporary, dpi=FIGURE_DPI, bbox_inches=area, metadata=metadata)
        plt.close(figure)
        path = self.path("figures", f"{name}.png")
        self._save_provenance(path, caption, about)
        return Image(filename=path, width=DISPLAY_WIDTH, alt=caption)

    @property
    def cohort(self) -> dict:
        """What notebook 01 wrote about the run's data; empty before it ran."""
        path = self.folder / "data" / "cohort.json"
        return read_json(path) if path.exists() else {}

    @property
    def _code(self) -> str:
        """Fingerprint of the modules that the notebook imports, directly or not."""
        notebook = NOTEBOOKS / f"{self.notebook}.ipynb"
        return fingerprint(code_fingerprints(imported_names(code_of(notebook)) if notebook.exists() else [__name__]))

    def _save_provenance(self, artefact: Path, caption: str, about: dict) -> None:
        write_json(
            artefact.with_suffix(".json"),
            {
                "caption": caption,
                "notebook": self.notebook,
                "parameters": self.parameters,
                "data": {key: about.get(key) for key in ("source", "description", "rendered", "data", "split")},
                "code": self._code,
                "run": self.id,
            },
        )
