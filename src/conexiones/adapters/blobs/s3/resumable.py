"""The bytes of resumable uploads: extents, each an object that was put for a commit.

The extents of an upload are changed in the transaction that counts them in its row. So taking over an upload,
on whichever server, is reading a few rows: no bytes, as the state of the SHA-256 is kept with them. Small
extents are put together again, so that a blob consists of objects of some MiB.

Whoever holds an upload remembers its last extent. A commit, and publishing, are refused with WriterFenced if
there is another one by then: the bytes that are held would follow on others than those that are there.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from conexiones.adapters.blobs.holds import Hold
from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3.backend import Backend
from conexiones.adapters.blobs.s3.objects import ObjectGone
from conexiones.adapters.blobs.s3.reading import Reading, pieces_from
from conexiones.adapters.blobs.s3.rows import Extents, Last, NewBlob, Place
from conexiones.adapters.blobs.s3.sha256 import Sha256
from conexiones.adapters.blobs.s3.staged import S3Staged
from conexiones.adapters.blobs.s3.sums import are_for, sums_of
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.errors import BlobCorrupt, ConexionesError, StorageUnavailable, WriterFenced

T = TypeVar("T")


class S3ResumableStaged(S3Staged):
    """A ResumableStaged. Holds its upload in this process until it is settled, discarded or released.

    After a write that failed `commit` and `publish` raise StorageUnavailable: release it, and resume. Calls
    after its end, and writing after `publish`, are a RuntimeError.
    """

    def __init__(self, backend: Backend, hold: Hold) -> None:
        super().__init__(backend)
        self._hold = hold
        self._upload = hold.upload
        self._named = 0  # how many of the places the rows have
        self._lasts = {Last()}  # what the last extent in the rows may be, as far as this one knows

    async def open(self, size: int) -> None:
        """Raises BlobCorrupt if there are fewer bytes, but WriterFenced if the upload has ended since its row
        was read, and so has no extents any more; or if another writer has committed more since then."""
        self._backend.check_open()
        found = await self._backend.catalog.read(rows.extents_of, self._upload)
        if found and found[-1].end > size:
            epoch = await self._backend.catalog.read(rows.written_by, self._upload, size)
            if epoch is not None:  # its last extent must not be taken for one of our own
                raise WriterFenced(epoch=epoch)
        if found:
            self._lasts = {Last(found[-1].end, found[-1].object)}
        kept = [place for place in found if place.end <= size]
        _check(kept)
        at = kept[-1].end if kept else 0
        cut = found[len(kept) : len(kept) + 1]
        if at < size and (not cut or cut[0].end < size):
            ended_by = await self._backend.catalog.read(rows.ended_by, self._upload)
            raise BlobCorrupt if ended_by is None else WriterFenced(epoch=ended_by)
        self._places = kept
        self._named = len(kept)
        self._size = self._handed = at
        if at:
            self._sha = Sha256.resumed(kept[-1].hash, at)
        if at < size:  # an extent is cut
            data = await self._bytes_of(cut, at)
            await super().write(data[: size - at])

    async def write(self, data: bytes | memoryview) -> None:
        self._check_open()
        await super().write(data)

    async def commit(self, advance: Callable[[int], Awaitable[T]]) -> T:
        self._check_open()
        if self._has_gap():
            raise StorageUnavailable
        await self._stored()
        since = await self._merge()
        if since == len(self._places) and Last(self._size, self._last_object()) in self._lasts:
            return await advance(self._size)
        change = Extents(
            self._upload,
            self._places[since].at if since < len(self._places) else self._size,
            self._places[since:],
            self._size,
            self._backend.graces.moved,
        )
        last = Last(self._size, self._last_object())
        before = self._lasts
        self._lasts = {*before, last}  # until it is known whether this comes about
        advanced = await self._in_one_step(
            lambda: advance(self._size), self._locks(), change, rows.put_extents, rows.put_extents_alone
        )
        if change.is_done:
            self._named, self._lasts = len(self._places), {last}
        else:
            self._lasts = before
        return advanced

    def _last_object(self) -> str:
        return self._places[-1].object if self._places else ""

    async def _merge(self) -> int:
        """Puts extents together that are less than half of a part, if they are one together. Gives the number
        of the first place that the rows do not have as it is."""
        first = len(self._places)
        while first and self._places[first - 1].size < self._backend.part // 2:
            first -= 1
        small = self._places[first:]
        if len(small) < 2 or small[-1].end - small[0].at < self._backend.part:
            return self._named
        async with self._backend.merging:
            data = await self._bytes_of(small, small[0].at)
            objects = self._backend.objects
            name = objects.name("parts")
            await objects.put(name, data)
            sums = await self._backend.run(sums_of, data)
        merged = Place(small[0].at, name, 0, len(data), sums, small[-1].hash)
        self._places[first:] = [merged]
        self._named = min(self._named, first)
        return self._named

    async def _bytes_of(self, places: Sequence[Place], offset: int) -> bytes:
        """All bytes of places from an offset on. Raises BlobCorrupt."""
        reading = Reading(self._backend.objects)
        try:
            pieces = [data async for _, data in reading.all(pieces_from(places, offset))]
        except ObjectGone as error:
            raise BlobCorrupt from error
        return b"".join(pieces)

    async def publish(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        self._hold.check()
        return await super().publish(add)

    async def _as_blob(self) -> NewBlob:
        await self._stored()
        digest = await self._digest()
        moved = self._backend.graces.moved
        return NewBlob(digest, self._size, list(self._places), moved, upload=self._upload)

    async def _digest(self) -> bytes:
        """As the state gives it, or of the bytes, which are read."""
        if self._sha is not None:
            return self._sha.digest()
        sha = Sha256()
        reading = Reading(self._backend.objects)
        try:
            async for _, data in reading.all(pieces_from(self._places, 0)):
                await self._backend.run(sha.update, data)
        except ObjectGone as error:
            raise BlobCorrupt from error
        return sha.digest()

    def _locks(self) -> list[str]:
        return [rows.lock_of_upload(self._upload)]

    async def _check(self, transaction: Transaction) -> None:
        """The same, and WriterFenced if another writer has committed bytes."""
        await super()._check(transaction)
        if await rows.last_extent(transaction.connection, self._upload) not in self._lasts:
            raise WriterFenced(epoch=await rows.epoch_of(transaction.connection, self._upload))

    def _unnamed(self) -> list[str]:
        return [place.object for place in self._places[self._named :]]

    async def settle(self) -> None:
        await super().settle()
        self._hold.end()

    async def discard(self) -> None:
        """As in the port. The committed bytes are gone then: it is only for an upload that has ended, or of
        which no byte was acknowledged. Where the catalog did not answer, `release` is right."""
        holding = self._hold.lasts
        await self.release()
        if holding:
            await drop(self._backend, self._upload)

    async def release(self) -> None:
        await super().discard()
        self._hold.end()

    def _check_open(self) -> None:
        self._hold.check()
        if self._publishing:
            raise RuntimeError(f"upload {self._upload} is published")


async def drop(backend: Backend, upload_id: str) -> None:
    """Removes the extents of an upload that nobody needs. What cannot be removed is left to the sweeper."""
    locks = [rows.lock_of_upload(upload_id)]
    with suppress(ConexionesError):
        await backend.catalog.write(locks, rows.drop_extents, upload_id, backend.graces.moved)


def _check(places: Sequence[Place]) -> None:
    """Whether they follow on one another, from 0 on. Raises BlobCorrupt."""
    at = 0
    for place in places:
        if place.at != at or not are_for(place.sums, place.size):
            raise BlobCorrupt
        at = place.end
