"""What the server holds, counted now and then however often it is asked."""

import asyncio
import time

from conexiones.domain.ids import now
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Counts

FRESH_SECONDS = 2.0
"""Counts are told again for so long: counting costs the more the more there is."""


class Status:
    """Counts of the catalog, and when the server started (microseconds since the epoch)."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.start_time = now()
        self._counts: Counts | None = None
        self._counted = 0.0
        self._lock = asyncio.Lock()

    async def counts(self) -> Counts:
        """What there is, at most FRESH_SECONDS old. Who asks while it is being counted waits for that."""
        async with self._lock:
            if self._counts is None or time.monotonic() - self._counted >= FRESH_SECONDS:
                self._counts = await self._catalog.counts()
                self._counted = time.monotonic()
            return self._counts
