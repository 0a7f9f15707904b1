"""YAML from users: nothing in it runs, and no message about it is longer than a line."""

import reprlib

import yaml

SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxlist, SHORT.maxdict, SHORT.maxstring, SHORT.maxother = 2, 4, 4, 80, 80


def read_yaml(text: str) -> object:
    """The value of a YAML text.

    Raises:
        ValueError: in one line, why it has none.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise ValueError(f"the value is not valid YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None


def in_short(value: object) -> str:
    """A value in few words: aliases let a short YAML text stand for a value of any length."""
    return SHORT.repr(value)
