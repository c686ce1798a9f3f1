"""The files that are open when the program starts, and those that it opens itself."""

import errno
import fcntl
import os
import sys
from contextlib import suppress

_closed: set[int] = set()
"""Those of standard input, output and error that were closed when the program started."""


def fill() -> None:
    """Opens those of standard input, output and error that are closed, on /dev/null. Otherwise the next
    connection or file would take the number, and get what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
            _closed.add(number)
            if number:  # without standard input, sys.stdin is None
                setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115


def is_given(number: int) -> bool:
    """Whether the descriptor was open when the program started. What it opens itself, such as its connection,
    is nothing that somebody who starts it can mean."""
    try:
        flags = fcntl.fcntl(number, fcntl.F_GETFD)
    except (OSError, OverflowError):
        return False
    return number not in _closed and not flags & fcntl.FD_CLOEXEC


def not_given(number: int | None, text: str) -> OSError | None:
    """The error for a path that names this descriptor, if the program was not started with it."""
    if number is None or is_given(number):
        return None
    return OSError(errno.EBADF, os.strerror(errno.EBADF), text)


def discard_output() -> None:
    """After an error of standard output: what is still to be written there would fail again as Python
    ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
