"""The maps that notebook 07 compares with controls, and those of other studies that give each class's mean heatmap."""

from pathlib import Path

from cxrlib.data.cohort import Cohort
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.methods import find
from cxrlib.params import Compute, Gradcam, Iou, Methods, Perturbation
from cxrlib.stages.compared import explain_by_methods, explained_training

GRADCAM = "Grad-CAM"


Controlled = tuple[dict[str, Explanations], dict[str, Explanations]]
"""Title -> maps of the studies that are scored; title -> maps of other studies."""


def explain_with_controls(
    cohort: Cohort,
    test: Explanations,
    perturbation: Perturbation,
    iou: Iou,
    methods: Methods,
    gradcam: Gradcam,
    compute: Compute,
    folder: Path,
) -> list[Controlled]:
    """Grad-CAM of the first test studies, and the other methods of the first boxed ones, each beside other studies.

    Grad-CAM's other studies are those of the training split that give notebook 06 its usual heatmaps. Those of a
    compared method are the validation studies that notebook 08 explains by it.

    Args:
        cohort: the run's.
        test: Grad-CAM's maps of the test split.
        perturbation: which methods, and how many studies.
        iou: how many training studies.
        methods: what is compared in notebook 08, and on how many studies.
        gradcam, compute: of the run.
        folder: of the run.
    """
    train = explained_training(cohort, iou.usual_studies, test, gradcam, compute, folder)
    parts = [({GRADCAM: test.first(perturbation.controls_n_studies)}, {GRADCAM: train})]
    names = [name for name in perturbation.controls_methods if name in methods.compared]
    compared = {name: methods.compared[name] for name in names if find(name).title != GRADCAM}
    if compared:
        chosen = methods.model_copy(update={"compared": compared})
        explained = explain_by_methods(cohort, test, chosen, gradcam, compute, folder)
        parts.append(tuple({title: maps[split] for title, maps in explained.items()} for split in ("test", "valid")))
    return parts
