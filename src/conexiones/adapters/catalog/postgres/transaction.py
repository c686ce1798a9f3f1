"""One transaction of the catalog: its locks, its events, and its end."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from conexiones.adapters.catalog.postgres.columns import by_columns
from conexiones.adapters.catalog.postgres.connections import Connection, Patience
from conexiones.adapters.catalog.postgres.house import SHARE

CHANNEL = "conexiones_events"
"""Where a commit with events is told of."""

QUOTA = "quota of open uploads"
"""The lock of whoever counts all open uploads. It is the last one that a transaction takes."""

_LOCK = "SELECT pg_advisory_xact_lock(key) FROM unnest('{%s}'::bigint[]) AS key"
_MARK = """
INSERT INTO writers (id, number, time) VALUES ($1, $2, now())
ON CONFLICT (id) DO UPDATE SET number = excluded.number, time = excluded.time
"""
# The lock of the counter's row is held until the commit: events become visible in the order of their numbers.
_TELL = f"""
WITH head AS (
    UPDATE event_head SET sequence = sequence + cardinality($3::text[]) RETURNING sequence
), told AS (
    INSERT INTO events (sequence, kind, image_id, "user", time, owner)
    SELECT head.sequence - cardinality($3::text[]) + event.at, event.kind, event.image_id, event."user",
        event.time, event.owner
    FROM head, unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[])
        WITH ORDINALITY AS event (kind, image_id, "user", time, owner, at)
), marked AS ({_MARK})
SELECT sequence, pg_notify('{CHANNEL}', '') FROM head
"""  # noqa: S608 (our own statements)

# Whatever holds the row, the old transaction too, has ended when this gives its number.
_NUMBER = """
INSERT INTO writers (id, number, time) VALUES ($1, 0, now())
ON CONFLICT (id) DO UPDATE SET time = excluded.time RETURNING number
"""
_FORGET = "DELETE FROM writers WHERE time < now() - interval '30 days' AND id <> $1"


def key_of(name: str) -> int:
    """The number of an advisory lock. Two names with one number only wait for each other."""
    return int.from_bytes(
        hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), signed=True
    )


async def time_of(connection: Connection) -> float:
    """The time of the database's clock, in seconds since the epoch."""
    return float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8"))


T = TypeVar("T")

Together = Callable[["Transaction", list[T]], Awaitable[None]]
"""What is done once in a transaction for all of its members: given what each of them left for it."""


class Mark(NamedTuple):
    """How much a transaction has to do at its end: of events, and of what is done for all members at once."""

    events: int
    left: int


class Transaction:
    """Belongs to one task. The functions that write are given it: they use `connection`, and leave the events
    to `tell`. After an error only `roll_back` makes sense."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self.connection = connection
        self._patience = patience
        self._events: list[tuple[Any, ...]] = []
        self._left: list[tuple[Together[Any], Any]] = []
        self._time: float | None = None
        self._has_quota = False

    async def begin(self, locks: Iterable[str]) -> None:
        """Begins, and takes the locks with these names, in the order that all transactions have."""
        millis = {
            "statement_timeout": self._patience.transaction,
            "lock_timeout": self._patience.lock,
            "idle_in_transaction_session_timeout": self._patience.idle,
        }
        begin = ["BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"]
        begin += [f"SET LOCAL {name} = {round(1000 * seconds)}" for name, seconds in millis.items()]
        begin.append(SHARE)
        if keys := sorted({key_of(name) for name in locks}):
            begin.append(_LOCK % ",".join(map(str, keys)))
        await self.connection.execute(";".join(begin))

    async def lock_quota(self) -> None:
        if not self._has_quota:
            self._has_quota = True
            await self.connection.execute("SELECT pg_advisory_xact_lock($1)", key_of(QUOTA))

    def tell(self, kind: str, image_id: str, user: str | None, time: int, owner: str) -> None:
        """Appends an event, when the transaction ends."""
        self._events.append((kind, image_id, user, time, owner))

    def at_end(self, together: Together[T], item: T) -> None:
        """Has a function called at the end of the transaction, before its events are appended: once, with
        all items that were given for it."""
        self._left.append((together, item))

    async def time(self) -> float:
        """The time of the database's clock, in seconds since the epoch, when this was first asked."""
        if self._time is None:
            self._time = await time_of(self.connection)
        return self._time

    def mark(self) -> Mark:
        """What `forget_since` takes."""
        return Mark(len(self._events), len(self._left))

    def forget_since(self, mark: Mark) -> None:
        """Forgets what was left to the end since then, by a member that has changed nothing."""
        del self._events[mark.events :], self._left[mark.left :]

    async def finish(self, writer: str, number: int) -> int | None:
        """Does all but the commit, and marks the transaction as the one of that number of a writer. Gives the
        sequence of its last event, None if it has none."""
        items: dict[Together[Any], list[Any]] = {}
        for together, item in self._left:
            items.setdefault(together, []).append(item)
        for together, given in items.items():
            await together(self, given)
        if not self._events:
            await self.connection.execute(_MARK, writer, number)
            return None
        newest: int = await self.connection.fetchval(_TELL, writer, number, *by_columns(self._events))
        return newest

    async def commit(self) -> bool:
        """Whether it was committed. Raises ConnectionLost if that is not known."""
        return await self.connection.execute("COMMIT") == "COMMIT"

    async def roll_back(self) -> None:
        await self.connection.execute("ROLLBACK")


async def came_about(connection: Connection, writer: str, number: int, patience: Patience) -> bool:
    """Whether the transaction of that number was committed. Its end is waited for; it must be certain that
    nothing more is sent to it, and that it was marked before the commit was asked for."""
    transaction = Transaction(connection, patience)
    await transaction.begin(())
    newest: int = await connection.fetchval(_NUMBER, writer)
    await transaction.commit()
    return newest >= number


async def forget_writers(connection: Connection, writer: str) -> None:
    """Removes what is left of those that wrote nothing for a month."""
    await connection.execute(_FORGET, writer)
