"""DICOM files in every transfer syntax that radiographs come in, against dcmtk, an independent reader."""

import shutil

import cv2
import numpy as np
import pydicom
import pytest
from dicoms import DEEP, needs_dcmtk, run, seen_by_dcmtk
from fixtures import write_dicom

from cxrlib.data.greys import by_table
from cxrlib.data.images import ImageError, read_grey

RANDOM = np.random.default_rng(0)
SMOOTH = cv2.resize(RANDOM.random((5, 6)), (56, 40), interpolation=cv2.INTER_CUBIC).clip(0, 1)
KINDS = {
    "8 bit": ((SMOOTH * 255).astype(np.uint8), "MONOCHROME2", {}),
    "12 bit": ((SMOOTH * 4095).astype(np.uint16), "MONOCHROME2", DEEP),
    "16 bit": ((SMOOTH * 65535).astype(np.uint16), "MONOCHROME2", {}),
    "12 bit, signed": ((SMOOTH * 4095 - 2048).astype(np.int16), "MONOCHROME2", DEEP),
    "signed, rescaled": (
        (SMOOTH * 3000 - 1500).astype(np.int16),
        "MONOCHROME2",
        {"RescaleSlope": 2, "RescaleIntercept": -100, "RescaleType": "US"},
    ),
    "inverted, windowed": (
        (SMOOTH * 4095).astype(np.uint16),
        "MONOCHROME1",
        DEEP | {"WindowCenter": 2000, "WindowWidth": 1500},
    ),
}
# how dcmtk writes each syntax, and which of its programs reads it again
SYNTAXES = {
    "ImplicitVRLittleEndian": (["dcmconv", "+ti"], "dcm2pnm"),
    "ExplicitVRLittleEndian": (["dcmconv", "+te"], "dcm2pnm"),
    "ExplicitVRBigEndian": (["dcmconv", "+tb"], "dcm2pnm"),
    "DeflatedExplicitVRLittleEndian": (["dcmconv", "+td"], "dcm2pnm"),
    "RLELossless": (["dcmcrle"], "dcm2pnm"),
    "JPEGLosslessSV1": (["dcmcjpeg", "+e1"], "dcmj2pnm"),
    "JPEGLossless": (["dcmcjpeg", "+el"], "dcmj2pnm"),
    "JPEGLSLossless": (["dcmcjpls"], "dcml2pnm"),
}


@needs_dcmtk
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_syntax_looks_as_dcmtk_shows_it(tmp_path, syntax, kind):
    stored, photometric, tags = KINDS[kind]
    plain = write_dicom(tmp_path / "plain.dicom", stored, photometric, **tags)
    write, program = SYNTAXES[syntax]
    path = tmp_path / "packed.dicom"
    run(*write, plain, path)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == getattr(pydicom.uid, syntax)
    found = read_grey(path)
    np.testing.assert_array_equal(found, read_grey(plain))
    expected = seen_by_dcmtk(program, path, "WindowWidth" in tags)
    assert (found.min(), found.max()) == (0, 255)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_jpeg_2000_gives_the_pixels_that_were_compressed(tmp_path, kind):
    """dcmtk lacks JPEG 2000: OpenJPEG compresses here, and the plain file is the one that the test above compares."""
    stored, photometric, tags = KINDS[kind]
    plain = write_dicom(tmp_path / "plain.dicom", stored, photometric, **tags)
    dataset = pydicom.dcmread(plain)
    dataset.compress(pydicom.uid.JPEG2000Lossless, encoding_plugin="pylibjpeg")
    dataset.save_as(tmp_path / "packed.dicom")
    np.testing.assert_array_equal(read_grey(tmp_path / "packed.dicom"), read_grey(plain))


def test_jpeg_2000_is_decoded_in_one_thread_by_a_decoder_that_refuses_damage(tmp_path):
    dataset = pydicom.dcmread(write_dicom(tmp_path / "plain.dicom", np.arange(4096, dtype=np.uint16).reshape(64, 64)))
    dataset.compress(pydicom.uid.JPEG2000Lossless, encoding_plugin="pylibjpeg")
    (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 4 * 2]])
    dataset.save_as(tmp_path / "cut.dicom")
    with pytest.raises(ImageError, match=r"cut\.dicom: not a readable DICOM image") as refusal:
        read_grey(tmp_path / "cut.dicom")
    assert "pylibjpeg: " in str(refusal.value) and "gdcm" not in str(refusal.value)


@pytest.mark.parametrize(
    ("tags", "is_padding"),
    [
        ({"PixelPaddingValue": 0}, lambda values: values == 0),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 99}, lambda values: values <= 99),
        ({"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4000}, lambda values: values >= 4000),
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_move_the_other_greys(tmp_path, tags, is_padding, photometric):
    stored = RANDOM.integers(1000, 3000, (12, 16)).astype(np.uint16)
    stored[:2], stored[-2:] = [[50], [0]], 4095
    found = read_grey(write_dicom(tmp_path / "a.dicom", stored, photometric, **DEEP, **tags))
    padding = is_padding(stored)
    assert padding.any()
    assert not found[padding].any()
    image = stored[~padding].astype(float)
    expected = np.interp(image, [image.min(), image.max()], [0, 255] if photometric == "MONOCHROME2" else [255, 0])
    np.testing.assert_allclose(found[~padding], expected, atol=0.51)


def test_an_image_of_padding_alone_shows_nothing(tmp_path):
    stored = np.full((4, 4), 7, np.uint16)
    with pytest.raises(ImageError, match="shows nothing: 100.0 %"):
        read_grey(write_dicom(tmp_path / "a.dicom", stored, PixelPaddingValue=7))


def recompressed(path, change):
    """A compressed file whose one frame is changed."""
    dataset = pydicom.dcmread(path)
    (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([change(frame)])
    dataset.save_as(path)
    return path


@needs_dcmtk
@pytest.mark.parametrize(
    "write", [["dcmcjpeg", "+eb"], ["dcmcjpeg", "+e1"], ["dcmcjpeg", "+el"], ["dcmcjpls"], ["dcmcjpls", "+en"]]
)
def test_a_compressed_frame_must_end_and_have_the_size_of_the_tags(tmp_path, write):
    """GDCM fills up what is missing of a JPEG, and no tag says so."""
    stored = (SMOOTH * 255).astype(np.uint8)
    whole = tmp_path / "whole.dicom"
    run(*write, write_dicom(tmp_path / "plain.dicom", stored), whole)
    assert np.abs(read_grey(whole).astype(int) - read_grey(tmp_path / "plain.dicom")).max() <= 8
    half = recompressed(shutil.copy(whole, tmp_path / "half.dicom"), lambda frame: frame[: len(frame) // 4 * 2])
    with pytest.raises(ImageError, match=r"half\.dicom: not a readable DICOM image \(the file ends too early"):
        read_grey(half)
    dataset = pydicom.dcmread(whole)
    dataset.Rows = 20
    dataset.save_as(whole)
    with pytest.raises(ImageError, match="its tags say 56 x 20 pixels, its compressed data 56 x 40"):
        read_grey(whole)


def test_two_compressed_frames_are_refused_even_where_no_tag_says_so(tmp_path):
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dicom", (SMOOTH * 65535).astype(np.uint16)))
    dataset.compress(pydicom.uid.JPEG2000Lossless, encoding_plugin="pylibjpeg")
    (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([frame, frame])
    dataset.save_as(tmp_path / "a.dicom")
    with pytest.raises(ImageError, match="expected one grey frame, found 2"):
        read_grey(tmp_path / "a.dicom")


def test_values_of_more_bits_than_the_tags_say_are_refused(tmp_path):
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dicom", (SMOOTH * 65535).astype(np.uint16)))
    dataset.compress(pydicom.uid.JPEG2000Lossless, encoding_plugin="pylibjpeg")
    dataset.BitsStored, dataset.HighBit = 12, 11
    dataset.save_as(tmp_path / "a.dicom")
    with pytest.raises(ImageError, match=r"its values reach from \d+ to 65535, but BitsStored is 12"):
        read_grey(tmp_path / "a.dicom")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32])
def test_looking_up_equals_computing_every_pixel(dtype):
    lowest = -100 if np.dtype(dtype).kind != "u" else 0
    stored = RANDOM.integers(lowest, 120, (9, 7)).astype(dtype)
    asked = []

    def grey_of(values):
        assert values.dtype == dtype
        asked.extend(values.tolist())
        return ((values.astype(int) * 2) % 256).astype(np.uint8)

    np.testing.assert_array_equal(by_table(stored, grey_of), (stored.astype(int) * 2) % 256)
    assert sorted(asked) == sorted(set(stored.ravel().tolist()))
