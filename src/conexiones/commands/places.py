"""What the paths of commands may name besides files."""

import re
import sys
from pathlib import Path

import click

STANDARD_INPUT = "/dev/fd/0"

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|(data|file):", re.IGNORECASE)


class Refused(OSError):
    """A path that is not sent or written to. The `filename` is that path, `strerror` says why."""


def url_refused(text: str, command: str) -> Refused | None:
    """The error for a URL, with what sends what it gives; None for a path, which may look like one."""
    if not _URL.match(text) or _exists(text):
        return None
    if text[:5].lower() == "file:":
        return Refused(0, "This is a URL: give the path of the file", text)
    if text[:5].lower() == "data:":
        return Refused(0, f"This is a URL. Decode it, and send its bytes: conexiones {command}", text[:5])
    return Refused(0, f"This is a URL. Send what it gives: curl -fL URL | conexiones {command}", text)


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # too long a name is none
        return False


def target_refused(text: str) -> Refused | None:
    """The error for a URL to which nothing can be downloaded; None for a path."""
    if not _URL.match(text) or Path(text).parent.is_dir():
        return None
    return Refused(0, "This is a URL, and a download goes to a file or a folder", text)


def refuse_terminal(text: str) -> None:
    """Raises UsageError for standard input if somebody types there."""
    if text == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("There is no image in what is typed: redirect a file or a pipe to -.")
