"""Smaller batches when the memory of the device is too small."""

import functools
import gc
import inspect
import warnings
from collections.abc import Callable

import torch

from cxrlib.runtime.errors import Refusal

SIGNS = ("out of memory", "can't allocate memory", "not enough memory")
"""Words in the errors of torch's CPU, CUDA and MPS allocators."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch says that memory is too small.

    >>> is_out_of_memory(RuntimeError("can't allocate memory: you tried to allocate 8 bytes"))
    True
    """
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in SIGNS)


def smaller_batches(function: Callable) -> Callable:
    """Call `function` again with half its `batch_size`, and say so, for as long as memory does not suffice.

    For functions whose result does not depend on batch_size beyond rounding, and that do not talk to other processes.
    The function raises a Refusal where memory does not suffice for a single image.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def patient(*positional: object, **named: object) -> object:
        call = signature.bind(*positional, **named)
        call.apply_defaults()
        while True:
            try:
                return function(*call.args, **call.kwargs)
            except RuntimeError as error:
                size = call.arguments["batch_size"]
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    raise Refusal(
                        f"{function.__name__}: a single image does not fit into memory; close other programs, choose "
                        f"compute.device=cpu, or lower model.input_size ({error})"
                    ) from error
            call.arguments["batch_size"] = size // 2
            warnings.warn(
                f"{function.__name__}: {size} images at once do not fit into memory; going on with {size // 2}. "
                f"compute.batch_size={size // 2} avoids the attempt",
                stacklevel=2,
            )
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            elif torch.backends.mps.is_available():
                torch.mps.empty_cache()

    return patient
