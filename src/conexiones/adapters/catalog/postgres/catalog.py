"""The catalog in a PostgreSQL database, which several servers may use at once."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from conexiones.adapters.catalog.folding import folded
from conexiones.adapters.catalog.postgres import charges, descriptions, images, room, uploads
from conexiones.adapters.catalog.postgres.address import Address, in_words
from conexiones.adapters.catalog.postgres.checks import check_server
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect, in_time
from conexiones.adapters.catalog.postgres.group_commit import GroupCommit, Locks
from conexiones.adapters.catalog.postgres.house import refuse_moving
from conexiones.adapters.catalog.postgres.joining import Join, joined
from conexiones.adapters.catalog.postgres.measures import Measures
from conexiones.adapters.catalog.postgres.migrating import bring_up
from conexiones.adapters.catalog.postgres.news import Heard, follow, refuse_another
from conexiones.adapters.catalog.postgres.reading import Readers
from conexiones.adapters.catalog.postgres.transaction import Transaction, time_of
from conexiones.adapters.system.threads import Outcome
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
from conexiones.waits import observe_places
from conexiones.whole import to_end

_FORGOTTEN = 50_000
"""Events that are forgotten in one transaction."""

P = ParamSpec("P")
T = TypeVar("T")


class PostgresCatalog:
    """A Catalog, and its Descriptions, in the database at `url`.

    If a pooler in transaction mode, such as PgBouncer, stands at `url`, then `direct` is the URL of the
    database itself, where it is listened to.

    A write whose caller is cancelled is done whole; the call ends when it is decided, so that the caller can
    ask what became of it. Where even that cannot be found out in time the call raises StorageUnavailable, and
    until it is found out, so does whatever asks about blobs and uploads. After `close`, and before `open`,
    calls raise StorageUnavailable. No wait is longer than `patience` has it.
    """

    def __init__(
        self,
        url: str,
        *,
        direct: str | None = None,
        patience: Patience | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """ValueError, whose sentence says what a URL looks like, if it is none."""
        self._address = Address(url, pooled=direct is not None)
        self._listening = Address(direct) if direct is not None else self._address
        self._patience = patience or Patience()
        metrics = metrics or Metrics()
        self._measures = Measures(metrics)
        self._commits = GroupCommit(self._address, self._patience, self._measures)
        self._heard = Heard()
        self._commits.on_commit = self._heard.told
        self._readers = Readers(self._address, self._patience, self._measures)
        observe_places(metrics, "catalog_reads", self._readers.turns)
        self._open = False

    async def open(self) -> None:
        """Connects, and creates the tables or migrates them. ValueError, whose one line says what to do, if
        the database cannot be reached or used."""
        with in_words(self._address):
            connection = await connect(self._address, seconds=self._patience.connect)
            try:
                async with in_time(connection, self._patience.read):
                    await check_server(connection, self._address)
                    await refuse_moving(connection, self._address)
                if self._listening is not self._address:
                    await refuse_another(connection, self._address, self._listening, self._patience)
                await bring_up(connection, self._address)
                async with in_time(connection, self._patience.read):
                    self._heard.told(await images.newest_decided(connection))
                    await self._commits.start(connection)
            except BaseException:
                connection.terminate()
                raise
        self._readers.open()
        self._open = True
        self._following = asyncio.create_task(
            follow(self._listening, self._address, self._patience, self._heard, self._measures)
        )

    async def close(self) -> None:
        """Finishes the writes that wait, and closes the connections."""
        if self._open:
            self._open = False
            await to_end(asyncio.ensure_future(self._close()))
            self._heard.wake()

    async def add_image(self, image: ImageRecord, *, charge: Charge | None = None) -> None:
        locks = charges.locks_of_charged(image, charge)
        if charge is not None:
            await self.write(locks, charges.add_charged, image, charge)
            return
        await self.write(locks, images.add_image, image)

    async def get_image(self, image_id: str) -> ImageRecord | None:
        return await self.read(images.get_image, image_id)

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
        filters: dict[str, object | None] = {
            "position($ in folded_name) > 0": None if name is None else folded(name),
            "id < $": before,
            '"user" = $': user,
            "create_time >= $": start,
            "create_time < $": end,
            "owner = $ AND owner <> ''": owner,
            "digest = ANY($::bytea[])": list(digests) or None,
        }
        given = [(text, value) for text, value in filters.items() if value is not None]
        return await self.read(images.images_page, given, limit)

    async def every_image(self, *, before: str | None, limit: int) -> list[tuple[ImageRecord, bool]]:
        """As in the port. Whether rows are what was written is for PostgreSQL to see (data checksums)."""
        found = await self.list_images(limit=limit, before=before, user=None, start=None, end=None)
        return [(image, True) for image in found]

    async def delete_image(self, image_id: str, *, now: int) -> ImageRecord | None:
        """As in the port. The `update_time` of the user whose image it was moves."""
        find = partial(images.locks_to_delete, image_id=image_id)
        return await self.write(find, images.delete_image, image_id, now)

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
        locks = [images.lock_of_user(owner, name)]
        if image is not None:
            locks += charges.locks_of_charged(image, charge)
        if image is not None and charge is not None:
            return await self.write(locks, charges.upsert_user_charged, owner, name, pow, image, now, charge)
        return await self.write(locks, images.upsert_user, owner, name, pow, image, now)

    async def get_user(self, name: str, *, owner: str = "") -> UserRecord | None:
        return await self.read(images.get_user, owner, name)

    async def has_digest(self, digest: bytes) -> bool:
        return await self._ask(images.has_digest, digest)

    async def identity(self) -> int:
        return await self.read(images.identity)

    async def set_identity(self, identity: int) -> None:
        await self.write((), images.set_identity, identity)

    async def facts(self, digests: Collection[bytes], *, judge: int = 0) -> dict[bytes, Facts]:
        return await self.read(descriptions.facts_of, digests, judge)

    async def put_facts(self, image: ImageRecord, facts: Facts, *, judge: int, now: int) -> None:
        locks = [descriptions.lock_of(image.digest)]
        await self.write(locks, descriptions.put_facts, image, facts, judge, now)

    async def undescribed(self, *, before: str | None, limit: int) -> list[ImageRecord]:
        after = before or descriptions.BEHIND_ALL
        while True:
            found, last = await self.read(descriptions.undescribed, after, limit)
            if found or last is None:
                return found
            after = last

    async def judged_before(self, judge: int, *, before: str | None, limit: int) -> list[ImageRecord]:
        after = before or descriptions.BEHIND_ALL
        while True:
            found, last = await self.read(descriptions.judged_before, judge, after, limit)
            if found or last is None:
                return found
            after = last

    async def counts(self, *, owner: str | None = None) -> Counts:
        return await self.read(images.counts, owner)

    async def usage(self, owner: str, *, ticket: str = "") -> Usage:
        return await self.read(charges.usage, owner, ticket)

    async def create_upload(
        self, upload: UploadRecord, *, quota: UploadQuota | None = None, charge: Charge | None = None
    ) -> UploadRecord:
        locks = [
            uploads.lock_of_request(upload.owner, upload.ticket, upload.request_id),
            *charges.locks_of_open(upload.owner, charge),
        ]
        if charge is not None:
            return await self.write(locks, charges.create_upload_charged, upload, quota, charge)
        return await self.write(locks, uploads.create_upload, upload, quota)

    async def add_stored(
        self, image: ImageRecord, by: StoredBy, *, charge: Charge | None = None
    ) -> UploadRecord | None:
        locks = [
            uploads.lock_of_request(image.owner, by.ticket, by.request_id),
            *charges.locks_of_charged(image, charge),
        ]
        if charge is not None:
            return await self.write(locks, charges.add_stored_charged, image, by, charge)
        return await self.write(locks, images.add_stored, image, by)

    async def get_upload(self, upload_id: str) -> UploadRecord | None:
        return await self._ask(uploads.get_upload, upload_id)

    async def find_upload(self, request_id: str, *, owner: str, ticket: str) -> UploadRecord | None:
        return await self._ask(images.find_upload, owner, ticket, request_id)

    async def claim_upload(self, upload_id: str, *, now: int) -> UploadRecord | None:
        """As in the port. `update_time` moves."""
        locks = [uploads.lock_of(upload_id)]
        return await self.write(locks, uploads.claim_upload, upload_id, now)

    async def advance_upload(
        self, upload_id: str, *, epoch: int, size: int, now: int, quota: UploadQuota | None = None
    ) -> UploadRecord | None:
        locks = [uploads.lock_of(upload_id)]
        return await self.write(locks, uploads.advance_upload, upload_id, epoch, size, now, quota)

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
        locks = [uploads.lock_of(upload_id)]
        if image is not None:
            locks += charges.locks_of_charged(image, charge)
        if image is not None and charge is not None:
            return await self.write(
                locks, charges.end_upload_charged, upload_id, state, image, failure, now, charge, epoch
            )
        return await self.write(locks, uploads.end_upload, upload_id, state, image, failure, now, epoch)

    async def expire_uploads(self, terms: UploadTerms, *, now: int) -> list[str]:
        return await self.write((), room.expire, terms, now)

    async def make_room(
        self, upload: UploadRecord, *, quota: UploadQuota, terms: UploadTerms, now: int
    ) -> list[str]:
        return await self.write((), room.make_room, upload, quota, terms, now)

    async def shared_time(self, now: int) -> int:
        """Not later than by the clock of the database."""
        return min(now, int(await self.read(time_of) * 1_000_000))

    async def forget_uploads(self, *, ended_before: int, limit: int) -> int:
        return await self.write((), uploads.forget_uploads, ended_before, limit)

    async def events(self, *, after: int, limit: int) -> list[EventRecord]:
        return await self.read(images.events_after, after, limit)

    async def news(self, *, after: int, limit: int) -> list[tuple[EventRecord, ImageRecord | None]]:
        return await self.read(images.news_after, after, limit)

    async def event_range(self) -> tuple[int, int]:
        return await self.read(images.event_range)

    async def forget_events(self, *, keep: int) -> None:
        # After a burst there may be millions: all other writes wait while some are removed.
        while await self.write((), images.forget_events, keep, _FORGOTTEN) == _FORGOTTEN:
            pass

    async def changed(self, after: int) -> None:
        """As in the port. `close` ends the wait with StorageUnavailable."""
        while self._open:
            if self._heard.event > after:
                return
            await self._heard.news()
        raise StorageUnavailable

    async def access_changed(self, after: int) -> None:
        """Returns when there is a change of credentials of a greater number, as `changed`."""
        while self._open:
            if self._heard.change > after:
                return
            await self._heard.news()
        raise StorageUnavailable

    async def read(
        self, work: Callable[Concatenate[Connection, P], Awaitable[T]], *given: P.args, **named: P.kwargs
    ) -> T:
        """What a function gives that asks one statement."""
        return await self._readers.read(work, *given, **named)

    def write(
        self,
        locks: Locks,
        work: Callable[Concatenate[Transaction, P], Awaitable[T]],
        *given: P.args,
        **named: P.kwargs,
    ) -> Outcome[T]:
        """What a function gives that is a member of a transaction, once that is durable. `locks` are the
        names of what it has to itself, or a function that reads them."""
        return self._commits.submit(locks, work, *given, **named)

    def joined(self, begin: Join, *, locks: Collection[str] = ()) -> AbstractContextManager[None]:
        """The context of a write with which something else is one step (joining.py)."""
        return joined(begin, locks)

    async def _ask(
        self, work: Callable[Concatenate[Connection, P], Awaitable[T]], *given: P.args, **named: P.kwargs
    ) -> T:
        """A read by which callers find out what became of a write: it waits until nothing is undecided."""
        if not self._commits.settled.is_set():
            try:
                async with asyncio.timeout(self._patience.read):
                    await self._commits.settled.wait()
            except TimeoutError as error:
                raise StorageUnavailable from error
        return await self._readers.read(work, *given, **named)

    async def _close(self) -> None:
        self._following.cancel()
        with suppress(asyncio.CancelledError):
            await self._following
        await self._commits.stop()
        self._readers.close()
