"""Blobs on a local disk whose file system has hard links: large ones as files, small ones in segments.

    root/segments/                     blobs of at most SMALL bytes (segments.py)
    root/blobs/catalog-id              which catalog they belong to (identity.py)
    root/blobs/ab/<sha256>             a larger one; ab are the first two of the 64 hex digits
    root/blobs/ab/<sha256>.crc32c      the checksums of its blocks, if it has several (checksums.py)
    root/ballast                       space for deleting on a full disk (adapters/system/ballast.py)
    root/incoming/<random>             bytes that are still coming in
    root/incoming/<sha256>.<random>    bytes that are all there: the marker of their blob
    root/incoming/<random>.crc32c      checksums on their way
    root/uploads/<id>                  the bytes of a resumable upload (resumable.py)
    root/uploads/<id>.copy             a copy of them that is not finished
    root/uploads/<id>.crc32c           their checksums (checksum_log.py)

Files are 0600 and folders 0700. Only one process uses the root at a time: whoever starts the process holds a
lock on it.

To publish, a file is renamed to its marker, fsynced, and linked under its digest: a blob is never there in
part. The marker is removed when the catalog refers to the blob. So the next start need not look at all blobs:
each marker that a crash left names a blob of which the catalog may not know.

Whatever is read of a blob is checked before it is given: small blobs by their SHA-256 (then they may stay in
memory), and others block by block. The first time that a process reads a large blob from the beginning to
the end, it checks the SHA-256, too; and again if the file has changed since. From then on, blobs of one block
have a checksum in memory. Blobs that a version without checksums stored get them when they are first read
whole; until then other ranges of them are not checked.
"""

import asyncio
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from conexiones.adapters.blobs.holds import is_upload_id
from conexiones.adapters.blobs.local.blobs import PIECE, LocalBlobs
from conexiones.adapters.blobs.local.buffers import MEMORY, UPLOADS, Buffers
from conexiones.adapters.blobs.local.folder import Folder
from conexiones.adapters.blobs.local.identity import check_identity, refuse_without_catalog
from conexiones.adapters.blobs.local.staging import LocalStaging
from conexiones.adapters.system.fair_threads import FairThreads
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.adapters.system.sqlite_beside import is_damage
from conexiones.adapters.writer.client import RESTART_SECONDS, WriterClient
from conexiones.metrics import Metrics
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.staging import Staging
from conexiones.waits import observe_memory, waits
from conexiones.whole import to_end

SMALL = 256 << 10
"""Bytes up to which a blob goes into a segment."""

LOOK_SECONDS = 0.05
"""How long large blobs are counted at a time, until all of them were counted once."""

log = logging.getLogger(__name__)

_MARKER = re.compile(r"([0-9a-f]{64})\.")


class LocalStore:
    """A Staging and a Blobs in the folder `root`, which is created if it is not there.

    Images on their way in have at most `memory` bytes, while there are no more than `uploads` at a time.
    Blobs are read in pieces of at most `piece` bytes, and small ones are kept in `cache`.

    `writer` is the writer of the catalog, if it has one that can carry blobs: a small image then becomes
    durable in one step with its row. The catalog starts it before the store is opened, and stops it after the
    store is closed. With None the store has a writer of its own. `small` takes the place of SMALL.

    After `close`, and before `open`, whatever needs the disk raises StorageUnavailable.
    """

    def __init__(
        self,
        root: Path,
        catalog: Catalog,
        *,
        writer: WriterClient | None = None,
        small: int = SMALL,
        memory: int = MEMORY,
        uploads: int = UPLOADS,
        piece: int = PIECE,
        cache: MemoryCache[bytes] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        metrics = metrics or Metrics()
        self._folder = Folder(root, catalog, cache, metrics=metrics)
        buffers = Buffers(small, memory=memory, uploads=uploads)
        observe_memory(metrics, "uploads", buffers)
        buffers.waited = waits(metrics, "uploads").record
        self.staging: Staging = LocalStaging(self._folder, buffers, small=small)
        self.blobs: Blobs = LocalBlobs(self._folder, piece=piece)
        self._catalog = catalog
        self._shares = writer is not None
        self._writer = writer or WriterClient(metrics=metrics)
        self._stale = False  # whether the writing process was replaced since the segments were opened
        self._reopening: asyncio.Task[None] | None = None

    def refuse_without(self, catalog: Path) -> None:
        """ValueError, whose sentence says what to do, if there are blobs, but not the file of their catalog:
        to be called before the catalog is opened, which would create it. Raises OSError."""
        refuse_without_catalog(self._folder.root, catalog)

    def sizes(self) -> dict[str, int]:
        """Bytes on disk, by what they are: "segments", "blobs" (large ones, once all were counted) and
        "uploads", which are still coming in. For one thread at a time. Raises OSError."""
        folder, sizes = self._folder, self._folder.sizes
        until = time.monotonic() + LOOK_SECONDS
        sizes.look()
        while not sizes.is_complete and time.monotonic() < until:
            sizes.look()
        return {
            "segments": _bytes_in(folder.root / "segments"),
            "uploads": _bytes_in(folder.incoming) + _bytes_in(folder.uploads),
        } | ({"blobs": sizes.total()} if sizes.is_complete else {})

    def check_there(self) -> None:
        """Raises OSError if the folder has gone since the store was opened."""
        self._folder.check_there()

    async def open(self) -> None:
        """Opens the store, and removes what a crash left: blobs to which the catalog does not refer, bytes
        that were coming in, and those of resumable uploads that are not OPEN. ValueError, whose sentence says
        what to do, if catalog and blobs do not belong together. Raises StorageFull, StorageUnavailable."""
        folder = self._folder
        folder.start_threads()
        try:
            if not self._shares:
                await self._writer.start()
            await folder.run(folder.prepare)
            await check_identity(folder, self._catalog)
            try:
                await self._open_segments(folder.segments.open)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                await self._open_segments(partial(folder.segments.open_anew, error))
            self._writer.on_replaced = self._replaced
            if self._shares:
                folder.carrier = self._writer
            for leftover in await folder.run(_entries, folder.incoming):
                marker = _MARKER.match(leftover.name)
                digest = bytes.fromhex(marker[1]) if marker else None
                orphan = digest is not None and not await self._catalog.has_digest(digest)
                await folder.run(self._sweep, leftover, digest if orphan else None)
            for path in await folder.run(_entries, folder.uploads):
                name = path.name.removesuffix(".crc32c")
                upload = await self._catalog.get_upload(name) if is_upload_id(name) else None
                if upload is None or upload.state != "OPEN":
                    await folder.run(path.unlink)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Waits for what is under way. Uploads that were not settled are left to the next `open`."""
        threads = self._folder.take_threads()
        if threads is not None:
            await to_end(asyncio.ensure_future(self._close(threads)))

    async def _open_segments(self, look: Callable[[], None]) -> None:
        folder, segments = self._folder, self._folder.segments
        await folder.run(look)
        while records := await folder.run(segments.look):
            known = [await self._catalog.has_digest(record.digest) for record in records]
            await folder.run(
                segments.admit,
                [record for record, yes in zip(records, known, strict=True) if yes],
                [record for record, yes in zip(records, known, strict=True) if not yes],
            )
        await folder.run(segments.start)
        await segments.append_from_here(self._writer)

    def _replaced(self) -> None:
        """The writer has another process, which is to append behind what the one before it left."""
        self._stale = True
        if self._reopening is None or self._reopening.done():
            self._reopening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        segments = self._folder.segments
        while self._stale:
            self._stale = False
            segments.pause()
            try:
                await self._open_segments(segments.look_again)
            except Exception as error:
                log.error("The segments cannot be opened again: %r", error)
                self._stale = True
                await asyncio.sleep(RESTART_SECONDS)

    async def _close(self, threads: FairThreads) -> None:
        folder = self._folder
        folder.carrier = None
        folder.cache.clear()
        self._writer.on_replaced = lambda: None
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        await asyncio.to_thread(threads.shutdown)
        await folder.segments.stop()
        await asyncio.to_thread(folder.segments.close)
        if not self._shares:
            await self._writer.stop()

    def _sweep(self, leftover: Path, orphan: bytes | None) -> None:
        if orphan is not None:
            self._folder.delete_now(orphan)
        leftover.unlink()


def _bytes_in(folder: Path) -> int:
    """Bytes that the files of a folder have on the disk, where those with holes have less than their size."""
    found = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # gone since
                found += entry.stat(follow_symlinks=False).st_blocks * 512
    return found


def _entries(folder: Path) -> list[Path]:
    """Without folders, which are none of ours, such as `lost+found` where it is a file system of its own."""
    with os.scandir(folder) as entries:
        return [folder / entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
