"""The pictures of a page at the widest step at which all of them fit into a budget of bytes."""

import contextlib
import io
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from PIL import Image

from cxrlib.runtime.errors import Refusal, readable
from cxrlib.show.report.embedded import Embedded, embed, opened
from cxrlib.show.report.kept_pictures import KeptPictures, Step, name_of, picture_sha256

BUDGET = 1_600_000
"""Bytes of all figures of a page together, before they are written as text."""


STEPS = [(900, 62), (800, 58), (700, 50), (560, 40)]
"""Width in pixels and JPEG quality in percent, tried in this order until the figures fit."""


def embed_all(paths: list[Path], store: Path | None = None) -> dict[Path, Embedded]:
    """The pictures of some files within BUDGET; `store` as in `embed_within`."""
    return dict(zip(paths, embed_within(paths, STEPS, BUDGET, store), strict=True))


def embed_within(
    files: Sequence[Path | io.BytesIO],
    steps: list[Step],
    budget: int,
    store: Path | None = None,
    origin: Path | None = None,
) -> list[Embedded]:
    """Pictures at the first step at which all of them fit into a budget, else at the last.

    Pillow computes without Python's lock, so that threads share the pictures. Each file is decoded once at most. The
    largest files are encoded first, and a step is left as soon as its pictures are known not to fit.

    Args:
        files: pictures, on the disk or in memory.
        steps: width in pixels and JPEG quality in percent, the widest first.
        budget: bytes of all pictures, before they become text.
        store: a file that keeps what was encoded for the next time. The pictures are the same without it, and where it
            cannot be written nothing is kept.
        origin: the file from which pictures in memory come.

    Raises:
        Refusal: a picture is damaged; names its file.
    """
    kept, pictures = KeptPictures(store, steps), [_Picture(file, steps[0][0], origin) for file in files]
    made, sizes, tried = dict(kept.pictures), dict(kept.sizes), []
    with ThreadPoolExecutor() as threads:
        for step in steps:
            names = [name_of(picture.sha256, step) for picture in pictures]
            limit = math.inf if step == steps[-1] else budget
            if _encode(step, dict(zip(names, pictures, strict=True)), names, made, sizes, limit, threads):
                break
            tried += names
    with contextlib.suppress(OSError, Refusal):
        kept.keep({name: made[name] for name in names}, {name: sizes[name] for name in tried if name in sizes})
    return [made[name] for name in names]


class _Picture:
    """A picture file, decoded when it is encoded first.

    A file on the disk is read twice, to know it and to decode it: most are kept already and are never decoded, and the
    bytes of all of them would stay in memory.
    """

    def __init__(self, file: Path | io.BytesIO, width: int, origin: Path | None) -> None:
        self.file, self.width, self.decoded = file, width, None
        self.origin = file if isinstance(file, Path) else origin
        with readable(self.origin):
            content = file.read_bytes() if isinstance(file, Path) else file.getvalue()
        self.sha256, self.bytes = picture_sha256(content), len(content)

    def image(self) -> Image.Image:
        if self.decoded is None:
            with readable(self.origin):
                self.decoded = opened(self.file, self.width)
        return self.decoded


def _encode(
    step: Step,
    pictures: dict[str, _Picture],
    names: list[str],
    made: dict[str, Embedded],
    sizes: dict[str, int],
    limit: float,
    threads: ThreadPoolExecutor,
) -> bool:
    """Add to `made` and `sizes` what is missing at a step, until the sum of the sizes is above `limit`.

    Returns:
        Whether all pictures, one for each of `names`, are made and fit.
    """

    def too_large() -> bool:
        return sum(sizes.get(name, 0) for name in names) > limit

    missing = sorted(pictures.keys() - made.keys(), key=lambda name: (-pictures[name].bytes, name))
    if too_large():
        return False
    with closing(threads.map(lambda name: embed(pictures[name].image(), *step), missing)) as encoded:
        for name, picture in zip(missing, encoded, strict=True):
            made[name], sizes[name] = picture, picture.size
            if too_large():
                return False
    return True
