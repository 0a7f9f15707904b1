"""Layer-wise relevance propagation against zennit, hand calculations and what must be conserved."""

import functools

import pytest
import torch
from fixtures import SmallNet
from torch import nn
from torch.nn import functional
from torchvision import models
from zennit.attribution import Gradient
from zennit.composites import LayerMapComposite, NameMapComposite, layer_map_base
from zennit.rules import Epsilon, Flat, Gamma, ZPlus
from zennit.torchvision import ResNetCanonizer
from zennit.types import Convolution

from cxrlib.explain.lrp import RULES, lrp_maps, propagated, rules_of
from cxrlib.explain.lrp_graph import Recording, RuleError, operations
from cxrlib.explain.lrp_rules import alpha1beta0, gamma, step_of
from cxrlib.explain.methods import find
from cxrlib.runtime.device import use_device


def seeded(make):
    """What `make` makes of the same random numbers every time, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return make().eval()


def trained(network):
    """The network with batch norms that have seen data: no factor is 1, no shift is 0."""
    random = torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in [(module.weight, 0.5), (module.running_var, 0.5), (module.bias, -0.3)]:
                tensor.data = torch.rand(tensor.shape, generator=random) + low
            module.running_mean = torch.rand(module.running_mean.shape, generator=random) - 0.5
    return network


def without_biases(network):
    """The network with every bias, also that of a batch norm, at 0."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
    return network


def input_times_gradient(network, images):
    images = images.clone().requires_grad_()
    logits = network(images).sum(0)
    each = [torch.autograd.grad(logit, images, retain_graph=True)[0] for logit in logits]
    return torch.stack([(images * gradient).sum(1) for gradient in each], 1).detach()


def small_resnet():
    return models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=3)


def small_densenet():
    return models.DenseNet(8, (2, 2), num_init_features=8, num_classes=3)


class Everything(nn.Module):
    """Every operation with a rule, layers used twice, ReLUs and additions that overwrite."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.twice, self.relu = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True)
        self.wide, self.drop, self.late_norm = nn.Conv2d(16, 8, 1), nn.Dropout(), nn.BatchNorm2d(16)
        self.score = nn.Linear(8, 3)

    def forward(self, images):
        images = (images - 0.0) / 0.5
        features = self.relu(self.norm(self.stem(images)))
        identity = functional.max_pool2d(features, 2)
        features = self.twice(identity)
        features = self.relu(features)
        features = self.twice(features)
        features += identity
        features = functional.relu(features, inplace=True)
        features = torch.cat([features, functional.avg_pool2d(identity, 3, 1, 1)], 1)
        features = self.drop(self.wide(functional.relu6(0.1 * self.late_norm(features)))).relu_()
        features = functional.adaptive_avg_pool2d(features, (3, 2))
        return self.score(features.mean((2, 3), keepdim=True).view(features.size(0), -1))


IMAGES = torch.randn(2, 3, 32, 24, generator=torch.Generator().manual_seed(5))


# conservation and identities


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("make", [Everything, small_resnet, small_densenet, SmallNet])
def test_at_every_cut_the_relevance_is_the_logit(make, rule):
    network = without_biases(trained(seeded(make))).requires_grad_(False)
    graph = operations(network)
    recording = Recording(graph)
    logits = recording.run(IMAGES).T
    largest = logits.abs().amax()
    cut = logits.clone()
    checked = []

    def checking(of_node):
        def rule_and_check(step, relevance):
            parts = of_node(step, relevance)
            cut.sub_(relevance.flatten(2).sum(2)).add_(sum(part.flatten(2).sum(2) for part in parts))
            checked.append(float((cut - logits).abs().amax() / largest))
            return parts

        return rule_and_check

    rules = rules_of(graph, recording, rule, epsilon=1e-12)
    relevance = propagated(graph, {node: checking(one) for node, one in rules.items()}, IMAGES)
    assert len(checked) == len(rules) and max(checked) < 1e-4
    torch.testing.assert_close(relevance.sum((2, 3, 4)), logits, rtol=0, atol=1e-4 * float(largest))


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("make", [small_resnet, small_densenet, SmallNet])
def test_epsilon_is_input_times_gradient_in_a_relu_network(make, biases):
    network = trained(seeded(make))
    network = network if biases else without_biases(network)
    expected = input_times_gradient(network, IMAGES)
    maps = lrp_maps(network, IMAGES, rule="epsilon", epsilon=1e-12)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    for rule in ["composite", "gamma", "alpha1beta0"]:
        assert correlation(lrp_maps(network, IMAGES, rule=rule), expected) < 0.9, rule


def correlation(one, other):
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_resnet50_is_not_input_times_gradient():
    network = trained(seeded(lambda: models.resnet50(weights=None, num_classes=1)))
    expected = input_times_gradient(network, IMAGES[:1])
    for rule in ["composite", "gamma", "alpha1beta0"]:
        assert abs(correlation(lrp_maps(network, IMAGES[:1], rule=rule), expected)) < 0.5, rule


def test_a_bias_absorbs_its_share():
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1))
    network[1].weight.data, network[1].bias.data = torch.tensor([[1.0, 2.0]]), torch.tensor([5.0])
    maps = lrp_maps(network, torch.tensor([[[[3.0, 1.0]]]]), rule="epsilon", epsilon=0)
    torch.testing.assert_close(maps, torch.tensor([[[[3.0, 2.0]]]]))  # of the logit 10


# zennit


def zennit_maps(network, images, composite):
    each = []
    with Gradient(network, composite) as attributor:
        for column in range(network(images).shape[1]):
            chosen = lambda logits, column=column: logits * (torch.arange(logits.shape[1]) == column)  # noqa: E731
            each.append(attributor(images, chosen)[1].sum(1))
    return torch.stack(each, 1).detach()


SEQUENTIAL = [
    *[nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.MaxPool2d(2)],
    *[nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)],
]
PEERS = {"epsilon": Epsilon(1e-6), "gamma": Gamma(0.25), "alpha1beta0": ZPlus()}


@pytest.fixture
def sequential():
    network = nn.Sequential(*SEQUENTIAL)
    random = torch.Generator().manual_seed(6)
    for parameter in network.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=random)
    return network.eval()


@pytest.mark.parametrize("rule", PEERS)
def test_a_sequential_network_is_as_in_zennit(rule, sequential):
    peer = LayerMapComposite([*layer_map_base(), ((Convolution, nn.Linear), PEERS[rule])])
    expected = zennit_maps(sequential, IMAGES, peer)
    assert_same(lrp_maps(sequential, IMAGES, rule=rule), expected)


def test_the_composite_of_a_sequential_network_is_as_in_zennit(sequential):
    # three convolutions: the first flat, the second the last of the earlier half
    names = [(["0"], Flat()), (["2"], Gamma(0.25)), (["5", "9"], Epsilon(1e-6)), (["7"], layer_map_base()[2][1])]
    expected = zennit_maps(sequential, IMAGES, NameMapComposite(names))
    assert_same(lrp_maps(sequential, IMAGES), expected)


@pytest.mark.parametrize("rule", PEERS)
def test_a_resnet_is_as_in_zennit(rule):
    network = trained(seeded(lambda: models.resnet18(weights=None, num_classes=2))).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0  # zennit's canonizer leaves a factor 1 / sqrt(1 + eps) behind
    peer = LayerMapComposite(
        [*layer_map_base(), ((Convolution, nn.Linear), PEERS[rule])], canonizers=[ResNetCanonizer()]
    )
    expected = zennit_maps(network, IMAGES.double(), peer)
    assert_same(lrp_maps(network, IMAGES.double(), rule=rule), expected)


def assert_same(maps, expected):
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


# by hand


def test_alpha1beta0_counts_a_negative_activation_with_a_negative_weight():
    layer = nn.Linear(4, 1)
    layer.weight.data, layer.bias.data = torch.tensor([[1.0, -1.0, -2.0, 3.0]]), torch.tensor([4.0])
    step = step_of(layer, torch.tensor([[1.0, 1.0, -3.0, -1.0]]))
    # contributions 1, -1, 6, -3, bias 4: the positive ones are 1, 6 and 4
    (relevance,) = alpha1beta0(step, torch.tensor([[[22.0]]]), epsilon=0)
    torch.testing.assert_close(relevance, torch.tensor([[[2.0, 0.0, 12.0, 0.0]]]))


def test_gamma_prefers_the_sign_of_the_output():
    layer = nn.Linear(3, 2, bias=False)
    layer.weight.data = torch.tensor([[2.0, -1.0, -3.0], [-2.0, 1.0, 0.0]])
    step = step_of(layer, torch.tensor([[1.0, 1.0, -1.0]]))
    # contributions of the first output 2, -1, 3 (4 in all), of the second -2, 1, 0 (-1); gamma 1 doubles 2, 3 and -2
    (relevance,) = gamma(step, torch.tensor([[[9.0, 0.0]], [[0.0, 6.0]]]), epsilon=0, gamma=1)
    torch.testing.assert_close(relevance, torch.tensor([[[4.0, -1.0, 6.0]], [[8.0, -2.0, 0.0]]]))


class Scaled(nn.Module):
    """Two scalings by 1x1 convolutions, joined as `join` says."""

    def __init__(self, join, first=1.0, second=3.0):
        super().__init__()
        self.first, self.second, self.join = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1, bias=False), join
        self.relu = nn.ReLU(inplace=True)
        self.first.weight.data.fill_(first)
        self.second.weight.data.fill_(second)

    def forward(self, images):
        return self.join(self, images).flatten(1)


def add_to_the_right(self, x):
    out = self.second(self.relu(self.first(x)))
    out += x
    return out


def add_to_the_left(self, x):
    identity, out = x, self.second(self.relu(self.first(x)))
    return torch.add(identity, out)


@pytest.mark.parametrize("join", [add_to_the_right, add_to_the_left])
def test_the_branches_of_an_addition_keep_their_order(join):
    network = Scaled(join)
    graph = operations(network)
    recording = Recording(graph)
    arrived = {}

    def noting(node, rule):
        def note(step, relevance):
            arrived[str(node.target)] = relevance.flatten().tolist()
            return rule(step, relevance)

        return note

    recording.run(torch.full((1, 1, 1, 1), 2.0))
    rules = rules_of(graph, recording, "epsilon", epsilon=0)
    propagated(graph, {node: noting(node, rule) for node, rule in rules.items()}, torch.full((1, 1, 1, 1), 2.0))
    assert arrived["second"] == [6.0] and arrived["first"] == [6.0]  # of 8; 2 went along the identity


def overwritten_before_the_addition(self, x):
    first = self.first(x)
    second = self.second(self.relu(first))
    return second + first  # first is rectified by now


def rectified_before_the_addition(self, x):
    first = functional.relu(self.first(x))
    return self.second(first) + first


def test_an_overwritten_tensor_is_the_overwriting_one():
    images = torch.tensor([[[[-2.0, 2.0]]]])
    maps = lrp_maps(Scaled(overwritten_before_the_addition), images, rule="epsilon", epsilon=0)
    torch.testing.assert_close(maps, lrp_maps(Scaled(rectified_before_the_addition), images, rule="epsilon", epsilon=0))
    assert maps[0].tolist() == [[[0.0, 0.0]], [[0.0, 8.0]]]


OVERWRITING = {
    "module": lambda self, x: self.relu(x),
    "function": lambda _, x: functional.relu(x, True),
    "method": lambda _, x: x.relu_(),
    "function of torch": lambda _, x: torch.relu_(x),
    "an addition": lambda _, x: x.relu_().add_(0.0),
}


@pytest.mark.parametrize("way", OVERWRITING)
@pytest.mark.parametrize("rule", RULES)
def test_a_relu_overwrites_or_not_with_the_same_map(way, rule):
    def overwriting(self, x):
        first = self.first(x)
        OVERWRITING[way](self, first)
        return self.second(first)

    def plain(self, x):
        return self.second(self.first(x).relu())

    images = torch.tensor([[[[-2.0, 2.0]]]])
    maps = lrp_maps(Scaled(overwriting), images, rule=rule)
    torch.testing.assert_close(maps, lrp_maps(Scaled(plain), images, rule=rule))
    assert maps.abs().sum() > 1


def test_batch_norm_before_a_convolution_is_a_linear_layer():
    norm = nn.BatchNorm2d(1, eps=0).eval()
    norm.weight.data.fill_(2.0)
    norm.bias.data.fill_(3.0)
    layers = [nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), norm, nn.ReLU(), nn.Flatten(), nn.Linear(1, 1, bias=False)]
    network = nn.Sequential(*layers)
    network[0].weight.data.fill_(1.0)
    network[5].weight.data.fill_(4.0)
    # 5 becomes 2 * 5 + 3 = 13 and the logit 52; the norm's bias keeps 3 / 13 of it
    maps = lrp_maps(network, torch.full((1, 1, 1, 1), 5.0), rule="epsilon", epsilon=0)
    torch.testing.assert_close(maps, torch.full((1, 1, 1, 1), 40.0))


def test_batch_norm_behind_a_convolution_is_folded():
    network = trained(seeded(SmallNet))
    folded = nn.utils.fusion.fuse_conv_bn_eval(network.first, network.norm)
    plain = seeded(SmallNet)
    plain.first, plain.norm = folded, nn.Identity()
    for rule in RULES:
        torch.testing.assert_close(lrp_maps(network, IMAGES, rule=rule), lrp_maps(plain, IMAGES, rule=rule))


def test_a_change_of_units_before_the_first_layer_passes_all_relevance():
    class Normalising(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network
            self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6])[:, None, None])

        def forward(self, images):
            return self.network((images - self.mean) / 0.2)

    network = seeded(SmallNet)
    normalised = (IMAGES - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / 0.2
    torch.testing.assert_close(lrp_maps(Normalising(network), IMAGES), lrp_maps(network, normalised))


# refusals


class Applied(nn.Module):
    """A convolution, an operation, a head."""

    def __init__(self, operation, channels=4):
        super().__init__()
        self.stem, self.operation, self.score = nn.Conv2d(3, 4, 3), operation, nn.Linear(channels, 2)

    def forward(self, images):
        return self.score(self.operation(self.stem(images)).mean((2, 3)))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, features):
        tokens = features.flatten(2).transpose(1, 2)
        return self.attend(tokens, tokens, tokens)[0].transpose(1, 2).unflatten(2, features.shape[2:])


class SqueezeExcitation(nn.Module):
    def __init__(self):
        super().__init__()
        self.squeeze = nn.Linear(4, 4)

    def forward(self, features):
        return features * self.squeeze(features.mean((2, 3))).sigmoid()[:, :, None, None]


class Branching(nn.Module):
    def forward(self, features):
        return features if features.sum() > 0 else -features


@pytest.mark.parametrize(
    ("operation", "named"),
    [
        (nn.SiLU(), r"SiLU \(module 'operation'\)"),
        (nn.SiLU(inplace=True), r"SiLU \(module 'operation'\)"),
        (functional.gelu, "gelu"),
        (nn.Sigmoid(), "Sigmoid"),
        (nn.GroupNorm(2, 4), "GroupNorm"),
        (nn.LayerNorm([30, 22]), "LayerNorm"),
        (Attention(), r"MultiheadAttention \(module 'operation.attend'\)"),
        (SqueezeExcitation(), r"sigmoid \(module 'operation'\)"),
        (lambda features: functional.interpolate(features, scale_factor=2), "interpolate"),
        (lambda features: features * features, "mul"),
        (lambda features: 1 / (features + 9), "truediv"),
        (lambda features: torch.cat(features.chunk(2, 1), 1), "chunk"),
        (lambda features: features.clamp_(min=0), "clamp_"),
        (lambda features: torch.sigmoid_(features), "sigmoid_"),
        (lambda features: functional.leaky_relu(features, inplace=True), "leaky_relu"),
        (nn.BatchNorm2d(4, track_running_stats=False), "BatchNorm2d .* without running statistics"),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), "ParametrizedConv2d|_WeightNorm"),
        (nn.utils.spectral_norm(nn.Conv2d(4, 4, 1)), "Conv2d .* computed anew"),
        (nn.Softmax(1), "Softmax"),
    ],
)
def test_an_operation_without_a_rule_is_named(operation, named):
    network = Applied(operation).train()
    with pytest.raises(RuleError, match=f"LRP has no rule for .*({named})") as refusal:
        lrp_maps(network, IMAGES)
    assert "\n" not in str(refusal.value) and "another method" in str(refusal.value)
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())


def test_a_network_that_cannot_be_traced_is_refused():
    with pytest.raises(
        RuleError, match=r"operations of Branching \(module 'operation'\): torch.fx says .*control flow"
    ):
        lrp_maps(Applied(Branching()), IMAGES)
    with pytest.raises(RuleError, match="operations of Branching: torch.fx says .*control flow"):
        lrp_maps(Branching(), IMAGES)


def test_a_random_network_is_refused():
    with pytest.raises(RuleError, match="other logits than the network"):
        lrp_maps(Applied(functools.partial(functional.dropout, p=0.5)), IMAGES)


def test_an_output_that_is_no_logits_is_refused():
    with pytest.raises(RuleError, match="logits of shape"):
        lrp_maps(nn.Conv2d(3, 2, 1), IMAGES)


def test_an_unknown_rule_and_a_negative_epsilon_are_refused():
    with pytest.raises(ValueError, match="no rule 'zplus'; choose one of composite"):
        lrp_maps(SmallNet(), IMAGES, rule="zplus")
    for wrong in [{"epsilon": -1.0}, {"gamma": -1.0}, {"epsilon": float("nan")}]:
        with pytest.raises(ValueError, match="at least 0"):
            lrp_maps(SmallNet(), IMAGES, **wrong)


# cost


def test_a_batch_bounds_what_passes_at_once_and_classes_share_it():
    network = SmallNet()
    sizes = []
    network.second.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    lrp_maps(network, IMAGES.repeat(4, 1, 1, 1), rule="epsilon", batch_size=3)
    # the network and its operations once on the first image, then batch by batch
    assert sizes == [1, 1, 3, 3, 2]


def test_the_cost_is_said():
    method = find("lrp")
    assert method.passes(7, (64, 64), rule="epsilon") == (1, 7)
    assert method.passes(7, (64, 64), rule="gamma") == (3, 14)
    assert "2 forward and 11 backward passes" in method.info(classes=7)


def test_a_gpu_computes_in_float32_although_tf32_is_asked_for():
    seen, network = [], SmallNet().eval()
    network.first.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    use_device("cpu", precision="tf32")
    try:
        network(IMAGES)
        lrp_maps(network, IMAGES)
        assert seen[0] and len(seen) > 1 and not any(seen[1:]) and torch.backends.cuda.matmul.allow_tf32
    finally:
        use_device("cpu")
