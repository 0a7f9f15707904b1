import os
import pwd
from pathlib import Path

from cxrlib.runtime.home import ensure_home


def test_who_has_no_home_gets_an_empty_one(monkeypatch):
    def unknown(_):
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    ensure_home()
    assert Path.home().is_dir() and not list(Path.home().iterdir())
    Path.home().rmdir()


def test_a_home_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    ensure_home()
    assert os.environ["HOME"] == str(tmp_path)
