"""Networks that are trained alike: how alike their maps are, and their mean as one more network.

CheXpert's baseline averages 30 checkpoints (Irvin et al. 2019). Arun et al. 2021 ask whether maps are repeatable
between trainings and reproducible between architectures.
"""

import pandas as pd
import torch
from torch.nn import functional

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import Union
from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.method_scores import BySplit, score_methods
from cxrlib.evaluate.sanity import beside_other_images, likeness_cases, places_of
from cxrlib.evaluate.similarity import mean_similarity, rank_correlation, similarities
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import normalise_maps, upscale

ENSEMBLE = "mean of all"
"""Name of the mean beside the networks that it is made of."""


AGREEMENT = "agreement"
"""Rank correlation with the map of a network that is not among those averaged."""


def mean_explanations(members: list[Explanations]) -> Explanations:
    """Mean probabilities and mean maps, each map divided by its maximum and brought to the finest member's cells.

    Args:
        members: of the same studies and classes, one or more.

    >>> one = Explanations(pd.DataFrame({"Mass": [0.5]}, ["a"]), torch.tensor([[[[2.0, 0.0]]]]), 4, "")
    >>> other = Explanations(pd.DataFrame({"Mass": [1.0]}, ["a"]), torch.tensor([[[[0.0, 8.0]]]]), 4, "")
    >>> mean = mean_explanations([one, other])
    >>> mean.maps.tolist(), mean.probabilities["Mass"].tolist()
    ([[[[0.5, 0.5]]]], [0.75])
    """
    first = members[0]
    cells = max((one.maps.shape[-2:] for one in members), key=lambda shape: shape[0] * shape[1])
    maps = torch.stack([_resized(normalise_maps(one.maps), cells) for one in members]).mean(0)
    probabilities = sum(one.probabilities[first.classes] for one in members) / len(members)
    return Explanations(probabilities, maps, first.input_size, "", first.layer)


def with_ensemble(networks: dict[str, BySplit]) -> dict[str, BySplit]:
    """The networks and ENSEMBLE, their mean by split; without a second network there is none.

    >>> one = Explanations(pd.DataFrame({"Mass": [0.5]}, ["a"]), torch.ones(1, 1, 2, 2), 4, "")
    >>> list(with_ensemble({"first": {"test": one}, "second": {"test": one}}))
    ['first', 'second', 'mean of all']
    """
    if len(networks) < 2:
        return networks
    splits = next(iter(networks.values()))
    mean = {split: mean_explanations([maps[split] for maps in networks.values()]) for split in splits}
    return networks | {ENSEMBLE: mean}


def trained_again_cases(
    check: str, method: str, own: Explanations, others: list[Explanations], cases: pd.DataFrame
) -> pd.DataFrame:
    """How alike the maps of a network and those of others are, beside the others' maps of other images.

    Args:
        check: how the measures' names begin, e.g. "seeds".
        method: title of the method that made the maps.
        own: maps of the network.
        others: of each further network, of the same studies and classes.
        cases: columns image_id and class_name.

    Returns:
        CASE_COLUMNS and because, with the measures of `likeness_cases`; each score is the mean over the further
        networks. No row without one.

    >>> maps = Explanations(pd.DataFrame({"Mass": [0.9, 0.8]}, ["a", "b"]), torch.rand(2, 1, 3, 3), 48, "")
    >>> cases = pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"]})
    >>> found = trained_again_cases("seeds", "CAM", maps, [maps], cases)
    >>> found["measure"][0], round(float(found["score"][0]), 3), bool(found["control_score"][0] < 1)
    ('seeds (ssim)', 1.0, True)
    """
    if not others:
        return pd.DataFrame(columns=[*CASE_COLUMNS, "because"])
    places, size = places_of(cases, own.probabilities.index.tolist(), own.classes), own.input_size
    maps = places.of(own.maps)
    found = mean_similarity([similarities(maps, places.of(one.maps), size) for one in others])
    beside = mean_similarity([beside_other_images(maps, one.maps, places, size) for one in others])
    return likeness_cases(check, places, found, beside, alike=True).assign(method=method)[[*CASE_COLUMNS, "because"]]


def agreements(networks: dict[str, Explanations], cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """How well each network's maps, and the mean of all but one, predict the maps of a network that is trained anew.

        network i: mean over j != i of r(M_i, M_j);  their mean: mean over j of r(mean of M_i over i != j, M_j)

    r is Spearman's rank correlation over the pixels of the network's input. The mean never holds the network that it is
    compared with; of two networks it is no mean at all, and of one there is nothing to compare.

    Args:
        networks: name -> maps of the same studies and classes, without ENSEMBLE.
        cases: columns image_id and class_name.

    Returns:
        Name, and ENSEMBLE -> image_id, class_name and AGREEMENT, in the order of `cases`.

    >>> maps = Explanations(pd.DataFrame({"Mass": [0.9]}, ["a"]), torch.rand(1, 1, 3, 3), 48, "")
    >>> cases = pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"]})
    >>> found = agreements({"first": maps, "second": maps, "third": maps}, cases)
    >>> {name: round(float(one["agreement"][0]), 3) for name, one in found.items()}
    {'first': 1.0, 'second': 1.0, 'third': 1.0, 'mean of all': 1.0}
    """
    if len(networks) < 2:
        return {}
    names, first = list(networks), next(iter(networks.values()))
    maps = {name: _large(one, cases, first.input_size) for name, one in networks.items()}
    pairs = {(a, b): rank_correlation(maps[a], maps[b]) for a in names for b in names if a < b}
    found = {a: [pairs[min(a, b), max(a, b)] for b in names if b != a] for a in names}
    if len(names) > 2:
        found[ENSEMBLE] = []
        for left_out in names:
            mean = mean_explanations([one for name, one in networks.items() if name != left_out])
            found[ENSEMBLE].append(rank_correlation(_large(mean, cases, first.input_size), maps[left_out]))
    key = cases[["image_id", "class_name"]].reset_index(drop=True)
    return {name: key.assign(**{AGREEMENT: torch.stack(values).nanmean(0).numpy()}) for name, values in found.items()}


def score_ensemble(
    cohort: Cohort, networks: dict[str, BySplit], shares: list[float], union: Union = "areas"
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Probabilities of every network and of their mean, and the scores of their maps: `score_methods` and `agreements`.

    Args:
        cohort: the run's.
        networks: name -> maps by split; ENSEMBLE joins them.
        shares, union: as in `score_methods`.

    Returns:
        Name -> probabilities of the test studies, and name -> one row per boxed finding.
    """
    together = with_ensemble(networks)
    scored = score_methods(cohort, together, shares, union)
    cases = next(iter(scored.values()))[["image_id", "class_name"]]
    agreement = agreements({name: maps["test"] for name, maps in networks.items()}, cases)
    for name, one in agreement.items():
        scored[name] = scored[name].merge(one, "left", ["image_id", "class_name"])
    return {name: maps["test"].probabilities for name, maps in together.items()}, scored


def _large(one: Explanations, cases: pd.DataFrame, size: int) -> torch.Tensor:
    return upscale(one.maps_of(cases), size)


def _resized(maps: torch.Tensor, cells: tuple[int, int]) -> torch.Tensor:
    if maps.shape[-2:] == cells or not maps.numel():
        return maps if maps.numel() else maps.new_zeros(*maps.shape[:2], *cells)
    return functional.interpolate(maps, cells, mode="bilinear")
