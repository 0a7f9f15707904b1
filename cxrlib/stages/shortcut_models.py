"""Networks that learn from pictures with planted cues, and what they and the methods make of the test pictures."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cxrlib.data.annotations import NO_FINDING
from cxrlib.data.cohort import Cohort
from cxrlib.data.render.shortcuts import WITHOUT_PLACE, cue_generator, plant, tied
from cxrlib.evaluate.shortcut import ShortcutModel
from cxrlib.explain.explanations import Explanations
from cxrlib.explain.methods import find
from cxrlib.model.checkpoint import load_checkpoint
from cxrlib.model.inference import inference_copy, predict
from cxrlib.model.networks import to_input
from cxrlib.params import Compute, Gradcam, Methods, Model, Phantom, Training
from cxrlib.runtime.device import inference_dtype, use_device
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import fingerprint, whole_file
from cxrlib.runtime.fingerprints import code_fingerprint
from cxrlib.runtime.progress import progress
from cxrlib.runtime.store import keep
from cxrlib.runtime.work_list import Piece, once, work_through
from cxrlib.stages.compared import all_made, by_each
from cxrlib.stages.explain import explain_studies
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.train import training_piece
from cxrlib.stages.twin_cases import require_rendered

CODE = code_fingerprint("cxrlib.data.render.shortcuts", "cxrlib.model.networks", given=("cxrlib.data.annotations",))
"""What plants and resizes; taken on loading."""


EXPERIMENT = "shortcut"
"""Name of the experiment that such a network learns: the label, and its absence."""


CHUNK = 64
"""Pictures that are resized at once."""


def shortcut_models(
    cohort: Cohort,
    phantom: Phantom,
    model: Model,
    training: Training,
    methods: Methods,
    gradcam: Gradcam,
    compute: Compute,
    seed: int,
    folder: Path,
) -> list[ShortcutModel]:
    """A network for every kind and strength of `phantom`, trained on the run's studies with cues planted.

    Each learns the label and its absence from pictures of which some carry the cue (`tied`). Then every test picture is
    read with the cue and without it, and the compared methods explain the first `phantom.n_studies`
    pictures with the cue for which the network predicts the label. What is stored is not made again.

    Args:
        cohort: the run's.
        phantom: which kinds and strengths, and the label.
        model, training: of the networks, those of the run.
        methods: which explain.
        gradcam: the layer, and the probability from which the label counts as predicted.
        compute: the machine.
        seed: of the cues.
        folder: of the run's shortcuts; it receives a folder for each kind and strength.

    Raises:
        Refusal: the radiographs are real, or the label is none of the explained experiment's findings.
    """
    pieces = shortcut_pieces(cohort, phantom, model, training, compute, seed, folder)
    work_through([*pieces.values()], "training on cues", "network")
    found, label = [], phantom.shortcut_label
    for kind in phantom.shortcuts:
        everywhere = planted_cohort(cohort, kind, label, seed, model.input_size, folder / kind / "everywhere")
        plain, planted = (network_inputs(one, cohort.of("test"), model.input_size)[:] for one in (cohort, everywhere))
        cues = (planted.int() - plain.int()).abs()[:, 0] > 1
        for strength in phantom.strengths:
            carries = tied_studies(cohort, label, strength, seed)
            path = pieces[kind, strength].path
            cases = predicted_cases(cohort, everywhere, path, label, carries, compute)
            maps = {}
            if kind not in WITHOUT_PLACE:
                predicted = cases.index[cases["with_cue"] >= gradcam.threshold].tolist()[: phantom.n_studies]
                maps = maps_of(everywhere, predicted, path, methods, gradcam, compute, path.parent / "maps")
            found.append(ShortcutModel(kind, strength, label, cases, planted, cues, maps))
    return found


def shortcut_pieces(
    cohort: Cohort, phantom: Phantom, model: Model, training: Training, compute: Compute, seed: int, folder: Path
) -> dict[tuple[str, float], Piece]:
    """Kind and strength -> the training of its network, on pictures that are stored here.

    Args:
        cohort, phantom, model, training, compute, seed, folder: as in `shortcut_models`.

    Raises:
        Refusal: as `shortcut_models`.
    """
    if not phantom.shortcuts:
        return {}
    require_rendered(cohort)
    label = phantom.shortcut_label
    if label not in cohort.findings:
        raise Refusal(
            f"phantom.shortcut_label: the explained experiment learns no {label!r}; choose {', '.join(cohort.findings)}"
        )
    pieces = {}
    for kind in phantom.shortcuts:
        everywhere = planted_cohort(cohort, kind, label, seed, model.input_size, folder / kind / "everywhere")
        for strength in phantom.strengths:
            one = folder / kind / f"{strength:g}"
            mixed = mixed_cohort(cohort, everywhere, tied_studies(cohort, label, strength, seed), one / "data")
            pieces[kind, strength] = training_piece(mixed, mixed.experiment, model, training, compute, one)
    return pieces


def planted_cohort(cohort: Cohort, kind: str, label: str, seed: int, size: int, folder: Path) -> Cohort:
    """The cohort with the cue in every picture, in the network's frame of `size` pixels, stored in `folder`.

    Its one experiment has the label and its absence. Boxes, which are in another frame, are left out.
    """
    data = fingerprint([cohort.provenance.data, kind, seed, size, CODE])
    path = folder / "pixels.npy"

    def make() -> None:
        image_ids, parts = cohort.studies.index.tolist(), []
        for start in progress(range(0, len(image_ids), CHUNK), f"planting {kind}", "chunk"):
            chosen = image_ids[start : start + CHUNK]
            pictures = zip(chosen, cohort.images(chosen), strict=True)
            planted = [plant(kind, picture, cue_generator(seed, image_id, kind)) for image_id, picture in pictures]
            parts.append(to_input(np.array(planted), size)[:, 0].numpy())
        _store(path, np.concatenate(parts), data)

    once(path, data, make)
    has_label = cohort.labels[label]
    return replace(
        _stored(cohort, path, data),
        annotations=cohort.annotations.iloc[:0],
        labels=pd.DataFrame({label: has_label, f"no {label}": 1 - has_label}).astype("uint8"),
        experiments={EXPERIMENT: [label, f"no {label}"]},
        experiment=EXPERIMENT,
    )


def tied_studies(cohort: Cohort, label: str, strength: float, seed: int) -> pd.Series:
    """Which studies carry the cue: `tied` within each split, bool by image_id."""
    carries = pd.Series(False, cohort.studies.index)
    for split, image_ids in cohort.studies.groupby("split", sort=True).groups.items():
        word = int.from_bytes(hashlib.sha256(split.encode()).digest()[:4], "big")
        carries[image_ids] = tied(
            cohort.labels.loc[image_ids, label] > 0, strength, np.random.default_rng([seed, word])
        )
    return carries


def mixed_cohort(cohort: Cohort, everywhere: Cohort, carries: pd.Series, folder: Path) -> Cohort:
    """`everywhere` with the cue in the pictures of some studies only, stored in `folder`.

    Args:
        cohort: without any cue.
        everywhere: from `planted_cohort`.
        carries: which studies keep the cue, bool by image_id.
        folder: receives the pictures.
    """
    chosen = carries.index[carries].tolist()
    data, path = fingerprint([everywhere.provenance.data, chosen]), folder / "pixels.npy"

    def make() -> None:
        pictures = network_inputs(cohort, cohort.studies.index.tolist(), everywhere.size)[:][:, 0].numpy()
        rows = cohort.positions(chosen)
        pictures[rows] = everywhere.pixels[rows]
        _store(path, pictures, data)

    once(path, data, make)
    return _stored(everywhere, path, data)


def predicted_cases(
    cohort: Cohort, everywhere: Cohort, model_path: Path, label: str, carries: pd.Series, compute: Compute
) -> pd.DataFrame:
    """`ShortcutModel.cases`: what a network says of every test picture with the cue and without it."""
    device = use_device(compute.device, compute.threads, compute.precision)
    network, checkpoint = load_checkpoint(model_path, device)
    network = inference_copy(network, dtype=inference_dtype(compute.precision), size=checkpoint.input_size)
    image_ids, column = cohort.of("test"), checkpoint.classes.index(label)
    labels = cohort.labels.loc[image_ids]
    with_cue, without = (
        predict(network, network_inputs(one, image_ids, checkpoint.input_size), compute.batch_size)[:, column].numpy()
        for one in (everywhere, cohort)
    )
    return pd.DataFrame(
        {
            "truth": labels[label].astype(int),
            "healthy": labels[NO_FINDING] > 0 if NO_FINDING in labels else labels[cohort.findings].sum(axis=1) == 0,
            "tied": carries[image_ids],
            "with_cue": with_cue,
            "without": without,
        },
        index=pd.Index(image_ids, name="image_id"),
    )


def maps_of(
    everywhere: Cohort,
    image_ids: list[str],
    model_path: Path,
    methods: Methods,
    gradcam: Gradcam,
    compute: Compute,
    folder: Path,
) -> dict[str, Explanations]:
    """Maps of some pictures with the cue by every compared method; title -> maps, none without pictures."""
    if not image_ids:
        return {}
    plain = explain_studies(everywhere, image_ids, model_path, gradcam, compute, folder / "gradcam.npz")
    found = all_made(by_each(methods.compared, {"by": plain}, everywhere, model_path, compute, folder))
    return {find(name).title: maps for (name, _), maps in found.items()}


def _store(path: Path, pixels: np.ndarray, identity: str) -> None:
    with whole_file(path) as temporary:
        np.save(temporary, pixels)
    keep(path, identity)


def _stored(cohort: Cohort, path: Path, data: str) -> Cohort:
    """The cohort with the pictures that lie at `path`."""
    provenance = replace(cohort.provenance, data=data)
    return replace(cohort, pixels=np.load(path, mmap_mode="r"), folder=path.parent, provenance=provenance)
