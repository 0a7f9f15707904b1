"""What a run keeps: parameters in, files out, resumable."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "abroad": ["explain_home_and_abroad"],
    },
)
