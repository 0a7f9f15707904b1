"""The twins of a run's rendered test studies, in the frame of the network's input."""

from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.cohort import Cohort
from cxrlib.data.render.twin_files import read_twins, write_twins
from cxrlib.data.sources.demo import public_annotations
from cxrlib.evaluate.phantom import TwinCases
from cxrlib.model.networks import to_input
from cxrlib.params import Compute, Data, Phantom
from cxrlib.runtime.errors import Refusal
from cxrlib.stages.compared import first_boxed


def require_rendered(cohort: Cohort) -> None:
    """Refuse real radiographs, of which nobody knows the cause of a finding.

    Raises:
        Refusal: in one sentence.
    """
    if not cohort.rendered:
        raise Refusal(
            f"{cohort.provenance.description}: nobody knows which pixels of a real radiograph carry a finding, so that "
            "this notebook needs rendered ones (data.source=demo)"
        )


def first_twins(
    cohort: Cohort, phantom: Phantom, data: Data, input_size: int, compute: Compute, folder: Path
) -> TwinCases:
    """`twin_cases` of the first test studies with a reader's box, kept in `folder`/phantom.

    Args:
        cohort, data, input_size: as in `twin_cases`.
        phantom: how many studies.
        compute: the machine.
        folder: of the run.
    """
    chosen = first_boxed(cohort, cohort.of("test"), phantom.n_studies)
    return twin_cases(cohort, chosen, data, input_size, compute.workers, folder / "phantom")


def twin_cases(
    cohort: Cohort, image_ids: list[str], data: Data, input_size: int, workers: int, folder: Path
) -> TwinCases:
    """Every boxed finding of some rendered studies and its twin; the files are kept in `folder`.

    Args:
        cohort: the run's.
        image_ids: the studies.
        data: the parameters from which the cohort was rendered.
        input_size: side of the network's input in pixels.
        workers: processes that render.
        folder: receives twins.csv and twins/.

    Raises:
        Refusal: the radiographs are real, or were rendered by other code than the twins.
    """
    require_rendered(cohort)
    write_twins(public_annotations()[0], folder, image_ids, data.seed, cohort.size, workers)
    cases, images, twins = [], [], []
    for image_id in image_ids:
        found = read_twins(folder, image_id)
        if not np.array_equal(found.pixels, cohort.images([image_id])[0]):
            raise Refusal(f"{image_id}: this study's radiograph was rendered by other code; run notebook 01_data again")
        for name, twin in zip(found.class_names, found.twins, strict=True):
            if name in cohort.findings and cohort.labels.at[image_id, name] and len(cohort.boxes(image_id, name)):
                cases.append((image_id, name))
                images.append(found.pixels)
                twins.append(twin)
    empty = np.empty((0, cohort.size, cohort.size), np.uint8)
    with_finding, without = (to_input(np.array(part) if part else empty, input_size) for part in (images, twins))
    return TwinCases(pd.DataFrame(cases, columns=["image_id", "class_name"]), with_finding, without)
