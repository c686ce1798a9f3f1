"""The catalog in one SQLite file.

The file (0600, its tables are in schema.py) and its `-wal` and `-shm` lie in a folder that only one
process may use: whoever starts the process holds a lock on it. `PRAGMA user_version` is the version of
the schema.

Writes go through one thread, which commits whatever waits for it as one transaction: the more callers,
the more of them share an fsync, and nobody waits for company. `synchronous=FULL` makes every commit
durable before it is acknowledged. Reads run beside it, each on a snapshot not older than its call.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, NullPool, QueuePool, Row, Select, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from conexiones.adapters.disk import storage_error, sync_folder, to_end
from conexiones.adapters.schema import VERSION, images, metadata, users
from conexiones.errors import StorageFull, StorageUnavailable
from conexiones.ports import ImageRecord, UserRecord

READERS = 4
BUSY_TIMEOUT = 5000
"""Milliseconds to wait for another program that looks into the file, such as the sqlite3 shell."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Write:
    """One caller's part of a transaction, and the future that waits for its outcome."""

    work: Callable[[Connection], Any]
    outcome: asyncio.Future[Any]


_Outcome = tuple[_Write, Any, Exception | None]


class SqliteCatalog:
    """A Catalog in the SQLite file at `path`, which is created with its folder if it is not there.

    A call that is cancelled ends when its write is decided, so that its caller can ask what became of
    it; such a write is done whole. After `close`, and before `open`, calls raise StorageUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._writer: Thread | None = None

    async def open(self) -> None:
        """Opens the file and creates what is missing. ValueError if a newer version wrote it."""
        self._loop = asyncio.get_running_loop()
        self._write_engine = _engine(self._path, readers=0)
        self._read_engine = _engine(self._path, readers=READERS)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="catalog-read")
        await to_end(asyncio.ensure_future(asyncio.to_thread(self._start)))

    async def close(self) -> None:
        """Finishes the writes that wait, and closes the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._queue.put(None)
            await to_end(asyncio.ensure_future(asyncio.to_thread(self._stop, writer)))

    async def add_image(self, image: ImageRecord) -> None:
        await self._write(lambda connection: _insert_image(connection, image))

    async def get_image(self, image_id: str) -> ImageRecord | None:
        row = await self._first(select(images).where(images.c.id == image_id))
        return None if row is None else ImageRecord(**row._mapping)

    async def put_user(
        self, name: str, *, pow: int | None, image: ImageRecord | None, now: int
    ) -> UserRecord:
        """As in the port. `update_time` moves when `pow` or `image` is given."""
        return await self._write(lambda connection: _upsert_user(connection, name, pow, image, now))

    async def get_user(self, name: str) -> UserRecord | None:
        row = await self._first(select(users).where(users.c.name == name))
        return None if row is None else UserRecord(**row._mapping)

    async def has_digest(self, digest: bytes) -> bool:
        return await self._first(select(images.c.id).where(images.c.digest == digest).limit(1)) is not None

    async def _first(self, statement: Select[Any]) -> Row[Any] | None:
        if self._writer is None:
            raise StorageUnavailable

        def read() -> Row[Any] | None:
            with self._read_engine.connect() as connection:
                return connection.execute(statement).first()

        try:
            return await self._loop.run_in_executor(self._readers, read)
        except (DBAPIError, sqlite3.Error) as error:
            raise _failure(error) from error

    async def _write(self, work: Callable[[Connection], T]) -> T:
        if self._writer is None:
            raise StorageUnavailable
        outcome: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Write(work, outcome))
        return await to_end(outcome)

    def _serve(self, connection: Connection) -> None:
        """The writer's thread: takes what waits, commits it, says so; until it takes None."""
        closing = False
        while not closing:
            group = []
            write = self._queue.get()
            with suppress(Empty):
                while write is not None:
                    group.append(write)
                    write = self._queue.get_nowait()
            closing = write is None
            if group:
                outcomes = _commit(connection, group)
                with suppress(RuntimeError):  # the loop was closed without close(): nobody to tell
                    self._loop.call_soon_threadsafe(_resolve, outcomes)
        connection.close()

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

    def _connect(self) -> Connection:
        """The connection for writing, to a file with the schema in place."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite would use 0644; its other files take their mode from this one.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        sync_folder(self._path.parent)
        connection = self._write_engine.connect()
        try:
            _prepare(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _stop(self, writer: Thread) -> None:
        self._readers.shutdown()
        self._read_engine.dispose()
        writer.join()  # last: the last connection to close moves the WAL into the file


def _engine(path: Path, readers: int) -> Engine:
    """An engine for that many connections that only read, or, with 0, for the one that writes."""
    pool = {"poolclass": QueuePool, "pool_size": readers, "max_overflow": 0} if readers else {}
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        # None: the driver begins no transactions of its own, we say BEGIN where we mean it.
        connect_args={"isolation_level": None, "check_same_thread": False},
        **({"poolclass": NullPool} | pool),
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if readers:
            connection.execute("PRAGMA query_only = ON")

    return engine


def _prepare(connection: Connection, path: Path) -> None:
    """Creates the schema in an empty file; refuses what a newer version wrote."""
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if version > VERSION:
        raise ValueError(
            f"{path} has schema version {version}, and this server knows {VERSION} at most:"
            " start the newer server that wrote it."
        )
    if connection.exec_driver_sql("PRAGMA journal_mode = WAL").scalar_one() != "wal":
        raise ValueError(
            f"{path} is on a file system without shared memory: SQLite cannot use its WAL there."
        )
    connection.rollback()
    if version == 0:
        with connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _commit(connection: Connection, group: list[_Write]) -> list[_Outcome]:
    """Commits a group as one transaction. Each write has a savepoint: one that fails undoes itself only.

    If the transaction fails, all get its error and nothing of them is in the catalog.
    """
    outcomes: list[_Outcome] = []
    try:
        with connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            for write in group:
                connection.exec_driver_sql("SAVEPOINT item")
                try:
                    outcomes.append((write, write.work(connection), None))
                except Exception as error:
                    # A full disk or an I/O error may have made SQLite roll back everything.
                    if not _driver(connection).in_transaction:
                        raise
                    connection.exec_driver_sql("ROLLBACK TO item")
                    outcomes.append((write, None, _failure(error)))
                connection.exec_driver_sql("RELEASE item")
    except Exception as error:
        # If it was the last fsync that failed, the WAL may hold the whole transaction, unseen now but
        # recovered after a crash. Emptying the WAL makes sure that what failed stays failed.
        with suppress(Exception):
            _driver(connection).execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return [(write, None, _failure(error)) for write in group]
    return outcomes


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101 (tells mypy)
    return driver


def _resolve(outcomes: list[_Outcome]) -> None:
    for write, result, error in outcomes:
        if error is None:
            write.outcome.set_result(result)
        else:
            write.outcome.set_exception(error)


def _insert_image(connection: Connection, image: ImageRecord) -> None:
    connection.execute(insert(images), asdict(image))


def _upsert_user(
    connection: Connection, name: str, pow: int | None, image: ImageRecord | None, now: int
) -> UserRecord:
    changes: dict[str, Any] = {}
    if pow is not None:
        changes |= {"pow": pow, "update_time": now}
    if image is not None:
        _insert_image(connection, image)
        changes |= {"image_id": image.id, "update_time": now}
    row = {"name": name, "pow": 0, "image_id": None, "create_time": now, "update_time": now} | changes
    upsert = insert(users).values(row)
    # Without a change the name is set to itself: RETURNING shows only rows that were written.
    upsert = upsert.on_conflict_do_update(index_elements=["name"], set_=changes or {"name": name})
    return UserRecord(**connection.execute(upsert.returning(users)).one()._mapping)


def _failure(error: Exception) -> Exception:
    """The error for the caller, its cause chained; what is no failure of the storage stays as it is."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError):
        failure: Exception = storage_error(cause)
    elif isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0)  # absent where the driver itself complains
        # SHMSIZE: no room for the WAL's index. The low byte of a code is its kind.
        full = code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
        failure = StorageFull() if full else StorageUnavailable()
    else:
        return error
    failure.__cause__ = error
    return failure
