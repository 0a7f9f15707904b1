"""Rendered radiographs as DICOM files like those of VinDr-CXR, marked as rendered."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from cxrlib.data.render.patient import GREY_MAXIMUM
from cxrlib.runtime.files import whole_file

BITS_STORED = [12, 12, 12, 12, 14, 16]


TRANSFER = (RLELossless, JPEG2000Lossless, None)
TRANSFER_SHARES = (0.86, 0.06, 0.08)
"""How files are compressed, if they are. Encoding JPEG 2000, as in VinDr-CXR, takes longer than rendering."""


ENCODERS = {RLELossless: "gdcm", JPEG2000Lossless: "pylibjpeg"}


GREATEST_BITS_USED = 14  # 16-bit detectors leave the top of their range empty


def stored_values(pixels: np.ndarray, bits: int, inverted: bool) -> np.ndarray:
    """Scale `pixels` (uint16, 0..65535) to the values that a detector of `bits` bits stores; uint16, same shape.

    >>> stored_values(np.array([0, 65535], np.uint16), bits=12, inverted=True)
    array([4095,    0], dtype=uint16)
    """
    top = 2 ** min(bits, GREATEST_BITS_USED) - 1
    values = np.rint(pixels * np.float32(top / GREY_MAXIMUM)).astype(np.uint16)
    return top - values if inverted else values


@dataclass(frozen=True)
class Format:
    """How one radiograph is stored, whatever it shows: `dataset` holds the tags without pixels."""

    dataset: Dataset
    compression: UID | None

    def cells(self, pixels: np.ndarray) -> np.ndarray:
        """`pixels` (uint16, 0..65535) as the file stores them, uint16."""
        return stored_values(pixels, self.dataset.BitsStored, self.dataset.PhotometricInterpretation == "MONOCHROME1")


def sample_format(shape: tuple[int, int], image_id: str, rng: np.random.Generator) -> Format:
    """Draw the format of a radiograph of `shape` (rows, cols).

    Bits stored, photometric interpretation, window, rescaling and transfer syntax are drawn from `rng`, independently
    of the pixels.

    Args:
        shape: rows and columns.
        image_id: becomes the patient's id and seeds the unique ids.
        rng: draws the format.
    """
    bits = int(rng.choice(BITS_STORED))
    inverted, windowed, rescaled = rng.random(3) < (0.15, 0.85, 0.3)
    compression = TRANSFER[int(rng.choice(len(TRANSFER), p=TRANSFER_SHARES))]
    centre_share, width_share = rng.uniform(0.45, 0.55), rng.uniform(0.9, 1.1)
    slope, intercept = (1, 0) if rng.random() < 0.5 else (2, -1024)
    sex, age = str(rng.choice(["F", "M"])), int(rng.integers(18, 91))
    computed = rng.random() < 0.3

    ds = Dataset()
    ds.SOPClassUID = ComputedRadiographyImageStorage if computed else DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["rendered radiograph", image_id])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["rendered study", image_id])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["rendered series", image_id])
    ds.Modality = "CR" if computed else "DX"
    ds.Manufacturer = "cxrlib.render"
    ds.SeriesDescription = "RENDERED from annotations, not a patient"
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.PatientID, ds.PatientName = image_id, "RENDERED"
    ds.PatientSex, ds.PatientAge = sex, f"{age:03d}Y"
    ds.BodyPartExamined, ds.ViewPosition = "CHEST", "PA"

    ds.Rows, ds.Columns = shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, 0
    if rescaled:
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = slope, intercept, "US"
    else:
        slope, intercept = 1, 0
    if windowed:
        top = 2 ** min(bits, GREATEST_BITS_USED) - 1
        ds.WindowCenter = round(centre_share * top * slope + intercept)
        ds.WindowWidth = round(width_share * top * slope)

    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return Format(ds, compression)


def dicom_dataset(pixels: np.ndarray, image_id: str, rng: np.random.Generator) -> Dataset:
    """DICOM data set of one radiograph. The same arguments give the same bytes.

    Args:
        pixels: uint16 (rows, cols), 0..65535, dense is bright.
        image_id, rng: as in `sample_format`.
    """
    drawn = sample_format(pixels.shape, image_id, rng)
    ds = drawn.dataset
    ds.PixelData = drawn.cells(pixels).astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"
    if drawn.compression is not None:
        ds.compress(drawn.compression, encoding_plugin=ENCODERS[drawn.compression], generate_instance_uid=False)
    return ds


def write_dicom(path: Path, pixels: np.ndarray, image_id: str, rng: np.random.Generator) -> None:
    """Write `pixels` as the DICOM file `path`, complete or not at all (see `dicom_dataset`)."""
    with whole_file(path) as temporary:
        dicom_dataset(pixels, image_id, rng).save_as(temporary, enforce_file_format=True)
