"""Radiograph files as 8-bit grey arrays."""

import cv2
import numpy as np

from cxrlib.data.archive import read_bytes
from cxrlib.data.dicom import grey_of_dicom
from cxrlib.data.greys import MAX_PIXELS, PixelError, what_is_blank
from cxrlib.data.pictures import grey_of_picture
from cxrlib.runtime.errors import MACHINE_ERRORS, Refusal, refusal_of

DICOM_SUFFIXES = (".dicom", ".dcm")


class ImageError(Refusal):
    """An image file that cannot be used; the message names the file and what is wrong with it."""


class BlankImage(ImageError):
    """An image file that can be read and shows nothing (`cxrlib.data.greys.what_is_blank`).

    Attributes:
        grey: uint8 (height, width), what it holds.
    """

    def __init__(self, message: str, grey: np.ndarray) -> None:
        super().__init__(message)
        self.grey = grey


def read_grey(path: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a DICOM, PNG or JPEG radiograph as uint8 (height, width), bright bone on dark air.

    Args:
        path: of a file, or of a member of a zip (`cxrlib.data.archive`).
        max_pixels: a file that declares more is not decoded.

    Raises:
        ImageError: the file is missing, unreadable, holds no single grey or colour image, or declares too many pixels.
        BlankImage: it shows nothing.
        Refusal: the machine is to blame, not the file; another time it may be read.
    """
    path = str(path)
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except Exception as error:  # a damaged zip raises many types
        raise _refusal(error, path, "cannot be read") from error
    is_dicom = content[128:132] == b"DICM" or path.lower().endswith(DICOM_SUFFIXES)
    try:
        grey = grey_of_dicom(content, max_pixels) if is_dicom else grey_of_picture(content, max_pixels)
    except Exception as error:  # decoders raise many types on damaged files
        raise _refusal(error, path, f"not a readable {'DICOM' if is_dicom else 'PNG or JPEG'} image") from error
    if problem := what_is_blank(grey):
        raise BlankImage(f"{path}: {problem}", grey)
    return grey


def read_square(path: str, size: int, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, int, int, str]:
    """Read a radiograph and resize it.

    Returns:
        uint8 (size, size); width and height of the file in pixels; and an empty string. The string says why an image
        shows nothing, or why it cannot be used; in the second case it is black, of no width and height.
    """
    problem = ""
    try:
        image = read_grey(path, max_pixels)
    except BlankImage as blank:
        image, problem = blank.grey, str(blank)
    except ImageError as error:
        return unusable(size, str(error))
    return resize_square(image, size), image.shape[1], image.shape[0], problem


def unusable(size: int, reason: str) -> tuple[np.ndarray, int, int, str]:
    """What `read_square` returns of an image that cannot be used."""
    return np.zeros((size, size), np.uint8), 0, 0, reason


def _refusal(error: Exception, path: str, problem: str) -> Refusal:
    """An ImageError, or a plain Refusal where the error says nothing about the file itself."""
    if isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem):
        return Refusal(f"{path}: too little memory to read it; lower compute.workers")
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        return refusal_of(OSError(error.errno, error.strerror, path))
    said = str(error) if isinstance(error, PixelError) else f"{type(error).__name__}: {error}"
    return ImageError(f"{path}: {problem} ({said})")


def resize_square(image: np.ndarray, size: int) -> np.ndarray:
    """Resize a uint8 (height, width) image to (size, size), averaging areas when it shrinks (thesis: 512)."""
    shrinks = image.shape[0] >= size and image.shape[1] >= size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
