"""`python -m benchmarks.browser` measures the heatmap browser in the kernel: its opening, its answer to each control.

A run of the thesis's size is made for it: 1,480 test studies of 512 px, seven classes, maps of 7x7 cells, masks in a
frame of 224 px. Its pixels and maps are made up; the time does not depend on what they show.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.data import pictures
from cxrlib.data.annotations import VINBIGDATA_CLASSES
from cxrlib.data.provenance import Provenance
from cxrlib.explain.explanations import Explanations, save_explanations
from cxrlib.params import load_params
from cxrlib.runtime.files import write_json
from cxrlib.show.browse import HeatmapBrowser
from cxrlib.show.browse.browsed import load_results

STUDIES, SIZE, INPUT_SIZE, CELLS = 1480, 512, 224, 7
CLASSES = load_params("thesis").labels.experiments["7 labels"]
STEPS = 40


def main() -> None:
    """Print seconds to open and milliseconds per answer."""
    with tempfile.TemporaryDirectory() as name:
        folder = large_run(Path(name))
        begun = time.perf_counter()
        results = load_results(folder)
        browser = HeatmapBrowser(results.cohort, results.methods)
        print(f"opens with {STUDIES} studies in {time.perf_counter() - begun:.2f} s")
        for control, values in controls(browser).items():
            cpu = time.process_time()
            times = [1000 * answer(browser, control, value) for value in values]
            cpu = 1000 * (time.process_time() - cpu) / len(times)
            print(
                f"{control:12} median {statistics.median(times):5.1f} ms, slowest {max(times):5.1f} ms, "
                f"mean processor time {cpu:5.1f} ms"
            )


def controls(browser: HeatmapBrowser) -> dict[str, list]:
    """Values to give to each control in turn."""
    return {
        "top pixels": np.linspace(0.02, 0.5, STEPS).tolist(),
        "opacity": np.linspace(0.05, 1, STEPS).tolist(),
        "window": np.linspace(20, 254, STEPS).astype(int).tolist(),
        "level": np.linspace(20, 235, STEPS).astype(int).tolist(),
        "study": browser.chooser.chosen[1 : STEPS + 1],
        "class": [*CLASSES[1:], *CLASSES],
    }


def answer(browser: HeatmapBrowser, control: str, value: object) -> float:
    """Seconds from the new value to the new picture and numbers."""
    look = browser.heatmap
    widget = {
        "top pixels": browser.share,
        "opacity": look.opacity,
        "window": look.window,
        "level": look.level,
        "study": browser.chooser.study,
        "class": browser.class_name,
    }[control]
    before, begun = look.picture.image, time.perf_counter()
    widget.value = value
    elapsed = time.perf_counter() - begun
    assert look.picture.image != before
    return elapsed


def large_run(folder: Path) -> Path:
    """Store a run of the thesis's size."""
    random = np.random.default_rng(0)
    data = folder / "data"
    data.mkdir()
    image_ids = pd.Index([f"{random.bytes(16).hex()}" for _ in range(STUDIES)], name="image_id")
    few = pictures(32, SIZE)
    stored = np.lib.format.open_memmap(data / "pixels.npy", "w+", np.uint8, (STUDIES, SIZE, SIZE))
    for start in range(0, STUDIES, len(few)):
        stored[start : start + len(few)] = few[: STUDIES - start]
    stored.flush()
    labels = pd.DataFrame(random.random((STUDIES, len(CLASSES))) < 0.3, image_ids, CLASSES).astype(int)
    labels.to_csv(data / "labels.csv")
    studies = pd.DataFrame({"patient_id": image_ids, "split": "test", "width": SIZE, "height": SIZE}, image_ids)
    studies.to_csv(data / "studies.csv")
    corners = random.integers(0, SIZE // 2, (STUDIES, len(CLASSES), 3, 2))
    rows = [
        (image_ids[i], name, f"R{reader}", *corners[i, j, reader], *(corners[i, j, reader] + SIZE // 4))
        for i in range(STUDIES)
        for j, name in enumerate(CLASSES[:-1])
        if labels.iat[i, j]
        for reader in range(3)
    ]
    columns = ["image_id", "class_name", "rad_id", "x_min", "y_min", "x_max", "y_max"]
    pd.DataFrame(rows, columns=columns).to_csv(data / "annotations.csv", index=False)
    about = {"classes": VINBIGDATA_CLASSES, "experiments": {"7 labels": CLASSES}, "explained": "7 labels"}
    write_json(data / "cohort.json", about | vars(Provenance("demo", "made up", rendered=True)))
    probabilities = pd.DataFrame(random.random(labels.shape, np.float32), image_ids, CLASSES)
    maps = torch.from_numpy(random.random((*labels.shape, CELLS, CELLS), np.float32))
    save_explanations(Explanations(probabilities, maps, INPUT_SIZE, "made up"), folder / "maps" / "test.npz")
    return folder


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m benchmarks.browser", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    main()
