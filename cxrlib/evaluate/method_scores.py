"""Every score of an explanation method on the same cases, each at the share of pixels that other cases chose."""

import pandas as pd
import torch
from torch import nn

from cxrlib.data.cohort import Cohort
from cxrlib.evaluate.boxes import Union, with_union
from cxrlib.evaluate.localisation import boxed_cases, score_cases
from cxrlib.evaluate.perturbation import own_falls
from cxrlib.evaluate.pointing import POINTING, rank_correlations, score_pointing
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.model.batches import StoredInputs
from cxrlib.runtime.progress import progress

PROTOCOLS = ["all_pairs", "best_match", "mask_iou"]
"""Scores that need a share of pixels."""


BySplit = dict[str, Explanations]
"""Maps of the validation studies ("valid") and of the test studies ("test")."""


SCORED = [*PROTOCOLS, "hit", *POINTING]


RANDOM = "Random"
"""How the titles of maps begin that know nothing of the images."""


FALL_SHARE = 0.1
"""Fraction of the pixels that are replaced for the fall of the probability."""


SAME = 1e-4
"""Two maps, each divided by its largest absolute value, are the same map if no cell differs by more."""


def chosen_shares(
    scores: pd.DataFrame,
    classes: list[str],
    shares: list[float],
    union: Union = "areas",
    protocols: list[str] = PROTOCOLS,
) -> pd.DataFrame:
    """The share of pixels at which each protocol's mean is highest, class by class.

    Args:
        scores: from `score_maps`, of cases that are not scored afterwards (the validation split).
        classes: rows of the result; a class without a case takes the share that is best over all cases.
        shares: fractions of the pixels to choose from.
        union: as in `pairwise_iou`.
        protocols: those of PROTOCOLS that `scores` have.

    Returns:
        class_name by protocol; of equal means the smallest share, and without any case the smallest of all.

    >>> scores = pd.DataFrame({"class_name": "Mass", "share": [0.1, 0.2], "all_pairs": [0.3, 0.4], "mask_iou": 0.1})
    >>> scores = scores.assign(best_match=[0.5, 0.4])
    >>> chosen_shares(scores, ["Mass", "Nodule"], [0.1, 0.2]).loc["Nodule"].to_dict()
    {'all_pairs': 0.2, 'best_match': 0.1, 'mask_iou': 0.1}
    """
    names = {with_union(protocol, union): protocol for protocol in protocols}

    def best(cases: pd.DataFrame) -> pd.Series:
        means = cases.groupby("share")[list(names)].mean().reindex(sorted(shares)).fillna(0.0)
        return means.idxmax().rename(names)

    groups = dict(list(scores.groupby("class_name")))
    return pd.DataFrame({name: best(groups.get(name, scores)) for name in classes}).T.rename_axis("class_name")


def score_method(
    cohort: Cohort, cases: pd.DataFrame, explanations: Explanations, shares: pd.DataFrame, union: Union = "areas"
) -> pd.DataFrame:
    """SCORED of every case's heatmap.

    Args:
        cohort: the run's.
        cases: columns image_id and class_name; each must have a reader's box.
        explanations: the method's maps of these studies.
        shares: from `chosen_shares`.
        union: as in `pairwise_iou`.

    Returns:
        image_id, class_name and SCORED, one row per case, in the order of `cases`.
    """
    key = ["image_id", "class_name"]
    scores = score_cases(cohort, explanations, cases, sorted(set(shares.to_numpy().ravel())))
    table = score_pointing(cohort, cases, explanations).set_index(key)
    for protocol in PROTOCOLS:
        at_chosen = scores[scores["share"] == scores["class_name"].map(shares[protocol])].set_index(key)
        table[protocol], table["hit"] = at_chosen[with_union(protocol, union)], at_chosen["hit"].astype(float)
    return table.reset_index()[[*key, *SCORED]]


def score_methods(
    cohort: Cohort, methods: dict[str, BySplit], shares: list[float], union: Union = "areas"
) -> dict[str, pd.DataFrame]:
    """`score_method` of several methods on every boxed finding of the test studies.

    Args:
        cohort: the run's.
        methods: title -> maps by split: "valid", on which the shares of pixels are chosen, and "test".
        shares: fractions of the pixels to choose from.
        union: as in `pairwise_iou`.

    Returns:
        Title -> one row per case, the same cases for every method.
    """
    scored = {}
    for title, maps in methods.items():
        valid, test = (boxed_cases(cohort, maps[split].probabilities) for split in ("valid", "test"))
        scores = score_cases(cohort, maps["valid"], valid, shares)
        chosen = chosen_shares(scores, cohort.findings, shares, union)
        scored[title] = score_method(cohort, test, maps["test"], chosen, union)
    return scored


def with_falls(
    scored: dict[str, pd.DataFrame],
    methods: dict[str, BySplit],
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    threshold: float,
    batch_size: int,
) -> dict[str, pd.DataFrame]:
    """The scores, and `own_falls` at the top FALL_SHARE of the pixels; missing where the class is not predicted.

    Args:
        scored: from `score_methods`.
        methods: the same methods.
        network: the explained network.
        images: uint8 (n, 1, h, w) of the test studies, in the order of the maps.
        threshold, batch_size: as in `own_falls`.

    The logit of this network is 0, so that the probability is 1/2 whatever the pixels:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    >>> _ = [nn.init.zeros_(parameter) for parameter in network.parameters()]
    >>> maps = Explanations(pd.DataFrame({"Mass": [0.75]}, ["a"]), torch.ones(1, 1, 2, 2), input_size=2, identity="")
    >>> scored = {"CAM": pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"], "hit": [1.0]})}
    >>> image = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    >>> with_falls(scored, {"CAM": {"test": maps}}, network, image, 0.7, 1)["CAM"].to_dict("records")
    [{'image_id': 'a', 'class_name': 'Mass', 'hit': 1.0, 'fall': 0.25}]
    """
    found = {}
    for title, cases in scored.items():
        falls = own_falls(network, images, methods[title]["test"], threshold, FALL_SHARE, batch_size)
        found[title] = cases.merge(falls, "left", ["image_id", "class_name"])
    return found


def with_controls(methods: dict[str, BySplit], seed: int) -> tuple[dict[str, BySplit], dict[str, str]]:
    """The methods and, for each form of their maps, random maps of that form, which know nothing of the images.

    Many scores depend on the form alone: a random map of 72 x 72 pixels has another average precision and other boxes
    than one of 5 x 5 cells.

    Args:
        methods: title -> maps by split.
        seed: same seed, same random maps.

    Returns:
        The methods and the controls, by title; and the title of each one's control, its own for a control.

    >>> small = Explanations(pd.DataFrame({"Mass": [0.75]}, ["a"]), torch.ones(1, 1, 2, 2), input_size=4, identity="")
    >>> large = small.with_maps(torch.ones(1, 1, 4, 4))
    >>> given = {"CAM": {"valid": small, "test": small}, "Gradient": {"valid": large, "test": large}}
    >>> with_controls(given, seed=0)[1]
    {'CAM': 'Random 2 x 2', 'Gradient': 'Random 4 x 4', 'Random 2 x 2': 'Random 2 x 2', 'Random 4 x 4': 'Random 4 x 4'}
    """
    titles = {title: _control_of(maps["test"]) for title, maps in methods.items()}
    controls = {}
    for title, maps in methods.items():
        controls.setdefault(titles[title], {split: one.with_random_maps(seed) for split, one in maps.items()})
    return methods | controls, titles | {title: title for title in controls}


def _control_of(explanations: Explanations) -> str:
    rows, columns = explanations.maps.shape[-2:]
    return f"{RANDOM} {rows} x {columns}"


def same_maps(methods: dict[str, Explanations]) -> dict[str, str]:
    """Methods whose maps are another's up to the scale of each map: each is divided by its largest absolute value.

    Args:
        methods: title -> maps of the same studies.

    Returns:
        Title -> title of the first method that has the same maps; methods without such a predecessor are left out.

    >>> maps = Explanations(pd.DataFrame({"Mass": [0.75]}, ["a"]), torch.rand(1, 1, 2, 2), input_size=2, identity="")
    >>> same_maps({"CAM": maps, "twice": maps.with_maps(2 * maps.maps), "other": maps.with_maps(1 - maps.maps)})
    {'twice': 'CAM'}
    """
    found, kept = {}, {}
    for title, one in methods.items():
        largest = one.maps.abs().amax(dim=(-2, -1), keepdim=True)
        maps = one.maps / largest.where(largest > 0, torch.ones_like(largest))
        twin = next((other for other, maps_of in kept.items() if _same(maps, maps_of)), None)
        if twin is None:
            kept[title] = maps
        else:
            found[title] = twin
    return found


def method_agreement(cases: pd.DataFrame, methods: dict[str, Explanations]) -> pd.DataFrame:
    """Mean rank correlation between the heatmaps of every two methods, in the frame of the network's input.

    Args:
        cases: columns image_id and class_name.
        methods: title -> maps of these studies.

    Returns:
        Title by title, in -1..1; NaN where no case has two maps that are not constant. Indexed by `method`.

    >>> maps = Explanations(pd.DataFrame({"Mass": [0.75]}, ["a"]), torch.rand(1, 1, 2, 2), input_size=2, identity="")
    >>> cases = pd.DataFrame({"image_id": ["a"], "class_name": ["Mass"]})
    >>> method_agreement(cases, {"CAM": maps, "reverse": maps.with_maps(-maps.maps)}).round(2).loc["CAM"].tolist()
    [1.0, -1.0]
    """
    total, known = torch.zeros(len(methods), len(methods), dtype=torch.float64), 0
    for image_id, class_name in progress(
        list(zip(cases["image_id"], cases["class_name"], strict=True)), "agreement", "case"
    ):
        large = [upscale(one.map(image_id, class_name), one.input_size) for one in methods.values()]
        correlations = rank_correlations(torch.stack(large))
        total += correlations.nan_to_num()
        known = known + ~correlations.isnan()
    titles = pd.Index(methods, name="method")
    return pd.DataFrame((total / known).numpy() if len(cases) else float("nan"), titles, list(methods))


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.shape == second.shape and bool(torch.allclose(first, second, rtol=0, atol=SAME))
