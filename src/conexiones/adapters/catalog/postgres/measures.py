"""What is counted and measured of a database and its connections."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from conexiones.adapters.system.durability import commits
from conexiones.metrics import NUMBERS, Metrics

Outcome = Literal["committed", "conflict", "refused", "lost", "unknown"]
"""What became of a transaction. `conflict`: others were in its way, and it is tried again. `refused`: it
failed by something in it, or took too long. `lost`: the connection was, before the commit. `unknown`: the
connection was lost in the commit, and the database is asked."""

_OUTCOMES: tuple[Outcome, ...] = ("committed", "conflict", "refused", "lost", "unknown")


class Measures:
    """Belongs to one event loop. A connection is counted as open by whoever uses it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.commits = commits(metrics)
        self.groups = metrics.histogram(
            "conexiones.database.group.size",
            "{job}",
            "What waited and was written to the database in one transaction.",
            bounds=NUMBERS,
        )
        self.reads = metrics.histogram(
            "conexiones.database.read.duration",
            "s",
            "Time of a read in the database, without the wait for a turn.",
        )
        self._transactions = metrics.counters(
            "conexiones.database.transactions",
            "{transaction}",
            "Transactions that write to the database, by what became of them.",
            ("outcome",),
        )
        connects = metrics.counters(
            "conexiones.database.connects",
            "{connection}",
            "Attempts to connect to the database (ok, failed).",
            ("outcome",),
        )
        self._connected, self._failed = connects.of("ok"), connects.of("failed")
        self.lost = metrics.counter(
            "conexiones.database.connections.lost",
            "{connection}",
            "Connections to the database that ended while they were used.",
        )
        for outcome in _OUTCOMES:
            self.count(outcome)
        self.listening = False
        self.observe_connections("listen", lambda: int(self.listening))

    def count(self, outcome: Outcome, number: int = 0) -> None:
        self._transactions.of(outcome).value += number

    def observe_connections(self, use: Literal["read", "write", "listen"], open: Callable[[], int]) -> None:
        self._metrics.observe(
            "conexiones.database.connections",
            "{connection}",
            "Connections to the database that are open, by what they are for.",
            lambda: {(use,): open()},
            ("use",),
        )

    def observe_waiting(self, waiting: Callable[[], int]) -> None:
        self._metrics.observe(
            "conexiones.database.waiting", "{job}", "What waits to be written to the database.", waiting
        )

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Around an attempt to connect."""
        try:
            yield
        except Exception:
            self._failed.value += 1
            raise
        self._connected.value += 1
