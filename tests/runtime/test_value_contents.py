"""Contents of values: equal where the values are, different where one bit or name differs."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch import fx, nn

from cxrlib.model.networks import Normalisation, OwnInput
from cxrlib.runtime.files import fingerprint
from cxrlib.runtime.value_contents import contents


@dataclass
class Case:
    name: str
    values: np.ndarray


TABLE = pd.DataFrame({"image_id": ["a", "b"], "p": np.array([0.1, np.nan], np.float32)})
VALUES = {
    "nothing": None,
    "true": True,
    "one": 1.5,
    "text": "1.5",
    "list": [1, 2],
    "nested": [[1], 2],
    "dict": {"a": 1, "b": 2},
    "dict in another order": {"b": 2, "a": 1},
    "array": np.array([1.0, 2.0]),
    "array of another type": np.array([1.0, 2.0], np.float32),
    "array of another shape": np.array([[1.0, 2.0]]),
    "last bit": np.array([1.0, np.nextafter(2.0, 3.0)]),
    "text array": np.array(["a", "b"], object),
    "tensor": torch.tensor([1.0, 2.0]),
    "bfloat16": torch.tensor([1.0, 2.0], dtype=torch.bfloat16),
    "number in a tensor": torch.tensor(1.0),
    "table": TABLE,
    "another name": TABLE.rename(columns={"p": "q"}),
    "another index": TABLE.set_axis([0, 2]),
    "another text": TABLE.assign(image_id=["a", "c"]),
    "another kind of number": TABLE.astype({"p": float}),
    "a column as index": TABLE.set_index("image_id"),
    "one column": TABLE["p"],
    "case": Case("a", np.array([1])),
    "another case": Case("b", np.array([1])),
    "layer": nn.Linear(2, 1, bias=False),
    "no list": [],
    "no dict": {},
    "masked": np.ma.array([1.0, 2.0], mask=[False, True]),
    "categories": TABLE.astype({"image_id": "category"}),
    "another category": TABLE.assign(image_id=pd.Categorical(["a", "b"], ["a", "b", "c"])),
    "another column": TABLE["p"].rename("q"),
}


def small(bias: float, change=torch.nn.functional.relu) -> nn.Module:
    network = nn.Conv2d(1, 1, 1)
    nn.init.constant_(network.weight, 2)
    nn.init.constant_(network.bias, bias)
    graph = fx.Graph()
    x = graph.call_function(change, (graph.call_module("conv", (graph.placeholder("x"),)),))
    graph.output(x)
    return fx.GraphModule({"conv": network}, graph)


def test_values_that_differ_have_different_contents():
    found = {name: fingerprint(contents(value)) for name, value in VALUES.items()}
    assert len(set(found.values())) == len(VALUES), found


def test_a_copy_has_the_same_contents():
    for value in (np.arange(6).reshape(2, 3).T, torch.arange(6).reshape(2, 3).T, TABLE):
        copy = value.clone() if isinstance(value, torch.Tensor) else value.copy()
        assert contents(value) == contents(copy)
    assert contents((1, 2)) == contents([1, 2])


def test_networks_differ_by_weights_and_by_what_a_traced_one_does():
    same, weights, other = small(0.5), small(0.25), small(0.5, torch.sigmoid)
    assert contents(small(0.5)) == contents(same)
    assert contents(weights) != contents(same) != contents(other)


def test_networks_differ_by_what_is_inside_of_them():
    """As in an inference copy: a traced part, a setting, and what hangs on a layer, none of which shows in words."""

    def built(change=torch.nn.functional.relu, chunk=None, own=None, training=False) -> nn.Module:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 1, 1), small(0.5, change)).train(training)
        network.chunk_pixels = chunk
        if own:
            network[0].register_forward_pre_hook(OwnInput(Normalisation((own,), (0.25,))))
        return network

    changed = [built(), built(torch.sigmoid), built(chunk=8), built(own=0.5), built(own=0.25), built(training=True)]
    assert len({fingerprint(contents(network)) for network in changed}) == len(changed)
    assert contents(built(own=0.5)) == contents(built(own=0.5))


def test_another_process_finds_the_same():
    code = """
import pandas as pd, torch
from cxrlib.runtime.value_contents import contents
from cxrlib.runtime.files import fingerprint
print(fingerprint(contents({"x": torch.arange(3), "t": pd.DataFrame({"image_id": ["a"], "p": [0.1]})})))
"""
    here = fingerprint(contents({"x": torch.arange(3), "t": pd.DataFrame({"image_id": ["a"], "p": [0.1]})}))
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == here


def test_what_is_not_known_is_refused():
    with pytest.raises(TypeError, match="generator: its contents are not known"):
        contents({"numbers": (number for number in range(2))})
