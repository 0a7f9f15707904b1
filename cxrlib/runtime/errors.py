"""The one kind of error that the user mends: it is one line on the terminal and in a notebook, without a traceback."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

EXIT_CODE = 2
"""Of a command that was refused; any other error ends a command with its traceback and exit code 1."""
RENDERED = "Refused: "
"""What a refusal's line in a notebook begins with."""

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
"""A disk is full or write-protected, a quota is used up, or a folder belongs to somebody else."""
MACHINE_ERRORS = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""A disk, a network or the system failed; the file itself may be whole."""


class Refusal(Exception):
    """Something is wrong with the input, the data, the parameters, the machine or the order of work.

    The message names the thing (file, row, field or parameter) and the remedy. A mistake in the project or its misuse
    by a programmer is no Refusal but a ValueError, a TypeError or whatever Python raises, with its traceback.

    >>> str(Refusal("train.csv is empty;\\n  download it again"))
    'train.csv is empty; download it again'
    """

    def __str__(self) -> str:
        """The message in one line."""
        return " ".join(super().__str__().split())

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows instead of a traceback."""
        return [f"{RENDERED}{self}"]


class Missing(Refusal):
    """A result that an earlier notebook makes is not there; the message names the notebook."""


def refusal_shown(lines: list[str]) -> Refusal | None:
    """The refusal in a notebook's error output; None where the output is another error's traceback.

    Args:
        lines: the field `traceback` of the output, as `Refusal._render_traceback_` or IPython made it.

    >>> refusal_shown(["Refused: train.csv is empty; download it again"])
    Refusal('train.csv is empty; download it again')
    >>> refusal_shown(["ZeroDivisionError  Traceback (most recent call last)", "..."])
    """
    if len(lines) == 1 and lines[0].startswith(RENDERED):
        return Refusal(lines[0].removeprefix(RENDERED))
    return None


def refusal_of(error: OSError) -> Refusal | None:
    """The refusal that an error of the system amounts to; None where the error is not the disk's or the machine's.

    >>> refusal_of(OSError(errno.ENOSPC, "No space left on device", "a.npy"))
    Refusal("[Errno 28] No space left on device: 'a.npy'; free space there, or work in another folder with --out")
    >>> refusal_of(FileNotFoundError(errno.ENOENT, "No such file or directory", "a.npy"))
    """
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return Refusal(f"{error}; allow access there, or work in another folder with --out")
    if error.errno in DISK_ERRORS:
        return Refusal(f"{error}; free space there, or work in another folder with --out")
    if error.errno in MACHINE_ERRORS:
        return Refusal(f"{error}; the disk, the network or the system failed, run it again when that is mended")
    return None


@contextlib.contextmanager
def system_errors_refused() -> Iterator[None]:
    """Raise the refusal of an OSError instead of the OSError, where there is one; a `with` block or a decorator."""
    try:
        yield
    except OSError as error:
        if refusal := refusal_of(error):
            raise refusal from error
        raise


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise a refusal that names the file at `path` where reading it fails; for files that a notebook can make again.

    Libraries raise errors of many kinds at a file that is empty, cut short, or holds something else.

    Raises:
        Refusal: the file is damaged, or the disk or the machine failed.

    >>> with readable(Path("figure_01.png")):
    ...     int("not a picture")
    Traceback (most recent call last):
    cxrlib.runtime.errors.Refusal: figure_01.png: cannot be read (ValueError: invalid literal ...
    """
    try:
        yield
    except (Refusal, MemoryError):
        raise
    except Exception as error:
        refusal = refusal_of(error) if isinstance(error, OSError) else None
        reason = f"{type(error).__name__}: {error}"
        remedy = "delete it and run the notebook that makes it again"
        raise refusal or Refusal(f"{path}: cannot be read ({reason}); {remedy}") from error
