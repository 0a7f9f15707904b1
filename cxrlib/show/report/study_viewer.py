"""What the report's viewer needs to draw any test study without Python: small JPEGs, raw maps, boxes and colours."""

import base64
import io

import numpy as np
import pandas as pd
from PIL import Image

from cxrlib.data.annotations import BOX_COLUMNS, reader_order
from cxrlib.explain.explanations import Explanations
from cxrlib.show.browse.browsed import BrowsedRun, View
from cxrlib.show.browse.numbers import EXPLAINED
from cxrlib.show.browse.overlay import LINES, SIDE, Look, overlay, rgb
from cxrlib.show.figures import colouring
from cxrlib.show.figures.colouring import DIMMED, HEATMAP, PREDICTED, TRUE
from cxrlib.show.report.pixel_maps import pixel_maps

BUDGET = 850_000
"""Bytes of all radiographs together, before they are written as text; further studies are left out."""


PICTURE, QUALITY = 448, 50
"""Side in pixels and JPEG quality in percent of a radiograph."""


LEVELS = 65535
"""Steps of a map's values between zero and the map's maximum."""


def viewer_data(run: BrowsedRun, first: View | None, names: dict[str, str], budget: int = BUDGET) -> dict:
    """Everything that viewer.js reads, as numbers and text.

    Args:
        run: cohort and stored maps.
        first: the view that is shown at first; None takes the first study and class.
        names: short name of each study, by image id.
        budget: bytes of the radiographs.

    Returns:
        size (frame of the boxes), input (frame of the masks), side (of the picture), opacity, colours, classes,
        studies, methods, dimmed (brightness under a map of every pixel), kept (cases that have such maps), leftOut
        (methods that are not here), of (number of test studies), and first.
    """
    image_ids = _that_fit(run, first, budget)
    methods = []
    for method, layers in run.methods.items():
        store = next(iter(layers.values()))
        shared = [image_id for image_id in image_ids if image_id in store.probabilities.index]
        if shared and store.classes == run.classes and not colouring.is_fine(store.maps):
            methods.append({"name": method, **_maps(store, shared, image_ids)})
    fine, left_out = pixel_maps(run, image_ids)
    view = first or run.first_view(image_ids[0], run.classes[0], 0.05)
    return {
        "size": run.cohort.size,
        "input": run.explanations.input_size,
        "side": SIDE,
        "opacity": Look.opacity,
        "contours": list(colouring.LEVELS),
        "share": view.share,
        "colours": _text(measured_colours()),
        "predicted": rgb(PREDICTED),
        "true": rgb(TRUE),
        "lines": [list(pattern or []) for pattern in LINES.values()],
        "score": "IoU, all pairs",
        "meaning": EXPLAINED["IoU, all pairs"],
        "classes": run.classes,
        "studies": [_study(run, image_id, names[image_id]) for image_id in image_ids],
        "methods": methods + fine,
        "dimmed": DIMMED,
        "kept": [_case(run, names[image_ids[at]], number) for at, number in fine[0]["cases"]] if fine else [],
        "leftOut": left_out,
        "of": len(run.probabilities),
        "first": [image_ids.index(view.image_id), run.classes.index(view.class_name)],
    }


def measured_colours() -> np.ndarray:
    """What the browser lays over a picture for each value of a map, measured at full opacity: uint8 (256, 4).

    The first three numbers are the colour times its opacity, the fourth is the opacity. Over a pixel g the picture
    shows `g (1 - o a) + o c` with the opacity o that the reader chooses, c and a from here.
    """
    ramp = np.tile(np.arange(256, dtype=np.float32) / 255, (256, 1))
    black, white = (
        overlay(np.full((256, 256, 3), level, np.uint8), ramp, 1.0, HEATMAP)[128].astype(int) for level in (0, 255)
    )
    opacity = 255 - (white - black).mean(axis=1, keepdims=True).round().astype(int)
    return np.concatenate([black, opacity], axis=1).clip(0, 255).astype(np.uint8)


def small_jpeg(pixels: np.ndarray, side: int = PICTURE, quality: int = QUALITY) -> bytes:
    """A grey picture (n, n) as JPEG."""
    image = Image.fromarray(pixels)
    if image.width > side:
        image = image.resize((side, side), Image.BOX if image.width >= 2 * side else Image.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def _that_fit(run: BrowsedRun, first: View | None, budget: int) -> list[str]:
    """Test studies in their order; where they are too many, the shown one and those with most boxes."""
    image_ids = run.probabilities.index.tolist()
    size = np.mean([len(small_jpeg(run.cohort.images([name])[0])) for name in image_ids[:: -(-len(image_ids) // 8)]])
    count = max(1, int(budget / size))
    if len(image_ids) <= count:
        return image_ids
    boxes = pd.Series({name: len(run.cohort.boxes_of(name)) for name in image_ids})
    chosen = {*boxes.sort_values(ascending=False, kind="stable").index[:count]}
    if first and first.image_id not in chosen:
        chosen = {*boxes.sort_values(ascending=False, kind="stable").index[: count - 1], first.image_id}
    return [name for name in image_ids if name in chosen]


def _case(run: BrowsedRun, name: str, number: int) -> str:
    return f"{name}, {run.classes[number]}"


def _study(run: BrowsedRun, image_id: str, name: str) -> dict:
    boxes = []
    for number, label in enumerate(run.classes):
        by_reader = sorted(run.cohort.boxes(image_id, label).groupby("rad_id"), key=lambda pair: reader_order(pair[0]))
        for order, (reader, rows) in enumerate(by_reader):
            boxes += [[number, order, str(reader), *map(float, box)] for box in rows[BOX_COLUMNS].to_numpy()]
    labels = run.cohort.labels.loc[image_id]
    return {
        "name": name,
        "id": image_id,
        "jpeg": base64.b64encode(small_jpeg(run.cohort.images([image_id])[0])).decode(),
        "p": [round(float(p), 3) for p in run.probabilities.loc[image_id]],
        "labels": [int(labels.get(label, 0)) for label in run.classes],
        "boxes": boxes,
    }


def _maps(store: Explanations, shared: list[str], image_ids: list[str]) -> dict:
    maps = store.of(shared).maps.numpy()
    maps = np.nan_to_num(maps, posinf=0, neginf=0).clip(0)
    largest = maps.max(axis=(-2, -1), keepdims=True)
    steps = np.rint(maps / np.where(largest > 0, largest, 1) * LEVELS).astype("<u2")
    return {
        "rows": maps.shape[-2],
        "columns": maps.shape[-1],
        "studies": [image_ids.index(name) for name in shared],
        "maps": _text(steps),
    }


def _text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
