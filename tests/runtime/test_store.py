"""Is it there, is it whole, was it made by this? And what a kill at any moment leaves."""

import json
import os
import shutil

import pytest

from cxrlib.runtime import store
from cxrlib.runtime.store import identity_of, is_kept, is_known, keep, work_on, working_folder


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept" / "a.npy"


def make(path, identity="one", big=b"big", small=b"small"):
    work = work_on(path, identity)
    (work / path.name).write_bytes(big)
    (work / "parts").mkdir(exist_ok=True)
    (work / "parts" / "b.csv").write_bytes(small)
    (work / "journal").write_text("helps to go on")
    keep(path, identity, ["parts/b.csv"])


def contents(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_finished_work_is_kept_for_its_identity_alone(path):
    assert not is_kept(path, "one") and identity_of(path) is None and not is_known(path)
    make(path)
    assert is_kept(path, "one") and not is_kept(path, "two")
    assert identity_of(path) == "one" and is_known(path)
    assert {name for name in contents(path.parent) if not name.startswith(".")} == {"a.npy", "parts/b.csv"}
    assert not working_folder(path, "one").exists()


def test_two_runs_write_the_same_bytes_at_any_time(tmp_path):
    for name, time in (("first", 1), ("second", 2)):
        path = tmp_path / name / "a.npy"
        make(path)
        os.utime(path, (time, time))
        assert is_kept(path, "one")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert len(contents(tmp_path / "first")) == 3


def damage(file):
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["a.npy", "parts/b.csv"])
@pytest.mark.parametrize(
    "change", [damage, lambda file: os.truncate(file, 2), lambda file: file.unlink(), lambda file: os.truncate(file, 9)]
)
def test_damaged_truncated_and_missing_files_are_noticed(path, name, change):
    make(path)
    assert is_kept(path, "one")  # the hash is known now: it must be taken again
    change(path.parent / name)
    assert not is_kept(path, "one")


def test_a_wrong_size_is_noticed_before_anything_is_hashed(path, monkeypatch):
    make(path)
    (path.parent / "parts" / "b.csv").write_bytes(b"another length")
    monkeypatch.setattr(store, "file_sha256", None)
    store._sha256_of_version.cache_clear()
    assert not is_kept(path, "one")


def test_a_file_is_hashed_once_in_a_process(path, monkeypatch):
    make(path)
    hashed = []
    monkeypatch.setattr(store, "file_sha256", lambda file: hashed.append(file) or "another")
    store._sha256_of_version.cache_clear()
    is_kept(path, "one"), is_kept(path, "one")
    assert len(hashed) == 1  # the first file's is wrong here, so that the second is not looked at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"identity": "one"}',
        '{"identity": "one", "files": {}}',
        '{"identity": "one", "files": []}',
        '{"identity": "one", "files": {"a.npy": 3}}',
        '{"identity": "one", "files": {"a.npy": {"bytes": "x", "sha256": ""}}}',
        "\xff",
    ],
)
def test_a_damaged_record_vouches_for_nothing(path, text):
    make(path)
    path.with_name(".a.npy.made.json").write_bytes(text.encode("latin-1"))
    assert not is_kept(path, "one")
    work_on(path, "one")


@pytest.mark.parametrize("absolute", [True, False])
def test_a_record_cannot_delete_files_elsewhere(path, absolute):
    make(path)
    other = path.parents[1] / "other"
    other.write_text("somebody's")
    record = path.with_name(".a.npy.made.json")
    content = json.loads(record.read_text())
    content["files"][str(other) if absolute else "../other"] = {"bytes": 1, "sha256": ""}
    record.write_text(json.dumps(content))
    assert not is_kept(path, "one")
    work_on(path, "one")
    make(path, "two")
    assert other.exists()


def test_unfinished_work_is_found_again_by_the_same_identity_alone(path):
    (work_on(path, "one") / "journal").write_text("half")
    assert is_known(path) and not is_kept(path, "one")
    assert (work_on(path, "one") / "journal").read_text() == "half"
    assert not list(work_on(path, "two").iterdir())
    assert not working_folder(path, "one").exists()


def test_what_another_identity_has_finished_stays_until_it_is_replaced(path):
    make(path)
    before = contents(path.parent)
    (path.parent / "notes.txt").write_text("mine")
    work = work_on(path, "two")
    assert before.items() <= contents(path.parent).items() and is_kept(path, "one")
    (work / path.name).write_bytes(b"new")
    keep(path, "two")
    found = {name: content for name, content in contents(path.parent).items() if not name.startswith(".")}
    assert found == {"a.npy": b"new", "notes.txt": b"mine"}
    assert is_kept(path, "two")


def test_what_is_whole_of_a_damaged_store_is_used_again(path):
    make(path)
    damage(path)
    work = work_on(path, "one")
    assert contents(work) == {"parts/b.csv": b"small"} and not path.exists()
    (work / "a.npy").write_bytes(b"big")
    keep(path, "one", ["parts/b.csv"])
    assert is_kept(path, "one")


def test_a_kill_at_any_move_loses_nothing(path, monkeypatch):
    """Every file is found again, wherever the kill comes; and what is finished is not made again."""
    real = store._move
    for survived in range(3):
        shutil.rmtree(path.parent, ignore_errors=True)
        moves = []

        def dying_move(file, target, moves=moves, survived=survived):
            if len(moves) == survived:
                raise KeyboardInterrupt
            moves.append(file)
            real(file, target)

        with monkeypatch.context() as patch:
            patch.setattr(store, "_move", dying_move)
            patch.setattr(shutil, "rmtree", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                make(path)
        assert is_kept(path, "one") == (survived == 2)
        assert working_folder(path, "one").exists() == (survived < 2)  # a whole store needs no unfinished work
        if survived < 2:
            found = contents(work_on(path, "one"))
            assert found == {"a.npy": b"big", "parts/b.csv": b"small", "journal": b"helps to go on"}


def test_files_may_lie_in_their_place_already(path):
    path.parent.mkdir()
    path.write_bytes(b"big")
    keep(path, "one")
    assert is_kept(path, "one")
