"""Figures lie where they say: boxes, heatmaps, readers' lines and confusion matrices."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from cxrlib.evaluate.faithfulness import OWN, RANDOM_PIXELS, RANDOM_REGION
from cxrlib.explain.explanations import Explanations
from cxrlib.show.figures.classification_figures import confusion_grid
from cxrlib.show.figures.colouring import FINE, GREYS, LEVELS, OPACITY, blended, coloured, edge, top_of
from cxrlib.show.figures.gradcam_figures import harder_panels
from cxrlib.show.figures.iou_figures import between_chance_and_readers, pair_scores
from cxrlib.show.figures.panels import (
    INSET,
    colour_bar,
    how_shown,
    show_boxes,
    show_heatmap,
    show_radiograph,
    show_readers,
)
from cxrlib.show.figures.perturbation_figures import PANELS, drop_panels
from cxrlib.show.figures.smoothgrad_figures import method_grid
from cxrlib.show.figures.style import READER_LINES, counted
from cxrlib.show.figures.training_figures import loss_curves

SIZE = 100


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def axes():
    return plt.subplots()[1]


def readers_of(*rows):
    return small_cohort(["A", "B"], annotation_rows(*rows), size=SIZE)


def test_boxes_and_heatmaps_lie_in_the_frame_of_the_image():
    ax = axes()
    show_radiograph(ax, np.zeros((20, 20), np.uint8))
    show_boxes(ax, np.array([[2, 3, 8, 7]]), "green")
    assert ax.patches[0].get_bbox().extents.tolist() == [2, 3, 8, 7]
    show_heatmap(ax, torch.eye(4), 20)
    assert list(ax.images[-1].get_extent()) == [0, 20, 20, 0] and ax.images[-1].origin == "upper"


def test_a_reader_keeps_the_line_style_in_all_findings_of_an_image():
    cohort = readers_of(
        ("i", "A", "R10", 0, 0, 10, 10),
        ("i", "B", "R9", 20, 0, 30, 10),
        ("i", "B", "R10", 40, 0, 50, 10),
        ("i", "C", "R8"),
    )
    assert cohort.readers("i") == ["R8", "R9", "R10"]
    ax = axes()
    show_readers(ax, cohort, "i", {"A": "red", "B": "blue"})
    drawn = {(to_hex(p.get_edgecolor()), p.get_x()): p.get_linestyle() for p in ax.patches}
    _, second, third = READER_LINES
    assert drawn == {("#ff0000", 0): third, ("#0000ff", 20): second, ("#0000ff", 40): third}


def test_a_box_on_top_of_another_is_drawn_inside_it():
    cohort = readers_of(("i", "A", "R1", 10, 10, 50, 60), ("i", "B", "R1", 10, 10, 50, 60))
    ax = axes()
    show_readers(ax, cohort, "i", {"A": "red", "B": "blue"})
    outer, inner = sorted((p.get_bbox().extents for p in ax.patches), key=lambda box: box[0])
    assert outer.tolist() == [10, 10, 50, 60]
    np.testing.assert_allclose(inner - outer, SIZE * INSET * np.array([1, 1, -1, -1]))


def test_small_boxes_on_top_of_each_other_stay_boxes():
    cohort = readers_of(*[("i", name, reader, 10, 10, 13, 12) for name in "AB" for reader in ("R1", "R2", "R3")])
    ax = axes()
    show_readers(ax, cohort, "i", {"A": "red", "B": "blue"})
    assert len(ax.patches) == 6 and all(p.get_width() > 0 and p.get_height() > 0 for p in ax.patches)


def test_the_colours_of_the_bar_are_those_of_the_picture_over_black_grey_and_white():
    """A ramp over each grey is drawn beside the bar, and pixels of both are compared."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
    ramp = torch.linspace(0, 1, FINE).repeat(FINE, 1)
    for ax, grey in zip(axes, GREYS, strict=True):
        ax.imshow(np.full((8, 8), 255 * grey), vmin=0, vmax=255, cmap="gray", extent=(0, 8, 8, 0))
        show_heatmap(ax, ramp, 8)
        ax.set_axis_off()
    colour_bar(figure, list(axes))
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)

    def at(ax, across, up):
        box = ax.get_window_extent()
        row = len(drawn) - box.y0 - up * box.height
        return drawn[round(row), round(box.x0 + across * box.width)]

    for value in (0.1, 0.4, 0.6, 0.9):  # between the contour lines
        for strip, ax in enumerate(axes):
            place = (value * (FINE - 1) + 0.5) / FINE  # cells have their value at their centre
            below = at(figure.axes[3], (strip + 0.5) / 3, value)
            np.testing.assert_allclose(at(ax, place, 0.5), below, atol=8)


def test_a_heatmap_is_transparent_where_it_is_low_and_stands_out_the_more_the_higher_it_is():
    color = pytest.importorskip("skimage.color")
    opacity = coloured(np.array([0, 0.25, 0.5, 1]))[:, 3]
    np.testing.assert_allclose(opacity, OPACITY * np.array([0, 1 / 16, 1 / 4, 1]), rtol=1e-6)
    values = np.linspace(0, 1, 21)[None]
    for grey in (0, 128, 255):
        under = np.full((1, 21, 3), grey, np.uint8)
        seen, plain = color.rgb2lab(blended(under, values)), color.rgb2lab(under)
        assert (np.diff(np.linalg.norm(seen - plain, axis=-1)[0]) > 0)[2:].all()


def test_contour_lines_run_at_a_quarter_a_half_and_three_quarters():
    ax = axes()
    show_heatmap(ax, torch.linspace(0, 2, 5).repeat(5, 1), SIZE)
    lines = [one for one in ax.collections if hasattr(one, "levels")]
    assert [tuple(one.levels) for one in lines] == [LEVELS, LEVELS]
    (middle,) = {round(path.vertices[:, 0].mean()) for path in lines[0].get_paths()[1:2]}
    assert middle == SIZE / 2
    for cells, raw in [(True, torch.rand(5, 5)), (False, torch.rand(FINE + 1, FINE + 1))]:
        plain = axes()
        show_heatmap(plain, raw, SIZE, cells)
        assert not plain.collections


def test_a_map_of_zeros_says_so():
    ax = axes()
    show_heatmap(ax, torch.zeros(5, 5), SIZE)
    assert [text.get_text() for text in ax.texts] == ["this map\nis zero"] and not ax.images


def test_the_map_s_own_cells_can_be_shown():
    ax = axes()
    show_heatmap(ax, torch.eye(4), SIZE, cells=True)
    assert ax.images[-1].get_array().shape == (4, 4, 4)


def test_a_map_of_single_points_is_cut_at_a_percentile_and_its_rule_is_said():
    raw = torch.ones(FINE + 1, FINE + 1)
    raw[0, 0] = 1000
    assert top_of(raw.numpy()) == 1 and top_of(raw[:5, :5].numpy()) == 1000
    assert "99th percentile" in how_shown(raw) and "percentile" not in how_shown(raw[:5, :5])
    assert "5 x 5 cells and 33 x 33 cells" in how_shown(raw[:5, :5], raw)


def test_the_border_of_a_region_has_two_sides():
    inside, around = edge(np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool))
    assert inside.astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert around.astype(int).tolist() == [[0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]]


def test_a_loss_of_one_epoch_shares_a_panel_with_others():
    longer = pd.DataFrame({"epoch": [1, 2], "train_loss": [3.0, 2.0], "valid_loss": [3.0, 2.5]})
    figure = loss_curves({"A": longer, "B": longer[:1], "C": longer[1:]})
    assert [ax.get_title() for ax in figure.axes] == ["A", "one epoch"]
    assert [list(line.get_ydata()) for line in figure.axes[1].lines] == [[3.0, 2.0], [3.0, 2.5]]
    assert [ax.get_title() for ax in loss_curves({"B": longer[:1]}).axes] == ["one epoch"]


def test_how_many_cases_are_behind_a_figure():
    assert counted(pd.Series([5, 1200])) == "n = 5 to 1,200" and counted(pd.Series([9, 9])) == "n = 9"
    assert counted(pd.Series([0, 0])) == "fewer than 5 cases of each finding"


def test_pairs_of_readers_without_an_interval_are_left_out():
    rows = [("X", "R1", "R2", 0.5, 30, 0.4, 0.6), ("X", "R1", "R3", 0.9, 3, None, None)]
    pairs = pd.DataFrame(rows, columns=["class_name", "first", "second", "all_pairs", "n", "low", "high"])
    figure = pair_scores(pairs)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["R1 and R2"]
    assert figure.axes[0].get_yticklabels()[0].get_text() == "X\nn = 30 to 30 images"
    assert not pair_scores(pairs[1:]).axes


def test_the_probe_stands_between_grad_cam_and_the_readers_where_it_learned_something():
    names = ["Cardiomegaly", "Lung Opacity"]
    index = pd.MultiIndex.from_product([[0.05, 0.1], names], names=["share", "class_name"])
    scores = pd.DataFrame({"ours": [0.2, 0.1, 0.3, 0.05], "low": 0.01, "high": 0.4, "n": 9}, index)
    probe = scores.assign(ours=scores["ours"] + 0.1, usual_place=0.25, learned_from=[9, 0, 9, 0])
    agreement = {"protocol": "all_pairs", "ours": 0.7, "low": 0.6, "high": 0.8, "n": 50}
    readers = pd.DataFrame({"class_name": names, **agreement})
    thesis = pd.DataFrame(0.2, [0.05], names)
    figure = between_chance_and_readers(scores.assign(random_heatmap=0.02), probe, thesis, readers)
    (ax,) = figure.axes
    seen = {one.get_label(): one.lines[0].get_xdata().tolist() for one in ax.containers}
    assert seen["Grad-CAM, this run"] == [0.3, 0.1]  # each at its best share
    assert seen["linear probe of the last features"] == [0.4]  # no training study has a box of the other
    assert len(figure.legends[0].get_texts()) == 6


def test_a_confusion_matrix_has_truth_in_rows():
    ax = confusion_grid({"A": np.array([[5, 1], [2, 3]])}, 11).axes[0]
    assert [text.get_text() for text in ax.texts] == ["5", "1", "2", "3"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true", "predicted")


def test_a_row_per_case_and_a_column_per_method():
    labels = pd.DataFrame({"A": [1, 0], "B": [1, 1]}, ["i", "j"])
    rows = annotation_rows(("i", "A", "R1", 0, 0, 9, 9), ("j", "B", "R1", 0, 0, 9, 9))
    pixels = np.zeros((2, SIZE, SIZE), np.uint8)
    cohort = small_cohort(["A", "B"], rows, labels, pd.DataFrame(index=labels.index), pixels)
    corner = torch.zeros(4, 4)
    corner[0, 0] = 5
    maps = {"plain": [corner, corner.flip(0)], "smooth": [corner, corner]}
    figure = method_grid(cohort, [("i", "A"), ("j", "B")], maps)
    grid = [ax for ax in figure.axes if ax.images and ax.get_label() != "<colorbar>"]
    assert [ax.get_title() for ax in grid] == [
        "A",
        "plain\n4 x 4 cells",
        "smooth\n4 x 4 cells",
        "B",
        "",
        "",
    ]
    first, second = (grid[place].images[-1].get_array()[..., 3] for place in (1, 4))
    assert first.max() == first[0, 0] == pytest.approx(OPACITY) and first[-1, 0] == 0
    assert second.max() == second[-1, 0] == pytest.approx(OPACITY) and second[0, 0] == 0
    assert not method_grid(cohort, [], {}).axes


def test_a_panel_of_figure_32_for_every_letter():
    keys = [("A", "mean", 0.1), ("A", "mean", 0.2)]
    means = pd.DataFrame(
        {"A": [0.3, 0.5], "B": [-0.1, 0.0]},
        pd.MultiIndex.from_tuples(keys, names=["heatmap_class", "transform", "share"]),
    )
    own = pd.DataFrame({"transform": "mean", "share": [0.1, 0.2], "class_name": "A", "low": 0.2, "high": [0.4, 0.7]})
    controlled = controlled_curves("A", {OWN: [0.3, 0.5], RANDOM_REGION: [0.1, -0.2]})
    panels = list(drop_panels(means, own, pd.Series({"A": 4, "B": 0}), 0.4, controlled))
    assert [letter for letter, _, _ in panels] == list(PANELS)
    (_, drawn, caption), (_, never_predicted, _), (_, absent, said) = panels[:3]
    assert [ax.get_ylim() for ax in drawn.axes if ax.axison] == [pytest.approx((-0.22, 0.72))] * 2
    assert caption.startswith("Replaced are the top pixels of the A heatmap.") and "p of at least 0.4" in caption
    assert not never_predicted.axes and "B: n = 0" in never_predicted.texts[0].get_text()
    assert absent.texts[0].get_text() == said == "This run explains 2 labels: there is no panel c."


def controlled_curves(class_name, falls):
    """Curves of `control_curves` at two shares, of six studies and without intervals."""
    rows = [
        (class_name, pixels, share, fall, np.nan, np.nan, 6)
        for pixels, two in falls.items()
        for share, fall in zip((0.1, 0.2), two, strict=True)
    ]
    return pd.DataFrame(rows, columns=["class_name", "pixels", "share", "ours", "low", "high", "n"])


def test_figure_32_draws_the_own_class_beside_its_controls_and_then_the_thesis_s_form():
    keys = [("A", name, share) for name in ("mean", "blur 11") for share in (0.1, 0.2)]
    index = pd.MultiIndex.from_tuples(keys, names=["heatmap_class", "transform", "share"])
    means = pd.DataFrame({"A": [0.3, 0.5, 0.2, 0.3], "B": 0.0}, index)
    own = pd.DataFrame({"transform": "mean", "share": [0.1, 0.2], "class_name": "A", "low": 0.2, "high": [0.4, 0.7]})
    falls = {OWN: [0.31, 0.52], RANDOM_REGION: [0.12, 0.13], RANDOM_PIXELS: [0.0, 0.01]}
    controlled = pd.concat([controlled_curves("A", falls), controlled_curves("B", {OWN: [0.9, 0.9]})])
    _, figure, _ = next(drop_panels(means, own, pd.Series({"A": 4, "B": 0}), 0.4, controlled))
    first, legend, *below = figure.axes
    seen = {tuple(line.get_ydata()) for line in first.lines if len(line.get_ydata()) == 2}
    assert {tuple(two) for two in falls.values()} <= seen and (0.9, 0.9) not in seen
    assert first.get_title().endswith("n = 6 radiographs")
    assert {OWN, RANDOM_REGION, RANDOM_PIXELS} <= {text.get_text() for text in legend.get_legend().get_texts()}
    assert [ax.get_title() for ax in below] == [
        "as in the thesis: mean grey\nn = 4 radiographs",
        "as in the thesis: blur, 11 px\nn = 4 radiographs",
    ]
    _, alone, _ = next(drop_panels(means, own, pd.Series({"A": 4, "B": 0}), 0.4, controlled[:0]))
    assert "n = 0" in alone.axes[0].texts[0].get_text()
    figure.canvas.draw()


def test_figure_26_shows_the_fullest_studies_in_the_findings_after_the_first_two():
    classes = ["A", "B", "C", "D", "No finding"]
    labels = pd.DataFrame([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0]], ["i", "j"], classes)
    rows = annotation_rows(("i", "A", "R1", 0, 0, 9, 9), ("j", "C", "R1", 0, 0, 9, 9))
    pixels = np.zeros((2, SIZE, SIZE), np.uint8)
    cohort = small_cohort(classes, rows, labels, pd.DataFrame(index=labels.index), pixels)
    explanations = Explanations(pd.DataFrame(0.25, ["i", "j"], classes), torch.ones(2, 5, 4, 4), 8, "")
    panels = list(harder_panels(cohort, explanations))
    assert [letter for letter, _, _ in panels] == list("abcdef")
    titles = [
        [ax.get_title() for ax in figure.axes if ax.images and ax.get_label() != "<colorbar>"]
        for _, figure, _ in panels
    ]
    assert titles[0] == ["labelled C, D", "C\np = 0.250 (labelled)\n", "D\np = 0.250 (labelled)\n"]
    assert titles[1][0] == "labelled A, B" and titles[2:] == [[]] * 4
    assert panels[2][1].texts[0].get_text() == "This run has 2 such test radiographs: n = 2."
    assert panels[5][2].startswith("Radiograph 6. The six test radiographs")
    easy = small_cohort(classes[:2], rows, labels, pd.DataFrame(index=labels.index), pixels)
    assert not any(figure.axes for _, figure, _ in harder_panels(easy, explanations))
