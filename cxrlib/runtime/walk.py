"""The files of a folder, through links too."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[str]:
    """The path of every file below `folder`, relative to it and with slashes; links to folders are followed.

    Each folder of the disk is entered once, under the first name that leads to it, a name that is no link first. Links
    that form a circle therefore end. A link to a missing file counts as a file.
    """
    seen = set()
    for place, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort(key=lambda name, place=place: (os.path.islink(os.path.join(place, name)), name))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(place, name), folder).replace(os.sep, "/")
