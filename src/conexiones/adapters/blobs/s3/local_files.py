"""A bounded folder with copies of blobs, for decoders, which read files.

    folder/<private folder>/<sha256>     a copy

Nothing in it has to survive: what processes left that have ended is removed (private_folder.py).
"""

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from conexiones.adapters.system.cache_metrics import CacheMetrics
from conexiones.adapters.system.disk import storage_error
from conexiones.errors import ServerBusy, StorageFull, StorageUnavailable
from conexiones.metrics import Metrics
from conexiones.private_folder import private_folder

LIMIT = 4 << 30
"""Bytes of all copies, by default."""

Fill = Callable[[BinaryIO], Awaitable[None]]


class _Copy:
    """`size` is in bytes, `users` those who have it now. `ready` is set once the file is whole."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.users = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class LocalFiles:
    """Belongs to one event loop. The least recently used copies that nobody has go first."""

    def __init__(self, folder: Path | None, *, limit: int = LIMIT, metrics: Metrics | None = None) -> None:
        """`folder` may be missing yet; None is that of temporary files."""
        self._folder = folder
        self.limit = limit
        self._own: Path | None = None
        self._open = ExitStack()
        self._copies: OrderedDict[bytes, _Copy] = OrderedDict()
        self.held = 0
        self._measures = CacheMetrics(metrics or Metrics(), "copies", size=lambda: self.held, limit=limit)

    def open(self) -> None:
        """For a thread. Raises OSError."""
        if self._folder is not None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._own = self._open.enter_context(private_folder(self._folder))

    def close(self) -> None:
        """For a thread."""
        self._own = None
        self._open.close()
        self._copies.clear()
        self.held = 0

    @asynccontextmanager
    async def file(self, digest: bytes, size: int, fill: Fill) -> AsyncIterator[Path]:
        """The copy of a blob of so many bytes, which `fill` writes if there is none. Of several who ask at
        once, one writes it. Raises what `fill` raises, ServerBusy while others have the room, StorageFull and
        StorageUnavailable."""
        if self._own is None:
            raise StorageUnavailable
        path = self._own / digest.hex()
        while (copy := self._copies.get(digest)) is not None:
            copy.users += 1
            try:
                await asyncio.shield(copy.ready)
                self._copies.move_to_end(digest)
                self._measures.hits.value += 1
                yield path
                return
            except _Failed:
                continue  # whoever wrote it could not, and the next one tries
            finally:
                copy.users -= 1
        self._measures.misses.value += 1
        copy = self._begin(digest, size)
        try:
            await self._write(path, digest, copy, fill)
            yield path
        finally:
            copy.users -= 1

    def _begin(self, digest: bytes, size: int) -> _Copy:
        for other in list(self._copies):
            if self.held + size <= self.limit:
                break
            if not self._copies[other].users:
                self._remove(other)
                self._measures.evictions.value += 1
        if self.held + size > self.limit:
            raise ServerBusy if size <= self.limit else StorageFull
        copy = self._copies[digest] = _Copy(size)
        copy.users = 1
        self.held += size
        return copy

    async def _write(self, path: Path, digest: bytes, copy: _Copy, fill: Fill) -> None:
        try:
            try:
                made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(made, "wb") as file:
                    await fill(file)
            except OSError as cause:
                raise storage_error(cause) from cause
        except BaseException:
            self._remove(digest)
            copy.ready.set_exception(_Failed())
            copy.ready.exception()  # marks it as seen
            raise
        copy.ready.set_result(None)

    def _remove(self, digest: bytes) -> None:
        self.held -= self._copies.pop(digest).size
        if self._own is not None:
            with suppress(OSError):
                (self._own / digest.hex()).unlink(missing_ok=True)


class _Failed(Exception):
    """Whoever wrote a copy could not."""
