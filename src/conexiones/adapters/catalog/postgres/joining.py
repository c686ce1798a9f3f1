"""What somebody else has in one transaction with a write, such as the places of the bytes of a new image."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from conexiones.adapters.catalog.postgres.transaction import Transaction

Join = Callable[[Transaction], Awaitable[None]]
"""Comes first in the member of a transaction. It may raise a ConexionesError, with which the member then
fails, and must have changed nothing itself: it looks, and leaves what it changes to `Transaction.at_end`,
which comes about if the member does. It may be called again, when nothing was done."""


@dataclass(frozen=True, slots=True)
class Joined:
    """`begin` comes with whatever this task writes. `locks` are the names of what it has to itself."""

    begin: Join
    locks: Collection[str]
    task: "asyncio.Task[Any] | None"


_JOINED: ContextVar[Joined | None] = ContextVar("joined", default=None)


@contextmanager
def joined(begin: Join, locks: Collection[str] = ()) -> Iterator[None]:
    """Has whatever is written in the context, by the same task, be one step with `begin`."""
    token = _JOINED.set(Joined(begin, locks, asyncio.current_task()))
    try:
        yield
    finally:
        _JOINED.reset(token)


def joined_by_this_task() -> Joined | None:
    """What the present task has joined. The tasks that it began in the context write for themselves."""
    found = _JOINED.get()
    return found if found is not None and found.task is asyncio.current_task() else None
