"""The words and numbers of the thesis: reported values, items, claims and errata."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "reported": ["public_data_sets", "thesis_iou", "thesis_labels"],
    },
)
