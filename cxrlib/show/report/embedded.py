"""Pictures inside an HTML page: photographs as JPEG, drawings as PNG of few colours."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

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
    image, buffer = _at_most(image, width), io.BytesIO()
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


def opened(file: Path | io.BytesIO, width: int) -> Image.Image:
    """A picture as RGB, at most `width` pixels wide."""
    with Image.open(file) as image:
        return _at_most(image.convert("RGB"), width)


def _at_most(image: Image.Image, width: int) -> Image.Image:
    if image.width <= width:
        return image
    return image.resize((width, round(image.height * width / image.width)), Image.BICUBIC, reducing_gap=2.0)
