"""The program of the writing process: it makes blobs and rows durable, whatever waits together.

It gets jobs over the socket that is its standard input (messages.py). All jobs that wait form a group: one
write for all of its blobs, then one transaction for all that it does to the database. The more callers there
are, the more of them share an fsync, and nobody waits for company. A job's blob is durable before its work on
the database begins; if the blob fails, the work is not done.

The process ends when the server closes its end of the socket, or dies.
"""

import ctypes
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cache
from importlib import import_module
from mmap import mmap
from typing import Any, NamedTuple, Protocol, TypeAlias

from conexiones.adapters.writer.messages import (
    NO_TIME,
    Answer,
    Attach,
    Blob,
    Decided,
    Given,
    Order,
    Position,
    Sent,
    Took,
    failed,
    failed_too,
    message,
    messages,
    plain,
)
from conexiones.errors import StorageUnavailable

Work: TypeAlias = tuple[Callable[..., object], Given]
"""A function, and its arguments behind the connection to the database."""


class Database(Protocol):
    """Where rows go. `newest` is the sequence of the newest event that is committed, 0 if that is unknown."""

    newest: int

    def commit(self, group: list[Work]) -> list[Decided]:
        """Does all works and makes them durable together. Never raises: a failure is in the Decided."""

    def close(self) -> None: ...


class BlobAppender(Protocol):
    """Where blobs go. What it raises becomes the error of those that it concerns."""

    def store(self, blobs: Sequence[Blob]) -> list[Position | None]:
        """Makes blobs durable together; gives the positions of those that were not there already. If it
        raises, none of them is stored."""

    def while_idle(self) -> None:
        """Is called when nobody waits, for what makes the next call faster. Never raises."""

    def close(self) -> None: ...


class Job(NamedTuple):
    """Something to make durable: a blob, a work on the database, or first the one and then the other."""

    work: Work | None
    blob: Blob | None


MAX_JOBS = 256
MAX_BYTES = 4 << 20
"""A group has at most so many jobs, and ends with the job whose blob makes it so many bytes."""

FEW = 4
"""After a group of at most so many jobs the appender may be idle, unless more wait already."""

READ = 256 << 10
"""Bytes that are read from the socket at a time."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """`… SERVER MEMORY SIZE MODULE NAME PATH`: the number of the server's process; the descriptor of the
    shared memory and its bytes; the class of the Database and the path that it is made with, all three empty
    if there is none."""
    server, descriptor, size = (int(argument) for argument in sys.argv[1:4])
    module, name, path = sys.argv[4:]
    # Whoever opens the files next must not find a process that still writes.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        return
    # Whoever signals all processes of a service means the server: it drains first, and then ends this one.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = socket.socket(fileno=0)
    try:
        database: Database = _named(module, name)(path) if module else NoDatabase()
    except Exception as error:
        channel.sendall(message((0, [plain(failed(error))], NO_TIME)))
        return
    with closing(database), closing(GroupCommit(memoryview(mmap(descriptor, size)), database)) as commit:
        channel.sendall(message((database.newest, [], NO_TIME)))
        commit.serve(channel)


@cache
def _named(module: str, name: str) -> Callable[..., Any]:
    """A function or class by its name, as callers name what this program does not know."""
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


class NoDatabase:
    """A Database for a server whose rows are elsewhere."""

    newest = 0

    def commit(self, group: list[Work]) -> list[Decided]:
        return [failed(StorageUnavailable()) for _ in group]

    def close(self) -> None:
        pass


class GroupCommit:
    """Serves one server, in one thread."""

    def __init__(self, memory: memoryview, database: Database) -> None:
        self._memory = memory
        self._database = database
        self._appender: BlobAppender | None = None

    def serve(self, channel: socket.socket) -> None:
        """Returns when the server has closed its end."""
        received = bytearray()
        while more := channel.recv(READ):
            received += more
            few = False
            for group in _groups(_received(item) for items in messages(received) for item in items):
                if isinstance(group, list):
                    answer = self._make_durable(group)
                    few = len(group) <= FEW
                else:
                    answer = self._answer([self._obey(group)])
                channel.sendall(message(answer))
            if few and self._appender and not select.select([channel], [], [], 0)[0]:
                self._appender.while_idle()

    def close(self) -> None:
        if self._appender is not None:
            self._appender.close()
            self._appender = None

    def _answer(self, decided: list[Decided], took: Took = NO_TIME) -> Answer:
        return self._database.newest, [plain(one) for one in decided], took

    def _obey(self, order: Order | Attach) -> Decided:
        try:
            if isinstance(order, Attach):
                self.close()
                if order.kind is not None:
                    self._appender = _named(*order.kind)(self._memory, *order.given)
                return Decided()
            if self._appender is None:
                raise StorageUnavailable
            return Decided(getattr(self._appender, order.method)(*order.given))
        except Exception as error:
            return failed(error)

    def _make_durable(self, group: list[Job]) -> Answer:
        begun = time.monotonic()
        positions, lost = self._store(group)
        stored_at = time.monotonic()
        works = [job.work for job in group if job.work and not (lost and job.blob)]
        committed = iter(self._database.commit(works) if works else ())
        took = (
            stored_at - begun if any(positions) else 0.0,
            time.monotonic() - stored_at if works else 0.0,
        )
        stored = iter(positions)
        decided = []
        for job in group:
            if lost and job.blob:
                decided.append(failed_too(lost))
                continue
            position = next(stored) if job.blob else None
            outcome = next(committed) if job.work else Decided()
            decided.append(Decided(outcome.result, outcome.error, outcome.trace, position))
        return self._answer(decided, took)

    def _store(self, group: list[Job]) -> tuple[list[Position | None], Decided | None]:
        """The positions of the blobs, or the failure of all of them."""
        blobs = [job.blob for job in group if job.blob]
        if not blobs:
            return [], None
        try:
            if self._appender is None:
                raise StorageUnavailable
            return self._appender.store(blobs), None
        except Exception as error:
            return [], failed(error)


def _received(item: Sent | Order | Attach) -> Job | Order | Attach:
    if isinstance(item, Order | Attach):
        return item
    work, blob = item
    return Job((_named(work[0], work[1]), work[2]) if work else None, Blob(*blob) if blob else None)


def _groups(items: Iterator[Job | Order | Attach]) -> Iterator[list[Job] | Order | Attach]:
    group: list[Job] = []
    size = 0
    for item in items:
        if isinstance(item, Job):
            group.append(item)
            size += item.blob.size if item.blob else 0
            if len(group) < MAX_JOBS and size < MAX_BYTES:
                continue
        if group:
            yield group
        group, size = [], 0
        if not isinstance(item, Job):
            yield item
    if group:
        yield group
