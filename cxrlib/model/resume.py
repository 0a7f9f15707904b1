"""The state of a training loop between two epochs, stored so that a killed run goes on as if nothing had happened."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import nn

from cxrlib.runtime.files import whole_file


@dataclass
class TrainingState:
    """Everything that decides how the loop goes on.

    Attributes:
        network, optimizer, schedule: as torch makes them.
        random: draws the order of the batches and their augmentation.
        history: one row per finished epoch.
        best: lowest validation loss so far.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    random: torch.Generator
    history: list[tuple] = field(default_factory=list)
    best: float = float("inf")

    def save(self, path: Path, identity: str) -> None:
        """Store the state as safetensors; `identity` names the data and parameters that it belongs to."""
        momenta = {
            f"optimizer.{number}.{name}": tensor
            for number, values in self.optimizer.state_dict()["state"].items()
            for name, tensor in values.items()
            if tensor is not None
        }
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in (tensors | momenta).items()}
        about = {
            "identity": identity,
            "groups": self.optimizer.state_dict()["param_groups"],
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "best": self.best,
        }
        with whole_file(path) as temporary:
            temporary.write_bytes(save(tensors | {"random": self.random.get_state()}, {"state": json.dumps(about)}))

    def restore(self, path: Path, identity: str) -> bool:
        """Take up what `path` holds; return False, changing nothing, if it is absent, damaged or of something else."""
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get("state", "{}"))
            tensors = load(path.read_bytes())
        except (OSError, SafetensorError):
            return False
        if about.get("identity") != identity:
            return False
        self.random.set_state(tensors.pop("random"))
        network, momenta = {}, {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "network":
                network[rest] = tensor
            else:
                number, _, key = rest.partition(".")
                momenta.setdefault(int(number), {})[key] = tensor
        self.network.load_state_dict(network)
        self.optimizer.load_state_dict({"state": momenta, "param_groups": about["groups"]})
        self.schedule.load_state_dict(about["schedule"])
        self.history, self.best = [tuple(row) for row in about["history"]], about["best"]
        return True
