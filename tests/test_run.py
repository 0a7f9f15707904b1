"""A run's folder: artefacts with provenance, rendered results named as such."""

import json

import pandas as pd
from matplotlib import pyplot as plt

from cxrlib.params import load_params
from cxrlib.run import Run
from cxrlib.runtime.files import whole_file, write_json


def make_run(tmp_path, rendered):
    write_json(tmp_path / "data" / "cohort.json", {"source": "demo", "rendered": rendered, "data": "abc"})
    return Run(str(tmp_path), "06_iou", iou=load_params("smoke").iou)


def test_tables_of_rendered_images_say_so(tmp_path):
    run = make_run(tmp_path, rendered=True)
    run.save_table("table_06", pd.DataFrame({"value": [1.5]}, ["x"]), "A caption.")
    assert pd.read_csv(tmp_path / "tables" / "table_06.csv")["images"].tolist() == ["rendered"]
    about = json.loads((tmp_path / "tables" / "table_06.json").read_text())
    assert (about["notebook"], about["data"]["data"], about["parameters"]["iou"]["union"]) == ("06_iou", "abc", "areas")
    run.save_table("other", pd.DataFrame({"value": [1.5]}), "A caption.", about={"rendered": False})
    assert (tmp_path / "tables" / "other.csv").read_text() == "value\n1.5\n"


def test_figures_of_rendered_images_carry_a_note_and_real_ones_do_not(tmp_path):
    for rendered in (True, False):
        figure, _ = plt.subplots()
        make_run(tmp_path, rendered).save_figure("figure_30", figure, "A caption.")
        assert any("rendered" in text.get_text() for text in figure.texts) is rendered
    assert (tmp_path / "figures" / "figure_30.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        figure, ax = plt.subplots()
        ax.plot([0, 1])
        make_run(folder, rendered=True).save_figure("figure_30", figure, "A caption.")
        written.append([path.read_bytes() for path in sorted((folder / "figures").iterdir())])
    assert written[0] == written[1]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    try:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
