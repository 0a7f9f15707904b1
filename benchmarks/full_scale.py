"""The thesis at full scale without its images: 15,000 rendered studies, its network, its recipe, its analysis.

    python -m benchmarks.full_scale FOLDER                       # 15,000 studies; meant for a GPU and 16 cores
    python -m benchmarks.full_scale FOLDER --studies 60 --set model.architecture=resnet18 --set model.input_size=48

Every study has the labels, readers and boxes of a real one, and a rendered radiograph: the times are those of the
thesis, the scores say nothing about patients. FOLDER/full_scale.json holds both. What FOLDER holds already is not made
again.
"""

import argparse
import sys
import time
from pathlib import Path

from cxrlib.params import THESIS_LABELS, Params, load_params
from cxrlib.runtime.files import write_json
from cxrlib.workflow.command import add_overrides, exit_code

HEALTHY = 10_606
"""Of the 15,000 real studies, those without a box."""
SETTINGS = [
    "data.source=demo",
    "data.root=null",
    f"labels.experiments={ {'7 labels': THESIS_LABELS['7 labels']} }",
    "model.weights=null",
    "compute.batch_size=256",
]


def run(params: Params, folder: Path) -> dict:
    """Seconds of each stage, images per second of training, and the scores of the explained model, as rendered."""
    # here, since every process that renders loads this module
    import numpy as np
    import torch

    from cxrlib.data.cohort import load_cohort
    from cxrlib.evaluate.bootstrap import study_weights
    from cxrlib.evaluate.classification import auroc_samples, f1_samples
    from cxrlib.evaluate.localisation import correct_cases, score_maps
    from cxrlib.evaluate.perturbation import perturb
    from cxrlib.model.checkpoint import load_checkpoint
    from cxrlib.model.inference import inference_copy
    from cxrlib.runtime.device import inference_dtype, use_device
    from cxrlib.stages.explain import explain_split
    from cxrlib.stages.inputs import network_inputs
    from cxrlib.stages.prepare import open_data, prepare_cohort
    from cxrlib.stages.train import checkpoint_path, train_experiment

    seconds, compute = {}, params.compute

    def timed(name: str, work: callable) -> object:
        begun = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - begun
        print(f"{name:14}{seconds[name]:8.1f} s", flush=True)
        write_json(folder / "full_scale.json", {"seconds": seconds})
        return result

    device = use_device(compute.device, compute.threads, compute.precision)
    source = timed("rendering", lambda: open_data(params.data, folder / "source", compute.workers))
    data = folder / "data"
    timed("conversion", lambda: prepare_cohort(source, data, params.data, params.labels, compute.workers))
    cohort, models = load_cohort(data), folder / "models"
    timed("inputs", lambda: network_inputs(cohort, cohort.of("test"), params.model.input_size))
    history = timed(
        "training",
        lambda: train_experiment(cohort, cohort.experiment, params.model, params.training, compute, models),
    )
    store = folder / "maps" / "test.npz"
    maps = timed("explanation", lambda: explain_split(cohort, "test", models, params.gradcam, compute, store))
    cases = correct_cases(cohort, maps.probabilities, params.iou.threshold)
    scores = timed(
        "localisation",
        lambda: score_maps(cohort, cases, maps.maps_of(cases), maps.input_size, params.iou.shares),
    )
    network, _ = load_checkpoint(checkpoint_path(models, cohort.experiment), device)
    fast = inference_copy(network, maps.layer, inference_dtype(compute.precision))
    inputs = network_inputs(cohort, maps.probabilities.index.tolist(), maps.input_size)
    chosen = torch.tensor(maps.probabilities.to_numpy())
    what = params.perturbation
    settings = (what.threshold, what.shares, what.kernels, compute.batch_size)
    drops = timed("perturbation", lambda: perturb(fast, inputs, maps.maps, chosen, *settings))
    truth = cohort.labels.loc[maps.probabilities.index, cohort.explained]
    once = study_weights(truth.index, 0, seed=0).to_numpy()
    return {
        "seconds": seconds,
        "studies": {name: len(cohort.of(name)) for name in ("train", "valid", "test")},
        "training_images_per_second": len(cohort.of("train")) * len(history) / seconds["training"],
        "perturbed_images": len(drops),
        "losses": history.to_dict("list"),
        "scores_on_rendered_radiographs": {
            "macro_auroc": float(np.nanmean(auroc_samples(truth, maps.probabilities, once))),
            "micro_f1": float(f1_samples(truth, maps.probabilities, once)[0, -1]),
            "iou_at_best_share": scores.groupby(["class_name", "share"])["all_pairs"]
            .mean()
            .groupby("class_name")
            .max()
            .to_dict(),
            "n": cases["class_name"].value_counts().to_dict(),
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """Run all stages and write what they took."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.full_scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="receives the run and full_scale.json")
    parser.add_argument("--studies", type=int, default=15_000, metavar="N", help="how many (default: 15,000)")
    add_overrides(parser)
    options = parser.parse_args(arguments)
    return exit_code("benchmarks.full_scale", lambda: _measure(options))


def _measure(options: argparse.Namespace) -> None:
    healthy = round(options.studies * HEALTHY / 15_000) / options.studies
    drawn = [f"data.n_studies={options.studies}", f"data.no_finding_share={healthy}"]
    params = load_params("thesis", [*SETTINGS, *drawn, *options.overrides])
    found = run(params, options.folder.resolve())
    import torch

    if torch.cuda.is_available():
        found["device"] = torch.cuda.get_device_name()
        found["peak_memory_GiB"] = torch.cuda.max_memory_allocated() / 1024**3
    write_json(
        options.folder / "full_scale.json", found | {"parameters": params.model_dump(), "torch": torch.__version__}
    )
    for name, value in found["scores_on_rendered_radiographs"].items():
        print(name, value)


if __name__ == "__main__":
    sys.exit(main())
