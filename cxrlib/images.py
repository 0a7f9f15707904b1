"""Radiograph files to 8-bit grey arrays."""

from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, apply_voi_lut

DICOM_SUFFIXES = {".dicom", ".dcm"}


class ImageError(ValueError):
    """An image file that cannot be used; the message names the file and what is wrong with it."""


def read_grey(path: Path) -> np.ndarray:
    """Read a DICOM, PNG or JPEG radiograph as uint8 (height, width), bright bone on dark air.

    Raises:
        ImageError: the file is missing, unreadable, or holds no single grey or colour image.
    """
    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    return _read_dicom(path) if path.suffix.lower() in DICOM_SUFFIXES else _read_picture(path)


def _read_dicom(path: Path) -> np.ndarray:
    try:
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        if stored.ndim != 2:
            raise ValueError(f"expected one grey frame, found shape {stored.shape}")
        values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset)
    except Exception as error:  # pydicom and its decoders raise many types on damaged files
        raise ImageError(f"{path}: not a readable DICOM image ({type(error).__name__}: {error})") from error
    return to_uint8(values, inverted=dataset.PhotometricInterpretation == "MONOCHROME1")


def _read_picture(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    if picture is None:
        raise ImageError(f"{path}: not a readable PNG or JPEG image")
    return picture if picture.dtype == np.uint8 else to_uint8(picture)


def to_uint8(values: np.ndarray, inverted: bool = False) -> np.ndarray:
    """Stretch grey values linearly to 0..255 between minimum and maximum; a constant image becomes 0.

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
