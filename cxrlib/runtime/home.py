"""A home folder for a process whose user has none, as in a container that runs under an unknown user id."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def ensure_home() -> None:
    """If the system knows no home folder, make an empty one for this process and those that it starts.

    Jupyter and torch write there, and fail without it. It is deleted when the process ends.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.mkdtemp(prefix="home-")
        atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
