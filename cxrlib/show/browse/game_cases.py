"""The cases of the game: which studies and findings are asked, and the share of pixels of Grad-CAM's mask."""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.cohort import Cohort
from cxrlib.runtime.stored_tables import read_stored
from cxrlib.show.browse.browsed import GRADCAM

CASES = 10
"""Cases of one game."""


def game_cases(cohort: Cohort, image_ids: list[str], classes: list[str], seed: int) -> list[tuple[str, str]]:
    """At most CASES boxed findings, each an image id and a class name; a study is asked once.

    The classes take turns. Of each, cases come first that two or more readers boxed, with one box each: the player has
    one box too, and each reader has another to be compared with. Among equals the draw decides.

    Args:
        cohort: boxes.
        image_ids: the studies to choose from.
        classes: the findings to choose from.
        seed: of the draw.
    """
    boxed = cohort.annotations.dropna(subset="x_min")
    boxed = boxed[boxed["image_id"].isin(image_ids) & boxed["class_name"].isin(classes)]
    cases = boxed.groupby(["class_name", "image_id"])["rad_id"].agg(boxes="size", readers="nunique").reset_index()
    cases["fair"] = (cases["readers"] >= 2) & (cases["boxes"] == cases["readers"])
    cases = cases.sample(frac=1, random_state=np.random.RandomState(seed)).sort_values(
        "fair", ascending=False, kind="stable"
    )
    waiting = {name: cases.loc[cases["class_name"] == name, "image_id"].tolist() for name in classes}
    chosen = {}
    while any(waiting.values()) and len(chosen) < CASES:
        for name, ids in waiting.items():
            ids[:] = [image_id for image_id in ids if image_id not in chosen]
            if ids and len(chosen) < CASES:
                chosen[ids.pop(0)] = name
    return list(chosen.items())


def chosen_shares(folder: Path) -> dict[str, float]:
    """The share of the pixels that a run's validation split chose for Grad-CAM, by class (`tables/localisation.csv`).

    Empty where notebook 06 has not run.
    """
    path = folder / "tables" / "localisation.csv"
    table = read_stored(path) if path.exists() else pd.DataFrame(columns=["method", "measure", "class_name", "share"])
    own = table[(table["method"] == GRADCAM) & (table["measure"] == "iou")].dropna(subset="share")
    return own.drop_duplicates("class_name").set_index("class_name")["share"].to_dict()
