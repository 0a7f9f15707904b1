import errno
import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import gdcm
import numpy as np
import pydicom
import pytest
from dicoms import linear_window, stretched
from fixtures import write_dicom
from PIL import Image

from cxrlib.data.greys import MAX_PIXELS, to_uint8
from cxrlib.data.images import ImageError, read_grey, resize_square
from cxrlib.params import Params
from cxrlib.runtime.errors import Refusal

NIH_COPY = Path(__file__).resolve().parents[3] / "shared" / "nih-cxr"
RANDOM = np.random.default_rng(0)
STORED = RANDOM.integers(0, 4096, (12, 16)).astype(np.uint16)
SIGNED = RANDOM.integers(-2048, 2048, (12, 16)).astype(np.int16)


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
    "begins with b'not a radiograph', without the header": lambda path: path.write_text("not a radiograph"),
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


NOISE = cv2.resize(RANDOM.integers(0, 256, (30, 40)).astype(np.uint8), (160, 120))


def written(path, content):
    path.write_bytes(content)
    return path


def saved(picture: Image.Image, format: str, **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


GREY = Image.fromarray(NOISE)
PNG = saved(GREY, "PNG", transparency=0)
JPEGS = {
    "baseline": saved(GREY, "JPEG", quality=90),
    "progressive": saved(GREY, "JPEG", quality=90, progressive=True),
    "restarts": saved(GREY, "JPEG", quality=90, restart_marker_rows=1),
    "four inks": saved(GREY.convert("CMYK"), "JPEG", quality=90),
    "with a thumbnail": saved(GREY, "JPEG", quality=90, exif=b"Exif\0\0" + saved(GREY.resize((16, 12)), "JPEG")),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_end_is_refused_by_every_version_of_the_decoder(tmp_path, kind):
    """OpenCV 4.10 fills the rest with grey; Pillow is the oracle for what is whole."""
    whole = JPEGS[kind]
    for end in (len(whole), len(whole) - 1, len(whole) - 2, len(whole) - 40, len(whole) // 2, 700):
        content = whole[:end]
        path = written(tmp_path / "a.jpg", content)
        try:
            Image.open(BytesIO(content)).load()
        except OSError:
            assert end < len(whole)
            with pytest.raises(
                ImageError, match=r"a\.jpg: not a readable PNG or JPEG image \((the file ends|it has no)"
            ):
                read_grey(path)
        else:
            assert read_grey(path).shape == NOISE.shape
            np.testing.assert_array_equal(read_grey(written(path, content + bytes(100))), read_grey(path))


@pytest.mark.parametrize("end", [8, 20, 33, 60, len(PNG) // 2, len(PNG) - 12, len(PNG) - 1])
def test_a_png_without_its_end_is_refused(tmp_path, end):
    with pytest.raises(ImageError, match=r"a\.png: not a readable PNG or JPEG image \(the file ends too early\)"):
        read_grey(written(tmp_path / "a.png", PNG[:end]))


@pytest.mark.parametrize("part", [b"IHDR", b"IDAT", b"IEND"])
def test_a_damaged_part_of_a_png_is_refused_unless_the_decoder_can_do_without_it(tmp_path, part):
    damaged = bytearray(PNG)
    damaged[PNG.index(part) + 4] ^= 1
    with pytest.raises(ImageError, match=f"its part b'{part.decode()}' is damaged"):
        read_grey(written(tmp_path / "a.png", damaged))
    comment = png_chunk(b"tEXt", b"Title\0NIH")[:-1] + b"?"
    path = written(tmp_path / "b.png", PNG[:33] + comment + PNG[33:])
    np.testing.assert_array_equal(read_grey(path), NOISE)


def huge(width: int, height: int) -> dict[str, bytes]:
    """Small files that declare a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    jpeg = bytearray(JPEGS["baseline"])
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, height, width)
    data = zlib.compress(bytes(10))
    return {
        ".png": PNG[:8] + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b""),
        ".jpg": bytes(jpeg),
    }


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_size_in_a_header_is_bounded_before_decoding(tmp_path, suffix, monkeypatch):
    decoded = []
    monkeypatch.setattr(cv2, "imdecode", lambda *_: decoded.append(1))
    path = written(tmp_path / f"a{suffix}", huge(60_000, 50_000)[suffix])
    with pytest.raises(
        ImageError, match=rf"a\{suffix}: .* 60000 x 50000 pixels, data.max_pixels allows 100000000; resize"
    ):
        read_grey(path)
    with pytest.raises(ImageError, match="0 x 7 pixels"):
        read_grey(written(path, huge(0, 7)[suffix]))
    assert not decoded
    assert Params().data.max_pixels == MAX_PIXELS


OTHERS = {
    "nothing": b"",
    "text": b"not a picture",
    "a page": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    **{format: saved(GREY, format) for format in ("BMP", "TIFF", "GIF", "WEBP")},
}


@pytest.mark.parametrize("kind", OTHERS)
def test_another_format_is_refused_by_what_it_begins_with(tmp_path, kind):
    """Not every version of OpenCV reads them, and their sizes would have to be bounded too."""
    with pytest.raises(ImageError, match=r"a\.png: not a readable PNG or JPEG image \(it (begins with b|is empty)"):
        read_grey(written(tmp_path / "a.png", OTHERS[kind]))


def test_a_suffix_may_be_wrong_among_pictures(tmp_path):
    np.testing.assert_array_equal(read_grey(written(tmp_path / "a.jpg", PNG)), NOISE)
    np.testing.assert_array_equal(
        read_grey(written(tmp_path / "b.png", JPEGS["baseline"])),
        read_grey(written(tmp_path / "b.jpg", JPEGS["baseline"])),
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (saved(GREY.convert("LA"), "PNG"), NOISE),
        (saved(GREY.convert("P"), "PNG"), NOISE),
        (
            saved(GREY, "JPEG", quality=100, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"),
            np.rot90(NOISE, -1),
        ),
        (cv2.imencode(".png", NOISE.astype(np.uint16) * 257)[1].tobytes(), stretched(NOISE.astype(float))),
    ],
    ids=["alpha", "palette", "turned", "16 bits"],
)
def test_other_forms_of_the_two_formats_are_read(tmp_path, content, expected):
    np.testing.assert_allclose(read_grey(written(tmp_path / "a.png", content)), expected, atol=3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda grey: grey.fill(90), "shows nothing: 100.0 % of its pixels have one grey value"),
        (lambda grey: grey[:-1].fill(90), "shows nothing: 99.6 % of its pixels have one grey value"),
        (lambda grey: np.copyto(grey, (grey > 120) * np.uint8(255)), "shows nothing: 100.0 % .* are black or white"),
        (lambda grey: np.copyto(grey[11:], (grey[11:] > 120) * np.uint8(255)), "shows nothing: 95.6 %"),
        (lambda grey: np.copyto(grey, grey // 20), "shows no radiograph: it has 13 grey values"),
    ],
    ids=["constant", "almost constant", "two values", "clipped", "few values"],
)
def test_a_picture_that_shows_nothing_is_refused(tmp_path, change, reason):
    grey = np.tile(np.arange(250, dtype=np.uint8), (250, 1))
    change(grey)
    with pytest.raises(ImageError, match=rf"a\.png: {reason}"):
        read_grey(written(tmp_path / "a.png", cv2.imencode(".png", grey)[1].tobytes()))


@pytest.mark.parametrize("share", [0.94, 0.0])
def test_a_picture_with_wide_black_borders_is_read(tmp_path, share):
    grey = np.tile(np.arange(1, 251, dtype=np.uint8), (250, 1))
    grey[: round(250 * share)] = 0
    np.testing.assert_array_equal(read_grey(written(tmp_path / "a.png", cv2.imencode(".png", grey)[1].tobytes())), grey)


@pytest.mark.skipif(not NIH_COPY.is_dir(), reason="no part of NIH ChestX-ray14 beside this checkout")
def test_real_radiographs_are_read():
    paths = sorted((NIH_COPY / "images").rglob("*.png"))
    assert len(paths) > 100
    for path in paths:
        np.testing.assert_array_equal(read_grey(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


SHORTAGE = cv2.error("Failed to allocate")
SHORTAGE.code = cv2.Error.StsNoMem


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RecursionError("deep"), ImageError),
        (cv2.error("assertion"), ImageError),
        (Image.DecompressionBombError("huge"), ImageError),
        (AssertionError(), ImageError),
        (MemoryError(), Refusal),
        (SHORTAGE, Refusal),
        (OSError(errno.EIO, "Input/output error"), Refusal),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("name", ["a.png", "a.dicom"])
def test_any_error_of_a_decoder_names_the_file(tmp_path, monkeypatch, name, error, kind):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(cv2, "imdecode", failing)
    monkeypatch.setattr(pydicom, "dcmread", failing)
    with pytest.raises(Refusal, match=name.replace(".", r"\.")) as refusal:
        read_grey(written(tmp_path / name, PNG))
    assert type(refusal.value) is kind


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
