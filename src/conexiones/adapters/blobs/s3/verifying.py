"""Reads the objects that rows name, and says what is wrong with them or with the rows.

Nothing is changed, and servers may run meanwhile: what was found wrong may be what a server has just deleted
or moved.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from functools import partial
from typing import Literal, NamedTuple, TypeVar

from conexiones.adapters.blobs.s3 import sweep_rows
from conexiones.adapters.blobs.s3.moving import AT_ONCE, WAITS, Asked, Run, runs
from conexiones.adapters.blobs.s3.objects import KINDS, Kind, ObjectGone, born, grace_of
from conexiones.adapters.blobs.s3.packs import PACK
from conexiones.adapters.blobs.s3.patience import Graces
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.rows import Place
from conexiones.adapters.blobs.s3.sums import are_for, sums_of
from conexiones.adapters.blobs.s3.verify_rows import Content
from conexiones.adapters.catalog.postgres.looking import Looking
from conexiones.errors import BlobCorrupt, StorageUnavailable

AHEAD = 2
"""Places of a large blob that are read at a time."""

T = TypeVar("T")


class Fault(NamedTuple):
    """What is wrong, in a sentence."""

    kind: Literal["damaged", "missing"]
    says: str


class Read(NamedTuple):
    """What was found of a content: a fault of all images that have it, or its size."""

    fault: Fault | None
    size: int = 0


class Verifying(Asked):
    """Belongs to one event loop. `on_bytes` is awaited with the number of bytes before they are read. Methods
    raise ValueError, whose one line says what to do, if the store does not answer."""

    def __init__(self, place: BlobPlace, house: Looking, on_bytes: Callable[[int], Awaitable[None]]) -> None:
        """ValueError, whose sentence says what is wrong, if the place cannot be one."""
        super().__init__(place)
        self._house = house
        self._on_bytes = on_bytes
        self._turns = asyncio.Semaphore(AT_ONCE)

    def where(self, name: str) -> str:
        """An object, for the operator."""
        return f"{self.place.url.rstrip('/')}/{name}"

    async def small(self, contents: Sequence[Content], places: Mapping[bytes, list[Place]]) -> list[Read]:
        """Contents of at most PACK bytes, in that order. What lies together is read together."""
        found: dict[bytes, Read] = {}
        by_digest = {content.digest: content for content in contents}

        async def read(run: Run) -> None:
            first = run[0][1]
            size = max(place.start + place.size for _, place in run) - first.start
            data = await self._get(first._replace(size=size))
            if isinstance(data, Fault) and len(run) > 1:  # the others may be whole
                await all_of(read([one]) for one in run)
                return
            for digest, place in run:
                start = place.start - first.start
                part = data if isinstance(data, Fault) else data[start : start + place.size]
                found[digest] = await self._read(by_digest[digest], [place], _one(place, part))

        alone: Run = []
        for content in contents:
            of_content = places.get(content.digest, [])
            if len(of_content) == 1 and of_content[0].size <= PACK and _covers(of_content):
                alone.append((content.digest, of_content[0]))
            else:
                found[content.digest] = await self.one(content, of_content)
        await all_of(read(run) for run in runs(alone))
        return [found[content.digest] for content in contents]

    async def one(self, content: Content, places: Sequence[Place]) -> Read:
        """A content, of any size."""
        if not places:
            says = (
                f"Its bytes, of the digest {content.digest.hex()}, are nowhere: no row says in which object."
            )
            return Read(Fault("missing", says))
        if not _covers(places):
            says = (
                f"The rows that say where its bytes are, of the digest {content.digest.hex()}, are damaged."
            )
            return Read(Fault("damaged", says))
        async with aclosing(self._data(places)) as data:
            return await self._read(content, places, data)

    async def upload(self, size: int, places: Sequence[Place]) -> Fault | None:
        """What is wrong with the first `size` bytes of an upload under way, which were acknowledged."""
        if not places or places[-1].end < size:
            there = places[-1].end if places else 0
            return Fault("missing", f"Of the {size} bytes that were acknowledged, rows have {there}.")
        if not _covers(places):
            return Fault("damaged", "The rows that say where its bytes are, are damaged.")
        async with aclosing(self._data(places)) as found:
            async for place, data in found:
                if isinstance(data, Fault):
                    return data
                if await asyncio.to_thread(sums_of, data) != place.sums:
                    where = self.where(place.object)
                    return Fault("damaged", f"Its bytes, in {where}, are not those that were received.")
        return None

    async def left_over(self, now: float) -> AsyncIterator[tuple[str, int]]:
        """Objects that no row names, or can come to name, with their sizes: what a sweep may remove by now.
        `now` is the time of the database."""
        graces = Graces()
        for kind in KINDS:
            async for listed in self._listed(kind):
                names = [n for n in listed if now - born(n) > grace_of(n, graces) + graces.late]
                if not names:
                    continue
                needed = await self._house.ask(sweep_rows.needed, names)
                loose = await self._house.ask(sweep_rows.loose_among, names)
                for name in names:
                    if name in needed or name in loose:
                        continue
                    # A server may have removed it since it was listed.
                    size = await self.again(partial(self.objects.size, name))
                    if size is not None:
                        yield name, size

    async def _listed(self, kind: Kind) -> AsyncIterator[list[str]]:
        after, waits = "", iter(WAITS)
        while True:
            try:
                async with aclosing(self.objects.listed(kind, after)) as pages:
                    async for names in pages:
                        yield names
                        after, waits = names[-1], iter(WAITS)
                return
            except StorageUnavailable as error:
                await self.wait_after(error, waits)

    async def _read(
        self, content: Content, places: Sequence[Place], data: AsyncIterator[tuple[Place, bytes | Fault]]
    ) -> Read:
        sha, size, wrong = hashlib.sha256(), 0, ""  # the first object whose checksums are others
        async for place, part in data:
            if isinstance(part, Fault):
                return Read(part)
            sums = await asyncio.to_thread(_hashed, sha, part)
            wrong = wrong or (place.object if sums != place.sums else "")
            size += len(part)
        where = self.where(wrong or places[0].object)
        says = ""
        if sha.digest() != content.digest:
            others = f" or one of {len(places) - 1} others" if len(places) > 1 and not wrong else ""
            says = f"Its bytes, in {where}{others}, are not those that were stored."
        elif wrong:
            says = f"The checksums that the database has of its bytes, in {where}, are damaged."
        elif content.stored != size:
            says = f"The database says that its bytes are {content.stored}, and there are {size}, in {where}."
        return Read(Fault("damaged", says) if says else None, size)

    async def _data(self, places: Sequence[Place]) -> AsyncGenerator[tuple[Place, bytes | Fault], None]:
        """Each place with its bytes, some of them read ahead."""
        waiting: deque[tuple[Place, asyncio.Task[bytes | Fault]]] = deque()
        rest = iter(places)
        try:
            while True:
                while len(waiting) < AHEAD and (place := next(rest, None)) is not None:
                    waiting.append((place, asyncio.create_task(self._get(place))))
                if not waiting:
                    return
                place, task = waiting.popleft()
                try:
                    data = await task
                finally:
                    task.cancel()
                yield place, data
        finally:
            for _, task in waiting:
                task.cancel()
            await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)

    async def _get(self, place: Place) -> bytes | Fault:
        async with self._turns:
            await self._on_bytes(place.size)
            try:
                return await self.again(lambda: self.objects.get(place.object, place.start, place.size))
            except ObjectGone:
                return Fault(
                    "missing", f"Its bytes should be in {self.where(place.object)}, which is not there."
                )
            except BlobCorrupt:
                return Fault(
                    "damaged",
                    f"Its bytes should be in {self.where(place.object)}, which has not got all of them.",
                )


async def all_of(work: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """What all of it gives, in that order, done at once. The first error ends the rest."""
    try:
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(one) for one in work]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in started]


async def _one(place: Place, data: bytes | Fault) -> AsyncIterator[tuple[Place, bytes | Fault]]:
    yield place, data


def _hashed(sha: "hashlib._Hash", data: bytes) -> bytes:
    """The checksums of some bytes, which go into the hash, too."""
    sha.update(data)
    return sums_of(data)


def _covers(places: Sequence[Place]) -> bool:
    """Whether the bytes of places are one behind the other, from 0 on, each with its checksum."""
    at = 0
    for place in places:
        if place.at != at or place.size <= 0 or place.start < 0 or not are_for(place.sums, place.size):
            return False
        at = place.end
    return bool(places)
