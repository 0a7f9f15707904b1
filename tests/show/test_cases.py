"""The rules that choose what a figure shows, by hand."""

import pandas as pd
from fixtures import annotation_rows, small_cohort

from cxrlib.show.cases import (
    labelled,
    most_disputed,
    most_labels,
    right_class_wrong_place,
    surest,
    wrong_class_right_place,
)


def test_the_rules_that_choose_by_score():
    probabilities = pd.DataFrame({"A": [0.9, 0.6, 0.99], "B": [0.2, 0.7, 0.8]}, list("xyz"))
    truth = pd.DataFrame({"A": [1, 1, 1], "B": [1, 1, 0]}, list("xyz"))
    assert surest(probabilities, truth, ["A", "B"], 2) == ["y", "x"]
    scores = pd.DataFrame({"image_id": list("abcd"), "all_pairs": [0, 0, 0.5, 0.2]})
    scores["probability"] = [0.8, 0.9, 0.99, 0.3]
    assert right_class_wrong_place(scores)["image_id"] == "b"
    assert wrong_class_right_place(scores)["image_id"] == "c"
    assert right_class_wrong_place(scores[:0]) is None and wrong_class_right_place(scores[:0]) is None


def test_the_rules_that_choose_by_labels_and_boxes():
    places = {"a": [0, 30], "b": [0, 2, 4], "c": [0, 6, 12]}  # x_min of R1, R2, R3
    rows = [(i, "ILD", f"R{n}", x, 0, x + 10, 10) for i, found in places.items() for n, x in enumerate(found, 1)]
    rows.append(("c", "X", "R1", 0, 0, 1, 1))
    labels = pd.DataFrame({"ILD": [1, 1, 1], "X": [1, 0, 0]}, list("abc"))
    cohort = small_cohort(["ILD", "X"], annotation_rows(*rows), labels)
    assert most_disputed(cohort, "ILD") == "c"
    assert most_disputed(cohort, "X") is None
    assert labelled(cohort, ["c", "a", "b"], ["ILD"], 2) == ["b", "c"]
    assert most_labels(cohort, ["a", "b", "c"], ["ILD", "X"], 2) == ["a", "c"]
