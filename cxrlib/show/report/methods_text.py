"""A methods section to copy, its references as BibTeX, and what limits the results."""

import re
from pathlib import Path

import cxrlib
from cxrlib.data.cohort import load_cohort
from cxrlib.data.provenance import Provenance
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.thesis.case_tables import read_table

SOURCES = {"nih": "wang2017chestxray8"}
"""Reference of a data set; every other source has VinDr-CXR's annotations or is the user's own."""


VINDR = ("vinbigdata", "vinbigdata-resized", "vindr-cxr", "demo")


def methods_text(folder: Path, parameters: dict, provenance: Provenance) -> str:
    """Sentences about data, network, explanations and statistics, with the keys of `bibtex` in brackets.

    Args:
        folder: the run's folder.
        parameters: by section.
        provenance: of the run's cohort.
    """
    model, training, bootstrap = (parameters[name] for name in ("model", "training", "bootstrap"))
    epochs, smooth = training["epochs"], parameters["smoothgrad"]
    reference = SOURCES.get(provenance.source, "nguyen2022vindr" if provenance.source in VINDR else "")
    weights = f"weights from {model['weights']}" if model["weights"] else "random weights at the start"
    architecture = f"{model['architecture']}{_cited('he2016deep', 'resnet' in model['architecture'])}"
    texts = [
        f"Data: {provenance.description or 'not described'}{_cited(reference)}{_split(folder)}.",
        f"Network: {architecture}, input {model['input_size']} x {model['input_size']} pixels, {weights}, trained for "
        f"{epochs} {'epoch' if epochs == 1 else 'epochs'} with stochastic gradient descent (learning rate "
        f"{training['learning_rate']:g}, momentum {training['momentum']:g}, batch size {training['batch_size']}); the "
        "epoch with the lowest validation loss was kept.",
        "Explanations: Grad-CAM [selvaraju2017gradcam] of the last convolutional features; SmoothGrad "
        f"[smilkov2017smoothgrad] with {smooth['samples']} samples.",
        "Localisation: boxes around the pixels with the highest values, compared with every reader's boxes by "
        f"intersection over union (union: {parameters['iou']['union']}), over findings predicted with a probability of "
        f"at least {parameters['iou']['threshold']:g}.",
        f"Intervals: 95 %, percentile bootstrap over patients [efron1993bootstrap], {bootstrap['resamples']:,} "
        f"resamples. Design: [chrysoula2023explainable]. Software: [cxrexplained] {cxrlib.__version__}.",
    ]
    return "\n".join(texts)


def bibtex(text: str) -> str:
    """The entries of references.bib that a text cites."""
    stored = Path(__file__).with_name("references.bib").read_text(encoding="utf-8")
    entries = re.split(r"\n\n(?=@)", stored.strip().replace("VERSION", cxrlib.__version__))
    cited = set(re.findall(r"\[(\w+)\]", text))
    return "\n\n".join(entry for entry in entries if entry.partition("{")[2].partition(",")[0] in cited)


def limitations(folder: Path, provenance: Provenance) -> list[str]:
    """What limits a run's results, one sentence each."""
    found = []
    if provenance.rendered:
        found.append("The radiographs are rendered. No number here says anything about patients.")
    try:
        counts = read_table(folder, "auroc").set_index("label")["n"].drop("macro avg", errors="ignore")
        least = counts.idxmin()
        found.append(
            f"Test studies with a label: from {counts[least]:.0f} ({least}) to {counts.max():.0f} ({counts.idxmax()}). "
            "Where an interval is wide, more cases are needed, not another method."
        )
    except Missing:
        pass
    return [
        *found,
        "The explained network was trained with one seed. Another seed gives other maps; the intervals do not hold for "
        "that.",
        "Readers draw boxes, not outlines. A map that follows a finding exactly does not reach an IoU of 1.",
        "A box says where a finding is seen, not what the network needs. A network can be right by another part of the "
        "picture.",
        "A replaced pixel makes a picture that the network has never seen. A fall of the probability can come from it.",
        "Findings of fewer than five cases have no interval and decide nothing.",
    ]


def _cited(key: str, wanted: bool = True) -> str:
    return f" [{key}]" if key and wanted else ""


def _split(folder: Path) -> str:
    try:
        cohort = load_cohort(folder / "data")
    except (Missing, Refusal):
        return ""
    train, valid, test = (f"{len(cohort.of(split)):,}" for split in ("train", "valid", "test"))
    return f"; {train} training, {valid} validation and {test} test studies with one of the labels, split by patient"
