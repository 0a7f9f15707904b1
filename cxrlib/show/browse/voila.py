"""The heatmap browser as a page of its own, served by Voila to this machine only. Importing this imports no torch."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import whole_file

TEMPLATE = Path(__file__).parent / "voila_page.html.j2"
"""The template of the page, which asks no other server for anything."""


FORMAT = {"nbformat": 4, "nbformat_minor": 5}


READY = ["--preheat_kernel=True", "--pool_size=1", "--VoilaKernelManager.fill_delay=3"]
"""Options of Voila: a kernel has opened the run before somebody opens the page. The next one starts some seconds after
the page was opened, so that it does not take the processor from the page."""


CELL = """\
from cxrlib.show.browse import open_run

open_run({folder!r})"""


def serve(folder: Path, options: tuple[str, ...] = ()) -> int:
    """Serve the browser of a finished run until the user stops it; Voila prints the address with its token.

    Args:
        folder: absolute path of the run's folder.
        options: further options of Voila, e.g. "--no-browser".

    Returns:
        Voila's exit code.

    Raises:
        Refusal: the folder holds no maps yet.
    """
    if not (folder / "maps" / "test.npz").exists():
        raise Refusal(f"{folder} holds no heatmaps to browse; run the notebooks up to 03 first")
    command = [sys.executable, "-m", "voila", str(write_page(folder)), "--token", "--Voila.ip=127.0.0.1"]
    command += ["--template=cxr", *READY, *options]
    with TemporaryDirectory() as data:
        paths = [str(write_template(Path(data))), *filter(None, [os.environ.get("JUPYTER_PATH")])]
        environment = os.environ | {"JUPYTER_PATH": os.pathsep.join(paths)}
        try:
            return subprocess.run(command, check=False, env=environment).returncode
        except KeyboardInterrupt:
            return 0


def write_template(data: Path) -> Path:
    """Write the template `cxr` where Voila looks for it in a folder of Jupyter's data; returns that folder."""
    place = data / "voila" / "templates" / "cxr"
    place.mkdir(parents=True)
    shutil.copyfile(TEMPLATE, place / "index.html.j2")
    (place / "conf.json").write_text(json.dumps({"base_template": "lab"}))
    return data


def write_page(folder: Path) -> Path:
    """Write <folder>/browse.ipynb, a title and a cell that opens the browser; JupyterLab opens it too."""
    title = f"Heatmaps of the run {folder.name}"
    heading = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# {title}"}
    cell = {
        "cell_type": "code",
        "id": "browse",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": CELL.format(folder=str(folder)),
    }
    about = {"title": f"{title}, CXR Explained"}
    about |= {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    with whole_file(folder / "browse.ipynb") as temporary:
        temporary.write_text(json.dumps({"cells": [heading, cell], "metadata": about, **FORMAT}, indent=1) + "\n")
    return folder / "browse.ipynb"
