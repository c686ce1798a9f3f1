"""Checks of the types of arguments, so that an error names the argument and is raised at once."""

from collections.abc import Mapping
from datetime import datetime
from io import TextIOBase
from operator import index
from os import PathLike
from typing import Any

_NUMBER = (int, float), "a number"
_FILE = (str, PathLike, type(None)), "the path of a PEM file"
_OPTIONS: Mapping[str, tuple[Any, str]] = {
    "address": (str, "the text HOST:PORT"),
    "ca": _FILE,
    "cert": _FILE,
    "key": _FILE,
    "timeout": _NUMBER,
    "retries": _NUMBER,
    "patience": _NUMBER,
}


def check(name: str, value: object, kind: Any, words: str) -> None:
    """Raises TypeError, which says that the argument `name` is `words`, unless the value is of the type."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {words}, not {type(value).__name__}.")


def check_options(options: object) -> None:
    """Checks the options of a client, which are attributes."""
    for name, (kind, words) in _OPTIONS.items():
        check(name, getattr(options, name), kind, words)


def check_time(name: str, value: object) -> None:
    check(name, value, (datetime, type(None)), "a datetime")


def check_target(target: object) -> None:
    """Checks where a download goes to."""
    if isinstance(target, TextIOBase):
        raise TypeError('target is a file that is open as text: open it in the mode "wb".')
    if not (target is None or isinstance(target, str | PathLike) or hasattr(target, "write")):
        raise TypeError(f"target is a path or a binary file, not {type(target).__name__}.")


def check_count(name: str, value: Any, words: str) -> int:
    """A whole number of 1 or more. Raises TypeError and ValueError, which say that the argument `name` is a
    number of `words`."""
    try:
        count = index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number of {words}, not {type(value).__name__}.") from None
    if count < 1:
        raise ValueError(f"{name} is a number of {words}, at least 1.")
    return count
