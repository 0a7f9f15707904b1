import cv2
import gdcm
import numpy as np
import pydicom
import pytest
from fixtures import write_dicom

from cxrlib.data.greys import to_uint8
from cxrlib.data.images import ImageError, read_grey, resize_square

RANDOM = np.random.default_rng(0)
STORED = RANDOM.integers(0, 4096, (12, 16)).astype(np.uint16)
SIGNED = RANDOM.integers(-2048, 2048, (12, 16)).astype(np.int16)


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


@pytest.mark.parametrize(
    ("stored", "photometric", "tags", "expected"),
    [
        (STORED, "MONOCHROME2", {}, STORED),
        (STORED, "MONOCHROME1", {}, -STORED.astype(float)),
        (SIGNED, "MONOCHROME2", {}, SIGNED),
        (STORED, "MONOCHROME2", {"RescaleSlope": -2, "RescaleIntercept": 100}, 100 - 2.0 * STORED),
        (
            STORED,
            "MONOCHROME2",
            {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 3000, "WindowWidth": 2000},
            linear_window(2.0 * STORED - 1000, 3000, 2000),
        ),
        (
            STORED,
            "MONOCHROME1",
            {"WindowCenter": [1500, 99], "WindowWidth": [1000, 50]},  # the first window counts
            -linear_window(STORED, 1500, 1000),
        ),
        (
            STORED,
            "MONOCHROME2",
            {"WindowCenter": 2000, "WindowWidth": 900, "VOILUTFunction": "SIGMOID"},
            1 / (1 + np.exp(-4 * (STORED - 2000.0) / 900)),
        ),
    ],
    ids=["plain", "inverted", "signed", "rescale", "rescale+window", "inverted+window", "sigmoid"],
)
def test_dicom_values_follow_the_standard(tmp_path, stored, photometric, tags, expected):
    depth = {"BitsStored": 12, "HighBit": 11}
    image = read_grey(write_dicom(tmp_path / "a.dicom", stored, photometric, **depth, **tags))
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image, stretched(expected), atol=0.51)


@pytest.mark.parametrize("syntax", ["JPEG2000Lossless", "JPEGLosslessProcess14_1", "RLELossless"])
def test_compressed_dicom_gives_the_same_pixels(tmp_path, syntax):
    """GDCM compresses and, as a second opinion, decompresses."""
    plain = write_dicom(tmp_path / "plain.dicom", STORED)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "packed.dicom"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert pydicom.dcmread(tmp_path / "packed.dicom").file_meta.TransferSyntaxUID.is_compressed

    again = gdcm.ImageReader()
    again.SetFileName(str(tmp_path / "packed.dicom"))
    assert again.Read()
    buffer = again.GetImage().GetBuffer().encode("utf-8", errors="surrogateescape")
    np.testing.assert_array_equal(np.frombuffer(buffer, np.uint16).reshape(STORED.shape), STORED)
    np.testing.assert_array_equal(read_grey(tmp_path / "packed.dicom"), read_grey(plain))


def without_pixels(path):
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)


DAMAGE = {
    "no such file": lambda path: path.unlink(),
    "InvalidDicomError": lambda path: path.write_text("not a radiograph"),
    "not a readable DICOM": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "pixel data": without_pixels,
    "Width": lambda path: write_dicom(path, STORED, WindowCenter=10, WindowWidth=0),
    "one grey frame": lambda path: write_dicom(path, np.stack([STORED] * 3), NumberOfFrames=3),
}


@pytest.mark.parametrize("message", DAMAGE)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_damaged_dicom_is_refused_by_name(tmp_path, message):
    path = write_dicom(tmp_path / "study 7.dicom", STORED)
    DAMAGE[message](path)
    with pytest.raises(ImageError, match="(?i)" + message) as error:
        read_grey(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures(tmp_path, suffix):
    smooth = cv2.resize(RANDOM.integers(0, 256, (4, 4)).astype(np.uint8), (32, 24))
    path = tmp_path / f"grey{suffix}"
    cv2.imwrite(str(path), smooth)
    assert np.abs(read_grey(path).astype(int) - smooth).max() <= (0 if suffix == ".png" else 3)
    cv2.imwrite(str(path), cv2.cvtColor(smooth, cv2.COLOR_GRAY2BGR))
    assert read_grey(path).shape == smooth.shape


def test_16_bit_png_is_stretched(tmp_path):
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), STORED)
    np.testing.assert_allclose(read_grey(path), stretched(STORED), atol=0.51)


@pytest.mark.parametrize("content", [b"", b"not a picture", cv2.imencode(".png", STORED)[1].tobytes()[:200]])
def test_broken_picture_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"broken\.png: not a readable PNG or JPEG"):
        read_grey(path)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_constant_image_is_black(inverted):
    assert to_uint8(np.full((2, 2), 7), inverted).tolist() == [[0, 0], [0, 0]]


def test_stretching_does_not_overflow():
    assert to_uint8(np.array([-32768, 0, 32767], np.int16)).tolist() == [0, 128, 255]


def test_shrinking_averages_areas():
    image = RANDOM.integers(0, 256, (12, 24)).astype(np.uint8)
    blocks = image.reshape(6, 2, 6, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(resize_square(image, 6), blocks, atol=0.51)
    assert resize_square(image, 48).shape == (48, 48)
