"""What a value holds, as a value that `fingerprint` takes: equal contents are equal in every process."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import singledispatch
from hashlib import sha256

import numpy as np
import pandas as pd
import torch
from torch import nn


@singledispatch
def contents(value: object) -> object:
    """What decides a result that is computed from `value`: numbers and text as they are, of arrays their sha256.

    Args:
        value: None, a number or text; a list, tuple or dict; an array, tensor, table or network; or a dataclass of
            these. Further types are registered (`functools.singledispatch`).

    Raises:
        TypeError: the type is unknown.

    >>> contents({"shares": [0.1, 0.2], "union": "areas"})
    [['shares', [0.1, 0.2]], ['union', 'areas']]
    >>> contents(torch.zeros(2, 3)) == contents(torch.zeros(3, 2))
    False
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return [[contents(key), contents(one)] for key, one in value.items()]
    if isinstance(value, Sequence):
        return [contents(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, *(contents(getattr(value, field.name)) for field in fields(value))]
    raise TypeError(f"{type(value).__name__}: its contents are not known")


@contents.register
def _(value: np.ndarray) -> object:
    if value.dtype.hasobject:
        return ["objects", list(value.shape), contents(value.ravel().tolist())]
    return [value.dtype.str, list(value.shape), sha256(np.ascontiguousarray(value)).hexdigest()]


@contents.register
def _(value: torch.Tensor) -> object:
    flat = value.detach().cpu().contiguous().reshape(-1)
    return [str(value.dtype), list(value.shape), sha256(flat.view(torch.uint8).numpy()).hexdigest()]


@contents.register
def _(value: pd.Index) -> object:
    return [contents(list(value.names)), contents(value.to_numpy())]


@contents.register
def _(value: pd.Series) -> object:
    return [contents(value.index), str(value.dtype), contents(value.to_numpy())]


@contents.register
def _(value: pd.DataFrame) -> object:
    return [contents(value.columns), contents(value.index), *(contents(value[name].to_numpy()) for name in value)]


@contents.register
def _(value: nn.Module) -> object:
    """The layers in words, with which a traced network shows its code, and all parameters and buffers."""
    return [str(value), getattr(value, "code", ""), contents(value.state_dict())]
