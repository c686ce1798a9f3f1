"""The process that writes the SQLite catalog, for a server that has other work for its interpreter.

It gets works over the socket that is its standard input, and commits whatever waits there as one transaction:
the more callers, the more of them share an fsync, and nobody waits for company. Each message, both ways, is a
pickle behind four bytes of its length: works there, and back an Answer for each group, in the same order.
The first answer is that of opening. It ends when the server closes its end, or dies.
"""

import ctypes
import os
import pickle
import signal
import socket
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeAlias

from conexiones.adapters.sqlite_file import connect_to_write, failure, transaction
from conexiones.adapters.transactions import ROWS, insert_images, newest_event

Work: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of a module, and what it is called with behind the connection."""

Decided: TypeAlias = tuple[Any, Exception | None, str]
"""Of one work: its result, or its error with the trace of that."""

Answer: TypeAlias = tuple[int, list[Decided]]
"""The sequence of the newest event that is committed, 0 if that is unknown, and what became of a group."""

READ = 256 << 10
_LENGTH = 4
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """`… SERVER FILE`: the number of the server's process and the path of the catalog."""
    server, path = int(sys.argv[1]), Path(sys.argv[2])
    # Who opens the file next must not find one who still writes.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        return
    # Whoever signals all processes of a service means the server; it drains first, and then ends us.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = socket.socket(fileno=0)
    try:
        connection = connect_to_write(path)
        newest = newest_event(connection)
    except Exception as error:
        channel.sendall(message((0, [_failed(failure(error))])))
        return
    with closing(connection):
        channel.sendall(message((newest, [])))
        _serve(channel, connection, newest)


def message(value: Any) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_LENGTH) + data


def messages(come: bytearray) -> Iterator[Any]:
    """Takes the values of whole messages from the beginning of what has come."""
    while len(come) >= _LENGTH and len(come) >= (end := _LENGTH + int.from_bytes(come[:_LENGTH])):
        value = pickle.loads(come[_LENGTH:end])  # noqa: S301 (of the server and its own process)
        del come[:end]
        yield value


def _serve(channel: socket.socket, connection: sqlite3.Connection, newest: int) -> None:
    come = bytearray()
    while more := channel.recv(READ):
        come += more
        group: list[Work] = [work for works in messages(come) for work in works]
        if group:
            newest, decided = _commit(connection, group, newest)
            channel.sendall(message((newest, decided)))


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
        trace = _trace(failure(error))
        return 0, [(None, _alone(failure(error)), trace) for _ in group]  # each caller its own


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
        (None if function is insert_images else function(connection, *given), None, "")
        for function, given in group
    ]


def _each_for_itself(connection: sqlite3.Connection, group: list[Work]) -> list[Decided]:
    """With a savepoint for each."""
    decided: list[Decided] = []
    for function, given in group:
        connection.execute("SAVEPOINT item")
        try:
            decided.append((function(connection, *given), None, ""))
        except Exception as error:
            # A full disk or an I/O error may have made SQLite roll back everything.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO item")
            decided.append(_failed(failure(error)))
        connection.execute("RELEASE item")
    return decided


def _failed(error: Exception) -> Decided:
    trace = _trace(error)
    return None, _alone(error), trace


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _alone(error: Exception) -> Exception:
    """The error as it is sent: what belongs to this process is in the trace."""
    error.__cause__ = None
    return error.with_traceback(None)
