"""`python -m benchmarks.twins [FIGURE]`: what a rendered study costs, and the twins of the demo's test split.

Times are given by the clock, which other work on the machine slows, and as processor time, which it hardly does.
Figure: one study of each finding, the same without it, and the cause.
"""

import argparse
import tempfile
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from benchmarks.conversion import processor_seconds
from benchmarks.timing import seconds
from cxrlib.data.annotations import public_annotations_path, read_annotations, union_labels
from cxrlib.data.render.anchors import Anchors, find_donors
from cxrlib.data.render.frame import boxes_as_fractions
from cxrlib.data.render.parallel import Task
from cxrlib.data.render.studies import render_study, seeds_of
from cxrlib.data.render.twin_files import write_twins
from cxrlib.data.render.twins import cause_of, render_twins
from cxrlib.data.sources.demo import drawn_demo
from cxrlib.data.split import split_studies
from cxrlib.params import Labels

STUDIES, NO_FINDING_SHARE, SEED, SIZE, WORKERS = 1000, 0.4, 2023, 512, 2
MEASURED = 40
"""Studies of which the time of one is the mean."""
SHOWN = ["Aortic enlargement", "Cardiomegaly", "Pleural effusion", "Lung Opacity", "Pulmonary fibrosis", "Nodule/Mass"]


def test_studies() -> list[str]:
    """The studies of the demo's test split."""
    source, labels = drawn_demo(STUDIES, NO_FINDING_SHARE, SEED), Labels()
    patients = source.images.set_index("image_id")["patient_id"]
    table = union_labels(source.annotations, source.classes).reindex(patients.index, fill_value=0)
    split = split_studies(table, patients, labels.experiments[labels.explained], 0.1, 0.1, SEED)
    return split.index[split == "test"].tolist()


def draw_figure(path: Path, boxes: pd.DataFrame, donors: list[Anchors], image_ids: list[str]) -> None:
    """For each finding of SHOWN a radiograph, its twin and the cause in colours; readers' boxes are not drawn."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(3, len(SHOWN), figsize=(1.75 * len(SHOWN), 6), layout="constrained")
    used = set()
    for column, finding in zip(axes.T, SHOWN, strict=True):
        having = boxes.loc[boxes["class_name"] == finding, "image_id"].unique()
        candidates = [image_id for image_id in image_ids if image_id in having and image_id not in used]
        found = {i: render_twins(boxes[boxes["image_id"] == i], seeds_of(SEED, i)[0], donors) for i in candidates[:6]}
        plainest = max(found, key=lambda i: cause_of(found[i].pixels, found[i].without[finding])[0].sum())
        used.add(plainest)
        twins = found[plainest]
        strength, _ = cause_of(twins.pixels, twins.without[finding])
        column[0].set_title(finding, fontsize=9)
        column[0].imshow(twins.pixels, cmap="gray", vmin=0, vmax=65535)
        column[1].imshow(twins.without[finding], cmap="gray", vmin=0, vmax=65535)
        column[2].imshow(twins.pixels, cmap="gray", vmin=0, vmax=65535)
        column[2].imshow(np.ma.masked_less(strength, 1.5 / 255), cmap="inferno", vmin=0, vmax=0.4)
    for row, name in zip(axes, ("radiograph", "twin", "cause"), strict=True):
        row[0].set_ylabel(name, fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=90)


def main(figure: Path | None) -> None:
    """Measure, print and draw."""
    annotations, _ = read_annotations(public_annotations_path())
    boxes, image_ids = boxes_as_fractions(annotations), test_studies()
    donors = find_donors(boxes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tasks = [Task(i, boxes[boxes["image_id"] == i], folder / f"{i}.dicom", SEED) for i in image_ids[:MEASURED]]
        render_study(tasks[0], donors)
        before = time.process_time()
        clock = seconds(lambda: [render_study(task, donors) for task in tasks])
        used = time.process_time() - before
        print(f"a study: {clock / MEASURED * 1e3:.0f} ms by the clock, {used / MEASURED * 1e3:.0f} ms processor time")
        before = processor_seconds()
        clock = seconds(lambda: write_twins(annotations, folder / "twins", image_ids, SEED, SIZE, WORKERS))
        used = processor_seconds() - before
        count = len(pd.read_csv(folder / "twins" / "twins.csv"))
        print(f"{count} twins of {len(image_ids)} studies: {clock:.1f} s by the clock, {used:.1f} s processor time")
    if figure:
        draw_figure(figure, boxes, donors, image_ids)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.twins",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("figure", nargs="?", type=Path)
    main(parser.parse_args().figure)
