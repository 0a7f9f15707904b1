"""What the tags of a DICOM file say about its values: followed as the standard has it, or refused by name."""

import cv2
import numpy as np
import pydicom
import pytest
from dicoms import DEEP, linear_window, needs_dcmtk, run, seen_by_dcmtk, stretched
from fixtures import write_dicom

from cxrlib.data.images import ImageError, read_grey

RANDOM = np.random.default_rng(0)
STORED = RANDOM.integers(0, 4096, (12, 16)).astype(np.uint16)
SIGNED = RANDOM.integers(-2048, 2048, (12, 16)).astype(np.int16)
GARBAGE = RANDOM.integers(0, 16, (12, 16)).astype(np.uint16)


def rewritten(path, **elements):
    """The file with elements of a given VR: name=(VR, value), or name=None, which deletes it."""
    dataset = pydicom.dcmread(path)
    for name, element in elements.items():
        if element is None:
            delattr(dataset, name)
        else:
            dataset.add_new(name, *element)
    dataset.save_as(path)
    return path


def expect(path, values):
    np.testing.assert_allclose(read_grey(path), stretched(np.asarray(values, float)), atol=0.51)


def refused(path, message):
    with pytest.raises(ImageError, match=message) as error:
        read_grey(path)
    assert str(path) in str(error.value)


# bits


@pytest.mark.parametrize("below", [0, 1, 4])
@pytest.mark.parametrize("packed", [False, pytest.param(True, marks=needs_dcmtk)], ids=["plain", "RLE"])
def test_bits_above_and_below_a_value_do_not_count(tmp_path, below, packed):
    high, others = 11 + below, GARBAGE & (2**below - 1)
    cells = (STORED << below) | others | ((GARBAGE << 12) << below)
    path = write_dicom(tmp_path / "a.dicom", cells, BitsStored=12, HighBit=high)
    if packed:
        run("dcmcrle", path, path)
    expect(path, STORED)


@pytest.mark.parametrize("above", [np.zeros_like(GARBAGE), GARBAGE], ids=["zeros", "garbage"])
def test_the_sign_is_the_highest_stored_bit(tmp_path, above):
    cells = ((SIGNED.view(np.uint16) & 0x0FFF) | (above << 12)).view(np.int16)
    expect(write_dicom(tmp_path / "a.dicom", cells, **DEEP), SIGNED)


@pytest.mark.parametrize(
    "tags",
    [
        {"BitsStored": 12, "HighBit": 16},
        {"BitsStored": 12, "HighBit": 10},
        {"BitsStored": 17, "HighBit": 16},
        {"BitsStored": 0, "HighBit": 15},
    ],
)
def test_bits_that_contradict_each_other_are_refused(tmp_path, tags):
    refused(write_dicom(tmp_path / "a.dicom", STORED, **tags), "BitsStored|Bits Stored")


def test_32_bits_and_a_single_frame_are_read(tmp_path):
    stored = STORED.astype(np.uint32) * 1000
    expect(write_dicom(tmp_path / "a.dicom", stored, NumberOfFrames=1), stored)


def test_pixels_of_one_bit_are_a_mask_and_no_radiograph(tmp_path):
    path = write_dicom(tmp_path / "a.dicom", STORED)
    bits = np.packbits(STORED % 2).tobytes()
    tags = {"BitsAllocated": ("US", 1), "BitsStored": ("US", 1), "HighBit": ("US", 0), "PixelData": ("OB", bits)}
    refused(rewritten(path, **tags), "100.0 % of its pixels are black or white")


@pytest.mark.parametrize(("name", "dtype", "vr"), [("", "<f4", "OF"), ("Double", "<f8", "OD")])
def test_float_pixels_are_read_and_padding_among_them_is_black(tmp_path, name, dtype, vr):
    values = RANDOM.normal(0, 10, STORED.shape).astype(dtype)
    values[0] = -1000
    path = write_dicom(tmp_path / "a.dicom", values.view("u4") if vr == "OF" else values.astype("u4"))
    tags = dict.fromkeys(("PixelData", "BitsStored", "HighBit", "PixelRepresentation"))
    tags[f"{name}FloatPixelData"] = (vr, values.tobytes())
    tags["BitsAllocated"] = ("US", values.itemsize * 8)
    tags[f"{name}FloatPixelPaddingValue"] = ("FL" if vr == "OF" else "FD", -1000.0)
    found = read_grey(rewritten(path, **tags))
    assert not found[0].any()
    np.testing.assert_allclose(found[1:], stretched(values[1:].astype(float)), atol=0.51)
    values[1, 1] = np.nan
    refused(rewritten(path, **{f"{name}FloatPixelData": (vr, values.tobytes())}), "not finite numbers")


# what is no single grey image


@pytest.mark.parametrize("photometric", ["PALETTE COLOR", "RGB", "YBR_FULL", "ARGB"])
def test_only_monochrome_is_a_radiograph(tmp_path, photometric):
    """The indices of a palette, shown as greys, would be another picture."""
    path = write_dicom(tmp_path / "a.dicom", STORED.astype(np.uint8), photometric)
    refused(path, f"PhotometricInterpretation (is )?{photometric}")


@pytest.mark.parametrize("name", ["Rows", "Columns", "PhotometricInterpretation", "PixelData"])
def test_an_absent_tag_is_named(tmp_path, name):
    path = write_dicom(tmp_path / "a.dicom", STORED)
    refused(rewritten(path, **{name: None}), "it has no " + name.replace("PixelData", "pixel data"))


def test_colours_and_frames_are_refused(tmp_path):
    tags = {"SamplesPerPixel": 3, "PlanarConfiguration": 1, "Rows": 4}
    refused(write_dicom(tmp_path / "a.dicom", STORED, "RGB", **tags), "PhotometricInterpretation is RGB, .* 3;")
    refused(write_dicom(tmp_path / "a.dicom", STORED, **tags), "PhotometricInterpretation is MONOCHROME2, .* 3;")
    refused(write_dicom(tmp_path / "a.dicom", np.stack([STORED] * 2), NumberOfFrames=2), "NumberOfFrames is 2")


# padding


@pytest.mark.parametrize(
    ("cells", "element"),
    [
        (SIGNED, ("US", 63536)),
        (SIGNED, ("SS", -2000)),
        (STORED, ("SS", -2000)),
        (STORED, ("US", 63536)),
    ],
    ids=["signed pixels, unsigned", "signed", "unsigned pixels, signed", "unsigned"],
)
@pytest.mark.parametrize("depth", [{}, DEEP], ids=["16 bits", "12 bits"])
def test_padding_may_be_written_signed_or_not_and_fill_the_cell(tmp_path, cells, element, depth):
    cells = np.clip(cells, 0 if cells.dtype == np.uint16 else -1000, 1000)
    cells[3:5] = np.array(63536, np.uint16).view(cells.dtype)
    path = write_dicom(tmp_path / "a.dicom", cells, **depth)
    found = read_grey(rewritten(path, PixelPaddingValue=element))
    assert not found[3:5].any()
    image = np.delete(cells, [3, 4], axis=0)
    np.testing.assert_allclose(np.delete(found, [3, 4], axis=0), stretched(image.astype(float)), atol=0.51)


@pytest.mark.parametrize(("stored", "value"), [(STORED, 65535), (STORED, -1), (STORED.astype(np.uint8), 65535)])
def test_padding_that_no_pixel_can_have_pads_nothing(tmp_path, stored, value):
    path = write_dicom(tmp_path / "a.dicom", stored, **(DEEP if stored.dtype == np.uint16 else {}))
    stored[0, 0] = stored.max()
    expect(rewritten(path, PixelPaddingValue=("US" if value > 0 else "SS", value)), pydicom.dcmread(path).pixel_array)


def test_padding_is_a_value_and_not_a_cell_where_values_lie_higher(tmp_path):
    stored = np.clip(STORED, 300, 4000)
    stored[0], stored[1, 0] = 16, 256  # 16 << 4
    found = read_grey(write_dicom(tmp_path / "a.dicom", stored << 4, BitsStored=12, HighBit=15, PixelPaddingValue=256))
    assert found[1, 0] == 0 and found[1:].ravel()[1:].min() > 0
    assert found.max() == 255 and not found[0].any()


# from stored values to what is shown


WINDOWS = {
    "LINEAR": linear_window,
    "LINEAR_EXACT": lambda x, c, w: np.interp(x, [c - w / 2, c + w / 2], [0, 1]),
    "SIGMOID": lambda x, c, w: 1 / (1 + np.exp(-4 * (x - c) / w)),
}


@pytest.mark.parametrize("slope", [1, -10, 0.5])
@pytest.mark.parametrize("function", WINDOWS)
def test_a_window_shows_high_values_bright_whatever_the_sign_of_the_slope(tmp_path, function, slope):
    """A negative slope comes from real equipment (RescaleSlope -10, RescaleIntercept 3000)."""
    values = 3000 + slope * STORED.astype(float)
    center, width = float(np.median(values)), float(np.ptp(values) / 3)
    tags = {"RescaleSlope": slope, "RescaleIntercept": 3000, "WindowCenter": [center, 1], "WindowWidth": [width, 2]}
    path = write_dicom(tmp_path / "a.dicom", STORED, **DEEP, **tags, VOILUTFunction=function)
    expect(path, WINDOWS[function](values, center, width))


@needs_dcmtk
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_negative_slope_looks_as_dcmtk_shows_it(tmp_path, photometric):
    tags = {"RescaleSlope": -10, "RescaleIntercept": 3000, "WindowCenter": -10000, "WindowWidth": 12000}
    path = write_dicom(tmp_path / "a.dicom", STORED, photometric, **DEEP, **tags)
    assert np.abs(read_grey(path) - seen_by_dcmtk("dcm2pnm", path, windowed=True)).max() <= 1


@pytest.mark.parametrize("tags", [{"RescaleSlope": 2}, {"RescaleIntercept": -100}, {"WindowCenter": 7}, {}])
def test_half_of_a_pair_of_tags_changes_nothing(tmp_path, tags):
    expect(write_dicom(tmp_path / "a.dicom", STORED, **DEEP, **tags), STORED)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope is 0"),
        ({"WindowCenter": 10, "WindowWidth": 0}, "WindowWidth 0 around 10"),
        ({"WindowCenter": 10, "WindowWidth": 0.5}, "WindowWidth 0.5"),
        ({"WindowCenter": 10, "WindowWidth": -5}, "WindowWidth -5"),
        ({"WindowCenter": 10, "WindowWidth": 0, "VOILUTFunction": "LINEAR_EXACT"}, "WindowWidth 0"),
        ({"WindowCenter": 10, "WindowWidth": 0, "VOILUTFunction": "SIGMOID"}, "WindowWidth 0"),
        ({"WindowCenter": 10, "WindowWidth": 5, "VOILUTFunction": "CUBIC"}, "VOILUTFunction CUBIC"),
        ({"WindowCenter": 2000, "WindowWidth": 1}, "black or white"),
        ({"WindowCenter": 60000, "WindowWidth": 100}, "WindowCenter 60000 and WindowWidth 100 make one grey .* 4095"),
        ({"WindowCenter": -9000, "WindowWidth": 100, "VOILUTFunction": "SIGMOID"}, "make one grey"),
        ({"WindowCenter": 60000, "WindowWidth": 9000, "VOILUTFunction": "SIGMOID"}, "make one grey"),
        ({"WindowCenter": 100, "WindowWidth": 50}, "black or white"),
    ],
)
def test_values_that_leave_no_picture_are_refused(tmp_path, tags, message):
    stored = STORED.copy()
    stored[0, :2] = 0, 4095
    refused(write_dicom(tmp_path / "a.dicom", stored, **DEEP, **tags), message)


def look_up_table(first, entries, vr, bits, length=None):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [(length or len(entries)) % 2**16, first, bits])
    item.add_new("LUTData", vr, entries.tobytes() if vr == "OW" else entries.tolist())
    return pydicom.Sequence([item])


@pytest.mark.parametrize("name", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize(
    ("entries", "vr", "bits"),
    [
        (np.sqrt(np.arange(3000)).astype(np.uint16) * 900, "US", 16),
        (np.sqrt(np.arange(3000)).astype(np.uint16) * 900, "OW", 16),
        (np.sqrt(np.arange(3000) * 21).astype(np.uint16), "OW", 8),  # more entries than 8 bits can count
        (np.sqrt(np.arange(3000) * 21).astype(np.uint8), "OW", 8),  # packed
    ],
    ids=["16 bits", "words", "8 bits in words", "bytes"],
)
def test_look_up_tables_map_values_and_clip_those_outside(tmp_path, name, entries, vr, bits):
    path = write_dicom(tmp_path / "a.dicom", STORED, **DEEP)
    rewritten(path, **{name: ("SQ", look_up_table(500, entries, vr, bits))})
    expect(path, entries[np.clip(STORED.astype(int) - 500, 0, 2999)])


@pytest.mark.parametrize("first", [-2000, 63536])
def test_the_first_value_of_a_table_may_be_written_unsigned(tmp_path, first):
    entries = np.arange(4000, dtype=np.uint16) ** 2 // 250
    path = write_dicom(tmp_path / "a.dicom", SIGNED, **DEEP)
    rewritten(path, VOILUTSequence=("SQ", look_up_table(first, entries, "US", 16)))
    expect(path, entries[np.clip(SIGNED.astype(int) + 2000, 0, 3999)])


def test_a_table_of_no_length_has_65536_entries(tmp_path):
    entries = np.arange(65536, dtype=np.uint16)[::-1] // 3
    path = write_dicom(tmp_path / "a.dicom", STORED * np.uint16(16))
    expect(
        rewritten(path, VOILUTSequence=("SQ", look_up_table(0, entries, "OW", 16))), entries[STORED.astype(int) * 16]
    )


def test_a_table_that_lacks_entries_is_refused(tmp_path):
    path = write_dicom(tmp_path / "a.dicom", STORED, **DEEP)
    table = look_up_table(0, np.arange(10, dtype=np.uint16), "US", 16, length=4096)
    refused(rewritten(path, VOILUTSequence=("SQ", table)), "10 of 4096 entries")


@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
@pytest.mark.parametrize(("photometric", "sign"), [("MONOCHROME1", -1), ("MONOCHROME2", 1)])
def test_the_photometric_interpretation_alone_says_which_end_is_white(tmp_path, photometric, sign, shape):
    """Equipment is known that writes a wrong PresentationLUTShape, and viewers disagree about it."""
    path = write_dicom(tmp_path / "a.dicom", STORED, photometric, **DEEP, PresentationLUTShape=shape)
    expect(path, sign * STORED.astype(float))


# size


def test_a_size_beyond_the_limit_is_refused_before_decoding(tmp_path):
    path = write_dicom(tmp_path / "a.dicom", STORED, Rows=60_000, Columns=50_000)
    refused(path, "declares 50000 x 60000 pixels, data.max_pixels allows 100000000; resize it or raise that")
    small = write_dicom(tmp_path / "b.dicom", STORED)
    assert read_grey(small, max_pixels=STORED.size).shape == STORED.shape
    with pytest.raises(ImageError, match=r"b\.dicom: .* 16 x 12 pixels, data.max_pixels allows 191"):
        read_grey(small, max_pixels=STORED.size - 1)


def test_a_compressed_frame_of_another_size_than_the_tags_is_refused(tmp_path):
    """A decoder would take the memory that the frame asks for."""
    path = write_dicom(tmp_path / "a.dicom", cv2.resize(STORED, (64, 48)))
    dataset = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.JPEG2000Lossless, encoding_plugin="pylibjpeg")
    dataset.Rows = 24
    dataset.save_as(path)
    refused(path, "its tags say 64 x 24 pixels, its compressed data 64 x 48")
