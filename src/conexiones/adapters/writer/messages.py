"""What the server and its writing process say to each other, over a socket.

Each message, both ways, is a pickle behind four bytes of its length (big-endian). To the process goes a list
of jobs, orders and attachments; back comes one answer for each group of them, in the same order. The first
answer is that of opening. The bytes of blobs are not in the messages but in shared memory (ring.py).
"""

import pickle
import traceback
from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple, TypeAlias

from conexiones.adapters.system.disk import as_storage_error

Given: TypeAlias = tuple[Any, ...]
"""Arguments of a function that is known by its name only; they can be pickled."""

Position: TypeAlias = tuple[int, int]
"""Where an appender put a blob: two numbers, whose meaning is the appender's own."""

Stored: TypeAlias = tuple[Position, int, bytes]
"""A blob that is durable now and was not before: its position, its size in bytes, and its SHA-256."""

Sent: TypeAlias = tuple[tuple[str, str, Given] | None, tuple[bytes, int, int] | None]
"""A job as it is sent: the module and the name of a function with its arguments, and the fields of a Blob. In
plain tuples, which take a fifth of the time to pickle."""

Told: TypeAlias = tuple[Any, Exception | None, str, Position | None]
"""A Decided as it is sent, a plain tuple too."""

Took: TypeAlias = tuple[float, float]
"""The seconds that a group took to append its blobs and to commit its rows, durably; 0 if it had none."""

Answer: TypeAlias = tuple[int, list[Told], Took]
"""The sequence of the newest event that is committed, 0 if that is unknown, what became of a group, and how
long that took."""

NO_TIME: Took = (0.0, 0.0)

_LENGTH = 4


class Blob(NamedTuple):
    """A blob to be appended: its SHA-256, and where its bytes are in the shared memory."""

    digest: bytes
    start: int
    size: int


class Attach(NamedTuple):
    """Takes another appender in place of the one there is: the module and the name of its class, and what it
    is made with behind the shared memory. None: no appender from now on."""

    kind: tuple[str, str] | None
    given: Given


class Order(NamedTuple):
    """A call of a method of the appender."""

    method: str
    given: Given


class Decided(NamedTuple):
    """What became of one job, order or attachment: its result, or its error with a text of which the first
    line says the cause and the others are the traceback; and the position of its blob, if that is stored now
    and was not before."""

    result: object = None
    error: Exception | None = None
    trace: str = ""
    position: Position | None = None


class WriterFailed(Exception):
    """The cause of an error that was raised in the writing process, in a line. The traceback is its note."""


def message(value: object) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_LENGTH) + data


def messages(received: bytearray) -> Iterator[Any]:
    """Takes the values of whole messages from the beginning of what was received."""
    while len(received) >= _LENGTH:
        end = _LENGTH + int.from_bytes(received[:_LENGTH])
        if len(received) < end:
            return
        value = pickle.loads(received[_LENGTH:end])  # noqa: S301 (from our own process, over its socket)
        del received[:end]
        yield value


def plain(decided: Decided) -> Told:
    return decided.result, decided.error, decided.trace, decided.position


def failed(error: Exception) -> Decided:
    """An error as it is sent. What belongs to this process, the cause and the traceback, goes as text."""
    error = as_storage_error(error)
    cause = error.__cause__ or error
    said = " ".join(f"{type(cause).__name__}: {cause}".split())
    trace = "".join(traceback.format_exception(error))
    error.__cause__ = None
    return Decided(error=error.with_traceback(None), trace=f"{said}\n{trace}")


def failed_too(failed: Decided) -> Decided:
    """The same failure with an error object of its own, as each is raised in another task."""
    return failed._replace(error=copy(failed.error))


def raised(error: Exception, trace: str) -> Exception:
    """An error that was received, with its cause."""
    said, _, frames = trace.partition("\n")
    error.__cause__ = cause = WriterFailed(said)
    cause.add_note(frames)
    return error
