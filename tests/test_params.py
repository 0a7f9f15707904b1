import copy
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cxrlib.evaluate.perturbation import blurred_image
from cxrlib.explain.methods import names
from cxrlib.params import (
    PROFILES,
    ParameterError,
    Params,
    check_params,
    load_params,
    profile_names,
    with_absolute_paths,
)


@pytest.fixture
def values() -> dict:
    return yaml.safe_load((PROFILES / "smoke.yaml").read_text())


def refusal(values: dict) -> str:
    with pytest.raises(ParameterError) as caught:
        check_params(values, "smoke")
    return str(caught.value)


@pytest.mark.parametrize("profile", profile_names())
def test_shipped_profile_is_valid_or_only_lacks_its_root(profile):
    params = load_params(profile)
    assert params.labels.explained in params.labels.experiments


@pytest.mark.parametrize("profile", profile_names())
def test_a_profile_holds_only_what_differs_from_the_defaults(profile):
    written = yaml.safe_load((PROFILES / f"{profile}.yaml").read_text()) or {}
    defaults = Params().model_dump()
    repeated = [
        f"{section}.{name}"
        for section in written
        for name, value in written[section].items()
        if value == defaults[section][name]
    ]
    assert not repeated


def test_the_profile_trust_checks_every_method_and_makes_every_table_that_the_verdict_reads():
    params = load_params("trust")
    assert [*params.methods.compared] == params.sanity.compared == names()
    assert {"gradcam", *params.perturbation.controls_methods} == set(names())
    assert {"03", "06", "07", "09", "10", "13"} <= set(params.workflow.notebooks)
    for section in ("data", "labels", "model", "training"):
        assert getattr(params, section) == getattr(load_params("demo"), section)


def test_the_defaults_are_the_thesis():
    assert load_params("thesis") == Params()


def test_the_four_profiles_are_there():
    assert {"smoke", "demo", "thesis", "nih"} <= set(profile_names())


def test_thesis_profile_has_the_numbers_of_the_thesis():
    params = load_params("thesis")
    assert (params.model.architecture, params.model.weights, params.model.input_size) == ("resnet50", "imagenet", 224)
    assert params.data.image_size == 512
    assert (params.data.valid_share, params.data.test_share) == (0.1, 0.1)
    assert (params.training.epochs, params.training.batch_size, params.training.learning_rate) == (20, 32, 0.01)
    assert (params.training.end_factor, params.training.flip_probability) == (0.3, 0.5)
    assert (params.training.rotation_degrees, params.training.pos_weight) == (45.0, True)
    assert (params.gradcam.threshold, params.smoothgrad.samples) == (0.7, 50)
    assert params.smoothgrad.noise_levels == [0.1, 0.2]
    assert params.iou.shares == [0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.2]
    assert params.perturbation.shares == [0.02, 0.05, 0.1, 0.2, 0.5]
    assert params.perturbation.kernels == [11, 21]
    assert [len(labels) for labels in params.labels.experiments.values()] == [3, 5, 7, 15]


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("data", "source", "kaggle"),
        ("data", "n_studies", 0),
        ("data", "n_studies", 12.5),
        ("data", "no_finding_share", 1.0),
        ("data", "seed", None),
        ("model", "architecture", "../resnet18"),
        ("model", "architecture", "timm/hub:a"),
        ("model", "architecture", "ResNet18"),
        ("model", "output_stride", 8),
        ("training", "learning_rate", "1e-3"),  # a number must be a number where it can be one
        ("iou", "shares", [0.1, 0.1]),
        ("perturbation", "shares", [0.1, 0.2, 0.1]),
        ("perturbation", "kernels", [11, 11]),
        ("smoothgrad", "noise_levels", [0.1, 0.1]),
        ("labels", "experiments", {"a": ["Cardiomegaly", "Cardiomegaly"]}),
        ("labels", "experiments", {"a": ["Cardiomegaly", ""]}),
        ("labels", "experiments", {"a b": ["x", "y"], "A b": ["x", "z"]}),
        ("labels", "experiments", {"caf\u00e9": ["x", "y"], "cafe\u0301": ["x", "z"]}),
        ("training", "learning_rate", -0.1),
        ("training", "epochs", "6"),
        ("training", "pos_weight", 1),
        ("gradcam", "threshold", 1.5),
        ("smoothgrad", "average", "mean"),
        ("iou", "shares", []),
        ("iou", "union", "both"),
        ("perturbation", "kernels", [11, 20]),
        ("compute", "device", "gpu"),
    ],
)
def test_wrong_value_is_refused_and_its_field_named(values, section, name, value):
    values[section][name] = value
    message = refusal(values)
    assert section in message and name in message


def test_allowed_values_are_named(values):
    values["compute"]["device"] = "gpu"
    assert all(name in refusal(values) for name in ("auto", "cpu", "cuda", "mps"))


def test_typo_in_a_key_is_refused(values):
    values["training"]["epoch"] = values["training"].pop("epochs")
    assert refusal(values) == "smoke: training.epoch: unknown parameter; did you mean epochs?"


def test_typo_in_a_section_is_refused(values):
    values["trainin"] = values.pop("training")
    assert refusal(values) == "smoke: trainin: unknown section; did you mean training?"


def test_a_name_like_no_other_is_answered_with_all_there_are(values):
    values["bootstrap"] = {"x": 1}
    assert refusal(values) == "smoke: bootstrap.x: unknown parameter; choose resamples, seed"


@pytest.mark.parametrize("source", ["vinbigdata", "nih"])
def test_real_data_need_a_root(values, source):
    values["data"] |= {"source": source, "root": None}
    assert "data.root" in refusal(values)


def test_a_root_without_its_source_is_refused(values):
    values["data"]["root"] = "/data/ours"
    assert "data.root is '/data/ours', but source demo reads none; set data.source as well" in refusal(values)


def test_shares_must_leave_something_to_train_on(values):
    values["data"] |= {"valid_share": 0.5, "test_share": 0.5}
    message = refusal(values)
    assert "valid_share" in message and "test_share" in message


def test_explained_must_be_an_experiment(values):
    values["labels"]["explained"] = "9 labels"
    message = refusal(values)
    assert "9 labels" in message and "7 labels" in message


def test_unknown_profile_lists_the_profiles():
    with pytest.raises(ParameterError, match="'dmo'.*demo.*smoke"):
        load_params("dmo")


def test_overrides_of_every_type():
    params = load_params(
        "smoke", ["training.epochs=3", "iou.shares=[0.1, 0.2]", "compute.device=cpu", "model.weights=null"]
    )
    assert params.training.epochs == 3
    assert params.iou.shares == [0.1, 0.2]
    assert (params.compute.device, params.model.weights) == ("cpu", None)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.root=/data/set #2", "/data/set #2"),
        ("data.root=/data/a: b", "/data/a: b"),
        ("data.root=007", "007"),
        ("data.root=2023-01-01", "2023-01-01"),
        ("data.root=1:30", "1:30"),
        ("data.root=yes", "yes"),
        ("data.root=C:\\data\\set", "C:\\data\\set"),
        ("data.root=[a]", "[a]"),
        ("data.root=*", "*"),
        ("data.root='a", "'a"),
        ("data.root= /data/set ", "/data/set"),
        ("data.root='/data/set #2'", "/data/set #2"),
        ('data.root="a\\tb"', "a\tb"),
        ("data.root=null", None),
        ("data.root=", None),
        ("data.seed=010", 10),
        ("data.seed=3.0", 3),
        ("training.learning_rate=1e-3", 0.001),
        ("training.learning_rate=1E-3", 0.001),
        ("training.learning_rate=.5", 0.5),
        ("training.learning_rate=1", 1.0),
        ("training.pos_weight=no", False),
        ("training.pos_weight=True", True),
        ("model.output_stride=32", 32),
        ("smoothgrad.noise_levels=[1e-1, '0.2']", [0.1, 0.2]),
        (
            "labels.experiments={7 labels: [007, No], NA: [null, 1e5]}",
            {"7 labels": ["007", "No"], "NA": ["null", "1e5"]},
        ),
    ],
)
def test_a_value_is_read_for_its_parameter(override, value):
    section, _, name = override.partition("=")[0].partition(".")
    source = ["data.source=folder"] if name == "root" and value is not None else []
    found = getattr(getattr(load_params("smoke", [*source, override]), section), name)
    assert (found, type(found)) == (value, type(value))


def test_the_last_override_wins():
    assert load_params("smoke", ["data.seed=1", "data.seed=2"]).data.seed == 2


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("training", "section.name=value"),
        ("training.epochs", "section.name=value"),
        ("epochs=3", "section.name=value"),
        ("trainin.epochs=3", "training"),
        ("training.epoch=3", "epochs"),
        ("training.epochs=three", "training.epochs"),
        ("training.epochs=0x10", "training.epochs"),
        ("training.epochs=1:30", "training.epochs"),
        ("training.epochs=3.5", "training.epochs"),
        ("training.epochs=null", "training.epochs"),
        ("training.learning_rate=0,001", "training.learning_rate"),
        ("training.learning_rate=nan", "training.learning_rate"),
        ("training.pos_weight=maybe", "training.pos_weight"),
        ("model.output_stride=8", "model.output_stride"),
        ("iou.shares=0.1", "iou.shares"),
        ("iou.shares=[0.1", "iou.shares"),
        ("iou.shares=[0.1, 0.10]", "0.1 stands there twice"),
        ("labels.experiments={7 labels: [a #1, b]}", "put text that holds # between quotes"),
        ("labels.experiments={7 labels: [a, b], 7 labels: [a, c]}", "'7 labels' stands there twice"),
    ],
)
def test_wrong_override_is_refused(override, named):
    with pytest.raises(ParameterError, match=named.replace(".", r"\.")):
        load_params("smoke", [override])


def test_a_profile_s_section_stands_there_once(tmp_path, monkeypatch):
    (tmp_path / "own.yaml").write_text("data:\n  seed: 1\niou: {}\ndata:\n  source: demo\n")
    monkeypatch.setattr("cxrlib.params.PROFILES", tmp_path)
    with pytest.raises(ParameterError, match="'data' stands there twice"):
        load_params("own")


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["perturbation.kernels=[49]"], "perturbation.kernels: 49 .* model.input_size=48"),
        (["model.input_size=32", "perturbation.kernels=[11, 65]"], "65 .* model.input_size=32"),
        (["iou.shares=[0.0001]"], "iou.shares: 0.0001 of 48 x 48 pixels .* no pixel"),
        (["perturbation.shares=[0.1, 0.0002]"], "perturbation.shares: 0.0002 .* no pixel"),
        (["iou.shares=[0.1, 0.10001]"], "iou.shares: 0.10001 .* is 230 pixels, as is 0.1"),
    ],
)
def test_parameters_that_contradict_each_other(overrides, named):
    with pytest.raises(ParameterError, match=named):
        load_params("smoke", overrides)


def test_a_kernel_as_wide_as_the_input_is_blurred():
    params = load_params("smoke", ["perturbation.kernels=[47]"])
    image = torch.zeros(1, params.model.input_size, params.model.input_size, dtype=torch.uint8)
    assert blurred_image(image, *params.perturbation.kernels).shape == image.shape


def test_a_relative_path_counts_from_the_folder_and_names_are_no_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    params = load_params(
        "smoke", ["data.source=folder", "data.root=x-rays", "model.weights=imagenet", "transfer.run=~/outputs/a"]
    )
    found = with_absolute_paths(params, Path("/here"))
    assert (found.data.root, found.model.weights) == ("/here/x-rays", "imagenet")
    assert found.transfer.run == "/home/somebody/outputs/a"
    assert with_absolute_paths(found, Path("/there")) == found
    assert with_absolute_paths(load_params("smoke"), Path("/here")) == load_params("smoke")


def test_params_cannot_change(values):
    params = check_params(copy.deepcopy(values), "smoke")
    with pytest.raises(ValueError, match="frozen"):
        params.training.epochs = 3
    assert Params.model_validate(params.model_dump()) == params


SHARES = st.floats(0.001, 0.4)
TEXTS = st.text("abc/.-_ é:#'\"{}[]&*!|>%@", min_size=1, max_size=12).filter(
    lambda text: text == text.strip() and text[0] not in "'\""
)


@given(
    data=st.fixed_dictionaries({"valid_share": SHARES, "test_share": SHARES, "seed": st.integers(0, 2**32 - 1)}),
    training=st.fixed_dictionaries({"learning_rate": st.floats(1e-300, 1e300), "pos_weight": st.booleans()}),
    model=st.fixed_dictionaries({"weights": st.none() | TEXTS}),
    iou=st.fixed_dictionaries(
        {"shares": st.lists(SHARES, min_size=1, max_size=5, unique_by=lambda share: round(share * 48**2))}
    ),
)
def test_any_parameters_come_back_from_yaml_and_from_the_command_line(data, training, model, iou):
    """Dumped and read again, or given one by one with --set, they are the same to the last bit."""
    changes = {"data": data, "training": training, "model": model, "iou": iou}
    values = load_params("smoke").model_dump()
    for section, fields in changes.items():
        values[section] |= fields
    params = check_params(values, "smoke")
    dumped = yaml.safe_dump(params.model_dump())
    assert check_params(yaml.safe_load(dumped), "smoke") == params
    assert check_params(yaml.load(dumped, yaml.BaseLoader), "smoke", of_text=True) == params
    overrides = [
        f"{section}.{name}={'null' if value is None else value}"
        for section, fields in changes.items()
        for name, value in fields.items()
    ]
    assert load_params("smoke", overrides) == params
