"""Controls of localisation: maps that know less than the heatmap of this class on this image."""

import pandas as pd
import torch

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.method_scores import BySplit
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import normalise_maps

RANDOM_MAP, CENTRE, USUAL_MAP, USUAL_PLACE, SWAPPED = (
    "random map",
    "centre prior",
    "usual heatmap",
    "usual place",
    "class swap",
)
"""Names of the controls: what each knows is the form of the maps; that findings lie in the image; where this class's
heatmaps usually lie; where readers' boxes usually lie; the image, but not the class."""


FORM_ONLY = (RANDOM_MAP, CENTRE, USUAL_PLACE)
"""Controls that depend on the form of the maps alone, so that methods of one form share them."""


SPREAD = 0.25
"""Standard deviation of the centre prior as a fraction of the side of the image."""


def centre_prior(rows: int, columns: int) -> torch.Tensor:
    """A Gaussian in the middle of the image, at the centres of the cells.

        exp(-((x - 1/2)^2 + (y - 1/2)^2) / (2 SPREAD^2)),  x and y in fractions of the sides

    Returns:
        float32 (rows, columns), 1 in the middle.

    >>> centre_prior(1, 3).round(decimals=2)
    tensor([[0.4100, 1.0000, 0.4100]])
    """
    y, x = ((torch.arange(cells) + 0.5) / cells - 0.5 for cells in (rows, columns))
    return torch.exp(-(y[:, None] ** 2 + x**2) / (2 * SPREAD**2))


def usual_heatmap(learned: Explanations, labels: pd.DataFrame) -> torch.Tensor:
    """The mean heatmap of each class over the studies that have it.

    Negative values are set to zero, and each map is divided by its maximum, so that every study counts alike. A map
    that scores no more than this does not follow the patient.

    Args:
        learned: maps of some studies, none of which is scored.
        labels: 0/1, image_id by class.

    Returns:
        float32 (classes, rows, columns); zero for a class that none of the studies has.

    >>> maps = Explanations(pd.DataFrame({"Mass": [0.9]}, ["a"]), torch.tensor([[[[2.0, 1.0]]]]), 2, identity="")
    >>> usual_heatmap(maps, pd.DataFrame({"Mass": [1]}, ["a"])).tolist()
    [[[1.0, 0.5]]]
    """
    has = torch.tensor(labels.loc[learned.probabilities.index, learned.classes].to_numpy(), dtype=torch.float32)
    maps = normalise_maps(learned.maps.clamp(min=0))
    return torch.einsum("nc,nchw->chw", has, maps) / has.sum(0).clamp(min=1)[:, None, None]


def usual_maps(
    methods: dict[str, BySplit], learned: dict[str, Explanations], labels: pd.DataFrame
) -> dict[str, Explanations]:
    """Each method's mean heatmap of the class in place of its maps of the test studies.

    Args:
        methods: title -> maps by split: "valid" and "test".
        learned: title -> maps of training studies; a method without takes those of the validation split.
        labels: 0/1, image_id by class.

    >>> maps = Explanations(pd.DataFrame({"Mass": [0.9]}, ["a"]), torch.tensor([[[[2.0, 1.0]]]]), 2, identity="")
    >>> found = usual_maps({"CAM": {"valid": maps, "test": maps}}, {}, pd.DataFrame({"Mass": [1]}, ["a"]))
    >>> found["CAM"].maps.tolist()
    [[[[1.0, 0.5]]]]
    """
    found = {}
    for title, maps in methods.items():
        usual = usual_heatmap(learned.get(title, maps["valid"]), labels)
        found[title] = maps["test"].with_maps(usual.expand(maps["test"].maps.shape))
    return found


def swapped(explanations: Explanations, labels: pd.DataFrame, findings: list[str]) -> Explanations:
    """Every finding's map is that of another on the same image: of the next finding that the image does not have.

    The findings follow each other in a circle. Where an image has them all, the next one stands in. A method that
    scores as much by another class's map does not explain the class. With fewer than two findings all maps are zero.

    Args:
        explanations: maps of all classes.
        labels: 0/1, image_id by class.
        findings: the classes among which maps are exchanged; the maps of the others become zero.

    >>> maps = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    >>> probabilities = pd.DataFrame([[0.9] * 3], ["a"], ["ILD", "Mass", "Nodule"])
    >>> labels = pd.DataFrame([[1, 1, 0]], ["a"], probabilities.columns)
    >>> swapped(Explanations(probabilities, maps, 2, identity=""), labels, ["ILD", "Mass", "Nodule"]).maps.flatten()
    tensor([3., 3., 1.])
    """
    maps, order = torch.zeros_like(explanations.maps), explanations.classes
    has = labels.loc[explanations.probabilities.index, findings].to_numpy()
    for place, name in enumerate(findings):
        others = [*range(place + 1, len(findings)), *range(place)]
        for row, labelled in enumerate(has if others else []):
            other = next((one for one in others if not labelled[one]), others[0])
            maps[row, order.index(name)] = explanations.maps[row, order.index(findings[other])]
    return explanations.with_maps(maps)


def place_controls(
    cohort: Cohort, maps: BySplit, learned: Explanations | None, place: torch.Tensor, seed: int
) -> dict[str, BySplit]:
    """Every control of a method's maps, in their form, for the same studies.

    Args:
        cohort: labels.
        maps: of the method, by split: "valid", on which shares of pixels are chosen, and "test".
        learned: the method's maps of training studies for the usual heatmap; None takes those of the validation split.
        place: from `mean_cover`, in the cells of the maps.
        seed: of the random maps.

    Returns:
        Name of the control -> maps by split.
    """
    usual = usual_heatmap(maps["valid"] if learned is None else learned, cohort.labels)
    centre = centre_prior(*usual.shape[1:])

    def of(one: Explanations) -> dict[str, Explanations]:
        return {
            RANDOM_MAP: one.with_random_maps(seed),
            CENTRE: one.with_maps(centre.expand(one.maps.shape)),
            USUAL_MAP: one.with_maps(usual.expand(one.maps.shape)),
            USUAL_PLACE: one.with_maps(place.expand(one.maps.shape)),
            SWAPPED: swapped(one, cohort.labels, cohort.findings),
        }

    by_split = {split: of(one) for split, one in maps.items()}
    return {name: {split: found[name] for split, found in by_split.items()} for name in by_split["test"]}
