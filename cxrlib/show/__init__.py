"""Tables, figures, the heatmap browser and the report."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "browse.sheet": ["show_browser"],
        "cases": [
            "cases_first",
            "fullest",
            "labelled",
            "most_labels",
            "most_predicted",
            "right_class_wrong_place",
            "surest",
            "surest_cases",
            "wrong_class_right_place",
        ],
        "figures.classification_figures": ["confusion_grid", "roc_plot"],
        "figures.data_figures": [
            "agreement_bars",
            "density_grid",
            "disagreement_grid",
            "example_grid",
            "habits_grid",
            "together_grid",
            "training_bars",
        ],
        "figures.gradcam_figures": ["steps_figure"],
        "figures.iou_figures": [
            "between_chance_and_readers",
            "box_grid",
            "intersection_and_union",
            "iou_curves",
            "pair_scores",
        ],
        "figures.panels": ["display_map", "explanation_grid"],
        "figures.perturbation_figures": ["drop_panels", "pipeline", "replaced_grid"],
        "figures.smoothgrad_figures": ["method_grid", "taxonomy"],
        "figures.style": ["sentence_figure", "set_style"],
        "figures.training_figures": ["dot_product", "loss_curves", "residual_block"],
        "figures.transfer_figures": ["transfer_plot"],
        "tables": ["auroc_table", "f1_table", "own_drops", "split_counts"],
    },
)
