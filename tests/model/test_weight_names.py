import pytest
import torch
from torchvision import models

from cxrlib.model.networks import build_network
from cxrlib.model.weight_names import fitting_names, head_of, outline_of


def outline(name, n_classes=1000):
    with torch.device("meta"):
        return models.get_model(name, weights=None, num_classes=n_classes)


def shapes_of(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def published(name):
    """Names and shapes in the file that torchvision publishes: without batch norm's counters."""
    return {name: shape for name, shape in shapes_of(outline(name)).items() if "num_batches_tracked" not in name}


def renamed(change, shapes):
    return {change(name): shape for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def resnet18():
    return outline_of(build_network("resnet18", 3))


@pytest.mark.parametrize(("name", "number"), [("resnet18", 102), ("resnet34", 182), ("resnet50", 267)])
def test_the_published_files_fit(name, number):
    shapes = published(name)
    assert len(shapes) == number  # as counted in the files
    assert fitting_names(outline_of(build_network(name, 3)), shapes) == {"": {name: name for name in shapes}}


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "model.", "net.", "network.", "backbone.", "encoder.", "_orig_mod.", "resnet."),
        *("state_dict.model.module.", "model_state_dict._orig_mod.", "module.module.model.net.", "0.", "x.y.z."),
    ],
)
def test_what_comes_before_the_names_does_not_matter(resnet18, prefix):
    others = {"epochs.done": (), "criterion.pos_weight": (3,), "optimizer.state.0.momentum_buffer": (64, 3, 7, 7)}
    (found,) = fitting_names(resnet18, renamed(lambda name: prefix + name, published("resnet18")) | others).values()
    assert found == {name: prefix + name for name in published("resnet18")}


@pytest.mark.parametrize("wrapper", ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_what_stands_inside_of_a_name_is_taken_away(resnet18, wrapper):
    shapes = renamed(lambda name: name.replace("layer1.", f"layer1.{wrapper}."), shapes_of(resnet18))
    assert fitting_names(resnet18, shapes)[""]["layer1.0.bn1.bias"] == f"layer1.{wrapper}.0.bn1.bias"


def test_the_network_and_its_average_are_two_sets(resnet18):
    shapes = shapes_of(resnet18)
    both = renamed(lambda name: f"model.{name}", shapes) | renamed(lambda name: f"model_ema.module.{name}", shapes)
    assert list(fitting_names(resnet18, both | {"model_ema.n_averaged": ()})) == ["model.", "model_ema.module."]


@pytest.mark.parametrize("head", [{}, {"fc.weight": (18, 512)}, {"fc.1.weight": (2, 512), "fc.1.bias": (2,)}])
def test_the_head_may_be_absent_or_another(resnet18, head):
    backbone = {name: shape for name, shape in published("resnet18").items() if not name.startswith("fc.")}
    assert list(fitting_names(resnet18, backbone | head)) == [""]
    assert list(fitting_names(resnet18, renamed(lambda name: f"model.{name}", backbone | head))) == ["model."]


@pytest.mark.parametrize(
    "change",
    [
        lambda shapes: shapes.pop("layer4.1.bn2.running_var"),
        lambda shapes: shapes.update({"conv1.weight": (64, 1, 7, 7)}),
        lambda shapes: shapes.update({"bn1.weight": (1, 64)}),
        lambda shapes: shapes.update({"layer1.2.conv1.weight": (64, 64, 3, 3)}),
        lambda shapes: shapes.update({"queue": (128, 65536)}),
    ],
    ids=["missing", "one channel", "misshaped", "deeper", "something else"],
)
def test_nothing_else_is_tolerated(resnet18, change):
    shapes = published("resnet18")
    change(shapes)
    assert not fitting_names(resnet18, shapes)
    with pytest.raises(RuntimeError):  # as torchvision's builder
        models.resnet18().load_state_dict({name: torch.zeros(shape) for name, shape in shapes.items()})


def test_a_deeper_network_does_not_fit_although_it_has_all_names(resnet18):
    shapes = published("resnet34")
    assert published("resnet18").keys() < shapes.keys()
    assert not fitting_names(resnet18, shapes)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("densenet121", ".norm1.", ".norm.1."),
        ("densenet121", ".conv2.", ".conv.2."),
        ("vit_b_16", ".mlp.0.", ".mlp.linear_1."),
        ("alexnet", "features.", "features.module."),
    ],
    ids=["DenseNet's norm.1", "DenseNet's conv.2", "ViT's linear_1", "a part that ran on several GPUs"],
)
def test_old_names_fit_where_torchvision_reads_them(name, old, new):
    shapes = renamed(lambda there: there.replace(old, new), published(name))
    assert shapes != published(name)
    assert list(fitting_names(outline(name, 3), shapes)) == [""]


@pytest.mark.parametrize(
    "name",
    ["alexnet", "vgg11_bn", "squeezenet1_1", "densenet121", "mobilenet_v3_small", "efficientnet_b0", "mnasnet0_5"]
    + ["shufflenet_v2_x0_5", "convnext_tiny", "vit_b_16", "swin_t", "maxvit_t", "resnet50"],
)
def test_the_head_is_what_depends_on_the_number_of_labels(name):
    two, three = (shapes_of(outline(name, number)) for number in (2, 3))
    different = {key.rpartition(".")[0] for key in two if two[key] != three[key]}
    if name == "maxvit_t":
        different = {"classifier.5"} & different
    assert {head_of(outline(name))} == different


@pytest.mark.parametrize("inner", ["a.ema.", "a.module."])
def test_a_set_inside_of_another_s_place_is_a_set_of_its_own(resnet18, inner):
    shapes = published("resnet18")
    both = renamed(lambda name: f"a.{name}", shapes) | renamed(lambda name: f"{inner}{name}", shapes)
    assert list(fitting_names(resnet18, both)) == ["a.", inner]
