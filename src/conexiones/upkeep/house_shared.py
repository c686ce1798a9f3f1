"""A house in PostgreSQL and an object store."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from conexiones.adapters.blobs.s3.moving import BlobsIn, BlobsOut, check_whole
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.moving import MovingIn, MovingOut
from conexiones.adapters.catalog.postgres.transaction import time_of
from conexiones.adapters.catalog.sqlite.catalog_file import Contents
from conexiones.adapters.catalog.tables import TABLES
from conexiones.upkeep.house import About, OldHouse, OpenUpload, Small
from conexiones.upkeep.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPlaces:
    """Where such a house is. The URL of the database may have a password, and is not shown."""

    database: str
    blobs: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None

    def place(self) -> BlobPlace:
        """ValueError if it cannot be one."""
        return BlobPlace(
            url=self.blobs, endpoint=self.endpoint, region=self.region, path_style=self.path_style
        )

    def __repr__(self) -> str:
        return f"SharedPlaces({self.blobs})"


class SharedOld:
    """An OldHouse."""

    def __init__(self, places: SharedPlaces) -> None:
        """Raises Problem if they cannot be meant."""
        with as_problem():
            self._rows = MovingOut(places.database)
            self._blobs = BlobsOut(places.place(), self._rows)
        self.name = self.origin = f"{self._rows.address} and {places.blobs}"

    async def open(self) -> None:
        with as_problem():
            await self._rows.open()
            await self._blobs.open(await self._rows.ask(time_of))

    async def close(self) -> None:
        self._blobs.close()
        self._rows.close()

    async def check(self) -> None:
        with as_problem():
            await self._rows.check()

    async def totals(self) -> tuple[int, int, int]:
        with as_problem():
            return await self._rows.totals()

    async def contents(self) -> AsyncIterator[list[Contents]]:
        with as_problem():
            async for page in self._rows.contents():
                yield [Contents(*row) for row in page]

    async def small(self, contents: Sequence[Contents]) -> list[Small]:
        with as_problem():
            found = await self._blobs.small([content.digest for content in contents])
        return [Small(content, one.data) for content, one in zip(contents, found, strict=True)]

    async def large(self, content: Contents) -> AsyncIterator[bytes]:
        with as_problem():
            async for piece in self._blobs.large(content.digest):
                yield piece

    async def where(self, content: Contents) -> str:
        return f"what the database has of {content.digest.hex()}"

    async def images_of(self, content: Contents, limit: int) -> list[str]:
        with as_problem():
            return await self._rows.images_of(content.digest, limit)

    async def uploads(self) -> list[OpenUpload]:
        with as_problem():
            return [OpenUpload(*row) for row in await self._rows.open_uploads()]

    async def upload(self, upload: OpenUpload) -> AsyncIterator[bytes]:
        with as_problem():
            async for piece in self._blobs.upload(*upload):
                yield piece

    async def rows(self, table: str) -> AsyncIterator[list[tuple[Any, ...]]]:
        with as_problem():
            async for page in self._rows.rows(table):
                yield page

    async def about(self) -> About:
        with as_problem():
            identity = await self._rows.identity()
            return About(
                # A house that never was in a folder has none.
                identity=identity or _number(self.origin),
                newest_event=await self._rows.newest_event(),
                scrub=await self._rows.scrub(),
                rows=await self._rows.row_count(),
            )


class SharedNew:
    """A NewHouse."""

    def __init__(self, places: SharedPlaces) -> None:
        """Raises Problem if they cannot be meant."""
        with as_problem():
            self._rows = MovingIn(places.database)
            self._blobs = BlobsIn(places.place(), self._rows)
        self._bucket = places.blobs
        self.name = f"{self._rows.address} and {places.blobs}"

    async def open(self, origin: str) -> None:
        self._origin = f"{origin}, with blobs in {self._bucket}"
        with as_problem():
            await self._rows.open()
            is_new = await self._rows.look(self._origin)
            await self._blobs.open(await self._rows.ask(time_of))
            if is_new and not await self._blobs.is_empty():
                raise Problem(f"{self._blobs.place} has objects of a house already: give another prefix.")

    async def close(self) -> None:
        self._blobs.close()
        self._rows.close()

    async def begin(self) -> None:
        with as_problem():
            await self._rows.begin(self._origin)

    async def check(self) -> None:
        with as_problem():
            await self._rows.check()

    async def missing(self, contents: Sequence[Contents]) -> list[Contents]:
        with as_problem():
            there = await self._blobs.there([content.digest for content in contents])
        return [content for content in contents if content.digest not in there]

    async def add_small(self, contents: Sequence[tuple[bytes, bytes]]) -> None:
        with as_problem():
            await self._blobs.add_small(contents)

    async def add_large(self, content: Contents, pieces: AsyncIterator[bytes]) -> None:
        with as_problem():
            await self._blobs.add_large(content.digest, content.size, pieces)

    async def forget_uploads(self) -> None:
        with as_problem():
            await self._blobs.forget_uploads()

    async def add_upload(self, upload: OpenUpload, pieces: AsyncIterator[bytes]) -> None:
        with as_problem():
            await self._blobs.add_upload(upload.id, upload.size, pieces)

    async def complete(
        self, old: OldHouse, about: About, lacking: Sequence[bytes], on_rows: Callable[[int], None]
    ) -> None:
        async def last(connection: Connection) -> None:
            await check_whole(connection, lacking=lacking)

        try:
            with as_problem():
                await self._blobs.mark(about.identity)
                await self._rows.fill(
                    {table: old.rows(table) for table in TABLES},
                    identity=about.identity,
                    newest_event=about.newest_event,
                    scrub=about.scrub,
                    last=last,
                    on_rows=on_rows,
                )
        except Problem:
            # The connection may have been lost in the commit, or the old house's before it.
            if self._rows.is_lost and await self._rows.is_complete():
                return
            raise


def _number(text: str) -> int:
    """A number of 31 bits, not 0, which is the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) % ((1 << 31) - 1) + 1


@contextmanager
def as_problem() -> Iterator[None]:
    """Has what the adapters say in one line be a Problem."""
    try:
        yield
    except ValueError as error:
        raise Problem(str(error)) from error
