"""Grad-CAM (Selvaraju et al. 2017; thesis, section 3.1): the places of a feature map that support a class."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from cxrlib.model.pooling import PooledNetwork, pooled_at


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode without parameter gradients for a `with` block.

    Afterwards every module has its own mode again, and every parameter its own `requires_grad`.

    >>> network = nn.Linear(2, 1)
    >>> with frozen(network):
    ...     network.training, network.weight.requires_grad
    (False, False)
    >>> network.training, network.weight.requires_grad
    (True, True)
    """
    training = [(module, module.training) for module in network.modules()]
    wanted = [parameter.requires_grad for parameter in network.parameters()]
    network.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, flag in zip(network.parameters(), wanted, strict=True):
            parameter.requires_grad_(flag)


@contextlib.contextmanager
def explained_activations(network: nn.Module, layer: str) -> Iterator[list[torch.Tensor]]:
    """Record the activations of `layer` in the next forward pass.

    The activations are a leaf of the graph of gradients: gradients reach the layer and no further.

    >>> network = nn.Sequential(nn.ReLU(), nn.Flatten())
    >>> with explained_activations(network, "0") as recorded:
    ...     logits = network(torch.tensor([[-1.0, 2.0]]))
    >>> recorded[0].detach()
    tensor([[0., 2.]])
    """
    try:
        module = network.get_submodule(layer)
    except AttributeError:
        names = ", ".join(name for name, _ in network.named_children())
        raise ValueError(f"gradcam.layer: the network has no module {layer!r}; its parts are {names}") from None
    recorded: list[torch.Tensor] = []

    def record(_module: nn.Module, _inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        recorded[:] = [output.detach().requires_grad_()]
        # The next module may change its input in place. A leaf must not change, so that module gets a copy.
        return recorded[0].clone()

    handle = module.register_forward_hook(record)
    try:
        yield recorded
    finally:
        handle.remove()


def gradcam(
    network: nn.Module, inputs: torch.Tensor, layer: str = "layer4", classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Grad-CAM maps of several classes from one forward pass.

    The map of class c is `L^c = ReLU(sum_k alpha^c_k A^k)`. `A^k` is channel k of the layer's output. Its weight is
    `alpha^c_k = (1 / Z) sum_ij d y^c / d A^k_ij`, where `y^c` is the logit and Z the number of cells (Selvaraju et al.
    2017, equations 1 and 2; thesis, section 3.1). Maps are raw: not divided by their maximum, and at the resolution of
    the layer. `cxrlib.explain.maps` normalises and upscales them.

    >>> linear = nn.Linear(2, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[4.0, -2.0]])
    >>> network = PooledNetwork(nn.Identity(), False, linear, "features")
    >>> channels = torch.tensor([[[[1.0, 3.0]], [[5.0, 1.0]]]])  # A^1 = [1 3], A^2 = [5 1], Z = 2
    >>> gradcam(network, channels, "features")[0]  # ReLU(4/2 * [1 3] - 2/2 * [5 1]) = ReLU([-3 5])
    tensor([[[[0., 5.]]]])

    Args:
        network: images to logits (n, classes); its modes are as before afterwards. An `inference_copy` is faster.
        inputs: float32 (n, 3, h, w), normalised.
        layer: name of a module whose output is a feature map (n, k, rows, columns).
        classes: column numbers of the logits; all when None.

    Returns:
        Maps, float32 (n, len(classes), rows, columns), and logits (n, all classes), on the network's device.

    Raises:
        ValueError: no such layer, or its output is no feature map.
    """
    activations, weights, logits = channel_weights(network, inputs, layer, classes)
    return weighted_sum(activations, weights), logits


def channel_weights(
    network: nn.Module, inputs: torch.Tensor, layer: str, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The parts of Grad-CAM: a layer's activations `A^k`, and the weight `alpha^c_k` of each channel for each class.

    The weight is the spatial mean of the gradient: `alpha^c_k = (1 / Z) sum_ij d y^c / d A^k_ij`. Where only global
    average pooling and a linear layer follow, `closed_form_weights` reads the weight from the linear layer. Otherwise
    `gradient_weights` takes the gradient.

    >>> linear = nn.Linear(2, 1, bias=False)
    >>> linear.weight.data = torch.tensor([[4.0, -2.0]])
    >>> network = PooledNetwork(nn.Identity(), False, linear, "features")
    >>> channels = torch.tensor([[[[1.0, 3.0]], [[5.0, 1.0]]]])
    >>> channel_weights(network, channels, "features")[1]  # 4 and -2 over 2 cells
    tensor([[[ 2., -1.]]])

    Args:
        network, inputs, layer, classes: as in `gradcam`.

    Returns:
        Activations (n, k, rows, columns), weights (n, len(classes), k) and logits (n, all classes).
    """
    with frozen(network):
        pooled = pooled_at(network, layer)
        if pooled is None:
            return gradient_weights(network, inputs, layer, classes)
        return closed_form_weights(pooled, inputs, classes)


def closed_form_weights(
    network: PooledNetwork, inputs: torch.Tensor, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`channel_weights` of a pooled network, without a gradient.

    The logit is `y^c = sum_k w^c_k mean(A^k) + b^c`, so the gradient at each of the Z cells is `w^c_k / Z`, and so is
    its mean: `alpha^c_k = w^c_k / Z`. With a ReLU before the pooling, the gradient is zero in the cells that are not
    positive: `alpha^c_k = w^c_k / Z * (positive cells of A^k) / Z`.

    >>> linear = nn.Linear(1, 1, bias=False)
    >>> linear.weight.data.fill_(8.0)
    tensor([[8.]])
    >>> channels = torch.tensor([[[[1.0, 3.0], [-2.0, 0.0]]]])  # 4 cells, 2 of them positive
    >>> closed_form_weights(PooledNetwork(nn.Identity(), False, linear, "features"), channels)[1]  # 8/4
    tensor([[[2.]]])
    >>> closed_form_weights(PooledNetwork(nn.Identity(), True, linear, "features"), channels)[1]  # 8/4 * 2/4
    tensor([[[1.]]])
    """
    with torch.no_grad():
        activations = network.features(inputs)
        if activations.ndim != 4:
            raise ValueError(_no_feature_map(network.layer, activations))
        logits = network.classify(activations)
        chosen = network.linear.weight if classes is None else network.linear.weight[classes]
        passing = (activations > 0).float() if network.rectified else torch.ones_like(activations[:, :, :1, :1])
        cells = activations.shape[2] * activations.shape[3]
        return activations, chosen * passing.mean((2, 3))[:, None] / cells, logits


def gradient_weights(
    network: nn.Module, inputs: torch.Tensor, layer: str, classes: list[int] | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`channel_weights` of any network by automatic differentiation: one forward pass, all classes backward at once.

    Where memory is too small for all classes, or where an operation cannot be batched, the classes go one by one.

    >>> network = nn.Sequential(nn.Identity(), nn.Flatten())  # two cells, each of which is a logit
    >>> activations, weights, logits = gradient_weights(network, torch.tensor([[[[1.0, 3.0]]]]), "0")
    >>> weights  # of each logit: the mean of the gradient [1 0], and of [0 1]
    tensor([[[0.5000],
             [0.5000]]])
    """
    with explained_activations(network, layer) as recorded, torch.enable_grad():
        logits = network(inputs)
        activations = recorded[0]
        if activations.ndim != 4:
            raise ValueError(_no_feature_map(layer, activations))
        chosen = logits.sum(0) if classes is None else logits.sum(0)[classes]
        try:
            (gradients,) = torch.autograd.grad(
                chosen, activations, torch.eye(len(chosen)).to(chosen), retain_graph=True, is_grads_batched=True
            )
            weights = gradients.mean((3, 4))
        except RuntimeError:
            each = [torch.autograd.grad(logit, activations, retain_graph=True)[0].mean((2, 3)) for logit in chosen]
            weights = torch.stack(each)
    return activations.detach(), weights.transpose(0, 1), logits.detach()


def weighted_sum(activations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`L^c = ReLU(sum_k alpha^c_k A^k)`: raw maps (n, classes, h, w) of Grad-CAM.

    >>> weighted_sum(torch.tensor([[[[1.0, 3.0]], [[5.0, 1.0]]]]), torch.tensor([[[2.0, -1.0]]]))
    tensor([[[[0., 5.]]]])

    Args:
        activations: A, float32 (n, k, h, w).
        weights: alpha, float32 (n, classes, k).
    """
    return (weights @ activations.flatten(2)).relu().unflatten(2, activations.shape[2:])


def _no_feature_map(layer: str, output: torch.Tensor) -> str:
    return f"gradcam.layer: {layer} has output of shape {tuple(output.shape)}, no feature map"
