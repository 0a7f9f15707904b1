"""What notebook 00 shows: the runs that exist, what the last one answers, a game, and what to open next."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from IPython.display import Image, Markdown, display

from cxrlib.data.cohort import read_provenance
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT, from_root, read_json
from cxrlib.show.browse.game import open_game
from cxrlib.show.report.coverage import coverage
from cxrlib.show.report.summary import summary
from cxrlib.show.run_answer import answer_of
from cxrlib.workflow.manifest import DONE, Manifest

PICTURES = ("figure_24", "verdict", "figure_ceiling", "figure_29")
"""Figures that show a run best, the best first: radiographs before lights."""
WIDTH = 800
"""Pixels of the picture in the notebook."""
NO_RUN = """**No run yet** below `{outputs}`. Next, one of:

- in a terminal `python run_all.py smoke` (3 minutes) or `python run_all.py` (10 minutes on two cores), then this
  notebook again;
- open `01_data.ipynb` and run its cells, then the next notebook.
"""
NO_GAME = "No run has heatmaps yet to play against; one has them once its notebook 03 is done."


def found_runs(outputs: str) -> pd.DataFrame:
    """The runs that exist, the last one first.

    Args:
        outputs: the folder below which they lie, relative to the project. It need not exist.

    Returns:
        run (its folder), profile, finished (time of its last change, UTC), notebooks (those that are done).
    """
    rows = []
    for path in sorted((PROJECT_ROOT / outputs).glob("*/manifest.json")):
        done = [name[:2] for name, entry in sorted(Manifest(path.parent).notebooks.items()) if entry["status"] == DONE]
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        profile = read_json(path.parent / "params.json")["profile"]
        rows.append((from_root(path.parent), profile, changed, ", ".join(done)))
    runs = pd.DataFrame(rows, columns=["run", "profile", "finished", "notebooks"])
    runs = runs.sort_values("finished", ascending=False, ignore_index=True)
    return runs.assign(finished=[f"{moment:%Y-%m-%d %H:%M}" for moment in runs["finished"]])


def show_last_run(runs: pd.DataFrame, outputs: str) -> None:
    """Display what the last run answers, a picture of it, and what to open next; without a run what to start.

    Args:
        runs: from `found_runs`.
        outputs: as there.
    """
    if runs.empty:
        display(Markdown(NO_RUN.format(outputs=outputs)))
        return
    run, profile = runs.loc[0, ["run", "profile"]]
    folder = PROJECT_ROOT / run
    display(Markdown(f"**{_said_of(folder)}**"))
    pictures = [path for name in PICTURES if (path := folder / "figures" / f"{name}.png").exists()]
    if pictures:
        caption = read_json(pictures[0].with_suffix(".json"))["caption"]
        display(Image(filename=pictures[0], width=WIDTH, alt=caption), Markdown(caption))
    display(Markdown(_next_steps(folder, profile)))


def play_last_run(runs: pd.DataFrame) -> None:
    """Display the game on the test studies of the last run that has heatmaps; a sentence where there is none.

    Args:
        runs: from `found_runs`.
    """
    playable = [run for run in runs["run"] if (PROJECT_ROOT / run / "maps" / "test.npz").exists()]
    display(open_game(playable[0]) if playable else Markdown(NO_GAME))


def _said_of(folder: Path) -> str:
    """The headline of the verdict; before notebook 13 the sentence of the report on localisation or on the data."""
    if answer := answer_of(folder):
        return answer
    run = read_json(folder / "params.json")
    items = coverage(folder, run["profile"])
    try:
        lines = summary(folder, run["parameters"], read_provenance(folder / "data"), items, pd.DataFrame())
    except Refusal as refusal:
        return str(refusal)
    return next((line for line in lines if line.startswith("Localisation") and "missing" not in line), lines[0])


def _next_steps(folder: Path, profile: str) -> str:
    here = from_root(folder)
    steps = [f"`{here}/report.html` in a browser: every table and figure"] if (folder / "report.html").exists() else []
    if (folder / "maps" / "test.npz").exists():
        steps.append(f'`04_gradcam.ipynb` with `run_folder = "{here}"`: where the network looks, with sliders')
    if (folder / "tables" / "verdict.csv").exists():
        steps.append("`13_verdict.ipynb`, with the same `run_folder`: the lights behind this answer")
    steps.append(f"`python run_all.py {profile}` in a terminal: runs what is missing, and nothing twice")
    return "\n".join(["Next:", "", *(f"- {step}" for step in steps)])
