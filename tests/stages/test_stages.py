"""What the stages keep, of a cohort in memory: inputs, models, explanations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import SEVEN, SMALL_RESNET, annotation_rows, chest_weights, noisy_cohort
from peaks import resident

from cxrlib.data.cohort import Cohort
from cxrlib.data.provenance import Provenance
from cxrlib.explain.batched import explain
from cxrlib.explain.explanations import Explanations, load_explanations, save_explanations
from cxrlib.model import published
from cxrlib.model.checkpoint import load_checkpoint
from cxrlib.model.networks import normalise, to_input
from cxrlib.model.resume import TrainingState
from cxrlib.params import load_params
from cxrlib.runtime.errors import Missing, Refusal
from cxrlib.runtime.store import identity_of
from cxrlib.show.figures.training_figures import loss_curves
from cxrlib.stages import explain as explaining
from cxrlib.stages import inputs as resizing
from cxrlib.stages import train as training
from cxrlib.stages.explain import explain_split
from cxrlib.stages.inputs import network_inputs
from cxrlib.stages.predict import predict_all, predict_split
from cxrlib.stages.shards import Sharded
from cxrlib.stages.train import checkpoint_path, experiment_order, train_experiment

CPU = torch.device("cpu")
COMPUTE = load_params("smoke").compute
GRADCAM = load_params("smoke").gradcam
CLASSES = ["Cardiomegaly", "No finding"]
SMALL = {"architecture": SMALL_RESNET, "output_stride": 32}
"""A network of 0.4 million weights: most of these tests train, store and read it several times."""


@pytest.fixture
def cohort(tmp_path):
    random = np.random.default_rng(0)
    image_ids = [f"image{number:02}" for number in range(16)]
    labels = pd.DataFrame(0, image_ids, SEVEN, dtype="uint8")
    labels.iloc[::2, SEVEN.index("Cardiomegaly")] = 1
    labels.iloc[1::2, SEVEN.index("No finding")] = 1
    studies = pd.DataFrame({"patient_id": image_ids, "split": ["train"] * 8 + ["valid"] * 4 + ["test"] * 4}, image_ids)
    boxes = [(image_id, "Cardiomegaly", "R1", 10, 20, 30, 40) for image_id in image_ids[::2]]
    pixels = random.integers(0, 256, (16, 48, 48), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    return Cohort(
        studies=studies,
        annotations=annotation_rows(*boxes),
        labels=labels,
        pixels=pixels,
        folder=tmp_path,
        provenance=Provenance(source="drawn", rendered=True, data="first"),
        experiments={"main": CLASSES, "other": CLASSES},
        experiment="main",
    )


def of_other_data(cohort, **changes):
    """The cohort as if its content had changed."""
    return replace(cohort, provenance=replace(cohort.provenance, data="second"), **changes)


def train(cohort, folder, experiment="main", model=None, **changes):
    params = load_params("smoke")
    network = params.model.model_copy(update=SMALL | (model or {}))
    training = params.training.model_copy(update=changes)
    return train_experiment(cohort, experiment, network, training, COMPUTE, folder)


def test_inputs_beyond_the_first_chunk_are_their_own(cohort, monkeypatch):
    monkeypatch.setattr("cxrlib.stages.inputs.CHUNK", 5)
    image_ids = cohort.studies.index.tolist()
    assert torch.equal(network_inputs(cohort, image_ids, 24)[:], to_input(cohort.images(image_ids), 24))


def test_an_unknown_study_is_refused_not_replaced_by_the_last(cohort):
    for ask in (cohort.images, lambda image_ids: network_inputs(cohort, image_ids, 24)):
        with pytest.raises(KeyError, match="no study 'other'"):
            ask(["image00", "other"])
    store = Explanations(pd.DataFrame({"A": [0.5]}, ["image00"]), torch.zeros(1, 1, 2, 2), 24, "")
    for image_id, class_name in (("other", "A"), ("image00", "B")):
        with pytest.raises(KeyError, match=f"no map of {class_name} of study '{image_id}'"):
            store.maps_of(pd.DataFrame({"image_id": [image_id], "class_name": [class_name]}))


def test_all_that_decides_the_maps_makes_them_again(cohort, tmp_path, monkeypatch):
    train(cohort, tmp_path)
    half, image_ids = COMPUTE.model_copy(update={"precision": "bfloat16"}), cohort.of("test")

    def explained(cohort=cohort, image_ids=image_ids, compute=COMPUTE):
        model_path = checkpoint_path(tmp_path, "main")
        return explaining.explain_studies(cohort, image_ids, model_path, GRADCAM, compute, tmp_path / "test.npz")

    seen = [explained(), explained(compute=half), explained(image_ids=image_ids[:2])]
    assert not seen[1].probabilities.equals(seen[0].probabilities)
    seen.append(explained(of_other_data(cohort)))
    monkeypatch.setattr(explaining, "CODE", "another")
    seen.append(explained())
    monkeypatch.undo()
    train(cohort, tmp_path, learning_rate=0.2)
    seen.append(explained())
    assert len({one.identity for one in seen}) == 6


def test_a_finished_experiment_is_read_and_a_changed_one_trained_again(cohort, tmp_path):
    first = train(cohort, tmp_path)
    path = checkpoint_path(tmp_path, "main")
    written = path.stat().st_mtime_ns
    pd.testing.assert_frame_equal(train(cohort, tmp_path), first)
    assert path.stat().st_mtime_ns == written
    train(cohort, tmp_path, learning_rate=0.001)
    assert path.stat().st_mtime_ns > written
    found = [identity_of(path)]
    train(of_other_data(cohort), tmp_path, learning_rate=0.001)
    found.append(identity_of(path))
    train(replace(cohort, studies=cohort.studies.assign(split=["train"] * 7 + ["valid"] * 5 + ["test"] * 4)), tmp_path)
    found.append(identity_of(path))
    assert len(set(found)) == 3


def test_a_crash_before_the_losses_are_written_trains_again(cohort, tmp_path):
    first = train(cohort, tmp_path)
    (tmp_path / "main.csv").unlink()
    pd.testing.assert_frame_equal(train(cohort, tmp_path), first)
    assert (tmp_path / "main.csv").exists()


@pytest.mark.parametrize("name", ["main.csv", "main.safetensors"])
def test_a_damaged_model_is_trained_again(cohort, tmp_path, name):
    train(cohort, tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    train(cohort, tmp_path)
    assert path.read_bytes() == whole


def dying(monkeypatch, after):
    """Let a training be killed when its state is saved for the `after`-th time; return the epochs that were saved."""
    real, epochs = TrainingState.save, []

    def dying_save(state, path):
        real(state, path)
        epochs.append(len(state.history))
        if len(epochs) == after:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingState, "save", dying_save)
    return epochs


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if "main." in path.name and path.is_file()}


def test_an_interrupted_experiment_ends_with_the_same_bytes(cohort, tmp_path, monkeypatch):
    train(cohort, tmp_path / "whole", epochs=3)
    stop = tmp_path / "stopped"
    epochs = dying(monkeypatch, after=2)
    with pytest.raises(KeyboardInterrupt):
        train(cohort, stop, epochs=3)
    (work,) = stop.iterdir()
    assert sorted(path.name for path in work.iterdir()) == ["main.safetensors", "training.state"]
    train(cohort, stop, epochs=3)
    assert epochs == [1, 2, 3]
    assert files(stop) == files(tmp_path / "whole")
    assert sorted(files(stop)) == [".main.safetensors.made.json", "main.csv", "main.safetensors"]
    assert len(list(stop.iterdir())) == 3


def test_the_state_of_another_recipe_is_not_taken_up(cohort, tmp_path, monkeypatch):
    epochs = dying(monkeypatch, after=2)
    with pytest.raises(KeyboardInterrupt):
        train(cohort, tmp_path, epochs=3)
    train(cohort, tmp_path, epochs=3, learning_rate=0.001)
    assert epochs == [1, 2, 1, 2, 3]


def test_a_state_without_its_best_epoch_is_not_taken_up(cohort, tmp_path, monkeypatch):
    epochs = dying(monkeypatch, after=2)
    with pytest.raises(KeyboardInterrupt):
        train(cohort, tmp_path, epochs=3)
    (best,) = tmp_path.glob(".main.*/main.safetensors")
    best.unlink()
    train(cohort, tmp_path, epochs=3)
    assert epochs == [1, 2, 1, 2, 3]


def test_other_code_trains_again_to_the_same_bytes(cohort, tmp_path, monkeypatch):
    train(cohort, tmp_path)
    path = checkpoint_path(tmp_path, "main")
    written, first, content = path.stat().st_mtime_ns, identity_of(path), path.read_bytes()
    monkeypatch.setattr("cxrlib.stages.train.CODE", "another")
    train(cohort, tmp_path)
    assert path.stat().st_mtime_ns > written and identity_of(path) != first
    assert path.read_bytes() == content  # a changed comment must not reach what is made from the model


def test_the_names_of_published_outputs_count_where_they_are_used(cohort, tmp_path, monkeypatch):
    path = chest_weights(tmp_path / "chest")
    monkeypatch.setattr(published, "CHEST_FOLDER", path.parent)
    params = load_params("smoke", ["model.architecture=resnet50-xrv"])

    def identities():
        models = [params.model.model_copy(update={"weights": name}) for name in (None, "torchxrayvision")]
        return [
            training._identity(cohort, CLASSES, model, params.training, "float32", model.weights) for model in models
        ]

    before = identities()
    monkeypatch.setattr(training, "suite_names", lambda suite: {"Cardiomegaly": "another"})
    after = identities()
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)


def test_weights_with_outputs_for_every_label_are_kept_as_they_are(cohort, tmp_path, monkeypatch):
    path = chest_weights(tmp_path / "chest")
    monkeypatch.setattr(published, "CHEST_FOLDER", path.parent)
    chest = {"architecture": "resnet50-xrv", "weights": "torchxrayvision"}
    with pytest.raises(Refusal, match="brings no output for No finding; take these out of labels.experiments"):
        train(cohort, tmp_path, model=chest, epochs=0)
    cohort.experiments["main"] = ["Lung Opacity", "Cardiomegaly"]
    history = train(cohort, tmp_path, model=chest, epochs=0, pos_weight=False)
    assert history["epoch"].tolist() == [0]
    assert "Nothing was trained" in loss_curves({"main": history}).texts[0].get_text()
    network, checkpoint = load_checkpoint(checkpoint_path(tmp_path, "main"), CPU)
    assert checkpoint.epoch == 0
    assert checkpoint.valid_loss == pytest.approx(history["valid_loss"][0])
    head = torch.load(path, weights_only=True)["fc.weight"]
    assert torch.equal(network.fc.weight, head[[16, 10]])  # places of Lung Opacity and Cardiomegaly in its outputs
    assert len(explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, tmp_path / "maps.npz").maps) > 0


def test_a_warm_start_goes_on_from_the_explained_backbone(cohort, tmp_path):
    train(cohort, tmp_path)
    history = train(cohort, tmp_path, "other", learning_rate=1e-9)
    assert history["learning_rate"].iloc[0] == pytest.approx(1e-9 * load_params("smoke").training.end_factor)
    main, other = (load_checkpoint(checkpoint_path(tmp_path, name), CPU)[0] for name in ("main", "other"))
    torch.testing.assert_close(main.conv1[0].weight, other.conv1[0].weight)
    assert experiment_order(cohort) == ["main", "other"]


def test_predictions_are_the_network_s_own(cohort, tmp_path):
    train(cohort, tmp_path)
    labels, probabilities = predict_split(
        cohort, "main", "test", tmp_path, COMPUTE.model_copy(update={"batch_size": 3})
    )
    assert labels.index.tolist() == probabilities.index.tolist() == cohort.of("test")
    network, checkpoint = load_checkpoint(checkpoint_path(tmp_path, "main"), CPU)
    inputs = normalise(to_input(cohort.images(cohort.of("test")), checkpoint.input_size))
    with torch.no_grad():
        np.testing.assert_allclose(probabilities, network(inputs).sigmoid(), atol=1e-5)


def test_one_pass_serves_probabilities_and_maps_until_something_changes(cohort, tmp_path):
    train(cohort, tmp_path)
    train(cohort, tmp_path, "other")
    path = tmp_path / "maps" / "test.npz"

    def explain(gradcam=GRADCAM, compute=COMPUTE):
        found = explain_split(cohort, "test", tmp_path, gradcam, compute, path)
        return found, path.stat().st_mtime_ns

    first, written = explain()
    labels, probabilities = predict_split(cohort, "main", "test", tmp_path, COMPUTE)
    pd.testing.assert_frame_equal(first.probabilities, probabilities, atol=1e-6, check_names=False)
    assert first.maps.shape == (4, 2, 2, 2)
    assert explain(compute=COMPUTE.model_copy(update={"batch_size": 1}))[1] == written
    results = predict_all(cohort, "test", tmp_path, first, COMPUTE)
    assert list(results) == ["main", "other"]
    assert results["main"][1] is first.probabilities
    pd.testing.assert_frame_equal(results["main"][0], labels, check_names=False)

    deeper, rewritten = explain(GRADCAM.model_copy(update={"layer": "layer3"}))
    assert rewritten > written and deeper.maps.abs().sum() != first.maps.abs().sum()
    train(cohort, tmp_path, learning_rate=0.2)
    assert not explain()[0].probabilities.equals(first.probabilities)


def test_an_interrupted_pass_goes_on_from_the_last_shard(cohort, tmp_path, monkeypatch):
    train(cohort, tmp_path)
    whole, path, explained = tmp_path / "whole.npz", tmp_path / "test.npz", []
    monkeypatch.setattr(explaining, "SHARD", 1)

    def dying_explain(network, images, *arguments):
        if len(explained) == 2:
            raise KeyboardInterrupt
        explained.append(len(images))
        return explain(network, images, *arguments)

    explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, whole)
    monkeypatch.setattr(explaining, "explain", dying_explain)
    with pytest.raises(KeyboardInterrupt):
        explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, path)
    (work,) = tmp_path.glob(".test.npz.work-*")
    assert len(list(work.glob("0*.npz"))) == 2 and not path.exists()
    with pytest.raises(KeyboardInterrupt):  # two of four shards are there and count as explained
        explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, path)
    monkeypatch.setattr(explaining, "explain", lambda *arguments: explained.append(1) or explain(*arguments))
    explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, path)
    assert explained == [1, 1, 1, 1]
    assert path.read_bytes() == whole.read_bytes()
    assert not work.exists()


def test_damaged_shards_and_those_of_another_pass_are_explained_again(cohort, tmp_path, monkeypatch):
    train(cohort, tmp_path)
    whole, path, explained = tmp_path / "whole.npz", tmp_path / "test.npz", []
    monkeypatch.setattr(explaining, "SHARD", 1)
    explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, whole)

    def counted_explain(*arguments):
        explained.append(1)
        return explain(*arguments)

    def killed_while_joining(cohort):
        with monkeypatch.context() as patch:
            patch.setattr(Sharded, "put_together", lambda shards: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, path)
        assert len(explained) == 4
        explained.clear()

    monkeypatch.setattr(explaining, "explain", counted_explain)
    killed_while_joining(of_other_data(cohort))
    killed_while_joining(cohort)
    shard = sorted(tmp_path.glob(".test.npz.work-*/0*.npz"))[2]
    content = shard.read_bytes()
    shard.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, path)
    assert len(explained) == 1
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a zip"])
def test_a_damaged_store_is_made_again(cohort, tmp_path, content):
    train(cohort, tmp_path)
    path = tmp_path / "test.npz"
    whole = explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, path)
    path.write_bytes(content)
    assert torch.equal(explain_split(cohort, "test", tmp_path, GRADCAM, COMPUTE, path).maps, whole.maps)


def test_inputs_are_stored_once_and_again_when_the_data_are_new_or_they_are_damaged(cohort, tmp_path):
    image_ids = cohort.of("test")
    first = network_inputs(cohort, image_ids, 24)
    assert torch.equal(first[:], to_input(cohort.images(image_ids), 24))
    written = first.path.stat().st_mtime_ns
    assert network_inputs(cohort, image_ids[:1], 24).path.stat().st_mtime_ns == written
    whole = first.path.read_bytes()
    first.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert network_inputs(cohort, image_ids, 24).path.read_bytes() == whole
    np.save(tmp_path / "pixels.npy", 255 - cohort.pixels)
    changed = network_inputs(of_other_data(cohort), image_ids, 24)
    assert torch.equal(changed[:], to_input(255 - cohort.images(image_ids), 24))


def test_other_code_resizes_again(cohort, monkeypatch):
    path = network_inputs(cohort, cohort.of("test"), 24).path
    first = identity_of(path)
    monkeypatch.setattr("cxrlib.stages.inputs.CODE", "another")
    assert identity_of(network_inputs(cohort, cohort.of("test"), 24).path) != first


@pytest.fixture
def explanations():
    probabilities = pd.DataFrame(
        [[0.9, 0.1], [0.2, 0.8]], pd.Index(["image00", "image01"], name="image_id"), CLASSES, dtype="float32"
    )
    maps = torch.rand(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    return Explanations(probabilities, maps, 48, "first")


def test_the_store_gives_back_what_it_took(explanations, tmp_path):
    save_explanations(explanations, tmp_path / "test.npz")
    again = load_explanations(tmp_path / "test.npz")
    pd.testing.assert_frame_equal(again.probabilities, explanations.probabilities)
    assert (again.identity, again.input_size) == ("first", 48)
    assert torch.equal(again.maps, explanations.maps)
    assert torch.equal(again.map("image01", "No finding"), explanations.maps[1, 1])
    with pytest.raises(Missing, match="03_classification"):
        load_explanations(tmp_path / "absent.npz")


def test_memory_does_not_grow_with_the_images_that_are_resized(tmp_path, monkeypatch):
    """Neither the stored pixels nor the new ones stay mapped."""
    cohort, held = noisy_cohort(tmp_path, (28, 2, 2), ["A", "No finding"]), []

    def watched(pixels: np.ndarray, size: int) -> torch.Tensor:
        held.append(sum(resident(path) for path in cohort.folder.glob("*.npy")))
        return to_input(pixels, size)

    monkeypatch.setattr(resizing, "CHUNK", 4)
    monkeypatch.setattr(resizing, "to_input", watched)
    network_inputs(cohort, cohort.of("test"), 64)
    assert len(held) == 8 and max(held) < 16 * 64 * 64
