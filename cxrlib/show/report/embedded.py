"""Pictures inside an HTML page: photographs as JPEG, drawings as PNG of few colours."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

BUDGET = 1_600_000
"""Bytes of all figures of a page together, before they are written as text."""


STEPS = [(900, 62), (800, 58), (700, 50), (560, 40)]
"""Width in pixels and JPEG quality in percent, tried in this order until the figures fit."""


COLOURS = 128
"""Colours of a drawing, chosen so that rare ones stay: a blue point stays blue."""


PHOTOGRAPHIC = 0.05
"""Fraction of mid-grey pixels from which a picture counts as a photograph; the thin lines of a drawing have less."""


@dataclass(frozen=True)
class Embedded:
    """A picture as text.

    Attributes:
        source: data URI.
        width, height: in pixels.
        size: bytes before they became text.
    """

    source: str
    width: int
    height: int
    size: int


def embed(image: Image.Image, width: int, quality: int) -> Embedded:
    """A picture, at most `width` pixels wide, as JPEG where it `is_photograph`, else as PNG of COLOURS colours."""
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    if is_photograph(np.asarray(image)):
        kind = "jpeg"
        image.save(buffer, "JPEG", quality=quality, optimize=True)
    else:
        kind = "png"
        image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return embedded_bytes(buffer.getvalue(), kind, image.width, image.height)


def embedded_bytes(content: bytes, kind: str, width: int, height: int) -> Embedded:
    """Encoded bytes as `Embedded`; kind is "jpeg" or "png"."""
    return Embedded(f"data:image/{kind};base64,{base64.b64encode(content).decode()}", width, height, len(content))


def is_photograph(picture: np.ndarray) -> bool:
    """Whether a picture holds a photograph: more than PHOTOGRAPHIC of its pixels are grey, neither dark nor bright.

    Args:
        picture: uint8 (rows, columns, 3).

    >>> is_photograph(np.full((4, 4, 3), 90, np.uint8)), is_photograph(np.full((4, 4, 3), 255, np.uint8))
    (True, False)
    """
    some = picture[::3, ::3].astype(int)
    spread, level = np.ptp(some, axis=2), some.mean(axis=2)
    return bool(((spread < 12) & (level > 20) & (level < 205)).mean() > PHOTOGRAPHIC)


def embed_all(paths: list[Path], budget: int = BUDGET) -> dict[Path, Embedded]:
    """The pictures of some files at the first of STEPS at which all of them fit into a budget, else at the last."""
    for width, quality in STEPS:
        found = dict(zip(paths, (embed(image, width, quality) for image in _images(paths)), strict=True))
        if sum(picture.size for picture in found.values()) <= budget:
            break
    return found if paths else {}


def _images(paths: list[Path]) -> Iterator[Image.Image]:
    for path in paths:
        with Image.open(path) as image:
            yield image.convert("RGB")
