"""Independent pieces of work: who takes which, and what is made once."""

import pytest

from cxrlib.runtime import work_list
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import whole_file
from cxrlib.runtime.processes import in_job_array
from cxrlib.runtime.store import keep
from cxrlib.runtime.work_list import (
    Piece,
    Unfinished,
    once,
    one_task_at_a_time,
    own_number,
    own_pieces,
    work_through,
)


@pytest.fixture
def made():
    return []


@pytest.fixture
def pieces(tmp_path, made):
    def piece(name):
        path = tmp_path / f"{name}.txt"

        def make():
            made.append(name)
            with whole_file(path) as temporary:
                temporary.write_text(name)
            keep(path, f"identity {name}")

        return Piece(path, f"identity {name}", make)

    return [piece(name) for name in "abcde"]


def as_process(monkeypatch, rank, world):
    monkeypatch.setattr(work_list, "rank", lambda: rank)
    monkeypatch.setattr(work_list, "world_size", lambda: world)


def as_task(monkeypatch, number, count):
    """As a task of a Slurm job array whose numbers begin with 1."""
    for name, value in {"ID": number, "MIN": 1, "COUNT": count}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    return in_job_array()


def test_one_process_makes_all_in_order_and_nothing_twice(pieces, made):
    work_through(pieces, "working", "piece")
    assert made == list("abcde") and all(piece.done for piece in pieces)
    pieces[2].path.write_text("damaged")
    work_through(pieces, "working", "piece")
    assert made == [*"abcde", "c"]


def test_two_processes_take_turns_and_leave_the_same_files(pieces, made, monkeypatch):
    for rank, expected in ((0, "ace"), (1, "bd")):
        as_process(monkeypatch, rank, 2)
        made.clear()
        work_through(pieces, "working", "piece")
        assert made == list(expected)
    assert [piece.path.read_text() for piece in pieces] == list("abcde")


def test_an_interrupted_list_goes_on_with_the_piece_that_is_missing(pieces, made):
    def interrupted():
        raise KeyboardInterrupt

    broken = [*pieces[:2], Piece(pieces[2].path, pieces[2].identity, interrupted), *pieces[3:]]
    with pytest.raises(KeyboardInterrupt):
        work_through(broken, "working", "piece")
    assert made == ["a", "b"]
    work_through(pieces, "working", "piece")
    assert made == list("abcde")


def test_the_tasks_of_a_job_array_share_the_list_too(pieces, monkeypatch):
    taken = []
    for task in (1, 2):
        for rank in (0, 1):
            as_process(monkeypatch, rank, 2)
            with as_task(monkeypatch, task, 2):
                taken += [piece.path.stem for piece in own_pieces(pieces)]
    assert taken == ["a", "e", "b", "c", "d"]


def test_outside_of_a_command_a_job_array_is_no_concern_of_the_list_s(pieces, monkeypatch):
    for name in ("ID", "COUNT"):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", "2")
    assert own_pieces(pieces) == pieces


def test_a_task_whose_part_is_done_says_what_is_left_and_the_next_command_finds_all(pieces, made, monkeypatch):
    said = "working: this task's part is done, 3 of 5 pieces are left to other tasks"
    with as_task(monkeypatch, 2, 2), pytest.raises(Unfinished, match=said):
        work_through(pieces, "working", "piece")
    assert made == ["b", "d"]
    with as_task(monkeypatch, 1, 2):
        work_through(pieces, "working", "piece")
    work_through(pieces, "working", "piece")
    assert made == list("bdace")


def test_a_job_array_with_a_gap_is_refused(monkeypatch):
    with pytest.raises(Refusal, match=r"SLURM_ARRAY_TASK_ID: task 4 of 2 that begin with 1; .* --array=0-1"):
        as_task(monkeypatch, 4, 2).__enter__()


def test_what_is_made_once_is_made_whole_by_the_first_task_that_comes(tmp_path, pieces, made, monkeypatch):
    piece = pieces[0]
    for task in (2, 1):
        with as_task(monkeypatch, task, 2):
            once(piece.path, piece.identity, lambda: (piece.make(), made.append(own_number())))
            with one_task_at_a_time(tmp_path / "maps"):
                assert len(own_pieces(pieces)) == 5
            assert len(own_pieces(pieces)) < 5
    assert made == ["a", (0, 1)] and (tmp_path / ".maps.turn").exists()


def test_a_piece_is_made_as_if_there_were_no_other_process(pieces, monkeypatch):
    inside = []
    monkeypatch.setattr(work_list, "alone", lambda: _Noting(inside))
    work_through(pieces[:1], "working", "piece")
    assert inside == ["entered", "left"]


class _Noting:
    def __init__(self, seen):
        self.seen = seen

    def __enter__(self):
        self.seen.append("entered")

    def __exit__(self, *_):
        self.seen.append("left")
