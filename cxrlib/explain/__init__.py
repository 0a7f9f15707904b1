"""Logits to maps: Grad-CAM, SmoothGrad, gradients, and what is done with raw maps."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "batched": ["explain_smooth"],
        "gradcam": ["channel_weights", "weighted_sum"],
        "gradients": ["smooth_gradient", "vanilla_gradient"],
        "maps": ["upscale"],
        "masks": ["top_pixels"],
        "smoothgrad": ["noisy_copies"],
    },
)
