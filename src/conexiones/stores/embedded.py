"""SQLite and a data folder."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.access import SqliteCredentials
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.catalog.sqlite.migrations import newest as newest_schema
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.scrub.file import ScrubFile
from conexiones.adapters.system import ballast
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.metrics import Metrics
from conexiones.settings import Settings

HOT_BYTES = 16 << 10
"""For each so many bytes of images that are kept in memory, the row of one is kept, too, of about a KiB."""

WATCH_SECONDS = 1.0
"""Time between two looks whether the data folder is still there."""

log = logging.getLogger("conexiones.app")


class EmbeddedStores:
    """Stores of a server that has its data to itself."""

    def __init__(self, settings: Settings, *, hot: MemoryCache[Any], metrics: Metrics) -> None:
        budgets = settings.budgets
        self.folder = self.token_folder = settings.data_dir
        self.reserve: Path | None = settings.data_dir / ballast.FILE
        self.catalog = SqliteCatalog(
            settings.data_dir / CATALOG, recent=budgets.hot // HOT_BYTES, metrics=metrics
        )
        self._store = LocalStore(
            settings.data_dir,
            self.catalog,
            writer=self.catalog.writer,
            memory=budgets.uploads,
            uploads=settings.max_calls,
            piece=budgets.piece,
            cache=hot,
            metrics=metrics,
        )
        self.staging, self.blobs = self._store.staging, self._store.blobs
        self.credentials = SqliteCredentials(self.catalog)
        self.leases = None
        self.scrub = ScrubFile(settings.data_dir)
        self.schema = newest_schema()

    async def open_catalog(self, stack: AsyncExitStack) -> None:
        await asyncio.to_thread(self._store.refuse_without, self.folder / CATALOG)
        stack.push_async_callback(self.catalog.close)
        await self.catalog.open()

    async def open_blobs(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._store.close)
        await self._store.open()

    def sizes(self) -> Mapping[str, int]:
        return {"catalog": self.catalog.size(), **self._store.sizes()}

    def writers(self) -> list[int]:
        pid = self.catalog.writer.pid
        return [] if pid is None else [pid]

    async def watch(self, on_gone: Callable[[str], None], on_fault: Callable[[str], None]) -> None:
        """Writes are refused without this, from the first one on."""
        while True:
            for part in (self.catalog, self._store):
                try:
                    await asyncio.to_thread(part.check_there)
                except OSError as error:
                    log.error(
                        "Nothing is stored any more until the server is started again: %s", error.strerror
                    )
                    on_gone("the data folder has gone")
                    return
            await asyncio.sleep(WATCH_SECONDS)

    def sweeps(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        return []
