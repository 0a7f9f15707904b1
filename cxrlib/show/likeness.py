"""Whether the maps of two classes of a study can be told apart."""

import numpy as np
import torch

from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import ranks
from cxrlib.runtime.numerals import number_text
from cxrlib.show.figures.lettering import whole


def most_alike(explanations: Explanations, image_id: str, class_name: str) -> tuple[str, float] | None:
    """The other class whose map of the same study has the highest rank correlation with this one.

    Spearman's correlation over the cells of the raw maps. Maps of which all cells are equal have none.

    Args:
        explanations: maps of all classes.
        image_id: the study.
        class_name: the class whose map is compared.

    Returns:
        The other class and the correlation, -1..1; None where there is none.
    """
    maps = explanations.maps[explanations.probabilities.index.get_loc(image_id)].flatten(1)
    varied = (maps.amax(1) > maps.amin(1)).numpy()
    own = explanations.classes.index(class_name)
    varied[own], known = False, bool(varied[own])
    if not known or not varied.any():
        return None
    ranked = ranks(maps).numpy()
    ranked = ranked - ranked.mean(1, keepdims=True)
    others = np.flatnonzero(varied)
    lengths = np.linalg.norm(ranked, axis=1)
    correlations = ranked[others] @ ranked[own] / (lengths[others] * lengths[own])
    best = int(correlations.argmax())
    return explanations.classes[others[best]], float(correlations[best])


def like_in_words(explanations: Explanations, image_id: str, class_name: str) -> str:
    """`most_alike` in a line of a title; empty where there is no such class."""
    found = most_alike(explanations, image_id, class_name)
    return f"r = {number_text(found[1], 2)} with {whole(found[0])}" if found else ""


def alike_among(explanations: Explanations, cases: list[tuple[str, str]]) -> float:
    """Mean rank correlation between the maps of every two cases; NaN where fewer than two maps vary.

    Args:
        explanations: maps of all classes.
        cases: image id and class name.
    """
    maps = [explanations.map(*case).flatten() for case in cases]
    varied = [one for one in maps if one.max() > one.min()]
    if len(varied) < 2:
        return float("nan")
    correlations = np.corrcoef(ranks(torch.stack(varied)))
    return float(correlations[np.triu_indices(len(varied), 1)].mean())


def alike_in_words(explanations: Explanations, cases: list[tuple[str, str]]) -> str:
    """`alike_among` as a sentence of a caption, after a space; empty where there is no correlation."""
    mean = number_text(alike_among(explanations, cases), 2)
    return f" The rank correlation between every two of these maps is {mean} on average." if mean else ""
