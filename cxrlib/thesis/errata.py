"""The points where the thesis is unclear or wrong, each with the evidence of a run and of the real annotations."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.annotations import (
    BOX_COLUMNS,
    NO_FINDING,
    box_centres,
    public_annotations_path,
    read_annotations,
    reader_counts,
    union_labels,
)
from cxrlib.data.split import split_sizes
from cxrlib.evaluate.perturbation import gaussian_sigma
from cxrlib.runtime.files import existing
from cxrlib.runtime.stored_tables import read_stored
from cxrlib.thesis.case_tables import read_table
from cxrlib.thesis.reported import thesis_iou, thesis_values
from cxrlib.thesis.unions import union_evidence


def thesis_errata() -> pd.DataFrame:
    """Where the thesis is unclear or wrong: key, point (its number), thesis, decision, parameter."""
    return pd.read_csv(Path(__file__).with_name("errata.csv"))


HEART = "Cardiomegaly"


@dataclass(frozen=True)
class Ground:
    """What the points are judged by.

    Args:
        folder: the run's folder.
        parameters: of the run, by section.
        labels: 0/1 of all real studies, image_id by class.
        readers: how many readers gave each label, the same shape.
    """

    folder: Path
    parameters: dict
    labels: pd.DataFrame
    readers: pd.DataFrame

    def table(self, name: str) -> pd.DataFrame:
        """One of the run's tables."""
        return read_table(self.folder, name)

    def file(self, *parts: str) -> Path:
        """One of the run's other files.

        Raises:
            Missing: the notebook that makes it has not run yet.
        """
        return existing(self.folder.joinpath(*parts), "a notebook has not run yet")


def errata(folder: Path, parameters: dict) -> pd.DataFrame:
    """All thirteen points: point, thesis, decision, parameter, evidence.

    Args:
        folder: of a finished run.
        parameters: its parameters by section.

    Raises:
        Missing: a notebook has not run yet.
    """
    annotations, _ = read_annotations(public_annotations_path())
    labels = union_labels(annotations, sorted(annotations["class_name"].unique()))
    ground = Ground(folder, parameters, labels, reader_counts(annotations))
    points = thesis_errata()
    return points.assign(evidence=[EVIDENCE[key](ground) for key in points["key"]]).drop(columns="key")


def union(ground: Ground) -> str:
    """Point 1: what the two unions allow."""
    return union_evidence(ground.table("reader_agreement_cases"), ground.table("iou_cases"))


def fifth_label(ground: Ground) -> str:
    """Point 2: the most frequent labels that its five lack."""
    listed = thesis_values("table_03").query("group == '5 classes' and row != 'micro avg'")["row"].tolist()
    left = ground.labels.drop(columns=listed).sum().sort_values(ascending=False)
    return f"Listed: {', '.join(listed)}. Most frequent of the others: {_counts(left.head(3))}."


def missing_images(ground: Ground) -> str:
    """Point 3: every simple rule that would take labels of Cardiomegaly away, with what it takes."""
    seven = [name for name in thesis_values("table_02")["row"] if name in ground.labels]
    kept = ground.labels.loc[ground.labels[seven].any(axis=1), seven]
    reported = thesis_values("table_02").set_index("row")["value"]
    images, hearts = (
        len(kept) - int(reported[["Train", "Valid", "Test"]].sum()),
        int(kept[HEART].sum() - reported[HEART]),
    )
    others = sum(kept[name].sum() == reported[name] for name in seven if name != HEART)
    alone = (kept[HEART] == 1) & (kept.sum(axis=1) == 1)
    given = ground.readers[HEART].reindex(kept.index)
    rules = {
        "Cardiomegaly is the only one of the seven labels": alone,
        "Cardiomegaly is the only one of all labels": alone & (ground.labels.loc[kept.index].sum(axis=1) == 1),
        "one reader alone gave it": given == 1,
        "it is the only one of the seven, and not all three readers gave it": alone & (given < 3),
        "it is the only one of the seven, and all three readers gave it": alone & (given == 3),
    }
    lost = {rule: (int((mask & alone).sum()), int(mask.sum())) for rule, mask in rules.items()}
    tried = "; ".join(f"{rule}: {alone_lost} and {all_lost}" for rule, (alone_lost, all_lost) in lost.items())
    fitting = [rule for rule, found in lost.items() if found == (images, hearts)]
    return (
        f"{len(kept):,} images against {len(kept) - images:,}, Cardiomegaly {kept[HEART].sum():,} against "
        f"{reported[HEART]:,.0f}; {others} of the other six counts are equal. A rule must take {hearts} labels of "
        f"Cardiomegaly away, {images} of them on images with no other of the seven labels. "
        f"Of {len(rules)} simple rules {len(fitting)} do. Images and labels lost where {tried}."
    )


def split_rule(ground: Ground) -> str:
    """Point 4: what the rule gives for the thesis's own count."""
    reported = thesis_values("table_02").set_index("row")["value"][["Train", "Valid", "Test"]].astype(int)
    sizes = split_sizes(int(reported.sum()), 0.1, 0.1)
    return f"For {reported.sum():,} images the rule gives {_sizes(sizes.values())}; the thesis has {_sizes(reported)}."


def threshold(ground: Ground) -> str:
    """Point 6: true findings that reach each threshold."""
    used, cases = ground.parameters["iou"]["threshold"], ground.table("predictions")
    experiment = ground.parameters["labels"]["explained"]
    true = cases[(cases["experiment"] == experiment) & (cases["truth"] == 1) & (cases["label"] != NO_FINDING)]
    counts = {p: int((true["probability"] >= p).sum()) for p in sorted({0.5, 0.7, used})}
    return (
        f"Of {len(true)} true findings of the test split "
        + ", ".join(f"{count} reach p = {p:g}" for p, count in counts.items())
        + f"; this run asks for {used:g}."
    )


def protocols(ground: Ground) -> str:
    """Point 7: how often there are several boxes, and what each protocol makes of them."""
    cases = ground.table("iou_cases")
    cases = cases[cases["share"] == 0.05]
    if cases.empty:
        return "No finding is predicted correctly at 5 % of the pixels in this run (n = 0)."
    means = cases[["all_pairs", "best_match", "mask_iou"]].mean()
    several = ((cases["predicted_boxes"] > 1) | (cases["true_boxes"] > 1)).mean()
    return (
        f"At 5 % of the pixels {several:.0%} of {len(cases)} findings have several boxes on a side; mean IoU over all "
        f"pairs {means['all_pairs']:.3f}, best match {means['best_match']:.3f}, masks {means['mask_iou']:.3f}."
    )


def zeros(ground: Ground) -> str:
    """Point 8: stored maps that are mostly or wholly zero."""
    with np.load(ground.file("maps", "test.npz")) as store:
        lit = (store["maps"] > 0).mean(axis=(2, 3)).ravel()
    few = int((lit < 0.2).sum())
    none = int((lit == 0).sum())
    return f"{few:,} of {len(lit):,} stored maps are above zero in fewer than 20 % of their cells, {none:,} in none."


def own_mean(ground: Ground) -> str:
    """Point 10: the range of the images' own means."""
    pixels = np.load(ground.file("data", "pixels.npy"), mmap_mode="r")
    means = [float(image.mean()) for image in pixels[:200]]
    return f"The means of the first {len(means)} images range from {min(means):.0f} to {max(means):.0f} grey levels."


def printed_row(ground: Ground) -> str:
    """Point 12: the shares of its other tables."""
    shares = ", ".join(f"{share:g}" for share in thesis_iou("table_06").index)
    return f"Table 6 and Figure 30 have the shares {shares}; the row printed as 0.8 stands between 0.05 and 0.1."


def sides(ground: Ground) -> str:
    """Point 13: on which side heart and aorta lie."""
    boxes = read_stored(ground.file("data", "annotations.csv")).dropna(subset=["x_min"])
    size = np.load(ground.file("data", "pixels.npy"), mmap_mode="r").shape[1]
    parts = []
    for name in ("Aortic enlargement", HEART):
        x, _ = box_centres(boxes.loc[boxes["class_name"] == name, BOX_COLUMNS].to_numpy()).T
        if len(x):
            parts.append(f"{(x > size / 2).mean():.0%} of {len(x):,} {name} boxes")
    used = ground.parameters["training"]["flip_probability"]
    found = " and ".join(parts) or "No such boxes here; none"
    return f"{found} have their centre in the right half of the image. This run flips with probability {used:g}."


def _used(section: str, name: str) -> Callable[[Ground], str]:
    return lambda ground: f"Nothing in the data decides it; this run uses {ground.parameters[section][name]}."


def blur(ground: Ground) -> str:
    """Point 9: the standard deviation of every kernel."""
    kernels = ground.parameters["perturbation"]["kernels"]
    return "; ".join(f"kernel {side}: {gaussian_sigma(side):.1f} pixels" for side in kernels) + "."


def _counts(counts: pd.Series) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _sizes(sizes: Iterable[int]) -> str:
    return " / ".join(f"{size:,}" for size in sizes)


EVIDENCE: dict[str, Callable[[Ground], str]] = {
    "union": union,
    "fifth_label": fifth_label,
    "missing_images": missing_images,
    "split_rule": split_rule,
    "momentum": _used("training", "momentum"),
    "threshold": threshold,
    "protocols": protocols,
    "zeros": zeros,
    "blur": blur,
    "own_mean": own_mean,
    "smoothgrad_average": _used("smoothgrad", "average"),
    "printed_row": printed_row,
    "sides": sides,
}
"""What the data say about each point, by its key in errata.csv."""
