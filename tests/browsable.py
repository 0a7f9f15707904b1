"""A run's folder as the notebooks leave it, small enough to browse in tests."""

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from fixtures import annotation_rows

from cxrlib.data.cohort import load_cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.model.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from cxrlib.model.networks import build_network
from cxrlib.params import load_params
from cxrlib.runtime.files import write_json
from cxrlib.show.browse.browsed import BrowsedRun
from cxrlib.stages.explain import explain_split

CLASSES = ["Aortic enlargement", "Cardiomegaly", "No finding"]
SIZE, INPUT_SIZE, STUDIES = 96, 64, 12


def browsable_run(folder: Path, seed: int = 0) -> Path:
    """Twelve test studies: every third has two findings boxed by two and three readers, the others have none."""
    random = np.random.default_rng(seed)
    image_ids = [f"study{number:02}" for number in range(STUDIES)]
    labels = pd.DataFrame(0, pd.Index(image_ids, name="image_id"), CLASSES)
    rows = []
    for number, image_id in enumerate(image_ids):
        labels.loc[image_id, CLASSES[:2] if number % 3 == 0 else CLASSES[2:]] = 1
        for reader in ("R1", "R2", "R3"):
            if number % 3:
                rows.append((image_id, "No finding", reader))
                continue
            x, y = random.integers(5, 40, 2)
            rows.append((image_id, "Cardiomegaly", reader, x, y, x + 40, y + 30))
            if reader != "R3":
                rows.append((image_id, "Aortic enlargement", reader, y, x, y + 12, x + 15))
    data = folder / "data"
    data.mkdir(parents=True)
    labels.to_csv(data / "labels.csv")
    annotation_rows(*rows).to_csv(data / "annotations.csv", index=False)
    studies = pd.DataFrame({"patient_id": image_ids, "split": "test", "width": SIZE, "height": SIZE}, labels.index)
    studies.to_csv(data / "studies.csv")
    pixels = random.integers(0, 256, (STUDIES, SIZE // 8, SIZE // 8)).repeat(8, 1).repeat(8, 2)
    np.save(data / "pixels.npy", pixels.astype(np.uint8))
    about = {"source": "drawn", "description": "noise", "rendered": True, "classes": CLASSES, "size": SIZE}
    about |= {"experiments": {"3 labels": CLASSES}, "explained": "3 labels", "data": f"seed {seed}", "split": "all"}
    write_json(data / "cohort.json", about)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build_network("resnet18", len(CLASSES), 16)
    torch.nn.init.normal_(network.fc.weight, std=0.05, generator=torch.Generator().manual_seed(seed))
    checkpoint = Checkpoint("resnet18", CLASSES, INPUT_SIZE, 16, epoch=0, valid_loss=1.0)
    save_checkpoint(network, checkpoint, checkpoint_path(folder / "models", "3 labels"))
    smoke = load_params("smoke")
    write_json(folder / "params.json", {"parameters": smoke.model_dump()})
    explain_split(
        load_cohort(data), "test", folder / "models", smoke.gradcam, smoke.compute, folder / "maps" / "test.npz"
    )
    return folder


def smooth(results: BrowsedRun, image_ids: list[str]) -> Explanations:
    """Made-up maps of some studies."""
    return results.explanations.with_maps(torch.rand(len(image_ids), 3, 4, 4), image_ids)


def decoded(png: bytes) -> np.ndarray:
    """Red, green and blue of an encoded picture."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def uploaded(name: str, content: bytes) -> tuple:
    """What an upload button holds after a file was chosen."""
    about = {"name": name, "size": len(content), "type": "", "last_modified": datetime(2020, 1, 1, tzinfo=UTC)}
    return (about | {"content": memoryview(content)},)
