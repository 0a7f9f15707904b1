"""Annotations and images that cannot be used: refused in one line, or set aside with the reason."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from fixtures import annotation_rows, kaggle_folder, write_dicom
from pydicom.data import get_testdata_file

from cxrlib.data.annotations import read_annotations
from cxrlib.data.convert import convert_images
from cxrlib.data.images import ImageError, read_grey
from cxrlib.data.rows import AnnotationError
from cxrlib.data.sources.data_set import SourceError, open_data_set

LONG_MESSAGE = 1200

HEADER = b"image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
GOOD = b"a,Cardiomegaly,3,R1,1,2,30,40\n"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is empty"),
        (b"\n\n\n", "is empty"),
        (HEADER, "no rows"),
        (b"image,label\nx,y\n", "lacks the column"),
        (GOOD, "lacks the column"),
        (HEADER + b"a,Cardiomegaly,3,R1,1,2,thirty,40\n", "row 2, field x_max: 'thirty'"),
        (HEADER + GOOD + b"b,Hiccup,3,R1,1,2,30,40\n", "row 3, field class_name: unknown class 'Hiccup'"),
        (HEADER + b"b,,3,R1,1,2,30,40\n", "row 2, field class_name"),
        (HEADER + b",Cardiomegaly,3,R1,1,2,30,40\n", "row 2"),
        (HEADER + b"\xff\xfe,Cardiomegaly,3,R1,1,2,30,40\n", "UTF-8"),
        ("image_id,class_name\n".encode("utf-16"), "UTF-8"),
        (HEADER + GOOD + b'b,"Cardiomegaly,3,R1\n', "row"),
        (HEADER + GOOD + b"b,Cardiomegaly,3,R1,1,2,30,40,50,60,70\n", "row 3: has 11 fields"),
        (HEADER + b"a,Cardiomegaly,0,R1,\0\0\0\0b,No finding,14,R2,,,,\n", "row 2"),  # found by fuzzing
        (HEADER + b"x" * 100_000_000 + b"\n", "row 2"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "rubbish.csv"),
        (HEADER + b"../../etc/passwd,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
        (HEADER + b"/etc/passwd,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
        (HEADER + b"..,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
        (HEADER + b"a\\..\\b,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
        (HEADER + b"a\x00b,Cardiomegaly,3,R1,1,2,30,40\n", "row 2: holds a NUL"),
    ],
)
def test_annotations_that_are_refused(tmp_path, content, named):
    path = tmp_path / "rubbish.csv"
    path.write_bytes(content)
    with pytest.raises(AnnotationError) as refused:
        read_annotations(path)
    message = str(refused.value)
    assert named in message and str(path) in message and "\n" not in message and len(message) < LONG_MESSAGE


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"b,Cardiomegaly,3,R1,30,2,1,40\n", "inverted or empty box"),
        (b"b,Cardiomegaly,3,R1,5,5,5,5\n", "inverted or empty box"),
        (b"b,Cardiomegaly,3,R1,1,2,,40\n", "incomplete box"),
        (b"b,Cardiomegaly,3,R1,inf,2,inf,40\n", "box"),
        (b"b,Cardiomegaly,3,R1,1,2,inf,40\n", "box"),
        (b"a,Cardiomegaly,3,R1,1,2,30,40\n", "duplicated row"),
    ],
)
def test_annotation_rows_that_are_listed(tmp_path, row, reason):
    path = tmp_path / "rubbish.csv"
    path.write_bytes(b"\xef\xbb\xbf" + HEADER + GOOD + row)  # a byte order mark is no reason to refuse
    annotations, set_aside = read_annotations(path)
    assert annotations.iloc[0]["image_id"] == "a"
    assert set_aside["row"].tolist() == [3] and reason in set_aside["reason"][0]
    boxes = annotations[["x_min", "y_min", "x_max", "y_max"]].to_numpy()
    assert np.isnan(boxes[1:]).all() and np.isfinite(boxes[0]).all()


def without(keyword):
    def write(path):
        write_dicom(path, np.arange(64, dtype=np.uint16).reshape(8, 8))
        dataset = pydicom.dcmread(path)
        target = dataset.file_meta if keyword in dataset.file_meta else dataset
        del target[keyword]
        dataset.save_as(path, enforce_file_format=False)

    return write


def sized(rows, columns, **tags):
    def write(path):
        write_dicom(path, np.zeros((2, 2), np.uint8))
        dataset = pydicom.dcmread(path)
        dataset.Rows, dataset.Columns = rows, columns
        for name, value in tags.items():
            setattr(dataset, name, value)
        dataset.save_as(path)

    return write


def truncated(fraction):
    def write(path):
        random = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
        content = write_dicom(path, random).read_bytes()
        path.write_bytes(content[: int(len(content) * fraction)])

    return write


def test_file(name):
    return lambda path: path.write_bytes(Path(get_testdata_file(name)).read_bytes())


test_file.__test__ = False


UNUSABLE = {
    "absent": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(b"\x00" * 200),
    "preamble alone": lambda path: path.write_bytes(bytes(128) + b"DICM"),
    "another format": lambda path: path.write_bytes(b"GIF89a" + bytes(100)),
    **{f"truncated at {part}/11": truncated(part / 11) for part in range(1, 11)},
    "no pixels": without("PixelData"),
    "no rows": without("Rows"),
    "no bits": without("BitsAllocated"),
    "0 x 0": sized(0, 0),
    "20,000 x 20,000 declared": sized(20_000, 20_000),
    "43 TB declared": sized(65_535, 65_535, NumberOfFrames=10_000),
    "photometry": sized(2, 2, PhotometricInterpretation="GREENISH", SamplesPerPixel=7),
    "a plan, no image": test_file("rtplan.dcm"),
    "odd sequence": test_file("JPEG2000-embedded-sequence-delimiter.dcm"),
    "three frames": lambda path: write_dicom(path, np.ones((3, 8, 8), np.uint8), NumberOfFrames=3),
    "colour": test_file("SC_rgb_rle.dcm"),
    "no transfer syntax, as in the wild": without("TransferSyntaxUID"),
    "a report": test_file("reportsi.dcm"),
    "contours": test_file("rtstruct.dcm"),
    "pydicom's truncated": test_file("MR_truncated.dcm"),
    "constant": lambda path: write_dicom(path, np.full((8, 8), 7, np.uint16)),
    "constant, inverted": lambda path: write_dicom(path, np.full((8, 8), 7, np.uint16), "MONOCHROME1"),
    "1 x 1": lambda path: write_dicom(path, np.zeros((1, 1), np.uint8)),
    "a palette": lambda path: write_dicom(path, np.arange(64, dtype=np.uint8).reshape(8, 8), "PALETTE COLOR"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_image_that_cannot_be_used(tmp_path, name):
    path = tmp_path / "bad.dicom"
    UNUSABLE[name](path)
    try:
        grey = read_grey(str(path))
    except ImageError as error:
        assert str(path) in str(error) and len(str(error)) < LONG_MESSAGE
    else:  # a cut near the end can leave a whole picture
        assert name == "truncated at 10/11" and grey.shape == (64, 64)


def test_images_that_cannot_be_used_are_listed_and_the_others_converted(tmp_path):
    paths = {name: tmp_path / f"{name.replace('/', ' of ')}.dicom" for name in UNUSABLE}
    for name, path in paths.items():
        UNUSABLE[name](path)
    paths["good"] = write_dicom(tmp_path / "good.dicom", np.arange(64, dtype=np.uint16).reshape(8, 8))
    images = pd.DataFrame({"image_id": list(paths), "path": [str(path) for path in paths.values()]})
    sizes = convert_images(images, tmp_path / "data", 16, workers=1).set_index("image_id")
    for name, path in paths.items():
        reason = sizes.loc[name, "reason"]
        assert reason.startswith(str(path)) and "\n" not in reason if name in UNUSABLE else reason == ""
    pixels = np.load(tmp_path / "data" / "pixels.npy")
    assert pixels[-1].any() and not pixels[:-1].any()


def test_a_study_whose_id_leaves_the_folder_is_never_opened(tmp_path):
    root = kaggle_folder(tmp_path / "root", annotation_rows(("good", "Cardiomegaly", "R1", 1, 2, 3, 4)))
    write_dicom(tmp_path / "outside.dicom", np.zeros((8, 8), np.uint16))
    rows = annotation_rows(("../../outside", "Cardiomegaly", "R1", 1, 2, 3, 4))
    rows.to_csv(root / "train.csv", index=False)
    with pytest.raises(AnnotationError, match="row 2, field image_id"):
        read_annotations(root / "train.csv")


@pytest.mark.parametrize("flag", [1, 64], ids=["encrypted", "strongly encrypted"])
def test_annotations_in_a_zip_that_cannot_be_opened_are_refused(tmp_path, flag):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.csv", HEADER + GOOD)
    content = bytearray(path.read_bytes())
    content[6] |= flag
    content[content.index(b"PK\1\2") + 8] |= flag
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"set\.zip/train\.csv is not a readable CSV \(.*encrypt"):
        read_annotations(zipfile.Path(path) / "train.csv")


def test_a_damaged_zip_is_refused(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.csv", GOOD)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"PK\1\2", b"PK\7\7"))  # the list of members
    with pytest.raises(SourceError, match=r"data\.root: .*set\.zip is a damaged zip file .*; download or copy"):
        open_data_set(path)
