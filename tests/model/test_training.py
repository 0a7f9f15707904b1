import numpy as np
import pytest
import torch
from fixtures import SmallNet
from torch import nn

from cxrlib.model.checkpoint import Checkpoint, checkpoint_writer, load_checkpoint
from cxrlib.model.networks import build_network, normalise
from cxrlib.model.training import evaluate, positive_weights, train
from cxrlib.params import Training
from cxrlib.runtime.device import pick_device, seed_everything
from cxrlib.runtime.errors import Refusal

PARAMS = Training(
    epochs=5,
    warm_start_epochs=0,
    batch_size=8,
    learning_rate=0.05,
    momentum=0.9,
    end_factor=0.3,
    flip_probability=0.5,
    rotation_degrees=10.0,
    pos_weight=True,
    seed=0,
)


def with_(**changes) -> Training:
    return PARAMS.model_copy(update=changes)


def toy(n, seed=0):
    """Bright at the top, bright all over: two labels that a flip or a small rotation keeps."""
    random = np.random.default_rng(seed)
    targets = (random.random((n, 2)) < [0.5, 0.3]).astype(np.float32)
    targets[0], targets[1] = 1, 0
    images = random.integers(0, 60, (n, 1, 16, 16))
    images[:, :, :6] += (100 * targets[:, 0]).astype(int)[:, None, None, None]
    images += (60 * targets[:, 1]).astype(int)[:, None, None, None]
    return torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(targets)


def ignore(epoch, valid_loss): ...


class Bias(nn.Module):
    """Logits that are parameters and nothing else: every gradient can be computed on paper."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, inputs):
        return self.logits.expand(len(inputs), -1)


def hand_loss(logits, targets, weight):
    """Binary cross-entropy with weighted positives, element by element."""
    p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    return float(np.mean(-(np.asarray(weight) * targets * np.log(p) + (1 - targets) * np.log(1 - p))))


def test_positive_weights_by_hand():
    targets = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0]])
    assert positive_weights(targets).tolist() == [3, pytest.approx(1 / 3), 3]
    with pytest.raises(ValueError, match="label number 1 has no positive training study"):
        positive_weights(torch.tensor([[1.0, 0], [0, 0]]))


@pytest.mark.parametrize("pos_weight", [True, False])
def test_losses_and_the_first_step_by_hand(pos_weight):
    images = torch.zeros(8, 1, 4, 4, dtype=torch.uint8)
    targets = torch.zeros(8, 2)
    targets[:2, 0], targets[:4, 1] = 1, 1
    valid = torch.tensor([[1.0, 0], [1, 1]])
    weight = [3.0, 1.0] if pos_weight else [1.0, 1.0]
    network, start = Bias(0.3, -0.7), np.array([0.3, -0.7])
    params = with_(epochs=1, learning_rate=0.1, pos_weight=pos_weight)
    history = train(network, (images, targets), (images[:2], valid), params, ignore)
    assert history["train_loss"][0] == pytest.approx(hand_loss(start, targets.numpy(), weight), rel=1e-5)
    # the gradient of each logit: mean over 8 x 2 elements of (1 - y) p - w y (1 - p)
    p = 1 / (1 + np.exp(-start))
    share = np.array([2 / 8, 4 / 8])
    gradient = ((1 - share) * p - np.array(weight) * share * (1 - p)) / 2
    np.testing.assert_allclose(network.logits.detach(), start - 0.1 * gradient, rtol=1e-5)
    expected = hand_loss(network.logits.detach().numpy(), valid.numpy(), weight)
    assert history["valid_loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("epochs", [5, 3])
def test_the_learning_rate_falls_linearly(epochs):
    images, targets = toy(8)
    history = train(Bias(0.0, 0.0), (images, targets), (images, targets), with_(epochs=epochs), ignore)
    expected = [0.05 * (1 + (0.3 - 1) * i / epochs) for i in range(epochs)]
    np.testing.assert_allclose(history["learning_rate"], expected)
    assert history["epoch"].tolist() == list(range(1, epochs + 1))


def test_momentum_carries_on():
    """One label, always positive against one study without: gradient g stays nearly constant, steps are g and 1.9 g."""
    images, targets = torch.zeros(8, 1, 4, 4, dtype=torch.uint8), torch.ones(8, 1)
    network, seen = Bias(0.0), [0.0]
    params = with_(epochs=2, learning_rate=1e-3, end_factor=1.0, pos_weight=False)
    train(network, (images, targets), (images, targets), params, lambda *_: seen.append(network.logits.item()))
    assert (seen[2] - seen[1]) / (seen[1] - seen[0]) == pytest.approx(1.9, rel=1e-3)


def test_a_toy_is_learned_and_generalises():
    seed_everything(0)
    network = SmallNet(2)
    history = train(network, toy(64), toy(32, seed=1), with_(epochs=12, learning_rate=0.15), ignore)
    assert history["train_loss"].iloc[-1] < 0.6 * history["train_loss"].iloc[0]
    images, targets = toy(100, seed=2)
    with torch.inference_mode():
        right = ((network.eval()(normalise(images)) > 0) == targets.bool()).float().mean()
    assert right > 0.8  # 0.6 for a network that always says no


def test_the_seed_decides():
    def run(seed, seed_of_torch=0, flip=0.5):
        seed_everything(seed_of_torch)
        network = SmallNet(2)
        history = train(network, toy(20), toy(8, seed=1), with_(epochs=2, seed=seed, flip_probability=flip), ignore)
        return history, network.state_dict()

    (first, weights), (again, same), (shuffled, _), (turned, _) = run(0), run(0, 1), run(1), run(0, flip=0.0)
    assert first.equals(again)
    assert all(torch.equal(value, same[name]) for name, value in weights.items())
    assert not first.equals(shuffled)
    assert not first.equals(turned)


def test_rotation_reaches_the_training_pass():
    def losses(degrees):
        seed_everything(0)
        return train(SmallNet(2), toy(20), toy(8, seed=1), with_(epochs=1, rotation_degrees=degrees), ignore)

    assert not losses(0.0).equals(losses(10.0))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_reaches_the_training_pass(precision):
    seen = set()

    class Looking(Bias):
        def forward(self, inputs):
            if self.training:
                seen.add(torch.is_autocast_enabled("cpu"))
            return super().forward(inputs)

    train(Looking(0.0, 0.0), toy(8), toy(4), with_(epochs=1), ignore, precision)
    assert seen == {precision == "bfloat16"}


def test_only_a_lower_validation_loss_is_kept(monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 1.0, 0.5, 4.0])
    monkeypatch.setattr("cxrlib.model.training.evaluate", lambda *_: next(losses))
    kept = []
    train(Bias(0.0, 0.0), toy(8), toy(4), with_(epochs=6), lambda *found: kept.append(found))
    assert kept == [(1, 3.0), (2, 1.0), (5, 0.5)]


def test_the_checkpoint_with_the_lowest_validation_loss_is_kept(tmp_path):
    seed_everything(0)
    network, best = build_network("resnet18", 2), tmp_path / "best.safetensors"
    write, kept = checkpoint_writer(network, Checkpoint("resnet18", ["A", "B"], 16, 32), best), []
    valid = toy(8, seed=1)
    params = with_(epochs=6, learning_rate=0.02)
    history = train(network, toy(16), valid, params, lambda *found: kept.append(found) or write(*found))
    losses = history["valid_loss"].tolist()
    assert kept == [(i + 1, loss) for i, loss in enumerate(losses) if loss < min([np.inf, *losses[:i]])]
    loaded, stored = load_checkpoint(best, torch.device("cpu"))
    assert (stored.epoch, stored.valid_loss) == (int(np.argmin(losses)) + 1, min(losses))
    loss_of = nn.BCEWithLogitsLoss(pos_weight=positive_weights(toy(16)[1]))
    assert evaluate(loaded, valid, loss_of, batch_size=3) == pytest.approx(min(losses), rel=1e-4)


def test_a_loss_that_is_not_finite_names_epoch_and_batch():
    class Bursting(Bias):
        """Infinite from the fifth training batch on: epoch 2, batch 1 of 0 to 2."""

        calls = 0

        def forward(self, inputs):
            self.calls += self.training
            return super().forward(inputs) + (float("nan") if self.calls >= 5 else 0)

    with pytest.raises(Refusal, match=r"became nan at epoch 2, batch 1, learning rate 0\.043; lower"):
        train(Bursting(0.0, 0.0), toy(24), toy(4), PARAMS, ignore)
    with pytest.raises(Refusal, match=r"lower training\.learning_rate \(the checkpoint of epoch 1, .* kept"):
        train(Bursting(0.0, 0.0), toy(24), toy(4), PARAMS, ignore)


def test_a_last_batch_of_one_is_left_out_of_batch_norm():
    network, sizes = SmallNet(2), []
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])) if module.training else None)
    train(network, toy(17), toy(4), with_(epochs=1), ignore)
    assert sizes == [8, 8]


@pytest.mark.parametrize(("batch_size", "processes"), [(1, 1), (4, 8)])
def test_batches_too_small_for_anyone_are_refused(monkeypatch, batch_size, processes):
    monkeypatch.setattr("cxrlib.model.training.world_size", lambda: processes)
    refusal = f"training.batch_size: batches of {batch_size} .* too small for {processes} processes"
    with pytest.raises(Refusal, match=refusal):
        train(SmallNet(), toy(20), toy(8), with_(batch_size=batch_size), lambda *_: None)


def test_evaluation_weighs_every_study_alike():
    images, targets = toy(10)
    network = SmallNet(2).train()
    loss = evaluate(network, (images, targets), nn.BCEWithLogitsLoss(), batch_size=4)
    assert not network.training
    with torch.inference_mode():
        assert loss == pytest.approx(hand_loss(network(normalise(images)).numpy(), targets.numpy(), 1.0), rel=1e-5)


def test_devices_are_named():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}
    with pytest.raises(Refusal, match=r"compute\.device: unknown device 'gpu'; choose auto, cpu, cuda or mps"):
        pick_device("gpu")


class Killed(BaseException): ...


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path, stop):
    """Momentum, learning rate, batch order and augmentation all matter here; one lost, and the weights differ."""
    params, path = with_(epochs=4, learning_rate=0.1), tmp_path / "a.state"

    def run(keep_best=ignore, network=None):
        network = network or SmallNet(2)
        history = train(network, toy(20), toy(8, seed=1), params, keep_best, "float32", path)
        return history, network.state_dict()

    whole_history, whole = run()
    path.unlink()

    class Stopping(SmallNet):
        """Killed in the second batch of the epoch after `stop`."""

        calls = 0

        def forward(self, inputs):
            self.calls += self.training
            if self.calls == 3 * stop + 2:
                raise Killed
            return super().forward(inputs)

    if stop < 4:
        with pytest.raises(Killed):
            run(network=Stopping(2))
    else:
        run()  # killed after the last epoch, before anybody noted it
    kept = []
    history, weights = run(lambda epoch, loss: kept.append(epoch), SmallNet(2, seed=5))
    assert history.equals(whole_history) and all(epoch > stop for epoch in kept)
    assert all(torch.equal(value, whole[name]) for name, value in weights.items())

    path.unlink()
    history, weights = run(network=SmallNet(2, seed=5))  # without the state nothing is taken up
    assert not history.equals(whole_history)


def test_a_damaged_state_is_as_good_as_none(tmp_path):
    path = tmp_path / "a.state"
    run = (toy(20), toy(8, seed=1), with_(epochs=2), ignore, "float32", path)
    expected = train(SmallNet(2), *run)
    whole = path.read_bytes()
    for damaged in (whole[:-100], b"", whole.replace(b'"state"', b'"other"')):
        assert damaged != whole
        path.write_bytes(damaged)
        assert train(SmallNet(2), *run).equals(expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_absent_device_is_refused():
    with pytest.raises(Refusal, match=r"compute\.device: cuda is not available here; choose auto or cpu"):
        pick_device("cuda")
