"""Maps to numbers: classification, boxes, localisation, perturbation, readers and intervals."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "bootstrap": ["in_words", "study_weights"],
        "boxes": ["boxes_from_mask", "pairwise_iou", "with_union"],
        "classification": ["auroc_samples", "confusion_matrices", "f1_samples", "predictions", "roc_curves"],
        "localisation": ["boxed_cases", "correct_cases", "score_maps", "shared_regions"],
        "perturbation": ["gaussian_sigma", "mean_drops", "perturb_studies", "replaced_versions"],
        "readers": ["by_image", "label_outcomes", "reader_agreement"],
        "stability": ["mean_agreement", "smoothing_agreement"],
        "transfer": ["best_share", "compare", "evaluate_model"],
    },
)
