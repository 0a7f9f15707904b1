"""The parts of the report: the answer, pictures, grids, misses, the viewer's data, methods and changes."""

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from peaks import peak_of
from PIL import Image, ImageDraw

from cxrlib.data.annotations import BOX_COLUMNS
from cxrlib.data.provenance import Provenance
from cxrlib.evaluate.verdict import COLUMNS
from cxrlib.explain.masks import top_pixels
from cxrlib.params import load_params
from cxrlib.show.browse.browsed import BrowsedRun
from cxrlib.show.browse.overlay import overlay
from cxrlib.show.figures.colouring import HEATMAP, top_of
from cxrlib.show.report.answer import answer
from cxrlib.show.report.changes import changes
from cxrlib.show.report.contents import PART, Item, families, rows_of, study_names, without_machine_names
from cxrlib.show.report.embedded import embed
from cxrlib.show.report.methods_text import bibtex, methods_text
from cxrlib.show.report.misses import best_hit, worst_misses
from cxrlib.show.report.origin import origin
from cxrlib.show.report.pixel_maps import STEPS as RANKS
from cxrlib.show.report.pixel_maps import pixel_maps
from cxrlib.show.report.readable import thesis_grid
from cxrlib.show.report.study_viewer import measured_colours, small_jpeg, viewer_data
from cxrlib.show.report.within_budget import STEPS, embed_all, embed_within


def put(folder, name, **columns):
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    pd.DataFrame(columns).to_csv(folder / "tables" / f"{name}.csv", index=False)


def test_the_answer_is_the_verdict_s_headline_and_every_light_is_said_in_words(tmp_path):
    lights = [("Mass", "points", "green", 0.5), ("Mass", "matters", "green", 0.4), ("ILD", "points", "red", 0.1)]
    rows = [(c, "CAM", light, colour, n, 0.2, 0.1, 0.3, 9, "fit", "so") for c, light, colour, n in lights]
    rows += [("ILD", "CAM", "matters", "grey", np.nan, np.nan, np.nan, np.nan, 0, "unfit", "not measured")]
    put(tmp_path, "verdict", **pd.DataFrame(rows, columns=COLUMNS))
    said = answer(tmp_path, "demo")
    assert said["sentence"].startswith("CAM may be relied on for 1 of 2 findings (Mass), fails a check for 1")
    mass, ild = said["methods"][0]["rows"]
    assert [cell["sign"] for cell in mass["cells"] + ild["cells"]] == ["●", "●", "✖", "○"]
    assert mass["cells"][0]["spoken"] == "points: green, above its control"
    assert (mass["cells"][0]["number"], mass["cells"][0]["interval"]) == ("0.500", "0.100 to 0.300")
    assert (ild["cells"][1]["number"], ild["cells"][1]["interval"]) == ("", "")
    assert ild["cells"][1]["measure"] == "unfit" and said["unfit"] == ["matters"]


def test_without_a_verdict_the_answer_says_what_to_run(tmp_path):
    said = answer(tmp_path, "demo")
    assert "no verdict yet" in said["sentence"] and "python run_all.py demo" in said["sentence"]
    assert said["methods"] == []


def test_photographs_become_jpeg_drawings_png_and_all_fit_a_budget(tmp_path):
    noise = np.random.default_rng(0).integers(60, 180, (300, 400, 1), np.uint8).repeat(3, 2)
    drawing = Image.new("RGB", (400, 300), "white")
    ImageDraw.Draw(drawing).line((0, 0, 400, 300), "blue", 2)
    assert embed(Image.fromarray(noise), 900, 70).source.startswith("data:image/jpeg;")
    shades = np.tile(np.linspace(0, 255, 300).astype(np.uint8)[:, None, None], (1, 400, 3))
    shades[:, :, 2] = 255
    shades[5:8, 5:8], shades[5:8, 50:53] = (0, 114, 178), (0, 158, 115)
    source = embed(Image.fromarray(shades), 400, 70).source
    kept = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")).astype(int)
    assert np.abs(kept[6, [6, 51]] - [(0, 114, 178), (0, 158, 115)]).max() < 20
    small = embed(drawing, 200, 70)
    assert small.source.startswith("data:image/png;") and (small.width, small.height) == (200, 150)
    Image.fromarray(noise).resize((900, 675), Image.NEAREST).save(tmp_path / "a.png")
    path = tmp_path / "a.png"
    drawing.save(tmp_path / "b.png")
    large, drawn = embed_within([path, io.BytesIO((tmp_path / "b.png").read_bytes())], STEPS, 10**9)
    assert (large.width, drawn.width) == (900, 400)  # in the order of the files, none enlarged
    (least,) = embed_within([path], STEPS, 1)
    assert least.width == STEPS[-1][0] and least.size < large.size
    (second,) = embed_within([path], STEPS, large.size - 1)
    assert second.width == STEPS[1][0]
    assert embed_all([]) == {}


def test_the_thesis_s_grid_has_ours_and_thesis_in_each_cell():
    table = pd.DataFrame({"share": [0.05, 0.05, 0.1], "class_name": ["A", "B", "A"], "ours": [0.25, 0.1, -0.0001]})
    grid = thesis_grid(table.assign(thesis=[0.3, np.nan, 0.2]), "share", "class_name", 3)
    assert grid.header == ["top pixels", "A", "B"] and grid.right[1:] == [True, True]
    assert grid.rows == [["5 %", "0.250 (0.300)", "0.100"], ["10 %", "0.000 (0.200)", ""]] and grid.narrow
    scores = pd.DataFrame(
        {"label": ["micro avg", "A"], "experiment": "7 labels", "ours": [0.5, np.nan], "thesis": 0.24}
    )
    last = thesis_grid(scores, "label", "experiment", 2)
    assert last.rows == [["A", "(0.24)"], ["micro avg", "0.50 (0.24)"]] and last.right == [False, True]


def test_long_ids_become_study_numbers():
    first, other = "0" * 32, "f" * 32
    assert without_machine_names(f"of ({first}), {other}", study_names([first])) == "of (study 1), study ffffff…"


def test_figures_with_one_number_stand_together_and_say_once_what_all_of_them_say():
    def figure(name, item, caption):
        return Item(name, f"figures/{name}.png", "07", "Falls: one of them", caption, item)

    figures = [
        figure("figure_32a", "Figure 32 a", "Of A (p >= 0.4). Bands: 95 % intervals."),
        figure("figure_31", "Figure 31", "Bands: 95 % intervals."),
        figure("figure_32b", "Figure 32 b", "Of B (p >= 0.4). Bands: 95 % intervals. Few."),
    ]
    together, alone = families(figures)
    assert (together.item, together.title, together.caption) == ("Figure 32", "Falls", "Bands: 95 % intervals.")
    assert [(letter, own, item.artefact) for letter, own, item in together.members] == [
        ("a", "Of A (p >= 0.4).", "figure_32a"),
        ("b", "Of B (p >= 0.4). Few.", "figure_32b"),
    ]
    assert alone.members == [("", "Bands: 95 % intervals.", figures[1])] and alone.title == "Falls: one of them"


def test_misses_follow_their_rules(results):
    found = worst_misses(results, 2)
    p, truth = results.probabilities, results.cohort.labels
    wrong = p[results.cohort.findings].where(truth.loc[p.index, results.cohort.findings] == 0)
    surest = wrong.stack().max()
    sure = [miss for miss in found if miss.rule == "Sure and wrong"]
    assert surest < 0.5 or sure[0].probability == pytest.approx(surest)
    for miss in found:
        labelled = truth.at[miss.view.image_id, miss.view.class_name]
        assert labelled == (miss.rule != "Sure and wrong") and miss.view.class_name in results.cohort.findings
        if miss.rule == "Right finding, wrong place":
            assert not results.evidence(miss.view).hit
    assert len({(miss.rule, miss.view.image_id) for miss in found}) == len(found) <= 6


def test_a_map_that_peaks_outside_of_every_box_is_a_miss_and_one_inside_is_none(results):
    store = results.explanations
    sure = replace(store, probabilities=store.probabilities * 0 + 0.9, maps=torch.zeros_like(store.maps))
    run = BrowsedRun(results.cohort, {"Grad-CAM": {"last": sure}})
    size, cells = run.cohort.size, sure.maps.shape[-1]
    for row, image_id in enumerate(sure.probabilities.index):
        for number, name in enumerate(run.classes):
            boxes = run.cohort.boxes(image_id, name)[BOX_COLUMNS].to_numpy()
            x, y = boxes[0].reshape(2, 2).mean(0) * cells / size if len(boxes) and row else (0, 0)
            sure.maps[row, number, int(y), int(x)] = 1  # of the first study the corner, of the others a box's middle
    beside = {m.view.image_id for m in worst_misses(run, 12) if m.rule == "Right finding, wrong place"}
    assert sure.probabilities.index[0] in beside
    for image_id in beside:
        views = [run.first_view(image_id, name, 0.05) for name in run.cohort.findings]
        assert any(len(run.cohort.boxes(image_id, view.class_name)) and not run.evidence(view).hit for view in views)


def test_the_first_radiograph_has_most_readers_then_the_best_iou(results):
    cases = pd.DataFrame(
        {
            "image_id": ["study00", "study00", "study03"],
            "class_name": ["Aortic enlargement", "Cardiomegaly", "Cardiomegaly"],
            "share": 0.05,
            "all_pairs": [0.9, 0.2, 0.3],  # two readers, three, three
        }
    )
    view = best_hit(results, cases, 0.0)
    assert (view.image_id, view.class_name, view.share) == ("study03", "Cardiomegaly", 0.05)
    assert best_hit(results, cases, 1.1) is None and best_hit(results, None, 0.5) is None


def test_the_viewer_s_colours_are_those_of_the_browser():
    table = measured_colours().astype(float)
    ramp = np.tile(np.arange(256, dtype=np.float32) / 255, (256, 1))
    for grey, opacity in ((90, 0.7), (200, 0.3)):
        drawn = overlay(np.full((256, 256, 3), grey, np.uint8), ramp, opacity, HEATMAP)[0]
        ours = grey * (1 - opacity * table[:, 3:] / 255) + opacity * table[:, :3]
        assert np.abs(ours - drawn).max() < 2


def test_the_viewer_holds_maps_boxes_and_as_many_studies_as_fit(results):
    names = study_names(results.probabilities.index.tolist())
    data = json.loads(json.dumps(viewer_data(results, None, names)))
    assert len(data["studies"]) == data["of"] == 12 and data["leftOut"] == []
    steps = np.frombuffer(base64.b64decode(data["methods"][0]["maps"]), "<u2").reshape(
        12, 3, *results.explanations.maps.shape[2:]
    )
    maps = results.explanations.maps.numpy()
    np.testing.assert_allclose(steps / 65535 * maps.max((2, 3), keepdims=True), maps, atol=1e-3 * maps.max())
    boxes = [row for row in data["studies"][3]["boxes"] if row[0] == 1]
    assert [row[2] for row in boxes] == ["R1", "R2", "R3"] and len(boxes[0]) == 7
    size = len(small_jpeg(results.cohort.images(["study00"])[0]))
    few = viewer_data(results, results.first_view("study11", "Cardiomegaly", 0.1), names, 4 * size)
    assert len(few["studies"]) < 12 and few["studies"][few["first"][0]]["id"] == "study11"


def test_maps_of_every_pixel_keep_their_masks_and_the_same_cases_for_each_method(results):
    random = torch.Generator().manual_seed(0)
    store = results.explanations
    fine = torch.randn((*store.maps.shape[:2], store.input_size, store.input_size), generator=random)
    methods = {"Grad-CAM": {"last": store}} | {
        name: {"last": store.with_maps(fine * factor)} for name, factor in (("Gradient", 1), ("SmoothGrad", -1))
    }
    run = BrowsedRun(results.cohort, methods)
    names = results.probabilities.index.tolist()
    kept, left_out = pixel_maps(run, names, 100_000)
    assert [one["name"] for one in kept] == ["SmoothGrad", "Gradient"] and left_out == []
    assert kept[0]["cases"] == kept[1]["cases"] and len(kept[0]["cases"]) > 1
    study, label = kept[1]["cases"][1]
    count = store.input_size**2
    steps = np.frombuffer(base64.b64decode(kept[1]["steps"]), np.uint8).reshape(-1, *fine.shape[2:])[1]
    values = np.frombuffer(base64.b64decode(kept[1]["values"]), "<u2").reshape(-1, RANKS)[1]
    heatmap = fine[study, label]
    for percent in (1, 5, 7, 30, 50):
        assert (steps < 2 * percent).tolist() == top_pixels(heatmap, percent / 100).tolist()
    decoded = np.where(steps == 255, 0, np.append(values, np.zeros(56))[steps] / kept[1]["tops"][1] / 65535)
    expected = heatmap.clip(0).numpy() / top_of(heatmap.numpy())
    assert np.abs(np.clip(decoded, 0, 1) - np.clip(expected, 0, 1)).max() < 0.06
    kept, left_out = pixel_maps(run, names, count + 500)
    assert [one["name"] for one in kept] == ["SmoothGrad"] and left_out == ["Gradient"]
    assert len(kept[0]["cases"]) == 1
    assert pixel_maps(run, names, 10) == ([], ["Gradient", "SmoothGrad"])


def test_methods_cite_what_the_bibliography_holds(tmp_path):
    parameters = load_params("thesis").model_dump()
    text = methods_text(tmp_path, parameters, Provenance("nih", "the data"))
    keys = set(re.findall(r"\[(\w+)\]", text))
    assert {"wang2017chestxray8", "he2016deep", "selvaraju2017gradcam"} <= keys and "nguyen2022vindr" not in keys
    assert set(re.findall(r"@\w+\{(\w+),", bibtex(text))) == keys


def test_the_origin_names_the_last_notebook_and_the_command():
    sections = load_params("demo").model_dump(mode="json")
    sections["training"] |= {"epochs": 9}
    entry = {"run": "a1", "begun": "2024-05-01T10:00:00", "seconds": 50.2, "commit": "c" * 40, "dirty": False}
    later = entry | {"run": "b2", "begun": "2024-05-02T10:00:00", "seconds": 20.0, "dirty": True}
    about = origin({"profile": "demo", "parameters": sections}, {"01_data": later, "02_training": entry})
    assert (about["run"], about["date"], about["duration"]) == ("b2", "2024-05-02", "1 min 10 s")
    assert about["commit"] == f"{'c' * 12}, with uncommitted changes"
    assert about["command"] == "python run_all.py demo --set training.epochs=9"
    assert origin({"profile": "gone", "parameters": {}}, {})["command"] == "python run_all.py gone"


def test_changes_by_hand(tmp_path):
    for name, f1, verdict, p in (("ours", 0.8, "holds", 0.9), ("theirs", 0.6, "does not hold", 0.2)):
        folder = tmp_path / name
        put(
            folder, "table_03", experiment=["7 labels"], label=["micro avg"], ours=[f1], low=[f1 - 0.1], high=[f1 + 0.1]
        )
        put(folder, "claims", claim=["C1", "C2"], statement=["x", "y"], verdict=[verdict, "holds"])
        rows = {"experiment": "7 labels", "image_id": ["a", "b"], "label": "Mass", "truth": 1, "probability": [p, 0.5]}
        put(folder, "predictions", **rows)
    (tmp_path / "ours" / "params.json").write_text(json.dumps({"parameters": {"labels": {"explained": "7 labels"}}}))
    found = changes(tmp_path / "ours", tmp_path / "theirs")
    assert found.scores.loc[0, ["score", "beyond"]].tolist() == ["micro F1", True]
    assert found.lines() == [
        "micro F1: 0.800 (0.700 to 0.900) here, 0.600 (0.500 to 0.700) there",
        "1 claim and 0 lights flipped",
    ]
    assert found.claims["claim"].tolist() == ["C1"] and found.lights.empty
    assert found.cases["image_id"].tolist() == ["a"] and found.cases["change"].item() == pytest.approx(0.7)


def test_a_jpeg_is_small_and_grey():
    with Image.open(io.BytesIO(small_jpeg(np.full((1000, 1000), 90, np.uint8)))) as image:
        assert image.size == (448, 448) and image.mode == "L"


def test_the_rows_of_a_long_table_are_counted_a_part_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("cxrlib.show.report.contents.PART", PART // 50)
    path, peaks = tmp_path / "cases.csv", []
    for count in (8_000, 64_000):
        path.write_text("image_id,label\n" + '"a, or\nb",Mass\n' * count)
        assert rows_of(path) == count
        peaks.append(peak_of(rows_of, path))
    assert peaks[1] < 1.5 * peaks[0]
