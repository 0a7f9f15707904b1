"""Maps to numbers: classification, boxes, localisation, perturbation, readers and intervals."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "bootstrap": ["in_words", "study_weights"],
        "controls": ["beside_controls"],
        "classification": ["auroc_samples", "confusion_matrices", "f1_samples", "predictions", "roc_curves"],
        "ensemble": ["score_ensemble", "trained_again_cases"],
        "fidelity": ["fidelity_cases"],
        "invariance": ["Shifted"],
        "ladder": ["climb", "difficulty", "fails_first"],
        "localisation": ["boxed_cases", "no_finding_places", "score_boxed"],
        "method_scores": ["method_agreement", "same_maps", "score_methods", "with_controls", "with_falls"],
        "perturbation": ["gaussian_sigma", "mean_drops", "perturb_studies", "replaced_versions"],
        "phantom": [
            "box_as_stand_in",
            "estimated_effects",
            "not_needed",
            "score_against",
            "score_on_truth",
            "true_effects",
        ],
        "retrained": ["retrained_table"],
        "stability": ["mean_agreement", "smoothing_agreement"],
        "trusted_measures": ["fitness"],
        "verdict": ["answers", "cases_to_decide", "colour_of", "headline", "limits", "verdict_table"],
        "trade_off": ["map_cases", "penalty_table"],
        "transfer": ["best_share", "compare", "evaluate_model"],
    },
)
