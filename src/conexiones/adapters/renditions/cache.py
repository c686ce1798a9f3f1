"""Renditions kept on a local disk, up to a number of bytes; the least recently used are removed first.

    root/renditions/ab/<digest>.<name>    a kept rendition; ab are the first two of the 64 hexadecimal digits
                                          of the image's digest
    root/renditions/incoming/<random>     a rendition that is being made

Files are 0600 and folders 0700. Nothing is fsynced, because all of it can be made again. The bytes of a file
are checked whenever they are read: one that a crash has torn, or the disk has damaged, is removed. The time
of the last use is the file's modification time. Only one process may use the root at a time: which files
there are, and their sizes, is read at the start and then kept in memory. So are the bytes of small ones that
were given of late.

A file has the bytes of the rendition, and after them a trailer that says what it is: JSON (the fields of
Rendered, and the CRC-32C of each BLOCK bytes as `crcs`), its length in 4 bytes, big-endian, and MAGIC.
"""

import asyncio
import json
import logging
import os
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import google_crc32c

from conexiones.adapters.system.cache_metrics import CacheMetrics
from conexiones.adapters.system.fair_threads import FairThreads
from conexiones.adapters.system.memory_cache import LARGEST, MemoryCache
from conexiones.adapters.system.threads import finish
from conexiones.errors import StorageUnavailable
from conexiones.metrics import Metrics
from conexiones.ports.records import Rendered
from conexiones.ports.renditions import CachedRendition, RenditionFile
from conexiones.shares import acting_for

THREADS = 4

PIECE = 256 << 10
"""Bytes of the largest piece that is read, by default."""

BLOCK = 256 << 10
"""Bytes that have a checksum of their own."""

MAGIC = b"conexi\x002"

TOUCH_SECONDS = 60
"""The time of the last use, which is the file's modification time, is as exact as this."""

log = logging.getLogger("conexiones.renditions")

P = ParamSpec("P")
T = TypeVar("T")
Key = tuple[bytes, str]

_FILE = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{1,64})")


class _Open(NamedTuple):
    """A file that is open for reading, and the checksums of its blocks. `content` are all of the bytes of a
    small one."""

    rendered: Rendered
    descriptor: int
    crcs: list[int]
    content: bytes | None = None


class _Shown(NamedTuple):
    """A rendition in memory, and when its file was last used, by time.monotonic."""

    rendition: CachedRendition
    used: float


class KeptFile:
    """A RenditionFile that reads from an open descriptor. `run` runs a function in a thread; `largest` is the
    most bytes of a piece. `on_damage` is awaited when the bytes are not those that were kept."""

    def __init__(
        self,
        file: _Open,
        run: Callable[..., Awaitable[bytes]],
        largest: int,
        on_damage: Callable[[], Awaitable[None]],
    ) -> None:
        self.rendered = file.rendered
        self._file = file
        self._largest = largest
        self._run = run
        self._on_damage = on_damage

    async def read(self, offset: int = 0) -> AsyncIterator[bytes]:
        content = self._file.content
        if content is not None and offset < len(content):
            yield content[offset:]
            return
        while offset < self.rendered.size:
            try:
                block = await self._run(_read_block, self._file, offset // BLOCK)
            except ValueError as error:
                await self._on_damage()
                raise StorageUnavailable from error
            start = offset % BLOCK
            offset += len(block) - start
            for at in range(start, len(block), self._largest):
                yield block[at : at + self._largest]
            del block  # the reader may take long to come back

    def close(self) -> None:
        os.close(self._file.descriptor)


class FileRenditions:
    """A RenditionCache below the folder `root`, of at most `limit` bytes. Belongs to one event loop.

    The bytes of small ones that were given of late are in `cache`, too.
    """

    def __init__(
        self,
        root: Path,
        *,
        limit: int,
        piece: int = PIECE,
        cache: MemoryCache[_Shown] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._root = root / "renditions"
        self._incoming = self._root / "incoming"
        self._limit = limit
        self._piece = piece
        self._cache: MemoryCache[_Shown] = cache or MemoryCache(0)
        self._pool: FairThreads | None = None
        # Only the thread of the event loop uses these.
        self._sizes: OrderedDict[Key, int] = OrderedDict()  # bytes of files, the least recently used first
        self._names: dict[bytes, set[str]] = {}
        self._total = 0
        self._counts = CacheMetrics(metrics or Metrics(), "renditions", size=lambda: self._total, limit=limit)

    async def open(self) -> None:
        self._pool = FairThreads(THREADS, name="renditions")
        try:
            for key, size in await self._run(self._prepare):
                self._count(key, size)
            await self._shrink()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
        for key in self._sizes:
            self._cache.drop(key)
        self._sizes.clear()
        self._names.clear()
        self._total = 0

    async def get(self, digest: bytes, name: str) -> RenditionFile | None:
        key = (digest, name)
        if key not in self._sizes:
            self._counts.misses.value += 1
            return None
        with self._cache.reading(key) as reading:
            file = await self._run(_opened, self._path(key))
            if file is None:
                self._counts.misses.value += 1
                self._discount(key)
                return None
            self._counts.hits.value += 1
            if file.content is not None:
                shown = _Shown(CachedRendition(file.rendered, file.content), time.monotonic())
                reading.keep(shown, len(file.content))
        if key in self._sizes:
            self._sizes.move_to_end(key)
        return self._kept(key, file)

    def cached(self, digest: bytes, name: str) -> CachedRendition | None:
        key = (digest, name)
        shown = self._cache.get(key)
        if shown is None or time.monotonic() - shown.used > TOUCH_SECONDS:
            return None  # `get` notes in the file that it was used
        self._sizes.move_to_end(key)
        return shown.rendition

    def _kept(self, key: Key, file: _Open) -> KeptFile:
        async def remove() -> None:
            log.warning("a damaged rendition, %s, is removed", self._path(key).name)
            await self._remove([key])

        return KeptFile(file, self._run, self._piece, remove)

    async def add(
        self, digest: bytes, name: str, make: Callable[[Path], Awaitable[Rendered]]
    ) -> RenditionFile:
        key = (digest, name)
        path = self._incoming / secrets.token_hex(16)
        try:
            rendered = await make(path)
            job = self._submit(_complete, path, self._path(key), rendered)
            try:
                opened, size = await finish(job)
            except asyncio.CancelledError:
                if job.exception() is None:  # it is there all the same, for those who ask next
                    late, size = job.result()
                    os.close(late.descriptor)
                    self._count(key, size)
                    await self._shrink()
                raise
        except BaseException:
            await self._run(path.unlink, missing_ok=True)
            raise
        self._count(key, size)
        file = self._kept(key, opened)
        try:
            await self._shrink()
        except BaseException:
            file.close()
            raise
        return file

    async def drop(self, digest: bytes) -> None:
        await self._remove([(digest, name) for name in self._names.get(digest, ())])

    async def digests(self) -> list[bytes]:
        return list(self._names)

    def _count(self, key: Key, size: int) -> None:
        self._discount(key)
        self._sizes[key] = size
        self._names.setdefault(key[0], set()).add(key[1])
        self._total += size

    def _discount(self, key: Key) -> None:
        self._cache.drop(key)
        if key not in self._sizes:
            return
        self._total -= self._sizes.pop(key)
        names = self._names[key[0]]
        names.discard(key[1])
        if not names:
            del self._names[key[0]]

    async def _shrink(self) -> None:
        """Removes the least recently used until the rest is within the limit. Open files stay readable."""
        excess, old = self._total - self._limit, []
        for key, size in self._sizes.items():
            if excess <= 0:
                break
            old.append(key)
            excess -= size
        self._counts.evictions.value += len(old)
        await self._remove(old)

    async def _remove(self, keys: list[Key]) -> None:
        for key in keys:
            self._discount(key)
        if keys:
            await self._run(_remove, [self._path(key) for key in keys])

    def _path(self, key: Key) -> Path:
        digest = key[0].hex()
        return self._root / digest[:2] / f"{digest}.{key[1]}"

    async def _run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await finish(self._submit(work, *args, **kwargs))

    def _submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if self._pool is None:
            raise StorageUnavailable
        return self._pool.submit(acting_for(), work, *args, **kwargs)

    def _prepare(self) -> list[tuple[Key, int]]:
        """Creates the folders, removes what was being made, and lists the rest, least recently used first."""
        for folder in (self._root, self._incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():
            if not leftover.is_dir():
                leftover.unlink()
        found: list[tuple[float, Key, int]] = []
        for number in range(256):
            folder = self._root / f"{number:02x}"
            folder.mkdir(mode=0o700, exist_ok=True)
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = _FILE.fullmatch(entry.name)
                    if name:
                        status = entry.stat()
                        found.append((status.st_mtime, (bytes.fromhex(name[1]), name[2]), status.st_size))
        return [(key, size) for _, key, size in sorted(found)]


# For threads.


def _complete(path: Path, final: Path, rendered: Rendered) -> tuple[_Open, int]:
    """Appends the trailer to a new file and renames it. Gives the open file, and its size."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        crcs = [
            google_crc32c.value(os.pread(descriptor, min(BLOCK, rendered.size - start), start))
            for start in range(0, rendered.size, BLOCK)
        ]
        fields = asdict(rendered) | {"sha256": rendered.sha256.hex(), "crcs": crcs}
        text = json.dumps(fields).encode()
        trailer = text + len(text).to_bytes(4) + MAGIC
        while trailer:
            trailer = trailer[os.write(descriptor, trailer) :]
        path.rename(final)
        return _Open(rendered, descriptor, crcs), os.fstat(descriptor).st_size
    except BaseException:
        os.close(descriptor)
        raise


def _opened(path: Path) -> _Open | None:
    """A file, whose first block was checked. None if there is none, or a damaged one, which is removed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        file = _Open(*_read_trailer(descriptor))
        first = _read_block(file, 0) if file.rendered.size else b""
        if len(first) == file.rendered.size <= LARGEST:
            file = file._replace(content=first)
        if time.time() - os.fstat(descriptor).st_mtime > TOUCH_SECONDS:
            os.utime(descriptor)
        return file
    except (ValueError, KeyError, TypeError) as error:
        os.close(descriptor)
        log.warning("a damaged rendition, %s, is made again: %r", path.name, error)
        _remove([path])
        return None
    except BaseException:
        os.close(descriptor)
        raise


def _read_trailer(descriptor: int) -> tuple[Rendered, int, list[int]]:
    """The fields of _Open. Raises ValueError, KeyError or TypeError if the trailer is not one."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, 4 + len(MAGIC), max(0, size - 4 - len(MAGIC)))
    length = int.from_bytes(tail[:4])
    start = size - len(tail) - length
    if tail[4:] != MAGIC or start < 0:
        raise ValueError("no trailer")
    fields = json.loads(os.pread(descriptor, length, start))
    crcs = [int(crc) for crc in fields.pop("crcs")]
    rendered = Rendered(**fields | {"sha256": bytes.fromhex(fields["sha256"])})
    if rendered.size != start or len(crcs) != -(-start // BLOCK):
        raise ValueError(f"{start} bytes with {len(crcs)} checksums, not {rendered.size}")
    return rendered, descriptor, crcs


def _read_block(file: _Open, number: int) -> bytes:
    """The block of that number, counted from 0. Raises ValueError if it is damaged."""
    start = number * BLOCK
    data = os.pread(file.descriptor, min(BLOCK, file.rendered.size - start), start)
    if google_crc32c.value(data) != file.crcs[number]:
        raise ValueError(f"other bytes behind {start}")
    return data


def fault_of(path: Path) -> str:
    """What is wrong with the file of a rendition, for a program beside the server; empty if nothing is, or if
    it has gone. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        file = _Open(*_read_trailer(descriptor))
        for number in range(len(file.crcs)):
            _read_block(file, number)
    except (ValueError, KeyError, TypeError):
        return "It is not what was written: it is made again when somebody asks for it."
    finally:
        os.close(descriptor)
    return ""


def _remove(paths: list[Path]) -> None:
    """Removes those of the files that are there."""
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
