"""Checkpoints that cannot be used are refused in one line, and nothing in them runs."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cxrlib.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from cxrlib.model.networks import build_network
from cxrlib.runtime.errors import Refusal

CPU = torch.device("cpu")
LONG_MESSAGE = 1200


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def about(**changes):
    fields = {"architecture": "resnet18", "classes": ["A", "B"], "input_size": 48, "output_stride": 32}
    return Checkpoint(**(fields | {"epoch": 1, "valid_loss": 0.5} | changes))


def cut(path):
    save_checkpoint(build_network("resnet18", 2), about(), path)
    path.write_bytes(path.read_bytes()[:-1000])


def described(text):
    return lambda path: save_file(
        {"fc.weight": torch.zeros(2, 2)}, path, text if text is None else {"checkpoint": text}
    )


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (lambda path: None, "run notebook 02_training first"),
        (lambda path: path.write_bytes(b""), "not a readable safetensors file"),
        (lambda path: path.write_bytes(b"\xff" * 1000), "not a readable safetensors file"),
        (lambda path: path.write_bytes(pickle.dumps(RunsCode())), "not a readable safetensors file"),
        (lambda path: torch.save({"state": RunsCode()}, path), "not a readable safetensors file"),
        (cut, "not a readable safetensors file"),
        (described(None), "no description"),
        (described("{"), "its description is damaged"),
        (described('{"architecture": "resnet18"}'), "its description is damaged"),
        (lambda path: save_checkpoint(build_network("resnet34", 2), about(), path), "do not fit a "),
        (lambda path: save_checkpoint(build_network("resnet18", 3), about(), path), "do not fit a "),
        (
            lambda path: save_checkpoint(build_network("resnet18", 2), about(architecture="vgg"), path),
            "no network 'vgg'; did",
        ),
    ],
    ids=[
        "absent",
        "empty",
        "noise",
        "pickle",
        "torch.save with code",
        "truncated",
        "bare weights",
        "broken description",
        "half a description",
        "other architecture",
        "other labels",
        "unknown architecture",
    ],
)
def test_a_checkpoint_that_cannot_be_used(tmp_path, monkeypatch, write, named):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    write(path)
    with pytest.raises(Refusal) as refused:
        load_checkpoint(path, CPU)
    message = str(refused.value)
    assert str(path) in message and named in message and "\n" not in message and len(message) < LONG_MESSAGE
    assert not Path("ran").exists()
