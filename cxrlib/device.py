"""Where tensors live, how many threads work on them, and the seeds: the only module that knows."""

import os
import random

import numpy as np
import torch


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called "cpu", "cuda" or "mps"; "auto" takes the fastest one present.

    Raises:
        RuntimeError: the device asked for is not present.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if present[kind]))
    if name not in present:
        raise RuntimeError(f"compute.device: unknown device {name!r}; choose auto, cpu, cuda or mps")
    if not present[name]:
        raise RuntimeError(f"compute.device: {name} is not available here; choose auto or cpu")
    return torch.device(name)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and ask torch for deterministic kernels where it has them."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)


def set_threads(threads: int) -> None:
    """Let torch use `threads` CPU threads; 0 leaves its own choice."""
    if threads:
        torch.set_num_threads(threads)
