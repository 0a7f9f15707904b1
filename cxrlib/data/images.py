"""Radiograph files as 8-bit grey arrays."""

from collections.abc import Callable
from io import BytesIO

import cv2
import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import JPEG2000TransferSyntaxes

from cxrlib.data.archive import read_bytes
from cxrlib.runtime.errors import MACHINE_ERRORS, Refusal, refusal_of

DICOM_SUFFIXES = (".dicom", ".dcm")


JPEG2000_DECODER = "pylibjpeg"
"""Decoder of one thread. GDCM, pydicom's first choice, uses every core for one file and more core time in all."""


class ImageError(Refusal):
    """An image file that cannot be used; the message names the file and what is wrong with it."""


def read_grey(path: str) -> np.ndarray:
    """Read a DICOM, PNG or JPEG radiograph as uint8 (height, width), bright bone on dark air.

    Args:
        path: of a file, or of a member of a zip (`cxrlib.data.archive`).

    Raises:
        ImageError: the file is missing, unreadable, or holds no single grey or colour image.
        Refusal: the machine is to blame, not the file; another time it may be read.
    """
    try:
        content = read_bytes(str(path))
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except Exception as error:  # a damaged zip raises many types
        raise _refusal(error, path, "cannot be read") from error
    is_dicom = content[128:132] == b"DICM" or str(path).lower().endswith(DICOM_SUFFIXES)
    return _read_dicom(content, path) if is_dicom else _read_picture(content, path)


def read_square(path: str, size: int) -> tuple[np.ndarray, int, int, str]:
    """Read a radiograph and resize it.

    Returns:
        uint8 (size, size); width and height of the file in pixels; and an empty string. An image that cannot be used
        is black, of no width and height, and the string says why.
    """
    try:
        image = read_grey(path)
    except ImageError as error:
        return np.zeros((size, size), np.uint8), 0, 0, " ".join(str(error).split())
    return resize_square(image, size), image.shape[1], image.shape[0], ""


def _read_dicom(content: bytes, path: str) -> np.ndarray:
    try:
        dataset = pydicom.dcmread(BytesIO(content))
        if dataset.file_meta.TransferSyntaxUID in JPEG2000TransferSyntaxes:
            dataset.pixel_array_options(decoding_plugin=JPEG2000_DECODER)
        stored = dataset.pixel_array
        if stored.ndim != 2:
            raise ValueError(f"expected one grey frame, found shape {stored.shape}")
        return _grey_of_stored(stored, dataset)
    except Exception as error:  # pydicom and its decoders raise many types on damaged files
        raise _refusal(error, path, "not a readable DICOM image") from error


def _grey_of_stored(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Stored values to grey values by the dataset's own rules.

    Pixels that only pad the image count neither for the darkest nor for the brightest value, and are black.
    """

    def grey_of(values: np.ndarray) -> np.ndarray:
        grey, padding = np.zeros(len(values), np.uint8), _is_padding(values, dataset)
        if not padding.all():
            shown = apply_voi_lut(apply_modality_lut(values[~padding], dataset), dataset)
            grey[~padding] = to_uint8(shown, inverted=dataset.PhotometricInterpretation == "MONOCHROME1")
        return grey

    return by_table(stored, grey_of)


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


def _refusal(error: Exception, path: str, problem: str) -> Refusal:
    """An ImageError, or a plain Refusal where the error says nothing about the file itself."""
    if isinstance(error, MemoryError):
        return Refusal(f"{path}: too little memory to read it; lower compute.workers")
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        return refusal_of(OSError(error.errno, error.strerror, str(path)))
    return ImageError(f"{path}: {problem} ({type(error).__name__}: {error})")


def _is_padding(values: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray:
    """Which stored values lie between PixelPaddingValue and PixelPaddingRangeLimit."""
    if dataset.get("PixelPaddingValue") is None:
        return np.zeros(len(values), bool)
    value = dataset.PixelPaddingValue
    limit = dataset.get("PixelPaddingRangeLimit")
    bounds = sorted([value, value if limit is None else limit])
    return (values >= bounds[0]) & (values <= bounds[1])


def _read_picture(content: bytes, path: str) -> np.ndarray:
    buffer = np.frombuffer(content, np.uint8)
    picture = cv2.imdecode(buffer, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH) if content else None
    if picture is None:
        raise ImageError(f"{path}: not a readable PNG or JPEG image")
    return picture if picture.dtype == np.uint8 else to_uint8(picture)


def to_uint8(values: np.ndarray, inverted: bool = False) -> np.ndarray:
    """Stretch grey values linearly to 0..255: `255 * (v - min) / (max - min)`, rounded. A constant image becomes 0.

    >>> to_uint8(np.array([100, 200, 300])), to_uint8(np.array([100, 200, 300]), inverted=True)
    (array([  0, 128, 255], dtype=uint8), array([255, 128,   0], dtype=uint8))

    Args:
        values: array of any real dtype.
        inverted: True for MONOCHROME1, where the lowest value is white.

    Returns:
        uint8 array of the same shape.
    """
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    scaled = np.zeros_like(values) if high == low else (values - low) / (high - low)
    return np.rint((1 - scaled if inverted and high > low else scaled) * 255).astype(np.uint8)


def resize_square(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a uint8 (height, width) image to (size, size), averaging areas when it shrinks (thesis: 512)."""
    shrinks = image.shape[0] >= size and image.shape[1] >= size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
