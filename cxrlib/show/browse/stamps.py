"""Whether files are still those that were read."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from cxrlib.runtime.errors import Refusal

Stamp = tuple[int, int, int] | None
"""Time of the last change in nanoseconds, size in bytes and number on the disk; None where there is no file."""


def stamp(path: Path) -> Stamp:
    """The stamp of a file as it is now."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


def stamps(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """The stamp of each file; taken before the files are read."""
    return {path: stamp(path) for path in paths}


def check(files: Mapping[Path, Stamp]) -> None:
    """Compare files with their stamps.

    Raises:
        Refusal: one was changed, removed or made since.
    """
    for path, was in files.items():
        now = stamp(path)
        if now != was:
            what = "is gone" if now is None else "was made again"
            raise Refusal(
                f"{path} {what} after it had been opened here; what this page would show belongs to no run any more. "
                "Reload the page, or run the notebook again from its start"
            )
