"""The device, number format, threads and seeds of a process."""

import contextlib
import os
import random
import sys
from collections.abc import Iterator

import numpy as np
import torch

from cxrlib.runtime.errors import Refusal

NOTE = "cxrlib.note"
"""The audit event with the device, threads and seeds of this process."""


def use_device(name: str = "auto", threads: int = 0, precision: str = "float32") -> torch.device:
    """Set this process's threads, number format and deterministic kernels; return the device to work on.

    Without deterministic kernels, a GPU adds gradients up in another order each time: maps would differ in their last
    bits from run to run.

    Args:
        name: as in `pick_device`.
        threads: CPU threads of torch; 0 leaves the number to torch.
        precision: "float32", "tf32" or "bfloat16"; only tf32 changes a setting here.

    Raises:
        Refusal: the device asked for is not present.
    """
    if threads:
        torch.set_num_threads(threads)
    allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allow_tf32
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # it would fill what is overwritten at once
    device = pick_device(name)
    model = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    deterministic = torch.are_deterministic_algorithms_enabled()
    found = {"threads": torch.get_num_threads(), "precision": precision, "deterministic": deterministic}
    sys.audit(NOTE, {"device": model} | found)
    return device


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Within, float32 products are computed in float32 on a GPU, also where the precision is "tf32".

    For methods whose rules hold only where two ways to compute the same numbers agree. It decorates functions, too.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def inference_dtype(precision: str) -> torch.dtype:
    """Number format of a network's features when nothing is trained."""
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Context for the forward pass of training: bfloat16 if `precision` says so. Weights and updates stay float32."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called "cpu", "cuda" or "mps"; "auto" takes the fastest one present.

    Under torchrun, each process of a machine gets the CUDA device of its own number; where there are more processes
    than devices, they share them by turns.

    Raises:
        Refusal: the device asked for is not present.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if name not in present:
        raise Refusal(f"compute.device: unknown device {name!r}; choose auto, cpu, cuda or mps")
    if not present[name]:
        raise Refusal(f"compute.device: {name} is not available here; choose auto or cpu")
    if name != "cuda":
        return torch.device(name)
    return torch.device(name, int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    sys.audit(NOTE, {"seed": seed})
