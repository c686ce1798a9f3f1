"""The process that writes to disk for a server that has other work for its interpreter: small blobs, and the
SQLite catalog.

It gets jobs over the socket that is its standard input, and makes whatever waits there durable together: one
write for all blobs, then one transaction for all that is done to the catalog. The more callers, the more of
them share an fsync, and nobody waits for company. A job's blob is durable before its work on the catalog is
begun; where the blob fails, the work is not done.

Each message, both ways, is a pickle behind four bytes of its length: a list of jobs and orders there, and
back an Answer for each group of them, in the same order. The bytes of blobs are in memory that is shared.
The first answer is that of opening. The process ends when the server closes its end, or dies.
"""

import ctypes
import os
import pickle
import select
import signal
import socket
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from copy import copy
from functools import cache
from importlib import import_module
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from conexiones.adapters.blobs.local.segment_appender import Appender, Blob
from conexiones.adapters.catalog.sqlite.file import connect_to_write, failure, transaction
from conexiones.adapters.catalog.sqlite.transactions import ROWS, insert_images, newest_event

Work: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of a module, and what it is called with behind the connection."""

Sent: TypeAlias = tuple[tuple[str, str, tuple[Any, ...]] | None, tuple[bytes, int, int] | None]
"""A job as it is sent, in plain tuples, which are pickled in a fifth of the time: the module and the name of
the function and what it is called with, and the Blob."""


class Job(NamedTuple):
    """Something to make durable: a blob, what is done to the catalog, or one after the other."""

    work: Work | None
    blob: Blob | None


class Order(NamedTuple):
    """A method of the Appender."""

    name: str
    given: tuple[Any, ...]


class Decided(NamedTuple):
    """Of one job or order: its result, or its error with the trace of that; the place of its blob, if that is
    stored now and was not before."""

    result: Any = None
    error: Exception | None = None
    trace: str = ""
    place: tuple[int, int] | None = None


Answer: TypeAlias = tuple[int, list[Decided]]
"""The sequence of the newest event that is committed, 0 if that is unknown, and what became of a group: in
plain tuples, too, when it is sent."""

JOBS = 256
BYTES = 4 << 20
"""A group has at most so many jobs, and ends with the one with which its blobs have so many bytes."""

FEW = 4
"""After a group of so few, there is time to write zeros ahead if no more wait."""

READ = 256 << 10
_LENGTH = 4
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """`… SERVER MEMORY SIZE FILE`: the number of the server's process, the descriptor of the shared memory
    and its bytes, and the path of the catalog, empty if that is elsewhere."""
    server, descriptor, size, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    # Who opens the files next must not find one who still writes.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        return
    # Whoever signals all processes of a service means the server; it drains first, and then ends us.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = socket.socket(fileno=0)
    try:
        connection = connect_to_write(Path(path)) if path else sqlite3.connect(":memory:")
        newest = newest_event(connection) if path else 0
    except Exception as error:
        channel.sendall(message((0, [tuple(_failed(failure(error)))])))
        return
    appender = Appender(memoryview(mmap(descriptor, size)))
    with closing(connection), closing(appender):
        channel.sendall(message((newest, [])))
        _serve(channel, connection, appender, newest)


def message(value: Any) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_LENGTH) + data


def messages(come: bytearray) -> Iterator[Any]:
    """Takes the values of whole messages from the beginning of what has come."""
    while len(come) >= _LENGTH and len(come) >= (end := _LENGTH + int.from_bytes(come[:_LENGTH])):
        value = pickle.loads(come[_LENGTH:end])  # noqa: S301 (of the server and its own process)
        del come[:end]
        yield value


def _serve(channel: socket.socket, connection: sqlite3.Connection, appender: Appender, newest: int) -> None:
    come = bytearray()
    while more := channel.recv(READ):
        come += more
        few = False
        for group in _groups(_received(item) for items in messages(come) for item in items):
            if isinstance(group, Order):
                decided = [_obey(appender, group)]
            else:
                newest, decided = _make_durable(connection, appender, group, newest)
                few = len(group) <= FEW
            channel.sendall(message((newest, [tuple(one) for one in decided])))
        if few and not select.select([channel], [], [], 0)[0]:
            appender.zero_ahead()


def _received(item: Sent | Order) -> Job | Order:
    if isinstance(item, Order):
        return item
    work, blob = item
    return Job((_function(work[0], work[1]), work[2]) if work else None, Blob(*blob) if blob else None)


@cache
def _function(module: str, name: str) -> Callable[..., Any]:
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def _groups(items: Iterator[Job | Order]) -> Iterator[list[Job] | Order]:
    group: list[Job] = []
    size = 0
    for item in items:
        if isinstance(item, Job):
            group.append(item)
            size += item.blob.size if item.blob else 0
            if len(group) < JOBS and size < BYTES:
                continue
        if group:
            yield group
        group, size = [], 0
        if isinstance(item, Order):
            yield item
    if group:
        yield group


def _obey(appender: Appender, order: Order) -> Decided:
    try:
        return Decided(getattr(appender, order.name)(*order.given))
    except Exception as error:
        return _failed(failure(error))


def _make_durable(
    connection: sqlite3.Connection, appender: Appender, group: list[Job], newest: int
) -> Answer:
    places, lost = _store(appender, group)
    works = [job.work for job in group if job.work and not (lost and job.blob)]
    # 0 is "unknown": asked for again with the next commit.
    newest, outcomes = _commit(connection, works, newest) if works else (newest, [])
    committed, placed = iter(outcomes), iter(places)
    decided = []
    for job in group:
        if lost and job.blob:
            decided.append(_another(lost))
            continue
        place = next(placed) if job.blob else None
        outcome = next(committed) if job.work else Decided()
        decided.append(Decided(outcome.result, outcome.error, outcome.trace, place))
    return newest, decided


def _store(appender: Appender, group: list[Job]) -> tuple[list[tuple[int, int] | None], Decided | None]:
    """The places of the blobs, or what became of all of them."""
    blobs = [job.blob for job in group if job.blob]
    try:
        return appender.store(blobs) if blobs else [], None
    except Exception as error:
        return [], _failed(failure(error))


def _commit(connection: sqlite3.Connection, group: list[Work], newest: int) -> Answer:
    """Commits a group as one transaction. `newest` is that of before.

    A work that fails undoes itself only. If the transaction fails, all get its error and nothing of them is
    in the catalog.
    """
    try:
        try:
            if newest and len(group) <= ROWS and all(function is insert_images for function, _ in group):
                # One statement, a transaction of its own, and for each image an event: their sequences have
                # no gaps.
                return newest + len(group), _all_together(connection, group)
            return _in_one(connection, group, _all_together)
        except sqlite3.OperationalError:
            raise  # of the storage: it would fail again
        except Exception:
            return _in_one(connection, group, _each_for_itself)
    except Exception as error:
        # If it was the last fsync that failed, the WAL may hold the whole transaction, unseen now but
        # recovered after a crash. Emptying the WAL makes sure that what failed stays failed.
        with suppress(Exception):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        failed = _failed(failure(error))
        return 0, [_another(failed) for _ in group]


def _in_one(
    connection: sqlite3.Connection,
    group: list[Work],
    work: Callable[[sqlite3.Connection, list[Work]], list[Decided]],
) -> Answer:
    with transaction(connection):
        decided = work(connection, group)
        newest = newest_event(connection)
    return newest, decided


def _all_together(connection: sqlite3.Connection, group: list[Work]) -> list[Decided]:
    """The quick way, for a group of which nothing fails."""
    rows = [row for function, given in group if function is insert_images for row in given[0]]
    insert_images(connection, rows)
    return [
        Decided(None if function is insert_images else function(connection, *given))
        for function, given in group
    ]


def _each_for_itself(connection: sqlite3.Connection, group: list[Work]) -> list[Decided]:
    """With a savepoint for each."""
    decided: list[Decided] = []
    for function, given in group:
        connection.execute("SAVEPOINT item")
        try:
            decided.append(Decided(function(connection, *given)))
        except Exception as error:
            # A full disk or an I/O error may have made SQLite roll back everything.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO item")
            decided.append(_failed(failure(error)))
        connection.execute("RELEASE item")
    return decided


def _failed(error: Exception) -> Decided:
    """The error as it is sent: what belongs to this process is in the trace."""
    trace = "".join(traceback.format_exception(error))
    error.__cause__ = None
    return Decided(error=error.with_traceback(None), trace=trace)


def _another(failed: Decided) -> Decided:
    """The same with an error of its own: each is raised in another task."""
    return failed._replace(error=copy(failed.error))
