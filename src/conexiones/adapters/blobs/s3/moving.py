"""The bytes of a house that moves out of an object store, or into one, while no server uses it.

What moves in is put as servers put it: small blobs many to an object, larger ones in parts. Each object is
read back and compared before a row names it. Blobs have their rows from then on, so an interrupted move goes
on with those that are missing; the rows of images come last, and whatever no image has then is dead.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple, TypeVar

from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3.backend import PART
from conexiones.adapters.blobs.s3.objects import Kind, ObjectGone, Objects, said
from conexiones.adapters.blobs.s3.packs import PACK
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.reading import Reading, pieces_from
from conexiones.adapters.blobs.s3.rows import Place
from conexiones.adapters.blobs.s3.sha256 import Sha256
from conexiones.adapters.blobs.s3.sums import sums_of
from conexiones.adapters.catalog.postgres.columns import by_columns
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.moving import MovingIn, MovingOut
from conexiones.errors import BlobCorrupt, StorageUnavailable

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt at a request that the object store does not answer: a move takes hours,
and should not end for a moment's fault."""

AT_ONCE = 8
"""Requests for parts of packs at a time."""

PUTTING = 3
"""Parts of a blob that are put at a time."""

GAP = 256 << 10
"""Bytes of a pack that nobody needs, and are read all the same rather than asking twice."""

T = TypeVar("T")


class Asked:
    """Requests to the object store, which are tried again. A failure in the end is a ValueError, whose one
    line says what to do."""

    def __init__(self, place: BlobPlace) -> None:
        """ValueError, whose sentence says what is wrong, if the place cannot be one."""
        self.place = place
        self.objects = Objects(place, Patience())

    async def open(self, now: float) -> None:
        """`now` is the time of the database."""
        self.objects.learn_time(now)
        self.objects.open()
        try:
            await self.objects.size(self.objects.name("packs"))  # which is not there
            await self.is_empty()
        except (StorageUnavailable, ObjectGone, BlobCorrupt) as error:
            raise ValueError(f"{self.place} cannot be used: {said(error)}.") from error

    def close(self) -> None:
        self.objects.close()

    async def is_empty(self) -> bool:
        """Whether there is no object of a house."""
        return await self.objects.is_empty()

    async def again(self, ask: Callable[[], Awaitable[T]]) -> T:
        waits = iter(WAITS)
        while True:
            try:
                return await ask()
            except StorageUnavailable as error:
                await self.wait_after(error, waits)

    async def wait_after(self, error: StorageUnavailable, waits: Iterator[float]) -> None:
        """Until the next attempt. ValueError, whose one line says what to do, if there were enough."""
        seconds = next(waits, None)
        if seconds is None:
            raise ValueError(f"{self.place} does not answer as it has to: {said(error)}.") from error
        await asyncio.sleep(seconds)


class Small(NamedTuple):
    """A small blob; no data where what is there is not what was stored."""

    digest: bytes
    data: bytes | None


Run = list[tuple[bytes, Place]]
"""Places in one object, by where they begin, each with the blob that it is of."""


class BlobsOut(Asked):
    """The blobs of a house that is left. Nothing of them is changed. Used by one task."""

    def __init__(self, place: BlobPlace, house: MovingOut) -> None:
        super().__init__(place)
        self._house = house
        self._reading = Reading(self.objects)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def open(self, now: float) -> None:
        await super().open(now)
        if await self.is_empty() and await self._house.ask(rows.names_objects):
            mark = await self.again(self.objects.mark)
            if not mark:  # no server of this database was ever here, and lost its objects
                raise ValueError(
                    f"{self.place} has no objects, and the database names some: name the bucket and the"
                    " prefix that its servers use."
                )

    async def small(self, digests: Sequence[bytes]) -> list[Small]:
        """Small blobs, at most some MiB together, in that order. What lies together is read together."""
        places = await self._house.ask(rows.places_of, digests)
        parts: dict[bytes, list[tuple[int, bytes]]] = {}

        async def read(run: Run) -> None:
            first = run[0][1]
            data = await self._range(first.object, first.start, max(map(_end, run)) - first.start)
            if data is None and len(run) > 1:  # the others may be whole
                await asyncio.gather(*(read([one]) for one in run))
                return
            for digest, place in run:
                start = place.start - first.start
                parts.setdefault(digest, []).append((place.at, (data or b"")[start : start + place.size]))

        together = runs([(digest, place) for digest, found in places.items() for place in found])
        await asyncio.gather(*map(read, together))
        return [Small(digest, _whole(digest, parts.get(digest, []))) for digest in digests]

    async def _range(self, name: str, start: int, size: int) -> bytes | None:
        """Bytes of an object; None if it has not got all of them."""
        async with self._turns:
            try:
                return await self.again(lambda: self.objects.get(name, start, size))
            except (ObjectGone, BlobCorrupt):
                return None

    async def large(self, digest: bytes) -> AsyncIterator[bytes]:
        """The bytes of a blob. The last piece is given only if all of them have the digest; BlobCorrupt if
        not, or if the blob is not there."""
        places = (await self._house.ask(rows.places_of, [digest])).get(digest, [])
        sha, last = hashlib.sha256(), b""
        async for data in self._pieces(places):
            if last:
                yield last
            await asyncio.to_thread(sha.update, data)
            last = data
        if sha.digest() != digest:
            raise BlobCorrupt
        yield last

    async def upload(self, upload: str, size: int) -> AsyncIterator[bytes]:
        """The first `size` bytes of an upload under way, which were acknowledged. BlobCorrupt if they are not
        there."""
        at = 0
        async for data in self._pieces(await self._house.ask(rows.extents_of, upload)):
            piece = data[: size - at]
            at += len(piece)
            if piece:
                yield piece
        if at < size:
            raise BlobCorrupt

    async def _pieces(self, places: Sequence[Place]) -> AsyncIterator[bytes]:
        at, waits = 0, iter(WAITS)
        while True:
            try:
                async with aclosing(self._reading.all(pieces_from(places, at))) as pieces:
                    async for piece, data in pieces:
                        at, waits = piece.at + piece.size, iter(WAITS)
                        yield data
                return
            except ObjectGone as error:
                raise BlobCorrupt from error
            except StorageUnavailable as error:
                await self.wait_after(error, waits)


class BlobsIn(Asked):
    """The blobs of a house that is moved into. Methods may be called at once."""

    def __init__(self, place: BlobPlace, house: MovingIn) -> None:
        super().__init__(place)
        self._house = house

    async def mark(self, identity: int) -> None:
        """Says that the objects are of the database with that number: there were none of another one."""
        await self.again(lambda: self.objects.put_mark(identity))

    async def there(self, digests: Collection[bytes]) -> set[bytes]:
        """Which of them are there."""
        return await self._house.write(_there, list(digests))

    async def add_small(self, blobs: Sequence[tuple[bytes, bytes]]) -> None:
        """Adds small blobs, by their digests: one object, of some MiB at most."""
        name = await self._put("packs", b"".join(data for _, data in blobs))
        start, found = 0, []
        for digest, data in blobs:
            found.append((digest, len(data), [Place(0, name, start, len(data), sums_of(data))]))
            start += len(data)
        await self._house.write(_add_blobs, found)

    async def add_large(self, digest: bytes, size: int, pieces: AsyncIterator[bytes]) -> None:
        """Adds a blob. Raises what the pieces raise, and then adds nothing."""
        places = await self._parts(pieces)
        if sum(place.size for place in places) != size:
            raise BlobCorrupt
        await self._house.write(_add_blobs, [(digest, size, places)])

    async def add_upload(self, upload: str, size: int, pieces: AsyncIterator[bytes]) -> None:
        """The same with the bytes of an upload under way."""
        places = await self._parts(pieces, Sha256())
        if sum(place.size for place in places) != size:
            raise BlobCorrupt
        await self._house.write(_add_extents, upload, places)

    async def forget_uploads(self) -> None:
        """Forgets what an earlier attempt has added of uploads: they may have moved on since."""
        await self._house.write(_forget_extents)

    async def _parts(self, pieces: AsyncIterator[bytes], sha: Sha256 | None = None) -> list[Place]:
        """Puts all bytes into objects. With a hash, keeps its state behind each."""
        places: list[Place] = []
        turns = asyncio.Semaphore(PUTTING)

        async def put(at: int, data: bytes, state: bytes) -> None:
            try:
                name = await self._put("parts", data)
                places.append(Place(at, name, 0, len(data), await asyncio.to_thread(sums_of, data), state))
            finally:
                turns.release()

        try:
            async with asyncio.TaskGroup() as tasks:
                at = 0
                async for data in _joined(pieces, PART):
                    if sha is not None:
                        await asyncio.to_thread(sha.update, data)
                    await turns.acquire()
                    tasks.create_task(put(at, data, b"" if sha is None else sha.state))
                    at += len(data)
                    del data
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return sorted(places)

    async def _put(self, kind: Kind, data: bytes) -> str:
        """Puts an object, reads it back, and gives its name. Each attempt has a name of its own: an earlier
        one may still come about."""

        async def put() -> str:
            name = self.objects.name(kind)
            await self.objects.put(name, data)
            return name

        name = await self.again(put)
        try:
            same = await self.again(lambda: self.objects.get(name, 0, len(data))) == data
        except (ObjectGone, BlobCorrupt):
            same = False
        if not same:
            raise ValueError(f"{self.place} gives other bytes back than were put: it cannot be relied on.")
        return name


async def check_whole(connection: Connection, *, lacking: Collection[bytes]) -> None:
    """That every image has its blob, but for those of the digests that are known to be lacking. Other blobs
    are dead. ValueError if one is missing."""
    rows = await connection.fetch(_LACKING, list(lacking))
    if rows:
        raise ValueError(f"The bytes of an image were lost on the way: those of {rows[0]['digest'].hex()}.")
    await connection.execute(_DIE)
    await connection.execute("ANALYZE images, events, facts, uploads, blobs, places")


_LACKING = """
SELECT digest FROM images WHERE NOT EXISTS (SELECT FROM blobs WHERE blobs.digest = images.digest)
    AND NOT digest = ANY($1::bytea[]) LIMIT 1
"""
_DIE = """
UPDATE blobs SET dead_since = clock_timestamp()
WHERE NOT EXISTS (SELECT FROM images WHERE images.digest = blobs.digest)
"""
_ADD_BLOBS = """
INSERT INTO blobs (digest, size) SELECT * FROM unnest($1::bytea[], $2::bigint[]) ON CONFLICT DO NOTHING
RETURNING digest
"""
_ADD_PLACES = """
INSERT INTO places (digest, at, object, start, size, sums)
SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])
"""
_ADD_EXTENTS = """
INSERT INTO extents (upload, at, object, start, size, sums, hash)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[]
)
"""


async def _there(connection: Connection, digests: list[bytes]) -> set[bytes]:
    found = await connection.fetch("SELECT digest FROM blobs WHERE digest = ANY($1::bytea[])", digests)
    return {row["digest"] for row in found}


async def _add_blobs(connection: Connection, blobs: Sequence[tuple[bytes, int, list[Place]]]) -> None:
    added = await connection.fetch(_ADD_BLOBS, *by_columns((digest, size) for digest, size, _ in blobs))
    new = {row["digest"] for row in added}
    values = [(digest, *place[:5]) for digest, _, places in blobs if digest in new for place in places]
    if values:
        await connection.execute(_ADD_PLACES, *by_columns(values))


async def _add_extents(connection: Connection, upload: str, places: list[Place]) -> None:
    if places:
        await connection.execute(_ADD_EXTENTS, *by_columns((upload, *place) for place in places))


async def _forget_extents(connection: Connection) -> None:
    await connection.execute("DELETE FROM extents")


def _end(one: tuple[bytes, Place]) -> int:
    return one[1].start + one[1].size


def runs(places: Run) -> list[Run]:
    """Places that lie together in their object, in pieces of at most PACK bytes."""
    found: list[Run] = []
    end = 0
    for one in sorted(places, key=lambda one: (one[1].object, one[1].start)):
        place = one[1]
        first = found[-1][0][1] if found else None
        if (
            first is not None
            and first.object == place.object
            and place.start - end <= GAP
            and _end(one) - first.start <= PACK
        ):
            found[-1].append(one)
            end = max(end, _end(one))
        else:
            found.append([one])
            end = _end(one)
    return found


def _whole(digest: bytes, parts: list[tuple[int, bytes]]) -> bytes | None:
    data = b"".join(part for _, part in sorted(parts))
    return data if parts and hashlib.sha256(data).digest() == digest else None


async def _joined(pieces: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of that size, but for the last."""
    buffer = bytearray()
    async for piece in pieces:
        buffer += piece
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)
