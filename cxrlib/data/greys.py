"""Grey values: how many, stretched to 8 bits, looked up, and whether they show anything."""

from collections.abc import Callable

import numpy as np

MAX_PIXELS = 100_000_000
"""Radiographs have up to about 20 million pixels; so many take about 1 GB while they are read."""


SAME_SHARE = 0.995
"""An image of which so many pixels have one grey value is blank."""


CLIPPED_SHARE = 0.95
"""An image of which more pixels are black or white, without a grey between, is clipped."""


FEWEST_GREYS = 16
"""A radiograph has a hundred grey values or more; a mask, or what a wrong window leaves, has fewer than this."""


class PixelError(ValueError):
    """A file's bytes hold no usable grey image; the message says why, and does not know the file's name."""


def require_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse a size that a file declares, before anything is decoded.

    >>> require_size(2_544, 3_056, MAX_PIXELS)

    Raises:
        PixelError: there is no pixel, or there are more than `max_pixels`.
    """
    if width < 1 or height < 1:
        raise PixelError(f"declares {width} x {height} pixels")
    if width * height > max_pixels:
        raise PixelError(
            f"declares {width} x {height} pixels, data.max_pixels allows {max_pixels}; resize it or raise that"
        )


def what_is_blank(grey: np.ndarray) -> str:
    """Why a grey image shows no radiograph: it is blank, clipped to black and white, or of too few grey values.

    >>> what_is_blank(np.zeros((40, 50), np.uint8))
    'shows nothing: 100.0 % of its pixels have one grey value'
    >>> what_is_blank(np.arange(256, dtype=np.uint8).reshape(16, 16))
    ''

    Args:
        grey: uint8, any shape.

    Returns:
        The reason, or an empty string.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    same, clipped = counts.max() / grey.size, (counts[0] + counts[255]) / grey.size
    if same >= SAME_SHARE:
        return f"shows nothing: {same:.1%} of its pixels have one grey value".replace("%", " %")
    if clipped > CLIPPED_SHARE:
        return f"shows nothing: {clipped:.1%} of its pixels are black or white".replace("%", " %")
    if (greys := np.count_nonzero(counts)) < FEWEST_GREYS:
        return f"shows no radiograph: it has {greys} grey values; a radiograph has {FEWEST_GREYS} or more"
    return ""


def by_table(stored: np.ndarray, grey_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`grey_of` of an array, computed once for each value that occurs in it and not once for each pixel.

    Args:
        stored: any shape; values of up to 16 bits are looked up, others sorted.
        grey_of: from values (n,) of the dtype of `stored` to uint8 (n,).

    Returns:
        uint8 array of the same shape.
    """
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        values, positions = np.unique(stored, return_inverse=True)
        return grey_of(values)[positions].reshape(stored.shape)
    codes = stored.view(f"u{stored.dtype.itemsize}")  # a signed value's position: its bits, read unsigned
    present = np.flatnonzero(np.bincount(codes.ravel()))
    table = np.zeros(present[-1] + 1, np.uint8)
    table[present] = grey_of(present.astype(codes.dtype).view(stored.dtype))
    return table[codes]


def to_uint8(values: np.ndarray, inverted: bool = False, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Stretch grey values linearly to 0..255: `255 * (v - min) / (max - min)`, rounded. A constant image becomes 0.

    >>> to_uint8(np.array([100, 200, 300])), to_uint8(np.array([100, 200, 300]), inverted=True)
    (array([  0, 128, 255], dtype=uint8), array([255, 128,   0], dtype=uint8))

    Args:
        values: array of any real dtype.
        inverted: True for MONOCHROME1, where the lowest value is white.
        limits: what counts as min and max; values beyond are clipped. Those of `values` when None.

    Returns:
        uint8 array of the same shape.

    Raises:
        PixelError: a value is not a finite number.
    """
    values = values.astype(np.float64)
    low, high = limits or (values.min(), values.max())
    if not np.isfinite(high - low):
        raise PixelError("holds values that are not finite numbers")
    scaled = np.zeros_like(values) if high == low else np.clip((values - low) / (high - low), 0, 1)
    return np.rint((1 - scaled if inverted and high > low else scaled) * 255).astype(np.uint8)
