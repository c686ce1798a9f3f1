"""PostgreSQL and an S3 store."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.access import PostgresCredentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.leases import PostgresLeases
from conexiones.adapters.catalog.postgres.migrating import newest
from conexiones.adapters.catalog.postgres.scrub_log import PostgresScrubLog
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.errors import ConexionesError
from conexiones.metrics import Metrics
from conexiones.settings import Settings

LOOK_SECONDS = 1.0
"""Time between two looks whether the database answers, and how long it may take."""

PATIENCE = 3
"""Looks in a row that have to fail before this server says that it cannot serve."""

SWEEP_SECONDS = 30.0
"""Time between two sweeps of objects to which nothing refers any more."""

MEASURE_SECONDS = 60.0
"""Time between two looks how much is stored."""

MEASURE_FACTOR = 100
"""It is at least this many times as long as a look took, which is longer the more is stored."""

log = logging.getLogger("conexiones.app")


class SharedStores:
    """Stores of a server that shares them with others. Its own files are copies, which may go at any time."""

    def __init__(self, settings: Settings, *, hot: MemoryCache[Any], metrics: Metrics) -> None:
        """ValueError, whose sentence says what a URL looks like, if one is none."""
        budgets = settings.budgets
        self.catalog = PostgresCatalog(
            settings.database or "", direct=settings.database_direct, metrics=metrics
        )
        self._store = S3Store(
            place_of(settings),
            self.catalog,
            memory=budgets.uploads,
            uploads=settings.max_calls,
            piece=budgets.piece,
            cache=hot,
            folder=settings.cache_dir / "blobs",
            local_bytes=settings.cache_size,
            metrics=metrics,
        )
        self.staging, self.blobs = self._store.staging, self._store.blobs
        self.credentials = PostgresCredentials(self.catalog)
        self.leases = PostgresLeases(self.catalog)
        self.scrub = PostgresScrubLog(self.catalog)
        self.folder, self.token_folder = settings.cache_dir, None
        self.reserve: Path | None = None
        self.schema = newest()
        self._sizes: Mapping[str, int] = {}
        self._measured_until = 0.0

    async def open_catalog(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self.catalog.close)
        await self.catalog.open()

    async def open_blobs(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._store.close)
        await self._store.open()

    def sizes(self) -> Mapping[str, int]:
        return self._sizes

    def writers(self) -> list[int]:
        return []

    async def watch(self, on_gone: Callable[[str], None], on_fault: Callable[[str], None]) -> None:
        """Nothing can be served without the database. Without the S3 store lists and events can, and what is
        in memory."""
        failed = 0
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.catalog.identity()
            except (ConexionesError, TimeoutError):
                failed += 1
                if failed == PATIENCE:
                    log.error("The database does not answer: nothing can be served for now")
                    on_fault("the database does not answer")
            else:
                if failed >= PATIENCE:
                    log.warning("The database answers again")
                    on_fault("")
                failed = 0
            await asyncio.sleep(LOOK_SECONDS)

    def sweeps(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        return [(SWEEP_SECONDS, self._sweep), (MEASURE_SECONDS, self._measure)]

    async def _sweep(self) -> None:
        await self._store.sweep()

    async def _measure(self) -> None:
        begun = time.monotonic()
        if begun >= self._measured_until:
            try:
                self._sizes = await self._store.sizes()
            finally:  # a look that took too long is no cheaper the next time
                self._measured_until = begun + MEASURE_FACTOR * (time.monotonic() - begun)


def place_of(settings: Settings) -> BlobPlace:
    """Where the objects are. ValueError if that is no such place."""
    return BlobPlace(
        url=settings.blobs or "",
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        path_style=settings.s3_path_style,
    )
