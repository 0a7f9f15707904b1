"""What a dry run says before anything runs."""

from dataclasses import replace

import pytest
from fixtures import annotation_rows, kaggle_folder

from cxrlib.evaluate import removal
from cxrlib.params import load_params
from cxrlib.runtime.errors import Refusal
from cxrlib.stages import calibration, estimate
from cxrlib.stages.calibration import Speed, seconds_to_render, speed_of
from cxrlib.stages.estimate import REFERENCE, SHOWN, Counts, counts_of, describe, seconds_of
from cxrlib.stages.prepare import planned_source

ROWS = annotation_rows(("a", "ILD", "R1", 1, 2, 3, 4), ("b", "No finding", "R1"), ("b", "No finding", "R1"))
SPEED = Speed(trained=0.02, read=0.001, backward=0.003, bytes=94_000_000)
COUNTS = Counts(1000, train=800.0, valid=100.0, test=100.0, boxed=0.6, shares={"7 labels": 1.0, "3 labels": 0.5})


@pytest.fixture
def measured(monkeypatch):
    """A machine of known speed, and the networks that were measured."""
    seen = []
    monkeypatch.setattr(estimate, "speed_of", lambda *given, **_: seen.append(given[0].architecture) or SPEED)
    monkeypatch.setattr(estimate, "seconds_to_render", lambda data: (REFERENCE, 0.01))
    return seen


@pytest.mark.usefixtures("measured")
def test_it_tells_what_it_would_read_and_writes_nothing(tmp_path):
    root = kaggle_folder(tmp_path / "kaggle", ROWS)
    params = load_params(
        "thesis", [f"data.root={root}", "labels.experiments={a: [ILD, No finding]}", "labels.explained=a"]
    )
    before = sorted(tmp_path.rglob("*"))
    lines = describe(params, tmp_path / "not" / "there", planned_source(params.data), ["01"])
    assert lines[0].startswith("reads 2 images and 2 annotation rows of VinBigData")
    assert lines[0].endswith("sets aside 1 x duplicated row; dropped")
    assert sorted(tmp_path.rglob("*")) == before


def test_disk_and_time_follow_from_the_number_of_images(tmp_path, measured):
    params = load_params("demo", ["model.input_size=224", "data.n_studies=10000", "data.no_finding_share=0.7"])
    reads, disk, time = describe(params, tmp_path, planned_source(params.data), ["01", "02", "99"])
    assert "renders 10,000 images" in reads and measured == ["resnet18", "timm/tf_efficientnet_lite0"]
    assert disk.startswith(
        "disk: 6.6 GB (3.0 GB for rendered files, 2.6 GB for images of 512 px, 0.5 GB for the network's input of "
        "224 px, 0.5 GB for models); "
    )
    assert time.startswith("time on this machine: about ") and "in all (01 3 min, 02 " in time and "99 8 s" in time
    assert describe(params, tmp_path, planned_source(params.data), [])[2] == "time: nothing would run"


def seconds(counts=COUNTS, speed=SPEED, to_render=REFERENCE, rendered=True, networks=(), **changed):
    params = load_params("smoke", [f"{name.replace('__', '.')}={value}" for name, value in changed.items()])
    labels = params.labels.model_copy(
        update={"experiments": {name: ["ILD", "No finding"] for name in counts.shares}, "explained": "7 labels"}
    )
    speeds = {"": speed} | dict.fromkeys(networks, speed)
    return seconds_of(params.model_copy(update={"labels": labels}), counts, speeds, to_render, 0.01, rendered)


def test_the_passes_of_every_notebook_are_counted():
    none = seconds(speed=Speed(0, 0, 0, 0))
    each = {number: value - none[number] for number, value in seconds(training__epochs=3).items()}
    epoch = 800 * 0.02 + 100 * 0.001
    assert each["02"] == pytest.approx(epoch * (3 + 0.5))  # the other experiment goes on for one epoch
    assert each["03"] == pytest.approx(100 * 0.001 * 1.5)
    assert each["05"] == pytest.approx(4 * 2 * ((2 + 2) * 0.001 + 2 * 0.004))
    assert each["06"] == pytest.approx(600 * 0.001)
    controls = estimate._control_passes(load_params("smoke"), 100)
    assert each["07"] == pytest.approx((6 * 1.5 * 5 * 3 + controls + 0.6 * 30) * 0.001)
    by_methods = 0.001 + 0.001 + (0.001 + 2 * 0.003) + 20 * 0.001  # gradcam, hirescam, gradient, RISE
    assert each["08"] == pytest.approx(10 * by_methods)
    assert each["09"] == pytest.approx(6 * 1.5 * 20 * 0.001) and each["12"] == 0 == each["01"]


def test_further_networks_cues_and_methods_take_their_time():
    less, more = seconds(training__epochs=3), seconds(training__epochs=3, networks=["other"])
    assert more["08"] - less["08"] == pytest.approx(3 * (16 + 0.1) + 0.1)
    planted = seconds(phantom__shortcuts="[marker, noise]", phantom__strengths="[0, 1]")
    by_methods = 0.001 + 0.001 + 0.007 + 0.02
    assert planted["12"] - SHOWN["12"] == pytest.approx(4 * (16.1 + 200 * 0.001) + 4 * 6 * by_methods + 2 * 1000 * 0.01)
    assert seconds(methods__compared="{scorecam: {}}")["08"] > seconds(methods__compared="{gradient: {}}")["08"]


def test_a_slower_machine_draws_slower_and_real_images_are_not_rendered():
    quick, slow = seconds(), seconds(to_render=2 * REFERENCE)
    assert slow["04"] == 2 * quick["04"] and slow["01"] > 1.5 * quick["01"]
    assert quick["01"] - seconds(rendered=False)["01"] == pytest.approx(1000 * REFERENCE / 2 + 3)


def test_studies_are_counted_from_the_tables():
    params = load_params("smoke")
    source = planned_source(params.data)
    counts = counts_of(source, params)
    assert counts.images == 80 and counts.boxed == 0.8
    assert counts.train + counts.valid + counts.test == pytest.approx(80 * counts.shares["7 labels"])
    half = counts_of(replace(source, official_test=frozenset(source.images["image_id"][:40])), params)
    assert half.test == pytest.approx(half.train + half.valid)


def test_a_network_is_measured_on_this_machine(monkeypatch):
    monkeypatch.setattr(calibration, "BUDGET", 0.01)
    monkeypatch.setattr(calibration, "RENDERED", 1)
    sections = load_params("smoke", ["model.input_size=32"])
    speed = speed_of(sections.model, sections.training, sections.compute, 3)
    assert speed.trained > speed.read > 0 and speed.backward > 0
    assert speed.bytes == pytest.approx(44.7e6, rel=0.01)
    render, read = seconds_to_render(sections.data)
    assert render > 0 and read > 0
    with pytest.raises(Refusal, match="no network 'resnet19'; did you mean resnet18"):
        speed_of(sections.model.model_copy(update={"architecture": "resnet19"}), sections.training, sections.compute, 3)


def test_as_many_images_are_measured_as_fit(monkeypatch):
    clock, asked = [0.0], []
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: clock[0])

    def work(count):
        asked.append(count)
        clock[0] += 0.01 * count + 0.02

    assert calibration.per_image(work, most=6) == pytest.approx(0.08 / 6)
    assert asked == [1, 1, 2, 4, 6, 6, 6]
    asked.clear()
    assert calibration.per_image(lambda count: work(100 * count), most=6, fewest=2) == pytest.approx(2.02 / 2)
    assert asked == [200, 200]
    # a step of training takes a tenth of a second whatever its batch is: the whole batch shares it
    step = calibration.per_image(lambda count: clock.__setitem__(0, clock[0] + 0.1 + 0.004 * count), most=32, fewest=2)
    assert step == pytest.approx(0.004 + 0.1 / 32)


@pytest.mark.parametrize(
    ("root", "message"), [("nowhere", "nowhere is neither a folder nor a zip"), ("", r"holds no train\.csv; expected")]
)
def test_data_that_cannot_be_read_are_refused_before_anything_runs(tmp_path, root, message):
    with pytest.raises(Refusal, match=message):
        planned_source(load_params("thesis", [f"data.root={tmp_path / root}"]).data)


def test_controls_cost_what_the_curves_say():
    params = load_params("thesis", ["perturbation.shares=[0.1, 0.5]", "perturbation.kernels=[11]"])
    a_method, shared = 4 * 2 + 4 * 3 + 2 * 2, (2 + 3) + (2 * 2 + 1 + 4)
    assert estimate._control_passes(params, 1000) == 200 * (a_method + shared) + 50 * (4 * a_method + shared)
    assert estimate._control_passes(params, 10) == 10 * (5 * a_method + 2 * shared)


def test_the_trainings_of_notebook_11_are_those_of_its_list():
    assert len(removal.CONTROLS) == estimate.CONTROLS
    # five seeds of four whole ones, and of three controls and five methods in three modes at five shares
    assert estimate.trainings_again(load_params("thesis").roar) == 5 * (4 + 8 * 3 * 5) == 620
