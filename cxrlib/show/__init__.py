"""Tables, figures, the heatmap browser and the report."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "browse.sheet": ["show_browser"],
        "cases": [
            "cases_first",
            "fullest",
            "least_fall",
            "middle_cases",
            "most_predicted",
            "surest_cases",
            "typical_examples",
        ],
        "check_words": ["checks_in_words"],
        "figures.classification_figures": ["confusion_grid", "roc_plot"],
        "figures.gradcam_figures": ["harder_panels", "steps_figure"],
        "figures.methods_figures": ["agreement_matrix", "method_sheet", "score_panels"],
        "figures.panels": ["explanation_grid", "how_shown"],
        "figures.smoothgrad_figures": ["method_grid", "taxonomy"],
        "figures.training_figures": ["first_dot_product", "loss_curves", "residual_block"],
        "figures.transfer_figures": ["transfer_plot"],
        "likeness": ["alike_in_words", "like_in_words"],
        "method_tables": ["method_costs", "methods_table", "networks_table"],
        "phantom_tables": ["cause_sentences", "effects_table", "not_needed_table", "phantom_table"],
        "shortcut_tables": ["cue_tests_table", "shortcut_table", "verdicts"],
        "tables": ["auroc_table", "f1_table", "own_drops", "split_counts"],
        "verdict_tables": ["rule_table", "verdict_evidence", "with_ceilings"],
    },
)
