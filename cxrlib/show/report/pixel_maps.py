"""Maps with a value for each pixel, as few bytes: 200 steps of rank, and the value of each step."""

import base64

import numpy as np

from cxrlib.explain.explanations import Explanations
from cxrlib.explain.maps import upscale
from cxrlib.show.browse.browsed import BrowsedRun
from cxrlib.show.figures.colouring import is_fine, top_of

STEPS = 200
"""Steps of rank, of half a percent of the pixels each, so that each whole share of top pixels ends at a step."""


ZERO = 255
"""The step of pixels that are not positive, which are in no mask."""


LEVELS = 65535
"""Levels of a step's value between zero and the map's maximum."""


BUDGET = 300_000
"""Bytes of all these maps of a page together, before they are written as text."""


FIRST = "SmoothGrad"
"""The method that is kept first where not all fit: the thesis's own."""


def ranked(heatmap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step of rank of each pixel, and the mean value of each step.

    Args:
        heatmap: float (rows, columns). Equal values rank in the order of the pixels.

    Returns:
        Steps, uint8 (rows, columns), 0 for the highest and ZERO where the map is not positive; values, float (STEPS,).

    >>> steps, values = ranked(np.array([[4.0, 0.0], [2.0, -1.0]]))
    >>> steps.tolist(), values[[25, 74]].tolist()
    ([[25, 255], [74, 255]], [4.0, 2.0])
    """
    flat = heatmap.ravel()
    ends = np.rint(np.arange(1, STEPS + 1) / STEPS * flat.size)
    steps = np.empty(flat.size, int)
    steps[np.argsort(-flat, kind="stable")] = np.searchsorted(ends, np.arange(flat.size), side="right")
    steps[flat <= 0] = ZERO
    counts = np.bincount(steps, minlength=ZERO + 1)[:STEPS]
    values = np.bincount(steps, flat, ZERO + 1)[:STEPS] / np.maximum(counts, 1)
    return steps.reshape(heatmap.shape).astype(np.uint8), values


def pixel_maps(run: BrowsedRun, image_ids: list[str], budget: int = BUDGET) -> tuple[list[dict], list[str]]:
    """The maps of every pixel that fit into a budget, of the same cases for each method.

    A case is a study and a class that readers boxed there. The cases with most boxes are kept. Where not even one case
    fits with all methods, it is kept with as many methods as fit, SmoothGrad first.

    Args:
        run: cohort and stored maps.
        image_ids: the studies of the page.
        budget: bytes of all maps.

    Returns:
        The kept methods, as viewer.js reads them, and the names of those that are left out.
    """
    stores = {name: next(iter(layers.values())) for name, layers in run.methods.items()}
    stores = {name: store for name, store in stores.items() if is_fine(store.maps) and store.classes == run.classes}
    cases = [
        (len(run.cohort.boxes(image_id, name)), image_id, name)
        for image_id in image_ids
        if stores and all(image_id in store.probabilities.index for store in stores.values())
        for name in run.classes
    ]
    cases = sorted((case for case in cases if case[0]), key=lambda case: -case[0])
    size = run.explanations.input_size**2 + 2 * STEPS
    fitting = min(len(cases), max(1, budget // (size * max(1, len(stores)))))
    names = sorted(stores, key=lambda name: name != FIRST)[: budget // (size * fitting)] if fitting else []
    chosen = [(image_id, name) for _, image_id, name in cases[:fitting]]
    kept = [{"name": name, **_coded(run, stores[name], chosen, image_ids)} for name in names]
    return kept, [name for name in stores if name not in names]


def _coded(run: BrowsedRun, store: Explanations, cases: list[tuple[str, str]], image_ids: list[str]) -> dict:
    codes, values, tops = [], [], []
    for image_id, name in cases:
        heatmap = upscale(store.map(image_id, name), run.explanations.input_size).numpy()
        heatmap = np.nan_to_num(heatmap, posinf=0, neginf=0)
        steps, means = ranked(heatmap)
        largest = max(float(means.max()), np.finfo(np.float32).tiny)
        codes.append(steps)
        values.append(np.rint(means / largest * LEVELS).astype("<u2"))
        tops.append(round(top_of(heatmap) / largest, 5))
    return {
        "cases": [[image_ids.index(image_id), run.classes.index(name)] for image_id, name in cases],
        "tops": tops,
        "steps": base64.b64encode(np.stack(codes).tobytes()).decode(),
        "values": base64.b64encode(np.stack(values).tobytes()).decode(),
    }
