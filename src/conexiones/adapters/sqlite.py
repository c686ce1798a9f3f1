"""The catalog in one SQLite file.

The file (0600, its tables are in schema.py, what is done with them in transactions.py) and its `-wal`
and `-shm` lie in a folder that only one process may use: whoever starts the process holds a lock on it.
`PRAGMA user_version` is the version of the schema.

Writes go through one thread, which commits whatever waits for it as one transaction: the more callers,
the more of them share an fsync, and nobody waits for company. `synchronous=FULL` makes every commit
durable before it is acknowledged. Reads run beside it, each on a snapshot not older than its call.
"""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from conexiones.adapters import descriptions, transactions
from conexiones.adapters.disk import Outcome, storage_error, sync_folder, to_end
from conexiones.adapters.schema import VERSION, create, prepare_to_write
from conexiones.errors import StorageFull, StorageUnavailable
from conexiones.ports import Counts, EventRecord, Facts, ImageRecord, UploadQuota, UploadRecord, UserRecord

READERS = 4
STATEMENTS = 256
"""Statements that a connection keeps ready: those that add images are of many lengths."""

BUSY_TIMEOUT = 5000
"""Milliseconds to wait for another program that looks into the file, such as the sqlite3 shell."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Write:
    """One caller's part of a transaction, and what waits for its outcome. An image is to be added."""

    work: Callable[[sqlite3.Connection], Any] | ImageRecord
    outcome: Outcome[Any]

    def run(self, connection: sqlite3.Connection) -> Any:
        if isinstance(self.work, ImageRecord):
            return transactions.insert_images(connection, [self.work])
        return self.work(connection)


_Decided = tuple[_Write, Any, Exception | None]


class SqliteCatalog:
    """A Catalog in the SQLite file at `path`, which is created with its folder if it is not there.

    A call that is cancelled ends when its write is decided, so that its caller can ask what became of
    it; such a write is done whole. After `close`, and before `open`, calls raise StorageUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._writer: Thread | None = None
        # Only the loop's own thread touches these two.
        self._newest = 0  # the sequence of the newest event that is committed
        self._news = asyncio.Event()  # of the next one; each wakes all that wait, and another takes its place

    async def open(self) -> None:
        """Opens the file and creates what is missing. ValueError if a newer version wrote it."""
        self._loop = asyncio.get_running_loop()
        self._idle: list[sqlite3.Connection] = []  # for reading: at most as many as there are threads
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="catalog-read")
        await to_end(asyncio.ensure_future(asyncio.to_thread(self._start)))

    async def close(self) -> None:
        """Finishes the writes that wait, and closes the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._queue.put(None)
            await to_end(asyncio.ensure_future(asyncio.to_thread(self._stop, writer)))
            self._wake()

    def add_image(self, image: ImageRecord) -> Awaitable[None]:
        return self._write(image)

    async def get_image(self, image_id: str) -> ImageRecord | None:
        return await self._read(lambda connection: transactions.get_image(connection, image_id))

    async def list_images(
        self, *, limit: int, before: str | None, user: str | None, start: int | None, end: int | None
    ) -> list[ImageRecord]:
        return await self._read(
            lambda connection: transactions.images_page(
                connection, limit=limit, before=before, user=user, start=start, end=end
            )
        )

    async def delete_image(self, image_id: str, *, now: int) -> ImageRecord | None:
        """As in the port. The `update_time` of the user whose image it was moves."""
        return await self._write(lambda connection: transactions.delete_image(connection, image_id, now))

    def put_user(
        self, name: str, *, pow: int | None, image: ImageRecord | None, now: int
    ) -> Awaitable[UserRecord]:
        """As in the port. `update_time` moves when `pow` or `image` is given."""
        return self._write(lambda connection: transactions.upsert_user(connection, name, pow, image, now))

    async def get_user(self, name: str) -> UserRecord | None:
        return await self._read(lambda connection: transactions.get_user(connection, name))

    async def has_digest(self, digest: bytes) -> bool:
        return await self._read(lambda connection: transactions.has_digest(connection, digest))

    async def facts(self, digests: Collection[bytes]) -> dict[bytes, Facts]:
        return await self._read(lambda connection: descriptions.facts_of(connection, digests))

    async def put_facts(self, digest: bytes, facts: Facts, *, now: int) -> None:
        await self._write(lambda connection: descriptions.put_facts(connection, digest, facts, now))

    async def undescribed(self, *, before: str | None, limit: int) -> list[ImageRecord]:
        return await self._read(lambda connection: descriptions.undescribed(connection, before, limit))

    async def counts(self) -> Counts:
        return await self._read(transactions.counts)

    async def create_upload(self, upload: UploadRecord, *, quota: UploadQuota | None = None) -> UploadRecord:
        return await self._write(lambda connection: transactions.create_upload(connection, upload, quota))

    async def get_upload(self, upload_id: str) -> UploadRecord | None:
        return await self._read(lambda connection: transactions.get_upload(connection, upload_id))

    async def claim_upload(self, upload_id: str, *, now: int) -> UploadRecord | None:
        """As in the port. `update_time` moves."""
        return await self._write(lambda connection: transactions.claim_upload(connection, upload_id, now))

    async def advance_upload(
        self, upload_id: str, *, epoch: int, size: int, now: int, quota: UploadQuota | None = None
    ) -> UploadRecord | None:
        return await self._write(
            lambda connection: transactions.advance_upload(connection, upload_id, epoch, size, now, quota)
        )

    async def end_upload(
        self, upload_id: str, *, state: str, image: ImageRecord | None, failure: str | None, now: int
    ) -> UploadRecord | None:
        return await self._write(
            lambda connection: transactions.end_upload(connection, upload_id, state, image, failure, now)
        )

    async def stale_uploads(self, *, idle_since: int, created_before: int) -> list[str]:
        return await self._read(
            lambda connection: transactions.stale_uploads(connection, idle_since, created_before)
        )

    async def forget_uploads(self, *, ended_before: int) -> int:
        return await self._write(lambda connection: transactions.forget_uploads(connection, ended_before))

    async def events(self, *, after: int, limit: int) -> list[EventRecord]:
        return await self._read(lambda connection: transactions.events_after(connection, after, limit))

    async def event_range(self) -> tuple[int, int]:
        return await self._read(transactions.event_range)

    async def forget_events(self, *, keep: int) -> None:
        await self._write(lambda connection: transactions.forget_events(connection, keep))

    async def changed(self, after: int) -> None:
        """As in the port. `close` ends the wait with StorageUnavailable."""
        while self._writer is not None:
            if self._newest > after:
                return
            await self._news.wait()
        raise StorageUnavailable

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._writer is None:
            raise StorageUnavailable

        def read() -> T:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = _connection(self._path, query_only=True)
            try:
                result = work(connection)
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
            return result

        try:
            return await self._loop.run_in_executor(self._readers, read)
        except sqlite3.Error as error:
            raise _failure(error) from error

    def _write(self, work: Callable[[sqlite3.Connection], T] | ImageRecord) -> Outcome[T]:
        """In any thread."""
        if self._writer is None:
            raise StorageUnavailable
        outcome: Outcome[T] = Outcome(loop=self._loop)
        self._queue.put(_Write(work, outcome))
        return outcome

    def _serve(self, connection: sqlite3.Connection) -> None:
        """The writer's thread: takes what waits, commits it, says so; until it takes None."""
        closing = False
        newest = self._newest
        while not closing:
            group = []
            write = self._queue.get()
            with suppress(Empty):
                while write is not None:
                    group.append(write)
                    write = self._queue.get_nowait()
            closing = write is None
            if group:
                newest, outcomes = _commit(connection, group, newest)
                with suppress(RuntimeError):  # the loop was closed without close(): nobody to tell
                    self._loop.call_soon_threadsafe(self._resolve, newest, outcomes)
        connection.close()

    def _resolve(self, newest: int, outcomes: list[_Decided]) -> None:
        """Tells all callers of a group, and those who wait for an event if the group has one."""
        for write, result, error in outcomes:
            write.outcome.decide(result, error)
        if newest > self._newest:
            self._newest = newest
            self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _start(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:
            failure = _failure(error)
            raise failure from (None if failure is error else error)
        # A daemon: a process that dies without close() must not hang on it. What it had not
        # acknowledged is nobody's loss.
        self._writer = Thread(target=self._serve, args=(connection,), name="catalog-write", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        """The connection for writing, to a file with the schema in place."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite would use 0644; its other files take their mode from this one.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(self._path.parent)
        connection = _connection(self._path)
        try:
            _prepare(connection, self._path)
            prepare_to_write(connection)
            self._newest = transactions.newest_event(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _stop(self, writer: Thread) -> None:
        self._readers.shutdown()
        for connection in self._idle:
            connection.close()
        writer.join()  # last: the last connection to close moves the WAL into the file


def _connection(path: Path, *, query_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        # None: the driver begins no transactions of its own, we say BEGIN where we mean it.
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if query_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Creates the schema in an empty file, or brings an older one up; refuses what a newer version wrote."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise ValueError(
            f"{path} has schema version {version}, and this server knows {VERSION} at most:"
            " start the newer server that wrote it."
        )
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise ValueError(
            f"{path} is on a file system without shared memory: SQLite cannot use its WAL there."
        )
    if version < VERSION:
        with _transaction(connection):
            create(connection)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


def _commit(connection: sqlite3.Connection, group: list[_Write], newest: int) -> tuple[int, list[_Decided]]:
    """Commits a group as one transaction; gives the newest event's sequence, 0 if that is unknown.

    `newest` is that of before.

    A write that fails undoes itself only. If the transaction fails, all get its error and nothing of them is
    in the catalog.
    """
    try:
        try:
            if newest and _is_of_images(group):
                # A transaction of its own, and for each an event: their sequences have no gaps.
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
        return 0, [(write, None, _failure(error)) for write in group]


def _is_of_images(group: list[_Write]) -> bool:
    """Whether they take one statement."""
    return len(group) <= transactions.ROWS and all(isinstance(write.work, ImageRecord) for write in group)


def _in_one(
    connection: sqlite3.Connection,
    group: list[_Write],
    work: Callable[[sqlite3.Connection, list[_Write]], list[_Decided]],
) -> tuple[int, list[_Decided]]:
    with _transaction(connection):
        outcomes = work(connection, group)
        newest = transactions.newest_event(connection)
    return newest, outcomes


def _all_together(connection: sqlite3.Connection, group: list[_Write]) -> list[_Decided]:
    """The quick way, for a group of which nothing fails."""
    images = [write for write in group if isinstance(write.work, ImageRecord)]
    transactions.insert_images(connection, [write.work for write in images])  # type: ignore[misc]
    outcomes: list[_Decided] = [(write, None, None) for write in images]
    return outcomes + [
        (write, write.run(connection), None) for write in group if not isinstance(write.work, ImageRecord)
    ]


def _each_for_itself(connection: sqlite3.Connection, group: list[_Write]) -> list[_Decided]:
    """With a savepoint for each."""
    outcomes: list[_Decided] = []
    for write in group:
        connection.execute("SAVEPOINT item")
        try:
            outcomes.append((write, write.run(connection), None))
        except Exception as error:
            # A full disk or an I/O error may have made SQLite roll back everything.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO item")
            outcomes.append((write, None, _failure(error)))
        connection.execute("RELEASE item")
    return outcomes


def _failure(error: Exception) -> Exception:
    """The error for the caller, its cause chained; what is no failure of the storage stays as it is."""
    if isinstance(error, OSError):
        failure: Exception = storage_error(error)
    elif isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)  # absent where the driver itself complains
        # SHMSIZE: no room for the WAL's index. The low byte of a code is its kind.
        full = code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
        failure = StorageFull() if full else StorageUnavailable()
    else:
        return error
    failure.__cause__ = error
    return failure
