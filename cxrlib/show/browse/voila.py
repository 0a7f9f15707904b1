"""The heatmap browser as a page of its own, served by Voila to this machine only. Importing this imports no torch."""

import json
import subprocess
import sys
from pathlib import Path

from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import whole_file

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
    command = [sys.executable, "-m", "voila", str(write_page(folder)), "--token", "--Voila.ip=127.0.0.1", *options]
    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 0


def write_page(folder: Path) -> Path:
    """Write <folder>/browse.ipynb, a notebook of one cell that opens the browser; JupyterLab opens it too."""
    cell = {
        "cell_type": "code",
        "id": "browse",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": CELL.format(folder=str(folder)),
    }
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    with whole_file(folder / "browse.ipynb") as temporary:
        temporary.write_text(
            json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"
        )
    return folder / "browse.ipynb"
