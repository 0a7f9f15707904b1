"""What is a refusal, how it is shown, and that a full disk is one, whichever library meets it."""

import errno
import pickle
import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell

from cxrlib.data.images import ImageError
from cxrlib.data.rows import AnnotationError
from cxrlib.data.sources.data_set import SourceError
from cxrlib.params import ParameterError
from cxrlib.runtime.errors import Missing, Refusal, refusal_of, refusal_shown, system_errors_refused
from cxrlib.runtime.files import PROJECT_ROOT, existing, whole_file

KINDS = [Refusal, Missing, ParameterError, AnnotationError, SourceError, ImageError]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_refusal_and_nothing_else(kind):
    assert [*kind.__mro__] == [*dict.fromkeys([kind, Refusal, Exception, BaseException, object])]
    error = kind("a.csv is empty;\n fill it")
    assert str(error) == "a.csv is empty; fill it"
    assert refusal_shown(error._render_traceback_()).args == ("a.csv is empty; fill it",)
    again = pickle.loads(pickle.dumps(error))  # from a worker process
    assert type(again) is kind and str(again) == str(error)


def test_ipython_shows_the_line_alone_and_other_errors_whole(capsys):
    shell = InteractiveShell.instance()
    shell.run_cell(
        "from cxrlib.runtime.errors import Refusal\ntry:\n    1 / 0\nexcept ArithmeticError as error:\n"
        "    raise Refusal('a.csv: no rows') from error"
    )
    assert capsys.readouterr().out == "Refused: a.csv: no rows\n"
    shell.run_cell("int('x')")
    shown = capsys.readouterr().out
    assert "Traceback" in shown and "ValueError" in shown


@pytest.mark.parametrize("lines", [[], ["ZeroDivisionError: x"], ["Refused: x", "more"], ["x", "Refused: x"]])
def test_other_output_is_no_refusal(lines):
    assert refusal_shown(lines) is None


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free space there, or work in another folder with --out"),
        (errno.EDQUOT, "free space there"),
        (errno.EROFS, "allow access there, or work in another folder with --out"),
        (errno.EACCES, "allow access there"),
        (errno.EIO, "run it again when that is mended"),
        (errno.ENOENT, None),
        (errno.EISDIR, None),
    ],
)
def test_errors_of_the_system_are_refusals_by_their_number(number, advice):
    error = OSError(number, "what the system says", "a.npy")
    if advice is None:
        with pytest.raises(OSError, match="what the system says") as raised, system_errors_refused():
            raise error
        assert raised.value is error and refusal_of(error) is None
    else:
        with pytest.raises(Refusal, match=rf"what the system says: 'a\.npy'; .*{advice}"), system_errors_refused():
            raise error


SAVE = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from cxrlib.model.checkpoint import Checkpoint, save_checkpoint
from cxrlib.runtime.errors import Refusal
from cxrlib.runtime.files import whole_file

def save(path):
    with whole_file(path) as file:
        if path.suffix == ".npy":
            np.save(file, np.zeros(1_000_000))
        if path.suffix == ".npz":
            np.savez(file, a=np.zeros(1_000_000))
        if path.suffix == ".pt":
            torch.save(torch.zeros(1_000_000), file)
        if path.suffix == ".txt":
            file.write_text("x" * 5_000_000)
        if path.suffix == ".safetensors":
            save_checkpoint(torch.nn.Linear(1000, 1000), Checkpoint("", [], 1, 1), path)

resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
try:
    save(Path(sys.argv[1]))
except Refusal as refusal:
    print(refusal)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "txt", "safetensors"])
def test_a_full_disk_is_a_refusal_whichever_library_meets_it(tmp_path, suffix):
    """A limit on the size of files stands in for the disk."""
    arguments = [sys.executable, "-c", SAVE, str(tmp_path / f"a.{suffix}")]
    done = subprocess.run(arguments, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert "free space there, or work in another folder with --out" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_mistake_while_a_file_is_written_stays_one(tmp_path):
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.txt") as file:
        file.write_text("half")
        1 / 0  # noqa: B018
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "b.txt") as file:
        (tmp_path / "absent").read_text()
    assert not list(tmp_path.iterdir())


def test_what_exists_is_returned_and_what_does_not_is_named(tmp_path):
    assert existing(tmp_path, "make it") == tmp_path
    with pytest.raises(Missing, match=r"a\.csv is missing; make it$"):
        existing(tmp_path / "a.csv", "make it")
