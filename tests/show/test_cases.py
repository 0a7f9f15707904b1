"""The rules that choose what a figure shows, by hand."""

import pandas as pd
from fixtures import annotation_rows, small_cohort

from cxrlib.show.cases import (
    cases_first,
    contrasting_cases,
    first_sure_case,
    fullest,
    labelled,
    most_disputed,
    most_labels,
    most_moved,
    most_predicted,
    right_class_wrong_place,
    surest,
    surest_cases,
    surest_healthy,
    surest_together,
    typical_examples,
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


def test_the_surest_case_of_every_finding_that_is_there():
    classes = ["A", "B", "C", "No finding"]
    labels = pd.DataFrame([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 1, 0]], list("xyzt"), classes)
    probabilities = pd.DataFrame(
        [[0.4, 0.9, 0.9, 0.1], [0.6, 0.2, 0.9, 0.1], [0.9, 0.9, 0.9, 0.9]], list("xyz"), classes
    )
    # z is surest of A and B without carrying them; t, the only C, is no study of these probabilities
    assert surest_cases(small_cohort(classes, labels=labels), probabilities) == [("y", "A"), ("y", "B")]


def test_studies_of_the_cases_come_first_and_none_is_left_out():
    cases = [("y", "A"), ("x", "B"), ("y", "C")]
    assert cases_first(cases, ["w", "x", "y", "z"], 3) == ["y", "x", "w"]
    assert cases_first(cases, ["w", "x", "y", "z"], 1) == ["y", "x"]
    assert cases_first(cases, ["w", "x"], 9) == ["y", "x", "w"]


def test_the_finding_that_is_predicted_most_often():
    probabilities = pd.DataFrame({"A": [0.9, 0.1], "B": [0.5, 0.6], "No finding": [0.7, 0.8]}, ["x", "y"])
    counts = pd.Series({"A": 1, "B": 2, "No finding": 9})
    assert most_predicted(counts, probabilities, ["A", "B"]) == ("y", "B")
    assert most_predicted(counts * [0, 0, 1], probabilities, ["A", "B"]) == ("y", "No finding")


def test_the_fullest_radiograph_of_the_first_list_that_names_any():
    labels = pd.DataFrame({"A": [1, 1, 1], "B": [0, 1, 1], "No finding": [0, 0, 0]}, list("xyz"))
    rows = annotation_rows(("y", "A", "R1", 0, 0, 1, 1), ("z", "A", "R1", 0, 0, 1, 1), ("z", "B", "R1", 0, 0, 1, 1))
    cohort = small_cohort(["A", "B", "No finding"], rows, labels)
    assert fullest(cohort, ["x", "y", "y"], ["z"]) == "y"
    assert fullest(cohort, pd.Series([], dtype=object), ["x"], ["y", "z"]) == "x"
    assert fullest(cohort, [], pd.Index(["y", "z"])) == "z"


def test_an_example_of_every_label_and_of_the_first_two_findings_together():
    classes = ["A", "B", "C", "D", "No finding"]
    rows = {
        "both and C": [1, 1, 1, 0, 0],
        "both": [1, 1, 0, 0, 0],
        "C and D": [0, 0, 1, 1, 0],
        "D": [0, 0, 0, 1, 0],
        "healthy": [0, 0, 0, 0, 1],
        "only C, for the test": [0, 0, 1, 0, 0],
    }
    labels = pd.DataFrame.from_dict(rows, orient="index", columns=classes)
    studies = pd.DataFrame({"split": ["train"] * 5 + ["test"]}, labels.index)
    cohort = small_cohort(classes, labels=labels, studies=studies)
    assert typical_examples(cohort) == ["both", "C and D", "D", "healthy"]
    many = [*"ABCDEFGH", "No finding"]
    labels = pd.DataFrame(1, [*"xy"], many)
    cohort = small_cohort(many, labels=labels, studies=pd.DataFrame({"split": "train"}, labels.index))
    assert typical_examples(cohort) == ["x"] * 6


def test_the_first_label_that_a_study_carries_and_its_surest_study():
    classes = ["A", "B", "No finding"]
    labels = pd.DataFrame([[0, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], list("xyzt"), classes)
    probabilities = pd.DataFrame([[0.9, 0.3, 0], [0.1, 0.5, 0], [0.1, 0.9, 0]], list("xyz"), classes)
    # t, the only A, is no study of these probabilities; z is surest of B without carrying it
    assert first_sure_case(small_cohort(classes, labels=labels), probabilities) == ("y", "B")


def test_the_surest_studies_and_the_classes_to_explain_of_them():
    classes = ["A", "B", "No finding"]
    labels = pd.DataFrame([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]], list("xyzt"), classes)
    probabilities = pd.DataFrame(
        [[0.9, 0.2, 0.9], [0.6, 0.5, 0.9], [0.9, 0.9, 0.9], [0.1, 0.1, 0.2]], list("xyzt"), classes
    )
    cohort = small_cohort(classes, labels=labels)
    assert surest_together(cohort, probabilities, ["A", "B"], 3) == [("y", ["A", "B"]), ("x", ["A", "B"])]
    assert surest_together(cohort, probabilities, ["A", "B"], 1) == [("y", ["A", "B"])]
    assert surest_healthy(cohort, probabilities, 4) == [("t", ["No finding"])]
    assert surest_healthy(small_cohort(["A", "B"], labels=labels), probabilities, 4) == []


def test_the_cases_that_noise_moves_most_are_few_and_the_lowest_first():
    rows = [(f"{name}{number}", name, 0.1 * at - 0.3 * number) for at, name in enumerate("FEDCB") for number in (0, 1)]
    agreement = pd.DataFrame(rows, columns=["image_id", "class_name", "rank_correlation"])
    agreement = pd.concat([agreement, agreement.assign(rank_correlation=0.9)])  # a weaker noise
    few, rule = most_moved(agreement, leave_out=[("E1", "E")])
    assert few == [("F1", "F"), ("D1", "D"), ("C1", "C"), ("E0", "E")]
    assert rule.endswith("the lowest 4")
    few, rule = most_moved(agreement[agreement["class_name"] == "B"], leave_out=[])
    assert few == [("B1", "B")] and "the lowest 4" not in rule


def test_contrasting_cases_are_found_or_missed_and_only_those_that_exist():
    scores = pd.DataFrame(
        [("a", "X", 0.0, 0.6), ("b", "Y", 0.2, 0.9), ("c", "X", 0.9, 0.55), ("d", "Y", 0.4, 0.3), ("e", "X", 0.1, 0.1)],
        columns=["image_id", "class_name", "all_pairs", "probability"],
    )
    assert contrasting_cases(scores, 0.6) == [("a", ["X"]), ("d", ["Y"])]
    assert contrasting_cases(scores, 0.7) == [("b", ["Y"]), ("d", ["Y"])]
    assert contrasting_cases(scores, 0.95) == [("d", ["Y"])]  # c, above 0.5 but below the threshold, is neither
    assert contrasting_cases(scores[:0], 0.6) == []
