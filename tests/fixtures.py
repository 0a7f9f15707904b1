"""Small things that several test modules build: annotation rows, radiograph files, networks."""

import contextlib
import os
import resource
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import torch
from torch import nn
from torchvision import models

from cxrlib.data.annotations import COLUMNS
from cxrlib.data.cohort import Cohort
from cxrlib.data.provenance import Provenance
from cxrlib.model.published import CHEST_URL
from cxrlib.runtime.files import PROJECT_ROOT

# networks and images are tiny here: threads would only wait for each other
torch.set_num_threads(1)

SLOW_FIXTURES = {"smoke", "write_notebook"}
"""A test that takes one of these is slow (`tests/conftest.py`)."""
SMALL_RESNET = "timm/test_resnet"
"""A ResNet of 0.4 million weights, where ResNet18 has 11 million: for tests of what is done with networks."""
SEVEN = [
    "Aortic enlargement",
    "Cardiomegaly",
    "Lung Opacity",
    "Pleural effusion",
    "Pleural thickening",
    "Pulmonary fibrosis",
    "No finding",
]
FINDINGS = SEVEN[:-1]


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit in bytes on the files that this process writes: it stands in for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def annotation_rows(*rows: tuple) -> pd.DataFrame:
    """Rows of COLUMNS from tuples (image_id, class_name, rad_id[, x_min, y_min, x_max, y_max])."""
    filled = [(*row, *[np.nan] * (len(COLUMNS) - len(row))) for row in rows]
    return pd.DataFrame(filled, columns=COLUMNS)


def small_cohort(
    classes: list[str],
    annotations: pd.DataFrame | None = None,
    labels: pd.DataFrame | None = None,
    studies: pd.DataFrame | None = None,
    pixels: np.ndarray | None = None,
    size: int = 64,
    **provenance: object,
) -> Cohort:
    """A cohort in memory whose one experiment learns `classes`; what is not given is empty, of `size` pixels."""
    return Cohort(
        studies=pd.DataFrame() if studies is None else studies,
        annotations=annotation_rows() if annotations is None else annotations,
        labels=pd.DataFrame() if labels is None else labels,
        pixels=np.empty((0, size, size), np.uint8) if pixels is None else pixels,
        folder=Path("in memory"),
        provenance=Provenance(**provenance),
        experiments={"all": classes},
        experiment="all",
    )


def noisy_cohort(
    folder: Path, sizes: tuple[int, int, int], classes: list[str], annotations: pd.DataFrame | None = None
) -> Cohort:
    """A stored cohort of noise with as many training, validation and test studies; every second has the first class.

    Args:
        folder: of the run; it receives data/pixels.npy.
        sizes: studies of each split.
        classes: a finding and its absence.
        annotations: None gives each finding a reader's box.
    """
    image_ids = [f"image{number:02}" for number in range(sum(sizes))]
    labels = pd.DataFrame(0, pd.Index(image_ids, name="image_id"), classes, dtype="uint8")
    labels.iloc[::2, 0] = labels.iloc[1::2, 1] = 1
    pixels = np.random.default_rng(0).integers(0, 200, (len(image_ids), 64, 64), np.uint8)
    (folder / "data").mkdir()
    np.save(folder / "data" / "pixels.npy", pixels)
    splits = np.repeat(["train", "valid", "test"], sizes)
    boxed = annotation_rows(*[(image_id, classes[0], "R1", 10, 20, 30, 40) for image_id in image_ids[::2]])
    studies = pd.DataFrame({"patient_id": image_ids, "split": splits}, image_ids)
    drawn = {"source": "drawn", "rendered": True, "data": "first"}
    cohort = small_cohort(classes, boxed if annotations is None else annotations, labels, studies, pixels, **drawn)
    return replace(cohort, folder=folder / "data", experiments={"main": classes}, experiment="main")


def write_dicom(path: Path, stored: np.ndarray, photometric: str = "MONOCHROME2", **tags: object) -> Path:
    """A DICOM file with the given stored values (8 or 16 bit, signed or not) and further tags by keyword."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["x"])
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = dataset.BitsStored = stored.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def kaggle_folder(root: Path, annotations: pd.DataFrame, side: int = 40) -> Path:
    """A folder in Kaggle's layout: train.csv, and one random 12-bit radiograph of side x 2 side pixels per study."""
    random = np.random.default_rng(0)
    for image_id in annotations["image_id"].unique():
        stored = random.integers(0, 4096, (side, 2 * side)).astype(np.uint16)
        write_dicom(root / "train" / f"{image_id}.dicom", stored, BitsStored=12, HighBit=11)
    annotations.to_csv(root / "train.csv", index=False)
    return root


def pictures(folder: Path, names: Iterable[str], side: int = 20, suffix: str = ".png") -> Path:
    """Grey pictures of `side` x `side` pixels, called by `names`."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (side, side)).astype(np.uint8)
    for name in names:
        cv2.imwrite(str(folder / f"{name}{suffix}"), noise)
    return folder


def zipped(folder: Path, path: Path, top: str = "") -> Path:
    """A zip of all files below a folder, with `top` before their names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, top + file.relative_to(folder).as_posix())
    return path


def chest_weights(folder: Path) -> Path:
    """A file in the format of torchxrayvision's resnet50-res512-all: random weights, one input channel, 18 outputs."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = models.resnet50(weights=None, num_classes=18)
        network.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    # activations of the size that a trained network has, from inputs in -1024..1024
    network.conv1.weight.data /= 1024
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CHEST_URL.rpartition("/")[2]
    torch.save(network.state_dict(), path)
    return path


def without_counters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights that torchvision publishes of a state: from before batch norm counted its batches."""
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


class SmallNet(nn.Module):
    """Two convolutions, in-place ReLUs, batch norm, global average pooling and a linear head: ResNet in miniature."""

    def __init__(self, n_classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.relu = nn.ReLU(inplace=True)
            self.second = nn.Conv2d(6, 8, 3, padding=1)
            self.fc = nn.Linear(8, n_classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = self.relu(self.second(self.relu(self.norm(self.first(inputs)))))
        return self.fc(features.mean(dim=(2, 3)))


def assert_same_maps(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Maps differ by no more than 1e-5 of the largest value: gradients are small numbers, and zero is no match."""
    scale = float(expected.abs().max())
    assert scale > 0, "empty maps show nothing"
    torch.testing.assert_close(found, expected, atol=1e-5 * scale, rtol=1e-4)


class CountedForwards:
    """Counts the forward passes of a network and the images in them, while used as a context manager."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.batches: list[torch.Tensor] = []

    def __enter__(self) -> "CountedForwards":
        self.handle = self.network.register_forward_pre_hook(lambda _, inputs: self.batches.append(inputs[0].detach()))
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.remove()

    @property
    def images(self) -> torch.Tensor:
        """All inputs that passed, in order."""
        return torch.cat(self.batches)


def run_all(*arguments: str) -> subprocess.CompletedProcess:
    """`python run_all.py` with arguments, as a user starts it."""
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    command = [sys.executable, "run_all.py", *arguments]
    return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=900)
