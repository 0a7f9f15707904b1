"""The state of a training loop between two epochs, so that a killed training ends with the same weights."""

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

    def save(self, path: Path) -> None:
        """Store the state as safetensors."""
        momenta = {
            f"optimizer.{number}.{name}": tensor
            for number, values in self.optimizer.state_dict()["state"].items()
            for name, tensor in values.items()
            if tensor is not None
        }
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in (tensors | momenta).items()}
        rest = {
            "groups": self.optimizer.state_dict()["param_groups"],
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "best": self.best,
        }
        with whole_file(path) as temporary:
            temporary.write_bytes(save(tensors | {"random": self.random.get_state()}, {"state": json.dumps(rest)}))

    def restore(self, path: Path) -> bool:
        """Take up the state that `path` holds; where it is absent or damaged, change nothing and return False."""
        try:
            with safe_open(path, framework="pt") as file:
                rest = json.loads((file.metadata() or {})["state"])
            tensors = load(path.read_bytes())
        except (OSError, SafetensorError, KeyError, ValueError):
            return False
        self.random.set_state(tensors.pop("random"))
        network, momenta = {}, {}
        for name, tensor in tensors.items():
            kind, _, part = name.partition(".")
            if kind == "network":
                network[part] = tensor
            else:
                number, _, key = part.partition(".")
                momenta.setdefault(int(number), {})[key] = tensor
        self.network.load_state_dict(network)
        self.optimizer.load_state_dict({"state": momenta, "param_groups": rest["groups"]})
        self.schedule.load_state_dict(rest["schedule"])
        self.history, self.best = [tuple(row) for row in rest["history"]], rest["best"]
        return True
