"""How much the server holds, counted at intervals however often it is asked."""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from conexiones.domain.ids import now
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Counts
from conexiones.principals import Principal

FRESH_SECONDS = 2.0
"""Counts are given again for this long at least."""

FRESH_FACTOR = 20
"""They are given again for this many times as long as counting took, which is longer the more is stored."""


MAX_OWNERS = 1000
"""The counts of so many owners are kept."""


class Status:
    """Counts of the catalog, and when the server started (microseconds since the epoch). A caller who sees
    only what belongs to an owner gets the counts of that."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.start_time = now()
        self._counted: OrderedDict[str | None, _Counted] = OrderedDict()

    async def counts(self, *, by: Principal) -> Counts:
        """Counts of a moment ago, by FRESH_SECONDS and FRESH_FACTOR.

        Calls during a count wait for it and share the result.
        """
        counted = self._counted.setdefault(by.view, _Counted())
        self._counted.move_to_end(by.view)
        if len(self._counted) > MAX_OWNERS:
            self._counted.popitem(last=False)
        async with counted.lock:
            begun = time.monotonic()
            if counted.counts is None or begun >= counted.fresh_until:
                counted.counts = await self._catalog.counts(owner=by.view)
                took = time.monotonic() - begun
                counted.fresh_until = begun + max(FRESH_SECONDS, FRESH_FACTOR * took)
            return counted.counts


@dataclass(slots=True)
class _Counted:
    """Counts, until when they are given again, and the lock of who counts."""

    counts: Counts | None = None
    fresh_until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
