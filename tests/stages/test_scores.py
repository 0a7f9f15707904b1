"""Scores that are kept: what the function gives, made once, and again where anything that decides it changes."""

from dataclasses import replace
from functools import wraps

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures import SEVEN, annotation_rows
from torch import nn

from cxrlib.data.cohort import Cohort
from cxrlib.data.provenance import Provenance
from cxrlib.evaluate.grid_ceiling import allowed_by_grids
from cxrlib.evaluate.method_scores import score_methods, with_falls
from cxrlib.evaluate.place_scores import place_cases
from cxrlib.explain.explanations import Explanations
from cxrlib.model.batches import StoredInputs
from cxrlib.runtime.exact_tables import load_tables, save_tables
from cxrlib.runtime.store import identity_of, keep
from cxrlib.stages import scores
from cxrlib.stages.scores import kept_scores

IDS = ["a", "b", "c", "d"]
SHARES = [0.05, 0.2]


@pytest.fixture
def cohort(tmp_path):
    labels = pd.DataFrame(0, IDS, SEVEN, dtype="uint8").assign(Cardiomegaly=1)
    studies = pd.DataFrame({"patient_id": IDS, "split": ["valid"] * 2 + ["test"] * 2}, IDS)
    boxes = annotation_rows(*((one, "Cardiomegaly", "R1", 8, 8 + 2 * row, 24, 30) for row, one in enumerate(IDS)))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32), np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    about = Provenance(source="drawn", rendered=True, data="first", split="first")
    return Cohort(studies, boxes, labels, pixels, tmp_path, about, {"main": ["Cardiomegaly"]}, "main")


@pytest.fixture
def maps():
    found = {}
    for number, title in enumerate(("CAM", "RISE")):
        of = [torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(10 * number + k)) for k in range(2)]
        p = [pd.DataFrame({"Cardiomegaly": np.float32([0.9, 0.3])}, some) for some in (IDS[:2], IDS[2:])]
        splits = zip(("valid", "test"), p, of, strict=True)
        found[title] = {name: Explanations(one.rename_axis("image_id"), map_, 32, "x") for name, one, map_ in splits}
    return found


@pytest.fixture
def counted():
    """A function that counts its calls, and the counts."""
    calls = []

    def counting(function):
        @wraps(function)
        def count(*arguments, **how):
            calls.append(function.__name__)
            return function(*arguments, **how)

        return count

    return counting, calls


def same(one, other):
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True, check_column_type=False)
        return
    assert type(one) is type(other) and len(one) == len(other)
    if isinstance(one, dict):
        assert [*one] == [*other]
    for part, same_part in zip(*((x.values() if isinstance(x, dict) else x) for x in (one, other)), strict=True):
        same(part, same_part)


def network(weight):
    built = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1))
    nn.init.constant_(built[1].weight, weight)
    nn.init.zeros_(built[1].bias)
    return built.eval()


def test_tables_come_back_as_the_function_gives_them(cohort, maps, tmp_path):
    path = tmp_path / "scores" / "some.npz"
    one = score_methods(cohort, maps, SHARES)
    images = StoredInputs(tmp_path / "pixels.npy", np.array([2, 3]))
    boxes = pd.DataFrame({"image_id": ["a"], "class_name": "Mass", "x_min": 0.0, "y_min": 0, "x_max": 0.5, "y_max": 1})
    for function, *arguments in (
        (score_methods, cohort, maps, SHARES),
        (place_cases, cohort, maps, {}, SHARES, 0),
        (with_falls, one, maps, network(0.01), images, 0.5, 2),
        (allowed_by_grids, boxes, [1, 2], SHARES),
    ):
        for _ in range(2):
            same(kept_scores(path, "float32", function, *arguments), function(*arguments))


def test_what_is_there_is_not_made_again(cohort, maps, tmp_path, counted):
    counting, calls = counted
    path, arguments = tmp_path / "some.npz", (counting(score_methods), cohort, maps, SHARES)
    first = kept_scores(path, "float32", *arguments)
    content = path.read_bytes()
    again = kept_scores(path, "float32", *arguments, workers=2)
    assert calls == ["score_methods"]
    same(first, again)
    kept_scores(tmp_path / "other.npz", "float32", *arguments)
    assert (tmp_path / "other.npz").read_bytes() == content


@pytest.mark.parametrize(
    "what", ["shares", "union", "map", "probability", "data", "boxes", "labels", "precision", "code", "damage", "raced"]
)
def test_it_is_made_again_where_something_changes(cohort, maps, tmp_path, counted, monkeypatch, what):
    counting, calls = counted
    path, precision, shares, further = tmp_path / "some.npz", "float32", SHARES, {}
    kept_scores(path, precision, counting(score_methods), cohort, maps, shares)
    valid = maps["RISE"]["valid"]
    if what == "shares":
        shares = [0.05, 0.1]
    elif what == "map":
        raw = valid.maps.clone()
        raw[1, 0, 3, 3] = torch.nextafter(raw[1, 0, 3, 3], torch.tensor(2.0))
        maps["RISE"]["valid"] = valid.with_maps(raw)
    elif what == "probability":
        maps["RISE"]["valid"] = replace(valid, probabilities=valid.probabilities + np.float32(0.1))
    elif what == "union":
        further = {"union": "sum"}
    elif what == "data":
        cohort = replace(cohort, provenance=replace(cohort.provenance, data="second"))
    elif what == "boxes":
        cohort = replace(cohort, annotations=cohort.annotations.assign(x_min=7.0))
    elif what == "labels":
        cohort = replace(cohort, labels=cohort.labels.assign(ILD=1))
    elif what == "precision":
        precision = "bfloat16"
    elif what == "code":
        monkeypatch.setitem(scores.CODE, score_methods.__module__, "edited")
        monkeypatch.setattr(scores, "code_of_module", lambda _: "edited")
    elif what == "raced":  # another process replaced the file before this one recorded it
        identity = identity_of(path)
        save_tables(score_methods(cohort, maps, [0.5]), path, "another")
        keep(path, identity)
    else:
        path.write_bytes(path.read_bytes()[:-1])
    found = kept_scores(path, precision, counting(score_methods), cohort, maps, shares, **further)
    assert calls == ["score_methods"] * 2
    same(found, load_tables(path, identity_of(path)))
    same(found, score_methods(cohort, maps, shares, **further))


def test_nothing_is_kept_or_found_of_code_that_was_edited_since_it_was_loaded(
    cohort, maps, tmp_path, monkeypatch, counted
):
    counting, calls = counted
    arguments = ("float32", counting(score_methods), cohort, maps, SHARES)
    kept_scores(tmp_path / "before.npz", *arguments)
    monkeypatch.setattr(scores, "code_of_module", lambda _: "edited")
    for path in (tmp_path / "some.npz", tmp_path / "before.npz"):
        same(kept_scores(path, *arguments), score_methods(cohort, maps, SHARES))
    assert len(calls) == 3 and not (tmp_path / "some.npz").exists()


def test_images_and_networks_count_by_what_they_hold(cohort, maps, tmp_path, counted):
    counting, calls = counted
    scored, path = score_methods(cohort, maps, SHARES), tmp_path / "falls.npz"

    def falls(images, weight):
        return kept_scores(path, "float32", counting(with_falls), scored, maps, network(weight), images, 0.5, 2)

    falls(StoredInputs(tmp_path / "pixels.npy", np.array([2, 3])), 0.01)
    np.save(tmp_path / "elsewhere.npy", cohort.pixels[2:])
    falls(StoredInputs(tmp_path / "elsewhere.npy", np.array([0, 1])), 0.01)
    assert len(calls) == 1
    falls(StoredInputs(tmp_path / "elsewhere.npy", np.array([1, 0])), 0.01)
    falls(StoredInputs(tmp_path / "elsewhere.npy", np.array([1, 0])), 0.02)
    assert len(calls) == 3


def test_what_cannot_be_told_apart_is_refused(cohort, maps, tmp_path):
    unstored = replace(cohort, provenance=Provenance(source="drawn"))
    with pytest.raises(TypeError, match="a cohort that is not stored"):
        kept_scores(tmp_path / "some.npz", "float32", score_methods, unstored, maps, SHARES)
    with pytest.raises(KeyError, match="test_scores"):
        kept_scores(tmp_path / "some.npz", "float32", network, 1.0)
