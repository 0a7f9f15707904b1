"""Independent pieces of work: who takes which, and what is made once."""

import pytest

from cxrlib.runtime.files import whole_file
from cxrlib.runtime.store import keep
from cxrlib.stages import work_list
from cxrlib.stages.work_list import Piece, own_pieces, work_through


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


def test_one_process_makes_all_in_order_and_nothing_twice(pieces, made):
    work_through(pieces, "working")
    assert made == list("abcde") and all(piece.done for piece in pieces)
    pieces[2].path.write_text("damaged")
    work_through(pieces, "working")
    assert made == [*"abcde", "c"]


def test_two_processes_take_turns_and_leave_the_same_files(pieces, made, monkeypatch):
    for rank, expected in ((0, "ace"), (1, "bd")):
        as_process(monkeypatch, rank, 2)
        made.clear()
        work_through(pieces, "working")
        assert made == list(expected)
    assert [piece.path.read_text() for piece in pieces] == list("abcde")


def test_an_interrupted_list_goes_on_with_the_piece_that_is_missing(pieces, made):
    def interrupted():
        raise KeyboardInterrupt

    broken = [*pieces[:2], Piece(pieces[2].path, pieces[2].identity, interrupted), *pieces[3:]]
    with pytest.raises(KeyboardInterrupt):
        work_through(broken, "working")
    assert made == ["a", "b"]
    work_through(pieces, "working")
    assert made == list("abcde")


def test_the_tasks_of_a_job_array_share_the_list_too(pieces, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    taken = []
    for task in ("1", "2"):
        for rank in (0, 1):
            as_process(monkeypatch, rank, 2)
            monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
            taken += [piece.path.stem for piece in own_pieces(pieces)]
    assert taken == ["a", "e", "b", "c", "d"]


def test_a_piece_is_made_as_if_there_were_no_other_process(pieces, monkeypatch):
    inside = []
    monkeypatch.setattr(work_list, "alone", lambda: _Noting(inside))
    work_through(pieces[:1], "working")
    assert inside == ["entered", "left"]


class _Noting:
    def __init__(self, seen):
        self.seen = seen

    def __enter__(self):
        self.seen.append("entered")

    def __exit__(self, *_):
        self.seen.append("left")
