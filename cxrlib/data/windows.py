"""From the stored values of a DICOM file to those that it shows: rescaling, look-up tables and windows."""

from typing import NamedTuple

import numpy as np
import pydicom

from cxrlib.data.greys import PixelError

SMALLEST_STEP = 1 / 255
"""Of a window's range: what is shown of less is one grey."""


class Window(NamedTuple):
    """A VOI window (PS3.3, C.11.2.1.2); `function` is LINEAR, LINEAR_EXACT or SIGMOID."""

    center: float
    width: float
    function: str


def shown_values(values: np.ndarray, dataset: pydicom.Dataset, signed: bool) -> np.ndarray:
    """Stored values after the Modality LUT or the rescaling, and then after the VOI LUT or the first window.

    >>> dataset = pydicom.Dataset()
    >>> dataset.RescaleSlope, dataset.RescaleIntercept = -10, 3000
    >>> shown_values(np.array([0, 100]), dataset, signed=False)
    array([3000., 2000.])

    Args:
        values: numbers.
        dataset: with the tags of the Modality LUT and VOI LUT modules (PS3.3, C.11.1 and C.11.2).
        signed: whether stored values may be negative.

    Raises:
        PixelError: tags contradict each other, or the window makes one grey of all values.
    """
    values = _modality_values(values, dataset, signed)
    if dataset.get("VOILUTSequence"):
        signed = signed or values.min() < 0
        return looked_up(values, dataset.VOILUTSequence[0], dataset, signed)
    center, width = _first(dataset, "WindowCenter"), _first(dataset, "WindowWidth")
    if center is None or width is None:
        return values
    window = Window(center, width, str(dataset.get("VOILUTFunction") or "LINEAR").upper())
    shown = windowed(values, window)
    if np.ptp(shown) < SMALLEST_STEP and np.ptp(values) > 0:
        raise PixelError(
            f"WindowCenter {center:g} and WindowWidth {width:g} make one grey of its values, which reach from "
            f"{values.min():g} to {values.max():g}; correct or remove them"
        )
    return shown


def _modality_values(values: np.ndarray, dataset: pydicom.Dataset, signed: bool) -> np.ndarray:
    """Stored values after the Modality LUT or the rescaling."""
    if dataset.get("ModalityLUTSequence"):
        return looked_up(values, dataset.ModalityLUTSequence[0], dataset, signed)
    slope, intercept = _first(dataset, "RescaleSlope"), _first(dataset, "RescaleIntercept")
    if slope == 0:
        raise PixelError("RescaleSlope is 0; correct or remove it")
    return values * (1 if slope is None else slope) + (0 if intercept is None else intercept)


def windowed(values: np.ndarray, window: Window) -> np.ndarray:
    """Values through a window: 0 below it, 1 above.

    pydicom's own function has the range of the stored values for its result: a negative slope turns it over.

    >>> windowed(np.array([0, 100, 150, 300]), Window(150, 100, "LINEAR_EXACT"))
    array([0. , 0. , 0.5, 1. ])

    Raises:
        PixelError: the window has no width, or an unknown function.
    """
    center, width, function = window
    least = 1 if function == "LINEAR" else 0
    if not (np.isfinite([center, width]).all() and width >= least and width > 0):
        raise PixelError(f"WindowWidth {width:g} around {center:g} is no window; correct or remove it")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if function not in ("LINEAR", "LINEAR_EXACT"):
        raise PixelError(f"VOILUTFunction {function} is unknown")
    center, width = center - least / 2, width - least
    if width == 0:
        return (values > center).astype(np.float64)
    return np.clip((values - center) / width + 0.5, 0, 1)


def looked_up(values: np.ndarray, table: pydicom.Dataset, dataset: pydicom.Dataset, signed: bool) -> np.ndarray:
    """Values through an item of ModalityLUTSequence or VOILUTSequence (PS3.3, C.11.1.1 and C.11.2.1.1).

    pydicom's own function counts the positions in the type of the entries: of 4,096 entries of 8 bits it sees 256.

    Args:
        values: numbers.
        table: LUTDescriptor (number of entries, first value, bits of an entry) and LUTData.
        dataset: the whole data set; its transfer syntax says in which order bytes lie.
        signed: whether `values` may be negative; a first value that was written unsigned is one of them.
    """
    length, first, _ = table.LUTDescriptor
    length = length or 2**16
    first = first - 2**16 if signed and first >= 2**15 else first
    entries = table.LUTData
    if isinstance(entries, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        entries = np.frombuffer(entries, np.uint8 if len(entries) < 2 * length else f"{order}u2")
    entries = np.asarray(entries, np.float64)[:length]
    if len(entries) < length:
        raise PixelError(f"its look-up table has {len(entries)} of {length} entries")
    return entries[np.clip(np.rint(values - first), 0, length - 1).astype(int)]


def _first(dataset: pydicom.Dataset, name: str) -> float | None:
    """A number, the first of several; None where there is none."""
    value = dataset.get(name)
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        value = value[0] if len(value) else None
    return None if value in (None, "") else float(value)
