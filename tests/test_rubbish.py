"""Wrong input of every kind: one clear line that says where and what to do, exit code 2, nothing run, nothing lost."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from fixtures import annotation_rows, kaggle_folder, write_dicom
from pydicom.data import get_testdata_file
from safetensors.torch import save_file

import run_all
from cxrlib import params
from cxrlib.annotations import AnnotationError, read_annotations
from cxrlib.convert import convert_images
from cxrlib.files import PROJECT_ROOT
from cxrlib.images import ImageError, read_grey
from cxrlib.resnet import Checkpoint, build_resnet, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")
LONG_MESSAGE = 1200


def refusal(capsys, *arguments: str) -> str:
    """What run_all.py says on standard error when it refuses: one line, exit code 2."""
    assert run_all.main([*arguments]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and errors.count("\n") == 1 and len(errors) < LONG_MESSAGE, errors
    return errors


BOMB = (
    "[&a [x, x, x, x, x, x, x, x], "
    + ", ".join(f"&{new} [{', '.join(['*' + old] * 8)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True))
    + "]"
)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training.epochs=three", "training.epochs"),
        ("training.epochs=2.5", "training.epochs"),
        ("training.epochs=true", "training.epochs"),
        ("training.epochs=null", "training.epochs"),
        ("training.batch_size=1", "training.batch_size"),
        ("training.learning_rate=0", "training.learning_rate"),
        ("training.learning_rate=-0.1", "training.learning_rate"),
        ("training.learning_rate=.nan", "training.learning_rate"),
        ("training.learning_rate=.inf", "training.learning_rate"),
        ("training.learning_rate=1e-3", "training.learning_rate"),
        ("training.momentum=1", "training.momentum"),
        ("training.seed=-1", "training.seed"),
        ("data.seed=99999999999999999999", "data.seed"),
        ("data.n_studies=0", "data.n_studies"),
        ("data.valid_share=1", "data.valid_share"),
        ("data.valid_share=0.95", "valid_share + test_share"),
        ("data.source=somewhere", "data.source"),
        ("data.root=[1, 2]", "data.root"),
        ("model.input_size=1", "model.input_size"),
        ("gradcam.threshold=1.5", "gradcam.threshold"),
        ("iou.percentages=[]", "iou.percentages"),
        ("iou.percentages=[0.1, 2]", "iou.percentages.1"),
        ("perturbation.kernels=[10]", "kernels must be odd"),
        ("labels.explained=11 labels", "explained '11 labels' is none of"),
        ("labels.experiments={../../x: [a, b]}", "labels.experiments"),
        ('labels.experiments={"a/b": [a, b]}', "labels.experiments"),
        ("labels.experiments={7 labels: [a, a]}", "names a label twice"),
        ("labels.experiments={7 labels: [a]}", "labels.experiments.7 labels"),
        ("compute.workers=0", "compute.workers"),
        ("compute.device=tpu", "compute.device"),
        ("compute.threds=2", "compute.threds"),
        ("compte.threads=2", "compte"),
        ("compute.threads", "expected section.name=value"),
        (".=1", "expected section.name=value"),
        ("data.root=[1, 2", "not valid YAML"),
        ("data.root=2020-02-31", "data.root"),
        ("data.root=\x00", "not valid YAML"),
        ("data.root=" + "[" * 5000, "data.root"),
        ("data.root=" + BOMB, "data.root"),
        ("labels.experiments=" + BOMB, "labels.experiments"),
        ('data.root=!!python/object/apply:os.mkdir ["ran"]', "not valid YAML"),
        ("data.root=!!python/name:os.system", "not valid YAML"),
    ],
)
def test_a_wrong_parameter(capsys, tmp_path, monkeypatch, override, named):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    assert named in refusal(capsys, "smoke", "--out", str(out), "--set", override)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "expected sections"),
        (b"data\n", "expected sections"),
        (b"data: 3\n", "expected sections"),
        (b"data: {source: demo}\n", "labels: Field required"),
        (b"a: [1\n", "not valid YAML"),
        (b"\xff\xfe\x00", "utf-8"),
        (b"data: !!python/object/apply:os.mkdir ['ran']\n", "not valid YAML"),
    ],
)
def test_a_wrong_profile(capsys, tmp_path, monkeypatch, content, named):
    (tmp_path / "mine.yaml").write_bytes(content)
    monkeypatch.setattr(params, "PROFILES", tmp_path)
    monkeypatch.chdir(tmp_path)
    message = refusal(capsys, "mine")
    assert named in message and "mine" in message and not Path("ran").exists()


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
        (HEADER + GOOD + b"b,Cardiomegaly,3,R1,1,2,30,40,50,60,70\n", "line 3"),
        (HEADER + b"a,Cardiomegaly,0,R1,\0\0\0\0b,No finding,14,R2,,,,\n", "row 2"),  # found by fuzzing
        (HEADER + b"x" * 100_000_000 + b"\n", "row 2"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "rubbish.csv"),
        (HEADER + b"../../etc/passwd,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
        (HEADER + b"/etc/passwd,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
        (HEADER + b"..,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
        (HEADER + b"a\\..\\b,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
        (HEADER + b"a\x00b,Cardiomegaly,3,R1,1,2,30,40\n", "row 2, field image_id"),
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


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda path: write_dicom(path, np.full((8, 8), 7, np.uint16)), 0),
        (lambda path: write_dicom(path, np.full((8, 8), 7, np.uint16), "MONOCHROME1"), 0),
        (lambda path: write_dicom(path, np.zeros((1, 1), np.uint8)), 0),
    ],
    ids=["constant", "constant, inverted", "1 x 1"],
)
def test_an_image_that_is_odd_but_whole_is_read(tmp_path, write, expected):
    write(tmp_path / "a.dicom")
    assert read_grey(str(tmp_path / "a.dicom")).max() == expected


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def about(**changes):
    fields = {"architecture": "resnet18", "classes": ["A", "B"], "input_size": 48, "output_stride": 32}
    return Checkpoint(**(fields | {"data": "d", "recipe": "r", "epoch": 1, "valid_loss": 0.5} | changes))


def cut(path):
    save_checkpoint(build_resnet("resnet18", 2), about(), path)
    path.write_bytes(path.read_bytes()[:-1000])


def described(text):
    return lambda path: save_file(
        {"fc.weight": torch.zeros(2, 2)}, path, text if text is None else {"checkpoint": text}
    )


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (lambda path: None, "run notebook 02_training first"),
        (lambda path: path.write_bytes(b""), "not a readable safetensors file"),
        (lambda path: path.write_bytes(b"\xff" * 1000), "not a readable safetensors file"),
        (lambda path: path.write_bytes(pickle.dumps(RunsCode())), "not a readable safetensors file"),
        (lambda path: torch.save({"state": RunsCode()}, path), "not a readable safetensors file"),
        (cut, "not a readable safetensors file"),
        (described(None), "no description"),
        (described("{"), "its description is damaged"),
        (described('{"architecture": "resnet18"}'), "its description is damaged"),
        (lambda path: save_checkpoint(build_resnet("resnet34", 2), about(), path), "do not fit a "),
        (lambda path: save_checkpoint(build_resnet("resnet18", 3), about(), path), "do not fit a "),
        (lambda path: save_checkpoint(build_resnet("resnet18", 2), about(architecture="vgg"), path), "do not fit a "),
    ],
    ids=[
        "absent",
        "empty",
        "noise",
        "pickle",
        "torch.save with code",
        "truncated",
        "bare weights",
        "broken description",
        "half a description",
        "other architecture",
        "other labels",
        "unknown architecture",
    ],
)
def test_a_checkpoint_that_cannot_be_used(tmp_path, monkeypatch, write, named):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    write(path)
    with pytest.raises(RuntimeError) as refused:
        load_checkpoint(path, CPU)
    message = str(refused.value)
    assert str(path) in message and named in message and "\n" not in message and len(message) < LONG_MESSAGE
    assert not Path("ran").exists()


NOTEBOOK = """\
from cxrlib.params import Compute
from cxrlib.device import use_device
use_device(Compute(**compute))
"""
COMPUTE = 'run_folder = "x"\ncompute = {}\n'


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_absent_is_one_line(capsys, tmp_path, write_notebook, monkeypatch):
    notebook = write_notebook("01_first", NOTEBOOK, parameters=COMPUTE)
    monkeypatch.setattr(run_all, "find_notebooks", lambda: [notebook])
    assert run_all.main(["smoke", "--out", str(tmp_path / "out"), "--set", "compute.device=cuda"]) == 2
    errors = capsys.readouterr().err
    assert errors == "run_all.py: 01_first: compute.device: cuda is not available here; choose auto or cpu\n"
    assert (tmp_path / "out" / "notebooks" / "failed" / "01_first.ipynb").exists()


def test_a_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(capsys, "smoke", "--out", str(tmp_path / "file"))
    assert "/proc/nowhere" in refusal(capsys, "smoke", "--out", "/proc/nowhere")


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, write_notebook, monkeypatch):
    """A limit on the size of files stands in for the disk: writing fails half way, with an error of the system."""
    saves = "import numpy as np\nfrom cxrlib.files import whole_file\nfrom pathlib import Path\n"
    saves += "with whole_file(Path(run_folder, 'a.npy')) as path:\n    np.save(path, np.zeros(size))"
    code = (
        "import resource, sys, pathlib, run_all\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        "run_all.find_notebooks = lambda: [pathlib.Path(sys.argv[1])]\n"
        "sys.exit(run_all.main(['smoke', '--out', sys.argv[2]]))"
    )
    for size, expected in ((10, 0), (100_000, 2)):
        notebook = write_notebook("01_first", f"size = {size}", saves, parameters='run_folder = "x"')
        arguments = [sys.executable, "-c", code, str(notebook), str(tmp_path / "out")]
        done = subprocess.run(arguments, cwd=PROJECT_ROOT, capture_output=True, text=True)
        assert done.returncode == expected, done.stderr
    assert done.stderr.startswith("run_all.py: 01_first: ") and done.stderr.count("\n") == 1, done.stderr
    assert len(np.load(tmp_path / "out" / "a.npy")) == 10
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".a")]


def test_a_study_whose_id_leaves_the_folder_is_never_opened(tmp_path):
    root = kaggle_folder(tmp_path / "root", annotation_rows(("good", "Cardiomegaly", "R1", 1, 2, 3, 4)))
    write_dicom(tmp_path / "outside.dicom", np.zeros((8, 8), np.uint16))
    rows = annotation_rows(("../../outside", "Cardiomegaly", "R1", 1, 2, 3, 4))
    rows.to_csv(root / "train.csv", index=False)
    with pytest.raises(AnnotationError, match="row 2, field image_id"):
        read_annotations(root / "train.csv")
