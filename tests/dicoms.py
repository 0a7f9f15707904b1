"""What the tests of DICOM files share: dcmtk, an independent reader, and what the standard says, written out."""

import shutil
import subprocess

import cv2
import numpy as np
import pytest

DEEP = {"BitsStored": 12, "HighBit": 11}
needs_dcmtk = pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="apt-get install dcmtk")


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def seen_by_dcmtk(program, path, windowed):
    """Grey values as dcmtk shows the image: through its first window, or stretched from minimum to maximum."""
    picture = path.with_suffix(".pgm")
    run(program, *(["+Wi", "1"] if windowed else ["+Wm"]), path, picture)
    return cv2.imread(str(picture), cv2.IMREAD_UNCHANGED).astype(int)


def stretched(values: np.ndarray) -> np.ndarray:
    """Minimum to 0, maximum to 255, written with np.interp."""
    return np.interp(values, [values.min(), values.max()], [0, 255])


def linear_window(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """The VOI LUT function LINEAR of DICOM PS3.3, C.11.2.1.2.1, for an output of 0 to 1, pixel by pixel."""
    result = np.empty(values.shape)
    for index, x in np.ndenumerate(values):
        if x <= center - 0.5 - (width - 1) / 2:
            result[index] = 0
        elif x > center - 0.5 + (width - 1) / 2:
            result[index] = 1
        else:
            result[index] = (x - (center - 0.5)) / (width - 1) + 0.5
    return result
