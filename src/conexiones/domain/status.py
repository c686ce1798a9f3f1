"""How much the server holds, counted at intervals however often it is asked."""

import asyncio
import time

from conexiones.domain.ids import now
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Counts

FRESH_SECONDS = 2.0
"""Counts are given again for this long at least."""

FRESH_FACTOR = 20
"""They are given again for this many times as long as counting took, which is longer the more is stored."""


class Status:
    """Counts of the catalog, and when the server started (microseconds since the epoch)."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.start_time = now()
        self._counts: Counts | None = None
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def counts(self) -> Counts:
        """Counts of a moment ago, by FRESH_SECONDS and FRESH_FACTOR.

        Calls during a count wait for it and share the result.
        """
        async with self._lock:
            begun = time.monotonic()
            if self._counts is None or begun >= self._fresh_until:
                self._counts = await self._catalog.counts()
                took = time.monotonic() - begun
                self._fresh_until = begun + max(FRESH_SECONDS, FRESH_FACTOR * took)
            return self._counts
