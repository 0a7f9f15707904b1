"""The bytes of a DICOM file as a grey image: its tags are examined first, then its values become greys by them."""

import struct
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from cxrlib.data.greys import PixelError, by_table, require_size, to_uint8
from cxrlib.data.pictures import jpeg_size
from cxrlib.data.windows import shown_values

JPEG2000_DECODER = "pylibjpeg"
"""Decoder of one thread. GDCM, pydicom's first choice, uses every core for one file and more core time in all."""


JPEG2000_BEGIN = b"\xff\x4f\xff\x51"
"""The markers before the size of a codestream."""


GREY = ("MONOCHROME1", "MONOCHROME2")


FLOATS = ("FloatPixelData", "DoubleFloatPixelData")


class Bits(NamedTuple):
    """Where a value lies in its cell (PS3.5, 8.1.1).

    Attributes:
        stored: how many bits it has.
        below: how many bits of the cell lie below it.
        signed: whether its highest bit is its sign.
        in_codestream: True where a JPEG codec packed the values, and not the cells.
    """

    stored: int
    below: int
    signed: bool
    in_codestream: bool


def grey_of_dicom(content: bytes, max_pixels: int) -> np.ndarray:
    """A DICOM file's bytes as uint8 (height, width), bright bone on dark air.

    Raises:
        PixelError: its tags contradict each other or describe something else than one grey image, or its pixels do not
            fit them; pydicom and its decoders raise errors of many other types on damaged files.
    """
    try:
        dataset = pydicom.dcmread(BytesIO(content))
    except InvalidDicomError:
        raise PixelError(
            f"it begins with {content[:16]!r}, without the header of a DICOM file; convert or copy it again"
        ) from None
    _require_one_grey_image(dataset)
    require_size(dataset.Columns, dataset.Rows, max_pixels)
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        _require_whole_frame(dataset)
    # which bits count is decided here: pydicom takes the lowest, wherever HighBit says that they lie
    decoder = JPEG2000_DECODER if syntax in JPEG2000TransferSyntaxes else ""
    dataset.pixel_array_options(decoding_plugin=decoder, correct_unused_bits=False)
    cells, bits = dataset.pixel_array, _bits(dataset)
    if cells.shape != (dataset.Rows, dataset.Columns):
        raise PixelError(f"expected one grey frame, found the shape {cells.shape}")
    return by_table(cells, lambda values: _grey_of_cells(values, dataset, bits))


def _require_one_grey_image(dataset: pydicom.Dataset) -> None:
    absent = [name for name in ("Rows", "Columns", "PhotometricInterpretation") if dataset.get(name) in (None, "")]
    if not any(name in dataset for name in ("PixelData", *FLOATS)):
        absent.append("pixel data")
    if absent:
        raise PixelError(f"it has no {' and no '.join(absent)}")
    photometric, samples = dataset.PhotometricInterpretation, dataset.get("SamplesPerPixel")
    if photometric not in GREY or samples not in (1, None):
        raise PixelError(
            f"PhotometricInterpretation is {photometric}, SamplesPerPixel {samples}; radiographs have "
            f"{' or '.join(GREY)}, and 1; convert it to grey"
        )
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise PixelError(f"expected one grey frame, NumberOfFrames is {frames}")


def _bits(dataset: pydicom.Dataset) -> Bits | None:
    """Where values lie in their cells; None where they are floats, all of whose bits count."""
    if "PixelData" not in dataset:
        return None
    allocated, stored = dataset.BitsAllocated, dataset.BitsStored
    high = stored - 1 if dataset.get("HighBit") is None else dataset.HighBit
    if not 1 <= stored <= high + 1 <= allocated:
        raise PixelError(f"BitsAllocated {allocated}, BitsStored {stored} and HighBit {high} contradict each other")
    syntax = dataset.file_meta.TransferSyntaxUID
    in_codestream = syntax in {*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes}
    return Bits(stored, 0 if in_codestream else high + 1 - stored, bool(dataset.PixelRepresentation), in_codestream)


def _require_whole_frame(dataset: pydicom.Dataset) -> None:
    """Refuse a compressed frame without an end, or of another size than the tags say.

    Decoders fill the rest with grey, or take the memory that the frame asks for.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    frames = list(generate_frames(dataset.PixelData, number_of_frames=1))
    if len(frames) != 1:
        raise PixelError(f"expected one grey frame, found {len(frames)}")
    frame = frames[0]
    if syntax in JPEG2000TransferSyntaxes:
        start = frame.find(JPEG2000_BEGIN)
        if start < 0:
            raise PixelError("its compressed data have no header")
        right, bottom, left, top = struct.unpack_from(">4I", frame, start + 8)
        size = (right - left, bottom - top)
    elif syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes):
        size = jpeg_size(frame)
    else:
        return
    if size != (dataset.Columns, dataset.Rows):
        raise PixelError(
            f"its tags say {dataset.Columns} x {dataset.Rows} pixels, its compressed data {size[0]} x {size[1]}"
        )


def greys_like(dataset: pydicom.Dataset, cells: list[np.ndarray]) -> list[np.ndarray]:
    """Pixels of several images as uint8, as `grey_of_dicom` gives those of the first, by its darkest and brightest.

    Equal cells of two images have equal greys, which they have not where each image is stretched by its own range.

    Args:
        dataset: tags of one uncompressed file; its own pixels do not matter.
        cells: arrays of what its pixel data could be.
    """
    bits = _bits(dataset)
    shown, _ = _shown_of_cells(np.unique(cells[0]), dataset, bits)
    limits = (shown.min(), shown.max())
    return [by_table(image, lambda values: _grey_of_cells(values, dataset, bits, limits)) for image in cells]


def _grey_of_cells(
    cells: np.ndarray, dataset: pydicom.Dataset, bits: Bits | None, limits: tuple[float, float] | None = None
) -> np.ndarray:
    """Cells of pixels, one of each that occurs, to grey values by the dataset's own rules.

    Pixels that only pad the image count neither for the darkest nor for the brightest value, and are black.
    """
    shown, padding = _shown_of_cells(cells, dataset, bits)
    grey = np.zeros(len(cells), np.uint8)
    if len(shown):
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        grey[~padding] = to_uint8(shown, inverted, limits)
    return grey


def _shown_of_cells(cells: np.ndarray, dataset: pydicom.Dataset, bits: Bits | None) -> tuple[np.ndarray, np.ndarray]:
    """What the cells that are no padding show, and which cells are padding."""
    stored = cells if bits is None else values_of_cells(cells, bits)
    padding = _is_padding(cells, stored, dataset, bits)
    if padding.all():
        return np.zeros(0), padding
    return shown_values(stored[~padding].astype(np.float64), dataset, signed=bool(bits and bits.signed)), padding


def values_of_cells(cells: np.ndarray, bits: Bits) -> np.ndarray:
    """The values in cells: bits above and below them may hold anything, an overlay for instance, and do not count.

    >>> values_of_cells(np.array([0xF00A, 0x0FFF], np.uint16), Bits(12, 0, signed=False, in_codestream=False))
    array([  10, 4095], dtype=uint16)
    >>> values_of_cells(np.array([0xFFF7], np.uint16), Bits(12, 4, signed=False, in_codestream=False))
    array([4095], dtype=uint16)

    Args:
        cells: integers; signed ones where `bits.signed`.
        bits: where the values lie.

    Raises:
        PixelError: a codec gave values of more bits than the tags say.
    """
    others = 8 * cells.dtype.itemsize - bits.stored
    if not bits.in_codestream:
        return cells << (others - bits.below) >> others
    low, high = (-(2 ** (bits.stored - 1)), 2 ** (bits.stored - 1)) if bits.signed else (0, 2**bits.stored)
    if cells.min() < low or cells.max() >= high:
        raise PixelError(f"its values reach from {cells.min()} to {cells.max()}, but BitsStored is {bits.stored}")
    return cells


def _is_padding(cells: np.ndarray, stored: np.ndarray, dataset: pydicom.Dataset, bits: Bits | None) -> np.ndarray:
    """Which values lie between PixelPaddingValue and PixelPaddingRangeLimit.

    Padding may be written signed where the pixels are unsigned, or the other way round, and may use the whole cell.
    """
    prefix = "" if bits is not None else "Float" if "FloatPixelData" in dataset else "DoubleFloat"
    value, limit = (dataset.get(f"{prefix}{name}") for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"))
    if value in (None, ""):
        return np.zeros(len(cells), bool)
    limits = [value, value if limit in (None, "") else limit]
    if bits is not None:
        size = 8 * cells.dtype.itemsize
        if not all(-(2 ** (size - 1)) <= bound < 2**size for bound in limits):
            return np.zeros(len(cells), bool)
        limits = [int(np.array(bound % 2**size, f"u{size // 8}").view(cells.dtype)) for bound in limits]
    low, high = sorted(limits)
    padding = (stored >= low) & (stored <= high)
    in_cells = bits is not None and not bits.below
    return padding | (cells >= low) & (cells <= high) if in_cells else padding
