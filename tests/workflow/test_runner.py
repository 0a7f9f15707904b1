import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest

import run_all
from cxrlib.params import ParameterError, load_params, profile_names
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import PROJECT_ROOT
from cxrlib.show.report.keep import keep_report
from cxrlib.stages.method_names import check_method_names
from cxrlib.workflow import notebooks, runner
from cxrlib.workflow.console import CLEAR, timed
from cxrlib.workflow.failures import NotebookFailed
from cxrlib.workflow.kernels import Kernels, stop_kernel
from cxrlib.workflow.lock import locked
from cxrlib.workflow.time_left import TimeLeft


def plan(tmp_path: Path, *notebooks: Path) -> runner.Plan:
    overrides = ["iou.union=sum"]
    return runner.Plan("smoke", load_params("smoke", overrides), tmp_path / "out", list(notebooks))


def test_what_the_check_refuses_starts_no_kernel(tmp_path, write_notebook, monkeypatch):
    this = plan(tmp_path, write_notebook("01_first", REPORT))
    seen = []

    def check(params, sections):
        seen.append((params, sections))
        raise Refusal("data.root: nothing there")

    monkeypatch.setattr(Kernels, "start", lambda *_: pytest.fail("a kernel was started"))
    with pytest.raises(Refusal, match="nothing there"):
        runner.run(this, keep_report, check)
    assert seen == [(this.params, {"iou"})] and not (this.folder / "manifest.json").exists()


REPORT = """\
import json, os, pathlib, sys
report = {"run_folder": run_folder, "iou": iou, "cwd": os.getcwd(), "executable": sys.executable}
pathlib.Path(run_folder, "report.json").write_text(json.dumps(report))
"""
FIGURE = """\
import matplotlib.pyplot as plt
plt.plot([0, 1]);
"""


def test_a_notebook_gets_its_parameters_this_interpreter_and_its_figures(tmp_path, write_notebook, monkeypatch, capfd):
    monkeypatch.setenv("MPLBACKEND", "agg")
    stray = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    stray.parent.mkdir(parents=True)
    stray.write_text(json.dumps({"argv": ["false"], "display_name": "a stray one", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    this = plan(tmp_path, write_notebook("01_first", REPORT, FIGURE))
    assert runner.run(this, keep_report)

    report = json.loads((this.folder / "report.json").read_text())
    assert report == {
        "run_folder": str(this.folder),
        "iou": this.params.iou.model_dump(),
        "cwd": str(PROJECT_ROOT),
        "executable": sys.executable,
    }
    record = json.loads((this.folder / "params.json").read_text())
    assert record["profile"] == "smoke"
    assert record["parameters"] == this.params.model_dump()
    executed = nbformat.read(this.folder / "notebooks" / "01_first.ipynb", as_version=4)
    assert any("image/png" in output.get("data", {}) for output in executed.cells[-1].outputs)
    seen = {path.name for path in (this.folder / "notebooks").iterdir() if not path.name.startswith(".")}
    assert seen == {"01_first.ipynb", "01_first.html"}
    output, errors = capfd.readouterr()
    assert output.startswith("[1/1] 01_first ... ") and output.count("\n") == 3
    assert "Warning" not in errors and "Traceback" not in errors


def test_the_record_of_a_folder_whose_name_holds_signs_is_whole(tmp_path, write_notebook):
    folder = tmp_path / "a b#[c]%20\u00e9$HOME"
    code = (
        "from cxrlib.runtime.files import write_json\nimport pathlib\nwrite_json(pathlib.Path(run_folder, 'a.json'), 1)"
    )
    this = runner.Plan("smoke", load_params("smoke"), folder, [write_notebook("01_first", code)])
    assert runner.run(this, keep_report)
    assert "a.json" in json.loads((folder / "manifest.json").read_text())["notebooks"]["01_first"]["artefacts"]
    assert {path.name for path in tmp_path.iterdir()} == {"source", folder.name}


def test_the_user_s_start_up_scripts_do_not_reach_a_notebook(tmp_path, write_notebook, monkeypatch):
    script = tmp_path / "home" / ".ipython" / "profile_default" / "startup" / "00.py"
    script.parent.mkdir(parents=True)
    script.write_text("import builtins\nbuiltins.print = None\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert runner.run(plan(tmp_path, write_notebook("01_first", "print('read')")), keep_report)


def test_a_failure_stops_the_run_and_keeps_the_half_executed_copy(tmp_path, write_notebook, capfd):
    first = write_notebook("01_first", "print('before')", "numbers = []\nnumbers[3]", "print('after')")
    this = plan(tmp_path, first, write_notebook("02_second", "print('never')"))
    assert not runner.run(this, keep_report)

    kept = this.folder / "notebooks" / "failed" / "01_first.ipynb"
    assert [path.name for path in (this.folder / "notebooks").iterdir()] == ["failed"]
    assert [path.name for path in kept.parent.iterdir()] == ["01_first.ipynb"]
    text = kept.read_text()
    assert "IndexError" in text and "before" in text
    output, errors = capfd.readouterr()
    assert "[1/2] 01_first ... failed after" in output and "02_second" not in output
    assert "numbers[3]" in errors and "IndexError: list index out of range" in errors and str(kept) in errors
    assert "cell In [4]" in errors  # papermill's injected cell counts
    assert "\x1b" not in errors

    write_notebook("01_first", "print('repaired')")
    assert runner.run(this, keep_report)
    assert not kept.exists()


def test_a_dying_kernel_is_a_failure(tmp_path, write_notebook, capfd):
    this = plan(tmp_path, write_notebook("01_first", "import os\nos._exit(1)  # as if out of memory"))
    assert not runner.run(this, keep_report)
    assert (this.folder / "notebooks" / "failed" / "01_first.ipynb").exists()
    errors = capfd.readouterr().err
    assert "DeadKernelError" in errors and "as if out of memory" in errors


def test_a_dead_kernel_server_is_told_in_a_sentence(tmp_path, write_notebook):
    notebook = write_notebook("01_first")
    with (tmp_path / "lock").open("w") as lock, Kernels([notebook], lock.fileno()) as kernels:
        if not kernels.server:
            pytest.skip("kernels are forked on Linux only")
        kernels.server.kill()
        kernels.server.wait()
        with pytest.raises(NotebookFailed, match="the process that starts the kernels has ended"):
            kernels.start(notebook, {})


def test_what_a_module_prints_on_loading_is_not_taken_for_a_kernel(tmp_path, write_notebook, monkeypatch, capfd):
    """Neither a word nor a number of another process; and one that exits leaves the server alive."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    other = subprocess.Popen(["sleep", "60"])
    (tmp_path / "printing.py").write_text(f"print('hello')\nprint({other.pid})")
    (tmp_path / "leaving.py").write_text("raise SystemExit")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    notebook = write_notebook("01_first", "import leaving, printing")
    try:
        with (tmp_path / "lock").open("w") as lock, Kernels([notebook], lock.fileno()) as kernels:
            manager = kernels.start(notebook, {})
            if kernels.server:
                assert manager.provisioner.pid != other.pid
                assert "ipykernel" in " ".join(psutil.Process(manager.provisioner.pid).cmdline())
            stop_kernel(manager)
        assert other.poll() is None
        assert not kernels.server or capfd.readouterr().err.splitlines().count("hello") == 1
    finally:
        other.kill()
        other.wait()


@pytest.mark.slow
def test_a_kernel_asked_for_just_before_its_run_is_killed_ends_too(tmp_path, write_notebook, monkeypatch):
    """The server still imports for it then, nobody waits for its answer, and it begins when the server has gone."""
    lasting = "import os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(2))\ntime.sleep(2)"
    (tmp_path / "lasting.py").write_text(lasting)
    notebook = write_notebook("01_first", "import lasting")
    code = """
import sys
from pathlib import Path
from cxrlib.workflow.kernels import Kernels
from cxrlib.workflow.lock import locked
with locked(Path(sys.argv[1])) as lock, Kernels([Path(sys.argv[2])], lock) as kernels:
    print("asks", flush=True)
    kernels.start(Path(sys.argv[2]), {})
"""
    path = os.pathsep.join([str(tmp_path), str(PROJECT_ROOT)])
    arguments = [sys.executable, "-c", code, str(tmp_path / "run"), str(notebook)]
    killed = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
    assert killed.stdout.readline() == "asks\n"
    time.sleep(1)
    killed.kill()
    killed.wait()
    killed.stdout.close()
    with locked(tmp_path / "run"):  # refused after a minute, if a kernel held it
        pass


STOPPED = {
    "a refusal": ("from cxrlib.runtime.device import pick_device\npick_device('abacus')", 2),
    "a subclass of it": ("from cxrlib.data.images import read_grey\nread_grey('a.dicom')", 2),
    "a refusal because of another error": ("from cxrlib.params import load_params\nload_params('demo', ['a.b=['])", 2),
    "misuse of the library": (
        "from cxrlib.evaluate.boxes import pairwise_iou\nimport numpy as np\n"
        "pairwise_iou(np.array([[3, 3, 1, 1]]), np.array([[0, 0, 1, 1]]))",
        1,
    ),
    "a mistake in the library": ("from cxrlib.runtime.files import from_root\nfrom_root('text')", 1),
    "an error of another library": ("import numpy as np\nnp.zeros(3).reshape(2)", 1),
    "a mistake in the notebook": ("1 / 0", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", STOPPED)
def test_a_refusal_is_one_line_and_any_other_error_a_cell_and_its_traceback(
    tmp_path, write_notebook, monkeypatch, capfd, case
):
    code, expected = STOPPED[case]
    notebook = write_notebook("01_first", f"# the cell\n{code}")
    monkeypatch.setattr(run_all, "find_notebooks", lambda: [notebook])
    assert run_all.main(["smoke", "--out", str(tmp_path / "out")]) == expected
    errors = capfd.readouterr().err
    kept = nbformat.read(tmp_path / "out" / "notebooks" / "failed" / "01_first.ipynb", as_version=4)
    (shown,) = [part for cell in kept.cells for part in cell.get("outputs", []) if part.output_type == "error"]
    if expected == 2:
        assert errors == f"run_all.py: 01_first: {shown.evalue}\n"
        assert shown.traceback == [f"Refused: {shown.evalue}"]
    else:
        assert "01_first, cell In [3]:\n    # the cell\n" in errors and "--> " in errors
        assert f"\n{shown.ename}: {shown.evalue}\n" in errors and len(shown.traceback) > 1


def test_an_unknown_parameter_is_refused_before_anything_runs(tmp_path, write_notebook):
    good = write_notebook("01_first")
    this = plan(tmp_path, good, write_notebook("02_second", parameters='run_folder = "x"\nuoi = {}'))
    with pytest.raises(ParameterError, match=r"02_second\.ipynb.*'uoi'.*run_folder, data, .*iou"):
        runner.run(this, keep_report)
    assert not this.folder.exists()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("iou = {}", "run_folder is missing"),
        ('run_folder = "out" + "puts"', "literals"),
        ("import os", "literals"),
    ],
)
def test_a_wrong_parameters_cell_is_refused(write_notebook, parameters, message):
    with pytest.raises(ParameterError, match=message):
        notebooks.sections_of(write_notebook("01_first", parameters=parameters))


def test_parameters_are_those_papermill_finds(write_notebook):
    plain = 'run_folder = "outputs/smoke"\ndata = {\n    "seed": 1,\n    "root": None,\n}\niou = {"union": "areas"}\n'
    notebook = write_notebook("01_first", parameters=plain)
    assert list(notebooks.declared_parameters(notebook)) == list(papermill.inspect_notebook(notebook))
    assert notebooks.declared_parameters(notebook)["data"] == {"seed": 1, "root": None}


def test_a_second_equals_sign_hides_no_parameter(write_notebook):
    notebook = write_notebook("01_first")
    assert notebooks.declared_parameters(notebook)["iou"] == {"union": "areas", "seed": 1}
    assert notebooks.sections_of(notebook) == ["iou"]


def test_notebooks_are_found_in_order_with_their_titles(write_notebook):
    for name in ("02_b", "10_c", "01_a", "draft"):
        last = write_notebook(name)
    found = notebooks.find_notebooks(last.parent)
    assert [path.stem for path in found] == ["01_a", "02_b", "10_c"]
    assert notebooks.title_of(found[0]) == "Title of 01_a"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "01 02 03 04"),
        ({"only": "03"}, "03"),
        ({"only": "4, 02"}, "02 04"),
        ({"first": "03"}, "03 04"),
        ({"last": "2"}, "01 02"),
        ({"first": "02", "last": "03"}, "02 03"),
    ],
)
def test_selection(options, expected):
    paths = [Path(f"{number:02}_x.ipynb") for number in range(1, 5)]
    assert " ".join(path.name[:2] for path in notebooks.select_notebooks(paths, **options)) == expected


@pytest.mark.parametrize(
    "options", [{"only": "05"}, {"only": ""}, {"only": "01,x"}, {"first": "9"}, {"first": "03", "last": "02"}]
)
def test_wrong_selection_is_refused(options):
    paths = [Path(f"{number:02}_x.ipynb") for number in range(1, 5)]
    with pytest.raises(ParameterError):
        notebooks.select_notebooks(paths, **options)


def test_an_unknown_number_lists_the_numbers():
    with pytest.raises(ParameterError, match=r"--only: no notebook 07; choose 01, 02$"):
        notebooks.select_notebooks([Path("01_a.ipynb"), Path("02_b.ipynb")], only="07")


def command(*arguments: str) -> subprocess.CompletedProcess:
    """Run run_all.py from another folder; fail if it imported a slow library."""
    code = (
        "import sys, run_all\n"
        "try: code = run_all.main(sys.argv[1:])\n"
        "except SystemExit as stop: code = stop.code\n"
        "slow = {'torch', 'papermill', 'matplotlib', 'nbformat'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else code)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )


def run_all_elsewhere(*arguments: str) -> subprocess.CompletedProcess:
    """Run run_all.py as a user does."""
    return subprocess.run([sys.executable, "run_all.py", *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True)


def test_help_and_list_are_light():
    assert command("--help").returncode == 0
    listed = command("--list")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in ("demo", "smoke", "thesis", "nih", "06_iou"))
    assert "11_roar" in listed.stdout and "left out, it trains many networks; python run_all.py roar" in listed.stdout


@pytest.mark.slow
def test_dry_run_shows_the_plan_and_writes_nothing(tmp_path):
    out = tmp_path / "elsewhere"
    options = ["--only", "04,06", "--set", "iou.union=sum", "--out", str(out)]
    shown = run_all_elsewhere("smoke", "--dry-run", *options)
    assert shown.returncode == 0, shown.stderr
    assert str(out) in shown.stdout and 'iou.union="sum"' in shown.stdout
    assert "04_gradcam" in shown.stdout and "06_iou" in shown.stdout and "05_" not in shown.stdout
    assert "renders 80 images" in shown.stdout and "disk: " in shown.stdout
    assert re.search(r"time on this machine: about .* in all \(04 \d+ s, 06 \d+ s\)", shown.stdout)
    assert not out.exists()


def test_a_profile_names_its_notebooks():
    paths = [Path(f"{number}_x.ipynb") for number in ("01", "02", "11", "12")]
    for numbers, expected in ((None, "01 02 12"), (["01", "02"], "01 02"), (["12"], "12")):
        assert " ".join(path.name[:2] for path in notebooks.notebooks_of_profile(paths, numbers)) == expected
    assert load_params("smoke", ["workflow.notebooks=[1, 02]"]).workflow.notebooks == ["01", "02"]
    assert load_params("phantom").workflow.notebooks[-1] == "12" and load_params("demo").workflow.notebooks is None


@pytest.mark.slow
def test_the_notebook_across_data_sets_waits_for_another_run():
    assert "14_transfer" not in command("smoke", "--list").stdout
    shown = command("smoke", "--list", "--only", "14", "--set", "transfer.run=outputs/demo")
    assert "14_transfer" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--only", "14"], ["14_transfer", "transfer.run"]),
        (["--only", "06,14"], ["14_transfer", "transfer.run"]),
        (["smoke", "--set", "workflow.notebooks=[99]"], ["workflow.notebooks", "no notebook 99", "01, 02"]),
        (["smoke", "--set", "workflow.notebooks=[1, 01]"], ["workflow.notebooks", "01"]),
        (["smoke", "--set", "workflow.notebooks=[first]"], ["workflow.notebooks"]),
        (["smoke", "--set", "workflow.notebooks=[1, 2]", "--from", "3"], ["workflow.notebooks", "01, 02", "--from"]),
        (["nih", "--only", "09"], ["09_phantom", "rendered", "data.source=demo"]),
        (["nih", "--only", "12"], ["12_shortcuts", "rendered", "data.source=demo"]),
        (["phantom", "--set", "phantom.shortcut_label=Hernia"], ["phantom.shortcut_label", "Hernia", "Cardiomegaly"]),
        (["phantom", "--set", "phantom.shortcuts=[letter]"], ["phantom.shortcuts", "marker"]),
        (["phantom", "--set", "phantom.strengths=[2]"], ["phantom.strengths", "1"]),
        (
            ["thesis", "--set", "data.root=nowhere"],
            ["data.root: ", "nowhere is neither a folder nor a zip", "docs/data.md"],
        ),
        (["--set", "iou.uion=sum"], ["iou.uion", "union"]),
        (["--set", "iou.union=both"], ["iou.union", "areas", "sum"]),
        (["--set", "training.learning_rate=0,1"], ["training.learning_rate", "number"]),
        (["--only", "77"], ["77", "01", "07"]),
        (["--only", "02", "--from", "03"], ["--only", "--from"]),
        (["--frm", "02"], ["--frm"]),
    ],
)
def test_wrong_usage_exits_2_and_names_what_is_allowed(arguments, named):
    result = command("--dry-run", *arguments)
    assert result.returncode == 2
    assert all(word in result.stderr for word in named), result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dmo"], "unknown profile 'dmo'; did you mean demo?"),
        (["--set", "data.source=dmo"], "'folder'; did you mean demo?"),
        (["--set", "labels.explained=7 lables"], "'7 lables' is none of 3 labels, .*; did you mean 7 labels?"),
        (["--set", "methods.networks={a: {architectur: x}}"], "networks.a.architectur: .*; did you mean architecture?"),
        (["--only", ""], "--only: names no notebook; .* --only 04,06"),
        (["--only", "04,"], "--only: '04,' has a comma with no number beside it"),
        (["--only", "gradcam"], "--only: no notebook 'gradcam'; did you mean 04?"),
        (["--from", "004"], "--from: no notebook 004; did you mean 04?"),
        (["demo", "04", "--onyl"], "unrecognized arguments: 04 --onyl; did you mean --only?"),
        (["--verfy"], "--verfy; did you mean --verify?"),
        (["--compare"], "--compare: expected one argument$"),
    ],
)
def test_what_may_be_meant_is_named(capsys, arguments, said):
    try:
        code = run_all.main(["--list", *arguments])
    except SystemExit as stop:
        code = stop.code
    errors = capsys.readouterr().err
    assert code == 2 and re.search(said.replace("?", r"\?"), errors), errors


def test_a_run_that_succeeds_exits_0(tmp_path, write_notebook, monkeypatch):
    notebook = write_notebook("01_first", "print('fine')")
    monkeypatch.setattr(run_all, "find_notebooks", lambda: [notebook])
    assert run_all.main(["smoke", "--out", str(tmp_path / "out")]) == 0


VERDICT = """\
class_name,method,light,verdict,number,images
Mass,Grad-CAM,points,green,0.5,rendered
Mass,LayerCAM,points,red,0.1,rendered
ILD,Grad-CAM,points,red,0.1,rendered
"""


def test_the_end_names_the_answer_the_report_and_how_to_browse(tmp_path, write_notebook, monkeypatch, capsys):
    folder, notebook = tmp_path / "my run", write_notebook("01_first", "print('fine')")
    monkeypatch.setattr(run_all, "find_notebooks", lambda: [notebook])
    monkeypatch.setattr(runner, "run", lambda *_: True)
    folder.mkdir()
    assert run_all.main(["smoke", "--out", str(folder)]) == 0
    assert capsys.readouterr().out == f"Report: {folder}/report.html\n"
    for name, text in (("tables/verdict.csv", VERDICT), ("maps/test.npz", "")):
        (folder / name).parent.mkdir()
        (folder / name).write_text(text)
    assert run_all.main(["smoke", "--out", str(folder)]) == 0
    answer, report, heatmaps = capsys.readouterr().out.splitlines()
    assert answer.startswith("Answer: Grad-CAM may be relied on for 1 of 2 findings (Mass), fails a check for 1, ")
    assert answer.endswith("On rendered radiographs this checks the method; it says nothing about patients.")
    assert report.endswith("my run/report.html")
    assert heatmaps == f"Heatmaps: python run_all.py smoke --browse --out '{folder}'"


def test_a_wrong_data_set_is_refused_before_anything_starts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runner, "run", lambda *_: pytest.fail("a run was started"))
    (tmp_path / "empty").mkdir()
    for place, said in (("nowhere", "nowhere is neither a folder nor a zip"), ("empty", "empty is an empty folder")):
        assert run_all.main(["thesis", "--set", f"data.root={tmp_path / place}"]) == 2
        errors = capsys.readouterr().err
        assert said in errors and "docs/data.md" in errors


def test_a_first_run_that_is_refused_leaves_no_folder(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    folder = tmp_path / "out"
    assert run_all.main(["thesis", "--set", f"data.root={tmp_path}", "--out", str(folder)]) == 2
    assert "holds no train.csv" in capsys.readouterr().err and not folder.exists()


def test_a_method_that_does_not_exist_is_named_before_torch_is_imported():
    wrong = "methods.compared={gradcma: {}}"
    program = f"import run_all, sys; print(run_all.main(['smoke', '--set', {wrong!r}]), 'torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert found.stdout == "2 False\n"
    assert "methods.compared: gradcma: no method 'gradcma'; did you mean gradcam, " in found.stderr


def test_names_of_methods_are_looked_at_where_a_notebook_declares_them():
    wrong = load_params("smoke", ["methods.compared={gradcma: {}}", "roar.methods={rice: {}}"])
    check_method_names(wrong, {"iou"})
    with pytest.raises(ParameterError, match="roar.methods: rice: no method 'rice'; did you mean rise"):
        check_method_names(wrong, {"roar"})
    for profile in profile_names():
        check_method_names(load_params(profile), {"methods", "roar"})


def test_a_wrong_folder_is_named_before_torch_is_imported(tmp_path, monkeypatch):
    (tmp_path / "notes.txt").touch()
    params = load_params("thesis", [f"data.root={tmp_path}"])
    monkeypatch.setitem(sys.modules, "cxrlib.stages.preflight", None)  # importing it fails
    with pytest.raises(ParameterError, match=r"holds no train\.csv; .*docs/data\.md"):
        run_all._check(params, {"data", "model"})


@pytest.mark.parametrize(("name", "said"), [("file", "it is no folder"), ("folder", "it holds no manifest.json")])
def test_what_is_no_run_is_not_compared(tmp_path, capsys, name, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert run_all.main(["smoke", "--out", str(tmp_path), "--compare", str(tmp_path / name)]) == 2
    assert f"--compare: {tmp_path / name} is no run, {said}" in capsys.readouterr().err


def test_the_time_left_follows_what_the_notebooks_took():
    left = TimeLeft(["01_data", "02_training", "99_new"], {"01_data": 18.0, "02_training": None})
    assert left.expected == {"01_data": 18.0, "02_training": 49.0, "99_new": 10.0}  # half of the typical
    assert left.line(9.0) == "[#---------]  12 %, about 1 min 08 s left"
    left.done("01_data", 36.0)  # twice as slow
    left.done("05_smoothgrad", 5.0)  # nobody expected it
    assert left.line(0.0) == "[##--------]  23 %, about 1 min 58 s left"
    left.done("02_training", 98.0)
    assert left.line(1000.0) == "[##########] 100 %, about 0 s left"
    assert "left" not in TimeLeft(["01_data"], {}).line(5.0)  # the first run on this machine


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_the_whole_run_in_one_line(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "60")
    with timed("[1/2] 01_first (a long reason for which it runs again)", lambda seconds: "[##--]  50 %"):
        time.sleep(1.3)
    drawn = screen.getvalue().split(CLEAR)
    assert drawn[1].endswith("1 s  [##--]  50 %") and len(drawn[1]) < 60
    assert drawn[-1].startswith("[1/2] 01_first (a long reason for which it runs again) ... 1.") and len(drawn) == 3
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stdout", plain)
    with timed("[1/2] 01_first", lambda seconds: "[##--]"):
        pass
    assert plain.getvalue() == "[1/2] 01_first ... 0.0 s\n"
