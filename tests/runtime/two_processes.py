"""Trains a small ResNet and explains the run in the folder argv[1] on the device argv[2]; run by python or by torchrun.

Writes <processes>.json and maps/<processes>.npz there. Trains in double precision: in single precision, an untrained
ResNet amplifies the rounding of sums that are split differently.
"""

import sys
from pathlib import Path

import torch
from torch import nn

from cxrlib.data.cohort import load_cohort
from cxrlib.model.networks import build_network
from cxrlib.model.training import Recipe, train
from cxrlib.params import load_params
from cxrlib.runtime.device import use_device
from cxrlib.runtime.distributed import join_processes, leave_processes
from cxrlib.runtime.files import write_json
from cxrlib.runtime.processes import rank, world_size
from cxrlib.stages import explain as experiments


class InDouble(nn.Module):
    """A ResNet18 that computes in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = build_network("resnet18", 3, output_stride=16).double()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.resnet(inputs.double())


def main() -> None:
    torch.set_num_threads(1)
    device = use_device(sys.argv[2])
    join_processes(device)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (45, 1, 32, 32), dtype=torch.uint8)
    targets = torch.randint(0, 2, (45, 3)).double()
    network = InDouble().to(device)
    # batches of 7 and a last one of 3: the processes' parts are never alike
    recipe = Recipe(epochs=3, batch_size=7)
    labelled = (images[:31], targets[:31]), (images[31:], targets[31:])
    history = train(network, *labelled, recipe, lambda *_: None)
    run = Path(sys.argv[1])
    if rank() == 0:
        write_json(run / f"{world_size()}.json", history.to_dict("list"))
    smoke, store = load_params("smoke", [f"compute.device={device.type}"]), run / "maps" / f"{world_size()}.npz"
    experiments.SHARD = 5
    cohort = load_cohort(run / "data")
    experiments.explain_split(cohort, "test", run / "models", smoke.gradcam, smoke.compute, store)
    leave_processes()


if __name__ == "__main__":
    main()
