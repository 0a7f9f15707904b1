"""A run's folder: artefacts with provenance, rendered results named as such."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from cxrlib.data.provenance import Provenance
from cxrlib.params import ParameterError, load_params
from cxrlib.run import Run
from cxrlib.runtime.files import whole_file, write_json


def make_run(tmp_path, rendered):
    run = Run("06_iou", str(tmp_path), iou={})
    run.cohort = SimpleNamespace(provenance=Provenance("demo", "a data set", rendered, "abc"))
    return run


def test_tables_of_rendered_images_say_so(tmp_path):
    run = make_run(tmp_path, rendered=True)
    run.save_table("table_06", pd.DataFrame({"value": [1.5]}, ["x"]), "A caption.")
    assert pd.read_csv(tmp_path / "tables" / "table_06.csv")["images"].tolist() == ["rendered"]
    about = json.loads((tmp_path / "tables" / "table_06.json").read_text())
    assert (about["notebook"], about["data"]["data"], about["parameters"]["iou"]["union"]) == ("06_iou", "abc", "areas")
    run.save_table("other", pd.DataFrame({"value": [1.5]}), "A caption.", Provenance(rendered=False))
    assert (tmp_path / "tables" / "other.csv").read_text() == "value\n1.5\n"


def test_a_section_takes_from_the_run_what_its_cell_leaves_out(tmp_path):
    run = Run("06_iou", str(tmp_path), iou={"union": "sum"})
    assert run.params.iou == load_params("smoke", ["iou.union=sum"]).iou
    write_json(tmp_path / "params.json", {"parameters": load_params("demo").model_dump()})
    run = Run("06_iou", str(tmp_path), iou={"union": "sum"})
    assert run.params.iou == load_params("demo", ["iou.union=sum"]).iou
    with pytest.raises(AttributeError):
        _ = run.params.training  # not declared: it would not make the notebook stale
    with pytest.raises(ParameterError, match="06_iou: iou.unoin"):
        Run("06_iou", str(tmp_path), iou={"unoin": "sum"})


def test_captions_stand_where_the_reader_looks(tmp_path, capsys):
    run = make_run(tmp_path, rendered=False)
    run.save_table("other", pd.DataFrame({"value": [1.5]}), "A caption of a table.")
    figure, _ = plt.subplots()
    run.save_figure("figure_30", figure, "A caption of a figure.")
    assert capsys.readouterr().out.count("Markdown object") == 2


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
