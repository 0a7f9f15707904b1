"""Beat the heatmap in the kernel: which cases are asked, what is scored, and what is said."""

import ipywidgets as widgets
import numpy as np
import pandas as pd
import pytest
from browsable import SIZE
from fixtures import annotation_rows, small_cohort

from cxrlib.evaluate.drawn_box import score_drawn
from cxrlib.runtime.files import whole_file
from cxrlib.show.browse.browsed import BrowsedRun
from cxrlib.show.browse.game import BoxGame, open_game
from cxrlib.show.browse.game_cases import CASES, chosen_shares, game_cases
from cxrlib.show.browse.game_words import beaten, closing, head, score_table
from cxrlib.show.browse.overlay import Look, readers_of, render

BOX = (0, 0, 8, 8)


@pytest.fixture
def game(results):
    return BoxGame(results, {"Cardiomegaly": 0.2})


def play(game: BoxGame, box: tuple = (10.0, 20.0, 50.0, 60.0)) -> None:
    game.picture.box = list(box)
    game.score.click()


def test_classes_take_turns_and_a_study_is_asked_once():
    rows = [(f"s{number:02}", name, reader, *BOX) for number in range(20) for name in "AB" for reader in ("R1", "R2")]
    cohort = small_cohort(["A", "B", "C"], annotation_rows(*rows))
    ids = [f"s{number:02}" for number in range(20)]
    cases = game_cases(cohort, ids, ["A", "B", "C"], seed=1)
    assert len(cases) == CASES == len({image_id for image_id, _ in cases})
    assert [name for _, name in cases] == ["A", "B"] * 5
    assert cases == game_cases(cohort, ids, ["A", "B", "C"], seed=1) != game_cases(cohort, ids, ["A", "B", "C"], seed=2)
    assert {image_id for image_id, _ in game_cases(cohort, ids[:3], ["A"], seed=1)} == set(ids[:3])


@pytest.mark.parametrize("seed", range(5))
def test_cases_with_one_box_of_each_of_several_readers_come_first(seed):
    rows = [("one reader", "A", "R1", *BOX), ("two boxes", "A", "R1", *BOX), ("two boxes", "A", "R1", 9, 9, 12, 12)]
    rows += [("two boxes", "A", "R2", *BOX), ("fair", "A", "R1", *BOX), ("fair", "A", "R2", *BOX), ("none", "A", "R1")]
    cohort = small_cohort(["A"], annotation_rows(*rows))
    cases = game_cases(cohort, ["one reader", "two boxes", "fair", "none"], ["A"], seed)
    assert cases[0] == ("fair", "A") and {image_id for image_id, _ in cases[1:]} == {"one reader", "two boxes"}


def test_the_share_is_the_one_that_the_validation_split_chose(tmp_path):
    assert chosen_shares(tmp_path) == {}
    (tmp_path / "tables").mkdir()
    rows = ["Grad-CAM,iou,random map,A,0.08", "Grad-CAM,iou,usual place,A,0.08", "Grad-CAM,energy,random map,A,"]
    rows += ["RISE,iou,random map,A,0.2", "Grad-CAM,iou,random map,B,", "Grad-CAM,iou,random map,mean of findings,"]
    with whole_file(tmp_path / "tables" / "localisation.csv") as path:
        path.write_text("\n".join(["method,measure,control,class_name,share", *rows]) + "\n")
    assert chosen_shares(tmp_path) == {"A": 0.08}


def test_a_box_is_scored_beside_readers_heatmap_and_chance(game, results):
    assert game.score.disabled and game.next.disabled
    image_id, name = game.cases[0]
    view = results.first_view(image_id, name, {"Cardiomegaly": 0.2}.get(name, 0.05))
    assert name in game.task.value and "Case 1 of 4" in game.task.value and image_id in game.picture.caption
    before = game.picture.image
    play(game)
    evidence = results.evidence(view)
    readers = {reader: rows.iloc[:, 1:].to_numpy(float) for reader, rows in readers_of(evidence)}
    expected = score_drawn(np.array([10, 20, 50, 60]), readers, {"Grad-CAM": evidence.predicted}, SIZE)
    assert game.scores == [expected]
    pixels = results.cohort.images([image_id])[0]
    assert game.picture.image == render(pixels, evidence, Look()) != before
    assert before == render(pixels, evidence, Look(heatmap=False, mask=False, predicted=False, readers=(False,) * 4))
    for reader in readers:
        assert f"<th scope=row>{reader}</th>" in game.table.value and reader in game.picture.caption
    assert f"{expected['you']:.2f}" in game.table.value and f"{expected['chance']:.2f}" in game.table.value
    assert game.picture.locked and game.score.disabled and not game.next.disabled and game.words.value == ""


def test_ten_cases_end_with_a_sentence_and_a_new_game_asks_others(game):
    for number in range(len(game.cases)):
        assert game.picture.box == [] and len(game.scores) == number
        play(game)
        if number < len(game.cases) - 1:
            game.next.click()
    assert "After 4 cases you share" in game.words.value and game.next.description == "new game"
    first, seed = game.cases, game.seed
    game.next.click()
    assert (game.scores, game.words.value, game.table.value) == ([], "", "")
    assert game.seed == seed + 1 and sorted(game.cases) != [] and len(game.cases) == len(first)
    assert "Case 1 of" in game.task.value and game.next.description == "next case"


def test_enter_scores_and_goes_on_and_needs_a_box(game):
    enter = lambda: game.picture._handle_custom_msg({"entered": True}, [])  # noqa: E731
    enter()
    assert game.scores == []
    game.picture.box = [1.0, 1.0, 9.0, 9.0]
    enter()
    assert len(game.scores) == 1 and game.picture.locked
    enter()
    assert len(game.scores) == 1 and not game.picture.locked and game.picture.box == []


def test_a_run_made_again_is_told_and_shows_no_old_picture(results, tmp_path):
    path = tmp_path / "test.npz"
    run = BrowsedRun(results.cohort, results.methods, files={path: None})
    game = BoxGame(run)
    path.touch()
    play(game)
    assert "was made again" in game.task.value and game.picture.image == b"" and game.scores == []
    assert game.score.disabled and game.next.disabled


def test_without_boxes_there_is_nothing_to_draw(results):
    results.cohort.annotations["x_min"] = np.nan
    game = BoxGame(results)
    assert "nothing to draw" in game.task.value and game.cases == [] and game.next.disabled


def test_a_run_without_maps_is_a_sentence(tmp_path):
    shown = open_game(tmp_path)
    assert type(shown) is widgets.HTML and "notebook" in shown.value


def test_the_page_says_what_the_radiographs_are():
    assert "Rendered, not clinical." in head(True)
    assert "Rendered" not in head(False) and "not for diagnosis" in head(False)


def test_the_table_has_the_best_first_and_the_mean_of_all_cases():
    scores = [{"you": 0.2, "<R8>": 0.4, "chance": 0.1}, {"you": 0.6, "R9": 0.5, "chance": 0.2}]
    table = score_table(scores)
    assert "2 cases" in table and table.index(">you<") < table.index(">R9<") < table.index("chance")
    assert "<td>0.60</td><td>0.40</td>" in table and "<R8>" not in table
    assert score_table([]) == "" and "&lt;R8&gt;" in score_table(scores[:1])


def test_the_closing_sentence_says_who_points_better():
    many = [{"you": 0.6, "radiologists": 0.5, "Grad-CAM": 0.1, "chance": 0.05}] * 9
    many += [{"you": 0.1, "Grad-CAM": 0.2, "chance": 0.05}]
    said = closing(many)
    assert said.startswith("After 10 cases you share 0.55 (IoU) with the radiologists' boxes; they share 0.50 with")
    assert "Grad-CAM shares 0.11, a random box of your size 0.05." in said
    assert "You beat the heatmap. You came closer than Grad-CAM on 9 of 10 cases; luck alone" in said
    assert "at least as well as they do with each other" in said  # of the nine cases with two readers
    worse = closing([{"you": 0.4, "radiologists": 0.5, "Grad-CAM": 0.1, "chance": 0.0}])
    assert "more than you do with them" in worse and "1 of 1 case: so few cases do not tell" in worse


def test_luck_is_called_luck():
    won = lambda wins: beaten(pd.Series([1.0] * wins + [0.0] * (10 - wins)), pd.Series([0.5] * 10))  # noqa: E731
    assert "so few cases do not tell" in won(8) and "so few cases do not tell" in won(2)
    assert won(9).startswith("You beat the heatmap.") and won(1).startswith("The heatmap beat you.")
