"""One transaction for whatever waits.

A transaction costs a few round trips and one wait for the disk, however much it does. So while one is under
way, what comes waits, and becomes the next one. Each member has an outcome of its own.

If a transaction fails, nothing of it was done. It is then done again in smaller pieces, so that only those
members fail with which something is wrong. If the connection is lost before the commit was asked for, nothing
was done either. If it is lost in the commit, nobody knows: the database is asked, by a mark that the
transaction had written, before anything else is done. Until that is answered, `settled` is not set.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from conexiones.adapters.catalog.postgres import descriptions, images
from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.checks import check_server
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect, in_time
from conexiones.adapters.catalog.postgres.failures import (
    CONFLICTS,
    HELD_UP,
    ConnectionLost,
    as_storage_error,
    ends_connection,
)
from conexiones.adapters.catalog.postgres.joining import Joined, joined_by_this_task
from conexiones.adapters.catalog.postgres.measures import Measures
from conexiones.adapters.catalog.postgres.transaction import Transaction, came_about, forget_writers
from conexiones.adapters.system.threads import Outcome
from conexiones.errors import ConexionesError, StorageUnavailable
from conexiones.shares import FairLine, acting_for
from conexiones.whole import to_end

MOST = 128
"""Members of a transaction. The server has room for a few thousand locks of all transactions together."""

ATTEMPTS = 5
"""Times that a transaction is tried which others are in the way of."""

QUICK_SECONDS = 0.1
"""How long members wait for a lock which are done apart since one of them had waited for too long."""

ASK_SECONDS = 0.5
"""Time between two attempts to find out what became of a transaction."""

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

Locks = Collection[str] | Callable[[Connection], Awaitable[Collection[str]]]
"""The names of what a member has to itself, or what reads them. They may be too many, but not too few."""


class Decided(NamedTuple):
    """What a member got: its result, or an error."""

    result: Any = None
    error: BaseException | None = None


NOTHING = Decided()


@dataclass(slots=True, eq=False)
class Work:
    """What somebody waits for."""

    locks: Locks
    do: Callable[..., Awaitable[Any]]
    given: tuple[Any, ...]
    outcome: Outcome[Any]
    deadline: float
    joined: Joined | None = None
    decided: Decided = NOTHING


class _Apart(Exception):
    """Something was wrong with a member, or with what it needs: those of the group are to be done apart. The
    cause says what."""


class GroupCommit:
    """Belongs to one event loop. A call that is cancelled is done whole, and ends when that is decided.

    Before `start` and after `stop` every call raises StorageUnavailable. `on_commit` is called with the
    sequence of the newest event of each transaction, before its callers hear of it.
    """

    def __init__(self, address: Address, patience: Patience, measures: Measures) -> None:
        self._address = address
        self._patience = patience
        self._measures = measures
        self._writer = secrets.token_hex(16)
        self._number = 0
        self._most = MOST  # members that the next transaction may have
        self._line: FairLine[Work] = FairLine()
        self._came = asyncio.Event()
        self._connection: Connection | None = None
        self._taking = False
        self.settled = asyncio.Event()
        self.settled.set()
        self.on_commit: Callable[[int], None] = lambda newest: None
        measures.observe_connections("write", lambda: int(self._has_connection()))
        measures.observe_waiting(lambda: len(self._line))

    async def start(self, connection: Connection) -> None:
        """Takes over a connection to begin with. Raises what the driver does."""
        await forget_writers(connection, self._writer)
        if not self.settled.is_set():  # what was unknown when this was stopped
            await came_about(connection, self._writer, self._number, self._patience)
            self.settled.set()
        self._connection = connection
        self._taking = True
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finishes what waits."""
        if self._taking:
            self._taking = False
            self._came.set()
            await to_end(self._running)
            self._drop()

    def submit(
        self,
        locks: Locks,
        do: Callable[Concatenate[Transaction, P], Awaitable[T]],
        *given: P.args,
        **_: P.kwargs,
    ) -> Outcome[T]:
        """What the function gives, once that is durable. It may be called again, when nothing was done. A
        ConexionesError that it raises must have changed nothing. What this task has `joined` comes with it.
        """
        if not self._taking:
            raise StorageUnavailable
        loop = asyncio.get_running_loop()
        outcome: Outcome[T] = Outcome(loop=loop)
        deadline = loop.time() + self._patience.write
        self._line.push(acting_for(), Work(locks, do, given, outcome, deadline, joined_by_this_task()))
        self._came.set()
        return outcome

    async def _run(self) -> None:
        while self._taking or self._line:
            await self._came.wait()
            self._came.clear()
            while self._line:
                # Those whose tasks run in this turn of the loop come along.
                await asyncio.sleep(0)
                group = self._take()
                try:
                    await self._do(group, self._patience)
                except Exception as error:
                    log.exception("A transaction failed by a defect")
                    self._decide(group, Decided(error=error))
                    self._drop()

    def _take(self) -> list[Work]:
        group: list[Work] = []
        while self._line and len(group) < self._most:
            caller, work = self._line.next()
            self._line.remove(caller, work, served=True)
            group.append(work)
        return group

    async def _do(self, group: list[Work], patience: Patience) -> None:
        """Has all members decided when it returns."""
        try:
            await self._attempt(group, patience)
        except _Apart as apart:
            self._measures.count("refused", 1)
            cause = apart.__cause__ or apart
            if len(group) == 1:
                self._decide(group, Decided(error=as_storage_error(cause)))
            elif isinstance(cause, HELD_UP):
                # Those who need what somebody holds have waited for it, and the others are quick.
                for work in group:
                    await self._do([work], replace(patience, lock=QUICK_SECONDS))
            else:
                half = len(group) // 2
                await self._do(group[:half], patience)
                await self._do(group[half:], patience)

    async def _attempt(self, group: list[Work], patience: Patience) -> None:
        """Decides all members, or raises _Apart with nothing done."""
        lost = 0
        for _ in range(ATTEMPTS):
            group = self._in_time(group)
            if not group:
                return
            try:
                connection = await self._connected()
            except Exception as error:
                self._decide(group, Decided(error=as_storage_error(error)))
                return
            begun = asyncio.get_running_loop().time()
            try:
                newest = await self._commit(connection, group, patience)
            except CONFLICTS as error:
                self._measures.count("conflict", 1)
                last: Exception = error
            except ConnectionLost as error:
                self._measures.count("lost", 1)
                self._measures.lost.value += 1
                last, lost = error, lost + 1
                self._drop()
                if self._learn(len(group), asyncio.get_running_loop().time() - begun):
                    raise _Apart from error
                if lost > 1:
                    break
            else:
                took = asyncio.get_running_loop().time() - begun
                self._measures.count("committed", 1)
                self._measures.commits.record(took)
                self._measures.groups.record(len(group))
                self._learn(len(group), took)
                self._acknowledge(group, newest)
                return
        self._decide(group, Decided(error=as_storage_error(last)))

    def _learn(self, members: int, took: float) -> bool:
        """Has groups be as large as can be done in a part of the time for a transaction: where each statement
        takes long, many members take too long together. Gives whether these did."""
        if took > self._patience.transaction / 4:
            self._most = max(1, members // 2)
        elif members >= self._most:
            self._most = min(MOST, 2 * self._most)
        return members > 1 and took >= self._patience.transaction

    def _acknowledge(self, group: list[Work], newest: int | None) -> None:
        if newest is not None:
            self.on_commit(newest)
        for work in group:
            self._decide([work], work.decided)

    async def _commit(self, connection: Connection, group: list[Work], patience: Patience) -> int | None:
        """One transaction. What it raises was not done: CONFLICTS, ConnectionLost, _Apart."""
        self._number += 1
        transaction = Transaction(connection, patience)
        try:
            async with in_time(connection, self._patience.transaction):
                try:
                    await transaction.begin(await _locks(connection, group))
                    await _work(transaction, group)
                    newest = await transaction.finish(self._writer, self._number)
                except Exception as error:
                    if not ends_connection(error) and not connection.is_closed():
                        await transaction.roll_back()
                    raise
        except (*CONFLICTS, ConnectionLost):
            raise
        except Exception as error:
            raise _Apart from error
        try:
            async with in_time(connection, self._patience.transaction):
                committed = await transaction.commit()
        except ConnectionLost:
            self._measures.count("unknown", 1)
            self._drop()
            if not await self._find_out(group):
                raise
        else:
            if not committed:
                raise _Apart
        return newest

    async def _find_out(self, group: list[Work]) -> bool:
        """Whether the last transaction was committed. Callers whose time is over are told that the storage
        cannot be reached, but this goes on until it is known."""
        self.settled.clear()
        log.warning("The connection was lost in a commit: its outcome is asked for")
        while True:
            try:
                connection = await self._connected()
                async with in_time(connection, self._patience.transaction):
                    done = await came_about(connection, self._writer, self._number, self._patience)
            except Exception as error:
                log.debug("The outcome cannot be asked for now: %r", error)
                self._drop()
                # What waits meanwhile ends in time, too.
                self._in_time(group)
                self._in_time(list(self._line))
                if not self._taking and all(work.outcome.done() for work in group):
                    return False  # nobody waits any more; whoever asks after the next start is told
                await asyncio.sleep(ASK_SECONDS)
            else:
                self.settled.set()
                log.warning("The commit %s", "came about" if done else "did not come about")
                return done

    def _in_time(self, group: list[Work]) -> list[Work]:
        """Those whose time is not over. The others fail."""
        now = asyncio.get_running_loop().time()
        late = [work for work in group if work.deadline < now and not work.outcome.done()]
        self._decide(late, Decided(error=StorageUnavailable()))
        return [work for work in group if not work.outcome.done()]

    def _decide(self, group: list[Work], decided: Decided) -> None:
        for work in group:
            if not work.outcome.done():
                work.outcome.decide(*decided)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = None
            async with self._measures.connecting():
                connection = await connect(self._address, seconds=self._patience.connect)
            try:
                async with in_time(connection, self._patience.connect):
                    await check_server(connection, self._address)  # it may be another one by now
            except ValueError as error:
                connection.terminate()
                log.error("Nothing is stored: %s", error)
                raise StorageUnavailable from error
            self._connection = connection
        return self._connection

    def _has_connection(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.terminate()
            self._connection = None


async def _locks(connection: Connection, group: list[Work]) -> list[str]:
    """The names of all that the members have to themselves."""
    names: list[str] = []
    for work in group:
        names += await work.locks(connection) if callable(work.locks) else work.locks
        names += work.joined.locks if work.joined else ()
    return names


async def _work(transaction: Transaction, group: list[Work]) -> None:
    """Does what the members of a group want. Raises _Apart if something is wrong with one of several."""
    rest = group
    if len(group) > 1:
        rest = await _facts_together(transaction, await _images_together(transaction, group))
    for work in rest:
        mark = transaction.mark()
        if await _began(transaction, work):
            try:
                work.decided = Decided(await work.do(transaction, *work.given))
            except ConexionesError as error:
                work.decided = Decided(error=error)  # it has changed nothing
                transaction.forget_since(mark)


async def _began(transaction: Transaction, work: Work) -> bool:
    """Whether what was joined to a member, which comes first, did not refuse it. Then it has an error."""
    if work.joined is not None:
        mark = transaction.mark()
        try:
            await work.joined.begin(transaction)
        except ConexionesError as error:
            work.decided = Decided(error=error)
            transaction.forget_since(mark)
            return False
    return True


async def _images_together(transaction: Transaction, group: list[Work]) -> list[Work]:
    """Adds all images without limits in as few statements as possible. Gives the other works."""
    rest = []
    plain: list[Work] = []
    small: list[Work] = []
    for work in group:
        if work.do is not images.add_image and work.do is not images.add_stored:
            rest.append(work)
        elif await _began(transaction, work):
            (plain if work.do is images.add_image else small).append(work)
    if plain or small:
        before = await images.add_together(
            transaction, [work.given[0] for work in plain], [work.given for work in small]
        )
        for work in plain:
            work.decided = Decided()
        for work, upload in zip(small, before, strict=True):
            work.decided = Decided(upload)
    return rest


async def _facts_together(transaction: Transaction, group: list[Work]) -> list[Work]:
    """Records all facts, the first of each digest, in one statement. Gives the other works."""
    rest = []
    first: dict[bytes, Work] = {}
    for work in group:
        if work.do is not descriptions.put_facts or work.given[0].digest in first:
            rest.append(work)
        elif await _began(transaction, work):
            first[work.given[0].digest] = work
    if first:
        await descriptions.put_together(transaction, [work.given for work in first.values()])
        for work in first.values():
            work.decided = Decided()
    return rest
