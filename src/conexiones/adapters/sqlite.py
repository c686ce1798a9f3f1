"""The catalog in one SQLite file.

The file (0600, its tables are in schema.py, what is done with them in transactions.py) and its `-wal`
and `-shm` lie in a folder that only one server may use: whoever starts it holds a lock on it.
`PRAGMA user_version` is the version of the schema.

Writes go to a process of its own (sqlite_writer.py), which commits whatever waits for it as one transaction:
in a thread they would wait for the interpreter of the event loop, and it for theirs. `synchronous=FULL` makes
every commit durable before it is acknowledged. Reads run beside it in threads, each on a snapshot not older
than its call.
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from conexiones.adapters import descriptions, transactions
from conexiones.adapters.sqlite_file import connect, failure
from conexiones.adapters.sqlite_process import WriterProcess, told
from conexiones.adapters.sqlite_writer import Decided, Work
from conexiones.adapters.waiting import Outcome, to_end
from conexiones.errors import StorageUnavailable
from conexiones.ports import Counts, EventRecord, Facts, ImageRecord, UploadQuota, UploadRecord, UserRecord

READERS = 4

AGAIN = 1.0
"""Seconds until a process that cannot be started is started again."""

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class SqliteCatalog:
    """A Catalog in the SQLite file at `path`, which is created with its folder if it is not there.

    A call that is cancelled ends when its write is decided, so that its caller can ask what became of
    it; such a write is done whole. After `close`, and before `open`, calls raise StorageUnavailable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = False
        self._up = False  # the process: only then writes are taken
        self._waiting: list[tuple[Work, Outcome[Any]]] = []  # to be sent at the end of this turn of the loop
        self._sent: deque[Outcome[Any]] = deque()  # what the process has to answer, in order
        self._newest = 0  # the sequence of the newest event that is committed
        self._news = asyncio.Event()  # of the next one; each wakes all that wait, and another takes its place
        self._closing = asyncio.Event()

    async def open(self) -> None:
        """Opens the file and creates what is missing. ValueError if a newer version wrote it."""
        self._loop = asyncio.get_running_loop()
        self._idle: list[sqlite3.Connection] = []  # for reading: at most as many as there are threads
        self._closing.clear()
        try:
            await self._start()
        except (OSError, EOFError) as error:
            raise StorageUnavailable from error
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="catalog-read")
        self._open = True
        self._living = asyncio.create_task(self._live())

    async def close(self) -> None:
        """Finishes the writes that wait, and closes the file."""
        if self._open:
            self._open = False
            await to_end(asyncio.ensure_future(self._stop()))
            self._wake()

    async def add_image(self, image: ImageRecord) -> None:
        await self._write(transactions.insert_images, [transactions.image_row(image)])

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
        return await self._write(transactions.delete_image, image_id, now)

    async def put_user(
        self, name: str, *, pow: int | None, image: ImageRecord | None, now: int
    ) -> UserRecord:
        """As in the port. `update_time` moves when `pow` or `image` is given."""
        return await self._write(transactions.upsert_user, name, pow, image, now)

    async def get_user(self, name: str) -> UserRecord | None:
        return await self._read(lambda connection: transactions.get_user(connection, name))

    async def has_digest(self, digest: bytes) -> bool:
        return await self._read(lambda connection: transactions.has_digest(connection, digest))

    async def facts(self, digests: Collection[bytes]) -> dict[bytes, Facts]:
        return await self._read(lambda connection: descriptions.facts_of(connection, digests))

    async def put_facts(self, digest: bytes, facts: Facts, *, now: int) -> None:
        await self._write(descriptions.put_facts, digest, facts, now)

    async def undescribed(self, *, before: str | None, limit: int) -> list[ImageRecord]:
        return await self._read(lambda connection: descriptions.undescribed(connection, before, limit))

    async def counts(self) -> Counts:
        return await self._read(transactions.counts)

    async def create_upload(self, upload: UploadRecord, *, quota: UploadQuota | None = None) -> UploadRecord:
        return await self._write(transactions.create_upload, upload, quota)

    async def get_upload(self, upload_id: str) -> UploadRecord | None:
        return await self._read(lambda connection: transactions.get_upload(connection, upload_id))

    async def claim_upload(self, upload_id: str, *, now: int) -> UploadRecord | None:
        """As in the port. `update_time` moves."""
        return await self._write(transactions.claim_upload, upload_id, now)

    async def advance_upload(
        self, upload_id: str, *, epoch: int, size: int, now: int, quota: UploadQuota | None = None
    ) -> UploadRecord | None:
        return await self._write(transactions.advance_upload, upload_id, epoch, size, now, quota)

    async def end_upload(
        self, upload_id: str, *, state: str, image: ImageRecord | None, failure: str | None, now: int
    ) -> UploadRecord | None:
        return await self._write(transactions.end_upload, upload_id, state, image, failure, now)

    async def stale_uploads(self, *, idle_since: int, created_before: int) -> list[str]:
        return await self._read(
            lambda connection: transactions.stale_uploads(connection, idle_since, created_before)
        )

    async def forget_uploads(self, *, ended_before: int) -> int:
        return await self._write(transactions.forget_uploads, ended_before)

    async def events(self, *, after: int, limit: int) -> list[EventRecord]:
        return await self._read(lambda connection: transactions.events_after(connection, after, limit))

    async def event_range(self) -> tuple[int, int]:
        return await self._read(transactions.event_range)

    async def forget_events(self, *, keep: int) -> None:
        await self._write(transactions.forget_events, keep)

    async def changed(self, after: int) -> None:
        """As in the port. `close` ends the wait with StorageUnavailable."""
        while self._open:
            if self._newest > after:
                return
            await self._news.wait()
        raise StorageUnavailable

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if not self._open:
            raise StorageUnavailable

        def read() -> T:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = connect(self._path, query_only=True)
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
            raise failure(error) from error

    def _write(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *given: P.args, **_: P.kwargs
    ) -> Outcome[T]:
        """What `function` gives for a connection and what is `given`."""
        if not self._open or not self._up:
            raise StorageUnavailable
        outcome: Outcome[T] = Outcome(loop=self._loop)
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(((function, given), outcome))
        return outcome

    def _flush(self) -> None:
        """Sends together what waits."""
        waiting, self._waiting = self._waiting, []
        self._sent.extend(outcome for _, outcome in waiting)
        if waiting and self._up:
            self._writer.send([work for work, _ in waiting])

    async def _start(self) -> None:
        self._writer = WriterProcess(self._resolve)
        self._newest = await self._writer.start(self._path)
        self._up = True

    async def _live(self) -> None:
        """Starts another process when one has ended."""
        while True:
            await self._writer.ended.wait()
            self._up = False
            if not self._closing.is_set():
                log.error("The process that writes the catalog has ended, and is started again")
            await self._writer.stop()
            self._flush()
            # What of it was committed is in the file: whoever asks from now on finds it.
            while self._sent:
                self._sent.popleft().decide(None, StorageUnavailable())
            if self._closing.is_set():
                return
            await self._start_again()

    async def _start_again(self) -> None:
        while not self._up and not self._closing.is_set():
            try:
                await self._start()
            except Exception as error:
                log.error("The process that writes the catalog cannot be started: %r", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), AGAIN)
        self._wake()

    def _resolve(self, newest: int, decided: list[Decided]) -> None:
        """Tells all callers of a group, and those who wait for an event if the group has one."""
        for result, error, trace in decided:
            self._sent.popleft().decide(result, error and told(error, trace))
        if newest > self._newest:
            self._newest = newest
            self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _stop(self) -> None:
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._idle:
            connection.close()
        self._closing.set()
        self._flush()
        if self._up:
            self._writer.finish()  # last: the last connection to close moves the WAL into the file
        await self._living
