"""Checks of the types of arguments, so that an error names the argument and is raised at once."""

from collections.abc import Mapping
from datetime import datetime
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
