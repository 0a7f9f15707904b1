"""Reading: training batches beside torchvision's usual pipeline, DICOM files beside a plain loop."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import torch
from PIL import Image
from pydicom.pixels import apply_voi_lut
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.timing import by_turns, entry, seconds
from cxrlib.data.convert import convert_images
from cxrlib.model.architectures import IMAGENET
from cxrlib.model.augmentation import draw_transforms, transform
from cxrlib.model.batches import StoredInputs, load_batches
from cxrlib.model.networks import normalise, to_input

IMAGES, BATCH, SIZE, FILES = 256, 32, 224, 64
EPOCHS = 5  # of ours for one of the peer: less than a tenth of a second would be measured
CPU = torch.device("cpu")


class JpegFolder(Dataset):
    """Dataset + PIL + the thesis's transforms, one 512 px JPEG at a time."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.transform = transforms.Compose(
            [
                transforms.Resize((SIZE, SIZE)),
                transforms.RandomHorizontalFlip(0.5),
                transforms.RandomRotation(45),
                transforms.ToTensor(),
                transforms.Normalize(*IMAGENET),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def pictures(count: int, side: int) -> np.ndarray:
    """Smooth 8-bit pictures with some grain (n, side, side)."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 230, (count, 16, 16)).astype(np.uint8)
    grain = random.integers(0, 25, (side, side), np.uint8)
    return np.stack([cv2.resize(one, (side, side)) + grain for one in coarse])


def loader(folder: Path) -> dict:
    """Augmented, normalised training batches per second; two worker processes for the peer.

    Ours reads the cache of decoded, resized images that a run makes once; the peer decodes and resizes in every epoch.
    """
    images = pictures(IMAGES, 512)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.jpg", quality=95)
    np.save(folder / "inputs.npy", to_input(images, SIZE)[:, 0].numpy())
    stored = StoredInputs(folder / "inputs.npy", np.arange(IMAGES))
    paths = [folder / f"{number}.jpg" for number in range(IMAGES)]
    workers = DataLoader(JpegFolder(paths), BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    random = torch.Generator().manual_seed(0)

    def ours() -> None:
        batches = torch.cat([torch.randperm(IMAGES, generator=random) for _ in range(EPOCHS)]).split(BATCH)
        for batch in load_batches(stored, batches, CPU):
            normalise(transform(batch, *draw_transforms(len(batch), 0.5, 45.0, random)))

    def theirs() -> None:
        for _ in workers:
            pass

    own, peer = by_turns(ours, theirs)
    rates = [EPOCHS * IMAGES / value for value in own], [IMAGES / value for value in peer]
    ratios = [mine / other for mine, other in zip(*rates, strict=True)]
    return entry(ratios, *rates, "images/s", "Dataset + PIL + torchvision transforms, DataLoader with 2 workers")


def dicom(folder: Path) -> dict:
    """JPEG 2000 files of 2,000 x 2,000 12-bit pixels to 512 px, two worker processes.

    The peer's decoder is the one that pydicom chooses, GDCM, which decodes each file in two threads here. The same loop
    with a decoder of one thread is measured as well.
    """
    random = np.random.default_rng(0)
    paths = []
    for number, picture in enumerate(pictures(FILES, 2000)):
        stored = picture.astype(np.uint16) * 16 + random.integers(0, 16, picture.shape, np.uint16)
        paths.append(_write_dicom(folder / f"{number}.dicom", stored))
    rounds = iter(range(100))
    images = pd.DataFrame({"image_id": [path.stem for path in paths], "path": [str(path) for path in paths]})

    def ours() -> None:
        convert_images(images, folder / f"round {next(rounds)}", 512, workers=2)

    def theirs() -> list:
        return [_read_plainly(path) for path in paths]

    ours()
    converted = np.load(folder / "round 0" / "pixels.npy").astype(int)
    assert np.abs(converted - np.stack(theirs())).mean() < 1, "the loop reads something else"
    times = by_turns(ours, theirs)
    rates = [[FILES / value for value in values] for values in times]
    ratios = [mine / other for mine, other in zip(*rates, strict=True)]
    one_thread = seconds(lambda: [_read_plainly(path, "pylibjpeg") for path in paths]) / statistics.median(times[0])
    return entry(ratios, *rates, "files/s", "pydicom + OpenCV in a plain loop, decoding in two threads") | {
        "loop_decoding_in_one_thread": one_thread
    }


def _write_dicom(path: Path, stored: np.ndarray) -> Path:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = stored.tobytes()
    dataset.compress(pydicom.uid.JPEG2000Lossless)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _read_plainly(path: Path, decoder: str = "") -> np.ndarray:
    dataset = pydicom.dcmread(path)
    dataset.pixel_array_options(decoding_plugin=decoder)
    pixels = apply_voi_lut(dataset.pixel_array, dataset).astype(np.float32)
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min()) * 255
    return cv2.resize(pixels.astype(np.uint8), (512, 512), interpolation=cv2.INTER_AREA)


def measure() -> Iterator[tuple[str, dict]]:
    """All entries of this module, as they are measured."""
    with tempfile.TemporaryDirectory() as folder:
        yield "loader_vs_torchvision", loader(Path(folder))
        yield "dicom_vs_loop", dicom(Path(folder))
