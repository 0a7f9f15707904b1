"""Smaller batches when the memory of the device is too small."""

import functools
import gc
import inspect
import warnings
from collections.abc import Callable

import torch

SIGNS = ("out of memory", "can't allocate memory", "not enough memory")
"""Words in the errors of torch's CPU, CUDA and MPS allocators."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch says that memory is too small.

    >>> is_out_of_memory(RuntimeError("can't allocate memory: you tried to allocate 8 bytes"))
    True
    """
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in SIGNS)


def smaller_batches(function: Callable) -> Callable:
    """Decorator: call `function` again with half its `batch_size`, with a warning, while memory is too small.

    It is meant for functions whose result does not depend on `batch_size` beyond rounding, and that do not communicate
    with other processes.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def patient(*positional: object, **named: object) -> object:
        call = signature.bind(*positional, **named)
        while True:
            try:
                return function(*call.args, **call.kwargs)
            except RuntimeError as error:
                size = call.arguments["batch_size"]
                if not is_out_of_memory(error) or size == 1:
                    raise
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
