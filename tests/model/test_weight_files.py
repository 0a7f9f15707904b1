import argparse
import os
import pickle
import tarfile
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cxrlib.model.weight_files import read_tensors
from cxrlib.runtime.errors import Refusal

STATE = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path, save):
    path, trace = tmp_path / "evil.pth", tmp_path / "it ran"
    save({"state_dict": STATE, "note": RunsCode(trace)}, path)
    with pytest.raises(Refusal, match=r"evil\.pth: refused, .*could run code"):
        read_tensors(path)
    assert not trace.exists()


def old_torch(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("write", [torch.save, old_torch, save_file], ids=["torch", "old torch", "safetensors"])
@pytest.mark.parametrize("name", ["a.pth", "a.bin", "a.safetensors", "a.pth.tar", "weights"])
def test_the_first_bytes_say_what_a_file_is(tmp_path, write, name):
    write(STATE, tmp_path / name)
    found = read_tensors(tmp_path / name)
    assert found.keys() == STATE.keys()
    assert torch.equal(found["fc.weight"], STATE["fc.weight"])


def test_dictionaries_and_lists_are_opened_and_plain_values_left_out(tmp_path):
    shared = dict(STATE)
    value = {"epoch": 3, "best": 0.5, "args": ["--lr", 0.1], "model": {"state_dict": STATE}, "parts": (shared, shared)}
    value["itself"] = value
    torch.save(value, tmp_path / "a.pt")
    names = ["model.state_dict.fc.weight", "model.state_dict.fc.bias", "parts.0.fc.weight", "parts.0.fc.bias"]
    assert list(read_tensors(tmp_path / "a.pt")) == names


def a_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("resnet18.pth", "")


def a_tar(path):
    torch.save(STATE, path.with_suffix(".inner"))
    with tarfile.open(path, "w") as file:
        file.add(path.with_suffix(".inner"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def a_torchscript(path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), path)


def half_of(write):
    def cut(path):
        write(STATE, path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return cut


def with_damaged_names(path):
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes().replace(b"byteorder", b"byte\xf8rder"))


def content(start):
    return lambda path: path.write_bytes(start)


def saved(value):
    return lambda path: torch.save(value, path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file; model.weights is imagenet, torchxrayvision, null, or the path of a file"),
        (lambda path: path.mkdir(), "is a folder; give the file of weights in it"),
        (content(b""), "it is empty"),
        (content(b"no weights at all"), "neither a safetensors nor a PyTorch file: it begins with b'no weights a'"),
        (content(b"\x89HDF\r\n\x1a\n" + bytes(99)), "is an HDF5 file, as Keras and TensorFlow"),
        (content(b"\x08\x07\x12\x07pytorch\x1a\x052.1.0"), "is an ONNX or TensorFlow file"),
        (content(b"\x1c\x00\x00\x00TFL3" + bytes(99)), "is a TensorFlow Lite file"),
        (content(b"\x93NUMPY\x01\x00v\x00"), "is a NumPy array"),
        (content(b"\x1f\x8b\x08"), "is packed; unpack it"),
        (content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "git lfs pull"),
        (content(b"\n<!DOCTYPE html><html>"), "is a web page instead of a file of weights"),
        (content(b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>"), "is a web page"),
        (content(b"PK\x03\x04 and no more"), "its end is missing or damaged .*copy or download it again"),
        (content((100).to_bytes(8, "little") + b'{"fc.weight":'), "not a readable safetensors file"),
        (half_of(torch.save), "its end is missing or damaged .*copy or download it again"),
        (half_of(old_torch), "not a readable PyTorch file"),
        (half_of(save_file), "not a readable safetensors file"),
        (with_damaged_names, "its end is missing or damaged .*can't decode"),
        (a_zip, r"is a zip that torch.save did not write; unpack it and give the file in it \(resnet18.pth\)"),
        (a_tar, "is a tar archive; unpack it"),
        (a_torchscript, r"is a TorchScript program.*torch.jit.load\('a.pth'\).state_dict\(\)"),
        (saved(nn.Linear(2, 2)), r"holds more than tensors \(torch.nn.modules.linear.Linear\).*state_dict\(\) alone"),
        (saved({"state_dict": STATE, "hyper_parameters": argparse.Namespace(lr=1)}), r"\(argparse.Namespace\)"),
        (content(pickle.dumps({"fc.weight": [1.0]})), "a pickle that torch.save did not write"),
        (saved({"epoch": 3}), "holds no state_dict of tensors"),
        (saved([1, 2]), "holds no state_dict of tensors"),
        (saved({"state_dict": {}}), "holds no state_dict of tensors"),
    ],
)
def test_files_that_hold_no_weights_are_refused_with_what_to_do(tmp_path, write, message):
    path = tmp_path / "a.pth"
    write(path)
    with pytest.raises(Refusal, match=f"a.pth: .*{message}") as refused:
        read_tensors(path)
    assert len(str(refused.value)) < 600


def test_a_folder_s_files_are_named(tmp_path):
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_text("")
    with pytest.raises(Refusal, match=r"give the file of weights in it \(config.json, model.safetensors\)"):
        read_tensors(tmp_path)
