"""The texts of figures as they are written: titles inside their panels, negative numbers with a minus sign."""

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import annotation_rows, small_cohort
from matplotlib import pyplot as plt
from matplotlib.text import Text

from cxrlib.evaluate.bootstrap import ALL
from cxrlib.evaluate.faithfulness import CONTROLS, OWN
from cxrlib.evaluate.sanity import PASS
from cxrlib.explain.explanations import Explanations
from cxrlib.show import artefacts
from cxrlib.show.browse import HeatmapBrowser, contact_sheet
from cxrlib.show.figures.data_figures import example_grid
from cxrlib.show.figures.faithfulness_figures import control_panels
from cxrlib.show.figures.gradcam_figures import steps_figure
from cxrlib.show.figures.iou_figures import box_grid, iou_curves
from cxrlib.show.figures.lettering import whole
from cxrlib.show.figures.methods_figures import agreement_matrix, method_sheet
from cxrlib.show.figures.panels import explanation_grid
from cxrlib.show.figures.perturbation_figures import drop_panels, pipeline, replaced_grid
from cxrlib.show.figures.sanity_figures import verdict_matrix
from cxrlib.show.figures.smoothgrad_figures import method_grid
from cxrlib.show.figures.style import image_axes, set_style

NAMES = ["Enlarged pulmonary artery", "Interstitial lung disease", "Hydropneumothoracopericardium of one side"]
IDS = ["study-of-the-first-patient", "j"]
SIZE = 60
SHARES = [0.05, 0.1]


@pytest.fixture(scope="module")
def cohort():
    labels = pd.DataFrame(1, IDS, NAMES)
    rows = annotation_rows(*[(one, name, f"R{at}", 5, 5, 40, 40) for one in IDS for name in NAMES for at in range(3)])
    pixels = np.zeros((2, SIZE, SIZE), np.uint8)
    return small_cohort(NAMES, rows, labels, pd.DataFrame({"split": "test"}, index=labels.index), pixels)


@pytest.fixture(scope="module")
def explanations():
    """Maps of which the second and third are each other's opposite, so that their correlation is negative."""
    ramp = torch.arange(16.0).reshape(4, 4)
    maps = torch.stack([ramp, 15 - ramp, torch.zeros(4, 4)]).repeat(2, 1, 1, 1)
    return Explanations(pd.DataFrame(0.25, IDS, NAMES), maps, 32, "")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a figure and hand it back as it was written."""
    monkeypatch.setattr(artefacts.plt, "close", lambda _figure: None)

    def write(figure):
        artefacts.write_figure(tmp_path / "figure.png", figure, "a run", rendered=True)
        return figure

    with plt.rc_context():
        set_style()
        yield write
    monkeypatch.undo()
    plt.close("all")


def grad_cam_grid(cohort, explanations):
    return explanation_grid(cohort, explanations, [(IDS[0], NAMES)], letters=True)


def two_abreast(cohort, explanations):
    return explanation_grid(cohort, explanations, [(one, NAMES[:2]) for one in IDS], letters=True, per_line=2)


def smooth_grid(cohort, explanations):
    titles = [f"smoothed gradient\n(noise {level})" for level in (0.1, 0.25)] + ["a method with a name of many words"]
    note = "r = −0.34 with Hydropneumothoracopericardium of one side"
    return method_grid(cohort, [(IDS[0], NAMES[0])], {one: [explanations.maps[0, 0]] for one in titles}, [note])


def sheet(cohort, explanations):
    maps = {f"{name} of many words, {at}": [*explanations.maps[0]] for at in range(5) for name in ("Grad-CAM", "LRP")}
    return method_sheet(cohort, [(IDS[0], name) for name in NAMES], maps)


def replaced(cohort, explanations):
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    note = "r = −0.34 with Interstitial lung disease"
    return replaced_grid(
        image, {name: image for name in ("mean", "blur 11", "blur 21", "blur 41")}, NAMES[2], 0.1, note
    )


def glance(cohort, explanations):
    image = torch.zeros(1, 32, 32, dtype=torch.uint8)
    own = pd.DataFrame({"transform": "mean", "share": SHARES, "ours": -0.1, "low": -0.2, "high": 0.1})
    return pipeline(cohort, explanations, IDS[0], NAMES[2], {"mean": image}, 0.1, own, 5)


def boxes(cohort, explanations):
    return box_grid(cohort, explanations, IDS[0], [0.02, 0.05, 0.1, 0.2, 0.5])


def scores(cohort, explanations):
    index = pd.MultiIndex.from_product([SHARES, NAMES], names=["share", "class_name"])
    return iou_curves(pd.DataFrame({"ours": 0.2, "low": 0.1, "high": 0.3, "n": 1000, "random_heatmap": 0.1}, index), {})


def steps(cohort, explanations):
    channels = torch.rand(5, 4, 4)
    return steps_figure(cohort, IDS[0], NAMES[2], channels, -torch.arange(1.0, 6.0) / 100, explanations.maps[0, 0])


def examples(cohort, explanations):
    return example_grid(cohort, IDS)


def curves():
    rows = [
        (name, pixels, share, -0.1, -0.2, 0.1, 6) for name in NAMES for pixels in (OWN, *CONTROLS) for share in SHARES
    ]
    return pd.DataFrame(rows, columns=["class_name", "pixels", "share", "ours", "low", "high", "n"])


def beside_controls(cohort, explanations):
    return control_panels(curves(), NAMES)


def figure_32(cohort, explanations):
    kinds = ["mean", "blur 11", "blur 21"]
    index = pd.MultiIndex.from_product([NAMES, kinds, SHARES], names=["heatmap_class", "transform", "share"])
    own = pd.DataFrame({"transform": "mean", "share": SHARES, "low": -0.2, "high": 0.4, "class_name": NAMES[0]})
    return next(drop_panels(pd.DataFrame(-0.1, index, NAMES), own, pd.Series(14_000, NAMES), 0.7, curves()))[1]


def browser(cohort, explanations):
    return contact_sheet(HeatmapBrowser(cohort, {"Grad-CAM": explanations, "a second method": explanations}))


def agreement(cohort, explanations):
    return agreement_matrix(pd.DataFrame([[1.0, -0.5], [-0.5, 1.0]], ["A", "B"], ["A", "B"]))


def checks(cohort, explanations):
    rows = {"class_name": ALL, "method": "Grad-CAM", "measure": "weights", "verdict": PASS, "gain": [-0.25], "n": 9}
    return verdict_matrix(pd.DataFrame(rows))


DRAWN = [grad_cam_grid, two_abreast, smooth_grid, sheet, replaced, glance, boxes, scores, steps, examples]
DRAWN += [beside_controls, figure_32, browser, agreement, checks]


@pytest.mark.parametrize("draw", DRAWN)
def test_titles_stay_in_their_panels_and_negative_numbers_have_a_minus_sign(draw, cohort, explanations, written):
    figure = written(draw(cohort, explanations))
    renderer = figure.canvas.get_renderer()
    panels = [ax.get_window_extent() for ax in figure.axes]
    for ax, panel in zip(figure.axes, panels, strict=True):
        title = ax.title.get_window_extent(renderer)
        assert title.width <= panel.width + 1, ax.get_title()
        meant = title.shrunk(0.98, 0.9) if ax.get_title() else None
        hidden = [other for other in panels if meant and other is not panel and meant.overlaps(other)]
        assert not hidden, f"{ax.get_title()} lies on another panel"
    for legend in figure.legends:
        place = legend.get_window_extent(renderer).shrunk(0.98, 0.9)
        assert not [text.get_text() for text in figure.texts if place.overlaps(text.get_window_extent(renderer))]
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert not [text for text in texts if " -0" in f" {text}" or "(-" in text]
    if draw in (grad_cam_grid, steps, agreement, checks, smooth_grid):
        assert any("−0" in text for text in texts) or draw is grad_cam_grid and any("−1" in text for text in texts)


def test_a_title_that_fits_stays_as_it_is_and_equations_stay_together(written):
    with plt.rc_context():
        figure, axes = image_axes(1, 6)
        axes[0][0].set_title("A\np = 0.25", fontsize=7)
        axes[0][1].set_title("labelled with p = 0.250 and 20 % more", fontsize=7)
        axes[0][2].set_title("Hydropneumothoracopericardium", fontsize=7)
        axes[0][3].set_title(f"r = 0.20 with {whole('Pleural effusion')}", fontsize=7)
        axes[0][4].set_title(whole("Interstitial lung disease of both lungs"), fontsize=7)
        height = figure.get_figheight()
        written(figure)
    assert axes[0][0].get_title() == "A\np = 0.25"
    assert axes[0][3].get_title() == "r = 0.20 with\nPleural\N{NO-BREAK SPACE}effusion"
    assert "\n" in axes[0][4].get_title() and "lun\n" not in axes[0][4].get_title()
    lines = axes[0][1].get_title().split("\n")
    assert len(lines) > 1 and any("p = 0.250" in line for line in lines) and any("20 %" in line for line in lines)
    first, *_, last = axes[0][2].get_title().split("\n")
    assert first.endswith("\N{HYPHEN}") and not last.endswith("\N{HYPHEN}")
    assert axes[0][2].get_title().replace("\N{HYPHEN}\n", "") == "Hydropneumothoracopericardium"
    assert figure.get_figheight() > height


def test_names_and_ranges_keep_their_hyphens(written):
    figure, ax = plt.subplots()
    ax.set_title("Grad-CAM, 0.1-0.2, study-12, -0.5 and (-3)")
    written(figure)
    assert ax.get_title() == "Grad-CAM, 0.1-0.2, study-12, −0.5 and (−3)"
