"""A house in a data folder. What blocks is done in threads, one thing at a time."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from conexiones.adapters.blobs.local.beside import BlobsBeside
from conexiones.adapters.blobs.local.checksum_log import ChecksumLog
from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES
from conexiones.adapters.blobs.local.identity import write_identity
from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile, Contents
from conexiones.adapters.catalog.sqlite.new_catalog import NewCatalog
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.catalog.sqlite.wal import look as look_at_wal
from conexiones.adapters.catalog.tables import TABLES
from conexiones.adapters.scrub.file import NAME as SCRUB
from conexiones.adapters.scrub.file import read as read_scrub
from conexiones.adapters.scrub.file import write as write_scrub
from conexiones.errors import BlobCorrupt
from conexiones.ports.verifying import ScrubState
from conexiones.upkeep.data_folder import SCHEMA, catalog_of
from conexiones.upkeep.house import About, OldHouse, OpenUpload, Small
from conexiones.upkeep.new_blobs import NewBlobs
from conexiones.upkeep.new_folder import NewFolder
from conexiones.upkeep.problem import Problem
from conexiones.upkeep.stored_rows import damaged_rows
from conexiones.whole import to_end

MIGRATING = "migrating.json"

ROWS = 5000
_PAGE = 1000
_UPLOAD_BLOCKS = 8
"""Rows, contents, and blocks of an upload that are in memory at a time."""

SHOWN = 5
"""Damaged rows that are named."""

P = ParamSpec("P")
T = TypeVar("T")


class _InThreads:
    """Has work done in threads, one thing at a time."""

    def __init__(self) -> None:
        self._working = asyncio.Lock()

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._working:
            return await to_end(asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs)))


class FolderOld:
    """An OldHouse."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.name = str(data_dir)
        self.origin = ""
        self._threads = _InThreads()
        self._lock = -1
        self._catalog: CatalogFile
        self._blobs: BlobsBeside | None = None

    async def open(self) -> None:
        await self._threads.run(self._open)

    def _open(self) -> None:
        if not self.data_dir.is_dir():
            raise Problem(f"There is no folder {self.data_dir}.")
        self._lock = _lock_of(self.data_dir)
        log = self.data_dir / f"{CATALOG}-wal"
        if look_at_wal(log)[0] == "damaged":
            raise Problem(
                f"{log} is damaged, and with it what was stored last: restore a backup. conexiones verify"
                " says more."
            )
        has_log = log.exists() and log.stat().st_size > 0
        self._catalog = catalog_of(self.data_dir, alone=not has_log)
        self._blobs = BlobsBeside(self.data_dir)
        if self._catalog.schema < SCHEMA:
            raise Problem(
                f"The catalog in {self.data_dir} has schema version {self._catalog.schema}, and this program"
                f" {SCHEMA}: start its server once, which migrates it."
            )
        self.origin = f"the data folder {self._catalog.identity:08x}"
        if problems := self._catalog.problems():
            raise Problem(
                f"The catalog is damaged, and is not moved: {problems[0]}. conexiones verify says more."
            )
        if rows := damaged_rows(self._catalog):
            named = ", ".join(rows[:SHOWN]) + (", and others" if len(rows) > SHOWN else "")
            raise Problem(
                f"Of {len(rows)} images the row in the catalog is damaged, so that they are not served:"
                f" {named}. Delete them, or restore a backup, before all is moved."
            )

    async def close(self) -> None:
        await self._threads.run(self._close)

    def _close(self) -> None:
        if self._blobs is not None:
            self._blobs.close()
            self._blobs = None
            self._catalog.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def check(self) -> None:
        """The lock of a folder is not lost."""

    async def totals(self) -> tuple[int, int, int]:
        return await self._threads.run(self._catalog.totals)

    async def contents(self) -> AsyncIterator[list[Contents]]:
        found = self._catalog.contents()
        while page := await self._threads.run(_some, found, _PAGE):
            yield page

    async def small(self, contents: Sequence[Contents]) -> list[Small]:
        return await self._threads.run(self._small, contents)

    def _small(self, contents: Sequence[Contents]) -> list[Small]:
        found = []
        for content in contents:
            try:
                data = b"".join(self._open_blobs().pieces(content.digest))
            except BlobCorrupt:
                found.append(Small(content, None))
            else:
                found.append(Small(content, data))
        return found

    async def large(self, content: Contents) -> AsyncIterator[bytes]:
        pieces = self._open_blobs().pieces(content.digest)
        while (piece := await self._threads.run(next, pieces, None)) is not None:
            yield piece

    async def where(self, content: Contents) -> str:
        return await self._threads.run(self._open_blobs().where, content.digest)

    async def images_of(self, content: Contents, limit: int) -> list[str]:
        return await self._threads.run(self._catalog.images_of, content.digest, limit)

    async def uploads(self) -> list[OpenUpload]:
        return await self._threads.run(self._uploads)

    def _uploads(self) -> list[OpenUpload]:
        records = [self._catalog.upload(id) for id in self._catalog.open_uploads()]
        return [OpenUpload(one.id, one.committed_size) for one in records if one is not None]

    async def upload(self, upload: OpenUpload) -> AsyncIterator[bytes]:
        pieces = _pieces_of(self.data_dir / "uploads" / upload.id, upload.size)
        while (piece := await self._threads.run(next, pieces, None)) is not None:
            yield piece

    async def rows(self, table: str) -> AsyncIterator[list[tuple[Any, ...]]]:
        found = self._catalog.rows(table)
        while page := await self._threads.run(_some, found, ROWS):
            yield page

    async def about(self) -> About:
        return await self._threads.run(self._about)

    def _about(self) -> About:
        return About(
            identity=self._catalog.identity,
            newest_event=self._catalog.newest_event(),
            scrub=read_scrub(self.data_dir / SCRUB) or ScrubState(),
            rows=self._catalog.row_count(),
        )

    def _open_blobs(self) -> BlobsBeside:
        if self._blobs is None:
            raise RuntimeError("the house is closed")
        return self._blobs


class FolderNew:
    """A NewHouse."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.name = str(data_dir)
        self._threads = _InThreads()
        self._folder: NewFolder
        self._blobs: NewBlobs | None = None

    async def open(self, origin: str) -> None:
        said = {"from": origin}
        self._folder = NewFolder(self.data_dir, MIGRATING, said, whose="another house")
        await self._threads.run(self._folder.look)

    async def close(self) -> None:
        await self._threads.run(self._close)

    def _close(self) -> None:
        blobs, self._blobs = self._blobs, None
        if blobs is not None:
            blobs.close()
            self._folder.__exit__(None, None, None)

    async def begin(self) -> None:
        await self._threads.run(self._begin)

    def _begin(self) -> None:
        self._folder.__enter__()
        try:
            self._blobs = NewBlobs(self.data_dir, read_back=True)
        except BaseException:
            self._folder.__exit__(None, None, None)
            raise

    async def check(self) -> None:
        """The lock of a folder is not lost."""

    async def missing(self, contents: Sequence[Contents]) -> list[Contents]:
        return await self._threads.run(self._missing, contents)

    def _missing(self, contents: Sequence[Contents]) -> list[Contents]:
        blobs = self._begun()
        return [content for content in contents if not blobs.has(content.digest, content.size)]

    async def add_small(self, contents: Sequence[tuple[bytes, bytes]]) -> None:
        await self._threads.run(self._add_small, contents)

    def _add_small(self, contents: Sequence[tuple[bytes, bytes]]) -> None:
        for digest, data in contents:
            self._begun().add_small(digest, data)

    async def add_large(self, content: Contents, pieces: AsyncIterator[bytes]) -> None:
        with self._begun().large(content.digest, content.size) as large:
            async for piece in pieces:
                await self._threads.run(large.write, piece)
            await self._threads.run(large.complete)

    async def forget_uploads(self) -> None:
        await self._threads.run(self._begun().forget_uploads)

    async def add_upload(self, upload: OpenUpload, pieces: AsyncIterator[bytes]) -> None:
        if not upload.size:
            return
        with self._begun().upload(upload.id, upload.size) as new:
            async for piece in pieces:
                await self._threads.run(new.write, piece)
            await self._threads.run(new.complete)

    async def complete(
        self, old: OldHouse, about: About, lacking: Sequence[bytes], on_rows: Callable[[int], None]
    ) -> None:
        await self._threads.run(self._begun().finish)
        catalog = await self._threads.run(NewCatalog, self._folder.prepared)
        try:
            for table in TABLES:
                async for rows in old.rows(table):
                    await self._threads.run(catalog.add, table, rows)
                    on_rows(len(rows))
            await self._threads.run(self._begun().keep_only, catalog.has_digest)
            await self._threads.run(
                catalog.complete, identity=about.identity, newest_event=about.newest_event
            )
        except ValueError as error:
            raise Problem(str(error)) from error
        finally:
            catalog.close()
        if about.scrub != ScrubState():
            await self._threads.run(write_scrub, self.data_dir / SCRUB, about.scrub)
        await self._threads.run(write_identity, self.data_dir, about.identity)
        await self._threads.run(self._folder.complete)

    def _begun(self) -> NewBlobs:
        if self._blobs is None:
            raise RuntimeError("the house is closed")
        return self._blobs


def _lock_of(data_dir: Path) -> int:
    """The descriptor of the lock that servers take, which is held until it is closed. Raises Problem."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # no server was ever started over this copy
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Problem(
            f"{data_dir} is in use, by a server or by another command: stop the server first."
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _pieces_of(path: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes of an upload, which were acknowledged. BlobCorrupt if they are not there."""
    if not size:
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as cause:
        raise BlobCorrupt from cause
    try:
        try:
            checksums = ChecksumLog.look(path.with_name(f"{path.name}.crc32c"), size, descriptor)
        except FileNotFoundError:
            checksums = None  # an earlier version began it
        for start in range(0, size, _UPLOAD_BLOCKS * BLOCK_BYTES):
            blocks = []
            for at in range(start, min(size, start + _UPLOAD_BLOCKS * BLOCK_BYTES), BLOCK_BYTES):
                block = os.pread(descriptor, min(BLOCK_BYTES, size - at), at)
                if len(block) != min(BLOCK_BYTES, size - at):
                    raise BlobCorrupt
                if checksums is not None:
                    checksums.check(at // BLOCK_BYTES, block)
                blocks.append(block)
            yield b"".join(blocks)
    finally:
        os.close(descriptor)


def _some(found: Iterator[T], limit: int) -> list[T]:
    return list(islice(found, limit))
