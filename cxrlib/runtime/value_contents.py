"""What a value holds, as a value that `fingerprint` takes: equal contents are equal in every process."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import singledispatch
from hashlib import sha256

import numpy as np
import pandas as pd
import torch
from torch import fx, nn


@singledispatch
def contents(value: object) -> object:
    """What decides a result that is computed from `value`: numbers and text as they are, of arrays their sha256.

    Args:
        value: None, a number or text; a list, tuple or dict; an array, tensor, table or network; or a dataclass of
            these. Further types are registered (`functools.singledispatch`).

    Raises:
        TypeError: the type is unknown.

    >>> contents({"shares": [0.1, 0.2], "union": "areas"})
    ['by name', ['shares', [0.1, 0.2]], ['union', 'areas']]
    >>> contents(torch.zeros(2, 3)) == contents(torch.zeros(3, 2))
    False
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return ["by name", *([contents(key), contents(one)] for key, one in value.items())]
    if isinstance(value, Sequence):
        return [contents(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, *(contents(getattr(value, field.name)) for field in fields(value))]
    raise TypeError(f"{type(value).__name__}: its contents are not known")


@contents.register
def _(value: np.ndarray) -> object:
    if isinstance(value, np.ma.MaskedArray):
        return ["masked", contents(np.ma.getmaskarray(value)), contents(value.filled())]
    if value.dtype.hasobject:
        texts = json.dumps(contents(value.ravel().tolist())).encode()
        return ["objects", list(value.shape), sha256(texts).hexdigest()]
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
    kind = value.dtype
    about = [contents(kind.categories), kind.ordered] if isinstance(kind, pd.CategoricalDtype) else str(kind)
    return [contents(value.name), about, contents(value.index), contents(value.to_numpy())]


@contents.register
def _(value: pd.DataFrame) -> object:
    return [contents(value.index), *(contents(column.reset_index(drop=True)) for _, column in value.items())]


@contents.register
def _(value: nn.Module) -> object:
    """The layers in words; settings, hooks and, where it was traced, code of each; all parameters and buffers.

    The code of classes is not looked at, nor what hooks hold that are no objects with attributes.
    """
    layers = [
        [_settings(one), one.code if isinstance(one, fx.GraphModule) else "", _hooks(one)] for one in value.modules()
    ]
    return [str(value), layers, contents(value.state_dict())]


def _settings(value: object) -> object:
    """Numbers and text that an object holds, e.g. whether a layer is in training."""
    return [[name, one] for name, one in vars(value).items() if isinstance(one, (bool, int, float, str))]


def _hooks(layer: nn.Module) -> object:
    """Names of what hangs on a layer, with what objects among it hold."""
    found = [*layer._forward_pre_hooks.values(), *layer._forward_hooks.values()]
    return [[getattr(one, "__qualname__", type(one).__qualname__), repr(getattr(one, "__dict__", ""))] for one in found]
