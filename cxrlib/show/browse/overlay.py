"""One view as JPEG bytes, composed with NumPy and OpenCV."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from cxrlib.data.annotations import BOX_COLUMNS, reader_order
from cxrlib.show.browse.browsed import Evidence
from cxrlib.show.figures.colouring import (
    DIMMED,
    HEATMAP,
    LEVELS,
    OPACITY,
    PREDICTED,
    TRUE,
    bar_picture,
    blended,
    edge,
    is_fine,
    relative,
    top_of,
)

SIDE = 512
"""Side of a picture in pixels."""


COLOUR_MAPS = [HEATMAP, "magma", "viridis", "cividis", "gray"]
"""Names of colour maps: the figures' own, and perceptually uniform ones."""


LINES = {"solid": None, "dashed": (12, 8), "dotted": (3, 6), "dash-dotted": (14, 5, 3, 5)}
"""Line styles of the readers in order of their ids: lengths drawn and left out, in pixels."""


QUALITY = 95
"""Quality of JPEG pictures in percent."""


TINT = 0.3
"""Opacity of the mask's colour when no heatmap is shown."""


HALO = (0, 0, 0)


BAR = (300, 24)
"""Length and width of the colour bar in pixels."""


@dataclass(frozen=True)
class Look:
    """How a view is drawn.

    Attributes:
        opacity: of the strongest part of the heatmap, 0..1; weaker parts are more transparent (`coloured`).
        window: width of the range of grey values that is shown, 1..255.
        level: middle of that range, 0..255.
        colours: name of a colour map.
        heatmap, mask, predicted: whether heatmap, mask and predicted boxes are shown.
        contours: whether lines run at 25, 50 and 75 % of the heatmap's maximum.
        cells: whether the map's own cells are shown, without these lines; otherwise the colours run from cell to cell.
        readers: whether each reader's boxes are shown, in order of the readers' ids. Further readers' boxes are shown.
    """

    opacity: float = OPACITY
    window: int = 255
    level: int = 128
    colours: str = HEATMAP
    heatmap: bool = True
    mask: bool = True
    predicted: bool = True
    readers: tuple[bool, ...] = ()
    contours: bool = True
    cells: bool = False


def render(pixels: np.ndarray, evidence: Evidence, look: Look = Look(), side: int = SIDE) -> bytes:  # noqa: B008
    """A radiograph with its heatmap, mask, predicted boxes and readers' boxes, as JPEG bytes.

    Args:
        pixels: uint8 (size, size), the frame of the boxes.
        evidence: heatmap, mask and boxes.
        look: how they are drawn.
        side: of the picture in pixels.
    """
    return to_jpeg(compose(pixels, evidence, look, side))


def compose(pixels: np.ndarray, evidence: Evidence, look: Look, side: int = SIDE) -> np.ndarray:
    """The picture of `render` before it is encoded: uint8 (side, side, 3), red, green, blue."""
    picture = windowed(pixels, look.window, look.level)
    picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)
    picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    if look.heatmap and evidence.heatmap is not None:
        picture = _under_heatmap(picture, evidence, look)
    if look.mask and evidence.mask.any():
        tint(picture, evidence.mask, rgb(PREDICTED), 0 if look.heatmap else TINT)
    scale = side / len(pixels)
    for number, (_, rows) in enumerate(readers_of(evidence)):
        if number >= len(look.readers) or look.readers[number]:
            pattern = list(LINES.values())[number % len(LINES)]
            outline(picture, rows[BOX_COLUMNS].to_numpy() * scale, rgb(TRUE), pattern)
    if look.predicted:
        outline(picture, evidence.predicted * scale, rgb(PREDICTED))
    return picture


def readers_of(evidence: Evidence) -> list[tuple]:
    """Pairs of rad_id and boxes, in order of the ids, R8 before R10."""
    return sorted(evidence.readers.groupby("rad_id"), key=lambda pair: reader_order(pair[0]))


def windowed(pixels: np.ndarray, window: int, level: int) -> np.ndarray:
    """Grey values level - window/2 .. level + window/2 stretched to 0..255, the rest clipped; uint8 like `pixels`."""
    grey = np.arange(256, dtype=np.float64)
    table = np.clip((grey - (level - window / 2)) / window * 255, 0, 255)
    return cv2.LUT(pixels, np.rint(table).astype(np.uint8))


def overlay(picture: np.ndarray, heatmap: np.ndarray, opacity: float, colours: str) -> np.ndarray:
    """Lay a raw heatmap over a picture (side, side, 3), as fractions of its maximum in the colours of `blended`."""
    return blended(picture, _fractions(heatmap, heatmap.max(), picture.shape[0], cv2.INTER_LINEAR), opacity, colours)


def contours(picture: np.ndarray, fractions: np.ndarray) -> None:
    """Draw the borders of the areas of at least LEVELS into a picture: a white line inside, a black one outside."""
    for level in LEVELS:
        inside, around = edge(fractions >= level)
        picture[inside], picture[around] = 255, 0


def _under_heatmap(picture: np.ndarray, evidence: Evidence, look: Look) -> np.ndarray:
    """The picture under the colours, and contour lines, that belong to a heatmap."""
    raw = evidence.heatmap if evidence.raw is None else evidence.raw
    fine = is_fine(raw)
    top = top_of(evidence.heatmap) if fine else evidence.heatmap.max()
    if fine:
        picture = np.rint(picture * DIMMED).astype(np.uint8)
    if look.cells:
        fractions = _fractions(raw, top, len(picture), cv2.INTER_NEAREST)
        return blended(picture, fractions, look.opacity, look.colours)
    fractions = _fractions(evidence.heatmap, top, len(picture), cv2.INTER_LINEAR)
    picture = blended(picture, fractions, look.opacity, look.colours)
    if look.contours and not fine:
        contours(picture, fractions)
    return picture


def _fractions(raw: np.ndarray, top: float, side: int, between: int) -> np.ndarray:
    return relative(cv2.resize(raw, (side, side), interpolation=between), float(top))


def bar(look: Look) -> bytes:
    """The scale of a look from 0 at the left to 1, over black, grey and white below each other, as PNG bytes."""
    across = np.ascontiguousarray(bar_picture(BAR[0], BAR[1], look.opacity, look.colours)[::-1].swapaxes(0, 1))
    if look.contours and not look.cells:
        for level in LEVELS:
            place = round(level * (BAR[0] - 1))
            across[:, place], across[:, place - 1] = 255, 0
    return cv2.imencode(".png", cv2.cvtColor(across, cv2.COLOR_RGB2BGR))[1].tobytes()


def tint(picture: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], opacity: float) -> None:
    """Colour a picture where a mask is set, and draw the mask's outline into it: a line of the colour inside,
    two pixels wide, and a black one outside. Their sizes may differ."""
    inside = cv2.resize(mask.astype(np.uint8), picture.shape[:2], interpolation=cv2.INTER_NEAREST)
    tinted = picture[inside > 0] * (1 - opacity) + np.array(colour) * opacity
    picture[inside > 0] = np.rint(tinted)
    line, around = edge(inside > 0)
    second, _ = edge((inside > 0) & ~line)
    picture[line | second], picture[around] = colour, HALO


def outline(
    picture: np.ndarray, boxes: np.ndarray, colour: tuple[int, int, int], pattern: tuple[int, ...] | None = None
) -> None:
    """Draw boxes (n, 4), in pixels of the picture, into it: a line of two pixels on a dark halo.

    Args:
        pattern: lengths drawn and left out in turn, in pixels; None draws the whole line.
    """
    for box in np.rint(boxes).astype(int):
        left, top, right, bottom = box - (0, 0, 1, 1)
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        strokes = [stroke for ends in zip(corners, corners[1:], strict=False) for stroke in dashes(*ends, pattern)]
        for line_colour, width in ((HALO, 4), (colour, 2)):
            for start, end in strokes:
                cv2.line(picture, start, end, line_colour, width)


def dashes(start: tuple[int, int], end: tuple[int, int], pattern: tuple[int, ...] | None) -> list[tuple]:
    """The strokes of a horizontal or vertical line: pairs of end points.

    >>> dashes((0, 0), (10, 0), (4, 3))
    [((0, 0), (4, 0)), ((7, 0), (10, 0))]
    """
    if pattern is None:
        return [(start, end)]
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])
    across, down = (np.sign(end[axis] - start[axis]).item() for axis in (0, 1))
    strokes, position, number = [], 0, 0
    while position < length:
        stop = min(position + pattern[number % len(pattern)], length)
        if number % 2 == 0:
            ends = [(start[0] + across * at, start[1] + down * at) for at in (position, stop)]
            strokes.append(tuple((int(x), int(y)) for x, y in ends))
        position, number = stop, number + 1
    return strokes


def rgb(colour: str) -> tuple[int, int, int]:
    """A matplotlib colour as 0..255."""
    return tuple(round(255 * part) for part in to_rgb(colour))


def to_jpeg(picture: np.ndarray) -> bytes:
    """Encode uint8 (h, w, 3), red, green, blue, as JPEG, which takes a fifteenth of the time of PNG.

    Colours have the full resolution, so that thin lines stay sharp.
    """
    settings = [
        cv2.IMWRITE_JPEG_QUALITY,
        QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)[1].tobytes()


def captioned(picture: np.ndarray, caption: str) -> bytes:
    """A picture (h, w, 3) with a caption on white below it, as PNG bytes."""
    image = Image.fromarray(picture)
    font = ImageFont.truetype(findfont("DejaVu Sans"), max(11, image.width // 40))
    text = _wrapped(caption, font, image.width - 16)
    draw = ImageDraw.Draw(image)
    height = int(draw.multiline_textbbox((0, 0), text, font)[3]) + 16
    page = Image.new("RGB", (image.width, image.height + height), "white")
    page.paste(image)
    ImageDraw.Draw(page).multiline_text((8, image.height + 6), text, "black", font)
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if font.getlength(longer) <= width else [*lines, word]
    return "\n".join(lines)
