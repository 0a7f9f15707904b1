"""Several processes, one per GPU, as torchrun starts them: how they join, and how they train one network."""

import os
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from cxrlib.runtime.processes import rank, together, world_size

LONGEST_WAIT = timedelta(days=30)
"""A process waits so long for the others: one piece of work can take hours. torchrun ends all when one has died."""


def join_processes(device: torch.device) -> None:
    """Join the group of the processes that torchrun started.

    Over NCCL where every process has a CUDA device of its own, over Gloo elsewhere. A single process does nothing.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group(backend_for(device), timeout=LONGEST_WAIT)


def backend_for(device: torch.device) -> str:
    """ "nccl" where every process of this machine has a CUDA device of its own, else "gloo": NCCL refuses to share."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return "nccl" if device.type == "cuda" and here <= torch.cuda.device_count() else "gloo"


def leave_processes() -> None:
    """Leave the group of processes, so that torchrun ends without a warning."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def own_part(batch: torch.Tensor) -> torch.Tensor:
    """This process's consecutive part of a batch (n, ...)."""
    return batch.tensor_split(world_size())[rank()]


def sum_over_processes(value: torch.Tensor) -> torch.Tensor:
    """Sum of every process's `value`, the same in all of them."""
    if together():
        distributed.all_reduce(value)
    return value


def trained_together(network: nn.Module) -> nn.Module:
    """The network with gradients averaged over all processes and batch statistics of all processes.

    Batch norm over the whole batch makes training independent of the number of processes. The result shares its weights
    with `network`, whose batch norms are replaced in place. A single process gets `network` unchanged.
    """
    if world_size() == 1:
        return network
    device = next(network.parameters()).device
    if device.type == "cuda":
        return DistributedDataParallel(nn.SyncBatchNorm.convert_sync_batchnorm(network), [device.index])
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, SharedBatchNorm.like(child))
    return DistributedDataParallel(network)


class _Sum(torch.autograd.Function):
    """Sum over processes. Since all processes use the sum, its gradient is the sum of the processes' gradients."""

    @staticmethod
    def forward(context: object, value: torch.Tensor) -> torch.Tensor:
        return sum_over_processes(value.clone())

    @staticmethod
    def backward(context: object, gradient: torch.Tensor) -> torch.Tensor:
        return sum_over_processes(gradient.clone())


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm with statistics over all processes, on any device; torch's own SyncBatchNorm needs CUDA."""

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> "SharedBatchNorm":
        """The same layer, with the weights and statistics of `norm`."""
        shared = cls(norm.num_features, norm.eps, norm.momentum).to(norm.weight)
        shared.load_state_dict(norm.state_dict())
        return shared

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Normalise (n, c, h, w); in evaluation mode as `nn.BatchNorm2d` does."""
        if not self.training:
            return super().forward(inputs)
        count = sum_over_processes(inputs.new_tensor(inputs[:, 0].numel()))
        mean = _Sum.apply(inputs.sum((0, 2, 3))) / count
        centred = inputs - mean.view(1, -1, 1, 1)
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
