"""Training, prediction and checkpoints on a device, beside the processor."""

import numpy as np
import torch
from fixtures import SmallNet
from torch import nn

from cxrlib.model.inference import predict
from cxrlib.model.outside_boxes import OutsideBoxes
from cxrlib.model.training import Recipe, train

IMAGES = torch.randint(0, 256, (24, 1, 24, 24), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
TARGETS = torch.randint(0, 2, (24, 3), generator=torch.Generator().manual_seed(1)).float()
SETS = (IMAGES[:16], TARGETS[:16]), (IMAGES[16:], TARGETS[16:])


class Pooled(nn.Module):
    """A network in miniature whose last feature map is pooled into one linear layer."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU())
            self.pool, self.flat, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)

    def forward(self, inputs):
        return self.fc(self.flat(self.pool(self.features(inputs))))


def losses(network, device, **further):
    history = train(network.to(device), *SETS, Recipe(epochs=3, batch_size=8, seed=5), lambda *_: None, **further)
    return history[["train_loss", "valid_loss"]].to_numpy()


def test_losses_are_those_of_the_processor(device):
    expected, found = losses(SmallNet(), torch.device("cpu")), losses(SmallNet(), device)
    assert len(np.unique(expected)) == 6
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_the_term_outside_boxes_is_that_of_the_processor(device):
    covers = (torch.rand(16, 3, 24, 24, generator=torch.Generator().manual_seed(2)) > 0.5).to(torch.uint8) * 255

    def penalised(where):
        network = Pooled().to(where)
        return losses(network, where, further_loss=OutsideBoxes(network, "features", covers, weight=2.0))

    expected, found = penalised(torch.device("cpu")), penalised(device)
    assert not np.allclose(expected, losses(Pooled(), torch.device("cpu")))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_a_network_trained_on_a_device_predicts_alike_on_the_processor(device, tmp_path):
    network = SmallNet().to(device)
    losses(network, device)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    here = SmallNet()
    here.load_state_dict(torch.load(tmp_path / "weights.pt", map_location="cpu", weights_only=True))
    there = predict(network.eval(), IMAGES, 5)
    torch.testing.assert_close(there.cpu(), predict(here.eval(), IMAGES, 8), atol=1e-5, rtol=1e-4)
