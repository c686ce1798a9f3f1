"""The catalog in one SQLite file.

The file (0600) and its `-wal` and `-shm` are in a folder that only one server may use: whoever starts the
server holds a lock on it. schema.py has its tables, transactions.py what is done with them, and migrations.py
how an older file becomes one of this version.

Writes go to the writing process (adapters.writer), where commits.py makes one transaction of whatever waits.
`synchronous=FULL` makes every commit durable before it is acknowledged. Reads run beside it in threads, each
on a snapshot that is not older than its call.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from conexiones.adapters.catalog.sqlite import charges, room, transactions
from conexiones.adapters.catalog.sqlite.commits import Commits
from conexiones.adapters.catalog.sqlite.file import connect
from conexiones.adapters.catalog.sqlite.interruptible import Interruptible
from conexiones.adapters.catalog.sqlite.recent_images import IMAGES, RecentImages
from conexiones.adapters.catalog.sqlite.search import Wanted
from conexiones.adapters.catalog.sqlite.wal import check_log
from conexiones.adapters.system.disk import storage_error
from conexiones.adapters.system.presence import Presence
from conexiones.adapters.system.threads import Outcome
from conexiones.adapters.writer.client import WriterClient
from conexiones.errors import StorageUnavailable
from conexiones.metrics import Metrics
from conexiones.ports.records import (
    Charge,
    Counts,
    EventRecord,
    Facts,
    ImageRecord,
    StoredBy,
    UploadQuota,
    UploadRecord,
    UploadState,
    UploadTerms,
    Usage,
    UserRecord,
)
from conexiones.shares import Turns
from conexiones.waits import observe_places
from conexiones.whole import to_end

READERS = 4
"""Threads that read, each with a connection of its own. One of them is always left to other clients."""

_FORGOTTEN = 10_000
"""Events that are forgotten in one transaction."""

P = ParamSpec("P")
T = TypeVar("T")


class SqliteCatalog:
    """A Catalog, and its Descriptions, in the SQLite file at `path`, which is created with its folder if it
    is not there.

    A write whose caller is cancelled is done whole; the call ends when it is decided, so that the caller can
    ask what became of it. After `close`, and before `open`, calls raise StorageUnavailable.

    `writer` belongs to the catalog, which starts and stops it. A store of blobs may use it too, between
    `open` and `close`: an image whose bytes it carries is then added together with them.

    Only one process uses the file, so `changed` watches what this process commits and nothing else, and
    `recent` images that were read of late are kept in memory. Where several processes shared a catalog, they
    would have to be told of each other's commits.
    """

    def __init__(self, path: Path, *, recent: int = IMAGES, metrics: Metrics | None = None) -> None:
        metrics = metrics or Metrics()
        self._path = path
        self._recent = RecentImages(recent)
        self._turns = Turns(READERS, each=READERS - 1)
        observe_places(metrics, "catalog_reads", self._turns)
        self._open = False
        self.writer = WriterClient(Commits, path, metrics=metrics)
        self.writer.on_commit = self._committed
        self._newest = 0  # the sequence of the newest event that is committed
        self._news = asyncio.Event()  # set when there is a newer one; then a fresh one takes its place

    async def open(self) -> None:
        """Opens the file, creates it or migrates it. ValueError, whose one line says what to do, if that
        cannot be done. Raises StorageUnavailable, if its process cannot be started."""
        self._loop = asyncio.get_running_loop()
        self._idle: list[sqlite3.Connection] = []  # for reading; at most READERS
        self._newest = 0
        with suppress(OSError):  # which opening it says better
            await asyncio.to_thread(check_log, self._path)
        await self.writer.start()
        self._presence = Presence(self._path)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="catalog-read")
        self._open = True

    async def close(self) -> None:
        """Finishes the writes that wait, and closes the file."""
        if self._open:
            self._open = False
            self._recent.clear()
            await to_end(asyncio.ensure_future(self._stop()))
            self._wake()

    def size(self) -> int:
        """Bytes of the file, and of those that SQLite has beside it. For threads."""
        beside = (self._path.with_name(self._path.name + end) for end in ("", "-wal", "-shm"))
        return sum(path.stat().st_size for path in beside if path.exists())

    def check_there(self) -> None:
        """Raises OSError if the file has gone while it is open; then every write is refused."""
        if self._open:
            self._presence.check()

    async def add_image(self, image: ImageRecord, *, charge: Charge | None = None) -> None:
        if charge is not None:
            await self.write(image, charges.add_charged, image, charge)
            return
        await self.write(image, transactions.insert_images, [transactions.image_row(image)])

    async def get_image(self, image_id: str) -> ImageRecord | None:
        image = self._recent.image(image_id)
        if image is None or not self._open:
            mark = self._recent.mark
            image = await self.read(transactions.get_image, image_id)
            if image is not None:
                self._recent.keep_image(image, mark)
        return image

    async def list_images(
        self,
        *,
        limit: int,
        before: str | None,
        user: str | None,
        start: int | None,
        end: int | None,
        name: str | None = None,
        digests: Collection[bytes] = (),
        owner: str | None = None,
    ) -> list[ImageRecord]:
        wanted = Wanted(
            before=before,
            user=user,
            start=start,
            end=end,
            name=name,
            digests=tuple(digests),
            owner=owner,
        )
        return await self.read(transactions.images_page, wanted, limit)

    async def every_image(self, *, before: str | None, limit: int) -> list[tuple[ImageRecord, bool]]:
        return await self.read(transactions.all_rows, before, limit)

    async def delete_image(self, image_id: str, *, now: int) -> ImageRecord | None:
        """As in the port. The `update_time` of the user whose image it was moves."""
        try:
            image = await self.write(None, transactions.delete_image, image_id, now)
        except BaseException:
            self._recent.clear()  # it may be deleted all the same
            raise
        if image is not None:
            self._recent.deleted(image)
        return image

    async def put_user(
        self,
        name: str,
        *,
        owner: str = "",
        pow: int | None,
        image: ImageRecord | None,
        now: int,
        charge: Charge | None = None,
    ) -> UserRecord:
        """As in the port. `update_time` moves when `pow` or `image` is given."""
        if image is not None and charge is not None:
            return await self.write(image, charges.upsert_user_charged, owner, name, pow, image, now, charge)
        return await self.write(image, transactions.upsert_user, owner, name, pow, image, now)

    async def get_user(self, name: str, *, owner: str = "") -> UserRecord | None:
        return await self.read(transactions.get_user, owner, name)

    async def has_digest(self, digest: bytes) -> bool:
        return await self.read(transactions.has_digest, digest)

    async def identity(self) -> int:
        return await self.read(transactions.identity)

    async def set_identity(self, identity: int) -> None:
        await self.write(None, transactions.set_identity, identity)

    async def facts(self, digests: Collection[bytes], *, judge: int = 0) -> dict[bytes, Facts]:
        sole = next(iter(digests)) if len(digests) == 1 else b""
        known = self._recent.facts(sole) if self._open and not judge else None
        if known is not None:
            return {sole: known}
        mark = self._recent.mark
        found = await self.read(transactions.facts_of, digests, judge)
        if sole in found:
            self._recent.keep_facts(sole, found[sole], mark)
        return found

    async def put_facts(self, image: ImageRecord, facts: Facts, *, judge: int, now: int) -> None:
        try:
            await self.write(None, transactions.put_facts, image, facts, judge, now)
        finally:
            self._recent.described(image.digest)

    async def undescribed(self, *, before: str | None, limit: int) -> list[ImageRecord]:
        return await self.read(transactions.undescribed, before, limit)

    async def judged_before(self, judge: int, *, before: str | None, limit: int) -> list[ImageRecord]:
        return await self.read(transactions.judged_before, judge, before, limit)

    async def counts(self, *, owner: str | None = None) -> Counts:
        return await self.read(transactions.counts, owner)

    async def usage(self, owner: str, *, ticket: str = "") -> Usage:
        return await self.read(charges.usage, owner, ticket)

    async def create_upload(
        self, upload: UploadRecord, *, quota: UploadQuota | None = None, charge: Charge | None = None
    ) -> UploadRecord:
        if charge is not None:
            return await self.write(None, charges.create_upload_charged, upload, quota, charge)
        return await self.write(None, transactions.create_upload, upload, quota)

    async def add_stored(
        self, image: ImageRecord, by: StoredBy, *, charge: Charge | None = None
    ) -> UploadRecord | None:
        request = tuple(by)  # takes less time to pickle
        if charge is not None:
            return await self.write(image, charges.add_stored_charged, image, request, charge)
        return await self.write(image, transactions.add_stored, transactions.image_row(image), request)

    async def get_upload(self, upload_id: str) -> UploadRecord | None:
        return await self.read(transactions.get_upload, upload_id)

    async def find_upload(self, request_id: str, *, owner: str, ticket: str) -> UploadRecord | None:
        return await self.read(transactions.find_upload, owner, ticket, request_id)

    async def claim_upload(self, upload_id: str, *, now: int) -> UploadRecord | None:
        """As in the port. `update_time` moves."""
        return await self.write(None, transactions.claim_upload, upload_id, now)

    async def advance_upload(
        self, upload_id: str, *, epoch: int, size: int, now: int, quota: UploadQuota | None = None
    ) -> UploadRecord | None:
        return await self.write(None, transactions.advance_upload, upload_id, epoch, size, now, quota)

    async def end_upload(
        self,
        upload_id: str,
        *,
        state: UploadState,
        image: ImageRecord | None,
        failure: str | None,
        now: int,
        charge: Charge | None = None,
        epoch: int | None = None,
    ) -> UploadRecord | None:
        if image is not None and charge is not None:
            return await self.write(
                image, charges.end_upload_charged, upload_id, state, image, failure, now, charge, epoch
            )
        return await self.write(image, transactions.end_upload, upload_id, state, image, failure, now, epoch)

    async def expire_uploads(self, terms: UploadTerms, *, now: int) -> list[str]:
        return await self.write(None, room.expire, terms, now)

    async def make_room(
        self, upload: UploadRecord, *, quota: UploadQuota, terms: UploadTerms, now: int
    ) -> list[str]:
        return await self.write(None, room.make_room, upload, quota, terms, now)

    async def shared_time(self, now: int) -> int:
        return now

    async def forget_uploads(self, *, ended_before: int, limit: int) -> int:
        return await self.write(None, transactions.forget_uploads, ended_before, limit)

    async def events(self, *, after: int, limit: int) -> list[EventRecord]:
        return await self.read(transactions.events_after, after, limit)

    async def news(self, *, after: int, limit: int) -> list[tuple[EventRecord, ImageRecord | None]]:
        return await self.read(transactions.news_after, after, limit)

    async def event_range(self) -> tuple[int, int]:
        return await self.read(transactions.event_range)

    async def forget_events(self, *, keep: int) -> None:
        # After a burst there may be millions: all other writes wait while some are removed.
        while await self.write(None, transactions.forget_events, keep, _FORGOTTEN) == _FORGOTTEN:
            pass

    async def changed(self, after: int) -> None:
        """As in the port. `close` ends the wait with StorageUnavailable."""
        while self._open:
            if self._newest > after:
                return
            await self._news.wait()
        raise StorageUnavailable

    async def read(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *given: P.args, **named: P.kwargs
    ) -> T:
        """A read whose caller is cancelled is broken off: a search may take seconds."""
        if not self._open:
            raise StorageUnavailable
        busy = Interruptible()

        def read() -> T:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = connect(self._path, query_only=True)
            try:
                with busy.using(connection):
                    result = work(connection, *given, **named)
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)
            return result

        try:
            async with self._turns:
                return await self._loop.run_in_executor(self._readers, read)
        except asyncio.CancelledError:
            busy.interrupt()
            raise
        except sqlite3.Error as error:
            raise storage_error(error) from error

    def write(
        self,
        image: ImageRecord | None,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *given: P.args,
        **_: P.kwargs,
    ) -> Outcome[T]:
        """The result of the work. If it adds an image whose bytes the writer carries, they become durable
        before it."""
        return self.writer.commit(work, *given, digest=image.digest if image else None)

    def _committed(self, newest: int) -> None:
        """Wakes those who wait for an event, if there is a newer one."""
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
        await self.writer.stop()  # last, as the last connection to close moves the WAL into the file
