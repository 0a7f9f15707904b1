"""Trains and explains a small ResNet; run by python or by torchrun, rank 0 writes what came out to argv[1].

In double precision: in single precision, an untrained ResNet amplifies the rounding of sums that are split differently.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn

from cxrlib.distributed import join_processes, leave_processes, rank, world_size
from cxrlib.gradcam import explain
from cxrlib.params import load_params
from cxrlib.resnet import build_resnet
from cxrlib.training import train


class InDouble(nn.Module):
    """A ResNet18 that computes in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = build_resnet("resnet18", 3, output_stride=16).double()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.resnet(inputs.double())


def main() -> None:
    torch.set_num_threads(1)
    join_processes(torch.device("cpu"))
    torch.manual_seed(0)
    images = torch.randint(0, 256, (45, 1, 32, 32), dtype=torch.uint8)
    targets = torch.randint(0, 2, (45, 3)).double()
    network = InDouble()
    # batches of 7 and a last one of 3: the processes' parts are never alike
    changes = {"epochs": 3, "batch_size": 7, "flip_probability": 0.5, "rotation_degrees": 45.0}
    params = load_params("smoke").training.model_copy(update=changes)
    labelled = (images[:31], targets[:31]), (images[31:], targets[31:])
    history = train(network, *labelled, params, lambda *_: None)
    maps, probabilities = explain(network, images, "resnet.layer4", batch_size=4)
    if rank() == 0:
        found = {"processes": world_size(), "maps": maps.tolist(), "probabilities": probabilities.tolist()}
        Path(sys.argv[1]).write_text(json.dumps(found | history.to_dict("list")))
    leave_processes()


if __name__ == "__main__":
    main()
