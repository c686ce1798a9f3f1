"""How much the server holds, counted at intervals however often it is asked."""

import asyncio
import time

from conexiones.domain.ids import now
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Counts

FRESH_SECONDS = 2.0
"""Counts are given again for this long, because counting takes longer the more is stored."""


class Status:
    """Counts of the catalog, and when the server started (microseconds since the epoch)."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.start_time = now()
        self._counts: Counts | None = None
        self._counted = 0.0
        self._lock = asyncio.Lock()

    async def counts(self) -> Counts:
        """Counts that are at most FRESH_SECONDS old.

        Calls during a count wait for it and share the result.
        """
        async with self._lock:
            if self._counts is None or time.monotonic() - self._counted >= FRESH_SECONDS:
                self._counts = await self._catalog.counts()
                self._counted = time.monotonic()
            return self._counts
