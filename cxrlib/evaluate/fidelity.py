"""Infidelity and c-Eval of every method on the same cases, beside controls that know nothing of the image."""

import pandas as pd
import torch
from torch import nn

from cxrlib.evaluate.ceval import least_change
from cxrlib.evaluate.controls import CASE_COLUMNS
from cxrlib.evaluate.infidelity import falls_by_removal, infidelity, removed_squares, says_something
from cxrlib.evaluate.sanity import Places, places_of
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.gradcam import frozen
from cxrlib.explain.maps import random_maps, upscale
from cxrlib.explain.masks import top_pixels
from cxrlib.model.batches import StoredInputs
from cxrlib.model.networks import device_of, normalise

KEPT = 0.1
"""Fraction of the pixels, the map's top ones, that c-Eval leaves as they are."""


KEY = ["image_id", "class_name"]


RANDOM_MAP, RANDOM_PIXELS = "random map", "random pixels"


def infidelity_cases(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    methods: dict[str, Explanations],
    places: Places,
    squares: int,
    seed: int,
    batch_size: int,
) -> pd.DataFrame:
    """Negative infidelity of every method's maps, beside that of a random map of the same form.

    All methods share the passes of `falls_by_removal`.

    Args:
        network: in evaluation mode, logits (n, classes).
        images: uint8 (n, 1, h, w) in the network's frame.
        methods: title -> maps of these images, one or more.
        places: the cases.
        squares: that are removed from each image.
        seed: of the squares and the random maps.
        batch_size: images per forward pass.

    Returns:
        CASE_COLUMNS.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).eval()
    >>> maps = Explanations(pd.DataFrame({"Mass": [0.9]}, ["a"]), torch.rand(1, 1, 2, 2), input_size=8, identity="")
    >>> places = Places(pd.DataFrame({"image_id": ["a"], "class_name": "Mass"}), torch.tensor([0]), torch.tensor([0]))
    >>> images = torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8)
    >>> infidelity_cases(network, images, {"CAM": maps}, places, 10, 0, 8)[["method", "measure"]].values.tolist()
    [['CAM', 'infidelity']]
    """
    size = next(iter(methods.values())).input_size
    removed = removed_squares(squares, size, seed)
    falls = falls_by_removal(network, images, removed, batch_size)
    falls = falls[places.rows, places.columns] if len(places.cases) else torch.zeros(0, squares)
    parts = []
    for title, one in methods.items():
        maps = places.of(one.maps)
        scores = [-infidelity(each, removed, falls) for each in (maps, random_maps(maps.shape, seed))]
        scores = {"score": scores[0].numpy(), "control_score": scores[1].numpy()}
        parts.append(places.cases.assign(method=title, measure="infidelity", control=RANDOM_MAP, **scores))
    return pd.concat(parts, ignore_index=True)[CASE_COLUMNS]


def ceval_cases(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    methods: dict[str, Explanations],
    places: Places,
    threshold: float,
    seed: int,
    batch_size: int,
) -> pd.DataFrame:
    """c-Eval of every method: the change that undoes a prediction while the map's top pixels stay as they are.

    The larger it is, the more of what the prediction needs lies in these pixels. The control keeps as many random
    pixels. Cases whose class is not predicted are left out: there is nothing to undo.

    Args:
        network: logits (n, classes), differentiable.
        images: uint8 (n, 1, h, w) in the network's frame.
        methods: title -> maps and probabilities of these images, one or more.
        places: the cases.
        threshold: a class is predicted where its probability reaches this; 0 < threshold < 1.
        seed: of the random pixels.
        batch_size: images that pass through the network at once.

    Returns:
        CASE_COLUMNS.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    >>> maps = Explanations(pd.DataFrame({"Mass": [0.9]}, ["a"]), torch.rand(1, 1, 2, 2), input_size=2, identity="")
    >>> places = Places(pd.DataFrame({"image_id": ["a"], "class_name": "Mass"}), torch.tensor([0]), torch.tensor([0]))
    >>> image = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    >>> ceval_cases(network, image, {"CAM": maps}, places, 0.5, 0, 8)[["method", "measure"]].values.tolist()
    [['CAM', 'c-Eval']]
    """
    first = next(iter(methods.values()))
    probabilities = torch.tensor(first.probabilities.to_numpy())[places.rows, places.columns]
    chosen = (probabilities >= threshold).nonzero().flatten()
    cases = places.cases.iloc[chosen.tolist()]
    device, limit = device_of(network), torch.logit(torch.tensor(threshold)).item()
    none = torch.zeros(0, 3, 1, 1, device=device)
    inputs = normalise(images[:].to(device))[places.rows[chosen]] if len(chosen) else none
    columns = places.columns[chosen].to(device)

    def change_without(maps: torch.Tensor) -> torch.Tensor:
        kept = [top_pixels(upscale(one, first.input_size), KEPT) for one in maps]
        free = ~torch.stack(kept).to(device) if kept else torch.zeros(0, 1, 1, dtype=torch.bool, device=device)
        return least_change(network, inputs, columns, free, limit, batch_size).cpu()

    control = change_without(random_maps((len(chosen), first.input_size, first.input_size), seed))
    parts = []
    for title, one in methods.items():
        maps = places.of(one.maps)[chosen]
        score = change_without(maps).where(says_something(maps), torch.nan)
        about = {"method": title, "measure": "c-Eval", "control": RANDOM_PIXELS}
        parts.append(cases.assign(score=score.numpy(), control_score=control.numpy(), **about))
    return pd.concat(parts, ignore_index=True)[CASE_COLUMNS]


def fidelity_cases(
    network: nn.Module,
    images: torch.Tensor | StoredInputs,
    methods: dict[str, Explanations],
    cases: pd.DataFrame,
    threshold: float,
    squares: int,
    seed: int,
    batch_size: int,
) -> pd.DataFrame:
    """`infidelity_cases` and `ceval_cases` of several methods on the same cases.

    Args:
        network: logits (n, classes), differentiable.
        images, methods, threshold, squares, seed, batch_size: as in these.
        cases: columns image_id and class_name; each counts once.

    Returns:
        CASE_COLUMNS.

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1)).eval()
    >>> maps = Explanations(pd.DataFrame({"Mass": [0.9]}, ["a"]), torch.rand(1, 1, 2, 2), input_size=2, identity="")
    >>> cases, image = pd.DataFrame({"image_id": ["a"], "class_name": "Mass"}), torch.zeros(1, 1, 2, 2).byte()
    >>> fidelity_cases(network, image, {"CAM": maps}, cases, 0.5, 10, 0, 8)["measure"].tolist()
    ['infidelity', 'c-Eval']
    """
    if not methods:
        return pd.DataFrame(columns=CASE_COLUMNS)
    first = next(iter(methods.values()))
    places = places_of(cases.drop_duplicates(KEY), first.probabilities.index.tolist(), first.classes)
    with frozen(network):
        removed = infidelity_cases(network, images, methods, places, squares, seed, batch_size)
        changed = ceval_cases(network, images, methods, places, threshold, seed, batch_size)
    return pd.concat([removed, changed], ignore_index=True)
