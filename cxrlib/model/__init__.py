"""Tensors to logits: networks, weights, training, checkpoints and fast inference."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "networks": ["build_network", "feature_map_shape", "normalise"],
        "training": ["positive_weights"],
        "uninformed": ["uninformed_loss"],
    },
)
