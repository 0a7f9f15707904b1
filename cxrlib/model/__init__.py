"""Tensors to logits: networks, weights, training, checkpoints and fast inference."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "checkpoint": ["checkpoint_path", "load_checkpoint"],
        "inference": ["inference_copy"],
        "networks": ["build_resnet", "normalise"],
        "training": ["positive_weights"],
    },
)
