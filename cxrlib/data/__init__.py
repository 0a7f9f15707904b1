"""Files to a cohort: annotations, labels, images, splits, sources and rendered radiographs."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "annotations": ["PUBLIC_ANNOTATIONS", "public_annotations_path", "read_annotations"],
        "labels": ["without_counterpart"],
        "provenance": ["NO_DATA", "transfer_provenance"],
        "render.frame": ["boxes_as_fractions"],
    },
)
